/* edgeprof.h - telemetry for firmware that runs a language model. Wire version 1 (docs/protocol.md).
 *
 * Apache-2.0. C99, no malloc, no libc calls, less than 1 KiB of RAM. In ONE .c file:
 *
 *     #define EDGEPROF_IMPLEMENTATION
 *     #include "edgeprof.h"
 *
 * What a llama2.c-style loop needs (docs/instrument.md explains each line):
 *
 *     static int      put(void *u, const void *p, size_t n) { return uart_write(p, n); }      // 0: sent
 *     static uint64_t now(void *u)                          { return DWT->CYCCNT; }           // 32 bits are enough
 *     EP_CONTEXT(e, put, now, "board", "mine", "clock", "cycles", "tick_hz", "168000000", "kind", "generate");
 *
 *     ep_start(&e, &e_config, 32, 168000000, boot_count);
 *     ep_run_begin(&e);
 *     for (pos = 0; pos < steps; pos++) {
 *         ep_pass_begin(&e);
 *         ... forward, sample ...
 *         ep_pass_end(&e, pos < n_prompt ? EP_PREFILL : EP_DECODE, pos, token, next);
 *     }
 *     ep_run_end(&e, EP_OK, n_prompt, n_generated);
 *
 * Who needs more (a receiver, pairs that change) writes the ep_config and its describe() by hand.
 *
 * Time: whoever reads the counter (ep_now, and all that call it) extends it to 64 bits, so something here must be
 * called at least once in each turn of the counter. Call ep_poll() in idle loops.
 *
 * Macros, to be defined before the implementation:
 *     EP_CRC_BITWISE     no 64-byte table; eight steps a byte instead of two
 *     EP_RECORD_BYTES    room for records, 900 = 30 tokens a frame (128 to 968)
 *     EP_EDGES           a function void f(void *user) that toggles a pin for a power meter: see ep_edge()
 */
#ifndef EDGEPROF_H
#define EDGEPROF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef EP_RECORD_BYTES
#define EP_RECORD_BYTES 900
#endif

enum { EP_WIRE_VERSION = 1, EP_HEADER_BYTES = 24, EP_CRC_BYTES = 4 };

/* frame types */
enum {
    EP_HELLO = 0x01, EP_RUN_BEGIN = 0x02, EP_RUN_END = 0x03, EP_TOKENS = 0x10, EP_STAGES = 0x11, EP_MEMORY = 0x12,
    EP_POWER = 0x13, EP_EVENT = 0x14, EP_LOGITS = 0x15, EP_HEARTBEAT = 0x20, EP_REPLY = 0x21,
    EP_CMD_HELLO = 0x81, EP_CMD_RUN = 0x82, EP_CMD_SCORE = 0x83, EP_CMD_STOP = 0x84
};
enum { EP_OK = 0, EP_ABORTED = 1, EP_DOES_NOT_FIT = 2, EP_ERROR = 3 };                        /* RUN_END status */
enum { EP_PREFILL = 0, EP_DECODE = 1, EP_SCORE = 2 };                                        /* phase */
enum { EP_SCORED = 4, EP_NLL = 8, EP_NEXT = 16, EP_TOP1 = 32 };                              /* token flags */
enum { EP_EMBEDDING, EP_ATTENTION, EP_FEED_FORWARD, EP_HEAD, EP_SAMPLING, EP_OTHER };        /* stages */
enum { EP_MARK = 1, EP_GPIO_EDGE = 2 };                                                      /* events */
enum { EP_AT_RUN_BEGIN = 0, EP_AT_PASS_END = 1, EP_AT_RUN_END = 2 };                         /* edges: ids of the library */
enum { EP_DONE = 0, EP_UNKNOWN = 1, EP_BAD_ARGUMENT = 2, EP_BUSY = 3, EP_NO_ROOM = 4, EP_FAILED = 5 }; /* REPLY */
#define EP_NO_WINDOW 0xffffu
#define EP_NOT_KNOWN 0xffffffffu
enum { EP_POWER_SAMPLES = 250, EP_NO_VOLTAGE = 0xffff };
enum { EP_LOGITS_FRAME = 240 };                                                              /* the most in one frame */
enum { EP_WITH_LOGITS = 1 };                                                                 /* SCORE flags */

typedef struct ep ep;

/* What the board gives. May live in flash; it must outlive the context. */
typedef struct ep_config {
    int (*write)(void *user, const void *bytes, size_t n); /* 0: taken; else the frame is counted as lost */
    uint64_t (*ticks)(void *user);                         /* a counter that counts up and wraps at tick_bits */
    size_t (*read)(void *user, void *bytes, size_t n);     /* optional (NULL): bytes got, 0 if there are none */
    void (*describe)(void *user, ep *e, int type);         /* adds the pairs of EP_HELLO or EP_RUN_BEGIN with ep_kv_* */
    void *user;
    unsigned tick_bits;       /* width of the counter: 24, 32, 64, ... */
    uint32_t flush_ticks;     /* a record waits no longer than this */
    uint32_t repeat_ticks;    /* RUN_BEGIN again after this; at most a second */
    uint32_t heartbeat_ticks; /* a silent board says that it lives; well below a turn of the counter */
} ep_config;

