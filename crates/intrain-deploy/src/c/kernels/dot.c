/* sum += x[i] * w[at + i] over n products. */
static ACC_T DOT(ACC_T sum, const X_T *x, const void *weights, int32_t at, int32_t n)
{
    const W_T *w = (const W_T *)weights + at;
    int32_t i = 0;
SIMD
    for (; i < n; i++) {
        sum += (ACC_T)x[i] * w[i];
    }
    return sum;
}
