/* SPDX-License-Identifier: Apache-2.0 */
/* Flash is programmed in whole units of the board's. */
#ifndef TKWS_APP_UNITS_H
#define TKWS_APP_UNITS_H

#include <string.h>

#include "board.h"

#define UNITS_CHUNK 256 /* a multiple of every program unit */
#define UNITS_ERASED 0xff

/* n_bytes, rounded up to whole units. */
static inline size_t units_of(const tkws_board *board, size_t n_bytes)
{
    size_t unit = board->program_bytes;
    return (n_bytes + unit - 1) / unit * unit;
}

/* Program n_bytes; bytes has room for UNITS_CHUNK and is padded to whole units with what programs nothing. */
static inline int units_program(const tkws_board *board, size_t offset, uint8_t *bytes,
                                size_t n_bytes)
{
    size_t n_padded = units_of(board, n_bytes);
    memset(bytes + n_bytes, UNITS_ERASED, n_padded - n_bytes);
    return board->flash_program(board->context, offset, bytes, n_padded);
}

#endif
