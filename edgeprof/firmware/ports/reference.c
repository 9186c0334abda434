/* The reference firmware on any board: hands what the port says to app_main(). */
#include "../app/port.h"
#include "board.h"

#ifndef KERNEL_VARIANT
#define KERNEL_VARIANT "c99"
#endif

#ifdef __wasm__
#include "../llm/model.h"

/* NULL, or why this model cannot run at all, on this board or on any other. */
__attribute__((export_name("model_problem"))) const char *model_problem(const void *data, size_t size) {
    static model m;
    return model_open(&m, data, size) ? NULL : m.problem;
}
#endif

int main(void) {
    static app_port port;
    const board *b = board_init();
    port.write = board_write;
    port.read = board_read;
    port.available = board_available;
    port.ticks = board_ticks;
    port.tick_bits = b->tick_bits;
    port.tick_hz = b->tick_hz;
    port.board_clock_hz = b->clock_hz;
    port.pace_hz = b->pace_hz;
    port.board = b->name;
    port.core = b->core;
    port.clock = b->clock;
    port.kernel_variant = KERNEL_VARIANT;
    port.boot = b->boot;
    port.ram_bytes = b->ram_bytes;
    port.flash_bytes = b->flash_bytes;
    port.image_bytes = b->image_bytes;
    port.static_bytes = b->static_bytes;
    port.stack_bytes = b->stack_bytes;
    port.stack_peak = board_stack_peak;
    port.arena = b->arena;
    port.arena_bytes = b->arena_bytes;
    port.model = b->model;
    port.model_bytes = b->model_bytes;
    port.model_there = b->model_there;
    port.n_ctx = b->n_ctx;
    app_main(&port);
    return 0;
}
