/* A channel of a pixel that is normalized by its own mean and spread. */
static SUM_T NORM(const layer_norm_t *p, const line_t *line, int32_t k, int32_t x)
{
    int64_t value = round_i64(x * line->multiplier - line->offset, line->shift, p->round);
    value = value < p->min ? p->min : value > p->max ? p->max : value;
    return (SUM_T)value * ((const GAIN_T *)p->gain)[k] + (SUM_T)p->add[k];
}
