/* min(max(round(x / 2^shift), min), max). */
static int32_t requantize_ACC(ACC_T x, const requantize_t *q)
{
    if (q->shift > 0) {
        x = round_ACC(x, q->shift, q->round);
    } else if (q->shift < 0) {
        x *= (ACC_T)1 << -q->shift;
    }
    return x < q->min ? q->min : x > q->max ? q->max : (int32_t)x;
}
