/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of the firmware's main.c: tells which rules of NOR flash the board's flash keeps, a line each,
 * "ok" or "broken". */
#include <stdbool.h>
#include <string.h>

#include "bare.h"
#include "report.h"
#include "tracekws/errors.h"

static tkws_board board;

static void tell(const char *rule, bool kept)
{
    report_text(&board, kept ? "ok: " : "broken: ");
    report_text(&board, rule);
    report_text(&board, "\n");
}

static bool holds(size_t offset, size_t n_bytes, uint8_t value)
{
    bool same = true;
    for (size_t i = 0; i < n_bytes; i++) {
        uint8_t byte = 0;
        same = same && board.flash_read(board.context, offset + i, &byte, 1) == TKWS_OK &&
               byte == value && board.flash_mapped[offset + i] == value;
    }
    return same;
}

static bool programs(size_t offset, uint8_t value, size_t n_bytes)
{
    uint8_t bytes[512];
    memset(bytes, value, sizeof bytes);
    return board.flash_program(board.context, offset, bytes, n_bytes) == TKWS_OK;
}

static bool erases(size_t offset)
{
    return board.flash_erase(board.context, offset) == TKWS_OK;
}

int main(void)
{
    board_start(&board);
    size_t unit = board.program_bytes;
    size_t sector = board.sector_bytes;
    size_t end = 2 * board.slot_bytes + 2 * board.image_area_bytes;
    tell("new flash is erased", holds(0, end, 0xff));
    tell("ones become zeros", programs(8, 0x0f, 500) && holds(8, 500, 0x0f));
    tell("nothing else changes", holds(0, 8, 0xff) && holds(508, 512, 0xff));
    tell("more ones become zeros", programs(8, 0x05, 500) && holds(8, 500, 0x05));
    tell("zeros stay zeros", !programs(8, 0x07, 4) && holds(8, 500, 0x05));
    tell("units are whole", !programs(1024 + unit / 2, 0, unit) && !programs(1024, 0, unit / 2) &&
                                holds(1024, 64, 0xff));
    tell("the last unit is there", programs(end - unit, 0, unit) && holds(end - unit, unit, 0));
    tell("there is an end", !programs(end, 0, unit) && !programs(end - unit, 0, 2 * unit) &&
                                !programs(SIZE_MAX - unit + 1, 0, unit) && !erases(end));
    tell("sectors are whole", !erases(sector / 2) && !erases(unit) && holds(8, 500, 0x05));
    tell("a sector is erased", erases(0) && holds(0, sector, 0xff));
    tell("other sectors are not",
         holds(end - unit, unit, 0) && erases(end - sector) && holds(end - sector, sector, 0xff));
    report_text(&board, "end\n");
    return 0;
}
