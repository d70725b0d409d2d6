/* Sample program: weights stay in the cores, one exchange and one barrier a step. In the stand-in
 * the variable SAMPLE_MISTAKE plants one that must be noticed. */
#include "mohaq_rt.h"

enum mistake {
    NONE,
    NO_BARRIER,
    NO_WAIT,
    TO_ITSELF,
    DEADLOCK,
    DIRECT,
    FAILS,
    SOURCE_CHANGED,
    MISALIGNED,
    EARLY_WRITE,
    LATE_PUSH,
    READS_FLAGS,
    OUTSIDE,
    ENDLESS
};

#ifdef MOHAQ_STANDIN
#include <stdlib.h>
static int made(enum mistake mistake)
{
    const char *number = getenv("SAMPLE_MISTAKE");
    return number != NULL && strtol(number, NULL, 10) == (long)mistake;
}
#else
#define made(mistake) 0
#endif

MOHAQ_DEFINE_BANKS

static const uint16_t limits[2] MOHAQ_CONST = {32768, 32767};

static int16_t clamped(int32_t value)
{
    if (value < -(int32_t)limits[0])
        return (int16_t)-(int32_t)limits[0];
    return value > limits[1] ? (int16_t)limits[1] : (int16_t)value;
}

static uint32_t row_offset(uint32_t plane, uint32_t row, uint32_t frames, uint32_t batch)
{
    return (uint32_t)mohaq_plane_offset(plane, frames, batch) + 2 * UNITS * row;
}

static void step(const int16_t *h, int16_t *next)
{
    struct mohaq_bank3 *own = MOHAQ_LOCAL(3);
    uint32_t first = 4 * mohaq_core();
    for (uint32_t u = 0; u < 4; u++) {
        uint32_t sum = 0;
        for (uint32_t j = 0; j < UNITS; j++)
            sum += (uint32_t)((int32_t)MOHAQ_LOCAL(1)->w[u][j] * h[j]);
        MOHAQ_COUNT_KERNEL(2, UNITS);
        own->mine[u] = clamped(((int32_t)sum >> 10) + own->x[u]);
        next[first + u] = own->mine[u];
    }
    MOHAQ_COUNT_ELEMENTS(1, 4);
    for (uint32_t core = 0; core < MOHAQ_CORES; core++)
        if (core != mohaq_core() || made(TO_ITSELF))
            mohaq_push(core, next + first, own->mine, sizeof own->mine);
}

static void run_sequence(uint32_t b, uint32_t frames, uint32_t batch)
{
    struct mohaq_bank3 *own = MOHAQ_LOCAL(3);
    uint32_t mine = 8 * mohaq_core();
    mohaq_dma_start(1, MOHAQ_LOCAL(2)->h[0], mohaq_dram(row_offset(1, b, frames, batch)),
                    2 * UNITS);
    if (made(EARLY_WRITE))
        MOHAQ_LOCAL(2)->h[0][3] = 7;
    mohaq_dma_wait(1);
    for (uint32_t t = 0; t < frames; t++) {
        uint32_t row = b * frames + t;
        mohaq_dma_start(1, own->x, mohaq_dram(row_offset(0, row, frames, batch) + mine), 8);
        if (!made(NO_WAIT))
            mohaq_dma_wait(1);
        step(MOHAQ_LOCAL(2)->h[t & 1], MOHAQ_LOCAL(2)->h[(t + 1) & 1]);
        mohaq_dma_start(1, mohaq_dram(row_offset(2, row, frames, batch) + mine), own->mine, 8);
        if (made(SOURCE_CHANGED))
            own->mine[0]++;
        mohaq_dma_wait(1);
        if (!(made(NO_BARRIER) && t == 1) && !(made(DEADLOCK) && mohaq_core() == 0))
            mohaq_barrier();
    }
    mohaq_dma_start(1, mohaq_dram(row_offset(3, b, frames, batch) + mine), own->mine, 8);
    mohaq_dma_wait(1);
}

int MOHAQ_DEVICE_MAIN(void)
{
    struct mohaq_bank3 *own = MOHAQ_LOCAL(3);
    mohaq_phase(0);
    mohaq_dma_start(0, MOHAQ_LOCAL(1)->w,
                    mohaq_dram(MOHAQ_WEIGHTS_OFFSET + 4 * UNITS * mohaq_core()), 4 * UNITS);
    mohaq_dma_wait(0);
    if (made(DIRECT))
        own->x[0] = *(int16_t *)mohaq_dram(MOHAQ_WEIGHTS_OFFSET);
    if (made(MISALIGNED))
        mohaq_dma_start(0, own->x, mohaq_dram(MOHAQ_WEIGHTS_OFFSET + 4), 8);
    if (made(READS_FLAGS))
        mohaq_dma_start(0, MOHAQ_LOCAL(2)->h[0], mohaq_dram(0), 72);
    if (made(OUTSIDE))
        mohaq_dma_start(0, own->x, mohaq_dram((uint32_t)mohaq_plane_offset(4, 3, 2)), 8);
    while (mohaq_wait_start()) {
        mohaq_dma_start(1, own->job, mohaq_dram(0), sizeof own->job);
        mohaq_dma_wait(1);
        if (made(FAILS) && mohaq_core() == MOHAQ_CORES - 1)
            mohaq_fail(MOHAQ_ERROR_PROGRAM + 5, 77);
        while (made(ENDLESS))
            mohaq_dma_wait(0);
        mohaq_phase(1);
        for (uint32_t b = 0; b < own->job[1]; b++)
            run_sequence(b, own->job[0], own->job[1]);
        if (made(LATE_PUSH) && mohaq_core() == 0)
            mohaq_push(1, MOHAQ_LOCAL(2)->h[0], own->mine, 8);
        mohaq_phase(0);
        mohaq_done();
    }
    return 0;
}
