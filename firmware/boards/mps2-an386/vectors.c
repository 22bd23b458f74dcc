/* SPDX-License-Identifier: Apache-2.0 */
#include "cortex_m.h"
#include "mps2.h"

typedef void (*handler)(void);

#define EXCEPTIONS 16
#define INTERRUPTS 32

/* Of the linker script. */
extern uint32_t tkws_stack_top[];

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler entries[EXCEPTIONS - 1 + INTERRUPTS];
} vectors = {
    tkws_stack_top,
    {
        [0] = tkws_reset_handler,
        [1] = tkws_fault_handler, /* NMI: the watchdog, half of its time before it bites */
        [2] =
            tkws_fault_handler, /* hard fault, which the others become while they are not enabled */
        [14] = mps2_tick_handler,
        [EXCEPTIONS - 1 + MPS2_UART0_RX_IRQ] = mps2_uart_handler,
    },
};
