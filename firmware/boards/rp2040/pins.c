/* SPDX-License-Identifier: Apache-2.0 */
/* What a board that listens alone has beside its microphone: a button, an LED, an output. */
#include "parts.h"
#include "rp2040.h"

#define PIN_PULSE 14u
#define PIN_BUTTON 15u /* to ground */
#define PIN_LED 25u    /* on the Pico itself */

void pins_start(void)
{
    sio[SIO_OUT_CLEAR] = 1u << PIN_PULSE | 1u << PIN_LED;
    sio[SIO_ENABLE_SET] = 1u << PIN_PULSE | 1u << PIN_LED;
    board_pin(PIN_PULSE, GPIO_SIO, 0);
    board_pin(PIN_BUTTON, GPIO_SIO, PAD_PULL_UP);
    board_pin(PIN_LED, GPIO_SIO, 0);
}

static void set(unsigned pin, bool on)
{
    sio[on ? SIO_OUT_SET : SIO_OUT_CLEAR] = 1u << pin;
}

void pulse_set(void *context, bool on)
{
    (void)context;
    set(PIN_PULSE, on);
}

void led_set(void *context, bool on)
{
    (void)context;
    set(PIN_LED, on);
}

bool button_pressed(void *context)
{
    (void)context;
    return (sio[SIO_IN] >> PIN_BUTTON & 1u) == 0;
}
