/* SPDX-License-Identifier: Apache-2.0 */
#include "parts.h"
#include "ring.h"
#include "rp2040.h"
#include "tracekws/errors.h"

#define PIN_TX 0u
#define PIN_RX 1u
#define BAUD_RATE 921600u
/* The divisor in 1/64, rounded: 125 MHz / (16 * 921600) = 8.477 */
#define DIVISOR ((SYSTEM_HZ * 4u + BAUD_RATE / 2u) / BAUD_RATE)

static ring received;

void serial_start(void)
{
    board_pin(PIN_TX, GPIO_UART, PAD_PULL_UP);
    board_pin(PIN_RX, GPIO_UART, PAD_PULL_UP); /* quiet while nothing is connected */
    uart0[UART_IBRD] = DIVISOR / 64u;
    uart0[UART_FBRD] = DIVISOR % 64u;
    uart0[UART_LCR_H] = UART_LCR_8_BITS | UART_LCR_FIFOS; /* takes over the divisor */
    uart0[UART_IMSC] = UART_INT_RX | UART_INT_RT;
    uart0[UART_CR] = UART_CR_ENABLE | UART_CR_TX | UART_CR_RX;
    nvic[NVIC_ENABLE] = 1u << IRQ_UART0;
}

/* Emptying the FIFO ends both interrupts. */
void serial_interrupt(void)
{
    while ((uart0[UART_FR] & UART_FR_RXFE) == 0)
        ring_put(&received, (uint8_t)uart0[UART_DR]);
}

bool serial_is_waiting(void)
{
    return ring_has_bytes(&received);
}

int serial_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return ring_take(&received, bytes, n_bytes);
}

int serial_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    for (size_t i = 0; i < n_bytes; i++) {
        while ((uart0[UART_FR] & UART_FR_TXFF) != 0) {
        }
        uart0[UART_DR] = bytes[i];
    }
    return TKWS_OK;
}
