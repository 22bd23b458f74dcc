/* SPDX-License-Identifier: Apache-2.0 */
/** @file rp2040.h  The registers that this board uses: names of the RP2040 datasheet, addresses in link.ld.
 *
 * A block is an array of words: uart0[UART_DR]. Added to an index, SET or CLEAR make the write set or clear
 * the bits that are one, and leave the others. */
#ifndef TKWS_RP2040_H
#define TKWS_RP2040_H

#include <stdbool.h>
#include <stdint.h>

#define WORD(byte_offset) ((byte_offset) / 4)
#define SET WORD(0x2000)
#define CLEAR WORD(0x3000)

extern volatile uint32_t resets[];
#define RESETS_RESET WORD(0x0)
#define RESETS_RESET_DONE WORD(0x8)
#define RESETS_DMA (1u << 2)
#define RESETS_IO_BANK0 (1u << 5)
#define RESETS_PADS_BANK0 (1u << 8)
#define RESETS_PIO0 (1u << 10)
#define RESETS_PLL_SYS (1u << 12)
#define RESETS_TIMER (1u << 21)
#define RESETS_UART0 (1u << 22)

extern volatile uint32_t xosc[];
#define XOSC_CTRL WORD(0x0)
#define XOSC_STATUS WORD(0x4)
#define XOSC_STARTUP WORD(0xc)
#define XOSC_ENABLE (0xfabu << 12)
#define XOSC_1_15_MHZ 0xaa0u
#define XOSC_STABLE (1u << 31)

extern volatile uint32_t pll_sys[];
#define PLL_CS WORD(0x0)
#define PLL_PWR WORD(0x4)
#define PLL_FBDIV WORD(0x8)
#define PLL_PRIM WORD(0xc)
#define PLL_LOCK (1u << 31)
#define PLL_PD (1u << 0)
#define PLL_POSTDIVPD (1u << 3)
#define PLL_VCOPD (1u << 5)

extern volatile uint32_t clocks[];
#define CLK_REF_CTRL WORD(0x30)
#define CLK_REF_SELECTED WORD(0x38)
#define CLK_SYS_CTRL WORD(0x3c)
#define CLK_SYS_SELECTED WORD(0x44)
#define CLK_PERI_CTRL WORD(0x48)
#define CLK_REF_XOSC 2u
#define CLK_SYS_AUX 1u /* of which source 0 is pll_sys */
#define CLK_PERI_ENABLE (1u << 11)

extern volatile uint32_t io_bank0[];
#define GPIO_CTRL(pin) WORD(8 * (pin) + 4)
#define GPIO_UART 2u
#define GPIO_SIO 5u /* the processor's own, below */
#define GPIO_PIO0 6u

extern volatile uint32_t pads_bank0[];
#define PADS_GPIO(pin) WORD(4 * (pin) + 4)
#define PAD_INPUT (1u << 6)
#define PAD_4_MA (1u << 4)
#define PAD_PULL_UP (1u << 3)
#define PAD_PULL_DOWN (1u << 2)
#define PAD_SCHMITT (1u << 1)

extern volatile uint32_t sio[]; /* a bit a pin */
#define SIO_IN WORD(0x4)
#define SIO_OUT_SET WORD(0x14)
#define SIO_OUT_CLEAR WORD(0x18)
#define SIO_ENABLE_SET WORD(0x24)

extern volatile uint32_t uart0[];
#define UART_DR WORD(0x0)
#define UART_FR WORD(0x18)
#define UART_IBRD WORD(0x24)
#define UART_FBRD WORD(0x28)
#define UART_LCR_H WORD(0x2c)
#define UART_CR WORD(0x30)
#define UART_IMSC WORD(0x38)
#define UART_FR_RXFE (1u << 4)
#define UART_FR_TXFF (1u << 5)
#define UART_LCR_FIFOS (1u << 4)
#define UART_LCR_8_BITS (3u << 5)
#define UART_CR_ENABLE (1u << 0)
#define UART_CR_TX (1u << 8)
#define UART_CR_RX (1u << 9)
#define UART_INT_RX (1u << 4) /* the FIFO is half full */
#define UART_INT_RT (1u << 6) /* bytes have waited for 32 bit times */

extern volatile uint32_t watchdog[];
#define WATCHDOG_CTRL WORD(0x0)
#define WATCHDOG_LOAD WORD(0x4)
#define WATCHDOG_REASON WORD(0x8)
#define WATCHDOG_TICK WORD(0x2c)
#define WATCHDOG_TRIGGER (1u << 31)
#define WATCHDOG_ENABLE (1u << 30)
#define WATCHDOG_PAUSE (7u << 24) /* while a debugger halts a core */
#define WATCHDOG_REASON_TIMER (1u << 0)
#define WATCHDOG_REASON_FORCE (1u << 1)
#define WATCHDOG_TICK_ENABLE (1u << 9)

extern volatile uint32_t psm[];
#define PSM_WDSEL WORD(0x8)
#define PSM_ALL_BUT_OSCILLATORS 0x1fffcu

extern volatile uint32_t vreg_and_chip_reset[];
#define BOD WORD(0x4)
#define CHIP_RESET WORD(0x8)
#define BOD_ENABLE (1u << 0)
#define BOD_VSEL(bod) ((bod) >> 4 & 15u)
#define BOD_VSEL_946_MV (11u << 4)
#define HAD_POR (1u << 8)
#define HAD_RUN (1u << 16)

extern volatile uint32_t dma[];
#define DMA_READ(channel) WORD(0x40 * (channel))
#define DMA_WRITE(channel) WORD(0x40 * (channel) + 0x4)
#define DMA_COUNT(channel) WORD(0x40 * (channel) + 0x8)
#define DMA_CTRL_TRIG(channel) WORD(0x40 * (channel) + 0xc)
#define DMA_CTRL(channel) WORD(0x40 * (channel) + 0x10)
#define DMA_INTE0 WORD(0x404)
#define DMA_INTS0 WORD(0x40c)
#define DMA_ABORT WORD(0x444)
#define DMA_ENABLE (1u << 0)
#define DMA_WORDS (2u << 2)
#define DMA_INCREMENT_WRITE (1u << 5)
#define DMA_RING(bits) ((bits) << 6 | 1u << 10) /* the write address wraps, at 2^bits bytes */
#define DMA_CHAIN_TO(channel) ((uint32_t)(channel) << 11)
#define DMA_REQUEST(number) ((number) << 15)
#define DMA_BUSY (1u << 24)
#define DREQ_PIO0_RX0 4u

extern volatile uint32_t pio0[];
#define PIO_CTRL WORD(0x0)
#define PIO_RXF0 WORD(0x20)
#define PIO_INSTR_MEM(i) (WORD(0x48) + (i))
#define PIO_SM0_CLKDIV WORD(0xc8)
#define PIO_SM0_EXECCTRL WORD(0xcc)
#define PIO_SM0_SHIFTCTRL WORD(0xd0)
#define PIO_SM0_INSTR WORD(0xd8)
#define PIO_SM0_PINCTRL WORD(0xdc)

extern volatile uint32_t timer[];
#define TIMER_ALARM0 WORD(0x10)
#define TIMER_NOW WORD(0x28) /* in microseconds, the lower half */
#define TIMER_INTR WORD(0x34)
#define TIMER_INTE WORD(0x38)

extern volatile uint32_t nvic[];
#define NVIC_ENABLE WORD(0x0)
#define IRQ_TIMER_0 0
#define IRQ_DMA_0 11
#define IRQ_UART0 20
#define N_IRQS 26

#define SYSTEM_HZ 125000000u

#endif
