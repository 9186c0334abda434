#include "forward.h"

#include "bits.h"
#include "emath.h"

/* ---- memory: laid out once with no arena to count the bytes, and again to place them ---- */

typedef struct arena {
    uint8_t *base; /* NULL: only counting */
    uint64_t used; /* may well exceed what a pointer can reach */
} arena;

static void *place(arena *a, uint64_t n, size_t size) {
    void *p = a->base ? a->base + (size_t)a->used : NULL;
    a->used += (n * size + 7) / 8 * 8;
    return p;
}

static void lay_out(session *s, const model *m, uint32_t n_ctx, arena *a) {
    uint64_t kv = (uint64_t)m->n_layers * n_ctx * m->kv_dim;
    uint32_t q_dim = m->n_heads * m->head_dim, widest = m->dim > q_dim ? m->dim : q_dim;
    s->layers = (layer *)place(a, m->n_layers, sizeof(layer));
    s->keys = (uint16_t *)place(a, kv, 2);
    s->values = (uint16_t *)place(a, kv, 2);
    s->kv_bytes = (size_t)(4 * kv);
    s->x = (float *)place(a, m->dim, 4);
    s->xb = (float *)place(a, widest, 4);
    s->q = (float *)place(a, widest, 4); /* also takes the output of attention */
    s->kv = (float *)place(a, m->kv_dim, 4);
    s->gate = (float *)place(a, m->ff_dim, 4);
    s->up = (float *)place(a, m->ff_dim, 4);
    s->attention = (float *)place(a, n_ctx, 4);
    s->logits = (float *)place(a, m->vocab, 4);
    s->rope_step = (float *)place(a, m->rope_dims / 2, 4);
    s->rope_cos = (float *)place(a, m->rope_dims / 2, 4);
    s->rope_sin = (float *)place(a, m->rope_dims / 2, 4);
    s->tokens = (uint32_t *)place(a, (uint64_t)n_ctx + 1, 4);
    s->act.buffer = place(a, activation_bytes(model_longest_row(m)), 1);
}

uint64_t session_bytes(const model *m, uint32_t n_ctx) {
    session s;
    arena a = {NULL, 0};
    lay_out(&s, m, n_ctx, &a);
    return a.used;
}

void session_init(session *s, model *m, uint32_t n_ctx, void *memory) {
    arena a = {(uint8_t *)memory, 0};
    s->m = m;
    s->n_ctx = n_ctx;
    lay_out(s, m, n_ctx, &a);
    activation_init(&s->act, s->act.buffer);
    for (uint32_t i = 0; i < m->n_layers; i++) model_layer(m, i, &s->layers[i]);
    float log_base = e_log(m->rope_base);
    for (uint32_t i = 0; i < m->rope_dims / 2; i++) {
        s->rope_step[i] = e_exp(-log_base * ((float)(2 * i) / (float)m->rope_dims));
    }
    s->clock = NULL;
}

/* ---- the parts of a layer ---- */

static void rms_norm(float *out, const float *x, const float *weight, uint32_t n, float eps) {
    float a[4] = {0, 0, 0, 0};
    for (uint32_t i = 0; i < n; i++) a[i & 3] += x[i] * x[i];
    float scale = 1.0f / e_sqrt(((a[0] + a[1]) + (a[2] + a[3])) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) out[i] = weight[i] * (x[i] * scale);
}

/* Rotates neighbouring pairs (GGUF's order for llama: no permutation). */
static void rope(const session *s, float *x, uint32_t heads) {
    for (uint32_t h = 0; h < heads; h++, x += s->m->head_dim) {
        for (uint32_t i = 0; i < s->m->rope_dims / 2; i++) {
            float a = x[2 * i], b = x[2 * i + 1], c = s->rope_cos[i], d = s->rope_sin[i];
            x[2 * i] = a * c - b * d;
            x[2 * i + 1] = a * d + b * c;
        }
    }
}

static void softmax(float *x, uint32_t n) {
    float largest = x[0], sum = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (x[i] > largest) largest = x[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        x[i] = e_exp(x[i] - largest);
        sum += x[i];
    }
    float inverse = 1.0f / sum;
    for (uint32_t i = 0; i < n; i++) x[i] *= inverse;
}

