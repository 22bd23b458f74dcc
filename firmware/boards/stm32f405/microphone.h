/* SPDX-License-Identifier: Apache-2.0 */
/** @file microphone.h  An I2S MEMS microphone (INMP441, SPH0645, ICS-43434) on I2S2, left channel.
 *
 * PB13 is the bit clock, PB9 the word select, PB15 the data; 16 kHz exactly with a 12 MHz crystal.
 * DMA1 stream 3 fills a circular buffer, whose halves an interrupt takes over every 4 ms. */
#ifndef TKWS_STM32F405_MICROPHONE_H
#define TKWS_STM32F405_MICROPHONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Start the clock that samples are taken by; the main PLL's divider is set. @return whether it runs */
bool microphone_has_clock(void);

/** For tkws_board: context is not used. Starting waits until the data line moves, 0.3 s at most. */
int microphone_start(void *context);
int microphone_read(void *context, int16_t *pcm, size_t n_samples);
void microphone_stop(void *context);

/** Whether microphone_read() has something to say. */
bool microphone_has_samples(void);

/** For the vector table. */
void microphone_dma_handler(void);

#endif
