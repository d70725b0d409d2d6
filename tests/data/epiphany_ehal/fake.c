/* A device whose cores answer at once: after `go` each core copies its FAKE_BYTES of shared DRAM
 * from FAKE_FROM to FAKE_TO, then sets its flag. Each call is printed once. */
#include "e-hal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL 32768
#define WINDOW (32 << 20)

static unsigned char dram[WINDOW], cores[64][LOCAL];
static unsigned cols_open;
static int started;
static char last[32];

static void say(const char *what)
{
    if (strcmp(what, last) != 0)
        printf("%s\n", what);
    strcpy(last, what);
}

static long number(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? 0 : strtol(text, NULL, 10);
}

int e_init(char *hdf) { return hdf == NULL ? (say("init"), E_OK) : E_ERR; }
int e_reset_system(void) { return say("reset"), E_OK; }
int e_get_platform_info(e_platform_t *p)
{
    p->row = 32;
    p->col = 8;
    p->rows = p->cols = (unsigned)number("FAKE_ROWS");
    return E_OK;
}
int e_alloc(e_mem_t *m, off_t base, size_t size)
{
    m->is_memory = 1;
    m->bytes = size;
    memset(dram, 0xEE, sizeof dram);
    return base == 0 ? (say("alloc"), E_OK) : E_ERR;
}
int e_open(e_epiphany_t *d, unsigned row, unsigned col, unsigned rows, unsigned cols)
{
    d->is_memory = 0;
    d->rows = rows;
    d->cols = cols_open = cols;
    return row == 0 && col == 0 ? (say("open"), E_OK) : E_ERR;
}
int e_load_group(const char *executable, e_epiphany_t *d, unsigned row, unsigned col,
                 unsigned rows, unsigned cols, e_bool_t start)
{
    memset(cores, 0xEE, sizeof cores); /* the host clears the mailboxes after the load */
    say("load");
    return executable != NULL && row == 0 && col == 0 && rows == d->rows && cols == d->cols
                   && !start
               ? E_OK
               : E_ERR;
}
int e_start_group(e_epiphany_t *d)
{
    static const unsigned char zeros[64];
    for (unsigned i = 0; i < d->rows * d->cols; i++)
        if (memcmp(cores[i] + 0x100, zeros, sizeof zeros) != 0)
            return E_ERR;
    started = 1;
    return say("start"), E_OK;
}
ssize_t e_write(void *dev, unsigned row, unsigned col, off_t to, const void *buf, size_t size)
{
    unsigned core = row * cols_open + col;
    if (*(int *)dev) {
        memcpy(dram + to, buf, size);
        return say("write dram"), (ssize_t)size;
    }
    memcpy(cores[core] + to, buf, size);
    if (to == 0x100 && size == 4) {
        long bytes = number("FAKE_BYTES"), part = bytes * core;
        if (memcmp(buf, "\377\377\377\377", 4) == 0)
            return say("stop"), (ssize_t)size;
        say("go");
        if (!started || number("FAKE_MUTE"))
            return (ssize_t)size;
        if (number("FAKE_FAULT")) {
            unsigned fault[3] = {3, 0, 0xe2};
            memcpy(cores[core] + 0x110, fault, sizeof fault);
            return (ssize_t)size;
        }
        memcpy(dram + number("FAKE_TO") + part, dram + number("FAKE_FROM") + part, (size_t)bytes);
        memcpy(dram + 64 + 4 * core, buf, 4);
        return (ssize_t)size;
    }
    return say("write core"), (ssize_t)size;
}
ssize_t e_read(void *dev, unsigned row, unsigned col, off_t from, void *buf, size_t size)
{
    if (*(int *)dev)
        memcpy(buf, dram + from, size);
    else
        memcpy(buf, cores[row * cols_open + col] + from, size);
    return say("read"), (ssize_t)size;
}
int e_close(e_epiphany_t *d) { return (void)d, say("close"), E_OK; }
int e_free(e_mem_t *m) { return (void)m, say("free"), E_OK; }
int e_finalize(void) { return say("finalize"), E_OK; }
