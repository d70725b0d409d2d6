/* The chip, through the eSDK's host library. */
#define _DEFAULT_SOURCE
#include <unistd.h>

#include <e-hal.h>
#include <e-loader.h>

#include "model.h"
#include "mohaq_device.h"
#include "mohaq_protocol.h"

#define CHUNK (1u << 16)

static e_epiphany_t device;
static e_mem_t dram;

void mohaq_device_open(const char *program, uint32_t bytes)
{
    e_platform_t platform;
    if (program == NULL)
        program = "device.elf";
    if (access(program, R_OK) != 0)
        mohaq_die("cannot read '%s'; name the cores' program with --program", program);
    if (e_init(NULL) != E_OK)
        mohaq_die("cannot initialise the Epiphany platform (is EPIPHANY_HDF set?)");
    if (e_reset_system() != E_OK || e_get_platform_info(&platform) != E_OK)
        mohaq_die("cannot reset the Epiphany platform");
    if (platform.rows < MOHAQ_ROWS || platform.cols < MOHAQ_COLS)
        mohaq_die("the chip has %u x %u cores, the program is for %d x %d",
                  (unsigned)platform.rows, (unsigned)platform.cols, MOHAQ_ROWS, MOHAQ_COLS);
    if (e_alloc(&dram, 0, bytes) != E_OK)
        mohaq_die("cannot get %u bytes of shared DRAM", (unsigned)bytes);
    if (e_open(&device, 0, 0, MOHAQ_ROWS, MOHAQ_COLS) != E_OK)
        mohaq_die("cannot open %d x %d cores", MOHAQ_ROWS, MOHAQ_COLS);
    if (e_load_group(program, &device, 0, 0, MOHAQ_ROWS, MOHAQ_COLS, E_FALSE) != E_OK)
        mohaq_die("cannot load '%s'", program);
}

/* Long transfers go in pieces: one of the loader's own rules of thumb. */
static void write_all(void *to, uint32_t row, uint32_t col, uint32_t at, const void *from,
                      size_t bytes)
{
    const unsigned char *next = from;
    while (bytes > 0) {
        size_t piece = bytes < CHUNK ? bytes : CHUNK;
        if (e_write(to, row, col, (off_t)at, next, piece) < 0)
            mohaq_die("cannot write to the device");
        next += piece;
        at += (uint32_t)piece;
        bytes -= piece;
    }
}

static void read_all(void *from, uint32_t row, uint32_t col, uint32_t at, void *to, size_t bytes)
{
    unsigned char *next = to;
    while (bytes > 0) {
        size_t piece = bytes < CHUNK ? bytes : CHUNK;
        if (e_read(from, row, col, (off_t)at, next, piece) < 0)
            mohaq_die("cannot read from the device");
        next += piece;
        at += (uint32_t)piece;
        bytes -= piece;
    }
}

void mohaq_device_write_dram(uint32_t offset, const void *from, size_t bytes)
{
    write_all(&dram, 0, 0, offset, from, bytes);
}

void mohaq_device_read_dram(uint32_t offset, void *to, size_t bytes)
{
    read_all(&dram, 0, 0, offset, to, bytes);
}

void mohaq_device_write_core(uint32_t core, uint32_t local, const void *from, size_t bytes)
{
    write_all(&device, core / MOHAQ_COLS, core % MOHAQ_COLS, local, from, bytes);
}

void mohaq_device_read_core(uint32_t core, uint32_t local, void *to, size_t bytes)
{
    read_all(&device, core / MOHAQ_COLS, core % MOHAQ_COLS, local, to, bytes);
}

void mohaq_device_start(void)
{
    if (e_start_group(&device) != E_OK)
        mohaq_die("cannot start the cores");
}

void mohaq_device_pause(void) { usleep(200); }

void mohaq_device_close(const char *counters)
{
    if (counters != NULL)
        mohaq_die("only the stand-in counts; leave out --counters");
    e_close(&device);
    e_free(&dram);
    e_finalize();
}
