/* SPDX-License-Identifier: Apache-2.0 */
/* Raspberry Pi Pico: clocks, watchdog, and its parts put together. */
#include "bare.h"
#include "cortex_m.h"
#include "parts.h"
#include "ring.h"
#include "rp2040.h"

#define WAIT_ROUNDS 1000000u /* tenths of a second; what is waited for takes a millisecond */

#define XOSC_STARTUP_1_MS 47u /* in 256 periods of the 12 MHz crystal */
#define CRYSTAL_MHZ 12u
#define PLL_TIMES 125u                  /* 12 MHz to 1500 MHz */
#define PLL_BY_12 (6u << 16 | 2u << 12) /* to 125 MHz */

#define WATCHDOG_MS 8000u
#define WATCHDOG_COUNTS_PER_MS 2000u /* 1 MHz, but it counts twice a tick (erratum RP2040-E1) */

#define TICK_US 1000000u

/* Nothing runs without its clock: start again. */
static void wait_for(const volatile uint32_t *address, uint32_t bits)
{
    for (uint32_t i = 0; (*address & bits) != bits; i++)
        if (i == WAIT_ROUNDS)
            watchdog[WATCHDOG_CTRL + SET] = WATCHDOG_TRIGGER;
}

void board_power_up(uint32_t peripherals)
{
    resets[RESETS_RESET + CLEAR] = peripherals;
    wait_for(&resets[RESETS_RESET_DONE], peripherals);
}

void board_pin(unsigned pin, uint32_t function, uint32_t pull)
{
    pads_bank0[PADS_GPIO(pin)] = PAD_INPUT | PAD_4_MA | PAD_SCHMITT | pull;
    io_bank0[GPIO_CTRL(pin)] = function;
}

/* The processor and all peripherals run at 125 MHz, the watchdog's tick at 1 MHz. */
static void start_clocks(void)
{
    xosc[XOSC_STARTUP] = XOSC_STARTUP_1_MS;
    xosc[XOSC_CTRL] = XOSC_ENABLE | XOSC_1_15_MHZ;
    wait_for(&xosc[XOSC_STATUS], XOSC_STABLE);
    clocks[CLK_REF_CTRL] = CLK_REF_XOSC;
    wait_for(&clocks[CLK_REF_SELECTED], 1u << CLK_REF_XOSC);

    board_power_up(RESETS_PLL_SYS);
    pll_sys[PLL_CS] = 1; /* the crystal's frequency as it is */
    pll_sys[PLL_FBDIV] = PLL_TIMES;
    pll_sys[PLL_PWR + CLEAR] = PLL_PD | PLL_VCOPD;
    wait_for(&pll_sys[PLL_CS], PLL_LOCK);
    pll_sys[PLL_PRIM] = PLL_BY_12;
    pll_sys[PLL_PWR + CLEAR] = PLL_POSTDIVPD;

    clocks[CLK_SYS_CTRL] = CLK_SYS_AUX;
    wait_for(&clocks[CLK_SYS_SELECTED], 1u << CLK_SYS_AUX);
    clocks[CLK_PERI_CTRL] = CLK_PERI_ENABLE;
    watchdog[WATCHDOG_TICK] = WATCHDOG_TICK_ENABLE | CRYSTAL_MHZ;
}

static void start_watchdog(void)
{
    board_feed_watchdog();
    watchdog[WATCHDOG_CTRL] = WATCHDOG_ENABLE | WATCHDOG_PAUSE;
}

void board_feed_watchdog(void)
{
    watchdog[WATCHDOG_LOAD] = WATCHDOG_MS * WATCHDOG_COUNTS_PER_MS;
}

/* Ends the sleep of board_wait() once a second, so that the watchdog is fed. */
void board_tick(void)
{
    timer[TIMER_INTR] = 1;
    timer[TIMER_ALARM0] = timer[TIMER_NOW] + TICK_US;
}

static void start_tick(void)
{
    timer[TIMER_INTE] = 1;
    nvic[NVIC_ENABLE] = 1u << IRQ_TIMER_0;
    board_tick();
}

/* The part tells power-on and brown-out from the pin, but not from each other. */
static uint8_t reset_reason(void)
{
    uint32_t reason = watchdog[WATCHDOG_REASON];
    uint32_t chip = vreg_and_chip_reset[CHIP_RESET];
    if ((reason & WATCHDOG_REASON_TIMER) != 0)
        return TKWS_APP_RESET_WATCHDOG;
    if ((reason & WATCHDOG_REASON_FORCE) != 0)
        return TKWS_APP_RESET_SOFTWARE;
    if ((chip & HAD_RUN) != 0)
        return TKWS_APP_RESET_PIN;
    return (chip & HAD_POR) != 0 ? TKWS_APP_RESET_POWER_ON : TKWS_APP_RESET_UNKNOWN;
}

/* Of the core's supply, 1.1 V. The part runs from 0.99 V on: 946 mV is the step below, with room for the
 * detector's tolerance; a reset leaves 860 mV. @return what was taken, 0 when the detector is off */
static uint16_t set_brown_out_mv(void)
{
    vreg_and_chip_reset[BOD] = BOD_ENABLE | BOD_VSEL_946_MV;
    uint32_t bod = vreg_and_chip_reset[BOD];
    return (bod & BOD_ENABLE) != 0 ? (uint16_t)(473u + 43u * BOD_VSEL(bod)) : 0;
}

void board_start(tkws_board *board)
{
    psm[PSM_WDSEL] = PSM_ALL_BUT_OSCILLATORS;
    start_clocks();
    start_watchdog();
    board_power_up(RESETS_IO_BANK0 | RESETS_PADS_BANK0 | RESETS_UART0 | RESETS_PIO0 | RESETS_DMA |
                   RESETS_TIMER);
    serial_start();
    pins_start();
    flash_start();
    start_tick();
    *board = (tkws_board){
        .name = TKWS_BOARD_NAME,
        .serial_read = serial_read,
        .serial_write = serial_write,
        .serial_bytes = RING_BYTES,
        .microphone_start = microphone_start,
        .microphone_read = microphone_read,
        .microphone_stop = microphone_stop,
        .flash_read = flash_read,
        .flash_program = flash_program,
        .flash_erase = flash_erase,
        .slot_bytes = FLASH_SLOT,
        .image_area_bytes = FLASH_IMAGE_AREA,
        .flash_mapped = (const uint8_t *)flash_storage,
        .sector_bytes = FLASH_SECTOR,
        .program_bytes = FLASH_PAGE,
        .memory = {bare_memory(tkws_arena_start, tkws_arena_end)},
        .n_memories = 1,
        .ram_bytes = 264u * 1024u,
        .reset_reason = reset_reason(),
        .watchdog_ms = WATCHDOG_MS,
        .brown_out_mv = set_brown_out_mv(),
        .pulse_set = pulse_set,
        .led_set = led_set,
        .button_pressed = button_pressed,
        .quiet_poll_ms = TICK_US / 1000u,
    };
}

void board_wait(void)
{
    tkws_hold_interrupts();
    if (!serial_is_waiting() && !microphone_is_waiting())
        tkws_sleep();
    tkws_release_interrupts();
}
