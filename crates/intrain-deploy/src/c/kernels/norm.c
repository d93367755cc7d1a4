/* A channel's norm: two multiplications, each exact, with one rounding between them. */
static SUM_T NORM(const norm_t *p, int32_t k, int32_t x)
{
    const ACC_T exact = (ACC_T)x * p->multiplier[k] - p->offset[k];
    ACC_T value = round_ACC(exact, p->shift[k], p->round);
    value = value < p->min ? p->min : value > p->max ? p->max : value;
    return (SUM_T)value * ((const GAIN_T *)p->gain)[k] + p->add[k];
}
