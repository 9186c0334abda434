/* GGUF's K formats: blocks of 256 weights in sub-blocks of 16 or 32, each with an integer scale (and minimum).
 *
 *     sum of w x = scale of x * (d * sum_j scale_j sum_i q_ji x_ji  -  dmin * sum_j min_j sum_i x_ji)
 *
 * All sums are of integers, so a block costs a handful of float operations: few cores here have an FPU. No sum can
 * overflow: |x| <= 128, so none exceeds 256 * 32 * 128 * 128 = 2^27 (Q6_K: |q| <= 32, |scale| <= 128); for Q5_K it is
 * 256 * 31 * 128 * 63, for the others less. */
#include "bits.h"
#include "kernels_formats.h"
#include "kernels_sums.h"

/* One block: x, its scale (times 2^96) and its sums over each 16. */
typedef float block_product(const uint8_t *p, float up, const int8_t *x, const int32_t *part);

static float dot_blocks(const uint8_t *row, const activation *act, uint32_t bytes, block_product *product) {
    float sum = 0;
    const int8_t *x = act->q;
    const int32_t *part = act->part;
    for (uint32_t b = 0; b < act->n / 256; b++, row += bytes, x += 256, part += 16) sum += product(row, act->scale[b], x, part);
    return sum * 0x1p16f; /* what half_bits() leaves out, less the 2^96 */
}

/* Q3_K and Q6_K: four sub-blocks of 16, every second one, because their weights are 32 apart. */
#define SCALED(k) scale[2 * (k)] * (a[k] - offset * part[2 * (k)])

static inline int32_t scaled(const int32_t *a, const int8_t *scale, const int32_t *part, int32_t offset) {
    return SCALED(0) + SCALED(1) + SCALED(2) + SCALED(3);
}

/* 16 scales, unpacked four at a time. */
typedef union scales { uint32_t word[4]; int8_t at[16]; } scales;

/* ---- Q2_K: 16 bytes of scale and (high half) minimum, 64 bytes in TQ2_0's order, F16 scales of both ---- */

static uint8_t bits_q2(const uint8_t *w, int n) { return w[n / 128 * 32 + n % 32] >> (n / 32 % 4 * 2) & 3; }

void unpack_q2_k(float *out, const uint8_t *p) {
    float d = half_to_float(p + 80), dmin = half_to_float(p + 82);
    for (int n = 0; n < 256; n++) {
        uint8_t scale = p[n / 16];
        out[n] = d * (float)(scale & 15) * (float)bits_q2(p + 16, n) - dmin * (float)(scale >> 4);
    }
}

#define SCALED_Q2(k)                  \
    s += (scale[2 * (k)] & 15) * a[k]; \
    m += (scale[2 * (k)] >> 4) * sums[2 * (k)];

static float product_q2_k(const uint8_t *p, float up, const int8_t *x, const int32_t *part) {
    int32_t s = 0, m = 0, a[4];
    for (int r = 0; r < 4; r++) {
        const uint8_t *scale = p + 8 * (r / 2) + r % 2;
        const int32_t *sums = part + 8 * (r / 2) + r % 2;
        sums_q2_64(a, p + 16 + 16 * r, x + 128 * (r / 2) + 16 * (r % 2));
        SCALED_Q2(0) SCALED_Q2(1) SCALED_Q2(2) SCALED_Q2(3)
    }
    return half_bits_at(p + 80) * up * (float)s - half_bits_at(p + 82) * up * (float)m;
}

float dot_q2_k(const uint8_t *row, const activation *act) { return dot_blocks(row, act, 84, product_q2_k); }

/* ---- Q3_K: 32 bytes with the third bits (bit j of byte i: weight 32 j + i), 64 bytes as in Q2_K, all + 4; 16 scales of
 * 6 bits, + 32: the low four bits, then the upper two; F16 scale ---- */

static scales scales_q3_k(const uint8_t *p) {
    scales s;
    uint32_t low[2], high = load_u32(p + 8);
    low[0] = load_u32(p);
    low[1] = load_u32(p + 4);
    for (int i = 0; i < 4; i++, high >>= 2) {
        uint32_t four = (low[i % 2] >> (i / 2 * 4) & 0x0f0f0f0fu) | (high & 0x03030303u) << 4;
        s.word[i] = ((four | 0x80808080u) - 0x20202020u) ^ 0x80808080u; /* less 32 each, and no byte borrows */
    }
    return s;
}

void unpack_q3_k(float *out, const uint8_t *p) {
    float d = half_to_float(p + 108);
    scales scale = scales_q3_k(p + 96);
    for (int n = 0; n < 256; n++) {
        int third = p[n % 32] >> (n / 32) & 1;
        out[n] = d * (float)scale.at[n / 16] * (float)((bits_q2(p + 32, n) | third << 2) - 4);
    }
}

