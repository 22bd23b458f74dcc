/* SPDX-License-Identifier: Apache-2.0 */
/** @file bare.h  What a microcontroller's board supplies to bare/main.c, beside its linker script.
 *
 * A board folder has: board.c with the functions below, its vector table (Cortex-M) or start-up, link.ld
 * and board.mk. Interrupts stay in there: they fill rings, and board_wait() sleeps until one has come. */
#ifndef TKWS_BARE_H
#define TKWS_BARE_H

#include "board.h"

/** Start clocks, serial line, flash and microphone, and describe them: fills every field of *board but image
 *  and image_bytes. Cannot fail: what does not start is left out (no storage, no microphone). */
void board_start(tkws_board *board);

/** Sleep until an interrupt has something for the application; returns at once when there is already. */
void board_wait(void);

/** Keep the watchdog from biting; called at least once in a round of the main loop. */
void board_feed_watchdog(void);

/** Of the linker script: RAM that nothing else uses, for weights and state. */
extern uint8_t tkws_arena_start[];
extern uint8_t tkws_arena_end[];

/** A piece of RAM between two symbols of the linker script. */
static inline tkws_board_memory bare_memory(uint8_t *start, const uint8_t *end)
{
    return (tkws_board_memory){start, (uintptr_t)end - (uintptr_t)start};
}

/** Of image.S: the model image built into the firmware. */
extern const uint8_t tkws_image_start[];
extern const uint8_t tkws_image_end[];

#endif
