#include "gguf.h"

#include "bits.h"

static const char TRUNCATED[] = "the GGUF file is truncated";

/* gguf_open walks the whole file once with a cursor that cannot leave it. After that the walks below need no checks. */
typedef struct cursor {
    const uint8_t *data;
    size_t at, size;
    int bad;
} cursor;

static const uint8_t *take(cursor *c, uint64_t n) {
    if (c->bad || n > c->size - c->at) {
        c->bad = 1;
        return NULL;
    }
    const uint8_t *p = c->data + c->at;
    c->at += (size_t)n;
    return p;
}

static uint32_t take_u32(cursor *c) { const uint8_t *p = take(c, 4); return p ? load_u32(p) : 0; }
static uint64_t take_u64(cursor *c) { const uint8_t *p = take(c, 8); return p ? load_u64(p) : 0; }

static gguf_text take_text(cursor *c) {
    gguf_text text = {NULL, 0};
    uint64_t n = take_u64(c);
    text.p = take(c, n);
    text.n = text.p ? (size_t)n : 0;
    return text;
}

static uint32_t value_size(uint32_t type) {
    static const uint8_t size[GGUF_VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < GGUF_VALUE_TYPES ? size[type] : 0;
}

/* Over a value of this type; of an array what it holds is noted. */
static void skip_value(cursor *c, uint32_t type, gguf_array *array) {
    if (type == GGUF_STRING) {
        take_text(c);
    } else if (type == GGUF_ARRAY) {
        uint32_t inner = take_u32(c);
        uint64_t n = take_u64(c);
        if (c->bad || n > c->size - c->at) { /* each element takes at least a byte */
            c->bad = 1;
            return;
        }
        if (array) {
            array->type = inner;
            array->n = (uint32_t)n;
            array->p = c->data + c->at;
        }
        if (inner == GGUF_STRING) {
            while (n-- && !c->bad) take_text(c);
        } else if (value_size(inner)) {
            take(c, n * value_size(inner)); /* n is below the file's size: no overflow of 64 bits */
        } else {
            c->bad = 1;
        }
        if (array) array->end = c->data + c->at;
    } else if (value_size(type)) {
        take(c, value_size(type));
    } else {
        c->bad = 1;
    }
}

static int take_tensor(cursor *c, const gguf *file, gguf_tensor *out) {
    uint64_t elements = 1;
    out->name = take_text(c);
    out->n_dims = take_u32(c);
    if (c->bad || out->n_dims < 1 || out->n_dims > 4) return 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t n = i < out->n_dims ? take_u64(c) : 1;
        if (n == 0 || n > 0x7fffffffu) return 0;
        elements *= n;
        if (elements > 0x7fffffffu) return 0;
        out->ne[i] = (uint32_t)n;
    }
    out->type = take_u32(c);
    uint64_t offset = take_u64(c);
    if (c->bad) return 0;
    out->data = NULL;
    out->room = 0;
    if (file->weights_at) { /* not yet known in the first walk */
        if (offset > file->size - file->weights_at || offset % file->alignment) return 0;
        out->data = file->data + file->weights_at + (size_t)offset;
        out->room = file->size - file->weights_at - (size_t)offset;
    }
    return 1;
}

static cursor cursor_at(const gguf *file, size_t at) {
    cursor c = {file->data, at, file->size, 0};
    return c;
}

