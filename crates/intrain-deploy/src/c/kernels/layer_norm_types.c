/* A norm of the channels of each pixel. */
typedef struct {
    const void *gain;
    const int32_t *add;
    int32_t mean_up, mean_round, l1, spread_up, spread_down, shift, round;
    int64_t mean_min, mean_max, spread_min, spread_max, min, max;
} layer_norm_t;

/* value = round((x * multiplier - offset) / 2^shift). */
typedef struct {
    int64_t multiplier, offset;
    int32_t shift;
} line_t;
