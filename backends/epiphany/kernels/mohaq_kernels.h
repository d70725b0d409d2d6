/* Inner kernels of mohaq's Epiphany projects: prototypes of mohaq_kernels.S and the same
 * functions in portable C.
 *
 * All kernels ADD sums of (offset-binary weight) * (activation) to `acc`, modulo 2^32. A weight w
 * of b bits is stored as u = w + 2^(b-1), b in {2, 4, 8, 16}; the caller takes off
 * 2^(b-1) * sum(x) where the signed product is wanted.
 *
 * mohaq_mv8_w<b>(w, x, acc, k): 8 rows by k columns, acc[row] += sum(u[column][row] * x[column]).
 *   w  [k][8 rows]: 16 bits: 8 little-endian halfwords a column; 8 bits: 8 bytes; 4 bits: 4 bytes,
 *      byte i = row 2i | row 2i+1 << 4; 2 bits: 2 bytes, byte i = rows 4i..4i+3 from the low bits.
 *   x  [k] int32.                         acc [8] uint32.
 * mohaq_tile4_w<b>(w, x, acc, k): 4 rows by 4 time steps,
 *   acc[row][step] += sum(u[column][row] * x[column][step]).
 *   w  [k][4 rows] packed the same way (16 bits: 8 bytes a column; 8: 4; 4: 2; 2: 1).
 *   x  [k][4 steps] int32.                acc [4 rows][4 steps] uint32.
 * mohaq_swar_w4a8(w, x, acc, k): the same sums as mohaq_tile4_w4 for activations 0..255,
 *   x  [k][2] uint32, word j = step 2j | step 2j+1 << 16.
 *
 * Preconditions: k is a multiple of 4 (the caller pads with x = 0); w, x and acc lie on 8-byte
 * addresses and do not overlap; for b = 4 and 2 every -32768 <= x <= 32767 (the assembly sums two
 * or four rows in one register and needs the head room).
 *
 * The assembly sets integer mode itself, runs with interrupts off and restores both on return.
 * MOHAQ_IMADD needs integer mode (compile with -mfp-mode=int). */
#ifndef MOHAQ_KERNELS_H
#define MOHAQ_KERNELS_H

#include <stdint.h>

#if defined(__epiphany__)
#define MOHAQ_IMADD(acc, a, b) \
    __asm__("imadd %0,%1,%2" : "+r"(acc) : "r"((uint32_t)(a)), "r"((uint32_t)(b)))
#else
#define MOHAQ_IMADD(acc, a, b) ((acc) += (uint32_t)(a) * (uint32_t)(b))
#endif

#if defined(__epiphany__) && !defined(MOHAQ_C_KERNELS)

void mohaq_mv8_w2(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_mv8_w4(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_mv8_w8(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_mv8_w16(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_tile4_w2(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_tile4_w4(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_tile4_w8(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_tile4_w16(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
void mohaq_swar_w4a8(const uint8_t *w, const uint32_t *x, uint32_t *acc, uint32_t k);

#else

/* Weight `index` of a packed array, 0 <= u < 2^bits. */
static inline uint32_t mohaq_weight(const uint8_t *w, uint32_t index, uint32_t bits)
{
    if (bits == 16) {
        return (uint32_t)w[2 * index] | (uint32_t)w[2 * index + 1] << 8;
    }
    return (uint32_t)w[index * bits / 8] >> (index * bits % 8) & ((1u << bits) - 1u);
}

static inline void mohaq_mv8_c(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k,
                               uint32_t bits)
{
    for (uint32_t column = 0; column < k; column++) {
        for (uint32_t row = 0; row < 8; row++) {
            MOHAQ_IMADD(acc[row], mohaq_weight(w, 8 * column + row, bits), x[column]);
        }
    }
}

static inline void mohaq_tile4_c(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k,
                                 uint32_t bits)
{
    for (uint32_t column = 0; column < k; column++) {
        for (uint32_t row = 0; row < 4; row++) {
            uint32_t u = mohaq_weight(w, 4 * column + row, bits);
            for (uint32_t step = 0; step < 4; step++) {
                MOHAQ_IMADD(acc[4 * row + step], u, x[4 * column + step]);
            }
        }
    }
}

#define MOHAQ_C_KERNEL(kind, bits)                                                               \
    static inline void mohaq_##kind##_w##bits(const uint8_t *w, const int32_t *x, uint32_t *acc, \
                                              uint32_t k)                                        \
    {                                                                                            \
        mohaq_##kind##_c(w, x, acc, k, bits);                                                    \
    }

MOHAQ_C_KERNEL(mv8, 2)
MOHAQ_C_KERNEL(mv8, 4)
MOHAQ_C_KERNEL(mv8, 8)
MOHAQ_C_KERNEL(mv8, 16)
MOHAQ_C_KERNEL(tile4, 2)
MOHAQ_C_KERNEL(tile4, 4)
MOHAQ_C_KERNEL(tile4, 8)
MOHAQ_C_KERNEL(tile4, 16)

static inline void mohaq_swar_w4a8(const uint8_t *w, const uint32_t *x, uint32_t *acc, uint32_t k)
{
    for (uint32_t column = 0; column < k; column++) {
        for (uint32_t row = 0; row < 4; row++) {
            uint32_t u = mohaq_weight(w, 4 * column + row, 4);
            for (uint32_t step = 0; step < 4; step++) {
                uint32_t pair = x[2 * column + step / 2];
                MOHAQ_IMADD(acc[4 * row + step], u, pair >> (16 * (step % 2)) & 0xffffu);
            }
        }
    }
}

#endif
#endif
