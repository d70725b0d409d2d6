/* The host program: weights and inputs to shared DRAM, start the cores, wait, read the outputs.
 *
 * inputs.bin:  uint32 T (time steps), uint32 B (sequences), then each input as little-endian
 *              int32 in natural order: [T][B][channels], states [depth][B][channels]
 * outputs.bin: each output the same way, without a header
 *
 * In shared DRAM integers are int16; model.h says where each one lies.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOHAQ_MODEL_PORTS
#include "model.h"

#include "mohaq_device.h"
#include "mohaq_protocol.h"

#define LONGEST (1u << 20)

struct options {
    const char *program, *counters, *weights, *inputs, *outputs;
    long timeout;
    int verbose;
};

void mohaq_die(const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "mohaq: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    fflush(stderr);
    _exit(2); /* the stand-in's cores may still run: no handlers */
}

static uint32_t word_at(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_word(unsigned char *at, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(word >> (8 * i));
}

/* ---------------------------------------------------------------- files */

static void *memory_of(uint64_t bytes)
{
    void *memory = bytes <= SIZE_MAX / 2 ? calloc((size_t)bytes + 1, 1) : NULL;
    if (memory == NULL)
        mohaq_die("no memory for %" PRIu64 " bytes", bytes);
    return memory;
}

static unsigned char *read_file(const char *path, uint64_t *bytes)
{
    unsigned char *data;
    long size;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        mohaq_die("cannot read '%s': %s", path, strerror(errno));
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0
        || fseek(file, 0, SEEK_SET) != 0)
        mohaq_die("cannot read '%s': %s", path, strerror(errno));
    data = memory_of((uint64_t)size);
    if (fread(data, 1, (size_t)size, file) != (size_t)size)
        mohaq_die("cannot read '%s' to its end", path);
    fclose(file);
    *bytes = (uint64_t)size;
    return data;
}

static void write_file(const char *path, const void *data, uint64_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        mohaq_die("cannot write '%s': %s", path, strerror(errno));
    if (fwrite(data, 1, (size_t)bytes, file) != bytes || fclose(file) != 0)
        mohaq_die("cannot write '%s': %s", path, strerror(errno));
}

/* ---------------------------------------------------------------- arrays */

static uint32_t rows_of(const struct mohaq_port *port, uint32_t frames)
{
    return port->steps ? frames : port->depth;
}

static uint64_t elements_of(const struct mohaq_port *ports, size_t count, uint32_t frames,
                            uint32_t batch)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint64_t)rows_of(&ports[i], frames) * batch * ports[i].channels;
    return sum;
}

static void put_element(unsigned char *at, const struct mohaq_port *port, int32_t value,
                        uint32_t row, uint32_t sequence, uint32_t channel)
{
    if (value < INT16_MIN || value > INT16_MAX)
        mohaq_die("input '%s' at [%" PRIu32 ", %" PRIu32 ", %" PRIu32 "]: %" PRId32
                  " does not fit 16 bits",
                  port->name, row, sequence, channel, value);
    at[0] = (unsigned char)((uint32_t)value & 0xFF);
    at[1] = (unsigned char)((uint32_t)value >> 8 & 0xFF);
}

static int32_t signed_word(uint32_t word)
{
    return word <= INT32_MAX ? (int32_t)word : -(int32_t)(UINT32_MAX - word) - 1;
}

/* From the file's order into the image of shared DRAM. */
static void place_inputs(unsigned char *image, uint64_t size, const unsigned char *from,
                         uint32_t frames, uint32_t batch)
{
    for (size_t i = 0; i < MOHAQ_INPUTS; i++) {
        const struct mohaq_port *port = &mohaq_inputs[i];
        for (uint32_t row = 0; row < rows_of(port, frames); row++)
            for (uint32_t b = 0; b < batch; b++)
                for (uint32_t c = 0; c < port->channels; c++, from += 4) {
                    uint64_t at = mohaq_element_offset(port, frames, batch, row, b, c);
                    if (at + 2 > size)
                        mohaq_die("input '%s' leaves shared DRAM: model.h is wrong", port->name);
                    put_element(image + at, port, signed_word(word_at(from)), row, b, c);
                }
    }
}

