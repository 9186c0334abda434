/* Formats with one scale a block.
 *
 * On cores without FPU half of the time goes into floats, so there are few: 112 powers of two are missing in half_bits(),
 * 96 were put into the activation's scale, and the rest is put on the sum. */
#include "bits.h"
#include "kernels_formats.h"
#include "kernels_sums.h"

/* ---- Q8_0: F16 scale, 32 int8 ---- */

void unpack_q8_0(float *out, const uint8_t *p) {
    float d = half_to_float(p);
    const int8_t *q = (const int8_t *)(p + 2);
    for (int i = 0; i < 32; i++) out[i] = d * (float)q[i];
}

float dot_q8_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 32; b++, row += 34, q += 32) {
        sum += half_bits_at(row) * act->scale[b] * (float)sum_i8_32((const int8_t *)(row + 2), q);
    }
    return sum * 0x1p16f;
}

/* ---- Q4_0: F16 scale, 16 bytes: weight i in the low half of byte i, weight i + 16 in the high half, both + 8 ---- */

void unpack_q4_0(float *out, const uint8_t *p) {
    float d = half_to_float(p);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((p[2 + i] & 15) - 8);
        out[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
    }
}

float dot_q4_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 32; b++, row += 18, q += 32) {
        int32_t s = sum_q4_32(row + 2, q);
        sum += half_bits_at(row) * act->scale[b] * (float)(s - 8 * act->sum[b]); /* the 8 taken off all at once */
    }
    return sum * 0x1p16f;
}

/* ---- Q5_0: F16 scale, 32 bits: the fifth bit of each weight, then 16 bytes as in Q4_0; all + 16 ---- */

void unpack_q5_0(float *out, const uint8_t *p) {
    float d = half_to_float(p);
    uint32_t high = load_u32(p + 2);
    for (int i = 0; i < 32; i++) {
        int32_t low = p[6 + i % 16] >> (i / 16 * 4) & 15;
        out[i] = d * (float)((low | (int32_t)((high >> i & 1u) << 4)) - 16);
    }
}

float dot_q5_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 32; b++, row += 22, q += 32) {
        int32_t s = sum_q5_32(row + 6, load_u32(row + 2), q);
        sum += half_bits_at(row) * act->scale[b] * (float)(s - 16 * act->sum[b]);
    }
    return sum * 0x1p16f;
}

/* ---- TQ2_0: 64 bytes, F16 scale; bits 2k..2k+1 of byte 32 h + i are weight 128 h + 32 k + i, plus 1 ---- */

void unpack_tq2_0(float *out, const uint8_t *p) {
    float d = half_to_float(p + 64);
    for (int h = 0; h < 2; h++)
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < 32; i++) out[128 * h + 32 * k + i] = d * (float)(((p[32 * h + i] >> (2 * k)) & 3) - 1);
}

float dot_tq2_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 256; b++, row += 66, q += 256) {
        int32_t s = 0;
        for (int half = 0; half < 2; half++) s += sum_q2_128(row + 32 * half, q + 128 * half);
        sum += half_bits_at(row + 64) * act->scale[b] * (float)(s - act->sum[b]);
    }
    return sum * 0x1p16f;
}
