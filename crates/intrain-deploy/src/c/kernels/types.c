/* Tensors of several types share the bytes of the arena, and compilers must not take them for different memory. */
#ifdef __GNUC__
#define SHARED __attribute__((__may_alias__))
#else
#define SHARED
#endif
typedef int16_t SHARED shared_i16;
typedef int32_t SHARED shared_i32;
typedef int64_t SHARED shared_i64;

/* x becomes min(max(round(x / 2^shift), min), max). */
typedef struct {
    int32_t shift, round, min, max;
} requantize_t;

/* A product of oc channels: its kernel, step, padding and dilation, [y, x], and the pooling behind it. */
typedef struct {
    const void *weights, *bias;
    int32_t h, w, c, ph, pw, oh, ow, oc, groups, kh, kw, sy, sx, py, px, dy, dx, pool, step, edge;
    requantize_t q;
} product_t;

/* Windows of a pooling or a shortcut. */
typedef struct {
    int32_t h, w, c, oh, ow, kh, kw, sy, sx, pad, up, min, max;
    int64_t divisor;
} windows_t;

/* value = round((x * multiplier - offset) / 2^shift), held; the result is value * gain + add. */
typedef struct {
    const int16_t *multiplier;
    const int32_t *offset;
    const uint8_t *shift;
    const void *gain;
    const int32_t *add;
    int32_t round, min, max;
} norm_t;

/* Terms are added up, each times 2^up, and rounded once. */
typedef struct {
    int32_t pixels, c;
    const void *norm[2];
    int32_t up[2];
    requantize_t q;
} activation_t;
