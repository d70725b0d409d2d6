/* What the cores did, as JSON: one object a core, in it one a phase. */
#include "standin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One number for each DMA channel. */
static void write_pair(FILE *file, const char *name, const uint64_t values[2])
{
    fprintf(file, ",\"%s\":[%" PRIu64 ",%" PRIu64 "]", name, values[0], values[1]);
}

static void write_phase(FILE *file, const struct phase_counters *p)
{
    fprintf(file, "{\"kernels\":[");
    for (uint32_t i = 0; i < p->kinds; i++)
        fprintf(file, "%s[%" PRIu32 ",%" PRIu32 ",%" PRIu64 "]", i == 0 ? "" : ",",
                p->kernels[i].id, p->kernels[i].k, p->kernels[i].calls);
    fprintf(file, "],\"elements\":[");
    for (uint32_t i = 0; i < KINDS; i++)
        fprintf(file, "%s%" PRIu64, i == 0 ? "" : ",", p->elements[i]);
    fprintf(file, "]");
    write_pair(file, "dma_read_bytes", p->dma_read_bytes);
    write_pair(file, "dma_reads", p->dma_reads);
    write_pair(file, "dma_write_bytes", p->dma_write_bytes);
    write_pair(file, "dma_writes", p->dma_writes);
    fprintf(file,
            ",\"pushes\":%" PRIu64 ",\"push_bytes\":%" PRIu64 ",\"push_stores\":%" PRIu64
            ",\"push_byte_hops\":%" PRIu64 ",\"barriers\":%" PRIu64 "}",
            p->pushes, p->push_bytes, p->push_stores, p->push_byte_hops, p->barriers);
}

void standin_write_counters(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        mohaq_die("cannot write '%s': %s", path, strerror(errno));
    fprintf(file, "{\"schema\":\"mohaq.epiphany.counters/1\",\"cores\":[");
    for (uint32_t i = 0; i < MOHAQ_CORES; i++) {
        fprintf(file, "%s\n{\"phases\":[", i == 0 ? "" : ",");
        for (uint32_t phase = 0; phase < MOHAQ_PHASES; phase++) {
            if (phase > 0)
                fprintf(file, ",\n");
            write_phase(file, &standin.cores[i].phases[phase]);
        }
        fprintf(file, "]}");
    }
    fprintf(file, "]}\n");
    if (fclose(file) != 0)
        mohaq_die("cannot write '%s': %s", path, strerror(errno));
}
