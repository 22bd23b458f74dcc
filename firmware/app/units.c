/* SPDX-License-Identifier: Apache-2.0 */
#include "units.h"

#include "least.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"

int tkws_app_units_program(const tkws_board *board, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    size_t n_padded = units_of(board, n_bytes);
    memset(bytes + n_bytes, UNITS_ERASED, n_padded - n_bytes);
    return board->flash_program(board->context, offset, bytes, n_padded);
}

int tkws_app_units_cross_out(const tkws_board *board, size_t offset, size_t n_bytes)
{
    const uint8_t zeros[UNITS_CHUNK] = {0};
    return board->flash_program(board->context, offset, zeros, units_of(board, n_bytes));
}

bool tkws_app_units_are_erased(const tkws_board *board, size_t from, size_t to)
{
    uint8_t erased[UNITS_PIECE];
    memset(erased, UNITS_ERASED, UNITS_PIECE);
    for (size_t at = from; at < to; at += UNITS_PIECE)
        if (!tkws_app_units_are(board, at, erased, least(to - at, UNITS_PIECE)))
            return false;
    return true;
}

bool tkws_app_units_are(const tkws_board *board, size_t offset, const uint8_t *bytes,
                        size_t n_bytes)
{
    uint8_t found[UNITS_PIECE];
    for (size_t i = 0; i < n_bytes; i += UNITS_PIECE) {
        size_t n = least(n_bytes - i, UNITS_PIECE);
        if (board->flash_read(board->context, offset + i, found, n) != TKWS_OK ||
            memcmp(found, bytes + i, n) != 0)
            return false;
    }
    return true;
}

int tkws_app_units_crc(const tkws_board *board, size_t offset, size_t n_bytes, uint32_t *crc)
{
    uint8_t bytes[UNITS_PIECE];
    uint32_t sum = 0;
    for (size_t i = 0; i < n_bytes; i += UNITS_PIECE) {
        size_t n = least(n_bytes - i, UNITS_PIECE);
        int error = board->flash_read(board->context, offset + i, bytes, n);
        if (error != TKWS_OK)
            return error;
        sum = tkws_crc32(sum, bytes, n);
    }
    *crc = sum;
    return TKWS_OK;
}
