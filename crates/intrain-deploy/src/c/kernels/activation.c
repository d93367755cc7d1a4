/* What enters is added up, and the sum is rounded once. */
static void NAME(const activation_t *p, PARAMETERS, Y_T *y)
{
    int32_t i, k;
    for (i = 0; i < p->pixels; i++) {
PREPARE
        for (k = 0; k < p->c; k++) {
            const ACC_T sum = SUM;
            *y++ = (Y_T)requantize_ACC(sum, &p->q);
        }
ADVANCE
    }
}
