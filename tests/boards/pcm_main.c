/* SPDX-License-Identifier: Apache-2.0 */
/* Another main() for a board: what its microphone hears, int16 little endian, out of its serial line. */
#include "bare.h"
#include "tracekws/errors.h"

#define N_SAMPLES 256

static tkws_board board;

int main(void)
{
    static const uint8_t lost[] = {'l', 'o', 's', 't'};
    int16_t pcm[N_SAMPLES];
    uint8_t bytes[2 * N_SAMPLES];
    board_start(&board);
    (void)board.microphone_start(board.context);
    for (;;) {
        board_feed_watchdog();
        int n = board.microphone_read(board.context, pcm, N_SAMPLES);
        for (int i = 0; i < n; i++) {
            bytes[2 * i] = (uint8_t)((uint16_t)pcm[i] & 0xffu);
            bytes[2 * i + 1] = (uint8_t)((uint16_t)pcm[i] >> 8);
        }
        if (n > 0)
            (void)board.serial_write(board.context, bytes, 2 * (size_t)n);
        else if (n == TKWS_E_OVERRUN)
            (void)board.serial_write(board.context, lost, sizeof lost);
        else
            board_wait();
    }
}
