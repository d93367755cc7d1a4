/* The maximum of each window; what lies outside of the image does not count. */
static void NAME(const windows_t *p, const X_T *x, Y_T *y)
{
    int32_t oy, ox, ky, kx, k;
    for (oy = 0; oy < p->oh; oy++) {
        for (ox = 0; ox < p->ow; ox++, y += p->c) {
            int32_t first = 1;
            for (ky = 0; ky < p->kh; ky++) {
                const int32_t iy = oy * p->sy - p->pad + ky;
                for (kx = 0; kx < p->kw; kx++) {
                    const int32_t ix = ox * p->sx - p->pad + kx;
                    if (iy < 0 || ix < 0 || iy >= p->h || ix >= p->w) {
                        continue;
                    }
                    for (k = 0; k < p->c; k++) {
                        const X_T value = x[(iy * p->w + ix) * p->c + k];
                        if (first || value > y[k]) {
                            y[k] = value;
                        }
                    }
                    first = 0;
                }
            }
        }
    }
}
