/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of the firmware's main.c: tells why the board started, then hangs. */
#include "bare.h"

int main(void)
{
    static tkws_board board;
    board_start(&board);
    if (board.reset_reason == TKWS_APP_RESET_POWER_ON)
        (void)board.serial_write(board.context, (const uint8_t *)"power on\n", 9);
    if (board.reset_reason == TKWS_APP_RESET_WATCHDOG)
        (void)board.serial_write(board.context, (const uint8_t *)"watchdog\n", 9);
    for (;;) {
    }
}
