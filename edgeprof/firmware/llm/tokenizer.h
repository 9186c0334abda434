/* SentencePiece-style tokenizer over the vocabulary in a GGUF file, in place: no index, so a search walks the list. */
#ifndef LLM_TOKENIZER_H
#define LLM_TOKENIZER_H

#include "gguf.h"

typedef struct tokenizer {
    gguf_array pieces;
    const uint8_t *scores; /* F32, NULL: all alike */
    uint32_t bos, eos, unknown;
    int add_bos, add_space;
    const char *problem; /* NULL: ready. Without a tokenizer a board can still score. */
} tokenizer;

#define NO_TOKEN 0xffffffffu

void tokenizer_open(tokenizer *t, const gguf *file, uint32_t vocab);

/* Scratch memory for a text of this many bytes, aligned to 4. */
size_t tokenizer_bytes(size_t text_bytes);

/* The number of tokens; more than `room` means that not all were stored. */
size_t tokenizer_encode(const tokenizer *t, const uint8_t *text, size_t n, void *scratch, uint32_t *out, size_t room);

#endif
