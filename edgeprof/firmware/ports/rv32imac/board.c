/* RV32IMAC as QEMU's virt machine plays it: a 16550 UART, and minstret for a clock, which -icount makes exact. */
#include "../bare.h"

#define UART ((volatile uint8_t *)0x10000000u)
enum { LSR = 5, RX_READY = 1, TX_READY = 32 };

static uint64_t waited;

static uint32_t low(void) {
    uint32_t v;
    __asm__ volatile(".option push\n .option arch, +zicsr\n csrr %0, minstret\n .option pop" : "=r"(v) : : "memory");
    return v;
}

static uint32_t high(void) {
    uint32_t v;
    __asm__ volatile(".option push\n .option arch, +zicsr\n csrr %0, minstreth\n .option pop" : "=r"(v) : : "memory");
    return v;
}

static uint64_t instructions(void) {
    for (;;) {
        uint32_t before = high(), l = low();
        if (high() == before) return (uint64_t)before << 32 | l;
    }
}

const board *board_init(void) {
    static board b;
    b.name = "rv32imac";
    b.core = "RV32IMAC";
    b.clock = "instructions";
    b.tick_bits = 64;
    b.clock_hz = 160000000u;
    b.pace_hz = 150000000u;
    bare_describe(&b);
    return &b;
}

/* How many turns until there is room: none, unless the emulator's host is slow to take the bytes. The loop is four
 * instructions, written out because they are counted. */
static uint32_t turns_until_room(void) {
    uint32_t turns = 0, status;
    __asm__ volatile("1: lbu %1, 5(%2)\n andi %1, %1, 32\n addi %0, %0, 1\n beqz %1, 1b"
                     : "+&r"(turns), "=&r"(status) : "r"(UART) : "memory");
    return turns - 1;
}

void board_write(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    uint32_t turns = 0;
    while (n--) {
        turns += turns_until_room();
        UART[0] = *p++;
    }
    waited += 4 * (uint64_t)turns; /* four instructions a turn */
}

size_t board_available(void) { return UART[LSR] & RX_READY; }

/* One byte at a time, so that the way through here costs the same however the bytes come. */
size_t board_read(void *bytes, size_t n) {
    (void)n;
    uint64_t since = instructions();
    while (!(UART[LSR] & RX_READY)) {}
    waited += instructions() - since;
    *(uint8_t *)bytes = UART[0];
    return 1;
}

uint64_t board_ticks(void) { return instructions() - waited; }
