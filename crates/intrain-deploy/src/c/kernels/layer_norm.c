/* The largest integer whose square is at most x. */
static int64_t root(int64_t x)
{
    int64_t result = 0, bit = (int64_t)1 << 62;
    while (bit > x) {
        bit >>= 2;
    }
    for (; bit != 0; bit >>= 2) {
        if (x >= result + bit) {
            x -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return result;
}

/* round(x / y), y above 0. */
static int64_t divide(int64_t x, int64_t y, int32_t round)
{
    int64_t floor = x / y, rest = x % y;
    int32_t above, tie;
    if (rest < 0) {
        floor--;
        rest += y;
    }
    above = rest > y - rest;
    tie = rest == y - rest;
    switch (round) {
    case 1: return floor + (above || (tie && floor % 2 != 0));
    case 2: return floor + above;
    case 3: return floor + (above || (tie && x > 0));
    case 4: return floor + (x < 0 && rest != 0);
    default: return floor;
    }
}

/* A pixel's norm, from the mean and the spread of its c channels. */
static line_t layer_line_XS(const layer_norm_t *p, const X_T *x, int32_t c)
{
    line_t line;
    int64_t sum = 0, squares = 0, distances = 0, mean, spread, offset;
    int32_t k, power = 14;
    for (k = 0; k < c; k++) {
        sum += x[k];
        squares += (int64_t)x[k] * x[k];
    }
    mean = divide(sum * ((int64_t)1 << p->mean_up), c, p->mean_round);
    mean = mean < p->mean_min ? p->mean_min : mean > p->mean_max ? p->mean_max : mean;
    if (p->l1) {
        for (k = 0; k < c; k++) {
            const int64_t distance = x[k] * ((int64_t)1 << p->mean_up) - mean;
            distances += distance < 0 ? -distance : distance;
        }
        spread = distances * 41069 * ((int64_t)1 << p->spread_up) / (c * ((int64_t)1 << p->spread_down));
    } else {
        spread = root((c * squares - sum * sum) * ((int64_t)1 << p->spread_up) / ((int64_t)c * c));
    }
    spread = spread < p->spread_min ? p->spread_min : spread > p->spread_max ? p->spread_max : spread;
    while (spread >> (power - 13) != 0) {
        power++;
    }
    line.multiplier = divide((int64_t)1 << power, spread, 1);
    offset = mean * line.multiplier;
    line.offset = divide(offset, (int64_t)1 << p->mean_up, 1);
    line.shift = power + p->shift;
    return line;
}
