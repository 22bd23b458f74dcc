/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware of a microcontroller: the application on its board, for ever. With TKWS_ALONE it listens without a
 * host. */
#include "alone.h"
#include "app.h"
#include "bare.h"

#ifndef TKWS_BOARD_NAME
#error "board.mk names the board"
#endif

/* At the start of the firmware, after the vectors, so that a tool can tell what a file is for, and put another
 * model image into it: volatile, since the compiler must not know these values. */
__attribute__((section(".identity"), used)) static const volatile struct {
    uint8_t magic[4];
    uint32_t version;
    char board[TKWS_BOARD_NAME_BYTES];
    const uint8_t *image_start;
    const uint8_t *image_end;
} identity = {
    {'T', 'K', 'F', 'W'}, TKWS_APP_FIRMWARE, TKWS_BOARD_NAME, tkws_image_start, tkws_image_end};

static tkws_board board;
static tkws_app app;

#ifdef TKWS_ALONE
static tkws_app_alone alone;

static void start(void)
{
    (void)tkws_app_init(&app, &board);
    tkws_app_alone_init(&alone, &app);
}

static int poll(void)
{
    return tkws_app_alone_poll(&alone);
}
#else
static void start(void)
{
    (void)tkws_app_init(&app, &board);
}

static int poll(void)
{
    return tkws_app_poll(&app);
}
#endif

int main(void)
{
    board_start(&board);
    board.image = identity.image_start;
    board.image_bytes = (size_t)(identity.image_end - board.image);
    start(); /* its error is answered to the host */
    for (;;) {
        board_feed_watchdog();
        if (poll() == 0)
            board_wait();
    }
}
