#include "model.h"

#include "bits.h"

/* The largest sizes that are believed: they keep every product below 2^31, so nothing here can overflow. */
enum { MAX_DIM = 16384, MAX_LAYERS = 256, MAX_CONTEXT = 65535 };

/* Builds m->problem from pieces; what does not fit is cut. */
static int problem(model *m, const char *a, const char *b, const char *c) {
    const char *part[3] = {a, b, c};
    size_t n = 0;
    for (int i = 0; i < 3; i++)
        for (const char *s = part[i]; *s && n + 1 < sizeof m->problem; s++) m->problem[n++] = *s;
    m->problem[n] = 0;
    return 0;
}

/* "blk.<i>.<name>" */
static void layer_name(char *out, uint32_t i, const char *name) {
    char digits[4];
    int n = 0;
    for (const char *s = "blk."; *s; s++) *out++ = *s;
    do digits[n++] = (char)('0' + i % 10); while ((i /= 10) != 0);
    while (n) *out++ = digits[--n];
    *out++ = '.';
    while (*name) *out++ = *name++;
    *out = 0;
}

/* GGUF's id tells which one; the name is for people, if it is one that models are published in. */
static int no_kernel(model *m, const char *name, uint32_t type) {
    static const struct { uint8_t id; char name[8]; } others[] = {
        {3, "Q4_1"}, {7, "Q5_1"}, {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},
        {22, "IQ2_S"}, {23, "IQ4_XS"}, {29, "IQ1_M"}, {30, "BF16"}, {34, "TQ1_0"}, {39, "MXFP4"}};
    char what[24], digits[10], *p = what;
    int n = 0;
    uint32_t id = type;
    do digits[n++] = (char)('0' + id % 10); while ((id /= 10) != 0);
    while (n) *p++ = digits[--n];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (others[i].id != type) continue;
        *p++ = ' ';
        *p++ = '(';
        for (const char *s = others[i].name; *s; s++) *p++ = *s;
        *p++ = ')';
    }
    *p = 0;
    return problem(m, name, ": no kernel for GGUF type ", what);
}

static int find_matrix(model *m, const char *name, uint32_t cols, uint32_t rows, matrix *out) {
    gguf_tensor t;
    if (!gguf_find_tensor(&m->file, name, &t)) return problem(m, "the model has no tensor ", name, "");
    out->format = block_format_of(t.type);
    if (!out->format) return no_kernel(m, name, t.type);
    if (t.ne[0] != cols || t.ne[1] != rows || t.ne[2] != 1 || t.ne[3] != 1) return problem(m, name, " has another shape", "");
    if (cols % out->format->block) return problem(m, name, ": rows are no whole blocks of ", out->format->name);
    if (row_bytes(out->format, cols) > t.room / rows) return problem(m, name, ": the file is truncated", "");
    if ((uintptr_t)t.data % out->format->alignment) return problem(m, name, " is not aligned", "");
    out->data = t.data;
    out->cols = cols;
    out->rows = rows;
    return 1;
}

static int find_vector(model *m, const char *name, uint32_t n, const float **out) {
    matrix found;
    if (!find_matrix(m, name, n, 1, &found)) return 0;
    if (found.format->type != 0) return problem(m, name, " is not F32", "");
    *out = (const float *)(const void *)found.data;
    return 1;
}

int model_layer(model *m, uint32_t i, layer *out) {
    char name[40];
#define NAME(s) (layer_name(name, i, s), name)
    uint32_t q_dim = m->n_heads * m->head_dim;
    return find_vector(m, NAME("attn_norm.weight"), m->dim, &out->attention_norm) &&
           find_matrix(m, NAME("attn_q.weight"), m->dim, q_dim, &out->q) &&
           find_matrix(m, NAME("attn_k.weight"), m->dim, m->kv_dim, &out->k) &&
           find_matrix(m, NAME("attn_v.weight"), m->dim, m->kv_dim, &out->v) &&
           find_matrix(m, NAME("attn_output.weight"), q_dim, m->dim, &out->out) &&
           find_vector(m, NAME("ffn_norm.weight"), m->dim, &out->feed_forward_norm) &&
           find_matrix(m, NAME("ffn_gate.weight"), m->dim, m->ff_dim, &out->gate) &&
           find_matrix(m, NAME("ffn_up.weight"), m->dim, m->ff_dim, &out->up) &&
           find_matrix(m, NAME("ffn_down.weight"), m->ff_dim, m->dim, &out->down);
#undef NAME
}

static int need(model *m, const char *key, uint32_t largest, uint32_t *out) {
    if (!gguf_get_u32(&m->file, key, out)) return problem(m, "the model does not say ", key, "");
    if (*out == 0 || *out > largest) return problem(m, key, " is out of range", "");
    return 1;
}