/* The context. Its fields are the library's own. */
struct ep {
    const ep_config *cfg;
    uint64_t now;        /* extended time at the last look at the counter */
    uint64_t t_begin;    /* of the run */
    uint64_t t_pass;     /* of the pass */
    uint64_t t_batch;    /* base of the records that wait */
    uint64_t t_alive;    /* in a run: of the last RUN_BEGIN; else of the last frame */
    uint32_t seq, frames, passes, samples, stages, dropped;
    uint16_t boot, run, used, n; /* run: the number of the last one */
    uint8_t type, in_run;
    uint8_t buf[2 + EP_HEADER_BYTES + EP_RECORD_BYTES + EP_CRC_BYTES + 1]; /* 00, code | header, records, CRC | 00 */
};
typedef char ep_context_is_below_1_KiB[sizeof(struct ep) < 1024 ? 1 : -1];

/* One forward pass, all that the wire can say of it. */
typedef struct ep_pass {
    uint32_t token, next, top1;
    float nll;
    uint16_t position, window;
    uint8_t n_batch;
    uint8_t flags; /* phase | EP_SCORED | EP_NLL | EP_NEXT | EP_TOP1 */
} ep_pass;

/* A stream of current samples: what stays the same from block to block. May live in flash. */
typedef struct ep_power {
    uint32_t dt;         /* ticks from one sample to the next */
    uint32_t unit_na;    /* nanoamperes a count */
    uint16_t voltage_mv; /* of the supply; EP_NO_VOLTAGE */
    uint8_t meter;       /* 0: the board measures itself; else a number that you give the meter */
} ep_power;

void ep_init(ep *e, const ep_config *cfg, uint16_t boot);
uint64_t ep_now(ep *e);
void ep_poll(ep *e);  /* flush what has waited, repeat RUN_BEGIN, heartbeat; the calls below do it themselves */
void ep_flush(ep *e); /* send the records that wait */

void ep_hello(ep *e, uint16_t request); /* request: the id it answers, 0 for none */
void ep_run_begin(ep *e);
void ep_run_end(ep *e, uint8_t status, uint32_t n_prompt, uint32_t n_generated);

void ep_pass_begin(ep *e);
void ep_pass_end(ep *e, uint8_t phase, uint16_t position, uint32_t token, uint32_t next);
void ep_pass_end_at(ep *e, uint64_t t_end, const ep_pass *pass); /* all fields, and the end as the caller measured it */

void ep_stage(ep *e, uint16_t position, uint8_t stage, uint64_t ticks);
void ep_memory(ep *e, uint32_t heap, uint32_t heap_peak, uint32_t stack_peak, uint32_t kv);
void ep_event(ep *e, uint8_t kind, uint8_t id);

/* Only with EP_EDGES: toggle the pin and note when, so that a meter that sees the pin has the board's time. The library does it
 * at run begin, behind each pass, and at run end; more edges are yours, with ids from 3. They wait for each other, 30 a frame, so
 * that they do not push token records out; outside of a run the pin toggles and nothing is noted. For one context. */
void ep_edge(ep *e, uint8_t id);

/* Send samples from where they lie (a DMA buffer's finished half): up to 250 a frame, so a longer block takes several.
 * A block, not a call a sample: samples have no room beside token records, and so they cost framing and nothing else.
 * t0 is the tick of the first sample, as ep_now() counts: normally ep_now(e) - n * dt when the block is complete. Not from
 * an interrupt, for it writes as all calls here do; let the interrupt set a flag. 300 bytes of stack. */
void ep_power_block(ep *e, const ep_power *stream, uint64_t t0, const uint16_t *counts, size_t n);

/* All logits of one position, from where they lie: as many frames as the vocabulary takes, 240 in each, so that the host can
 * hold one quantization's distribution against another's. Call it behind ep_pass_end(), so that sending them is in no pass.
 * The host leaves out a position of which a frame is missing. 300 bytes of stack. */
void ep_logits(ep *e, uint16_t position, uint16_t window, const float *logits, size_t n);

/* Only inside of describe(): a pair that does not fit is left out. Text is bytes with a length or a C string. */
void ep_kv(ep *e, const char *key, const void *value, size_t n);
void ep_kv_text(ep *e, const char *key, const char *value);
void ep_kv_u64(ep *e, const char *key, uint64_t value);
void ep_kv_f32(ep *e, const char *key, float value); /* six decimals, for magnitudes below 4e9 */
void ep_kv_list(ep *e, const char *const *pairs);    /* key, value, key, value, ..., NULL: all of them text */

