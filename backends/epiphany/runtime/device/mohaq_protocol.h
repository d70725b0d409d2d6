/* What host and cores agree on; no code. */
#ifndef MOHAQ_PROTOCOL_H
#define MOHAQ_PROTOCOL_H

#include <stdint.h>

/* Mailbox of each core, at this local address (device.ldf puts it there). The host writes the
 * first four words, `go` last; the core writes the rest. */
#define MOHAQ_MAILBOX 0x100u

struct mohaq_mailbox {
    uint32_t go;       /* number of the launch: 1, 2, ... */
    uint32_t steps;    /* time steps of the launch */
    uint32_t sequence; /* which sequence */
    uint32_t unused;
    uint32_t state;  /* enum mohaq_state */
    uint32_t done;   /* last launch that this core finished */
    uint32_t error;  /* of a core in MOHAQ_FAILED */
    uint32_t detail; /* a number that belongs to the error */
    uint32_t cycles; /* clock cycles of the last launch on this core, start to done */
    uint32_t padding[7];
};

enum mohaq_state { MOHAQ_LOADED = 0, MOHAQ_WAITING = 1, MOHAQ_RUNNING = 2, MOHAQ_FAILED = 3 };

enum mohaq_error {
    MOHAQ_ERROR_GROUP = 1,  /* started with another number of rows or columns: rows << 16 | cols */
    MOHAQ_ERROR_PROGRAM = 2 /* first code that a program may use */
};

/* Shared DRAM: word i at offset 4*i is the last launch whose results core i has written. Stores
 * of one core reach DRAM in their order, so this word comes after the results; a flag in the core
 * could be read before them. A program's own data begin at MOHAQ_DRAM_FIRST. */
#define MOHAQ_DRAM_FIRST 0x1000u

#endif
