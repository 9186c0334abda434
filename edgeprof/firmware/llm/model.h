/* A llama-architecture model in a GGUF file: its shape, and where its tensors lie. */
#ifndef LLM_MODEL_H
#define LLM_MODEL_H

#include "gguf.h"
#include "kernels.h"

typedef struct layer {
    const float *attention_norm, *feed_forward_norm;
    matrix q, k, v, out, gate, up, down;
} layer;

typedef struct model {
    gguf file;
    uint32_t dim, n_layers, n_heads, n_kv_heads, head_dim, kv_dim, ff_dim, vocab, context, rope_dims;
    float rope_base, eps;
    matrix embedding, output;
    const float *output_norm;
    uint64_t n_params;
    const char *quant; /* as GGUF spells it */
    char problem[96];  /* empty: the model can run */
} model;

/* 1, or 0 and the reason in m->problem. All tensors were looked at: model_layer cannot fail afterwards. */
int model_open(model *m, const void *data, size_t size);
int model_layer(model *m, uint32_t i, layer *out);
uint32_t model_longest_row(const model *m); /* the longest activation that is multiplied */

#endif