/* For firmware that only sends: a context called `name` and its `name_config`. What follows the two callbacks are the pairs
 * of HELLO and RUN_BEGIN, key after value, all text; they are evaluated whenever they are said. Then call ep_start(). */
#define EP_CONTEXT(name, put, now, ...)                                              \
    static void name##_describe(void *user, ep *e, int type) {                       \
        const char *const pairs[] = {__VA_ARGS__, 0};                                \
        (void)user;                                                                  \
        (void)type;                                                                  \
        ep_kv_list(e, pairs);                                                        \
    }                                                                                \
    static ep_config name##_config = {put, now, 0, name##_describe, 0, 0, 0, 0, 0};  \
    static ep name
/* ep_init() with the usual paces. `second` is how many ticks make about a second of the observer's time: on silicon the
 * rate of the counter. */
void ep_start(ep *e, ep_config *cfg, unsigned tick_bits, uint32_t second, uint16_t boot);

/* ---- listening (optional) ---- */

typedef struct ep_request {
    uint8_t type;
    uint16_t id;
    const uint8_t *payload; /* in the receive buffer: gone at the next ep_receive */
    size_t n;
} ep_request;

typedef struct ep_run_request {
    uint16_t n_generate;
    uint8_t sampler;
    uint32_t seed;
    float temperature;
    const uint8_t *label, *prompt;
    size_t label_len, prompt_len;
} ep_run_request;

typedef struct ep_score_request {
    uint16_t window, n_windows, n_tokens, first_scored;
    uint8_t id_bytes, flags; /* flags: EP_WITH_LOGITS */
    const uint8_t *label, *ids;
    size_t label_len;
} ep_score_request;

typedef struct ep_rx {
    uint8_t *buf;
    size_t cap, len;
    uint8_t left, zero_due, bad;             /* COBS: bytes until the next code; whether a zero comes before it */
    uint16_t pending, answered;              /* request ids */
    uint8_t answered_code;
    const char *answered_text;
} ep_rx;

void ep_rx_init(ep_rx *rx, void *buf, size_t cap);
/* One byte from the host; 1 when it completes a sound request. Nothing that comes in can overrun the buffer. */
int ep_rx_byte(ep_rx *rx, uint8_t byte, ep_request *out);
/* Reads with cfg->read until a request that needs doing is complete (1), or there are no bytes (0). Repeated requests
 * are answered here: a second copy of one that was answered gets the same answer, of one still at work none. */
int ep_receive(ep *e, ep_rx *rx, ep_request *out);
int ep_rx_repeated(ep *e, ep_rx *rx, const ep_request *request); /* 1: was a repetition, and is dealt with */
/* Answer the pending request. The text must stay where it is: it may have to be said again. */
void ep_answer(ep *e, ep_rx *rx, uint8_t code, const char *text);
void ep_reply(ep *e, uint16_t request, uint8_t code, const char *text);
int ep_parse_run(const ep_request *request, ep_run_request *out);     /* 1: well formed */
int ep_parse_score(const ep_request *request, ep_score_request *out); /* 1: well formed */
uint32_t ep_score_id(const ep_score_request *score, size_t i);

#ifdef __cplusplus
}
#endif
#endif /* EDGEPROF_H */

#ifdef EDGEPROF_IMPLEMENTATION
#ifndef EDGEPROF_IMPLEMENTED
#define EDGEPROF_IMPLEMENTED

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bytes ---- */

static void ep__put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }
static void ep__put32(uint8_t *p, uint32_t v) { ep__put16(p, v); ep__put16(p + 2, v >> 16); }
static void ep__put64(uint8_t *p, uint64_t v) { ep__put32(p, (uint32_t)v); ep__put32(p + 4, (uint32_t)(v >> 32)); }
static uint16_t ep__get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t ep__get32(const uint8_t *p) { return ep__get16(p) | (uint32_t)ep__get16(p + 2) << 16; }
static uint32_t ep__float_bits(float f) { union { float f; uint32_t u; } x; x.f = f; return x.u; }
static float ep__bits_float(uint32_t u) { union { float f; uint32_t u; } x; x.u = u; return x.f; }
static size_t ep__length(const char *s) { size_t n = 0; while (s && s[n]) n++; return n; }

static inline uint32_t ep__crc_step(uint32_t crc, uint8_t byte) {
    crc ^= byte;
#ifdef EP_CRC_BITWISE
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1u) ? 0xedb88320u : 0u);
#else
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
        0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    crc = (crc >> 4) ^ table[crc & 15u];
    crc = (crc >> 4) ^ table[crc & 15u];
