#include "tokenizer.h"

#include "bits.h"

/* The text as the model sees it: a space in front if wanted, and each space spelled E2 96 81 when compared. */
typedef struct source {
    const uint8_t *text;
    size_t n, prefix;
} source;

static uint8_t byte_at(const source *s, size_t i) { return i < s->prefix ? (uint8_t)' ' : s->text[i - s->prefix]; }

static const uint8_t SPACE[3] = {0xe2, 0x96, 0x81};

static int same(const source *s, size_t start, size_t len, gguf_text piece) {
    size_t k = 0;
    for (size_t i = start; i < start + len; i++) {
        uint8_t c = byte_at(s, i);
        if (c == ' ') {
            if (piece.n - k < 3 || piece.p[k] != SPACE[0] || piece.p[k + 1] != SPACE[1] || piece.p[k + 2] != SPACE[2]) return 0;
            k += 3;
        } else {
            if (k == piece.n || piece.p[k] != c) return 0;
            k++;
        }
    }
    return k == piece.n;
}

/* Pieces that stand for something else than their own text. */
static int is_control(gguf_text piece) {
    if (piece.n == 0 || piece.p[0] != '<') return 0;
    return gguf_text_is(piece, "<unk>") || gguf_text_is(piece, "<s>") || gguf_text_is(piece, "</s>") ||
           (piece.n == 6 && piece.p[1] == '0' && piece.p[2] == 'x' && piece.p[5] == '>');
}

static uint32_t lookup(const tokenizer *t, const source *s, size_t start, size_t len) {
    const uint8_t *p = t->pieces.p;
    for (uint32_t id = 0; id < t->pieces.n; id++) {
        gguf_text piece = gguf_next_text(&p);
        if (piece.n >= len && piece.n <= 3 * len && same(s, start, len, piece) && !is_control(piece)) return id;
    }
    return NO_TOKEN;
}

static int hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (uint8_t)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint32_t byte_token(const tokenizer *t, uint8_t byte) {
    const uint8_t *p = t->pieces.p;
    for (uint32_t id = 0; id < t->pieces.n; id++) {
        gguf_text piece = gguf_next_text(&p);
        if (piece.n != 6 || !is_control(piece)) continue;
        if (hex(piece.p[3]) >= 0 && hex(piece.p[4]) >= 0 && hex(piece.p[3]) * 16 + hex(piece.p[4]) == byte) return id;
    }
    return t->unknown;
}

/* A stretch of the text, and what it would become together with its right neighbour. */
typedef struct symbol {
    uint16_t start, len;
    uint32_t joined;
    float score;
} symbol;

size_t tokenizer_bytes(size_t text_bytes) { return (text_bytes + 1) * sizeof(symbol); }

static void consider(const tokenizer *t, const source *s, symbol *sym, size_t n, size_t i) {
    sym[i].joined = NO_TOKEN;
    if (i + 1 >= n) return;
    uint32_t id = lookup(t, s, sym[i].start, (size_t)sym[i].len + sym[i + 1].len);
    if (id == NO_TOKEN) return;
    sym[i].joined = id;
    sym[i].score = t->scores ? load_f32(t->scores + 4 * (size_t)id) : 0.0f;
}

static size_t split_characters(const source *s, symbol *sym) {
    size_t n = 0, total = s->prefix + s->n;
    for (size_t at = 0; at < total; n++) {
        uint8_t lead = byte_at(s, at);
        size_t len = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (len > total - at) len = total - at;
        sym[n].start = (uint16_t)at;
        sym[n].len = (uint16_t)len;
        at += len;
    }
    return n;
}

/* Joins the best pair (highest score, leftmost among equals) until none is in the vocabulary. */
static size_t merge(const tokenizer *t, const source *s, symbol *sym, size_t n) {
    for (size_t i = 0; i < n; i++) consider(t, s, sym, n, i);
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            if (sym[i].joined != NO_TOKEN && (best == n || sym[i].score > sym[best].score)) best = i;
        }
        if (best == n) return n;
        sym[best].len = (uint16_t)(sym[best].len + sym[best + 1].len);
        n--;
        for (size_t i = best + 1; i < n; i++) sym[i] = sym[i + 1];
        consider(t, s, sym, n, best);
        if (best) consider(t, s, sym, n, best - 1);
    }
}

size_t tokenizer_encode(const tokenizer *t, const uint8_t *text, size_t n, void *scratch, uint32_t *out, size_t room) {
    symbol *sym = (symbol *)scratch;
    source s = {text, n, n && t->add_space ? 1u : 0u};
    size_t count = 0;
#define EMIT(token) do { uint32_t id_ = (token); if (count < room) out[count] = id_; count++; } while (0)
    if (t->add_bos) EMIT(t->bos);
    size_t symbols = merge(t, &s, sym, split_characters(&s, sym));
    for (size_t i = 0; i < symbols && count <= room; i++) {
        uint32_t id = lookup(t, &s, sym[i].start, sym[i].len);
        if (id != NO_TOKEN) {
            EMIT(id);
            continue;
        }
        for (size_t k = 0; k < sym[i].len; k++) {
            uint8_t c = byte_at(&s, sym[i].start + k);
            for (int j = 0; j < (c == ' ' ? 3 : 1); j++) EMIT(byte_token(t, c == ' ' ? SPACE[j] : c));
        }
    }
#undef EMIT
    return count;
}

void tokenizer_open(tokenizer *t, const gguf *file, uint32_t vocab) {
    gguf_array scores;
    gguf_text kind;
    t->problem = NULL;
    t->scores = NULL;
    t->bos = 1;
    t->eos = 2;
    t->unknown = 0;
    t->add_bos = t->add_space = 1;
    gguf_get_u32(file, "tokenizer.ggml.bos_token_id", &t->bos);
    gguf_get_u32(file, "tokenizer.ggml.eos_token_id", &t->eos);
    gguf_get_u32(file, "tokenizer.ggml.unknown_token_id", &t->unknown);
    gguf_get_bool(file, "tokenizer.ggml.add_bos_token", &t->add_bos);
    gguf_get_bool(file, "tokenizer.ggml.add_space_prefix", &t->add_space);
    if (!gguf_get_text(file, "tokenizer.ggml.model", &kind) || !gguf_text_is(kind, "llama")) {
        t->problem = "the tokenizer is not of the kind llama (SentencePiece)";
    } else if (!gguf_get_array(file, "tokenizer.ggml.tokens", GGUF_STRING, &t->pieces) || t->pieces.n != vocab) {
        t->problem = "the vocabulary does not have one piece for each row of token_embd";
    } else if (t->bos >= vocab || t->unknown >= vocab) {
        t->problem = "the special tokens are not in the vocabulary";
    } else if (gguf_get_array(file, "tokenizer.ggml.scores", GGUF_F32, &scores)) {
        if (scores.n == vocab) t->scores = scores.p;
        else t->problem = "the vocabulary does not have one score for each piece";
    }
}
