/* RUN: prompt in, tokens out. */
#include "app.h"

static void flush_stages(void) {
    app *a = &the_app;
    for (uint32_t i = 0; i < a->n_stage_passes; i++) {
        for (uint8_t k = 0; k <= STAGES; k++) {
            if (a->stage_ticks[i][k]) ep_stage(&a->e, a->stage_position[i], k, a->stage_ticks[i][k]);
        }
    }
    a->n_stage_passes = 0;
}

/* Kept for some passes, because records of two kinds cannot share a frame. */
static void keep_stages(uint32_t position, uint64_t sampling) {
    app *a = &the_app;
    if (!APP_TIMES_STAGES) return;
    uint32_t i = a->n_stage_passes++;
    a->stage_position[i] = (uint16_t)position;
    for (int k = 0; k < STAGES; k++) a->stage_ticks[i][k] = a->s.stage_ticks[k];
    a->stage_ticks[i][EP_SAMPLING] = sampling;
    if (a->n_stage_passes == APP_STAGE_PASSES) flush_stages();
}

/* Feeds the token at `position`, and returns the next one. */
static uint32_t pass(uint32_t position, uint32_t token) {
    app *a = &the_app;
    ep_pass p = {0};
    uint32_t last_prompt = a->run.n_prompt - 1;
    int forced = position < last_prompt; /* its logits are nobody's concern: the head is left out */
    uint64_t head_done, done;
    p.token = token;
    p.position = (uint16_t)position;
    p.window = EP_NO_WINDOW;
    p.n_batch = 1;
    p.flags = (uint8_t)((position <= last_prompt ? EP_PREFILL : EP_DECODE) | EP_NEXT);
    ep_pass_begin(&a->e);
    session_forward(&a->s, token, position, !forced);
    head_done = done = APP_TIMES_STAGES || forced ? ep_now(&a->e) : 0;
    if (forced) {
        p.next = a->s.tokens[position + 1];
    } else {
        p.top1 = top_1(a->s.logits, a->m.vocab);
        p.next = sampler_pick(&a->sampler, a->s.logits, a->m.vocab, p.top1);
        done = ep_now(&a->e); /* what follows is the profiler's own wish, not the model's work */
        p.nll = nll_of(a->s.logits, a->m.vocab, p.top1, p.next);
        p.flags |= EP_NLL | EP_TOP1;
        a->run.generated++;
    }
    ep_pass_end_at(&a->e, done, &p);
    keep_stages(position, done - head_done);
    return p.next;
}

static void loop(void) {
    app *a = &the_app;
    uint32_t token = a->s.tokens[0], position = 0;
    app_sample_memory(0);
    while (position < a->n_ctx && !a->run.stop) {
        token = pass(position++, token);
        if (position % 16 == 0) app_sample_memory(position);
        if (position >= a->run.n_prompt && (token == a->words.eos || a->run.generated == a->run.n_generate)) break;
        app_poll();
    }
    flush_stages();
    app_sample_memory(position);
    app_end_run(a->run.stop);
}

void app_generate(const ep_request *request) {
    app *a = &the_app;
    ep_run_request r;
    if (!ep_parse_run(request, &r) || r.sampler > 1 || r.n_generate == 0 || (r.sampler && !(r.temperature > 0.0f && r.temperature < 1e6f))) {
        ep_answer(&a->e, &a->rx, EP_BAD_ARGUMENT, "not a RUN request");
        return;
    }
    if (app_refuse("generate", r.label, r.label_len)) return;
    if (a->words.problem) {
        ep_answer(&a->e, &a->rx, EP_FAILED, a->words.problem);
        return;
    }
    if (tokenizer_bytes(r.prompt_len) > a->s.kv_bytes) { /* the KV cache is idle now, and serves as scratch memory */
        ep_answer(&a->e, &a->rx, EP_BAD_ARGUMENT, "the prompt is too long for the tokenizer's memory");
        return;
    }
    if (a->run.kind) app_end_run(EP_ABORTED);
    size_t n = tokenizer_encode(&a->words, r.prompt, r.prompt_len, a->s.keys, a->s.tokens, a->n_ctx);
    if (n == 0 || n > a->n_ctx) {
        ep_answer(&a->e, &a->rx, EP_BAD_ARGUMENT, n ? "the prompt is longer than the context" : "the prompt is empty");
        return;
    }
    app_start_run("generate", r.label, r.label_len);
    a->run.n_prompt = (uint32_t)n;
    a->run.n_generate = r.n_generate;
    a->run.seed = r.seed;
    a->run.temperature = r.sampler ? r.temperature : 0.0f;
    sampler_init(&a->sampler, a->run.temperature, r.seed);
    ep_answer(&a->e, &a->rx, EP_DONE, "");
    ep_run_begin(&a->e);
    loop();
}