const char *gguf_open(gguf *file, const void *data, size_t size) {
    cursor c = {(const uint8_t *)data, 0, size, 0};
    gguf_tensor tensor;
    file->data = c.data;
    file->size = size;
    file->n_pairs = file->n_tensors = 0;
    file->weights_at = 0;
    file->alignment = 32;
    const uint8_t *magic = take(&c, 4);
    if (!magic || load_u32(magic) != 0x46554747u) return "not a GGUF file";
    if (take_u32(&c) != 3) return c.bad ? TRUNCATED : "not version 3 of GGUF";
    uint64_t n_tensors = take_u64(&c), n_pairs = take_u64(&c);
    if (c.bad) return TRUNCATED;
    /* A pair takes at least 13 bytes, a tensor 32: larger counts are damage, and must not be walked. */
    if (n_pairs > size / 13 || n_tensors > size / 32) return "the GGUF file's counts exceed its size";
    file->pairs_at = c.at;
    for (uint64_t i = 0; i < n_pairs; i++) {
        take_text(&c);
        skip_value(&c, take_u32(&c), NULL);
        if (c.bad) return "the GGUF metadata are damaged or truncated";
    }
    file->n_pairs = (uint32_t)n_pairs;
    file->tensors_at = c.at;
    if (gguf_get_u32(file, "general.alignment", &file->alignment)) {
        uint32_t a = file->alignment;
        if (a < 8 || a > 65536 || (a & (a - 1))) return "the GGUF alignment is not a power of two from 8 to 65536";
    }
    for (uint64_t i = 0; i < n_tensors; i++) {
        if (!take_tensor(&c, file, &tensor)) return "a GGUF tensor's description is damaged or truncated";
    }
    size_t pad = (file->alignment - c.at % file->alignment) % file->alignment;
    if (n_tensors && !take(&c, pad)) return TRUNCATED;
    file->weights_at = c.at;
    c = cursor_at(file, file->tensors_at);
    for (uint64_t i = 0; i < n_tensors; i++) {
        if (!take_tensor(&c, file, &tensor)) return "a GGUF tensor lies outside of the file";
    }
    file->n_tensors = (uint32_t)n_tensors;
    return NULL;
}

int gguf_text_is(gguf_text text, const char *s) {
    size_t i = 0;
    for (; i < text.n; i++) {
        if (s[i] == 0 || (uint8_t)s[i] != text.p[i]) return 0;
    }
    return s[i] == 0;
}

/* The value of a key: its type, and a cursor that stands on it. */
static int find(const gguf *file, const char *key, uint32_t *type, cursor *value) {
    cursor c = cursor_at(file, file->pairs_at);
    for (uint32_t i = 0; i < file->n_pairs; i++) {
        gguf_text name = take_text(&c);
        *type = take_u32(&c);
        if (gguf_text_is(name, key)) {
            *value = c;
            return 1;
        }
        skip_value(&c, *type, NULL);
    }
    return 0;
}

int gguf_get_u32(const gguf *file, const char *key, uint32_t *out) {
    uint32_t type;
    cursor c;
    if (!find(file, key, &type, &c)) return 0;
    const uint8_t *p = c.data + c.at;
    uint64_t v;
    switch (type) {
    case GGUF_U8: case GGUF_I8: v = p[0]; break;
    case GGUF_U16: case GGUF_I16: v = load_u16(p); break;
    case GGUF_U32: case GGUF_I32: v = load_u32(p); break;
    case GGUF_U64: case GGUF_I64: v = load_u64(p); break;
    default: return 0;
    }
    if (v > 0x7fffffffu) return 0; /* negative, or larger than anything we hold */
    *out = (uint32_t)v;
    return 1;
}

int gguf_get_f32(const gguf *file, const char *key, float *out) {
    uint32_t type;
    cursor c;
    if (!find(file, key, &type, &c) || type != GGUF_F32) return 0;
    *out = load_f32(c.data + c.at);
    return 1;
}

int gguf_get_bool(const gguf *file, const char *key, int *out) {
    uint32_t type;
    cursor c;
    if (!find(file, key, &type, &c) || type != GGUF_BOOL) return 0;
    *out = c.data[c.at] != 0;
    return 1;
}

int gguf_get_text(const gguf *file, const char *key, gguf_text *out) {
    uint32_t type;
    cursor c;
    if (!find(file, key, &type, &c) || type != GGUF_STRING) return 0;
    *out = take_text(&c);
    return 1;
}

int gguf_get_array(const gguf *file, const char *key, uint32_t type, gguf_array *out) {
    uint32_t found;
    cursor c;
    if (!find(file, key, &found, &c) || found != GGUF_ARRAY) return 0;
    skip_value(&c, found, out);
    return out->type == type;
}

gguf_text gguf_next_text(const uint8_t **p) {
    gguf_text text;
    text.n = (size_t)load_u64(*p);
    text.p = *p + 8;
    *p = text.p + text.n;
    return text;
}

gguf_tensor gguf_next_tensor(const gguf *file, size_t *at) {
    gguf_tensor tensor;
    cursor c = cursor_at(file, *at);
    take_tensor(&c, file, &tensor);
    *at = c.at;
    return tensor;
}

int gguf_find_tensor(const gguf *file, const char *name, gguf_tensor *out) {
    size_t at = file->tensors_at;
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        *out = gguf_next_tensor(file, &at);
        if (gguf_text_is(out->name, name)) return 1;
    }
    return 0;
}
