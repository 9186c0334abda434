/* The forward pass, and the one piece of memory that it needs. */
#ifndef LLM_FORWARD_H
#define LLM_FORWARD_H

#include "model.h"

typedef enum stage { STAGE_EMBEDDING, STAGE_ATTENTION, STAGE_FEED_FORWARD, STAGE_HEAD, STAGES } stage;

typedef struct session {
    const model *m;
    uint32_t n_ctx;
    layer *layers;
    uint16_t *keys, *values; /* F16 [layer][position][kv_dim] */
    size_t kv_bytes;
    float *x, *xb, *q, *kv, *gate, *up, *attention, *logits;
    float *rope_step, *rope_cos, *rope_sin;
    uint32_t *tokens; /* n_ctx + 1 of the application's */
    activation act;
    uint64_t (*clock)(void); /* NULL: stages are not timed */
    uint64_t stage_ticks[STAGES];
} session;

/* Exactly what session_init takes of its arena (which must be aligned to 8 bytes). */
uint64_t session_bytes(const model *m, uint32_t n_ctx);
void session_init(session *s, model *m, uint32_t n_ctx, void *arena);

/* Feeds a token at a position (in order, from 0). With want_logits the logits are in s->logits. */
void session_forward(session *s, uint32_t token, uint32_t position, int want_logits);

#endif
