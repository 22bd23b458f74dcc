/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include "tracekws/errors.h"
#include "tracekws/fx.h"

#define IDLE_LOW 0u /* what a line without a microphone gives, pulled down or stuck */
#define IDLE_HIGH 0xffffff00u
#define TOP_24 0xffffff00u
#define SIGN 0x80000000u

void samples_reset(samples *s)
{
    s->written = 0;
    s->taken = 0;
    s->n_blocks = 0;
    s->alive = false;
    s->lost = false;
}

/* The 24 bits as a sample, amplified. */
static int16_t amplify(uint32_t word)
{
    int32_t value = (word & SIGN) != 0 ? -(int32_t)(~word) - 1 : (int32_t)word;
    return tkws_fx_sat16(tkws_fx_shr(value, 16 - SAMPLES_GAIN_BITS));
}

void samples_put(samples *s, const volatile uint16_t *words, size_t n_frames)
{
    uint32_t written = s->written;
    for (size_t i = 0; i < n_frames; i++) {
        const volatile uint16_t *frame = words + SAMPLES_FRAME * i;
        uint32_t word = ((uint32_t)frame[0] << 16 | frame[1]) & TOP_24;
        if (word != IDLE_LOW && word != IDLE_HIGH)
            s->alive = true;
        if (written - s->taken == SAMPLES_RING) {
            s->lost = true;
            break;
        }
        s->pcm[written % SAMPLES_RING] = amplify(word);
        written++;
    }
    s->written = written;
    s->n_blocks = s->n_blocks + 1;
}

int samples_take(samples *s, int16_t *pcm, size_t n_samples)
{
    size_t n = 0;
    if (s->lost) {
        s->taken = s->written;
        s->lost = false;
        return TKWS_E_OVERRUN;
    }
    while (n < n_samples && s->written != s->taken) {
        pcm[n++] = s->pcm[s->taken % SAMPLES_RING];
        s->taken = s->taken + 1;
    }
    return (int)n;
}
