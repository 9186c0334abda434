#include "kernels.h"

#include "bits.h"

/* Sums of floats run in four lanes and are joined in a fixed order: fast, and the same bits on every core.
 * Loops move pointers and index them with constants: compilers fold those into the load. */
#define EIGHT(f, i) f(i) + f(i + 1) + f(i + 2) + f(i + 3) + f(i + 4) + f(i + 5) + f(i + 6) + f(i + 7)
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

/* ---- Q8_0: F16 scale, 32 int8 ---- */

static void unpack_q8_0(float *out, const uint8_t *p) {
    float d = half_to_float(p);
    const int8_t *q = (const int8_t *)(p + 2);
    for (int i = 0; i < 32; i++) out[i] = d * (float)q[i];
}

#define MAC(i) w[i] * x[i]

static int32_t dot_i8_32(const int8_t *w, const int8_t *x) { return EIGHT(MAC, 0) + EIGHT(MAC, 8) + EIGHT(MAC, 16) + EIGHT(MAC, 24); }

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

#define MAC_Q4(i) (w[i] & 15) * x[i] + (w[i] >> 4) * x[i + 16]

static int32_t dot_q4_32(const uint8_t *w, const int8_t *x) { return EIGHT(MAC_Q4, 0) + EIGHT(MAC_Q4, 8); }

static float dot_q4_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 32; b++, row += 18, q += 32) {
        int32_t s = dot_q4_32(row + 2, q);
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

#define MAC_TQ2(i) (w[i] & 3) * x[i] + (w[i] >> 2 & 3) * x[i + 32] + (w[i] >> 4 & 3) * x[i + 64] + (w[i] >> 6) * x[i + 96]

static float dot_tq2_0(const uint8_t *row, const activation *act) {
    float sum = 0;
    const int8_t *q = act->q;
    for (uint32_t b = 0; b < act->n / 256; b++, row += 66, q += 256) {
        int32_t s = 0;
        for (int half = 0; half < 2; half++) {
            const uint8_t *w = row + 32 * half;
            const int8_t *x = q + 128 * half;
            for (int k = 0; k < 4; k++, w += 8, x += 8) s += EIGHT(MAC_TQ2, 0);
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