#endif
    return crc;
}

static uint32_t ep__crc(const uint8_t *p, size_t n) {
    uint32_t crc = 0xffffffffu;
    while (n--) crc = ep__crc_step(crc, *p++);
    return ~crc;
}

/* ---- time ---- */

uint64_t ep_now(ep *e) {
    uint64_t raw = e->cfg->ticks(e->cfg->user);
    if (e->cfg->tick_bits >= 64) {
        e->now = raw;
    } else {
        /* The low bits of `now` are the counter as last seen; what was added since is at most one turn. */
        uint64_t mask = ((uint64_t)1 << e->cfg->tick_bits) - 1;
        e->now += (raw - e->now) & mask;
    }
    return e->now;
}

/* The smallest power of two (as a shift) that brings v into 32 bits. */
static unsigned ep__shift(uint64_t v) {
    unsigned shift = 0;
    while ((v >> shift) > 0xffffffffu) shift++;
    return shift;
}

/* ---- frames ---- */

static uint8_t *ep__records(ep *e) { return e->buf + 2 + EP_HEADER_BYTES; }

/* COBS in place: each zero byte becomes the distance to the next, so a frame is one write. Only a stretch of 254 bytes
 * without a zero needs a code byte more; there the write is split, and the last byte that went out becomes its place.
 * The loop does the same for a zero as for any byte: what a frame costs must not depend on what it says. */
static int ep__write_cobs(ep *e, uint8_t *p, size_t n) {
    int (*write)(void *, const void *, size_t) = e->cfg->write;
    void *user = e->cfg->user;
    uint8_t *b = p - 1, *sent = p - 2;
    size_t at = 0; /* b[at] is the code of the block under way */
    int lost = 0;
    b[-1] = 0;
    b[n + 1] = 0;
    for (size_t i = 1; i <= n; i++) {
        uint8_t byte = b[i];
        b[at] = (uint8_t)(i - at);
        at = byte ? at : i;
        if (i - at == 254) {
            b[at] = 255;
            lost |= write(user, sent, (size_t)(b + i + 1 - sent)) != 0;
            sent = b + i;
            at = i;
        }
    }
    b[at] = (uint8_t)(n + 1 - at);
    lost |= write(user, sent, (size_t)(b + n + 2 - sent)) != 0;
    return lost;
}

static int ep__header(ep *e, uint8_t *p, uint8_t type, uint16_t n, uint64_t t0, uint32_t dt) {
    int of_run = e->in_run && type != EP_HELLO; /* who the board is does not belong to a run */
    p[0] = type;
    p[1] = EP_WIRE_VERSION;
    ep__put16(p + 2, e->boot);
    ep__put16(p + 4, of_run ? e->run : 0u);
    ep__put16(p + 6, n);
    ep__put32(p + 8, e->seq++);
    ep__put64(p + 12, t0);
    ep__put32(p + 20, dt);
    return of_run;
}

static void ep__send(ep *e, uint8_t type, uint16_t n, uint64_t t0, uint32_t dt) {
    uint8_t *p = e->buf + 2;
    size_t size = EP_HEADER_BYTES + (size_t)e->used;
    int of_run = ep__header(e, p, type, n, t0, dt);
    ep__put32(p + size, ep__crc(p, size));
    if (ep__write_cobs(e, p, size + EP_CRC_BYTES) && type >= EP_TOKENS && type < EP_HEARTBEAT) e->dropped += n;
    if (of_run) e->frames++;
    e->used = 0;
    e->n = 0;
    e->type = 0;
    if (!e->in_run) e->t_alive = e->now;
}

static void ep__flush_scaled(ep *e, unsigned shift) {
    if (e->n == 0) return;
    ep__send(e, e->type, e->n, e->type == EP_STAGES ? e->now : e->t_batch, (uint32_t)1 << shift);
}

void ep_flush(ep *e) { ep__flush_scaled(e, 0); }

/* Room for one more record of this type and time; NULL never: what is in the way is sent. */
static uint8_t *ep__record(ep *e, uint8_t type, size_t size, uint64_t t) {
    if (e->n && (e->type != type || e->used + size > EP_RECORD_BYTES || t - e->t_batch > 0xffffffffu)) ep_flush(e);
    if (e->n == 0) {
        e->type = type;
        e->t_batch = t;
    }
    uint8_t *p = ep__records(e) + e->used;
    e->used = (uint16_t)(e->used + size);
    e->n++;
    return p;
}

static void ep__begin_frame(ep *e) {
    ep_flush(e);
    e->cfg->describe(e->cfg->user, e, EP_RUN_BEGIN);
    ep__send(e, EP_RUN_BEGIN, e->n, e->t_begin, 0);
    e->t_alive = e->now;
}

