/* A transformer of two layers in single precision: RMS norm, four heads with a KV cache, a gated feed-forward, tied output.
 * Its weights come from a random number generator, so it says nothing sensible, but it costs what such a model costs.
 *
 * No libc and no libm: exp and the inverse square root are short series, good to about 1e-4. */
#include "tiny.h"

#include <stdint.h>

enum { HEAD = TINY_DIM / TINY_HEADS, MATRIX = TINY_DIM * TINY_DIM, GATE = TINY_DIM * TINY_HIDDEN };

/* int8 instead of float: 20 KiB of RAM, so that it fits on small boards. */
static struct layer {
    int8_t query[MATRIX], key[MATRIX], value[MATRIX], out[MATRIX], up[GATE], gate[GATE], down[GATE];
} layers[TINY_LAYERS];
static int8_t embedding[TINY_VOCAB * TINY_DIM];
static float keys[TINY_LAYERS][TINY_CONTEXT][TINY_DIM], values[TINY_LAYERS][TINY_CONTEXT][TINY_DIM];
static float logits[TINY_VOCAB];

static void fill(int8_t *p, unsigned n, uint32_t *state) {
    while (n--) {
        *state = *state * 1664525u + 1013904223u;
        *p++ = (int8_t)((int32_t)(*state >> 24) - 128);
    }
}

void tiny_init(void) {
    uint32_t state = 2024;
    fill(embedding, sizeof embedding, &state);
    for (int l = 0; l < TINY_LAYERS; l++) fill((int8_t *)&layers[l], sizeof layers[l], &state);
}

static float inverse_root(float x) {
    float y = x > 1.0f ? 1.0f / x : 1.0f; /* below the root's inverse, from where Newton's steps only rise */
    for (int i = 0; i < 24; i++) y *= 1.5f - 0.5f * x * y * y;
    return y;
}

static float exponential(float x) {
    if (x < -20.0f) return 0.0f;
    if (x > 20.0f) x = 20.0f;
    float y = x / 64.0f, e = 1.0f + y * (1.0f + y * (0.5f + y * (1.0f / 6.0f)));
    for (int i = 0; i < 6; i++) e *= e;
    return e;
}

static void norm(float *out, const float *x) {
    float sum = 1e-5f;
    for (int i = 0; i < TINY_DIM; i++) sum += x[i] * x[i] * (1.0f / (float)TINY_DIM);
    float scale = inverse_root(sum);
    for (int i = 0; i < TINY_DIM; i++) out[i] = x[i] * scale;
}

static void multiply(float *out, const int8_t *w, const float *x, int rows, int columns) {
    for (int r = 0; r < rows; r++) {
        float sum = 0.0f;
        for (int c = 0; c < columns; c++) sum += (float)*w++ * x[c];
        out[r] = sum * (1.0f / 128.0f);
    }
}

static void attend(float *out, const float *query, const float (*key)[TINY_DIM], const float (*value)[TINY_DIM], unsigned n) {
    for (int h = 0; h < TINY_DIM; h += HEAD) {
        float weight[TINY_CONTEXT], most = -1e9f, sum = 0.0f;
        for (unsigned t = 0; t < n; t++) {
            float dot = 0.0f;
            for (int i = h; i < h + HEAD; i++) dot += query[i] * key[t][i];
            weight[t] = dot * 0.35355339f; /* 1 / sqrt(HEAD) */
            if (weight[t] > most) most = weight[t];
        }
        for (unsigned t = 0; t < n; t++) sum += weight[t] = exponential(weight[t] - most);
        for (int i = h; i < h + HEAD; i++) {
            out[i] = 0.0f;
            for (unsigned t = 0; t < n; t++) out[i] += weight[t] * value[t][i];
            out[i] /= sum;
        }
    }
}

const float *tiny_forward(unsigned token, unsigned position) {
    float x[TINY_DIM], a[TINY_DIM], b[TINY_DIM], c[TINY_DIM], up[TINY_HIDDEN], gate[TINY_HIDDEN];
    const int8_t *word = embedding + token * TINY_DIM, *place = embedding + (TINY_VOCAB - 1 - position) * TINY_DIM;
    for (int i = 0; i < TINY_DIM; i++) x[i] = (float)(word[i] + place[i]) * (1.0f / 64.0f);
    for (int l = 0; l < TINY_LAYERS; l++) {
        const struct layer *w = &layers[l];
        norm(a, x);
        multiply(b, w->query, a, TINY_DIM, TINY_DIM);
        multiply(keys[l][position], w->key, a, TINY_DIM, TINY_DIM);
        multiply(values[l][position], w->value, a, TINY_DIM, TINY_DIM);
        attend(c, b, (const float(*)[TINY_DIM])keys[l], (const float(*)[TINY_DIM])values[l], position + 1);
        multiply(a, w->out, c, TINY_DIM, TINY_DIM);
        for (int i = 0; i < TINY_DIM; i++) x[i] += a[i];
        norm(a, x);
        multiply(up, w->up, a, TINY_HIDDEN, TINY_DIM);
        multiply(gate, w->gate, a, TINY_HIDDEN, TINY_DIM);
        for (int i = 0; i < TINY_HIDDEN; i++) up[i] *= gate[i] / (1.0f + exponential(-gate[i]));
        multiply(a, w->down, up, TINY_DIM, TINY_HIDDEN);
        for (int i = 0; i < TINY_DIM; i++) x[i] += a[i];
    }
    norm(a, x);
    multiply(logits, embedding, a, TINY_VOCAB, TINY_DIM);
    return logits;
}

unsigned tiny_greedy(const float *p) {
    unsigned best = 0;
    for (unsigned i = 1; i < TINY_VOCAB; i++) {
        if (p[i] > p[best]) best = i;
    }
    return best;
}

char tiny_letter(unsigned token) {
    return " etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ.,'!?-01234"[token % TINY_VOCAB];
}
