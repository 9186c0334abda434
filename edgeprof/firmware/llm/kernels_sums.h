/* Integer sums of products, the inner loops of all int8 dot products. The plain C ones are here and in kernels_sums.c;
 * kernels_dsp.h and kernels_dsp.c have the same functions for the SIMD instructions of a Cortex-M4. Integers are exact, so
 * both give the same bits. Only the kernel variant that is named for it takes SIMD: -DLLM_KERNELS_SIMD. */
#ifndef LLM_KERNELS_SUMS_H
#define LLM_KERNELS_SUMS_H

#include <stdint.h>

/* Sums of the sub-blocks of K formats. Functions of their own, because the inner loop needs all of a core's registers. */

/* Q4_K: 32 bytes; a[0] of the low halves, a[1] of the high ones. */
void sums_q4_64(int32_t *a, const uint8_t *w, const int8_t *x);
/* Q5_K: the same, with the fifth bits at shift and shift + 1 of 32 bytes. */
void sums_q5_64(int32_t *a, const uint8_t *w, const uint8_t *high, int shift, const int8_t *x);
/* Q2_K, Q3_K, Q6_K: 16 bytes hold four weights each, 32 apart; a[k] is of weights 32 k .. 32 k + 15.
 * Q3_K: the third bits are at shift .. shift + 3 of 16 bytes.
 * Q6_K: four low bits from the halves of w[i] and w[i + 32], two upper ones from high[i]. */
void sums_q2_64(int32_t *a, const uint8_t *w, const int8_t *x);
void sums_q3_64(int32_t *a, const uint8_t *w, const uint8_t *high, int shift, const int8_t *x);
void sums_q6_64(int32_t *a, const uint8_t *w, const uint8_t *high, const int8_t *x);

#if defined(LLM_KERNELS_SIMD) && !defined(__ARM_FEATURE_DSP)
#error "LLM_KERNELS_SIMD: this core has no DSP instructions, build its c99 variant"
#elif defined(LLM_KERNELS_SIMD)
#include "kernels_dsp.h"
#else

/* Loops move pointers and index them with constants: compilers fold those into the load. */
#define EIGHT(f, i) f(i) + f(i + 1) + f(i + 2) + f(i + 3) + f(i + 4) + f(i + 5) + f(i + 6) + f(i + 7)

#define MAC(i) w[i] * x[i]

static inline int32_t sum_i8_32(const int8_t *w, const int8_t *x) { return EIGHT(MAC, 0) + EIGHT(MAC, 8) + EIGHT(MAC, 16) + EIGHT(MAC, 24); }

#define MAC_Q4(i) (w[i] & 15) * x[i] + (w[i] >> 4) * x[i + 16]

static inline int32_t sum_q4_32(const uint8_t *w, const int8_t *x) { return EIGHT(MAC_Q4, 0) + EIGHT(MAC_Q4, 8); }

#define BIT_4(i) (int32_t)((high >> (i) & 1u) << 4)
#define MAC_Q5(i) ((w[i] & 15) | BIT_4(i)) * x[i] + ((w[i] >> 4) | BIT_4(i + 16)) * x[i + 16]

static inline int32_t sum_q5_32(const uint8_t *w, uint32_t high, const int8_t *x) {
    int32_t s = 0;
    for (int k = 0; k < 2; k++, w += 8, x += 8, high >>= 8) s += EIGHT(MAC_Q5, 0);
    return s;
}

#define MAC_TQ2(i) (w[i] & 3) * x[i] + (w[i] >> 2 & 3) * x[i + 32] + (w[i] >> 4 & 3) * x[i + 64] + (w[i] >> 6) * x[i + 96]

static inline int32_t sum_q2_128(const uint8_t *w, const int8_t *x) {
    int32_t s = 0;
    for (int k = 0; k < 4; k++, w += 8, x += 8) s += EIGHT(MAC_TQ2, 0);
    return s;
}

#endif
#endif
