/* SPDX-License-Identifier: Apache-2.0 */
/** @file flash.h  The virtual board's flash: a file, mapped into memory, with the rules of NOR flash. */
#ifndef TKWS_VIRTUAL_FLASH_H
#define TKWS_VIRTUAL_FLASH_H

#include <stddef.h>
#include <stdint.h>

#define FLASH_SECTOR 4096u
#define FLASH_PROGRAM 1u
#define FLASH_SLOT (128u * 1024u)
#define FLASH_IMAGE_AREA (192u * 1024u + FLASH_SECTOR) /* a sector for the record */
#define FLASH_BYTES (2u * FLASH_SLOT + 2u * FLASH_IMAGE_AREA)

typedef struct {
    int file;
    uint8_t *bytes;          /**< FLASH_BYTES of the file, or NULL */
    unsigned long cut_after; /**< operations until the power is cut; 0 is never */
} flash_state;

/** Open the file for this process alone, made if it is not there.
 *  @return NULL, or why it cannot be */
const char *flash_open(flash_state *flash, const char *path);
void flash_close(flash_state *flash);

/** The board's functions; context is a flash_state. Each byte that is programmed, and each half of a sector
 *  that is erased, is one operation. */
int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes);
int flash_erase(void *context, size_t offset);

#endif
