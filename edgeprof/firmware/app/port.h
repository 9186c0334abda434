/* What a board gives to the reference firmware. A port fills this in and calls app_main(), which does not return. */
#ifndef APP_PORT_H
#define APP_PORT_H

#include <stddef.h>
#include <stdint.h>

typedef struct app_port {
    /* bytes */
    void (*write)(const void *bytes, size_t n);  /* all of them, waiting if need be */
    size_t (*read)(void *bytes, size_t n);       /* waits for bytes; may return 0, then time is kept and it is called again */
    size_t (*available)(void);                   /* would read() return at once? Asked between passes. */
    /* time */
    uint64_t (*ticks)(void); /* counts up, wraps at tick_bits */
    unsigned tick_bits;
    uint32_t tick_hz;        /* 0: a tick is not time (fuel, instructions) */
    uint32_t board_clock_hz; /* nominal */
    uint32_t pace_hz;        /* ticks in about a second of the observer's time: how often frames are sent */
    /* who it is */
    const char *board, *core, *clock, *kernel_variant;
    uint16_t boot; /* another number after each reset */
    /* memory */
    uint32_t ram_bytes, flash_bytes; /* what the board has */
    uint32_t image_bytes;            /* flash that code and constants take */
    uint32_t static_bytes;           /* RAM that .data and .bss take */
    uint32_t stack_bytes;            /* RAM kept for the stack */
    uint32_t (*stack_peak)(void);    /* optional: deepest use so far, in bytes */
    void *arena;                     /* the rest of the RAM, aligned to 8 */
    size_t arena_bytes;
    /* the model, where it lies in flash */
    const void *model;
    size_t model_bytes;
    size_t model_there; /* what of it lies in flash: less than model_bytes where it does not fit */
    uint32_t n_ctx; /* at most so many positions; the model's own limit if that is less */
} app_port;

/* ram_needed_bytes = static_bytes + stack_bytes + session_bytes(): known before anything runs.
 * flash_needed_bytes = image_bytes + model_bytes. */
void app_main(const app_port *port);

#endif
