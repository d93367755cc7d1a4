#ifdef MODEL_SIMD32
    for (; n - i >= 4; i += 4) {
        const uint32_t a = word_of(x + i), b = word_of(w + i);
        sum = __smlad((int16x2_t)XTB16_EVEN(a), (int16x2_t)SXTB16_EVEN(b), sum);
        sum = __smlad((int16x2_t)XTB16_ODD(a), (int16x2_t)SXTB16_ODD(b), sum);
    }
#endif
