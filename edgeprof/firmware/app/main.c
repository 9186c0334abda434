/* The reference firmware: answers commands, runs the model, reports each pass. Knows nothing of the board it is on. */
#define EDGEPROF_IMPLEMENTATION
#include "app.h"

app the_app;

static int put(void *user, const void *bytes, size_t n) {
    (void)user;
    the_app.port->write(bytes, n);
    return 0;
}

static uint64_t ticks(void *user) {
    (void)user;
    return the_app.port->ticks();
}

static uint64_t stage_clock(void) { return ep_now(&the_app.e); }

/* ---- runs ---- */

void app_start_run(const char *kind, const uint8_t *label, size_t label_len) {
    app_run *run = &the_app.run;
    if (run->kind) app_end_run(EP_ABORTED); /* a score run whose next window never came */
    run->kind = kind;
    run->label_len = label_len;
    for (size_t i = 0; i < label_len; i++) run->label[i] = label[i];
    run->n_prompt = run->n_generate = run->seed = run->n_windows = run->next_window = run->generated = 0;
    run->temperature = 0;
    run->stop = EP_OK;
}

void app_end_run(uint8_t status) {
    ep_run_end(&the_app.e, status, the_app.run.n_prompt, the_app.run.generated);
    the_app.run.kind = NULL;
    the_app.run.n_windows = 0; /* no window is due any more */
}

int app_refuse(const char *kind, const uint8_t *label, size_t label_len) {
    app *a = &the_app;
    if (!a->usable && a->flash_needed <= a->port->flash_bytes) {
        ep_answer(&a->e, &a->rx, EP_FAILED, a->m.problem);
        return 1;
    }
    if (a->fits) return 0;
    app_start_run(kind, label, label_len);
    ep_run_begin(&a->e); /* an empty run: the board, the model and how much of what they would need */
    app_end_run(EP_DOES_NOT_FIT);
    ep_answer(&a->e, &a->rx, EP_NO_ROOM, "the model needs more RAM or flash than the board has");
    return 1;
}

/* Whatever ran over the end of the stack wrote to what is not its own: no number of this board can be trusted from here
 * on, so its runs end. */
static void stack_is_full(void) {
    static const char line[] = "edgeprof: " APP_STACK_FULL "\r\n";
    the_app.run.stop = EP_ERROR;
    the_app.port->write(line, sizeof line - 1);
}

void app_sample_memory(uint32_t positions) {
    const app_port *port = the_app.port;
    uint32_t stack = port->stack_peak ? port->stack_peak() : EP_NOT_KNOWN;
    uint32_t heap = the_app.ram_needed - port->static_bytes - port->stack_bytes;
    uint32_t kv = (uint32_t)(the_app.s.kv_bytes / the_app.n_ctx * positions);
    ep_memory(&the_app.e, heap, heap, stack, kv);
    if (stack >= port->stack_bytes && stack != EP_NOT_KNOWN) stack_is_full();
}

/* ---- commands ---- */

static int is_score_of_this_run(const ep_request *request) {
    return request->type == EP_CMD_SCORE && the_app.run.n_windows;
}

static void stop(void) {
    app *a = &the_app;
    if (a->run.kind) app_end_run(EP_ABORTED);
    ep_answer(&a->e, &a->rx, EP_DONE, "");
}

/* A command while no pass is under way. */
static void obey(const ep_request *request) {
    app *a = &the_app;
    a->rx.pending = request->id;
    switch (request->type) {
    case EP_CMD_HELLO: a->rx.pending = 0; ep_hello(&a->e, request->id); break;
    case EP_CMD_RUN: app_generate(request); break;
    case EP_CMD_SCORE: app_score(request); break;
    case EP_CMD_STOP: stop(); break;
    default: ep_answer(&a->e, &a->rx, EP_UNKNOWN, "unknown command"); break;
    }
}

/* A command that came between two passes: only those that need no model. */
static void obey_in_run(const ep_request *request) {
    app *a = &the_app;
    if (request->type == EP_CMD_HELLO) {
        ep_hello(&a->e, request->id);
    } else if (request->type == EP_CMD_STOP) {
        a->run.stop = EP_ABORTED;
        uint16_t running = a->rx.pending; /* a window that waits for its answer keeps waiting */
        a->rx.pending = request->id;
        ep_answer(&a->e, &a->rx, EP_DONE, "");
        a->rx.pending = running;
    } else {
        ep_reply(&a->e, request->id, EP_BUSY, is_score_of_this_run(request) ? "a window is being scored" : "a run is in progress");
    }
}

static void receive(void (*act)(const ep_request *)) {
    uint8_t bytes[64];
    ep_request request;
    size_t n = the_app.port->read(bytes, sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        if (ep_rx_byte(&the_app.rx, bytes[i], &request) && !ep_rx_repeated(&the_app.e, &the_app.rx, &request)) act(&request);
    }
    if (n == 0) ep_poll(&the_app.e);
}

void app_poll(void) {
    while (the_app.port->available()) receive(obey_in_run);
}

/* ---- start ---- */

static void open_model(void) {
    app *a = &the_app;
    const app_port *port = a->port;
    a->flash_needed = port->image_bytes + (uint32_t)port->model_bytes;
    /* Where only a part of the file lies in flash, what is read of it here must be in that part: all but the weights. */
    gguf part;
    gguf_open(&part, port->model, port->model_there);
    int readable = port->model_there >= port->model_bytes || part.weights_at != 0;
    a->usable = readable && model_open(&a->m, port->model, port->model_bytes);
    if (!a->usable) return;
    tokenizer_open(&a->words, &a->m.file, a->m.vocab);
    a->n_ctx = port->n_ctx < a->m.context ? port->n_ctx : a->m.context;
    if (a->n_ctx == 0) a->n_ctx = 1;
    uint64_t heap = session_bytes(&a->m, a->n_ctx), ram = heap + port->static_bytes + port->stack_bytes;
    a->kv_bytes = 4 * (uint64_t)a->m.n_layers * a->n_ctx * a->m.kv_dim; /* keys and values, F16 */
    a->activation_bytes = heap - a->kv_bytes;
    a->ram_needed = ram < 0xffffffffu ? (uint32_t)ram : 0xffffffffu;
    a->fits = a->ram_needed <= port->ram_bytes && heap <= port->arena_bytes && a->flash_needed <= port->flash_bytes;
    if (!a->fits) return;
    session_init(&a->s, &a->m, a->n_ctx, port->arena);
    if (APP_TIMES_STAGES) a->s.clock = stage_clock;
}

void app_main(const app_port *port) {
    app *a = &the_app;
    uint32_t second = port->pace_hz;
    a->port = port;
    a->cfg.write = put;
    a->cfg.ticks = ticks;
    a->cfg.describe = app_describe;
    a->cfg.tick_bits = port->tick_bits;
    a->cfg.flush_ticks = second / 20;
    a->cfg.repeat_ticks = second / 2;
    a->cfg.heartbeat_ticks = 4 * (uint64_t)second < 0x60000000u ? 4 * second : 0x60000000u; /* below half a turn of 32 bits */
    ep_init(&a->e, &a->cfg, port->boot);
    ep_rx_init(&a->rx, a->rx_bytes, sizeof a->rx_bytes);
    open_model();
    ep_hello(&a->e, 0);
    for (;;) receive(obey);
}
