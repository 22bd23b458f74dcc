/* SPDX-License-Identifier: Apache-2.0 */
/** @file nor.h  Rules of NOR flash, checked before it is touched: not every part and no emulator refuses. */
#ifndef TKWS_BARE_NOR_H
#define TKWS_BARE_NOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
