/* Rounding. floor(x / 2^shift), without a shift of a negative number. */
static ACC_T floor_ACC(ACC_T x, int32_t shift)
{
    return x < 0 ? ~(~x >> shift) : x >> shift;
}

/* round(x / 2^shift). */
static ACC_T round_ACC(ACC_T x, int32_t shift, int32_t round)
{
ROUND_CASES
    return floor_ACC(x, shift);
}
