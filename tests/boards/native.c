/* SPDX-License-Identifier: Apache-2.0 */
/* A board for equality.c on this machine: RAM as its flash, standard output as its line. */
#include <stdio.h>
#include <string.h>

#include "bare.h"
#include "nor.h"
#include "tracekws/errors.h"

#define SECTOR_BYTES 4096u
#define PROGRAM_BYTES 4u
#define SLOT_BYTES (128u * 1024u)
#define FLASH_BYTES (2 * SLOT_BYTES)
#define ARENA_BYTES (192u * 1024u)

static uint8_t flash[FLASH_BYTES];
static uint32_t arena[ARENA_BYTES / 4];

static int serial_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    (void)bytes;
    (void)n_bytes;
    return 0;
}

static int serial_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return fwrite(bytes, 1, n_bytes, stdout) == n_bytes ? TKWS_OK : TKWS_E_LINK;
}

static int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return nor_read(flash, FLASH_BYTES, offset, bytes, n_bytes);
}

static int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return nor_program_memory(flash, FLASH_BYTES, PROGRAM_BYTES, offset, bytes, n_bytes);
}

static int flash_erase(void *context, size_t offset)
{
    (void)context;
    return nor_erase_memory(flash, FLASH_BYTES, SECTOR_BYTES, offset);
}

void board_start(tkws_board *board)
{
    memset(board, 0, sizeof *board);
    memset(arena, 0xa5, sizeof arena);
    board->name = "native";
    board->serial_read = serial_read;
    board->serial_write = serial_write;
    board->serial_bytes = 4096;
    board->flash_read = flash_read;
    board->flash_program = flash_program;
    board->flash_erase = flash_erase;
    board->slot_bytes = SLOT_BYTES;
    board->sector_bytes = SECTOR_BYTES;
    board->program_bytes = PROGRAM_BYTES;
    board->memory[0].start = arena;
    board->memory[0].n_bytes = sizeof arena;
    board->n_memories = 1;
}

void board_wait(void)
{
}

void board_feed_watchdog(void)
{
}
