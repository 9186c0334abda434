/* The reference firmware's state, shared by its parts. All of it is static: one board, one model, one run at a time. */
#ifndef APP_APP_H
#define APP_APP_H

#include "../include/edgeprof.h"
#include "../llm/forward.h"
#include "../llm/sample.h"
#include "../llm/tokenizer.h"
#include "port.h"

/* What the stages' clock costs is measured against the same firmware without it (tests/performance/stage_cost.py). */
#ifdef EDGEPROF_NO_STAGES
enum { APP_TIMES_STAGES = 0 };
#else
enum { APP_TIMES_STAGES = 1 };
#endif

enum {
    APP_RX_BYTES = 1024, /* header, a label, 256 tokens of 2 bytes, CRC */
    APP_STAGE_PASSES = 8 /* passes whose stages are kept, to be sent in one frame */
};

#define APP_STACK_FULL "the stack is full, and what lies beyond it may be overwritten"

typedef struct app_run {
    const char *kind; /* "generate", "score"; NULL: no run */
    uint8_t label[255];
    size_t label_len;
    uint32_t n_prompt, n_generate, seed, n_windows, next_window;
    uint32_t generated;
    float temperature;
    uint8_t stop; /* EP_OK: go on; else the status that the run is to end with */
} app_run;

typedef struct app {
    const app_port *port;
    ep_config cfg;
    ep e;
    ep_rx rx;
    model m;
    tokenizer words;
    session s;
    sampler sampler;
    app_run run;
    uint32_t n_ctx, ram_needed, flash_needed;
    uint64_t kv_bytes, activation_bytes; /* of the session: the whole cache, and the rest; known also if it does not fit */
    int usable, fits;
    uint64_t stage_ticks[APP_STAGE_PASSES][STAGES + 1];
    uint16_t stage_position[APP_STAGE_PASSES];
    uint32_t n_stage_passes;
    uint8_t rx_bytes[APP_RX_BYTES];
} app;

extern app the_app;

void app_describe(void *user, ep *e, int type);       /* describe.c */
void app_generate(const ep_request *request);         /* generate.c */
void app_score(const ep_request *request);            /* score.c */
void app_poll(void);                                  /* main.c: commands that came while a run goes on */
void app_start_run(const char *kind, const uint8_t *label, size_t label_len);
void app_end_run(uint8_t status);
int app_refuse(const char *kind, const uint8_t *label, size_t label_len); /* 1: the model cannot run here, and the host was told */
void app_sample_memory(uint32_t positions);

#endif