static int read_shape(model *m) {
    const gguf *f = &m->file;
    gguf_text arch, scaling;
    if (!gguf_get_text(f, "general.architecture", &arch)) return problem(m, "the model does not say general.architecture", "", "");
    if (!gguf_text_is(arch, "llama")) return problem(m, "the architecture is not llama", "", "");
    if (!need(m, "llama.embedding_length", MAX_DIM, &m->dim) || !need(m, "llama.block_count", MAX_LAYERS, &m->n_layers) ||
        !need(m, "llama.attention.head_count", 1024, &m->n_heads) ||
        !need(m, "llama.feed_forward_length", 4 * MAX_DIM, &m->ff_dim) ||
        !need(m, "llama.context_length", 0x7fffffff, &m->context)) return 0;
    if (m->context > MAX_CONTEXT) m->context = MAX_CONTEXT; /* positions are 16 bits on the wire */
    m->n_kv_heads = m->n_heads;
    gguf_get_u32(f, "llama.attention.head_count_kv", &m->n_kv_heads);
    if (m->n_kv_heads == 0 || m->n_kv_heads > m->n_heads || m->n_heads % m->n_kv_heads) return problem(m, "llama.attention.head_count_kv does not divide the heads", "", "");
    m->head_dim = m->dim / m->n_heads;
    gguf_get_u32(f, "llama.attention.key_length", &m->head_dim);
    if (m->head_dim == 0 || m->head_dim > 1024 || m->head_dim % 2) return problem(m, "the heads' width is odd or out of range", "", "");
    uint32_t value_dim = m->head_dim;
    gguf_get_u32(f, "llama.attention.value_length", &value_dim);
    if (value_dim != m->head_dim) return problem(m, "keys and values of different width are not supported", "", "");
    if (m->n_heads * m->head_dim > 4 * MAX_DIM) return problem(m, "the heads are out of range", "", "");
    m->kv_dim = m->n_kv_heads * m->head_dim;
    m->rope_dims = m->head_dim;
    gguf_get_u32(f, "llama.rope.dimension_count", &m->rope_dims);
    if (m->rope_dims > m->head_dim || m->rope_dims % 2) return problem(m, "llama.rope.dimension_count is out of range", "", "");
    m->rope_base = 10000.0f;
    gguf_get_f32(f, "llama.rope.freq_base", &m->rope_base);
    if (!(m->rope_base >= 1.0f && m->rope_base <= 1e12f)) return problem(m, "llama.rope.freq_base is out of range", "", "");
    if (gguf_get_text(f, "llama.rope.scaling.type", &scaling) && !gguf_text_is(scaling, "none")) return problem(m, "RoPE scaling is not supported", "", "");
    if (!gguf_get_f32(f, "llama.attention.layer_norm_rms_epsilon", &m->eps)) return problem(m, "the model does not say llama.attention.layer_norm_rms_epsilon", "", "");
    if (!(m->eps >= 0.0f && m->eps < 1.0f)) return problem(m, "llama.attention.layer_norm_rms_epsilon is out of range", "", "");
    return 1;
}

/* What llama has in some dialects, and this program has not. */
static int refuse_extras(model *m) {
    static const char *const extra[] = {"rope_freqs.weight", "blk.0.attn_q.bias", "blk.0.attn_k.bias", "blk.0.attn_v.bias",
                                        "blk.0.attn_output.bias", "blk.0.ffn_gate_inp.weight", "output_norm.bias",
                                        "blk.0.ffn_gate.bias", "blk.0.ffn_up.bias", "blk.0.ffn_down.bias"};
    gguf_tensor t;
    for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
        if (gguf_find_tensor(&m->file, extra[i], &t)) return problem(m, "tensor ", extra[i], " is not supported");
    }
    return 1;
}

/* The file's own word for the quantization; else the type that most weights of the layers have. */
static void name_quant(model *m) {
    static const struct { uint8_t id; char name[7]; } file_types[] = {
        {0, "F32"}, {1, "F16"}, {2, "Q4_0"}, {7, "Q8_0"}, {8, "Q5_0"}, {10, "Q2_K"}, {11, "Q3_K_S"}, {12, "Q3_K_M"},
        {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"}, {18, "Q6_K"}, {21, "Q2_K_S"},
        {37, "TQ2_0"}};
    uint32_t id;
    m->quant = m->embedding.format->name;
    layer first;
    if (model_layer(m, 0, &first)) m->quant = first.up.format->name;
    if (!gguf_get_u32(&m->file, "general.file_type", &id)) return;
    for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++) {
        if (file_types[i].id == id) m->quant = file_types[i].name;
    }
}

int model_open(model *m, const void *data, size_t size) {
    gguf_tensor t;
    layer unused;
    m->problem[0] = 0;
    m->n_params = 0;
    m->quant = "";
    const char *bad = gguf_open(&m->file, data, size);
    if (bad) return problem(m, bad, "", "");
    if (!read_shape(m) || !refuse_extras(m)) return 0;
    if (!gguf_find_tensor(&m->file, "token_embd.weight", &t)) return problem(m, "the model has no tensor token_embd.weight", "", "");
    m->vocab = t.ne[1];
    if (!find_matrix(m, "token_embd.weight", m->dim, m->vocab, &m->embedding)) return 0;
    m->output = m->embedding; /* tied, unless there is an output of its own */
    if (gguf_find_tensor(&m->file, "output.weight", &t) && !find_matrix(m, "output.weight", m->dim, m->vocab, &m->output)) return 0;
    if (!find_vector(m, "output_norm.weight", m->dim, &m->output_norm)) return 0;
    for (uint32_t i = 0; i < m->n_layers; i++) {
        if (!model_layer(m, i, &unused)) return 0;
    }
    size_t at = m->file.tensors_at;
    for (uint32_t i = 0; i < m->file.n_tensors; i++) {
        t = gguf_next_tensor(&m->file, &at);
        m->n_params += (uint64_t)t.ne[0] * t.ne[1] * t.ne[2] * t.ne[3];
    }
    name_quant(m);
    return 1;
}

uint32_t model_longest_row(const model *m) {
    uint32_t n = m->dim, q = m->n_heads * m->head_dim;
    if (q > n) n = q;
    if (m->ff_dim > n) n = m->ff_dim;
    return n;
}
