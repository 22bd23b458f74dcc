/* SPDX-License-Identifier: Apache-2.0 */
/** @file nor.h  Rules of NOR flash that an emulator does not impose by itself. */
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
