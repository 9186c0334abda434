#include "emath.h"

#include "bits.h"

/* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, and leaves it in the low bits. */
#define ROUND_MAGIC 12582912.0f
#define ROUND_BITS 0x4b400000u

float e_exp(float x) {
    if (!(x >= -87.0f)) return 0.0f; /* NaN too */
    if (x > 88.0f) return 0x1.fffffep127f;
    float shifted = x * 1.44269504f + ROUND_MAGIC;
    uint32_t power = bits_of(shifted) - ROUND_BITS;
    float n = shifted - ROUND_MAGIC;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts: the first product is exact */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    float y = (p * (r * r) + r) + 1.0f;
    return float_of(bits_of(y) + (power << 23));
}

float e_log(float x) {
    uint32_t u = bits_of(x);
    /* x = m * 2^n with m in [sqrt(1/2), sqrt(2)) */
    int32_t n = (int32_t)(u - 0x3f3504f3u) >> 23;
    float m = float_of(u - ((uint32_t)n << 23)) - 1.0f;
    float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float e = (float)n;
    float y = (p * m) * z + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    return (m + y) + e * 0.693359375f;
}

float e_sqrt(float x) {
    if (!(x > 0.0f)) return 0.0f;
    float r = float_of(0x5f3759dfu - (bits_of(x) >> 1)); /* 1/sqrt(x) to 3 %, then Newton */
    float half = 0.5f * x;
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    float s = x * r;
    return 0.5f * (s + x / s);
}

void e_sin_cos(float x, float *sine, float *cosine) {
    float shifted = x * 0.636619772f + ROUND_MAGIC;
    uint32_t quadrant = bits_of(shifted) - ROUND_BITS;
    float n = shifted - ROUND_MAGIC;
    /* pi/2 in four parts of few bits, so that n times each of the first ones is exact for |n| < 8192 */
    float r = ((x - n * 1.5703125f) - n * 4.837512969970703125e-4f) - n * 7.54953362047672271729e-8f;
    r = r - n * 2.56334406825708960298e-12f;
    float z = r * r;
    float s = -1.9515295891e-4f;
    s = s * z + 8.3321608736e-3f;
    s = s * z - 1.6666654611e-1f;
    s = s * z * r + r;
    float c = 2.443315711809948e-5f;
    c = c * z - 1.388731625493765e-3f;
    c = c * z + 4.166664568298827e-2f;
    c = c * z * z - 0.5f * z + 1.0f;
    float a = (quadrant & 1u) ? c : s, b = (quadrant & 1u) ? s : c;
    *sine = (quadrant & 2u) ? -a : a;
    *cosine = ((quadrant + 1u) & 2u) ? -b : b;
}
