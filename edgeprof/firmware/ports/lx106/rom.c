/* What the compiler calls for, and libgcc for this core leaves out because the chip has it in its mask ROM: single-precision
 * floats (IEEE 754, to nearest even, subnormals too) and 64-bit integers. The ROM's own may cost more or less.
 * Tested on every machine against its own arithmetic: tests/integration/test_firmware_lx106.py. */
#include <stdint.h>

#ifndef ROM
#define ROM(name) __##name
#endif

enum { INFINITE = 255, HIDDEN = 1 << 23 };
#define SIGN 0x80000000u
#define NOT_A_NUMBER 0x7fc00000u
#define INFINITY_BITS 0x7f800000u

typedef union bits { float f; uint32_t u; } bits;

static inline uint32_t bits_of(float f) { bits x; x.f = f; return x.u; }
static inline float float_of(uint32_t u) { bits x; x.u = u; return x.f; }

/* Shifts right; what falls out is kept as one sticky bit. */
static inline uint32_t shifted(uint32_t m, uint32_t by) {
    if (by > 31) return m != 0;
    return by ? (m >> by) | ((m << (32 - by)) != 0) : m;
}

/* The float of m * 2^(e - 157), with m in [2^30, 2^31): seven bits more than there is room for. */
static float rounded(uint32_t sign, int32_t e, uint32_t m) {
    if (e >= INFINITE) return float_of(sign | INFINITY_BITS);
    if (e <= 0) {
        m = shifted(m, (uint32_t)(1 - e));
        e = 1; /* with the hidden bit missing, the sum below has the exponent 0 */
    }
    uint32_t low = m & 127u;
    m >>= 7;
    m += low > 64 || (low == 64 && (m & 1u));
    return float_of(sign | (((uint32_t)(e - 1) << 23) + m)); /* a carry goes into the exponent, as it should */
}

float ROM(addsf3)(float x, float y);
float ROM(subsf3)(float x, float y);
float ROM(mulsf3)(float x, float y);
float ROM(floatsisf)(int32_t x);
float ROM(floatunsisf)(uint32_t x);
int32_t ROM(fixsfsi)(float x);
uint32_t ROM(fixunssfsi)(float x);
uint32_t ROM(udivsi3)(uint32_t a, uint32_t b);
uint32_t ROM(umodsi3)(uint32_t a, uint32_t b);
int32_t ROM(divsi3)(int32_t a, int32_t b);
uint64_t ROM(muldi3)(uint64_t a, uint64_t b);
uint64_t ROM(udivdi3)(uint64_t a, uint64_t b);
uint64_t ROM(umoddi3)(uint64_t a, uint64_t b);

float ROM(addsf3)(float x, float y) {
    uint32_t a = bits_of(x), b = bits_of(y);
    if ((a & ~SIGN) < (b & ~SIGN)) { /* a has the greater magnitude */
        uint32_t t = a;
        a = b;
        b = t;
    }
    int32_t ea = (int32_t)(a >> 23 & 255u), eb = (int32_t)(b >> 23 & 255u);
    uint32_t ma = a & (HIDDEN - 1), mb = b & (HIDDEN - 1), sign = a & SIGN;
    if (ea == INFINITE) {
        if (ma || (eb == INFINITE && (a ^ b) == SIGN)) return float_of(NOT_A_NUMBER);
        return float_of(a);
    }
    if (ea) ma |= HIDDEN; else ea = 1;
    if (eb) mb |= HIDDEN; else eb = 1;
    ma <<= 6;
    mb = shifted(mb << 6, (uint32_t)(ea - eb));
    uint32_t m = (a ^ b) & SIGN ? ma - mb : ma + mb;
    if (m == 0) return float_of(a == b ? a : 0); /* -0 only as the sum of two */
    uint32_t up = (uint32_t)__builtin_clz(m) - 1u;
    return rounded(sign, ea + 1 - (int32_t)up, m << up);
}

float ROM(subsf3)(float x, float y) { return ROM(addsf3)(x, float_of(bits_of(y) ^ SIGN)); }

/* A subnormal's mantissa with its leading bit where a normal one has it, and the exponent to that. */
static inline uint32_t normal(uint32_t m, int32_t *e) {
    if (*e) return m | HIDDEN;
    uint32_t up = (uint32_t)__builtin_clz(m) - 8u;
    *e = 1 - (int32_t)up;
    return m << up;
}

