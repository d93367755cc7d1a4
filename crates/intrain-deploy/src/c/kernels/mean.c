/* The mean of each window, to the nearest, ties down. */
static void NAME(const windows_t *p, const X_T *x, Y_T *y)
{
    int32_t oy, ox, ky, kx, k;
    for (oy = 0; oy < p->oh; oy++) {
        for (ox = 0; ox < p->ow; ox++, y += p->c) {
            for (k = 0; k < p->c; k++) {
                ACC_T sum = 0, quotient, rest;
                for (ky = 0; ky < p->kh; ky++) {
                    for (kx = 0; kx < p->kw; kx++) {
                        sum += x[((oy * p->sy + ky) * p->w + ox * p->sx + kx) * p->c + k];
                    }
                }
                sum *= (ACC_T)1 << p->up;
                quotient = sum / (ACC_T)p->divisor;
                rest = sum % (ACC_T)p->divisor;
                if (rest < 0) {
                    quotient--;
                    rest += (ACC_T)p->divisor;
                }
                if (rest > (ACC_T)p->divisor - rest) {
                    quotient++;
                }
                y[k] = (Y_T)(quotient < p->min ? p->min : quotient > p->max ? p->max : quotient);
            }
        }
    }
}
