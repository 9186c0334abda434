/* A GGUF v3 file, read where it lies (in flash). Nothing is copied; each access is checked against the file's end. */
#ifndef LLM_GGUF_H
#define LLM_GGUF_H

#include <stddef.h>
#include <stdint.h>

enum { GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY, GGUF_U64,
       GGUF_I64, GGUF_F64, GGUF_VALUE_TYPES };

typedef struct gguf {
    const uint8_t *data;
    size_t size;
    size_t pairs_at, tensors_at, weights_at; /* offsets of the three parts */
    uint32_t n_pairs, n_tensors, alignment;
} gguf;

typedef struct gguf_text {
    const uint8_t *p;
    size_t n;
} gguf_text;

typedef struct gguf_array {
    uint32_t type, n;
    const uint8_t *p;   /* checked by gguf_open: n elements lie within the file */
    const uint8_t *end;
} gguf_array;

typedef struct gguf_tensor {
    gguf_text name;
    uint32_t type, n_dims, ne[4]; /* ne[0] is the length of a row */
    const uint8_t *data;
    size_t room; /* bytes from data to the end of the file */
} gguf_tensor;

/* NULL, or in words what is wrong. */
const char *gguf_open(gguf *file, const void *data, size_t size);

/* 1 if the key is there and of a fitting type. */
int gguf_get_u32(const gguf *file, const char *key, uint32_t *out);
int gguf_get_f32(const gguf *file, const char *key, float *out);
int gguf_get_bool(const gguf *file, const char *key, int *out);
int gguf_get_text(const gguf *file, const char *key, gguf_text *out);
int gguf_get_array(const gguf *file, const char *key, uint32_t type, gguf_array *out);

/* The string at *p, which moves on to the next one. */
gguf_text gguf_next_text(const uint8_t **p);
int gguf_text_is(gguf_text text, const char *s);

/* The tensor at byte offset *at of the file, which moves on; start with tensors_at. */
gguf_tensor gguf_next_tensor(const gguf *file, size_t *at);
int gguf_find_tensor(const gguf *file, const char *name, gguf_tensor *out);

#endif
