/* Runs the vectors below; with a file of images, prints the logits of each, a line an image. */
#include "PREFIX.h"

#include <stdio.h>

static const uint8_t images[N_IMAGES * MACROS_IMAGE_BYTES] = {
PIXELS
};

static const int64_t expected[N_IMAGES * MACROS_CLASSES] = {
LOGITS
};

static union {
    int64_t aligned;
    uint8_t bytes[MACROS_ARENA_BYTES];
} arena;

#ifdef MACROS_TRACE
void PREFIX_trace(int32_t node, const void *integers, int32_t n, int32_t bytes)
{
    int32_t i;
    printf("node %ld", (long)node);
    for (i = 0; i < n; i++) {
        switch (bytes) {
        case -1: printf(" %d", ((const uint8_t *)integers)[i]); break;
        case 1: printf(" %d", ((const int8_t *)integers)[i]); break;
        case 2: printf(" %d", ((const int16_t *)integers)[i]); break;
        case 4: printf(" %ld", (long)((const int32_t *)integers)[i]); break;
        default: printf(" %lld", (long long)((const int64_t *)integers)[i]); break;
        }
    }
    printf("\n");
}
#endif

static int of_file(const char *path)
{
    static uint8_t image[MACROS_IMAGE_BYTES];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return 2;
    }
    while (fread(image, 1, sizeof image, file) == sizeof image) {
        const PREFIX_logit *logits = PREFIX_run(image, &arena);
        int i;
        for (i = 0; i < MACROS_CLASSES; i++) {
            printf(i ? " %lld" : "%lld", (long long)logits[i]);
        }
        printf("\n");
    }
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    int image, i;
#ifdef MACROS_IMAGES
    (void)argc, (void)argv;
    return of_file(MACROS_IMAGES);
#endif
    if (argc > 1) {
        return of_file(argv[1]);
    }
    for (image = 0; image < N_IMAGES; image++) {
        const PREFIX_logit *logits = PREFIX_run(images + image * MACROS_IMAGE_BYTES, &arena);
        const int64_t *right = expected + image * MACROS_CLASSES;
        for (i = 0; i < MACROS_CLASSES; i++) {
            if (logits[i] != right[i]) {
                printf("image %d, logit %d: %lld, and %lld is right\n", image, i, (long long)logits[i],
                       (long long)right[i]);
                return 1;
            }
        }
    }
    printf("%d of %d images: equal\n", image, N_IMAGES);
    return 0;
}