/* One head over positions 0..position. The factors 2^112 that half_bits() leaves out go into q and the weights. */
static void attend(session *s, float *out, float *q, const uint16_t *keys, const uint16_t *values, uint32_t position) {
    uint32_t d = s->m->head_dim, step = s->m->kv_dim;
    float *w = s->attention;
    float scale = 1.0f / e_sqrt((float)d);
    for (uint32_t i = 0; i < d; i++) q[i] = q[i] * scale * 0x1p96f;
    for (uint32_t t = 0; t <= position; t++) w[t] = half_dot((const int16_t *)keys + (size_t)t * step, q, d) * 0x1p16f;
    softmax(w, position + 1);
    for (uint32_t i = 0; i < d; i++) out[i] = 0;
    for (uint32_t t = 0; t <= position; t++) half_add(out, (const int16_t *)values + (size_t)t * step, w[t] * HALF_SCALE, d);
}

static void add(float *x, const float *y, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) x[i] += y[i];
}

static void times(session *s, float *out, const matrix *w, const float *x) { matrix_times(out, w, x, &s->act); }

static void attention(session *s, uint32_t l, uint32_t position) {
    const model *m = s->m;
    const layer *w = &s->layers[l];
    size_t first = (size_t)l * s->n_ctx * m->kv_dim, here = first + (size_t)position * m->kv_dim;
    rms_norm(s->xb, s->x, w->attention_norm, m->dim, m->eps);
    activation_reset(&s->act);
    times(s, s->q, &w->q, s->xb);
    times(s, s->kv, &w->k, s->xb);
    rope(s, s->q, m->n_heads);
    rope(s, s->kv, m->n_kv_heads);
    for (uint32_t i = 0; i < m->kv_dim; i++) s->keys[here + i] = float_to_half(s->kv[i]);
    times(s, s->kv, &w->v, s->xb);
    for (uint32_t i = 0; i < m->kv_dim; i++) s->values[here + i] = float_to_half(s->kv[i]);
    for (uint32_t h = 0; h < m->n_heads; h++) {
        size_t group = first + (size_t)(h / (m->n_heads / m->n_kv_heads)) * m->head_dim;
        attend(s, s->xb + h * m->head_dim, s->q + h * m->head_dim, s->keys + group, s->values + group, position);
    }
    activation_reset(&s->act);
    times(s, s->q, &w->out, s->xb); /* q is free by now, and wide enough */
    add(s->x, s->q, m->dim);
}

static void feed_forward(session *s, uint32_t l) {
    const model *m = s->m;
    const layer *w = &s->layers[l];
    rms_norm(s->xb, s->x, w->feed_forward_norm, m->dim, m->eps);
    activation_reset(&s->act);
    times(s, s->gate, &w->gate, s->xb);
    times(s, s->up, &w->up, s->xb);
    for (uint32_t i = 0; i < m->ff_dim; i++) s->gate[i] = s->gate[i] / (1.0f + e_exp(-s->gate[i])) * s->up[i];
    activation_reset(&s->act);
    times(s, s->xb, &w->down, s->gate);
    add(s->x, s->xb, m->dim);
}

static uint64_t lap(session *s, stage which, uint64_t since) {
    if (!s->clock) return 0;
    uint64_t now = s->clock();
    s->stage_ticks[which] += now - since;
    return now;
}

void session_forward(session *s, uint32_t token, uint32_t position, int want_logits) {
    const model *m = s->m;
    uint64_t t = s->clock ? s->clock() : 0;
    for (int i = 0; i < STAGES; i++) s->stage_ticks[i] = 0;
    matrix_row(s->x, &m->embedding, token);
    for (uint32_t i = 0; i < m->rope_dims / 2; i++) {
        e_sin_cos((float)position * s->rope_step[i], &s->rope_sin[i], &s->rope_cos[i]);
    }
    t = lap(s, STAGE_EMBEDDING, t);
    for (uint32_t l = 0; l < m->n_layers; l++) {
        attention(s, l, position);
        t = lap(s, STAGE_ATTENTION, t);
        feed_forward(s, l);
        t = lap(s, STAGE_FEED_FORWARD, t);
    }
    if (!want_logits) return;
    rms_norm(s->xb, s->x, m->output_norm, m->dim, m->eps);
    activation_reset(&s->act);
    times(s, s->logits, &m->output, s->xb);
    lap(s, STAGE_HEAD, t);
}
