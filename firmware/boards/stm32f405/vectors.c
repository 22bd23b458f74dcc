/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "cortex_m.h"
#include "microphone.h"

#define SYSTICK 15

extern const uint32_t tkws_stack_top[]; /* of the linker script */

#define FAULT {.handler = tkws_fault_handler}

/* Interrupts that are not enabled do not come: their entries are zero. */
__attribute__((section(".vectors"), used)) const vector tkws_vectors[N_EXCEPTIONS + N_IRQS] = {
    [0] = {.stack = tkws_stack_top},
    [1] = {.handler = tkws_reset_handler},
    [2] = FAULT, /* NMI */
    [3] = FAULT, /* hard fault, and what is not told apart from it: memory, bus, usage */
    [4] = FAULT,
    [5] = FAULT,
    [6] = FAULT,
    [11] = FAULT, /* service call */
    [12] = FAULT, /* debug monitor */
    [14] = FAULT, /* pending service */
    [SYSTICK] = {.handler = tick_handler},
    [N_EXCEPTIONS + IRQ_DMA1_STREAM3] = {.handler = microphone_dma_handler},
    [N_EXCEPTIONS + IRQ_USART3] = {.handler = usart3_handler},
};
