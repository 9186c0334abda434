/* The pairs of HELLO and RUN_BEGIN, built anew each time: they need no memory of their own. */
#include "app.h"

#ifndef EDGEPROF_FIRMWARE
#define EDGEPROF_FIRMWARE "edgeprof-reference 1"
#endif
#ifndef EDGEPROF_COMPILER
#define EDGEPROF_COMPILER __VERSION__
#endif

static void text(ep *e, const char *key, gguf_text value, size_t most) {
    ep_kv(e, key, value.p, value.n < most ? value.n : most);
}

static void describe_model(ep *e) {
    const model *m = &the_app.m;
    gguf_text value;
    if (gguf_get_text(&m->file, "general.name", &value)) text(e, "model", value, 64);
    if (gguf_get_text(&m->file, "general.architecture", &value)) text(e, "arch", value, 24);
    ep_kv_u64(e, "n_params", m->n_params);
    ep_kv_text(e, "quant", m->quant);
    ep_kv_u64(e, "n_ctx", the_app.n_ctx);
    ep_kv_u64(e, "ram_needed_bytes", the_app.ram_needed);
    ep_kv_u64(e, "kv_cache_bytes", the_app.kv_bytes);
    ep_kv_u64(e, "activation_bytes", the_app.activation_bytes);
}

static void describe_run(ep *e) {
    const app_run *run = &the_app.run;
    ep_kv_text(e, "kind", run->kind);
    ep_kv(e, "prompt_id", run->label, run->label_len);
    if (run->kind[0] == 's') { /* score */
        ep_kv_u64(e, "n_windows", run->n_windows);
        return;
    }
    ep_kv_u64(e, "n_prompt", run->n_prompt);
    ep_kv_u64(e, "n_generate", run->n_generate);
    ep_kv_text(e, "sampler", run->temperature > 0.0f ? "temperature" : "greedy");
    ep_kv_f32(e, "temperature", run->temperature);
    ep_kv_u64(e, "seed", run->seed);
}

/* What does not fit into the frame is left out, so what is long and needed least comes last: beside the longest label and
 * names it is the compiler that goes. HELLO, which has no label, says it in any case. */
static void describe_build(ep *e) {
    ep_kv_text(e, "kernel_variant", the_app.port->kernel_variant);
    ep_kv_text(e, "firmware", EDGEPROF_FIRMWARE);
    ep_kv_text(e, "compiler", EDGEPROF_COMPILER);
}

void app_describe(void *user, ep *e, int type) {
    const app_port *port = the_app.port;
    (void)user;
    ep_kv_text(e, "board", port->board);
    ep_kv_text(e, "core", port->core);
    ep_kv_text(e, "clock", port->clock);
    if (port->tick_hz) ep_kv_u64(e, "tick_hz", port->tick_hz);
    ep_kv_u64(e, "board_clock_hz", port->board_clock_hz);
    ep_kv_u64(e, "ram_bytes", port->ram_bytes);
    ep_kv_u64(e, "flash_bytes", port->flash_bytes);
    ep_kv_u64(e, "image_bytes", port->image_bytes);
    ep_kv_u64(e, "static_ram_bytes", port->static_bytes);
    ep_kv_u64(e, "stack_reserved_bytes", port->stack_bytes);
    ep_kv_u64(e, "model_bytes", port->model_bytes);
    ep_kv_u64(e, "flash_needed_bytes", the_app.flash_needed);
    if (the_app.usable) describe_model(e);
    if (type == EP_RUN_BEGIN) {
        describe_run(e);
    } else {
        ep_kv_u64(e, "fits", (uint64_t)the_app.fits);
        ep_kv_u64(e, "rx_bytes", APP_RX_BYTES); /* the longest request that is understood */
        if (!the_app.usable) ep_kv_text(e, "model_problem", the_app.m.problem);
    }
    describe_build(e);
}
