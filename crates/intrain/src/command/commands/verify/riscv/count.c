/* Counts the instructions of each answer on a RISC-V board, and prints their mean at the end. */
#include <stdint.h>
#include <stdio.h>

extern const void *__real_RUN(const uint8_t *image, void *arena);

static uint32_t instructions, images;

static uint32_t now(void)
{
    uint32_t count;
    /* The compiler's name for rv32imac leaves out the registers that count. */
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, minstret\n.option pop" : "=r"(count));
    return count;
}

const void *__wrap_RUN(const uint8_t *image, void *arena)
{
    uint32_t before = now();
    const void *logits = __real_RUN(image, arena);
    instructions += (now() - before) / 8;
    images++;
    return logits;
}

__attribute__((destructor)) static void say(void)
{
    if (images) {
        printf("instructions %lu\n", (unsigned long)(instructions / images) * 8);
    }
}
