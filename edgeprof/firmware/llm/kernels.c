#include "kernels.h"

#include "bits.h"
#include "kernels_formats.h"

/* Sums of floats run in four lanes and are joined in a fixed order: fast, and the same bits on every core.
 * Loops move pointers and index them with constants: compilers fold those into the load. */
#define LANES_ADD(a) (((a)[0] + (a)[1]) + ((a)[2] + (a)[3]))

/* ---- F32 ---- */

static void unpack_f32(float *out, const uint8_t *p) { *out = load_f32(p); }

static float dot_f32(const uint8_t *row, const activation *act) {
    const float *w = (const float *)(const void *)row, *x = act->f;
    float a[4] = {0, 0, 0, 0};
    uint32_t n = act->n;
    for (; n >= 8; n -= 8, w += 8, x += 8) {
        a[0] += w[0] * x[0];
        a[1] += w[1] * x[1];
        a[2] += w[2] * x[2];
        a[3] += w[3] * x[3];
        a[0] += w[4] * x[4];
        a[1] += w[5] * x[5];
        a[2] += w[6] * x[6];
        a[3] += w[7] * x[7];
    }
    for (; n; n--) a[0] += *w++ * *x++;
    return LANES_ADD(a);
}

/* ---- F16 ---- */

static void unpack_f16(float *out, const uint8_t *p) { *out = half_to_float(p); }

float half_dot(const int16_t *w, const float *x, uint32_t n) {
    float a[4] = {0, 0, 0, 0};
    for (; n >= 8; n -= 8, w += 8, x += 8) {
        a[0] += half_bits(w[0]) * x[0];
        a[1] += half_bits(w[1]) * x[1];
        a[2] += half_bits(w[2]) * x[2];
        a[3] += half_bits(w[3]) * x[3];
        a[0] += half_bits(w[4]) * x[4];
        a[1] += half_bits(w[5]) * x[5];
        a[2] += half_bits(w[6]) * x[6];
        a[3] += half_bits(w[7]) * x[7];
    }
    for (; n; n--) a[0] += half_bits(*w++) * *x++;
    return LANES_ADD(a);
}

void half_add(float *out, const int16_t *w, float weight, uint32_t n) {
    for (; n >= 8; n -= 8, w += 8, out += 8) {
        out[0] += weight * half_bits(w[0]);
        out[1] += weight * half_bits(w[1]);
        out[2] += weight * half_bits(w[2]);
        out[3] += weight * half_bits(w[3]);
        out[4] += weight * half_bits(w[4]);
        out[5] += weight * half_bits(w[5]);
        out[6] += weight * half_bits(w[6]);
        out[7] += weight * half_bits(w[7]);
    }
    for (; n; n--) *out++ += weight * half_bits(*w++);
}

static float dot_f16(const uint8_t *row, const activation *act) {
    /* 112 powers of two are missing in the weights, 96 are put into the activation */
    return half_dot((const int16_t *)(const void *)row, act->f, act->n) * 0x1p16f;
}

/* ---- the table ---- */

static const block_format formats[] = {
    {0, "F32", 1, 4, 4, ACT_F32, unpack_f32, dot_f32},
    {1, "F16", 1, 2, 2, ACT_F32_UP, unpack_f16, dot_f16},
    {2, "Q4_0", 32, 18, 1, ACT_Q8_32, unpack_q4_0, dot_q4_0},
    {6, "Q5_0", 32, 22, 1, ACT_Q8_32, unpack_q5_0, dot_q5_0},
    {8, "Q8_0", 32, 34, 1, ACT_Q8_32, unpack_q8_0, dot_q8_0},
    {10, "Q2_K", 256, 84, 1, ACT_Q8_256, unpack_q2_k, dot_q2_k},
    {11, "Q3_K", 256, 110, 1, ACT_Q8_256, unpack_q3_k, dot_q3_k},
    {12, "Q4_K", 256, 144, 1, ACT_Q8_256, unpack_q4_k, dot_q4_k},
    {13, "Q5_K", 256, 176, 1, ACT_Q8_256, unpack_q5_k, dot_q5_k},
    {14, "Q6_K", 256, 210, 1, ACT_Q8_256, unpack_q6_k, dot_q6_k},
    {35, "TQ2_0", 256, 66, 1, ACT_Q8_256, unpack_tq2_0, dot_tq2_0},
};

