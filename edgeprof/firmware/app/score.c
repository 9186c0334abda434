/* SCORE: how likely is a given text? One run is one text, in windows that each come with a request of their own. */
#include "app.h"

/* Behind the pass, so that what sending takes is in no pass; and not inlined, so that the code of a pass stays what it is
 * without it, to the last tick. */
static __attribute__((noinline)) void send_logits(const ep_score_request *r, const ep_pass *p) {
    app *a = &the_app;
    if (r->flags & EP_WITH_LOGITS && p->flags & EP_SCORED) ep_logits(&a->e, p->position, p->window, a->s.logits, a->m.vocab);
}

static void score_window(const ep_score_request *r, uint32_t n_tokens) {
    app *a = &the_app;
    const uint32_t *tokens = a->s.tokens; /* a copy: the receive buffer is open to commands between the passes */
    for (uint32_t i = 0; i + 1 < n_tokens && !a->run.stop; i++) {
        ep_pass p = {0};
        p.token = tokens[i];
        p.next = tokens[i + 1];
        p.position = (uint16_t)i;
        p.window = r->window;
        p.n_batch = 1;
        p.flags = (uint8_t)(EP_SCORE | EP_NLL | EP_NEXT | EP_TOP1 | (i >= r->first_scored ? EP_SCORED : 0));
        ep_pass_begin(&a->e);
        session_forward(&a->s, p.token, i, 1);
        uint64_t done = ep_now(&a->e);
        p.top1 = top_1(a->s.logits, a->m.vocab);
        p.nll = nll_of(a->s.logits, a->m.vocab, p.top1, p.next);
        ep_pass_end_at(&a->e, done, &p);
        send_logits(r, &p);
        app_poll();
    }
}

static const char *check(const ep_request *request, ep_score_request *r) {
    const app *a = &the_app;
    if (!ep_parse_score(request, r) || r->n_windows == 0 || r->window >= r->n_windows) return "not a SCORE request";
    if (r->n_tokens < 2 || r->n_tokens > a->n_ctx + 1) return "a window must have from 2 to n_ctx + 1 tokens";
    for (uint32_t i = 0; i < r->n_tokens; i++) {
        if (ep_score_id(r, i) >= a->m.vocab) return "a token id is not in the vocabulary";
    }
    if (r->window && (!a->run.n_windows || r->n_windows != a->run.n_windows || r->window != a->run.next_window)) return "not the window that is due";
    return NULL;
}

void app_score(const ep_request *request) {
    app *a = &the_app;
    ep_score_request r;
    if (!a->usable || !a->fits) { /* sound or not, it cannot be done */
        int sound = ep_parse_score(request, &r);
        app_refuse("score", sound ? r.label : NULL, sound ? r.label_len : 0);
        return;
    }
    const char *bad = check(request, &r);
    if (bad) {
        ep_answer(&a->e, &a->rx, EP_BAD_ARGUMENT, bad);
        return;
    }
    uint32_t n_tokens = r.n_tokens;
    for (uint32_t i = 0; i < n_tokens; i++) a->s.tokens[i] = ep_score_id(&r, i);
    if (r.window == 0) {
        app_start_run("score", r.label, r.label_len);
        a->run.n_windows = r.n_windows;
        ep_run_begin(&a->e);
        app_sample_memory(0);
    }
    score_window(&r, n_tokens);
    a->run.next_window = r.window + 1u;
    if (a->run.stop || a->run.next_window == r.n_windows) {
        app_sample_memory(n_tokens - 1);
        app_end_run(a->run.stop);
    }
    const char *why = a->run.stop == EP_OK ? "" : a->run.stop == EP_ERROR ? APP_STACK_FULL : "stopped";
    ep_answer(&a->e, &a->rx, a->run.stop ? EP_FAILED : EP_DONE, why);
}
