/* Xtensa lx106 (the ESP8266's core) as QEMU's sim machine plays it: SIMCALL for a console, CCOUNT for a clock.
 *
 * A tick is an instruction. With -icount shift=5 one takes 32 ns of virtual time, and CCOUNT counts 25 ns of it (the
 * emulated core's 40 MHz), so instruction n is executed at CCOUNT = floor(32 n / 25): n is CCOUNT * 25 / 32, rounded up. */
#include "../bare.h"

enum { SYS_EXIT = 1, SYS_READ = 3, SYS_WRITE = 4, SYS_SELECT_ONE = 29, STDIN = 0, STDOUT = 1, WHOLE = 1u << 30 };

static uint32_t base;       /* of CCOUNT, a multiple of 32 */
static uint32_t ticks_base; /* instructions until then, without those that waited */

static uint32_t ccount(void) {
    uint32_t v;
    __asm__ volatile("rsr.ccount %0" : "=r"(v) : : "memory");
    return v;
}

static int32_t simcall(int32_t call, int32_t a, int32_t b, int32_t c) {
    register int32_t a2 __asm__("a2") = call;
    register int32_t a3 __asm__("a3") = a;
    register int32_t a4 __asm__("a4") = b;
    register int32_t a5 __asm__("a5") = c;
    __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return a2;
}

/* Spins until CCOUNT is a multiple of 32, which it is at one instruction of 25. From there on the counts are the same
 * whatever was waited for before. The loop takes three instructions, and 3 and 25 have no common divisor. */
static void synchronise(void) {
    uint32_t v, low;
    __asm__ volatile("1: rsr.ccount %0\n extui %1, %0, 0, 5\n bnez %1, 1b" : "=r"(v), "=r"(low) : : "memory");
    base = v;
}

static uint32_t instructions(uint32_t counts) { return (counts >> 5) * 25 + (((counts & 31) * 25 + 31) >> 5); }

uint64_t board_ticks(void) {
    uint32_t counts = ccount() - base;
    if (counts >= WHOLE) { /* long before 32 bits are full */
        base += WHOLE;
        counts -= WHOLE;
        ticks_base += WHOLE / 32 * 25;
    }
    return ticks_base + instructions(counts);
}

const board *board_init(void) {
    static board b;
    b.name = "lx106";
    b.core = "Xtensa lx106";
    b.clock = "instructions";
    b.tick_bits = 32;
    b.clock_hz = 80000000u;
    b.pace_hz = 100000000u;
    bare_describe(&b);
    b.flash_bytes += 64; /* where the core starts */
    b.image_bytes += 64;
    synchronise();
    return &b;
}

static int32_t write_some(const uint8_t *bytes, size_t n) {
    return simcall(SYS_WRITE, STDOUT, (int32_t)(intptr_t)bytes, (int32_t)n);
}

/* The emulator's host takes all at once, or, seldom, a part. While the rest is sent the clock stands still. */
void board_write(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    int32_t sent = write_some(p, n);
    if (sent <= 0 || (size_t)sent >= n) return; /* nothing was taken: the line is gone */
    ticks_base = (uint32_t)board_ticks();
    while (sent > 0 && (size_t)sent < n) {
        p += sent;
        n -= (size_t)sent;
        sent = write_some(p, n);
    }
    synchronise();
}

size_t board_available(void) {
    static const int32_t now[2] = {0, 0};
    return simcall(SYS_SELECT_ONE, STDIN, 0, (int32_t)(intptr_t)now) > 0;
}

/* One byte at a time, so that the way through here costs the same however the bytes come. */
size_t board_read(void *bytes, size_t n) {
    (void)n;
    ticks_base = (uint32_t)board_ticks();
    while (simcall(SYS_READ, STDIN, (int32_t)(intptr_t)bytes, 1) <= 0) {}
    synchronise();
    return 1;
}
