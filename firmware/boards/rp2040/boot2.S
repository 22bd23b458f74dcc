/* SPDX-License-Identifier: Apache-2.0 */
/* Second-stage boot loader. The boot ROM reads the first 256 bytes of flash to the end of RAM, checks the
 * CRC-32 in the last four and calls this, with lr = 0 and interrupts off. It makes the flash readable at
 * 0x10000000 by the plain read command 03h, which every chip knows, then starts the firmware behind it.
 * flash.c calls a copy of it with a return address, to make the flash readable again after writing.
 * Position-independent, at most 252 bytes. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ SSI, 0x18000000
    .equ CTRLR0, 0x00
    .equ CTRLR1, 0x04
    .equ SSIENR, 0x08
    .equ BAUDR, 0x14
    .equ SPI_CTRLR0_ADDRESS, SSI + 0xf4

    .equ CLOCK_DIVIDER, 4            /* 31.25 MHz; the Pico's W25Q16JV takes 50 for this command */
    .equ EEPROM_READ, 3 << 8         /* transfer mode: send command and address, then read */
    .equ BITS_32, 31 << 16           /* bits of a data frame, less one */
    .equ COMMAND_READ, 0x03 << 24
    .equ COMMAND_8_BITS, 2 << 8
    .equ ADDRESS_24_BITS, 6 << 2     /* in units of 4 */

    .equ VECTORS, 0x10000100
    .equ VTOR, 0xe000ed08

    .text
    .thumb_func
    push {lr}
    ldr r3, =SSI
    movs r0, #0
    movs r1, #1
    str r0, [r3, #SSIENR]            /* registers change only while it is off */
    movs r2, #CLOCK_DIVIDER
    str r2, [r3, #BAUDR]
    ldr r2, =EEPROM_READ | BITS_32
    str r2, [r3, #CTRLR0]
    str r0, [r3, #CTRLR1]            /* one frame a read */
    ldr r2, =COMMAND_READ | COMMAND_8_BITS | ADDRESS_24_BITS
    ldr r0, =SPI_CTRLR0_ADDRESS
    str r2, [r0]
    str r1, [r3, #SSIENR]
    pop {r0}
    cmp r0, #0
    beq start_firmware
    bx r0

start_firmware:
    ldr r0, =VECTORS
    ldr r1, =VTOR
    str r0, [r1]
    ldmia r0!, {r1, r2}
    msr msp, r1
    bx r2
    .pool
