/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware with a board whose power goes in a flash operation. Which one, counted from 1, a test has put
 * behind the storage in the flash's file, uint32; 0 is none. An operation is an erase or a program of at most PIECE
 * bytes. A program is cut after half of its units, an erase before it begins or after it, by turns. How many operations
 * there were is told as the board's RAM, beyond NONE_YET. QEMU is told to end with the reset. */
#include <stdbool.h>

#include "app.h"
#include "bare.h"
#include "tracekws/bytes.h"

#define NONE_YET                                                                                   \
    0x100000u /* what is told of the RAM before the first operation: more than any model needs */
#define PIECE 32u /* a multiple of the units of the boards of QEMU */

#if defined(__arm__)
#define RESET_REGISTER 0xe000ed0cu /* AIRCR */
#define RESET_VALUE 0x05fa0004u
#else
#define RESET_REGISTER 0x00100000u /* of QEMU's machine virt */
#define RESET_VALUE 0x7777u
#endif

static tkws_board uncut;
static tkws_board *told;
static uint32_t cut_at;
static uint32_t n_operations;

static void power_off(void)
{
    *(volatile uint32_t *)RESET_REGISTER = RESET_VALUE;
    for (;;) {
    }
}

/* @return whether the operation that begins is cut */
static bool count(void)
{
    n_operations++;
    told->ram_bytes = NONE_YET + n_operations;
    return n_operations == cut_at;
}

static int program_piece(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    if (!count())
        return uncut.flash_program(context, offset, bytes, n_bytes);
    size_t half = n_bytes / uncut.program_bytes / 2 * uncut.program_bytes;
    if (half > 0)
        (void)uncut.flash_program(context, offset, bytes, half);
    power_off();
    return 0;
}

static int program_or_cut(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    int error = 0;
    for (size_t at = 0; error == 0 && at < n_bytes; at += PIECE) {
        size_t n = n_bytes - at < PIECE ? n_bytes - at : PIECE;
        error = program_piece(context, offset + at, bytes + at, n);
    }
    return error;
}

static int erase_or_cut(void *context, size_t offset)
{
    bool is_cut = count();
    int error = 0;
    if (!is_cut || cut_at % 2 == 0)
        error = uncut.flash_erase(context, offset);
    if (is_cut)
        power_off();
    return error;
}

static void start_to_be_cut(tkws_board *board)
{
    board_start(board);
    uncut = *board;
    told = board;
    size_t n_bytes = TKWS_APP_SLOTS * board->slot_bytes + TKWS_APP_AREAS * board->image_area_bytes;
    cut_at = tkws_bytes_get_u32(board->flash_mapped + n_bytes);
    board->flash_program = program_or_cut;
    board->flash_erase = erase_or_cut;
    board->ram_bytes = NONE_YET;
}

#define board_start start_to_be_cut
#include "main.c"
