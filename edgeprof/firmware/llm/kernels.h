/* Block formats of GGUF: how a row of weights is read, and its dot product with an activation.
 *
 * A further format is one row of the table in kernels.c and one function (`unpack`); with dot == NULL its products go
 * through unpack, slowly. A fast `dot` sums integers (kernels_sums.h), with a few floats a block. The types of a model may
 * be mixed at will, tensor by tensor. */
#ifndef LLM_KERNELS_H
#define LLM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* In what form a dot product takes the activation. */
typedef enum activation_kind {
    ACT_F32,    /* as it is */
    ACT_F32_UP, /* times 2^96: makes good the small exponents of half_bits() without losing a bit */
    ACT_Q8_32,  /* int8 with one F32 scale for 32: -127..127, x = scale * q */
    ACT_Q8_256  /* the same for 256 */
} activation_kind;

typedef struct activation {
    const float *x; /* what is prepared, NULL: nothing */
    uint32_t n;
    activation_kind kind;
    const float *f; /* ACT_F32, ACT_F32_UP */
    int8_t *q;      /* ACT_Q8_*: the values, per block the scale (times 2^96) and the sum of the values */
    float *scale;
    int32_t *sum, *part; /* part: the sums of each 16 values */
    void *buffer; /* activation_bytes(longest row) */
} activation;

typedef struct block_format {
    uint32_t type; /* GGUF's id */
    const char *name;
    uint32_t block, bytes; /* weights in a block, and what they take */
    uint32_t alignment;    /* what the fast loads need */
    activation_kind kind;
    void (*unpack)(float *out, const uint8_t *block);
    float (*dot)(const uint8_t *row, const activation *act);
} block_format;

typedef struct matrix {
    const uint8_t *data;
    const block_format *format;
    uint32_t cols, rows;
} matrix;

const block_format *block_format_of(uint32_t type); /* NULL: not supported */
size_t row_bytes(const block_format *format, uint32_t cols);

size_t activation_bytes(uint32_t n);
void activation_init(activation *act, void *buffer);
void activation_prepare(activation *act, const float *x, uint32_t n, activation_kind kind);

/* out = w x. The activation is prepared at most once for each x and kind: call activation_reset when x changed. */
void activation_reset(activation *act);
void matrix_times(float *out, const matrix *w, const float *x, activation *act);
/* Products with halves as half_bits() reads them, 2^-112 of their value: the factor is the caller's to put back. */
float half_dot(const int16_t *w, const float *x, uint32_t n);
void half_add(float *out, const int16_t *w, float weight, uint32_t n); /* out += weight w */
void matrix_row(float *out, const matrix *w, uint32_t row);

#endif
