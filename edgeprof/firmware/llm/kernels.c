#include "kernels.h"

#include "bits.h"

/* Sums of floats run in four lanes and are joined in a fixed order: fast, and the same bits on every core. */
#define LANES_ADD(a) (((a)[0] + (a)[1]) + ((a)[2] + (a)[3]))

/* ---- F32 ---- */

static void unpack_f32(float *out, const uint8_t *p) { *out = load_f32(p); }

static float dot_f32(const uint8_t *row, const activation *act) {
    const float *w = (const float *)(const void *)row, *x = act->f;
    float a[4] = {0, 0, 0, 0};
    uint32_t n = act->n, i = 0;
    for (; i + 4 <= n; i += 4) {
        a[0] += w[i] * x[i];
        a[1] += w[i + 1] * x[i + 1];
        a[2] += w[i + 2] * x[i + 2];
        a[3] += w[i + 3] * x[i + 3];
    }
    for (; i < n; i++) a[0] += w[i] * x[i];
    return LANES_ADD(a);
}

/* ---- F16 ---- */

static void unpack_f16(float *out, const uint8_t *p) { *out = half_to_float(p); }

static float dot_f16(const uint8_t *row, const activation *act) {
    const int16_t *w = (const int16_t *)(const void *)row;
    const float *x = act->f;
    float a[4] = {0, 0, 0, 0};
    uint32_t n = act->n, i = 0;
    for (; i + 4 <= n; i += 4) {
        a[0] += half_bits(w[i]) * x[i];
        a[1] += half_bits(w[i + 1]) * x[i + 1];
        a[2] += half_bits(w[i + 2]) * x[i + 2];
        a[3] += half_bits(w[i + 3]) * x[i + 3];
    }
    for (; i < n; i++) a[0] += half_bits(w[i]) * x[i];
    return LANES_ADD(a) * 0x1p16f; /* 112 down in the weights, 96 up in the activation */
}

/* ---- Q8_0: F16 scale, 32 int8 ---- */

static void unpack_q8_0(float *out, const uint8_t *p) {
    float d = half_to_float(p);
    const int8_t *q = (const int8_t *)(p + 2);
    for (int i = 0; i < 32; i++) out[i] = d * (float)q[i];
}

static int32_t dot_i8_32(const int8_t *a, const int8_t *b) {
    int32_t sum = 0;
    for (int i = 0; i < 32; i += 8) {
        sum += a[i] * b[i] + a[i + 1] * b[i + 1] + a[i + 2] * b[i + 2] + a[i + 3] * b[i + 3];
        sum += a[i + 4] * b[i + 4] + a[i + 5] * b[i + 5] + a[i + 6] * b[i + 6] + a[i + 7] * b[i + 7];
    }
    return sum;
}

static float dot_q8_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 32; b++, row += 34, q += 32) {
        sum += half_to_float(row) * act->scale[b] * (float)dot_i8_32((const int8_t *)(row + 2), q);
    }
    return sum;
}

/* ---- Q4_0: F16 scale, 16 bytes: weight i in the low half of byte i, weight i + 16 in the high half, both + 8 ---- */

static void unpack_q4_0(float *out, const uint8_t *p) {
    float d = half_to_float(p);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((p[2 + i] & 15) - 8);
        out[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
    }
}

static float dot_q4_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 32; b++, row += 18, q += 32) {
        int32_t s = 0;
        for (int i = 0; i < 16; i++) s += (row[2 + i] & 15) * q[i] + (row[2 + i] >> 4) * q[i + 16];
        sum += half_to_float(row) * act->scale[b] * (float)(s - 8 * act->sum[b]); /* the 8 taken off all at once */
    }
    return sum;
}

/* ---- TQ2_0: 64 bytes, F16 scale; bits 2k..2k+1 of byte 32 h + i are weight 128 h + 32 k + i, plus 1 ---- */

static void unpack_tq2_0(float *out, const uint8_t *p) {
    float d = half_to_float(p + 64);
    for (int h = 0; h < 2; h++)
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < 32; i++) out[128 * h + 32 * k + i] = d * (float)(((p[32 * h + i] >> (2 * k)) & 3) - 1);
}

static float dot_tq2_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 256; b++, row += 66, q += 256) {
        int32_t s = 0;
        for (int h = 0; h < 2; h++) {
            const uint8_t *p = row + 32 * h;
            const int8_t *v = q + 128 * h;
            for (int i = 0; i < 32; i++) {
                s += (p[i] & 3) * v[i] + ((p[i] >> 2) & 3) * v[i + 32] + ((p[i] >> 4) & 3) * v[i + 64] + (p[i] >> 6) * v[i + 96];
            }
        }
        sum += half_to_float(row + 64) * act->scale[b] * (float)(s - act->sum[b]);
    }
    return sum;
}

/* ---- the table ---- */

static const block_format formats[] = {
    {0, "F32", 1, 4, 4, ACT_F32, unpack_f32, dot_f32},
    {1, "F16", 1, 2, 2, ACT_F32_UP, unpack_f16, dot_f16},
    {2, "Q4_0", 32, 18, 1, ACT_Q8_32, unpack_q4_0, dot_q4_0},
    {8, "Q8_0", 32, 34, 1, ACT_Q8_32, unpack_q8_0, dot_q8_0},
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

size_t activation_bytes(uint32_t n) {
    size_t blocks = n / 32 + 1, quantized = (n + 3u) / 4 * 4 + blocks * 8, scaled = (size_t)n * 4;
    return quantized > scaled ? quantized : scaled;
}

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
    int32_t sum = 0;
    for (uint32_t i = 0; i < block; i++) {
        /* 1.5 * 2^23 rounds to nearest, the integer is left in the low bits */
        int32_t v = (int32_t)(bits_of(x[i] * inverse + 12582912.0f) - 0x4b400000u);
        q[i] = (int8_t)v;
        sum += q[i];
    }
    act->scale[b] = scale;
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
        act->q = (int8_t *)(act->sum + blocks);
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
