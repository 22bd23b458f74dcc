/* SPDX-License-Identifier: Apache-2.0 */
/* The storage. The firmware runs from the same chip, which cannot be read while it is being written: then the
 * processor runs from RAM and the boot ROM, with interrupts off. */
#include <string.h>

#include "bare.h"
#include "cortex_m.h"
#include "nor.h"
#include "parts.h"
#include "tracekws/errors.h"

#define ERASED 0xffffffffu
#define BOOT2_WORDS 64u
#define BLOCK_BYTES (64u * 1024u) /* never erased here: what is erased is smaller */
#define BLOCK_ERASE 0xd8u

typedef void rom_call(void);
typedef void rom_erase(uint32_t offset, size_t n_bytes, uint32_t block_bytes, uint8_t command);
typedef void rom_program(uint32_t offset, const uint8_t *bytes, size_t n_bytes);
typedef void *rom_look_up(const uint16_t *table, uint32_t code);

/* Of the linker script: at its start are 16-bit addresses of the ROM's function table, data table and the
 * function that looks up in them. */
extern const uint16_t rom_pointers[];
extern const uint32_t boot2_sealed[];

static struct {
    rom_call *connect;
    rom_call *leave_xip;
    rom_call *flush_cache;
    rom_erase *erase;
    rom_program *program;
    rom_call *enter_xip; /* boot2, below */
} rom;

static uint32_t boot2[BOOT2_WORDS];

static void *look_up(char first, char second)
{
    /* NOLINTBEGIN(performance-no-int-to-ptr): so the ROM gives its addresses */
    rom_look_up *function = (rom_look_up *)(uintptr_t)rom_pointers[2];
    const uint16_t *table = (const uint16_t *)(uintptr_t)rom_pointers[0];
    /* NOLINTEND(performance-no-int-to-ptr) */
    return function(table, (uint32_t)second << 8 | (uint32_t)first);
}

void flash_start(void)
{
    memcpy(boot2, boot2_sealed, sizeof boot2);
    rom.connect = (rom_call *)look_up('I', 'F');
    rom.leave_xip = (rom_call *)look_up('E', 'X');
    rom.flush_cache = (rom_call *)look_up('F', 'C');
    rom.erase = (rom_erase *)look_up('R', 'E');
    rom.program = (rom_program *)look_up('R', 'P');
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): code that was copied; the low bit says Thumb */
    rom.enter_xip = (rom_call *)((uintptr_t)boot2 | 1u);
}

/* Erase n_bytes when there are no bytes, else program them; offset is from the chip's start. */
__attribute__((section(".ram_code"), noinline)) static void
write_chip(uint32_t offset, const uint8_t *bytes, size_t n_bytes)
{
    tkws_hold_interrupts();
    rom.connect();
    rom.leave_xip();
    if (bytes == NULL)
        rom.erase(offset, n_bytes, BLOCK_BYTES, BLOCK_ERASE);
    else
        rom.program(offset, bytes, n_bytes);
    rom.flush_cache();
    rom.enter_xip();
    tkws_release_interrupts();
}

static const uint8_t *mapped(size_t offset)
{
    return (const uint8_t *)flash_storage + offset;
}

static uint32_t chip_offset(size_t offset)
{
    return (uint32_t)(mapped(offset) - (const uint8_t *)boot2_sealed);
}

int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return nor_read(mapped(0), FLASH_STORAGE, offset, bytes, n_bytes);
}

int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    if (offset % FLASH_PAGE != 0 || n_bytes % FLASH_PAGE != 0 ||
        !nor_within(offset, n_bytes, FLASH_STORAGE))
        return TKWS_E_STORAGE;
    for (size_t at = 0; at < n_bytes; at += FLASH_PAGE) {
        uint8_t page[FLASH_PAGE]; /* in RAM, wherever the bytes are */
        memcpy(page, bytes + at, FLASH_PAGE);
        board_feed_watchdog();
        write_chip(chip_offset(offset + at), page, FLASH_PAGE);
        if (memcmp(mapped(offset + at), page, FLASH_PAGE) != 0)
            return TKWS_E_STORAGE;
    }
    return TKWS_OK;
}

int flash_erase(void *context, size_t offset)
{
    (void)context;
    if (!nor_can_erase(FLASH_STORAGE, FLASH_SECTOR, offset))
        return TKWS_E_STORAGE;
    board_feed_watchdog();
    write_chip(chip_offset(offset), NULL, FLASH_SECTOR);
    for (size_t i = 0; i < FLASH_SECTOR / sizeof flash_storage[0]; i++)
        if (flash_storage[offset / sizeof flash_storage[0] + i] != ERASED)
            return TKWS_E_STORAGE;
    return TKWS_OK;
}
