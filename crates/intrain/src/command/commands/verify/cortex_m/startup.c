/* Starts a program on a Cortex-M board of QEMU, with files and output of the host, and counts the instructions of each answer: time passes
   by a nanosecond an instruction (-icount shift=0), and the timer ticks 25 million times a second. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTROL (*(volatile uint32_t *)0xE000E010)
#define RELOAD (*(volatile uint32_t *)0xE000E014)
#define CURRENT (*(volatile uint32_t *)0xE000E018)
#define LARGEST 0xFFFFFFu
#define INSTRUCTIONS 40u

extern uint32_t __bss_start__, __bss_end__, __stack;
extern int main(int argc, char **argv);
extern void initialise_monitor_handles(void);
extern const void *__real_RUN(const uint8_t *image, void *arena);

static uint64_t ticks;
static uint32_t images;

const void *__wrap_RUN(const uint8_t *image, void *arena)
{
    const void *logits;
    RELOAD = LARGEST;
    CURRENT = 0;
    CONTROL = 5;
    logits = __real_RUN(image, arena);
    ticks += LARGEST - CURRENT;
    images++;
    return logits;
}

/* newlib calls them at the end. */
void _init(void) {}
void _fini(void) {}

void reset(void)
{
    uint32_t *word;
    int status;
    for (word = &__bss_start__; word < &__bss_end__; word++) {
        *word = 0;
    }
    initialise_monitor_handles();
    status = main(0, 0);
    if (images) {
        printf("instructions %lu\n", (unsigned long)(ticks * INSTRUCTIONS / images));
    }
    exit(status);
}

__attribute__((section(".vectors"), used)) const void *const vectors[2] = { &__stack, (const void *)reset };