float ROM(mulsf3)(float x, float y) {
    uint32_t a = bits_of(x), b = bits_of(y), sign = (a ^ b) & SIGN;
    int32_t ea = (int32_t)(a >> 23 & 255u), eb = (int32_t)(b >> 23 & 255u);
    uint32_t ma = a & (HIDDEN - 1), mb = b & (HIDDEN - 1);
    if (ea == INFINITE || eb == INFINITE) {
        int nan = (ea == INFINITE && ma) || (eb == INFINITE && mb) || !(a & ~SIGN) || !(b & ~SIGN);
        return float_of(nan ? NOT_A_NUMBER : sign | INFINITY_BITS);
    }
    if (!(a & ~SIGN) || !(b & ~SIGN)) return float_of(sign);
    ma = normal(ma, &ea);
    mb = normal(mb, &eb);
    /* 24 x 24 bits in halves of 12 */
    uint32_t ah = ma >> 12, al = ma & 0xfffu, bh = mb >> 12, bl = mb & 0xfffu;
    uint32_t middle = ah * bl + al * bh, low = al * bl + ((middle & 0xfffu) << 12);
    uint32_t high = ah * bh + (middle >> 12) + (low >> 24); /* the product is high * 2^24 + low */
    low &= 0xffffffu;
    if (high >= HIDDEN) return rounded(sign, ea + eb - 126, high << 7 | low >> 17 | ((low & 0x1ffffu) != 0));
    return rounded(sign, ea + eb - 127, high << 8 | low >> 16 | ((low & 0xffffu) != 0));
}

static float from_integer(uint32_t sign, uint32_t size) {
    if (size == 0) return 0;
    uint32_t up = (uint32_t)__builtin_clz(size);
    return rounded(sign, 158 - (int32_t)up, shifted(size << up, 1));
}

float ROM(floatunsisf)(uint32_t x) { return from_integer(0, x); }
float ROM(floatsisf)(int32_t x) { return from_integer(x < 0 ? SIGN : 0, x < 0 ? 0u - (uint32_t)x : (uint32_t)x); }

static uint32_t magnitude(uint32_t u) { /* towards zero; for sizes below 2^32 */
    int32_t e = (int32_t)(u >> 23 & 255u) - 127;
    uint32_t m = (u & (HIDDEN - 1)) | HIDDEN;
    if (e < 0) return 0;
    return e > 31 ? 0xffffffffu : e >= 23 ? m << (e - 23) : m >> (23 - e);
}

uint32_t ROM(fixunssfsi)(float x) { return bits_of(x) & SIGN ? 0u - magnitude(bits_of(x)) : magnitude(bits_of(x)); }
int32_t ROM(fixsfsi)(float x) { return (int32_t)ROM(fixunssfsi)(x); }

static uint32_t divided(uint32_t a, uint32_t b, uint32_t *rest) {
    uint32_t q = 0, r = 0;
    for (int i = 31; i >= 0; i--) {
        r = r << 1 | (a >> i & 1u);
        if (r >= b) {
            r -= b;
            q |= 1u << i;
        }
    }
    *rest = r;
    return q;
}

uint32_t ROM(udivsi3)(uint32_t a, uint32_t b) {
    uint32_t rest;
    return divided(a, b, &rest);
}

uint32_t ROM(umodsi3)(uint32_t a, uint32_t b) {
    uint32_t rest;
    divided(a, b, &rest);
    return rest;
}

int32_t ROM(divsi3)(int32_t a, int32_t b) {
    uint32_t q = ROM(udivsi3)(a < 0 ? 0u - (uint32_t)a : (uint32_t)a, b < 0 ? 0u - (uint32_t)b : (uint32_t)b);
    return (int32_t)((a < 0) != (b < 0) ? 0u - q : q);
}

/* 32 x 32 bits to 64, in halves of 16. */
static uint64_t wide(uint32_t a, uint32_t b) {
    uint32_t ah = a >> 16, al = a & 0xffffu, bh = b >> 16, bl = b & 0xffffu;
    uint32_t low = al * bl, one = ah * bl, two = al * bh;
    uint32_t middle = (low >> 16) + (one & 0xffffu) + (two & 0xffffu);
    uint32_t high = ah * bh + (one >> 16) + (two >> 16) + (middle >> 16);
    return (uint64_t)high << 32 | (middle << 16) | (low & 0xffffu);
}

uint64_t ROM(muldi3)(uint64_t a, uint64_t b) {
    uint32_t al = (uint32_t)a, bl = (uint32_t)b;
    return wide(al, bl) + ((uint64_t)((uint32_t)(a >> 32) * bl + al * (uint32_t)(b >> 32)) << 32);
}

static uint64_t divided_64(uint64_t a, uint64_t b, uint64_t *rest) {
    uint64_t q = 0, r = 0;
    for (int i = 63; i >= 0; i--) {
        r = r << 1 | (a >> i & 1u);
        if (r >= b) {
            r -= b;
            q |= (uint64_t)1 << i;
        }
    }
    *rest = r;
    return q;
}

uint64_t ROM(udivdi3)(uint64_t a, uint64_t b) {
    uint64_t rest;
    return divided_64(a, b, &rest);
}

uint64_t ROM(umoddi3)(uint64_t a, uint64_t b) {
    uint64_t rest;
    divided_64(a, b, &rest);
    return rest;
}
