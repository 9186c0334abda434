/* The block formats that the table in kernels.c has from other files. */
#ifndef LLM_KERNELS_FORMATS_H
#define LLM_KERNELS_FORMATS_H

#include "kernels.h"

#define DECLARE(format)                              \
    void unpack_##format(float *out, const uint8_t *p); \
    float dot_##format(const uint8_t *row, const activation *act);

/* kernels_simple.c: one scale a block */
DECLARE(q8_0)
DECLARE(q4_0)
DECLARE(q5_0)
DECLARE(tq2_0)
/* kernels_k.c: blocks of 256 with integer scales inside */
DECLARE(q2_k)
DECLARE(q3_k)
DECLARE(q4_k)
DECLARE(q5_k)
DECLARE(q6_k)
#undef DECLARE

#endif
