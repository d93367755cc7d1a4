#ifdef MODEL_SIMD32
    const int8_t *v = (const int8_t *)weights + at, *w = v + filter;
    int32_t first = sums[0], second = sums[1];
    for (; n >= 4; n -= 4, x += 4, v += 4, w += 4) {
        const uint32_t a = word_of(x), b = word_of(v), c = word_of(w);
        const int16x2_t even = (int16x2_t)XTB16_EVEN(a), odd = (int16x2_t)XTB16_ODD(a);
        first = __smlad(even, (int16x2_t)SXTB16_EVEN(b), first);
        second = __smlad(even, (int16x2_t)SXTB16_EVEN(c), second);
        first = __smlad(odd, (int16x2_t)SXTB16_ODD(b), first);
        second = __smlad(odd, (int16x2_t)SXTB16_ODD(c), second);
    }
    for (; n > 0; n--, x++) {
        first += *x * *v++;
        second += *x * *w++;
    }
    sums[0] = first;
    sums[1] = second;
#else
