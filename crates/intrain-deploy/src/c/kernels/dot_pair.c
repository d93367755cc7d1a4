/* Two outputs at once, whose weights lie filter apart. */
static void DOT_PAIR(ACC_T *sums, const X_T *x, const void *weights, int32_t at, int32_t filter, int32_t n)
{
SIMD
    sums[0] = DOT(sums[0], x, weights, at, n);
    sums[1] = DOT(sums[1], x, weights, at + filter, n);
SIMD_END
}
