#include "kernels_sums.h"

#ifdef LLM_KERNELS_SIMD

void sums_q4_64(int32_t *a, const uint8_t *w, const int8_t *x) {
    a[0] = a[1] = 0;
    for (int i = 0; i < 32; i += 4) {
        uint32_t u = WORD(w + i);
        a[0] = four_low(u, 0x000f000fu, x + i, a[0]);
        a[1] = four_low(u >> 4, 0x000f000fu, x + i + 32, a[1]);
    }
}

void sums_q5_64(int32_t *a, const uint8_t *w, const uint8_t *high, int shift, const int8_t *x) {
    a[0] = a[1] = 0;
    for (int i = 0; i < 32; i += 4) {
        uint32_t u = WORD(w + i), h = WORD(high + i) >> shift;
        a[0] = four((u & 0x0f0f0f0fu) | (h & 0x01010101u) << 4, x + i, a[0]);
        a[1] = four((u >> 4 & 0x0f0f0f0fu) | (h & 0x02020202u) << 3, x + i + 32, a[1]);
    }
}

void sums_q2_64(int32_t *a, const uint8_t *w, const int8_t *x) {
    a[0] = a[1] = a[2] = a[3] = 0;
    for (int i = 0; i < 16; i += 4) {
        uint32_t u = WORD(w + i);
        a[0] = four_low(u, 0x00030003u, x + i, a[0]);
        a[1] = four_low(u >> 2, 0x00030003u, x + i + 32, a[1]);
        a[2] = four_low(u >> 4, 0x00030003u, x + i + 64, a[2]);
        a[3] = four_low(u >> 6, 0x00030003u, x + i + 96, a[3]);
    }
}

void sums_q3_64(int32_t *a, const uint8_t *w, const uint8_t *high, int shift, const int8_t *x) {
    a[0] = a[1] = a[2] = a[3] = 0;
    for (int i = 0; i < 16; i += 4) {
        uint32_t u = WORD(w + i), h = WORD(high + i) >> shift;
        a[0] = four((u & 0x03030303u) | (h & 0x01010101u) << 2, x + i, a[0]);
        a[1] = four((u >> 2 & 0x03030303u) | (h & 0x02020202u) << 1, x + i + 32, a[1]);
        a[2] = four((u >> 4 & 0x03030303u) | (h & 0x04040404u), x + i + 64, a[2]);
        a[3] = four((u >> 6 & 0x03030303u) | (h & 0x08080808u) >> 1, x + i + 96, a[3]);
    }
}

void sums_q6_64(int32_t *a, const uint8_t *w, const uint8_t *high, const int8_t *x) {
    a[0] = a[1] = a[2] = a[3] = 0;
    for (int i = 0; i < 16; i += 4) {
        uint32_t u = WORD(w + i), v = WORD(w + i + 32), h = WORD(high + i);
        a[0] = four((u & 0x0f0f0f0fu) | (h << 4 & 0x30303030u), x + i, a[0]);
        a[1] = four((v & 0x0f0f0f0fu) | (h << 2 & 0x30303030u), x + i + 32, a[1]);
        a[2] = four((u >> 4 & 0x0f0f0f0fu) | (h & 0x30303030u), x + i + 64, a[2]);
        a[3] = four((v >> 4 & 0x0f0f0f0fu) | (h >> 2 & 0x30303030u), x + i + 96, a[3]);
    }
}

#endif
