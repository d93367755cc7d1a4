#if defined(__ARM_FEATURE_SIMD32) && !defined(PORTABLE)
#include <arm_acle.h>
#define MODEL_SIMD32

/* Four bytes as a word. */
static inline uint32_t word_of(const void *bytes)
{
    uint32_t word;
    __builtin_memcpy(&word, bytes, 4);
    return word;
}

/* Bytes 0 and 2, or 1 and 3, of a word as two numbers of 16 bits. */
#define EXTENDED(name, instruction) \
    static inline uint32_t name(uint32_t word) \
    { \
        uint32_t pair; \
        __asm__(instruction : "=r"(pair) : "r"(word)); \
        return pair; \
    }
EXTENDED(sxtb16_even, "sxtb16 %0, %1")
EXTENDED(sxtb16_odd, "sxtb16 %0, %1, ror #8")
EXTENDED(uxtb16_even, "uxtb16 %0, %1")
EXTENDED(uxtb16_odd, "uxtb16 %0, %1, ror #8")
#endif
