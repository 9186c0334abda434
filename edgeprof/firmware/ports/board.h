/* What a port gives to whatever program is linked with it: the reference firmware (reference.c), an example, a benchmark.
 * The program has an `int main(void)`, which calls board_init() first.
 *
 * Time is the time that the program works: while board_read() waits for the host, the clock stands still, so that what a
 * run costs does not depend on how fast the host answers. */
#ifndef PORTS_BOARD_H
#define PORTS_BOARD_H

#include <stddef.h>
#include <stdint.h>

typedef struct board {
    const char *name, *core, *clock; /* clock: fuel, instructions, cycles, host */
    unsigned tick_bits;              /* width of board_ticks() */
    uint32_t tick_hz;                /* 0: a tick is not time */
    uint32_t clock_hz;               /* nominal */
    uint32_t pace_hz;                /* ticks in about a second of whoever watches */
    uint32_t ram_bytes, flash_bytes; /* what the board has */
    uint32_t image_bytes;            /* flash that code and constants take */
    uint32_t static_bytes;           /* RAM that .data and .bss take */
    uint32_t stack_bytes;            /* RAM kept for the stack */
    void *arena;                     /* the rest of the RAM, aligned to 8 */
    size_t arena_bytes;
    const void *model;               /* in flash; NULL if there is none */
    size_t model_bytes;              /* what it should have */
    size_t model_there;              /* what of it lies in flash: less, where it does not fit */
    uint32_t n_ctx;                  /* at most so many positions */
    uint16_t boot;                   /* another number after each reset */
} board;

const board *board_init(void);
void board_write(const void *bytes, size_t n); /* all of them, waiting if need be */
size_t board_read(void *bytes, size_t n);      /* waits for at least one byte */
size_t board_available(void);                  /* would board_read() return at once? */
uint64_t board_ticks(void);
uint32_t board_stack_peak(void); /* deepest use so far, in bytes */

#endif
