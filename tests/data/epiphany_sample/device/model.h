/* Sample: h[t] = clamp16((W h[t-1] >> 10) + x[t]), four units a core; ROWS and COLS by the test. */
#ifndef SAMPLE_MODEL_H
#define SAMPLE_MODEL_H

#include <stdint.h>

#define MOHAQ_ROWS @ROWS@
#define MOHAQ_COLS @COLS@
#define MOHAQ_CORES (MOHAQ_ROWS * MOHAQ_COLS)
#define MOHAQ_FIRST_CORE 0x808
#define MOHAQ_BANK_BYTES 8192
#define MOHAQ_PHASES 2

#define UNITS (4 * MOHAQ_CORES)

#define MOHAQ_JOB_BYTES ((64 + 4 * MOHAQ_CORES + 7) / 8 * 8)
#define MOHAQ_WEIGHTS_OFFSET MOHAQ_JOB_BYTES
#define MOHAQ_WEIGHTS_BYTES (UNITS * UNITS)
#define MOHAQ_INPUTS 2
#define MOHAQ_OUTPUTS 2

/* Products of 64 bits are slow on the chip; the host checks what users ask for. */
#ifdef __epiphany__
typedef uint32_t mohaq_offset;
#else
typedef uint64_t mohaq_offset;
#endif

/* Planes of shared DRAM: 0 x [B][T][UNITS], 1 h0 [B][UNITS], 2 y like x, 3 hT like h0. */
static inline mohaq_offset mohaq_plane_offset(uint32_t plane, mohaq_offset frames,
                                              mohaq_offset batch)
{
    static const uint32_t before[5][2] = {{0, 0}, {1, 0}, {1, 1}, {2, 1}, {2, 2}};
    return MOHAQ_WEIGHTS_OFFSET + MOHAQ_WEIGHTS_BYTES
           + 2 * UNITS * batch * (before[plane][0] * frames + before[plane][1]);
}

static inline uint64_t mohaq_dram_bytes(uint32_t frames, uint32_t batch)
{
    return mohaq_plane_offset(4, frames, batch);
}

#ifdef MOHAQ_MODEL_PORTS
struct mohaq_port {
    const char *name;
    uint32_t plane, steps, depth, channels;
};
static const struct mohaq_port mohaq_inputs[] = {{"x", 0, 1, 1, UNITS}, {"h0", 1, 0, 1, UNITS}};
static const struct mohaq_port mohaq_outputs[] = {{"y", 2, 1, 1, UNITS}, {"hT", 3, 0, 1, UNITS}};

static inline uint64_t mohaq_element_offset(const struct mohaq_port *port, uint32_t frames,
                                            uint32_t batch, uint32_t row, uint32_t b, uint32_t c)
{
    uint64_t rows = port->steps ? frames : 1;
    return mohaq_plane_offset(port->plane, frames, batch) + 2 * UNITS * (b * rows + row) + 2 * c;
}
#endif

#endif
