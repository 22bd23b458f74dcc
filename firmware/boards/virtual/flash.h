/* SPDX-License-Identifier: Apache-2.0 */
/** @file flash.h  The virtual board's flash: a file with the rules of NOR flash. */
#ifndef TKWS_VIRTUAL_FLASH_H
#define TKWS_VIRTUAL_FLASH_H

#include <stddef.h>
#include <stdint.h>

#define FLASH_BYTES (256u * 1024u)
#define FLASH_SECTOR 4096u
#define FLASH_PROGRAM 1u

typedef struct {
    int file;
    unsigned long cut_after; /**< operations until the power is cut; 0 is never */
} flash_state;

/** Open the file, made if it is not there. @return 0, or -1 with errno set; EINVAL for a file of another
 *  size than the flash */
int flash_open(flash_state *flash, const char *path);
void flash_close(flash_state *flash);

/** The board's functions; context is a flash_state. Each byte that is programmed, and each half of a sector
 *  that is erased, is one operation. */
int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes);
int flash_erase(void *context, size_t offset);

#endif
