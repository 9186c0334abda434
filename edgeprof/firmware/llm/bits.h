/* Little helpers: loads that need no alignment, and the bits of a float. All cores we know are little-endian. */
#ifndef LLM_BITS_H
#define LLM_BITS_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t load_u16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t load_u32(const uint8_t *p) { return load_u16(p) | load_u16(p + 2) << 16; }
static inline uint64_t load_u64(const uint8_t *p) { return load_u32(p) | (uint64_t)load_u32(p + 4) << 32; }

static inline float float_of(uint32_t u) { union { uint32_t u; float f; } x; x.u = u; return x.f; }
static inline uint32_t bits_of(float f) { union { uint32_t u; float f; } x; x.f = f; return x.u; }
static inline float load_f32(const uint8_t *p) { return float_of(load_u32(p)); }

/* F16 to F32 by moving the bits: the result is the value times 2^-112, exactly, for each finite half (subnormals too).
 * The factor is put back where it costs least. An infinity or NaN reads as a number of about 2^16: harmless. */
static inline float half_bits(int16_t h) { return float_of(((uint32_t)(int32_t)h << 13) & 0x8fffe000u); }
#define HALF_SCALE 0x1p112f
static inline float half_bits_at(const uint8_t *p) { return half_bits((int16_t)load_u16(p)); }
static inline float half_to_float(const uint8_t *p) { return half_bits_at(p) * HALF_SCALE; }

/* F32 to F16, to nearest even; what is too large becomes the largest half, not infinity. */
static inline uint16_t float_to_half(float f) {
    uint32_t u = bits_of(f), sign = (u >> 16) & 0x8000u, size = u & 0x7fffffffu;
    if (size >= 0x477fe000u) return (uint16_t)(sign | 0x7bffu);
    if (size < 0x38800000u) { /* subnormal: adding 0.5 leaves the rounded bits in the low end of the mantissa */
        float x = float_of(size) + 0.5f;
        return (uint16_t)(sign | (bits_of(x) - 0x3f000000u));
    }
    return (uint16_t)(sign | ((size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13));
}

#endif
