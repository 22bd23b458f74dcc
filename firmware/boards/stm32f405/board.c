/* SPDX-License-Identifier: Apache-2.0 */
/* STM32F405: clocks, serial line, watchdog, and what the board is.
 *
 * The serial line is USART3: PB10 sends, PB11 receives (pyboard: Y9 and Y10; Feather: TX and RX).
 * PB3 is the pyboard's button USR, PB4 its blue LED; PB8 (Y3, D9) is the output for words that were heard. */
#include <stdatomic.h>
#include <string.h>

#include "bare.h"
#include "cortex_m.h"
#include "flash.h"
#include "microphone.h"
#include "registers.h"
#include "ring.h"
#include "tracekws/errors.h"
#include "vectors.h"

#define CRYSTAL_HZ 12000000u
#define HSI_HZ 16000000u
#define PLL_INPUT_HZ 1000000u
#define SYSTEM_HZ 168000000u
#define PLL_N 336u /* by 2 is 168 MHz */
#define PLL_Q 7u
#define ACR_CACHES (1u << 9 | 1u << 10)
#define ACR_PREFETCH (1u << 8)
#define ACR_LATENCY 15u
#define WAIT_STATES 5u

#define BAUD 921600u
#define PIN_TX 10
#define PIN_RX 11
#define FUNCTION_USART3 7u
#define SEND_LOOKS 1000000

#define PIN_BUTTON 3
#define PIN_LED 4
#define PIN_PULSE 8

#define TICK_CYCLES 0x1000000u
#define QUIET_POLL_MS (TICK_CYCLES / (SYSTEM_HZ / 1000u))

#define WATCHDOG_MS 10000u /* of an oscillator of 17 to 47 kHz: 6.8 to 18.8 s; two erases take 4 */
#define WATCHDOG_RELOAD (WATCHDOG_MS / 8u)
#define WATCHDOG_BY_256 6u

#define STORAGE_START 0x08040000u

extern uint8_t tkws_ccm_arena_start[];
extern uint8_t tkws_ccm_arena_end[];

static ring received;

/* --- what flash.h asks for --- */

uint32_t flash_get(uint32_t reg)
{
    return REGISTER(FLASH_BASE + reg);
}

void flash_set(uint32_t reg, uint32_t value)
{
    REGISTER(FLASH_BASE + reg) = value;
}

const uint8_t *flash_memory(void)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
    return (const uint8_t *)STORAGE_START;
}

void flash_store(size_t offset, uint32_t word)
{
    REGISTER(STORAGE_START + offset) = word;
    atomic_thread_fence(
        memory_order_seq_cst); /* the controller sees it before it is asked for BSY */
}

/* --- start --- */

/* Back to how a reset leaves it: a boot loader may have been here. */
static void start_over(void)
{
    for (unsigned i = 0; i < (N_IRQS + 31) / 32; i++) {
        NVIC_ICER(i) = ~0u;
        NVIC_ICPR(i) = ~0u;
    }
    SCB_VTOR = (uint32_t)(uintptr_t)tkws_vectors;
    RCC_CR |= RCC_CR_HSION;
    (void)wait_for(&RCC_CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY);
    RCC_CFGR = 0;
    (void)wait_for(&RCC_CFGR, RCC_CFGR_SWS, 0);
    RCC_CR &= ~(RCC_CR_PLLON | RCC_CR_PLLI2SON | RCC_CR_HSEON | RCC_CR_CSSON | RCC_CR_HSEBYP);
    (void)wait_for(&RCC_CR, RCC_CR_PLLRDY | RCC_CR_PLLI2SRDY, 0);
}

/* 168 MHz from the crystal, from the internal oscillator when there is none, or that oscillator itself.
 * @return clock of USART3, in Hz */
static uint32_t start_clocks(void)
{
    RCC_CR |= RCC_CR_HSEON;
    bool crystal = wait_for(&RCC_CR, RCC_CR_HSERDY, RCC_CR_HSERDY);
    uint32_t divider = (crystal ? CRYSTAL_HZ : HSI_HZ) / PLL_INPUT_HZ;
    if (!crystal)
        RCC_CR &= ~RCC_CR_HSEON;
    RCC_PLLCFGR = divider | PLL_N << 6 | PLL_Q << 24 | (crystal ? RCC_PLLCFGR_HSE : 0u);
    RCC_CR |= RCC_CR_PLLON;
    if (!wait_for(&RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY))
        return HSI_HZ;
    uint32_t prefetch = DBGMCU_IDCODE >> 16 == DBGMCU_REVISION_A ? 0u : ACR_PREFETCH;
    flash_set(FLASH_ACR, WAIT_STATES | ACR_CACHES | prefetch);
    if ((flash_get(FLASH_ACR) & ACR_LATENCY) != WAIT_STATES)
        return HSI_HZ;
    RCC_CFGR = RCC_CFGR_APB1_BY_4 | RCC_CFGR_APB2_BY_2;
    RCC_CFGR |= RCC_CFGR_SW_PLL;
    if (wait_for(&RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL))
        return SYSTEM_HZ / 4;
    RCC_CFGR = 0;
    return HSI_HZ;
}

/* 42 MHz gives 913,043 baud, 0.9 % slow; 16 MHz gives 941,176, 2.1 % fast: both within the 3.3 % that a
 * receiver bears. */
static void start_serial(uint32_t clock_hz)
{
    enable_clock(&RCC_AHB1ENR, RCC_AHB1ENR_GPIOB);
    enable_clock(&RCC_APB1ENR, RCC_APB1ENR_USART3);
    use_pin_b(PIN_TX, FUNCTION_USART3, 0);
    use_pin_b(PIN_RX, FUNCTION_USART3, PULL_UP);
    USART3_BRR = (clock_hz + BAUD / 2) / BAUD;
    USART3_CR1 = USART_CR1_UE | USART_CR1_TE | USART_CR1_RE | USART_CR1_RXNEIE;
    enable_irq(IRQ_USART3);
}

