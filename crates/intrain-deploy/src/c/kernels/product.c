/* A convolution or a linear layer, its rounding, and the pooling behind it. */
static void NAME(const product_t *p, const X_T *x, Y_T *y)
{
    const BIAS_T *bias = (const BIAS_T *)p->bias;
    const int32_t in = p->c / p->groups, out = p->oc / p->groups, filter = p->kh * p->kw * in;
    const int32_t dense = p->groups == 1 && p->dx == 1;
    int32_t oy, ox, qy, qx, o, k, ky, kx, pair;
    for (oy = 0; oy < p->oh; oy++) {
        for (ox = 0; ox < p->ow; ox++, y += p->oc) {
            int32_t first = 1;
            for (qy = 0; qy < p->pool; qy++) {
                const int32_t cy = oy * p->step + qy - p->edge;
                for (qx = 0; qx < p->pool; qx++) {
                    const int32_t cx = ox * p->step + qx - p->edge;
                    const int32_t iy = cy * p->sy - p->py, ix = cx * p->sx - p->px;
                    int32_t ky0 = 0, ky1 = p->kh, kx0 = 0, kx1 = p->kw;
                    if (cy < 0 || cx < 0 || cy >= p->ph || cx >= p->pw) {
                        continue;
                    }
                    /* The taps that lie on the image. */
                    while (ky0 < ky1 && iy + ky0 * p->dy < 0) ky0++;
                    while (ky0 < ky1 && iy + (ky1 - 1) * p->dy >= p->h) ky1--;
                    while (kx0 < kx1 && ix + kx0 * p->dx < 0) kx0++;
                    while (kx0 < kx1 && ix + (kx1 - 1) * p->dx >= p->w) kx1--;
                    if (kx0 == kx1) {
                        ky1 = ky0;
                    }
LEAST_SUM
                    for (o = 0; o < p->oc; o += pair) {
                        ACC_T sums[2] = { 0, 0 };
                        pair = dense && o + 1 < p->oc ? 2 : 1;
                        for (k = 0; k < pair; k++) {
                            sums[k] = FIRST;
                        }
                        for (ky = ky0; ky < ky1; ky++) {
                            const X_T *row = x + ((iy + ky * p->dy) * p->w + ix + kx0 * p->dx) * p->c + o / out * in;
                            int32_t at = o * filter + (ky * p->kw + kx0) * in;
                            if (pair == 2) {
                                DOT_PAIR(sums, row, p->weights, at, filter, (kx1 - kx0) * in);
                                continue;
                            }
                            for (kx = kx0; kx < kx1; kx++, at += in, row += p->dx * p->c) {
                                sums[0] = DOT(sums[0], row, p->weights, at, in);
                            }
                        }
                        for (k = 0; k < pair; k++) {
                            const ACC_T sum = sums[k];
                            const Y_T result = RESULT;
                            if (first || result > y[o + k]) {
                                y[o + k] = result;
                            }
                        }
                    }
                    first = 0;
                }
            }
        }
    }
}
