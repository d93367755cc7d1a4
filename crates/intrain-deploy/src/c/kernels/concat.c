/* The c channels of x become some of the channels of y, which has oc. */
static void NAME(int32_t pixels, int32_t c, int32_t oc, const X_T *x, Y_T *y)
{
    int32_t i, k;
    for (i = 0; i < pixels; i++, y += oc) {
        for (k = 0; k < c; k++) {
            y[k] = (Y_T)*x++;
        }
    }
}
