/* What host and cores agree on; no code. */
#ifndef MOHAQ_PROTOCOL_H
#define MOHAQ_PROTOCOL_H

#include <stdint.h>

/* Mailbox of each core, at this local address (device.ldf puts it there). The host writes `go`,
 * the core the rest. */
#define MOHAQ_MAILBOX 0x100u

struct mohaq_mailbox {
    uint32_t go;     /* number of the launch: 1, 2, ...; MOHAQ_STOP: no more */
    uint32_t done;   /* last launch that this core finished */
    uint32_t cycles; /* clock cycles of the last launch on this core, start to done */
    uint32_t padding;
    uint32_t state;  /* enum mohaq_state */
    uint32_t launches; /* that this core began */
    uint32_t error;  /* enum mohaq_error, of a core in MOHAQ_FAILED */
    uint32_t detail; /* a number that belongs to the error */
    uint32_t reserved[8];
};

#define MOHAQ_STOP 0xFFFFFFFFu

enum mohaq_state {
    MOHAQ_LOADED = 0,
    MOHAQ_WAITING = 1,
    MOHAQ_RUNNING = 2,
    MOHAQ_FAILED = 3,
    MOHAQ_STOPPED = 4
};

enum mohaq_error {
    MOHAQ_ERROR_GROUP = 1,        /* not MOHAQ_ROWS x MOHAQ_COLS cores: rows << 16 | cols */
    MOHAQ_ERROR_EXCEPTION = 0xe1, /* software exception at address `detail` */
    MOHAQ_ERROR_FAULT = 0xe2,     /* memory fault at address `detail` */
    MOHAQ_ERROR_PROGRAM = 0x100   /* first code that a program may use */
};

/* Shared DRAM, window offset 0: the job. */
struct mohaq_job {
    uint32_t frames; /* time steps T */
    uint32_t batch;  /* sequences B */
};

/* Word i from here on is the last launch whose results core i has written. Stores of one core
 * reach DRAM in their order, so this word comes after the results; a flag in the core's own memory
 * could be seen before them. */
#define MOHAQ_FLAGS_OFFSET 64u

/* The window as the cores see it, and how much of it there is. */
#define MOHAQ_DRAM_ADDRESS 0x8E000000u
#define MOHAQ_DRAM_WINDOW 0x02000000u

#endif
