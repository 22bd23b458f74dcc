/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's machine virt with 32 bits: a 16550 as the serial line, two 16-bit CFI NOR chips side by side as the
 * flash. It has no watchdog. */
#include "bare.h"
#include "nor.h"
#include "ring.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"

#include <string.h>

#define UART_BASE 0x10000000u
#define UART_IRQ 10u
#define UART_REGISTER(n) (*(volatile uint8_t *)(UART_BASE + (n)))
#define UART_DATA UART_REGISTER(0)
#define UART_INTERRUPTS UART_REGISTER(1)
#define UART_FIFO UART_REGISTER(2)
#define UART_LINE_CONTROL UART_REGISTER(3)
#define UART_LINE_STATUS UART_REGISTER(5)
#define LINE_8_BITS 3u
#define FIFO_OF_14_ON_AND_CLEAR 0xc7u /* the interrupt comes with 14 bytes, or with a pause */
#define INTERRUPT_RX 1u
#define STATUS_RX_READY 0x01u
#define STATUS_TX_EMPTY 0x20u

#define WORD(address) (*(volatile uint32_t *)(address))
#define PLIC_PRIORITY(irq) WORD(0x0c000000u + 4u * (irq))
#define PLIC_ENABLE WORD(0x0c002000u)
#define PLIC_THRESHOLD WORD(0x0c200000u)
#define PLIC_CLAIM WORD(0x0c200004u)

#define MIE_EXTERNAL 0x800u
#define MSTATUS_MIE 8u
#define MCAUSE_EXTERNAL 0x8000000bu

/* Each command goes to both chips at once. */
#define FLASH_BASE 0x22000000u
#define FLASH ((const uint8_t *)FLASH_BASE)
#define SECTOR_BYTES (256u * 1024u)
#define PROGRAM_BYTES 4u
#define SLOT_BYTES SECTOR_BYTES
#define IMAGE_AREA_BYTES SECTOR_BYTES
#define FLASH_BYTES (2 * SLOT_BYTES + 2 * IMAGE_AREA_BYTES)
#define BUFFER_BYTES 256u
#define CFI_BUFFER 0x00e800e8u
#define CFI_ERASE 0x00200020u
#define CFI_CONFIRM 0x00d000d0u
#define CFI_CLEAR_STATUS 0x00500050u
#define CFI_READ 0x00ff00ffu
#define CFI_READY 0x00800080u
#define CFI_FAILED 0x007a007au /* erase, program, voltage or lock error, program suspended */

static ring received;

/* For start.S. NOLINTNEXTLINE(misc-use-internal-linkage) */
void tkws_trap_handler(void);

static uint32_t trap_cause(void)
{
    uint32_t cause = 0;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    return cause;
}

/* Any trap but the serial line's interrupt is a fault: the board stays, for a debugger to look at. */
__attribute__((interrupt("machine"), aligned(4))) void tkws_trap_handler(void)
{
    while (trap_cause() != MCAUSE_EXTERNAL) {
    }
    uint32_t irq = PLIC_CLAIM;
    while ((UART_LINE_STATUS & STATUS_RX_READY) != 0)
        ring_put(&received, UART_DATA);
    PLIC_CLAIM = irq;
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
        while ((UART_LINE_STATUS & STATUS_TX_EMPTY) == 0) {
        }
        UART_DATA = bytes[i];
    }
    return TKWS_OK;
}

static int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return nor_read(FLASH, FLASH_BYTES, offset, bytes, n_bytes);
}

/* Wait for the end of an operation. @return whether it went well */
static bool flash_done(volatile uint32_t *at)
{
    uint32_t status = 0;
    do
        status = *at;
    while ((status & CFI_READY) != CFI_READY);
    if ((status & CFI_FAILED) == 0)
        return true;
    *at = CFI_CLEAR_STATUS;
    return false;
}

/* Program through the chips' buffers: offset and n_bytes lie within one aligned buffer. */
static bool program_buffer(size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    volatile uint32_t *word = (volatile uint32_t *)(FLASH_BASE + offset);
    uint32_t last = (uint32_t)(n_bytes / PROGRAM_BYTES - 1);
    *word = CFI_BUFFER;
    if (!flash_done(word))
        return false;
    *word = last << 16 | last;
    for (size_t i = 0; i <= last; i++)
        word[i] = tkws_bytes_get_u32(bytes + i * PROGRAM_BYTES);
    *word = CFI_CONFIRM;
    return flash_done(word);
}

/* What is programmed is read again: QEMU's chips program zeros into ones too, so that rule is checked here. */
static int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    if (!nor_can_program(FLASH, FLASH_BYTES, PROGRAM_BYTES, offset, bytes, n_bytes))
        return TKWS_E_STORAGE;
    bool good = true;
    for (size_t at = 0; good && at < n_bytes;) {
        size_t room = BUFFER_BYTES - (offset + at) % BUFFER_BYTES;
        size_t n = n_bytes - at < room ? n_bytes - at : room;
        good = program_buffer(offset + at, bytes + at, n);
        at += n;
    }
    *(volatile uint32_t *)FLASH_BASE = CFI_READ;
    return good && memcmp(FLASH + offset, bytes, n_bytes) == 0 ? TKWS_OK : TKWS_E_STORAGE;
}

static int flash_erase(void *context, size_t offset)
{
    (void)context;
    if (!nor_can_erase(FLASH_BYTES, SECTOR_BYTES, offset))
        return TKWS_E_STORAGE;
    volatile uint32_t *sector = (volatile uint32_t *)(FLASH_BASE + offset);
    *sector = CFI_ERASE;
    *sector = CFI_CONFIRM;
    bool good = flash_done(sector);
    *sector = CFI_READ;
    return good ? TKWS_OK : TKWS_E_STORAGE;
}

static void start_serial(void)
{
    UART_LINE_CONTROL = LINE_8_BITS;
    UART_FIFO = FIFO_OF_14_ON_AND_CLEAR;
    UART_INTERRUPTS = INTERRUPT_RX;
    PLIC_PRIORITY(UART_IRQ) = 1;
    PLIC_ENABLE = 1u << UART_IRQ;
    PLIC_THRESHOLD = 0;
    __asm__ volatile("csrw mie, %0" ::"r"(MIE_EXTERNAL));
    __asm__ volatile("csrs mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
}

void board_start(tkws_board *board)
{
    memset(board, 0, sizeof *board);
    start_serial();
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
    board->reset_reason = TKWS_APP_RESET_POWER_ON; /* nothing else resets it */
}

/* With interrupts held off the processor still wakes. */
void board_wait(void)
{
    __asm__ volatile("csrc mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
    if (!ring_has_bytes(&received))
        __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("csrs mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
}

void board_feed_watchdog(void)
{
}
