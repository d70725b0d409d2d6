/* The part of the eSDK's host interface that host/esdk.c uses, for a test without the eSDK. */
#ifndef E_HAL_H
#define E_HAL_H

#include <sys/types.h>

typedef enum { E_FALSE = 0, E_TRUE = 1 } e_bool_t;
typedef enum { E_OK = 0, E_ERR = -1 } e_return_stat_t;
typedef struct {
    unsigned int row, col, rows, cols;
} e_platform_t;
typedef struct {
    int is_memory;
    unsigned int rows, cols;
} e_epiphany_t;
typedef struct {
    int is_memory;
    size_t bytes;
} e_mem_t;

int e_init(char *hdf);
int e_get_platform_info(e_platform_t *platform);
int e_finalize(void);
int e_open(e_epiphany_t *dev, unsigned row, unsigned col, unsigned rows, unsigned cols);
int e_close(e_epiphany_t *dev);
int e_alloc(e_mem_t *mbuf, off_t base, size_t size);
int e_free(e_mem_t *mbuf);
ssize_t e_read(void *dev, unsigned row, unsigned col, off_t from, void *buf, size_t size);
ssize_t e_write(void *dev, unsigned row, unsigned col, off_t to, const void *buf, size_t size);
int e_reset_system(void);
int e_start_group(e_epiphany_t *dev);
int e_load_group(const char *executable, e_epiphany_t *dev, unsigned row, unsigned col,
                 unsigned rows, unsigned cols, e_bool_t start);

#endif
