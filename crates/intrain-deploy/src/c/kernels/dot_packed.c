/* The same with weights of BITS bits. A word of 4 bytes has GROUP of them, each less the least one, so that nothing is negative: of every four
   the first and the second lie in its low half, the third and the fourth at the same place of its high half. at and n are multiples of GROUP. */
static ACC_T DOT(ACC_T sum, const X_T *x, const void *weights, int32_t at, int32_t n)
{
    const uint8_t *w = (const uint8_t *)weights + at / (GROUP / 4);
    for (; n > 0; n -= GROUP, x += GROUP, w += 4) {
PACKED_PRODUCTS
    }
    return sum;
}
