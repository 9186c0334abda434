/* The port to WebAssembly: four functions of the host, and a RAM and a flash that are stretches of linear memory.
 *
 *     0 .. stack .. static data .. __heap_base .. arena .. ram_bytes      flash: where the host put the model
 *
 * A tick is a unit of wasmtime's fuel, about an instruction. read() waits for the end of a frame and available() costs
 * the same whatever it answers, so that the ticks within a run do not depend on the host's timing. */
#include "../../app/port.h"
#include "../../llm/model.h"

#define IMPORT(name) __attribute__((import_module("env"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("write") void host_write(const void *bytes, size_t n);
IMPORT("read") size_t host_read(void *bytes, size_t n);
IMPORT("available") size_t host_available(void);
IMPORT("ticks") uint64_t host_ticks(void);

extern uint8_t __heap_base[]; /* of the linker: where stack and static data end */

enum { PAINT = 0xa5 };

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

static uint32_t stack_peak(void) {
    volatile uint8_t *p = stack_bottom();
    while ((uintptr_t)p < STACK_BYTES && *p == PAINT) p++;
    return (uint32_t)(STACK_BYTES - (uintptr_t)p);
}

/* NULL, or why this model cannot run at all. */
EXPORT("model_problem") const char *model_problem(const void *data, size_t size) {
    static model m;
    return model_open(&m, data, size) ? NULL : m.problem;
}

static uint32_t heap_base(void) { return (uint32_t)(uintptr_t)__heap_base; }

EXPORT("board_main") void board_main(const void *model_at, uint32_t model_bytes, uint32_t ram_bytes, uint32_t flash_bytes,
                                     uint32_t image_bytes, uint32_t n_ctx, uint32_t boot) {
    static app_port port;
    uint32_t used = (heap_base() + 7u) & ~7u;
    paint_stack();
    port.write = host_write;
    port.read = host_read;
    port.available = host_available;
    port.ticks = host_ticks;
    port.tick_bits = 64;
    port.board_clock_hz = 240000000u;
    port.pace_hz = 2000000000u; /* a host runs this much faster than the nominal clock */
    port.board = "wasm";
    port.core = "wasm32";
    port.clock = "fuel";
    port.kernel_variant = "c99";
    port.boot = (uint16_t)boot;
    port.ram_bytes = ram_bytes;
    port.flash_bytes = flash_bytes;
    port.image_bytes = image_bytes;
    port.static_bytes = used - STACK_BYTES;
    port.stack_bytes = STACK_BYTES;
    port.stack_peak = stack_peak;
    port.arena = (void *)(uintptr_t)used;
    port.arena_bytes = ram_bytes > used ? ram_bytes - used : 0;
    port.model = model_at;
    port.model_bytes = model_bytes;
    port.n_ctx = n_ctx;
    app_main(&port);
}
