/* Somebody's firmware: waits for a byte, then writes a story. ../../ports/board.h stands for what every board has: a
 * function that sends bytes and one that reads a counter. */
#include "../../ports/board.h"
#include "tiny.h"
#define EDGEPROF_IMPLEMENTATION
#include "../../include/edgeprof.h"

static const board *b;
static int put(void *user, const void *bytes, size_t n) { (void)user; board_write(bytes, n); return 0; }
static uint64_t now(void *user) { (void)user; return board_ticks(); }
EP_CONTEXT(e, put, now, "board", b->name, "core", b->core, "clock", b->clock, "model", "tiny", "kind", "generate");

static void story(void) {
    static const unsigned prompt[] = {20, 1, 5, 9};
    const unsigned n_prompt = sizeof prompt / sizeof *prompt, n_generate = 13, steps = n_prompt + n_generate - 1;
    unsigned token = prompt[0], next;
    ep_run_begin(&e);
    for (unsigned pos = 0; pos < steps; pos++, token = next) {
        ep_pass_begin(&e);
        const float *logits = tiny_forward(token, pos);
        next = pos + 1 < n_prompt ? prompt[pos + 1] : tiny_greedy(logits);
        ep_pass_end(&e, pos < n_prompt ? EP_PREFILL : EP_DECODE, (uint16_t)pos, token, next);
        char letter = tiny_letter(next);
        board_write(&letter, 1);
    }
    ep_run_end(&e, EP_OK, n_prompt, n_generate);
    board_write("\r\n", 2);
}

int main(void) {
    uint8_t bytes[64];
    b = board_init();
    ep_start(&e, &e_config, b->tick_bits, b->pace_hz, b->boot);
    tiny_init();
    board_write("ready\r\n", 7);
    for (;;) {
        if (board_read(bytes, sizeof bytes)) story();
    }
}
