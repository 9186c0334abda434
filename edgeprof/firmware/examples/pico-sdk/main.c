/* The reference firmware on the Pico SDK, over USB: a port of app/port.h. Compiled here: no (checked against stubs, see
 * docs/instrument.md). */
#include <stdio.h>

#include "hardware/clocks.h"
#include "pico/rand.h"
#include "pico/stdio_usb.h"
#include "pico/stdlib.h"

#include "port.h"

#define FLASH_LEFT (PICO_FLASH_SIZE_BYTES - MODEL_OFFSET)
#ifndef MODEL_BYTES
#define MODEL_BYTES FLASH_LEFT /* flash_needed_bytes is too large then, and nothing else */
#endif

/* The SDK's linker script: the stack is in a RAM of its own, SCRATCH_Y, above SCRATCH_X, which is free while the second
 * core sleeps. */
extern char __flash_binary_start, __flash_binary_end, __data_start__, __bss_end__;

enum { WAIT_US = 500000, ARENA_BYTES = 192 * 1024 };

static uint64_t arena[ARENA_BYTES / 8];
static int early = PICO_ERROR_TIMEOUT; /* a byte that line_available() found */

static void line_write(const void *bytes, size_t n) {
    fwrite(bytes, 1, n, stdout);
    fflush(stdout);
}

static size_t line_read(void *bytes, size_t n) {
    uint8_t *p = bytes;
    size_t got = 0;
    int c = early != PICO_ERROR_TIMEOUT ? early : getchar_timeout_us(WAIT_US);
    early = PICO_ERROR_TIMEOUT;
    while (c != PICO_ERROR_TIMEOUT) {
        p[got++] = (uint8_t)c;
        if (got == n) break;
        c = getchar_timeout_us(0);
    }
    return got;
}

static size_t line_available(void) {
    if (early == PICO_ERROR_TIMEOUT) early = getchar_timeout_us(0);
    return early != PICO_ERROR_TIMEOUT;
}

/* Microseconds: the core has no counter of cycles that is wide enough (SysTick turns over ten times a second). */
static uint64_t ticks(void) { return time_us_64(); }

int main(void) {
    static app_port port;
    stdio_init_all();
    stdio_set_translate_crlf(&stdio_usb, false); /* or each LF in a frame becomes CR LF */
    while (!stdio_usb_connected()) sleep_ms(10); /* what is sent before would be lost */
    port.write = line_write;
    port.read = line_read;
    port.available = line_available;
    port.ticks = ticks;
    port.tick_bits = 64;
    port.tick_hz = port.pace_hz = 1000000u;
    port.board_clock_hz = clock_get_hz(clk_sys);
    port.board = PICO_BOARD;
#ifdef PICO_RP2040
    port.core = "Cortex-M0+";
    port.ram_bytes = 264u * 1024u;
#else
    port.core = "Cortex-M33"; /* or Hazard3: the RP2350 has both */
    port.ram_bytes = 520u * 1024u;
#endif
    port.clock = "device_timer";
    port.kernel_variant = "c99";
    port.boot = (uint16_t)get_rand_32();
    port.flash_bytes = PICO_FLASH_SIZE_BYTES;
    port.image_bytes = (uint32_t)(&__flash_binary_end - &__flash_binary_start);
    port.static_bytes = (uint32_t)(&__bss_end__ - &__data_start__) - (uint32_t)sizeof arena;
    port.stack_bytes = PICO_STACK_SIZE;
    port.arena = arena;
    port.arena_bytes = sizeof arena;
    port.model = (const void *)(XIP_BASE + MODEL_OFFSET);
    port.model_bytes = MODEL_BYTES;
    port.model_there = MODEL_BYTES < FLASH_LEFT ? MODEL_BYTES : FLASH_LEFT;
    port.n_ctx = 256;
    app_main(&port);
    return 0;
}
