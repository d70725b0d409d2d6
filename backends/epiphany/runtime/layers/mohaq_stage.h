/* A stage: one pass of one direction of a layer over the time steps of a sequence. Layers' files
 * hold constants only; mohaq_stage.c does the work with them, and a cell function each step. */
#ifndef MOHAQ_STAGE_H
#define MOHAQ_STAGE_H

#include "mohaq_kernels.h"
#include "mohaq_rt.h"

/* Place of a field in local memory, as a number that a constant can hold. */
#define MOHAQ_PLACE(bank, field) \
    ((uint16_t)(MOHAQ_BANK_ORIGIN(bank) + offsetof(struct mohaq_bank##bank, field)))

static inline void *mohaq_local(uint32_t place)
{
#ifdef MOHAQ_STANDIN
    return mohaq_standin_memory + place;
#else
    return (void *)place;
#endif
}

typedef void mohaq_kernel_function(const uint8_t *w, const int32_t *x, uint32_t *acc, uint32_t k);
typedef void mohaq_convert_function(int32_t *x, const int16_t *raw, uint32_t count,
                                    const int32_t *k);

/* Columns of an operand: a plane of shared memory, in tiles. */
struct mohaq_piece {
    uint16_t plane, columns;
    uint16_t tiles, width, last; /* columns of a tile and of the last one */
    uint16_t share;              /* columns of a tile that one core fetches for all */
    mohaq_convert_function *convert;
    const int32_t *k;            /* its numbers */
};

struct mohaq_operand {
    uint16_t pieces;
    const struct mohaq_piece *piece;
};

/* Rows of a matrix product. Sums lie as [row block][quad][4 rows][4 steps], or [row] of a single
 * step; row `rows` has zero weights, so its sum is what the offset of the weights adds to all. */
struct mohaq_product {
    uint32_t weights, stride; /* in weights.bin: first byte of core 0, bytes of a core */
    mohaq_kernel_function *kernel;
    uint16_t id;              /* of the kernel: 0..3 mv8, 4..7 tile4; 2, 4, 8, 16 bits */
    uint16_t source;          /* number of the operand or the exchange */
    uint16_t active, rows, blocks, at_once;
    uint16_t local;           /* place of weights that stay, or 0 */
    uint16_t sums, wide;      /* places; wide 0: sums fit 32 bits */
    uint16_t tiles, width;    /* of an exchange */
};

/* Values that every core gives to all others in a step; two copies in turn. */
struct mohaq_exchange {
    uint16_t place, columns, real, segment, active;
};

/* A core's own units between local and shared memory: `count` channels from column
 * core * segment + first of a plane. */
struct mohaq_move {
    uint16_t plane, columns, segment, first, count, active, place;
    uint16_t table; /* place of a column number for each channel, or 0 */
};

struct mohaq_held {
    uint16_t place, count;
};

struct mohaq_stage {
    uint16_t phase, active, quads, reverse;
    uint32_t vectors, vector_bytes; /* in weights.bin: first byte of core 0, bytes of a core */
    uint16_t vector_place, carry, operand, share, operand_words;
    uint16_t weights0, weights1;    /* places of the weight buffers */
    uint16_t operands, products, exchanges, states, starts, ends, fetches, outputs;
    const struct mohaq_operand *all_operands;
    const struct mohaq_product *all_products;
    const struct mohaq_exchange *all_exchanges;
    const struct mohaq_held *all_states;
    const struct mohaq_move *all_starts, *all_ends, *all_fetches, *all_outputs;
    void (*cell)(const struct mohaq_stage *stage, uint32_t core, uint32_t q, uint32_t s,
                 uint32_t parity);
    const uint16_t *at;             /* places that the cell works with */
    const int32_t *k;               /* its numbers */
};

/* Reads the weights of a stage that stay in local memory. */
void mohaq_load_stage(const struct mohaq_stage *stage);

/* Runs a stage on one sequence. */
void mohaq_run_stage(const struct mohaq_stage *stage, uint32_t frames, uint32_t batch, uint32_t b);

/* For cells: own values of an exchange; give them to all; multiply with what has arrived. */
int32_t *mohaq_mine(const struct mohaq_stage *stage, uint32_t exchange, uint32_t core,
                    uint32_t parity);
void mohaq_give(const struct mohaq_stage *stage, uint32_t exchange, uint32_t core, uint32_t parity);
void mohaq_take(const struct mohaq_stage *stage, uint32_t product, uint32_t core, uint32_t parity);

/* Place of a sum: [row block][quad][4 rows][4 steps]. */
static inline uint32_t mohaq_at4(uint32_t row, uint32_t q, uint32_t s, uint32_t quads)
{
    return ((row >> 2) * quads + q) * 16u + (row & 3u) * 4u + s;
}

static inline int32_t mohaq_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

static inline int64_t mohaq_clamp_wide(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* x * m for 0 <= m < 2^15 of two 32-bit products: one of 64 bits is a call of the library, which
 * leaves and enters integer mode. */
static inline int64_t mohaq_product(int32_t x, int32_t m)
{
    const uint32_t low = ((uint32_t)x & 0xffffu) * (uint32_t)m;
    return (int64_t)((x >> 16) * m) * 65536 + (int64_t)low;
}

/* (x * m + 2^(s-1)) >> s for m < 2^15 and 17 <= s <= 47, exact with 32-bit products: with
 * x = 65536 h + l it is (h * m + (l * m >> 16) + 2^(s-17)) >> (s-16). */
static inline int32_t mohaq_rescale(int32_t x, int32_t m, int32_t s)
{
    const int32_t low = (int32_t)(((uint32_t)x & 0xffffu) * (uint32_t)m >> 16);
    return ((x >> 16) * m + low + (1 << (s - 17))) >> (s - 16);
}

/* A table of lines between 2^k + 1 points; shift = 16 - k. */
static inline int32_t mohaq_line(const int16_t *points, uint32_t shift, int32_t x)
{
    const uint32_t at = (uint32_t)(x + 32768), i = at >> shift;
    const int32_t rest = (int32_t)(at & ((1u << shift) - 1u)), left = points[i];
    return left + (((points[i + 1u] - left) * rest + (1 << (shift - 1u))) >> shift);
}

/* A table of 2^k steps. */
static inline int32_t mohaq_step(const int16_t *points, uint32_t shift, int32_t x)
{
    return points[(uint32_t)(x + 32768) >> shift];
}

#endif
