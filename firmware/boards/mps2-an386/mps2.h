/* SPDX-License-Identifier: Apache-2.0 */
/** @file mps2.h  Interrupts of the MPS2 board with the AN386 image (Cortex-M4), as QEMU has it. */
#ifndef TKWS_MPS2_H
#define TKWS_MPS2_H

#include <stdint.h>

#define MPS2_UART0_RX_IRQ 0

/** For the vector table. */
void mps2_uart_handler(void);
void mps2_tick_handler(void);

#endif
