/* SPDX-License-Identifier: Apache-2.0 */
#include "cortex_m.h"
#include "parts.h"
#include "rp2040.h"

#define N_EXCEPTIONS 15 /* numbers 1 to 15; what follows are the part's own interrupts */

extern uint8_t tkws_stack_top[];

__attribute__((section(".vectors"), used)) static const struct {
    void *stack;
    void (*exceptions[N_EXCEPTIONS])(void);
    void (*interrupts[N_IRQS])(void);
} vectors = {
    .stack = tkws_stack_top,
    .exceptions = {[0] = tkws_reset_handler,
                   [1] = tkws_fault_handler,
                   [2] = tkws_fault_handler,
                   [10] = tkws_fault_handler,
                   [13] = tkws_fault_handler,
                   [14] = tkws_fault_handler},
    .interrupts = {[IRQ_TIMER_0] = board_tick,
                   [IRQ_DMA_0] = microphone_interrupt,
                   [IRQ_UART0] = serial_interrupt},
};