static void collect_outputs(unsigned char *to, const unsigned char *image, uint64_t size,
                            uint32_t frames, uint32_t batch)
{
    for (size_t i = 0; i < MOHAQ_OUTPUTS; i++) {
        const struct mohaq_port *port = &mohaq_outputs[i];
        for (uint32_t row = 0; row < rows_of(port, frames); row++)
            for (uint32_t b = 0; b < batch; b++)
                for (uint32_t c = 0; c < port->channels; c++, to += 4) {
                    uint64_t at = mohaq_element_offset(port, frames, batch, row, b, c);
                    uint32_t half;
                    if (at + 2 > size)
                        mohaq_die("output '%s' leaves shared DRAM: model.h is wrong", port->name);
                    half = image[at] | (uint32_t)image[at + 1] << 8;
                    put_word(to, half < 0x8000 ? half : half | 0xFFFF0000u);
                }
    }
}

/* ---------------------------------------------------------------- the run */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Ends the program if a core has stopped; returns how many cores have not finished. */
static uint32_t look_at_cores(uint32_t launch)
{
    uint32_t missing = 0;
    for (uint32_t core = 0; core < MOHAQ_CORES; core++) {
        struct mohaq_mailbox box;
        mohaq_device_read_core(core, MOHAQ_MAILBOX, &box, sizeof box);
        if (box.state == MOHAQ_FAILED && box.error == MOHAQ_ERROR_GROUP)
            mohaq_die("core %" PRIu32 " is in a group of %" PRIu32 " x %" PRIu32
                      " cores, the program is for %d x %d",
                      core, box.detail >> 16, box.detail & 0xFFFF, MOHAQ_ROWS, MOHAQ_COLS);
        if (box.state == MOHAQ_FAILED && box.error == MOHAQ_ERROR_EXCEPTION)
            mohaq_die("core %" PRIu32 ": software exception at 0x%" PRIx32, core, box.detail);
        if (box.state == MOHAQ_FAILED && box.error == MOHAQ_ERROR_FAULT)
            mohaq_die("core %" PRIu32 ": memory fault at 0x%" PRIx32, core, box.detail);
        if (box.state == MOHAQ_FAILED)
            mohaq_die("core %" PRIu32 " stopped with error 0x%" PRIx32 ", detail 0x%" PRIx32, core,
                      box.error, box.detail);
        missing += box.done != launch;
    }
    return missing;
}

static void order_cores(uint32_t go)
{
    for (uint32_t core = 0; core < MOHAQ_CORES; core++)
        mohaq_device_write_core(core, MOHAQ_MAILBOX, &go, sizeof go);
}

static void run_cores(uint32_t launch, const struct options *options)
{
    unsigned char flags[4 * MOHAQ_CORES];
    double begin = seconds();
    order_cores(launch);
    for (uint32_t looks = 1;; looks++) {
        uint32_t done = 0;
        mohaq_device_read_dram(MOHAQ_FLAGS_OFFSET, flags, sizeof flags);
        while (done < MOHAQ_CORES && word_at(flags + 4 * done) == launch)
            done++;
        if (done == MOHAQ_CORES)
            break;
        if (looks % 64 == 0 || seconds() - begin > (double)options->timeout) {
            uint32_t missing = look_at_cores(launch);
            if (seconds() - begin > (double)options->timeout)
                mohaq_die("no end after %ld s: %" PRIu32 " of %d cores still run (see --timeout)",
                          options->timeout, missing, MOHAQ_CORES);
        }
        mohaq_device_pause();
    }
}

static void report_cycles(void)
{
    uint32_t longest = 0, slowest = 0;
    for (uint32_t core = 0; core < MOHAQ_CORES; core++) {
        struct mohaq_mailbox box;
        mohaq_device_read_core(core, MOHAQ_MAILBOX, &box, sizeof box);
        if (box.cycles >= longest) {
            longest = box.cycles;
            slowest = core;
        }
    }
    printf("%" PRIu32 " clock cycles on core %" PRIu32 ", the slowest\n", longest, slowest);
}