static void ep__keep_up(ep *e) {
    if (e->n && e->now - e->t_batch >= e->cfg->flush_ticks) ep_flush(e);
    uint64_t silent = e->now - e->t_alive;
    if (e->in_run) { /* the repeated RUN_BEGIN is the heartbeat of a run */
        if (silent >= e->cfg->repeat_ticks) ep__begin_frame(e);
    } else if (silent >= e->cfg->heartbeat_ticks && e->n == 0) {
        ep__send(e, EP_HEARTBEAT, 0, e->now, 0);
    }
}

void ep_poll(ep *e) {
    ep_now(e);
    ep__keep_up(e);
}

void ep_init(ep *e, const ep_config *cfg, uint16_t boot) {
    uint8_t *p = (uint8_t *)e;
    for (size_t i = 0; i < sizeof *e; i++) p[i] = 0;
    e->cfg = cfg;
    e->boot = boot;
    e->now = cfg->ticks(cfg->user);
    e->t_alive = e->now;
}

void ep_start(ep *e, ep_config *cfg, unsigned tick_bits, uint32_t second, uint16_t boot) {
    uint64_t most = tick_bits < 32 ? ((uint64_t)1 << tick_bits) / 8 * 3 : (uint64_t)3 << 29; /* well below a turn */
    uint64_t quiet = 4 * (uint64_t)second;
    cfg->tick_bits = tick_bits;
    cfg->flush_ticks = second / 20;
    cfg->repeat_ticks = second / 2;
    cfg->heartbeat_ticks = (uint32_t)(quiet < most ? quiet : most);
    ep_init(e, cfg, boot);
}

/* ---- key-value pairs ---- */

void ep_kv(ep *e, const char *key, const void *value, size_t n) {
    size_t klen = ep__length(key);
    if (klen > 255 || n > 255 || e->used + 2 + klen + n > EP_RECORD_BYTES) return;
    uint8_t *p = ep__records(e) + e->used;
    *p++ = (uint8_t)klen;
    *p++ = (uint8_t)n;
    for (size_t i = 0; i < klen; i++) *p++ = (uint8_t)key[i];
    for (size_t i = 0; i < n; i++) *p++ = ((const uint8_t *)value)[i];
    e->used = (uint16_t)(e->used + 2 + klen + n);
    e->n++;
}

void ep_kv_text(ep *e, const char *key, const char *value) { ep_kv(e, key, value, ep__length(value)); }

static char *ep__decimal(char *end, uint64_t v) {
    do *--end = (char)('0' + v % 10); while (v /= 10);
    return end;
}

void ep_kv_u64(ep *e, const char *key, uint64_t value) {
    char text[20], *end = text + sizeof text, *p = ep__decimal(end, value);
    ep_kv(e, key, p, (size_t)(end - p));
}

void ep_kv_f32(ep *e, const char *key, float value) {
    char text[24], *end = text + sizeof text, *p;
    float size = value < 0 ? -value : value;
    if (!(size < 4e9f)) return;
    uint32_t whole = (uint32_t)size;
    uint32_t micro = (uint32_t)((size - (float)whole) * 1e6f + 0.5f);
    if (micro >= 1000000u) { micro -= 1000000u; whole++; }
    p = ep__decimal(end, 1000000u + micro); /* the leading 1 keeps the zeros, and makes room for the point */
    *p = '.';
    while (end[-1] == '0') end--;
    if (end[-1] == '.') end--;
    p = ep__decimal(p, whole);
    if (value < 0) *--p = '-';
    ep_kv(e, key, p, (size_t)(end - p));
}

void ep_kv_list(ep *e, const char *const *pairs) {
    for (; pairs[0] && pairs[1]; pairs += 2) ep_kv_text(e, pairs[0], pairs[1]);
}

void ep_hello(ep *e, uint16_t request) {
    ep_now(e);
    ep_flush(e);
    e->cfg->describe(e->cfg->user, e, EP_HELLO);
    if (request) ep_kv_u64(e, "request", request);
    ep__send(e, EP_HELLO, e->n, e->now, 0);
}

/* ---- edges for a meter ---- */

#ifdef EP_EDGES
static struct { uint64_t t[30]; uint8_t id[30], n; } ep__edges;

static void ep__send_edges(ep *e) {
    for (unsigned i = 0; i < ep__edges.n; i++) {
        uint8_t *p = ep__record(e, EP_EVENT, 8, ep__edges.t[i]);
        ep__put32(p, (uint32_t)(ep__edges.t[i] - e->t_batch));
        p[4] = EP_GPIO_EDGE;
        p[5] = ep__edges.id[i];
        ep__put16(p + 6, 0);
    }
    ep__edges.n = 0;
}

