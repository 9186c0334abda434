/* A toy language model: what the two loops run. It knows nothing of edgeprof, as your own model does not. */
#ifndef TINY_H
#define TINY_H

enum { TINY_DIM = 32, TINY_HIDDEN = 32, TINY_LAYERS = 2, TINY_HEADS = 4, TINY_VOCAB = 64, TINY_CONTEXT = 16 };

void tiny_init(void);                                        /* makes the weights, the same everywhere */
const float *tiny_forward(unsigned token, unsigned position); /* the logits; positions in order, from 0 */
unsigned tiny_greedy(const float *logits);
char tiny_letter(unsigned token);

#endif