static void run(const struct options *options)
{
    static const struct mohaq_mailbox cleared;
    uint64_t given, wanted, size, weight_bytes;
    unsigned char *image, *results, *arrays = read_file(options->inputs, &given);
    unsigned char *weights = read_file(options->weights, &weight_bytes);
    uint32_t frames, batch;

    if (weight_bytes != MOHAQ_WEIGHTS_BYTES)
        mohaq_die("'%s' has %" PRIu64 " bytes, the program's weights have %" PRIu64,
                  options->weights, weight_bytes, (uint64_t)MOHAQ_WEIGHTS_BYTES);
    if (given < 8)
        mohaq_die("'%s' has %" PRIu64 " bytes, not even a header", options->inputs, given);
    frames = word_at(arrays);
    batch = word_at(arrays + 4);
    if (frames == 0 || batch == 0 || frames > LONGEST || batch > LONGEST)
        mohaq_die("'%s' says %" PRIu32 " steps of %" PRIu32 " sequences; both are 1 to %u",
                  options->inputs, frames, batch, LONGEST);
    size = mohaq_dram_bytes(frames, batch);
    if (size > MOHAQ_DRAM_WINDOW)
        mohaq_die("%" PRIu32 " steps of %" PRIu32 " sequences need %" PRIu64
                  " bytes of shared DRAM, there are %u: run fewer at once",
                  frames, batch, size, MOHAQ_DRAM_WINDOW);
    wanted = 8 + 4 * elements_of(mohaq_inputs, MOHAQ_INPUTS, frames, batch);
    if (given != wanted)
        mohaq_die("'%s' has %" PRIu64 " bytes, %" PRIu32 " steps of %" PRIu32
                  " sequences need %" PRIu64,
                  options->inputs, given, frames, batch, wanted);

    image = memory_of(size);
    put_word(image, frames);
    put_word(image + 4, batch);
    memcpy(image + MOHAQ_WEIGHTS_OFFSET, weights, (size_t)weight_bytes);
    place_inputs(image, size, arrays + 8, frames, batch);

    mohaq_device_open(options->program, (uint32_t)size);
    mohaq_device_write_dram(0, image, (size_t)size);
    for (uint32_t core = 0; core < MOHAQ_CORES; core++)
        mohaq_device_write_core(core, MOHAQ_MAILBOX, &cleared, sizeof cleared);
    mohaq_device_start();
    run_cores(1, options);
    mohaq_device_read_dram(0, image, (size_t)size);
    if (options->verbose)
        report_cycles();
    order_cores(MOHAQ_STOP);
    mohaq_device_close(options->counters);

    wanted = 4 * elements_of(mohaq_outputs, MOHAQ_OUTPUTS, frames, batch);
    results = memory_of(wanted);
    collect_outputs(results, image, size, frames, batch);
    write_file(options->outputs, results, wanted);
    free(results);
    free(image);
    free(weights);
    free(arrays);
}

static const char *value_of(int *i, int count, char **words)
{
    if (*i + 1 >= count)
        mohaq_die("%s needs a value", words[*i]);
    return words[++*i];
}

int main(int count, char **words)
{
    struct options options = {.timeout = 600};
    const char **places[] = {&options.weights, &options.inputs, &options.outputs};
    size_t filled = 0;
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--program") == 0) {
            options.program = value_of(&i, count, words);
        } else if (strcmp(words[i], "--counters") == 0) {
            options.counters = value_of(&i, count, words);
        } else if (strcmp(words[i], "--timeout") == 0) {
            char *end;
            options.timeout = strtol(value_of(&i, count, words), &end, 10);
            if (*end != '\0' || options.timeout < 1)
                mohaq_die("--timeout is a number of seconds, not '%s'", words[i]);
        } else if (strcmp(words[i], "--verbose") == 0) {
            options.verbose = 1;
        } else if (words[i][0] == '-') {
            mohaq_die("unknown option '%s'", words[i]);
        } else if (filled < sizeof places / sizeof *places) {
            *places[filled++] = words[i];
        } else {
            mohaq_die("too many files: '%s'", words[i]);
        }
    }
    if (filled < sizeof places / sizeof *places)
        mohaq_die("usage: %s [--program F] [--counters F] [--timeout S] [--verbose] "
                  "weights.bin inputs.bin outputs.bin",
                  words[0]);
    run(&options);
    return 0;
}
