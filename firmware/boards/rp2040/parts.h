/* SPDX-License-Identifier: Apache-2.0 */
/** @file parts.h  The parts of this board, as board.c puts them together. Functions of board.h are not
 *  described again. */
#ifndef TKWS_RP2040_PARTS_H
#define TKWS_RP2040_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Give a pin to a peripheral. */
void board_pin(unsigned pin, uint32_t function, uint32_t pull);

/** Take peripherals out of reset; does not return if one stays in it. */
void board_power_up(uint32_t peripherals);

/* UART0 at 921,600 baud: GP0 sends, GP1 receives. */
void serial_start(void);
bool serial_is_waiting(void);
int serial_read(void *context, uint8_t *bytes, size_t n_bytes);
int serial_write(void *context, const uint8_t *bytes, size_t n_bytes);

/* The last 768 KiB of the flash chip, by the boot ROM's routines. */
#define FLASH_SECTOR 4096u
#define FLASH_PAGE 256u
#define FLASH_SLOT (128u * 1024u)
#define FLASH_IMAGE_AREA (256u * 1024u)
#define FLASH_STORAGE (2u * (FLASH_SLOT + FLASH_IMAGE_AREA))

/* Where it is mapped; of the linker script. Not const: reads before and after a change are two. */
extern uint32_t flash_storage[];
void flash_start(void);
int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes);
int flash_erase(void *context, size_t offset);

/* An I2S microphone: GP16 bit clock, GP17 word select, GP18 data; its left channel. */
bool microphone_is_waiting(void);
int microphone_start(void *context);
int microphone_read(void *context, int16_t *pcm, size_t n_samples);
void microphone_stop(void *context);

/* A button from GP15 to ground, the Pico's LED, and an output, GP14, for who listens to a board alone. */
void pins_start(void);
void pulse_set(void *context, bool on);
void led_set(void *context, bool on);
bool button_pressed(void *context);

/* Interrupts, for the vector table. */
void board_tick(void);
void serial_interrupt(void);
void microphone_interrupt(void);

#endif
