/* SPDX-License-Identifier: Apache-2.0 */
/** @file report.h  Text over the serial line, for programs that run in the place of main.c and measure. */
#ifndef TKWS_BARE_REPORT_H
#define TKWS_BARE_REPORT_H

#include <string.h>

#include "board.h"

static inline void report_text(const tkws_board *board, const char *text)
{
    (void)board->serial_write(board->context, (const uint8_t *)text, strlen(text));
}

/** A blank, the name, a blank, and the value. @param base  2..16 */
static inline void report_number(const tkws_board *board, const char *name, uint32_t value,
                                 uint32_t base)
{
    char digits[33];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    report_text(board, " ");
    report_text(board, name);
    report_text(board, " ");
    report_text(board, digits + at);
}

#endif
