/* The port to WebAssembly: four functions of the host, and a RAM and a flash that are stretches of linear memory.
 *
 *     0 .. stack .. static data .. __heap_base .. arena .. ram_bytes      flash: where the host put the model
 *
 * A tick is a unit of wasmtime's fuel, about an instruction. board_read() waits for the end of a frame and
 * board_available() costs the same whatever it answers, so that the ticks within a run do not depend on the host's
 * timing. */
#include "../board.h"

#define IMPORT(name) __attribute__((import_module("env"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("write") void host_write(const void *bytes, size_t n);
IMPORT("read") size_t host_read(void *bytes, size_t n);
IMPORT("available") size_t host_available(void);
IMPORT("ticks") uint64_t host_ticks(void);

extern uint8_t __heap_base[]; /* of the linker: where stack and static data end */

enum { PAINT = 0xa5 };

static board the_board;

int main(void);

/* The stack lies at the bottom of memory and grows down. What is painted and was not written over was not used.
 * (Of the stack only what is in memory counts: WebAssembly keeps most variables elsewhere.) */
static volatile uint8_t *stack_bottom(void) {
    volatile uintptr_t lowest = 16; /* volatile: compilers know better than to write at so low an address */
    return (volatile uint8_t *)lowest;
}

static void paint_stack(void) {
    uint8_t here;
    for (volatile uint8_t *p = stack_bottom(); p < &here; p++) *p = PAINT;
}

uint32_t board_stack_peak(void) {
    volatile uint8_t *p = stack_bottom();
    while ((uintptr_t)p < STACK_BYTES && *p == PAINT) p++;
    return (uint32_t)(STACK_BYTES - (uintptr_t)p);
}

void board_write(const void *bytes, size_t n) { host_write(bytes, n); }
size_t board_read(void *bytes, size_t n) { return host_read(bytes, n); }
size_t board_available(void) { return host_available(); }
uint64_t board_ticks(void) { return host_ticks(); }
const board *board_init(void) { return &the_board; }

EXPORT("board_main") void board_main(const void *model_at, uint32_t model_bytes, uint32_t ram_bytes, uint32_t flash_bytes,
                                     uint32_t image_bytes, uint32_t n_ctx, uint32_t boot) {
    board *b = &the_board;
    uint32_t used = ((uint32_t)(uintptr_t)__heap_base + 7u) & ~7u;
    paint_stack();
    b->name = "wasm";
    b->core = "wasm32";
    b->clock = "fuel";
    b->tick_bits = 64;
    b->clock_hz = 240000000u;
    b->pace_hz = 2000000000u; /* a host runs this much faster than the nominal clock */
    b->ram_bytes = ram_bytes;
    b->flash_bytes = flash_bytes;
    b->image_bytes = image_bytes;
    b->static_bytes = used - STACK_BYTES;
    b->stack_bytes = STACK_BYTES;
    b->arena = (void *)(uintptr_t)used;
    b->arena_bytes = ram_bytes > used ? ram_bytes - used : 0;
    b->model = model_at;
    b->model_bytes = b->model_there = model_bytes;
    b->n_ctx = n_ctx;
    b->boot = (uint16_t)boot;
    main();
}