void ep_edge(ep *e, uint8_t id) {
    EP_EDGES(e->cfg->user);
    uint64_t t = ep_now(e); /* as near to the edge as can be: what is between the two is in every offset */
    if (!e->in_run) return;
    ep__edges.t[ep__edges.n] = t;
    ep__edges.id[ep__edges.n++] = id;
    if (ep__edges.n == sizeof ep__edges.id) ep__send_edges(e);
}
#endif

/* ---- runs and their records ---- */

void ep_run_begin(ep *e) {
    ep_flush(e);
    if (++e->run == 0) e->run = 1; /* 0 means: outside of a run */
    e->in_run = 1;
    e->frames = e->passes = e->samples = e->stages = e->dropped = 0;
    e->t_begin = ep_now(e);
#ifdef EP_EDGES
    ep__edges.n = 0; /* of a run that had no end */
    ep_edge(e, EP_AT_RUN_BEGIN);
#endif
    ep__begin_frame(e);
}

void ep_run_end(ep *e, uint8_t status, uint32_t n_prompt, uint32_t n_generated) {
    uint64_t t = ep_now(e);
    if (!e->in_run) return;
#ifdef EP_EDGES
    ep_edge(e, EP_AT_RUN_END);
    ep__send_edges(e);
#endif
    ep_flush(e);
    uint8_t *p = ep__records(e);
    ep__put32(p, status);
    ep__put32(p + 4, n_prompt);
    ep__put32(p + 8, n_generated);
    ep__put32(p + 12, e->frames);
    ep__put32(p + 16, e->passes);
    ep__put32(p + 20, e->samples);
    ep__put32(p + 24, e->stages);
    ep__put32(p + 28, e->dropped);
    ep__put64(p + 32, e->t_begin);
    e->used = 40;
    ep__send(e, EP_RUN_END, 1, t, 0);
    e->in_run = 0;
    e->t_alive = e->now;
}

void ep_pass_begin(ep *e) { e->t_pass = ep_now(e); }

void ep_pass_end_at(ep *e, uint64_t t_end, const ep_pass *pass) {
#ifdef EP_EDGES
    ep_edge(e, EP_AT_PASS_END);
#endif
    uint64_t ticks = t_end - e->t_pass;
    unsigned shift = ep__shift(ticks);
    if (shift) ep_flush(e); /* a frame has one scale */
    uint8_t *p = ep__record(e, EP_TOKENS, 30, e->t_pass);
    ep__put32(p, (uint32_t)(e->t_pass - e->t_batch));
    ep__put32(p + 4, (uint32_t)(ticks >> shift));
    ep__put32(p + 8, pass->token);
    ep__put32(p + 12, pass->next);
    ep__put32(p + 16, pass->top1);
    ep__put32(p + 20, ep__float_bits(pass->nll));
    ep__put16(p + 24, pass->position);
    ep__put16(p + 26, pass->window);
    p[28] = pass->n_batch;
    p[29] = pass->flags;
    e->passes++;
    if (shift) ep__flush_scaled(e, shift);
    ep__keep_up(e);
}

void ep_pass_end(ep *e, uint8_t phase, uint16_t position, uint32_t token, uint32_t next) {
    ep_pass pass;
    pass.token = token;
    pass.next = next;
    pass.top1 = 0;
    pass.nll = 0;
    pass.position = position;
    pass.window = EP_NO_WINDOW;
    pass.n_batch = 1;
    pass.flags = (uint8_t)(phase | EP_NEXT);
    ep_pass_end_at(e, ep_now(e), &pass);
}

void ep_stage(ep *e, uint16_t position, uint8_t stage, uint64_t ticks) {
    unsigned shift = ep__shift(ticks);
    if (shift) ep_flush(e);
    uint8_t *p = ep__record(e, EP_STAGES, 8, e->now);
    ep__put16(p, position);
    p[2] = stage;
    p[3] = 0;
    ep__put32(p + 4, (uint32_t)(ticks >> shift));
    e->stages++;
    if (shift) ep__flush_scaled(e, shift);
}

void ep_memory(ep *e, uint32_t heap, uint32_t heap_peak, uint32_t stack_peak, uint32_t kv) {
    uint64_t t = ep_now(e);
    uint8_t *p = ep__record(e, EP_MEMORY, 20, t);
    ep__put32(p, (uint32_t)(t - e->t_batch));
    ep__put32(p + 4, heap);
    ep__put32(p + 8, heap_peak);
    ep__put32(p + 12, stack_peak);
    ep__put32(p + 16, kv);
    e->samples++;
}

void ep_event(ep *e, uint8_t kind, uint8_t id) {
    uint64_t t = ep_now(e);
    uint8_t *p = ep__record(e, EP_EVENT, 8, t);
    ep__put32(p, (uint32_t)(t - e->t_batch));
    p[4] = kind;
    p[5] = id;
    ep__put16(p + 6, 0);
}

