/* Every step-th pixel, zeros for new channels. */
static void NAME(const windows_t *p, const X_T *x, int32_t oc, Y_T *y)
{
    int32_t oy, ox, k;
    for (oy = 0; oy < p->oh; oy++) {
        for (ox = 0; ox < p->ow; ox++) {
            const X_T *pixel = x + (oy * p->sy * p->w + ox * p->sx) * p->c;
            for (k = 0; k < oc; k++) {
                *y++ = (Y_T)(k < p->c ? pixel[k] : 0);
            }
        }
    }
}
