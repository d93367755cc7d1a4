/* The sum of n integers. */
static ACC_T TOTAL(ACC_T sum, const X_T *x, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum;
}
