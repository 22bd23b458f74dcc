/* SPDX-License-Identifier: Apache-2.0 */
/** @file flash.h  The flash of an STM32F405: its controller, and which sectors are whose.
 *
 *   sectors 0-5    256 KiB  the firmware and its model image
 *   sector 6       128 KiB  slot 0           offset 0 of the application's storage
 *   sector 7       128 KiB  slot 1
 *   sectors 8-9    256 KiB  image area 0
 *   sectors 10-11  256 KiB  image area 1
 *
 * The code runs from this same flash: while a sector is erased (one second, two at most) or a word is
 * programmed (16 microseconds) the processor stands still, interrupts too. Bytes that come in then are lost
 * on the line, where a host waits for an answer, and so are samples, which the microphone reports.
 * The supply must be 2.7 V or more, as both boards have it: words are programmed as a whole. */
#ifndef TKWS_STM32F405_FLASH_H
#define TKWS_STM32F405_FLASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_SECTOR_BYTES (128u * 1024u)
#define FLASH_FIRST_SECTOR 6u
#define FLASH_N_SECTORS 6u
#define FLASH_SLOT_BYTES FLASH_SECTOR_BYTES
#define FLASH_IMAGE_AREA_BYTES (2u * FLASH_SECTOR_BYTES)
#define FLASH_PROGRAM_BYTES 4u

/** Registers of the controller, as offsets. */
enum {
    FLASH_ACR = 0x00,
    FLASH_KEYR = 0x04,
    FLASH_OPTKEYR = 0x08,
    FLASH_SR = 0x0c,
    FLASH_CR = 0x10,
    FLASH_OPTCR = 0x14,
};

/** What the driver stands on: the part, or a model of it in the tests. */
uint32_t flash_get(uint32_t reg);
void flash_set(uint32_t reg, uint32_t value);
void flash_store(size_t offset, uint32_t word); /**< a store into the storage's part of flash */
const uint8_t *flash_memory(void);              /**< where offset 0 is read */

/** Whether there is a controller (QEMU has none). Locks it. */
bool flash_answers(void);

/** For tkws_board: context is not used. flash_program() refuses, before it changes anything, what would turn
 *  a zero into a one. Both read back what they did. */
int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes);
int flash_erase(void *context, size_t offset);

/** Have the part reset below 2.83 V, by its option bytes, when no level is set there, as the factory leaves it.
 *
 * It is the level that keeps the supply where words may be programmed, 2.75 V at least. Programmed once in the
 * life of the part, since a level that is there stays, whichever it is; the other options stay in any case. Power
 * that fails in that moment leaves the options erased: the part runs, but is protected from being read
 * (RDP level 1). */
void flash_set_brown_out(void);

/** Voltage below which the part resets, by its option bytes: typical, falling. @return 0 when it is off */
uint16_t flash_brown_out_mv(void);

#endif
