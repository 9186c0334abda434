#include "sample.h"

#include "emath.h"

void sampler_init(sampler *s, float temperature, uint32_t seed) {
    s->temperature = temperature;
    s->state = seed ^ 0x9e3779b97f4a7c15u;
}

static float uniform(sampler *s) {
    s->state ^= s->state >> 12;
    s->state ^= s->state << 25;
    s->state ^= s->state >> 27;
    return (float)((s->state * 0x2545f4914f6cdd1du) >> 40) * 0x1p-24f;
}

uint32_t top_1(const float *logits, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

float nll_of(const float *logits, uint32_t n, uint32_t top1, uint32_t token) {
    float sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += e_exp(logits[i] - logits[top1]);
    return e_log(sum) - (logits[token] - logits[top1]);
}

uint32_t sampler_pick(sampler *s, const float *logits, uint32_t n, uint32_t top1) {
    if (!(s->temperature > 0.0f)) return top1;
    float inverse = 1.0f / s->temperature, sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += e_exp((logits[i] - logits[top1]) * inverse);
    float target = uniform(s) * sum, reached = 0;
    for (uint32_t i = 0; i < n; i++) { /* computed twice rather than kept: the logits stay as they are */
        reached += e_exp((logits[i] - logits[top1]) * inverse);
        if (reached > target) return i;
    }
    return top1;
}
