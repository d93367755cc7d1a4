/* A convolution of each channel with weights of its own, [kernel height][kernel width][channels], and its rounding. */
static void NAME(const product_t *p, const X_T *x, Y_T *y)
{
    const BIAS_T *bias = (const BIAS_T *)p->bias;
    const W_T *weights = (const W_T *)p->weights;
    int32_t oy, ox, o, ky, kx;
    for (oy = 0; oy < p->oh; oy++) {
        for (ox = 0; ox < p->ow; ox++, y += p->oc) {
            for (o = 0; o < p->oc; o++) {
                ACC_T sum = bias ? bias[o] : 0;
                for (ky = 0; ky < p->kh; ky++) {
                    const int32_t iy = oy * p->sy - p->py + ky * p->dy;
                    if (iy < 0 || iy >= p->h) {
                        continue;
                    }
                    for (kx = 0; kx < p->kw; kx++) {
                        const int32_t ix = ox * p->sx - p->px + kx * p->dx;
                        if (ix >= 0 && ix < p->w) {
                            sum += (ACC_T)x[(iy * p->w + ix) * p->c + o] * weights[(ky * p->kw + kx) * p->c + o];
                        }
                    }
                }
                y[o] = RESULT;
            }
        }
    }
}
