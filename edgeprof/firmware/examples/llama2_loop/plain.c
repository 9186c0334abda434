/* Somebody's firmware: waits for a byte, then writes a story. ../../ports/board.h stands for what every board has: a
 * function that sends bytes and one that reads a counter. */
#include "../../ports/board.h"
#include "tiny.h"

static const board *b;

static void story(void) {
    static const unsigned prompt[] = {20, 1, 5, 9};
    const unsigned n_prompt = sizeof prompt / sizeof *prompt, n_generate = 13, steps = n_prompt + n_generate - 1;
    unsigned token = prompt[0], next;
    for (unsigned pos = 0; pos < steps; pos++, token = next) {
        const float *logits = tiny_forward(token, pos);
        next = pos + 1 < n_prompt ? prompt[pos + 1] : tiny_greedy(logits);
        char letter = tiny_letter(next);
        board_write(&letter, 1);
    }
    board_write("\r\n", 2);
}

int main(void) {
    uint8_t bytes[64];
    b = board_init();
    tiny_init();
    board_write("ready\r\n", 7);
    for (;;) {
        if (board_read(bytes, sizeof bytes)) story();
    }
}
