/* SPDX-License-Identifier: Apache-2.0 */
/* Another main() for a board, which does what single bytes on its serial line ask for:
 *   r  answer with the reset reason, the watchdog's ms and the brown-out's mV, in 5 bytes
 *   m  start the microphone, and from then on send what it hears: int16 little endian
 *   s  stop it
 *   b  be busy for longer than the microphone's buffer lasts
 *   h  hang */
#include <stdbool.h>

#include "bare.h"
#include "tracekws/errors.h"

#define N_SAMPLES 256
#define BUSY_ROUNDS 900000u

static tkws_board board;

static void send(const uint8_t *bytes, size_t n_bytes)
{
    (void)board.serial_write(board.context, bytes, n_bytes);
}

static void send_u16(uint32_t value)
{
    const uint8_t bytes[2] = {(uint8_t)(value & 0xffu), (uint8_t)(value >> 8)};
    send(bytes, sizeof bytes);
}

static void obey(uint8_t command)
{
    volatile uint32_t rounds = BUSY_ROUNDS;
    if (command == 'r') {
        send(&board.reset_reason, 1);
        send_u16(board.watchdog_ms);
        send_u16(board.brown_out_mv);
    }
    if (command == 'm' && board.microphone_start(board.context) != TKWS_OK)
        send_u16(0xdead);
    if (command == 's')
        board.microphone_stop(board.context);
    while (command == 'b' && rounds > 0)
        rounds = rounds - 1;
    if (command == 'h')
        for (;;)
            board_wait();
}

/* @return whether there was anything to do */
static bool work(void)
{
    static const uint8_t lost[] = {'l', 'o', 's', 't'};
    int16_t pcm[N_SAMPLES];
    uint8_t command = 0;
    int n_commands = board.serial_read(board.context, &command, 1);
    if (n_commands > 0)
        obey(command);
    int n = board.microphone_read(board.context, pcm, N_SAMPLES);
    for (int i = 0; i < n; i++)
        send_u16((uint16_t)pcm[i]);
    if (n == TKWS_E_OVERRUN)
        send(lost, sizeof lost);
    return n != 0 || n_commands != 0;
}

int main(void)
{
    board_start(&board);
    for (;;) {
        board_feed_watchdog();
        if (!work())
            board_wait();
    }
}