const block_format *block_format_of(uint32_t type) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].type == type) return &formats[i];
    }
    return NULL;
}

size_t row_bytes(const block_format *format, uint32_t cols) { return (size_t)(cols / format->block) * format->bytes; }

/* ---- activations ---- */

/* What ACT_F32_UP takes. In int8 it is n, and 4 for each 16 and 8 for each 32 at most: less than half of that. */
size_t activation_bytes(uint32_t n) { return (size_t)n * 4; }

void activation_init(activation *act, void *buffer) {
    act->buffer = buffer;
    activation_reset(act);
}

void activation_reset(activation *act) { act->x = NULL; }

static void quantize_block(activation *act, uint32_t b, uint32_t block) {
    const float *x = act->x + (size_t)b * block;
    int8_t *q = act->q + (size_t)b * block;
    uint32_t largest = 0; /* floats without sign compare as integers do */
    for (uint32_t i = 0; i < block; i++) {
        uint32_t size = bits_of(x[i]) & 0x7fffffffu;
        if (size > largest) largest = size;
    }
    float scale = float_of(largest) * (1.0f / 127.0f);
    float inverse = scale > 1e-30f ? 1.0f / scale : 0.0f;
    int32_t sum = 0, *part = act->part + b * (block / 16);
    for (int32_t *end = part + block / 16; part != end; x += 16, q += 16) {
        int32_t sixteen = 0;
        for (int i = 0; i < 16; i++) {
            /* 1.5 * 2^23 rounds to nearest, the integer is left in the low bits */
            int32_t v = (int32_t)(bits_of(x[i] * inverse + 12582912.0f) - 0x4b400000u);
            q[i] = (int8_t)v;
            sixteen += q[i];
        }
        *part++ = sixteen;
        sum += sixteen;
    }
    act->scale[b] = scale * 0x1p96f; /* as in ACT_F32_UP */
    act->sum[b] = sum;
}

void activation_prepare(activation *act, const float *x, uint32_t n, activation_kind kind) {
    if (act->x == x && act->n == n && act->kind == kind) return;
    act->x = x;
    act->n = n;
    act->kind = kind;
    if (kind == ACT_F32) {
        act->f = x;
    } else if (kind == ACT_F32_UP) {
        float *f = (float *)act->buffer;
        for (uint32_t i = 0; i < n; i++) f[i] = x[i] * 0x1p96f;
        act->f = f;
    } else {
        uint32_t block = kind == ACT_Q8_32 ? 32 : 256, blocks = n / block;
        act->scale = (float *)act->buffer;
        act->sum = (int32_t *)(void *)(act->scale + blocks);
        act->part = act->sum + blocks;
        act->q = (int8_t *)(act->part + n / 16);
        for (uint32_t b = 0; b < blocks; b++) quantize_block(act, b, block);
    }
}

/* For formats without a product of their own. */
static float dot_unpacked(const uint8_t *row, const activation *act, const block_format *format) {
    float block[256], sum = 0;
    const float *x = act->f;
    for (uint32_t i = 0; i < act->n; i += format->block, row += format->bytes, x += format->block) {
        format->unpack(block, row);
        for (uint32_t j = 0; j < format->block; j++) sum += block[j] * x[j];
    }
    return sum;
}

void matrix_times(float *out, const matrix *w, const float *x, activation *act) {
    const block_format *format = w->format;
    const uint8_t *row = w->data;
    size_t step = row_bytes(format, w->cols);
    activation_prepare(act, x, w->cols, format->dot ? format->kind : ACT_F32);
    for (uint32_t i = 0; i < w->rows; i++, row += step) {
        out[i] = format->dot ? format->dot(row, act) : dot_unpacked(row, act, format);
    }
}

void matrix_row(float *out, const matrix *w, uint32_t row) {
    const block_format *format = w->format;
    const uint8_t *p = w->data + (size_t)row * row_bytes(format, w->cols);
    for (uint32_t i = 0; i < w->cols; i += format->block, p += format->bytes) format->unpack(out + i, p);
}