/* ---- power and logits: what is sent from where it lies ---- */

enum { EP__CHUNK = 256 }; /* a COBS block of 255 bytes, and one byte more */

/* A frame that is encoded on its way out, for what lies in someone else's memory. */
typedef struct ep__stream {
    uint32_t crc;
    uint16_t at, len; /* bytes[at] is the code of the block under way */
    int lost;
    uint8_t bytes[EP__CHUNK + 1]; /* the first frame byte is no part of a block */
} ep__stream;

/* With flip 1 the bytes of each pair change places, with flip 3 those of each four are turned round. The same steps for a zero as for any byte, as in ep__write_cobs. */
static void ep__stream_bytes(const ep *e, ep__stream *s, const uint8_t *p, size_t n, size_t flip) {
    uint8_t *out = s->bytes;
    uint32_t crc = s->crc;
    size_t at = s->at, len = s->len;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = p[i ^ flip];
        crc = ep__crc_step(crc, byte);
        out[len] = byte;
        out[at] = (uint8_t)(len - at);
        at = byte ? at : len;
        len++;
        if (len - at == 255) {
            out[at] = 255;
            at = len++;
        }
        if (len >= EP__CHUNK) { /* whole blocks go out; the one under way moves to the front */
            s->lost |= e->cfg->write(e->cfg->user, out, at) != 0;
            for (size_t k = at; k < len; k++) out[k - at] = out[k];
            len -= at;
            at = 0;
        }
    }
    s->crc = crc;
    s->at = (uint16_t)at;
    s->len = (uint16_t)len;
}

/* A frame of eight bytes and n values of some width, each with the low byte first. */
static void ep__send_stream(ep *e, uint8_t *head, uint8_t type, uint16_t n, uint64_t t0, uint32_t dt, const void *values, size_t width) {
    ep__stream s;
    uint8_t crc[EP_CRC_BYTES];
    const uint16_t one = 1;
    size_t flip = *(const uint8_t *)&one == 0 ? width - 1 : 0; /* a core that stores the high byte first */
    int of_run = ep__header(e, head, type, n, t0, dt);
    s.crc = 0xffffffffu;
    s.at = 1;
    s.len = 2;
    s.lost = 0;
    s.bytes[0] = 0;
    ep__stream_bytes(e, &s, head, EP_HEADER_BYTES + 8, 0);
    ep__stream_bytes(e, &s, (const uint8_t *)values, width * n, flip);
    ep__put32(crc, ~s.crc);
    ep__stream_bytes(e, &s, crc, sizeof crc, 0);
    s.bytes[s.at] = (uint8_t)(s.len - s.at);
    s.bytes[s.len] = 0;
    s.lost |= e->cfg->write(e->cfg->user, s.bytes, (size_t)s.len + 1) != 0;
    if (s.lost) e->dropped += n;
    if (of_run) e->frames++;
    if (!e->in_run) e->t_alive = e->now;
}

void ep_power_block(ep *e, const ep_power *stream, uint64_t t0, const uint16_t *counts, size_t n) {
    uint8_t head[EP_HEADER_BYTES + 8];
    ep_now(e);
    ep__put32(head + 24, stream->unit_na);
    ep__put16(head + 28, stream->voltage_mv);
    head[30] = stream->meter;
    head[31] = 0;
    while (n) {
        uint16_t some = n < EP_POWER_SAMPLES ? (uint16_t)n : (uint16_t)EP_POWER_SAMPLES;
        ep__send_stream(e, head, EP_POWER, some, t0, stream->dt, counts, 2);
        t0 += (uint64_t)stream->dt * some;
        counts += some;
        n -= some;
    }
    ep__keep_up(e);
}

void ep_logits(ep *e, uint16_t position, uint16_t window, const float *logits, size_t n) {
    uint8_t head[EP_HEADER_BYTES + 8];
    ep__put16(head + 24, position);
    ep__put16(head + 26, window);
    for (size_t first = 0; first < n;) {
        uint16_t some = n - first < EP_LOGITS_FRAME ? (uint16_t)(n - first) : (uint16_t)EP_LOGITS_FRAME;
        ep__put32(head + 28, (uint32_t)first);
        ep__send_stream(e, head, EP_LOGITS, some, ep_now(e), 0, logits + first, 4);
        first += some;
    }
    ep__keep_up(e);
}

/* ---- listening ---- */

void ep_reply(ep *e, uint16_t request, uint8_t code, const char *text) {
    size_t n = ep__length(text);
    if (n > 120) n = 120;
    ep_now(e);
    ep_flush(e);
    uint8_t *p = ep__records(e);
    ep__put16(p, request);
    p[2] = code;
    p[3] = (uint8_t)n;
    for (size_t i = 0; i < n; i++) p[4 + i] = (uint8_t)text[i];
    e->used = (uint16_t)(4 + n);
    ep__send(e, EP_REPLY, 1, e->now, 0);
}

