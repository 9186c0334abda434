#include "kernels_sums.h"

#ifndef LLM_KERNELS_SIMD

/* As many steps as leave the loads of one round in registers: GCC moves them all to its front. */
#define FOUR_STEPS(f) f(0) f(1) f(2) f(3)
#define EIGHT_STEPS(f) FOUR_STEPS(f) f(4) f(5) f(6) f(7)

#define STEP_Q4(i) low += (w[i] & 15) * x[i]; up += (w[i] >> 4) * x[i + 32];

void sums_q4_64(int32_t *a, const uint8_t *w, const int8_t *x) {
    int32_t low = 0, up = 0;
    for (int k = 0; k < 4; k++, w += 8, x += 8) { EIGHT_STEPS(STEP_Q4) }
    a[0] = low;
    a[1] = up;
}

#define STEP_Q5(i)                                \
    h = high[i] >> shift;                         \
    low += ((w[i] & 15) | ((h & 1) << 4)) * x[i]; \
    up += ((w[i] >> 4) | ((h & 2) << 3)) * x[i + 32];

void sums_q5_64(int32_t *a, const uint8_t *w, const uint8_t *high, int shift, const int8_t *x) {
    int32_t low = 0, up = 0, h;
    for (int k = 0; k < 4; k++, w += 8, high += 8, x += 8) { EIGHT_STEPS(STEP_Q5) }
    a[0] = low;
    a[1] = up;
}

#define FOUR_SUMS(step, pointers)                                      \
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;                            \
    for (int k = 0; k < 4; k++, pointers, x += 4) { FOUR_STEPS(step) } \
    a[0] = a0;                                                         \
    a[1] = a1;                                                         \
    a[2] = a2;                                                         \
    a[3] = a3;

#define STEP_Q2(i)                     \
    a0 += (w[i] & 3) * x[i];           \
    a1 += (w[i] >> 2 & 3) * x[i + 32]; \
    a2 += (w[i] >> 4 & 3) * x[i + 64]; \
    a3 += (w[i] >> 6) * x[i + 96];

void sums_q2_64(int32_t *a, const uint8_t *w, const int8_t *x) { FOUR_SUMS(STEP_Q2, w += 4) }

#define STEP_Q3(i)                                        \
    h = high[i] >> shift;                                 \
    a0 += ((w[i] & 3) | ((h & 1) << 2)) * x[i];           \
    a1 += ((w[i] >> 2 & 3) | ((h & 2) << 1)) * x[i + 32]; \
    a2 += ((w[i] >> 4 & 3) | (h & 4)) * x[i + 64];        \
    a3 += ((w[i] >> 6) | ((h & 8) >> 1)) * x[i + 96];

void sums_q3_64(int32_t *a, const uint8_t *w, const uint8_t *high, int shift, const int8_t *x) {
    int32_t h;
    FOUR_SUMS(STEP_Q3, (w += 4, high += 4))
}

#define STEP_Q6(i)                                          \
    h = high[i];                                            \
    a0 += ((w[i] & 15) | ((h & 3) << 4)) * x[i];            \
    a1 += ((w[i + 32] & 15) | ((h & 12) << 2)) * x[i + 32]; \
    a2 += ((w[i] >> 4) | (h & 48)) * x[i + 64];             \
    a3 += ((w[i + 32] >> 4) | ((h & 192) >> 2)) * x[i + 96];

void sums_q6_64(int32_t *a, const uint8_t *w, const uint8_t *high, const int8_t *x) {
    int32_t h;
    FOUR_SUMS(STEP_Q6, (w += 4, high += 4))
}

#endif
