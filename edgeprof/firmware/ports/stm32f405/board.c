/* STM32F405 (Cortex-M4F) as QEMU's netduinoplus2 plays it: USART1, and TIM2 for a clock.
 *
 * A tick is an instruction: with -icount shift=3 one takes 8 ns of virtual time, and QEMU feeds TIM2 1 GHz of that time,
 * so that a prescaler of 7 makes one count of 8 ns. On silicon TIM2 counts time, and this port is not for silicon: it
 * sets no clocks and no pins. */
#include "../bare.h"

#define REG(at) (*(volatile uint32_t *)(at))
#define USART1_SR REG(0x40011000u)
#define USART1_DR REG(0x40011004u)
#define USART1_CR1 REG(0x4001100cu)
#define TIM2_CR1 REG(0x40000000u)
#define TIM2_EGR REG(0x40000014u)
#define TIM2_CNT REG(0x40000024u)
#define TIM2_PSC REG(0x40000028u)
#define TIM2_ARR REG(0x4000002cu)
#define CPACR REG(0xe000ed88u)
enum { RXNE = 1u << 5, TXE = 1u << 7 };

int main(void);
void reset(void);
void halt(void);

static uint32_t waited; /* ticks during which the host was awaited */

void halt(void) {
    for (;;) {}
}

void reset(void) {
    CPACR |= 0xfu << 20; /* the FPU */
    __asm__ volatile("dsb\n isb");
    bare_start();
    main();
    halt();
}

extern uint8_t link_stack_top[];
__attribute__((section(".start"), used)) static const struct {
    void *stack;
    void (*handlers[15])(void);
} vectors = {link_stack_top, {reset, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt}};

const board *board_init(void) {
    static board b;
    TIM2_PSC = 7;
    TIM2_ARR = 0xffffffffu;
    TIM2_EGR = 1;
    TIM2_CR1 = 1;
    USART1_CR1 = 0x200cu; /* enabled, sends and receives */
    b.name = "stm32f405";
    b.core = "Cortex-M4F";
    b.clock = "instructions";
    b.tick_bits = 32;
    b.clock_hz = 168000000u;
    b.pace_hz = 150000000u;
    bare_describe(&b);
    return &b;
}

void board_write(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    while (n--) {
        while (!(USART1_SR & TXE)) {}
        USART1_DR = *p++;
    }
}

size_t board_available(void) { return (USART1_SR & RXNE) != 0; }

/* One byte at a time, so that the way through here costs the same however the bytes come. */
size_t board_read(void *bytes, size_t n) {
    (void)n;
    uint32_t since = TIM2_CNT;
    while (!(USART1_SR & RXNE)) {}
    waited += TIM2_CNT - since;
    *(uint8_t *)bytes = (uint8_t)USART1_DR;
    return 1;
}

uint64_t board_ticks(void) { return TIM2_CNT - waited; }
