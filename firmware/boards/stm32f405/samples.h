/* SPDX-License-Identifier: Apache-2.0 */
/** @file samples.h  What the DMA brings from an I2S microphone, as 16-bit samples in a ring.
 *
 * A frame is four half words: left upper, left lower, right upper, right lower; 24 bits, the top ones of
 * each 32, in two's complement. The microphone speaks on the left (its L/R or SEL pin is low). */
#ifndef TKWS_STM32F405_SAMPLES_H
#define TKWS_STM32F405_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLES_FRAME 4u   /**< half words */
#define SAMPLES_RING 1024u /**< 64 ms; a power of two */
#define SAMPLES_GAIN_BITS                                                                          \
    4 /**< times 16, 24 dB: full scale is 96 dB SPL with a common MEMS microphone
                                 (-26 dBFS at 94 dB SPL); what is louder saturates */

typedef struct {
    volatile uint32_t written;
    volatile uint32_t taken;
    volatile uint32_t n_blocks; /**< put so far */
    volatile bool alive;        /**< the data line has moved */
    volatile bool lost;         /**< samples were lost and samples_take() has not said so */
    volatile int16_t pcm[SAMPLES_RING];
} samples;

void samples_reset(samples *s);

/** For the interrupt: one block of frames from the DMA's buffer. */
void samples_put(samples *s, const volatile uint16_t *words, size_t n_frames);

/** For the main loop. @return samples taken, or TKWS_E_OVERRUN once after a loss: what was in the ring is
 *  dropped then, so that what follows is in one piece */
int samples_take(samples *s, int16_t *pcm, size_t n_samples);

static inline bool samples_has_any(const samples *s)
{
    return s->written != s->taken || s->lost;
}

#endif
