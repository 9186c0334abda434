/* kernels_sums.h with the SIMD instructions of a Cortex-M4: SMLAD multiplies two pairs of 16-bit numbers and adds both.
 *
 * Four bytes become two such pairs, bytes 0 and 2 and bytes 1 and 3, of weights and activation alike. */
#ifndef LLM_KERNELS_DSP_H
#define LLM_KERNELS_DSP_H

#include <arm_acle.h>

#include "bits.h"

/* Weights are aligned to 2 at best: compilers make this one unaligned load. */
#define WORD(p) load_u32((const uint8_t *)(p))

static inline int16x2_t even(uint32_t u) { return __sxtb16((int8x4_t)u); }

static inline int16x2_t odd(uint32_t u) {
#ifdef __arm__
    int16x2_t pair; /* GCC would shift first */
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(u));
    return pair;
#else
    return __sxtb16((int8x4_t)(u >> 8));
#endif
}

/* Adds the products of four weights, 0..127 or signed, a byte each. */
static inline int32_t four(uint32_t w, const int8_t *x, int32_t sum) {
    uint32_t v = WORD(x);
    sum = __smlad(even(w), even(v), sum);
    return __smlad(odd(w), odd(v), sum);
}

/* The same for the low bits of four bytes, those of mask: no need to extend them. */
static inline int32_t four_low(uint32_t w, uint32_t mask, const int8_t *x, int32_t sum) {
    uint32_t v = WORD(x);
    sum = __smlad((int16x2_t)(w & mask), even(v), sum);
    return __smlad((int16x2_t)(w >> 8 & mask), odd(v), sum);
}

static inline int32_t sum_i8_32(const int8_t *w, const int8_t *x) {
    int32_t s = 0;
    for (int i = 0; i < 32; i += 4) s = four(WORD(w + i), x + i, s);
    return s;
}

static inline int32_t sum_q4_32(const uint8_t *w, const int8_t *x) {
    int32_t s = 0;
    for (int i = 0; i < 16; i += 4) {
        uint32_t u = WORD(w + i);
        s = four_low(u, 0x000f000fu, x + i, s);
        s = four_low(u >> 4, 0x000f000fu, x + i + 16, s);
    }
    return s;
}

/* Four bits to bit 4 of four bytes: no two of the products' bits meet. */
#define BITS_4(four_bits) (((four_bits) * 0x00204081u & 0x01010101u) << 4)

static inline int32_t sum_q5_32(const uint8_t *w, uint32_t high, const int8_t *x) {
    int32_t s = 0;
    for (int i = 0; i < 16; i += 4, high >>= 4) {
        uint32_t u = WORD(w + i);
        s = four((u & 0x0f0f0f0fu) | BITS_4(high & 15u), x + i, s);
        s = four((u >> 4 & 0x0f0f0f0fu) | BITS_4(high >> 16 & 15u), x + i + 16, s);
    }
    return s;
}

static inline int32_t sum_q2_128(const uint8_t *w, const int8_t *x) {
    int32_t s = 0;
    for (int i = 0; i < 32; i += 4) {
        uint32_t u = WORD(w + i);
        s = four_low(u, 0x00030003u, x + i, s);
        s = four_low(u >> 2, 0x00030003u, x + i + 32, s);
        s = four_low(u >> 4, 0x00030003u, x + i + 64, s);
        s = four_low(u >> 6, 0x00030003u, x + i + 96, s);
    }
    return s;
}

#endif
