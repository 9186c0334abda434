/* What the ports without an operating system share: the layout of memory, the model in flash, the stack's watermark. */
#ifndef PORTS_BARE_H
#define PORTS_BARE_H

#include "board.h"

/* Copies .data, clears .bss and paints the stack: the first thing that runs, on a stack that is in use already. */
void bare_start(void);

/* Fills in what the linker and the model's header say. */
void bare_describe(board *b);

/* What the launcher puts in front of the model, at the first multiple of 64 behind the image. */
typedef struct bare_header {
    uint32_t magic; /* BARE_MAGIC, else there is no model */
    uint32_t model_bytes, model_there, n_ctx, boot, reserved[11];
} bare_header;

#define BARE_MAGIC 0x4d445045u /* "EPDM" */

#endif
