/* RP2040 (Cortex-M0+) as rp2040js plays it: UART0, and the emulator's own cycle counter.
 *
 * A tick is a cycle as the emulator counts them: the core's, with no wait for the flash. The core has no cycle counter of 32
 * bits, so the launcher puts one where the chip has nothing (CYCLES). While the host is awaited the core sleeps, and no
 * cycles pass. No clocks and no pins are set: this port is not for silicon. */
#include "../bare.h"

#define REG(at) (*(volatile uint32_t *)(at))
#define UART0_DR REG(0x40034000u)
#define UART0_FR REG(0x40034018u)
#define UART0_LCR_H REG(0x4003402cu)
#define UART0_CR REG(0x40034030u)
#define CYCLES REG(0x40070000u)
enum { RXFE = 1u << 4, TXFF = 1u << 5 };

int main(void);
void reset(void);
void halt(void);

static uint32_t waited;

void halt(void) {
    for (;;) __asm__ volatile("wfe");
}

void reset(void) {
    bare_start();
    main();
    halt();
}

extern uint8_t link_stack_top[];
__attribute__((section(".start"), used)) static const struct {
    uint8_t second_stage[256]; /* of the boot loader, which the emulator does without */
    void *stack;
    void (*handlers[15])(void);
} vectors = {{0}, link_stack_top, {reset, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt}};

const board *board_init(void) {
    static board b;
    UART0_LCR_H = 0x70u; /* 8 bits, FIFOs */
    UART0_CR = 0x301u;   /* enabled, sends and receives */
    b.name = "rp2040";
    b.core = "Cortex-M0+";
    b.clock = "cycles";
    b.tick_bits = 32;
    b.clock_hz = 125000000u;
    b.pace_hz = 30000000u;
    bare_describe(&b);
    return &b;
}

void board_write(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    while (n--) {
        while (UART0_FR & TXFF) {}
        UART0_DR = *p++;
    }
}

size_t board_available(void) { return !(UART0_FR & RXFE); }

/* One byte at a time, so that the way through here costs the same however the bytes come. */
size_t board_read(void *bytes, size_t n) {
    (void)n;
    uint32_t since = CYCLES;
    while (UART0_FR & RXFE) __asm__ volatile("wfe");
    waited += CYCLES - since;
    *(uint8_t *)bytes = (uint8_t)UART0_DR;
    return 1;
}

uint64_t board_ticks(void) { return CYCLES - waited; }
