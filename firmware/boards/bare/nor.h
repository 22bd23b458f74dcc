/* SPDX-License-Identifier: Apache-2.0 */
/** @file nor.h  Rules of NOR flash, checked before it is touched: not every part and no emulator refuses.
 *
 * The flash is where the processor reads it. Offsets are from its start. */
#ifndef TKWS_BARE_NOR_H
#define TKWS_BARE_NOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tracekws/errors.h"

#define NOR_ERASED 0xff

static inline bool nor_within(size_t offset, size_t n_bytes, size_t flash_bytes)
{
    return offset <= flash_bytes && n_bytes <= flash_bytes - offset;
}

/** @return whether programming bytes over old turns ones into zeros only */
static inline bool nor_only_clears(const uint8_t *old, const uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if ((old[i] & bytes[i]) != bytes[i])
            return false;
    return true;
}

/** @return whether flash takes whole units of bytes at an offset, and what is there allows them */
static inline bool nor_can_program(const uint8_t *flash, size_t flash_bytes, size_t unit_bytes,
                                   size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    return nor_within(offset, n_bytes, flash_bytes) && offset % unit_bytes == 0 &&
           n_bytes % unit_bytes == 0 && nor_only_clears(flash + offset, bytes, n_bytes);
}

/** @return whether a sector of the flash starts at an offset */
static inline bool nor_can_erase(size_t flash_bytes, size_t sector_bytes, size_t offset)
{
    return nor_within(offset, sector_bytes, flash_bytes) && offset % sector_bytes == 0;
}

/** @return TKWS_OK; or TKWS_E_STORAGE for what the flash does not have */
static inline int nor_read(const uint8_t *flash, size_t flash_bytes, size_t offset, uint8_t *bytes,
                           size_t n_bytes)
{
    if (!nor_within(offset, n_bytes, flash_bytes))
        return TKWS_E_STORAGE;
    memcpy(bytes, flash + offset, n_bytes);
    return TKWS_OK;
}

/** Program memory that stands in for flash. @return TKWS_OK; or TKWS_E_STORAGE with nothing changed */
static inline int nor_program_memory(uint8_t *flash, size_t flash_bytes, size_t unit_bytes,
                                     size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    if (!nor_can_program(flash, flash_bytes, unit_bytes, offset, bytes, n_bytes))
        return TKWS_E_STORAGE;
    memcpy(flash + offset, bytes, n_bytes);
    return TKWS_OK;
}

/** Erase a sector of such memory. @return TKWS_OK; or TKWS_E_STORAGE with nothing changed */
static inline int nor_erase_memory(uint8_t *flash, size_t flash_bytes, size_t sector_bytes,
                                   size_t offset)
{
    if (!nor_can_erase(flash_bytes, sector_bytes, offset))
        return TKWS_E_STORAGE;
    memset(flash + offset, NOR_ERASED, sector_bytes);
    return TKWS_OK;
}

/** Flash comes erased from the factory; a file of an emulator comes full of zeros: erase that. */
static inline void nor_erase_new(const uint8_t *flash, size_t flash_bytes, size_t sector_bytes,
                                 int (*erase)(void *context, size_t offset))
{
    for (size_t i = 0; i < flash_bytes; i++)
        if (flash[i] != 0)
            return;
    for (size_t at = 0; at < flash_bytes; at += sector_bytes)
        (void)erase(NULL, at);
}

#endif
