/* Elementary functions in plain single-precision operations, so that each core gives the same bits.
 *
 * Compile with -ffp-contract=off and without -ffast-math. Error bounds, tested against float64:
 *   e_exp   2 ulp on [-87, 88]; 0 below -87, the largest float above 88
 *   e_log   2 ulp on normal numbers; not meant for x <= 0
 *   e_sin, e_cos   absolute 2e-7 for |x| <= 8192
 *   e_sqrt  1 ulp on normal numbers; 0 for x <= 0
 */
#ifndef LLM_EMATH_H
#define LLM_EMATH_H

float e_exp(float x);
float e_log(float x);
float e_sqrt(float x);
void e_sin_cos(float x, float *sine, float *cosine);

#endif
