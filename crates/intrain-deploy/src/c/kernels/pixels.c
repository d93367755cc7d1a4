/* Pixels become the integers that enter the network. */
static void NAME(const Y_T *codes, const uint8_t *image, Y_T *y, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        y[i] = codes[image[i]];
    }
}
