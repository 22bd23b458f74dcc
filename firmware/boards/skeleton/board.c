/* SPDX-License-Identifier: Apache-2.0 */
/* A board to begin with: it starts, but has no line, no storage and no microphone. Each part that docs/porting.md
 * tells to fill in is marked by its step. */
#include "bare.h"
#include "cortex_m.h"
#include "tracekws/errors.h"

#include <string.h>

/* Step 2: what has arrived, from the ring that the interrupt of the line fills (ring.h). */
/* NOLINTNEXTLINE(readability-non-const-parameter): it is filled then */
static int serial_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    (void)bytes;
    (void)n_bytes;
    return 0;
}

/* Step 2: send all of it, waiting for room. */
static int serial_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    (void)bytes;
    (void)n_bytes;
    return TKWS_E_LINK;
}

/* Steps 3 and 5: the fields of storage and microphone stay 0, which says that there are none. */
void board_start(tkws_board *board)
{
    memset(board, 0, sizeof *board);
    board->name = TKWS_BOARD_NAME;
    board->serial_read = serial_read;
    board->serial_write = serial_write;
    board->program_bytes = 1;
    board->memory[0] = bare_memory(tkws_arena_start, tkws_arena_end);
    board->n_memories = 1;
    board->ram_bytes = board->memory[0].n_bytes;
}

/* Step 2: with interrupts held off, sleep only if the ring is empty. */
void board_wait(void)
{
    tkws_hold_interrupts();
    tkws_sleep();
    tkws_release_interrupts();
}

/* Step 4. */
void board_feed_watchdog(void)
{
}