static float product_q3_k(const uint8_t *p, float up, const int8_t *x, const int32_t *part) {
    int32_t s = 0, a[4];
    scales scale = scales_q3_k(p + 96);
    for (int r = 0; r < 4; r++) {
        sums_q3_64(a, p + 32 + 16 * r, p + 16 * (r % 2), 4 * (r / 2), x + 128 * (r / 2) + 16 * (r % 2));
        s += scaled(a, scale.at + 8 * (r / 2) + r % 2, part + 8 * (r / 2) + r % 2, 4);
    }
    return half_bits_at(p + 108) * up * (float)s;
}

float dot_q3_k(const uint8_t *row, const activation *act) { return dot_blocks(row, act, 110, product_q3_k); }

/* ---- Q4_K: F16 scales of scales and of minima, 8 scales and 8 minima of 6 bits in 12 bytes, 128 bytes: weight 64 g + i in
 * the low half of byte 32 g + i, weight 64 g + 32 + i in the high half ----
 * ---- Q5_K: the same, with the fifth bits (bit j of byte i: weight 32 j + i) in 32 bytes before the 128 ---- */

/* The scales in 0..7, the minima in 8..15. The last four of each have two bits above the first four's. */
static scales scales_q4_k(const uint8_t *p) {
    scales s;
    uint32_t first = load_u32(p), minima = load_u32(p + 4), last = load_u32(p + 8);
    s.word[0] = first & 0x3f3f3f3fu;
    s.word[1] = (last & 0x0f0f0f0fu) | (first >> 2 & 0x30303030u);
    s.word[2] = minima & 0x3f3f3f3fu;
    s.word[3] = (last >> 4 & 0x0f0f0f0fu) | (minima >> 2 & 0x30303030u);
    return s;
}

/* `five` counts the bytes of fifth bits: 0 or 32. */
static void unpack_q45_k(float *out, const uint8_t *p, int five) {
    float d = half_to_float(p), dmin = half_to_float(p + 2);
    scales scale = scales_q4_k(p + 4);
    for (int n = 0; n < 256; n++) {
        int q = p[16 + five + n / 64 * 32 + n % 32] >> (n / 32 % 2 * 4) & 15;
        if (five) q |= (p[16 + n % 32] >> (n / 32) & 1) << 4;
        out[n] = d * (float)scale.at[n / 32] * (float)q - dmin * (float)scale.at[8 + n / 32];
    }
}

void unpack_q4_k(float *out, const uint8_t *p) { unpack_q45_k(out, p, 0); }
void unpack_q5_k(float *out, const uint8_t *p) { unpack_q45_k(out, p, 32); }

static inline float product_q45_k(const uint8_t *p, float up, const int8_t *x, const int32_t *part, int five) {
    int32_t s = 0, m = 0, a[2];
    scales scale = scales_q4_k(p + 4);
    for (int j = 0; j < 8; j++) m += scale.at[8 + j] * (part[2 * j] + part[2 * j + 1]);
    for (int g = 0; g < 4; g++) {
        const uint8_t *w = p + 16 + five + 32 * g;
        if (five) sums_q5_64(a, w, p + 16, 2 * g, x + 64 * g);
        else sums_q4_64(a, w, x + 64 * g);
        s += scale.at[2 * g] * a[0] + scale.at[2 * g + 1] * a[1];
    }
    return half_bits_at(p) * up * (float)s - half_bits_at(p + 2) * up * (float)m;
}

static float product_q4_k(const uint8_t *p, float up, const int8_t *x, const int32_t *part) { return product_q45_k(p, up, x, part, 0); }
static float product_q5_k(const uint8_t *p, float up, const int8_t *x, const int32_t *part) { return product_q45_k(p, up, x, part, 32); }

float dot_q4_k(const uint8_t *row, const activation *act) { return dot_blocks(row, act, 144, product_q4_k); }
float dot_q5_k(const uint8_t *row, const activation *act) { return dot_blocks(row, act, 176, product_q5_k); }

/* ---- Q6_K: 128 bytes of low halves, 64 bytes of upper two bits in TQ2_0's order, 16 int8 scales, F16 scale; all + 32.
 * In each half of 64 bytes, byte i has weights i and i + 64 ---- */

void unpack_q6_k(float *out, const uint8_t *p) {
    float d = half_to_float(p + 208);
    for (int n = 0; n < 256; n++) {
        int low = p[n / 128 * 64 + n % 64] >> (n / 64 % 2 * 4) & 15;
        out[n] = d * (float)(int8_t)p[192 + n / 16] * (float)((low | bits_q2(p + 128, n) << 4) - 32);
    }
}

static float product_q6_k(const uint8_t *p, float up, const int8_t *x, const int32_t *part) {
    const int8_t *scale = (const int8_t *)(p + 192);
    int32_t s = 0, a[4];
    for (int r = 0; r < 4; r++) {
        sums_q6_64(a, p + 64 * (r / 2) + 16 * (r % 2), p + 128 + 16 * r, x + 128 * (r / 2) + 16 * (r % 2));
        s += scaled(a, scale + 8 * (r / 2) + r % 2, part + 8 * (r / 2) + r % 2, 32);
    }
    return half_bits_at(p + 208) * up * (float)s;
}

float dot_q6_k(const uint8_t *row, const activation *act) { return dot_blocks(row, act, 210, product_q6_k); }