void ep_answer(ep *e, ep_rx *rx, uint8_t code, const char *text) {
    rx->answered = rx->pending;
    rx->answered_code = code;
    rx->answered_text = text;
    rx->pending = 0;
    ep_reply(e, rx->answered, code, text);
}

void ep_rx_init(ep_rx *rx, void *buf, size_t cap) {
    rx->buf = (uint8_t *)buf;
    rx->cap = cap;
    rx->len = 0;
    rx->left = rx->zero_due = rx->bad = 0;
    rx->pending = rx->answered = 0;
    rx->answered_code = 0;
    rx->answered_text = 0;
}

static int ep__rx_frame(const ep_rx *rx, ep_request *out) {
    const uint8_t *p = rx->buf;
    size_t n = rx->len;
    if (rx->bad || rx->left || n < EP_HEADER_BYTES + EP_CRC_BYTES) return 0;
    n -= EP_CRC_BYTES;
    if (ep__crc(p, n) != ep__get32(p + n)) return 0;
    if (p[0] < 0x80 || p[1] != EP_WIRE_VERSION) return 0;
    out->type = p[0];
    out->id = ep__get16(p + 4);
    out->payload = p + EP_HEADER_BYTES;
    out->n = n - EP_HEADER_BYTES;
    return out->id != 0 && ep__get32(p + 8) == out->id;
}

int ep_rx_byte(ep_rx *rx, uint8_t byte, ep_request *out) {
    if (byte == 0) { /* both ends of a frame: whatever stood before it is judged, then all starts anew */
        int good = ep__rx_frame(rx, out);
        rx->len = 0;
        rx->left = rx->zero_due = rx->bad = 0;
        return good;
    }
    /* A code byte stands for the zero before it, if there is one; all else for itself. Both cost the same. */
    uint8_t is_code = rx->left == 0, stored = is_code ? rx->zero_due : 1;
    if (rx->len < rx->cap) {
        rx->buf[rx->len] = is_code ? 0 : byte;
        rx->len += stored;
    } else {
        rx->bad |= stored;
    }
    rx->left = (uint8_t)((is_code ? byte : rx->left) - 1);
    rx->zero_due = is_code ? byte != 255 : rx->zero_due;
    return 0;
}

int ep_rx_repeated(ep *e, ep_rx *rx, const ep_request *request) {
    if (request->type == EP_CMD_HELLO) return 0; /* asking twice is harmless */
    if (request->id == rx->pending) return 1;    /* it will be answered when it is done */
    if (request->id != rx->answered) return 0;
    ep_reply(e, rx->answered, rx->answered_code, rx->answered_text);
    return 1;
}

int ep_receive(ep *e, ep_rx *rx, ep_request *out) {
    uint8_t byte;
    if (!e->cfg->read) return 0;
    while (e->cfg->read(e->cfg->user, &byte, 1) == 1) {
        if (ep_rx_byte(rx, byte, out) && !ep_rx_repeated(e, rx, out)) return 1;
    }
    return 0;
}

int ep_parse_run(const ep_request *request, ep_run_request *out) {
    const uint8_t *p = request->payload;
    if (request->n < 12 || request->n - 12 < p[3]) return 0;
    out->n_generate = ep__get16(p);
    out->sampler = p[2];
    out->seed = ep__get32(p + 4);
    out->temperature = ep__bits_float(ep__get32(p + 8));
    out->label = p + 12;
    out->label_len = p[3];
    out->prompt = out->label + out->label_len;
    out->prompt_len = request->n - 12 - out->label_len;
    return 1;
}

int ep_parse_score(const ep_request *request, ep_score_request *out) {
    const uint8_t *p = request->payload;
    if (request->n < 12) return 0;
    out->window = ep__get16(p);
    out->n_windows = ep__get16(p + 2);
    out->n_tokens = ep__get16(p + 4);
    out->first_scored = ep__get16(p + 6);
    out->label_len = p[8];
    out->id_bytes = p[9];
    out->flags = p[10];
    out->label = p + 12;
    out->ids = out->label + out->label_len;
    if (out->id_bytes != 2 && out->id_bytes != 4) return 0;
    return request->n == 12 + out->label_len + (size_t)out->n_tokens * out->id_bytes;
}

uint32_t ep_score_id(const ep_score_request *score, size_t i) {
    return score->id_bytes == 2 ? ep__get16(score->ids + 2 * i) : ep__get32(score->ids + 4 * i);
}

#ifdef __cplusplus
}
#endif
#endif /* EDGEPROF_IMPLEMENTED */
#endif /* EDGEPROF_IMPLEMENTATION */
