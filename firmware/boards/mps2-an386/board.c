/* SPDX-License-Identifier: Apache-2.0 */
/* MPS2 with the AN386 image, in QEMU. Its flash is the PSRAM, behind which QEMU puts a file; the rules of NOR
 * flash are imposed here. */
#include "bare.h"
#include "cortex_m.h"
#include "mps2.h"
#include "nor.h"
#include "ring.h"
#include "tracekws/errors.h"

#include <string.h>

#define CLOCK_HZ 25000000u

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART0_DATA REGISTER(0x40004000u)
#define UART0_STATE REGISTER(0x40004004u)
#define UART0_CONTROL REGISTER(0x40004008u)
#define UART0_INTERRUPT REGISTER(0x4000400cu)
#define UART0_DIVIDER REGISTER(0x40004010u)
#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CONTROL_TX_RX_RXINT 0xbu
#define INTERRUPT_RX 2u
#define BAUD_DIVIDER (CLOCK_HZ / 921600u)

#define WATCHDOG_LOAD REGISTER(0x40008000u)
#define WATCHDOG_CONTROL REGISTER(0x40008008u)
#define WATCHDOG_CLEAR REGISTER(0x4000800cu)
#define WATCHDOG_LOCK REGISTER(0x40008c00u)
#define WATCHDOG_KEY 0x1acce551u
#define WATCHDOG_INTERRUPT_AND_RESET 3u
#ifndef WATCHDOG_MS
#define WATCHDOG_MS 60000u /* an emulated board may be slow: only what hangs for ever is reset */
#endif

#define SYSTICK_CONTROL REGISTER(0xe000e010u)
#define SYSTICK_RELOAD REGISTER(0xe000e014u)
#define SYSTICK_VALUE REGISTER(0xe000e018u)
#define SYSTICK_RUN 7u
#define TICK_MS 500u
#define NVIC_ENABLE REGISTER(0xe000e100u)

/* Survives a reset but not a power cycle, which clears it. */
extern volatile uint32_t tkws_kept[];
#define RUNNING 0x54524b57u

#define FLASH ((uint8_t *)0x21000000u)
#define SECTOR_BYTES 4096u
#define PROGRAM_BYTES 4u
#define SLOT_BYTES (128u * 1024u)
#define IMAGE_AREA_BYTES (256u * 1024u)
#define FLASH_BYTES (2 * SLOT_BYTES + 2 * IMAGE_AREA_BYTES)

static ring received;

void mps2_uart_handler(void)
{
    UART0_INTERRUPT = INTERRUPT_RX; /* first: it must not clear what a later byte raises */
    while ((UART0_STATE & STATE_RX_FULL) != 0)
        ring_put(&received, (uint8_t)UART0_DATA);
}

/* Wakes the main loop, which feeds the watchdog. */
void mps2_tick_handler(void)
{
}

static int serial_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return ring_take(&received, bytes, n_bytes);
}

static int serial_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    for (size_t i = 0; i < n_bytes; i++) {
        while ((UART0_STATE & STATE_TX_FULL) != 0) {
        }
        UART0_DATA = bytes[i];
    }
    return TKWS_OK;
}

static int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return nor_read(FLASH, FLASH_BYTES, offset, bytes, n_bytes);
}

static int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return nor_program_memory(FLASH, FLASH_BYTES, PROGRAM_BYTES, offset, bytes, n_bytes);
}

static int flash_erase(void *context, size_t offset)
{
    (void)context;
    return nor_erase_memory(FLASH, FLASH_BYTES, SECTOR_BYTES, offset);
}

static void start_serial(void)
{
    UART0_DIVIDER = BAUD_DIVIDER;
    UART0_CONTROL = CONTROL_TX_RX_RXINT;
    NVIC_ENABLE = 1u << MPS2_UART0_RX_IRQ;
}

/* Its first round ends in an NMI, its second in the reset. */
static void start_watchdog(void)
{
    WATCHDOG_LOCK = WATCHDOG_KEY;
    WATCHDOG_LOAD = CLOCK_HZ / 2000u * WATCHDOG_MS;
    WATCHDOG_CONTROL = WATCHDOG_INTERRUPT_AND_RESET;
    SYSTICK_RELOAD = CLOCK_HZ / 1000u * TICK_MS - 1u;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = SYSTICK_RUN;
}

void board_start(tkws_board *board)
{
    memset(board, 0, sizeof *board);
    board->reset_reason =
        tkws_kept[0] == RUNNING ? TKWS_APP_RESET_WATCHDOG : TKWS_APP_RESET_POWER_ON;
    tkws_kept[0] = RUNNING;
    start_serial();
    start_watchdog();
    nor_erase_new(FLASH, FLASH_BYTES, SECTOR_BYTES, flash_erase);
    board->name = TKWS_BOARD_NAME;
    board->serial_read = serial_read;
    board->serial_write = serial_write;
    board->serial_bytes = RING_BYTES;
    board->flash_read = flash_read;
    board->flash_program = flash_program;
    board->flash_erase = flash_erase;
    board->slot_bytes = SLOT_BYTES;
    board->image_area_bytes = IMAGE_AREA_BYTES;
    board->flash_mapped = FLASH;
    board->sector_bytes = SECTOR_BYTES;
    board->program_bytes = PROGRAM_BYTES;
    board->memory[0] = bare_memory(tkws_arena_start, tkws_arena_end);
    board->n_memories = 1;
    board->ram_bytes = 192u * 1024u;
    board->watchdog_ms = WATCHDOG_MS;
    board->quiet_poll_ms = TICK_MS;
}

void board_wait(void)
{
    tkws_hold_interrupts();
    if (!ring_has_bytes(&received))
        tkws_sleep();
    tkws_release_interrupts();
}

void board_feed_watchdog(void)
{
    WATCHDOG_CLEAR = 1;
}
