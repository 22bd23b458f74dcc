/* SPDX-License-Identifier: Apache-2.0 */
/** @file vectors.h  The vector table of an STM32F405, and the board's handlers in it. */
#ifndef TKWS_STM32F405_VECTORS_H
#define TKWS_STM32F405_VECTORS_H

#include <stdint.h>

#include "registers.h"

#define N_EXCEPTIONS 16

typedef union {
    const uint32_t *stack; /**< entry 0 */
    void (*handler)(void);
} vector;

extern const vector tkws_vectors[N_EXCEPTIONS + N_IRQS];

void usart3_handler(void);
void tick_handler(void);

#endif
