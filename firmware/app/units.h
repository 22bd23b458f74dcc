/* SPDX-License-Identifier: Apache-2.0 */
/** @file units.h  Flash as it is written and looked at: in whole program units, and in pieces, for stacks are short. */
#ifndef TKWS_APP_UNITS_H
#define TKWS_APP_UNITS_H

#include <string.h>

#include "board.h"

#define UNITS_CHUNK 256 /* a multiple of every program unit */
#define UNITS_ERASED 0xff
#define UNITS_PIECE 64 /* bytes that are looked at at a time */

/* n_bytes, rounded up to whole units. */
static inline size_t units_of(const tkws_board *board, size_t n_bytes)
{
    size_t unit = board->program_bytes;
    return (n_bytes + unit - 1) / unit * unit;
}

/** Program n_bytes. @param bytes  has room for UNITS_CHUNK and is padded to whole units with what programs nothing
 *  @return TKWS_OK, or TKWS_E_STORAGE */
int tkws_app_units_program(const tkws_board *board, size_t offset, uint8_t *bytes, size_t n_bytes);

/** Program zeros over the units of n_bytes, UNITS_CHUNK at most, whatever they hold.
 *  @return TKWS_OK, or TKWS_E_STORAGE */
int tkws_app_units_cross_out(const tkws_board *board, size_t offset, size_t n_bytes);

/** Whether the flash between two offsets reads as erased. */
bool tkws_app_units_are_erased(const tkws_board *board, size_t from, size_t to);

/** Whether the flash has these bytes at an offset. */
bool tkws_app_units_are(const tkws_board *board, size_t offset, const uint8_t *bytes,
                        size_t n_bytes);

/** CRC-32 of what the flash has at an offset.
 *  @return TKWS_OK, or TKWS_E_STORAGE with nothing written */
int tkws_app_units_crc(const tkws_board *board, size_t offset, size_t n_bytes, uint32_t *crc);

#endif
