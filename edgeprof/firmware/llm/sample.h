/* From logits to a token. */
#ifndef LLM_SAMPLE_H
#define LLM_SAMPLE_H

#include <stdint.h>

/* xorshift64*: state ^= state >> 12; state ^= state << 25; state ^= state >> 27; out = state * 0x2545F4914F6CDD1D >> 32.
 * Seeded with state = seed ^ 0x9E3779B97F4A7C15. A uniform number is (out >> 8) / 2^24. */
typedef struct sampler {
    float temperature; /* 0: greedy, the lowest id among equals */
    uint64_t state;
} sampler;

void sampler_init(sampler *s, float temperature, uint32_t seed);
uint32_t sampler_pick(sampler *s, const float *logits, uint32_t n, uint32_t top1);

uint32_t top_1(const float *logits, uint32_t n);
float nll_of(const float *logits, uint32_t n, uint32_t top1, uint32_t token); /* -ln softmax(logits)[token] */

#endif