/* The port has its clock by now. */
static void start_pins(void)
{
    read_pin_b(PIN_BUTTON);
    drive_pin_b(PIN_LED);
    drive_pin_b(PIN_PULSE);
}

/* Wakes the main loop, ten times a second or so, to feed the watchdog. */
static void start_tick(void)
{
    SYST_RVR = TICK_CYCLES - 1u;
    SYST_CVR = 0;
    SYST_CSR = 7;
}

/* @return its time in ms, 0 when there is none */
static uint16_t start_watchdog(void)
{
    IWDG_KR = 0xcccc;
    IWDG_KR = 0x5555;
    IWDG_PR = WATCHDOG_BY_256;
    IWDG_RLR = WATCHDOG_RELOAD;
    bool taken = wait_for(&IWDG_SR, 3, 0) && IWDG_RLR == WATCHDOG_RELOAD;
    board_feed_watchdog();
    return taken ? WATCHDOG_MS : 0;
}

/* A reset by power sets the pin's flag too, and so do all others. */
static uint8_t reset_reason(void)
{
    static const struct {
        uint32_t flags;
        uint8_t reason;
    } reasons[] = {
        {RCC_CSR_PORRSTF, TKWS_APP_RESET_POWER_ON},
        {RCC_CSR_BORRSTF, TKWS_APP_RESET_BROWN_OUT},
        {RCC_CSR_IWDGRSTF | RCC_CSR_WWDGRSTF, TKWS_APP_RESET_WATCHDOG},
        {RCC_CSR_SFTRSTF, TKWS_APP_RESET_SOFTWARE},
        {RCC_CSR_PINRSTF, TKWS_APP_RESET_PIN},
    };
    uint32_t flags = RCC_CSR;
    RCC_CSR = flags | RCC_CSR_RMVF;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if ((flags & reasons[i].flags) != 0)
            return reasons[i].reason;
    return TKWS_APP_RESET_UNKNOWN;
}

/* --- the running board --- */

static int serial_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return ring_take(&received, bytes, n_bytes);
}

static int serial_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    for (size_t i = 0; i < n_bytes; i++) {
        uint32_t looks = 0;
        while ((USART3_SR & USART_SR_TXE) == 0)
            if (looks++ == SEND_LOOKS)
                return TKWS_E_LINK;
        USART3_DR = bytes[i];
    }
    return TKWS_OK;
}

static void set_pin(unsigned pin, bool on)
{
    GPIOB_BSRR = 1u << (on ? pin : pin + 16);
}

static void pulse_set(void *context, bool on)
{
    (void)context;
    set_pin(PIN_PULSE, on);
}

static void led_set(void *context, bool on)
{
    (void)context;
    set_pin(PIN_LED, on);
}

static bool button_pressed(void *context)
{
    (void)context;
    return (GPIOB_IDR >> PIN_BUTTON & 1u) == 0;
}

/* Several in a row outlast the watchdog. */
static int erase(void *context, size_t offset)
{
    board_feed_watchdog();
    return flash_erase(context, offset);
}

/* An overrun is cleared by reading the data, and asks for the interrupt as long as it is not: what is read then is a
 * byte of a frame that lacks one anyway. */
void usart3_handler(void)
{
    while ((USART3_SR & (USART_SR_RXNE | USART_SR_ORE)) != 0)
        ring_put(&received, (uint8_t)USART3_DR);
}

void tick_handler(void)
{
}

void board_wait(void)
{
    tkws_hold_interrupts();
    if (!ring_has_bytes(&received) && !microphone_has_samples())
        tkws_sleep();
    tkws_release_interrupts();
}

void board_feed_watchdog(void)
{
    IWDG_KR = 0xaaaa;
}

static void describe_storage(tkws_board *board)
{
    if (!flash_answers()) {
        board->brown_out_mv = TKWS_BOARD_BROWN_OUT_UNKNOWN;
        return;
    }
    board->flash_read = flash_read;
    board->flash_program = flash_program;
    board->flash_erase = erase;
    board->slot_bytes = FLASH_SLOT_BYTES;
    board->image_area_bytes = FLASH_IMAGE_AREA_BYTES;
    board->flash_mapped = flash_memory();
    board->sector_bytes = FLASH_SECTOR_BYTES;
    board->program_bytes = FLASH_PROGRAM_BYTES;
    flash_set_brown_out();
    board->brown_out_mv = flash_brown_out_mv();
}

static void describe_memory(tkws_board *board)
{
    board->memory[0] = bare_memory(tkws_arena_start, tkws_arena_end);
    board->memory[1] = bare_memory(tkws_ccm_arena_start, tkws_ccm_arena_end);
    board->n_memories = 2;
    board->ram_bytes = (128u + 64u) * 1024u;
}

void board_start(tkws_board *board)
{
    start_over();
    memset(board, 0, sizeof *board);
    board->name = TKWS_BOARD_NAME;
    board->reset_reason = reset_reason();
    start_serial(start_clocks());
    start_pins();
    start_tick();
    board->watchdog_ms = start_watchdog();
    board->serial_read = serial_read;
    board->serial_write = serial_write;
    board->serial_bytes = RING_BYTES;
    board->pulse_set = pulse_set;
    board->led_set = led_set;
    board->button_pressed = button_pressed;
    board->quiet_poll_ms = QUIET_POLL_MS;
    describe_storage(board);
    describe_memory(board);
    if (microphone_has_clock()) {
        board->microphone_start = microphone_start;
        board->microphone_read = microphone_read;
        board->microphone_stop = microphone_stop;
    }
}
