/* What edgeprof.h costs on a board, counted by the board's own counter. Lines of text say the result:
 *
 *     cost NAME CALLS TICKS WORST BYTES
 *
 * ticks of all calls together, of the dearest one, and the bytes that were sent. Writing is free here (a function that
 * counts), so this is the library alone; `counter` is what reading the counter twice costs, and is in the ticks of each
 * call of the other kinds. A token record is ep_pass_begin() and ep_pass_end(), which read it twice themselves. */
#include "../../ports/board.h"
#define EDGEPROF_IMPLEMENTATION
#include "../../include/edgeprof.h"

enum { FRAME = 30, RECORDS = 10 * FRAME, BLOCKS = 8 };

static const board *b;
static uint32_t sent;

static int put(void *user, const void *bytes, size_t n) {
    (void)user;
    (void)bytes;
    sent += (uint32_t)n;
    return 0;
}
static uint64_t now(void *user) {
    (void)user;
    return board_ticks();
}
EP_CONTEXT(e, put, now, "board", b->name, "core", b->core, "clock", b->clock, "model", "none", "kind", "generate");

static struct cost {
    uint32_t calls, total, worst;
} cost;
static uint32_t since;

static void begin(void) { since = (uint32_t)board_ticks(); }
static void end(void) {
    uint32_t ticks = (uint32_t)board_ticks() - since; /* a counter of 32 bits may turn over in between */
    cost.calls++;
    cost.total += ticks;
    if (ticks > cost.worst) cost.worst = ticks;
}

static void say(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    board_write(text, n);
}

static void say_number(uint32_t v) {
    char digits[12], *p = digits + 11;
    *p = 0;
    do *--p = (char)('0' + v % 10); while (v /= 10);
    *--p = ' ';
    say(p);
}

static void forget(void) { cost.calls = cost.total = cost.worst = sent = 0; }

static void report(const char *name) {
    say("cost ");
    say(name);
    say_number(cost.calls);
    say_number(cost.total);
    say_number(cost.worst);
    say_number(sent);
    say("\r\n");
    forget();
}

static void measure(void) {
    static const ep_power stream = {1000, 1000, 3300, 0};
    static uint16_t counts[EP_POWER_SAMPLES];
    uint32_t random = 1;
    ep_start(&e, &e_config, b->tick_bits, 0xffffffffu, b->boot); /* so slow a pace that only full frames are sent */
    ep_run_begin(&e);
    forget();
    for (int i = 0; i < 32; i++) {
        begin();
        end();
    }
    report("counter");
    for (uint16_t i = 0; i < FRAME + RECORDS; i++) {
        if (i == FRAME) forget(); /* from here on each frame's worth of records sends one frame: that of those before */
        begin();
        ep_pass_begin(&e);
        ep_pass_end(&e, EP_DECODE, i, 1000u + i, 1001u + i);
        end();
    }
    report("token_record");
    ep_flush(&e);
    forget();
    for (int k = 0; k < BLOCKS; k++) {
        for (int i = 0; i < EP_POWER_SAMPLES; i++) {
            random = random * 1664525u + 1013904223u;
            counts[i] = (uint16_t)(random >> 20); /* as from an ADC of 12 bits */
        }
        begin();
        ep_power_block(&e, &stream, 0, counts, EP_POWER_SAMPLES);
        end();
    }
    report("power_block");
    begin();
    ep_run_end(&e, EP_OK, 0, RECORDS);
    end();
    report("run_end");
    begin();
    ep_run_begin(&e);
    end();
    report("run_begin");
    ep_run_end(&e, EP_OK, 0, 0);
    say("cost end\r\n");
}

int main(void) {
    uint8_t bytes[64];
    b = board_init();
    say("ready\r\n");
    for (;;) {
        if (board_read(bytes, sizeof bytes)) measure();
    }
}
