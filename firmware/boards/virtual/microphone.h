/* SPDX-License-Identifier: Apache-2.0 */
/** @file microphone.h  The virtual board's microphone: raw samples, heard as time passes, or as a host asks. */
#ifndef TKWS_VIRTUAL_MICROPHONE_H
#define TKWS_VIRTUAL_MICROPHONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef struct {
    const uint8_t *samples; /**< int16, little endian, 16 kHz, mono; heard over and over */
    size_t n_samples;
    bool by_requests; /**< no clock: nothing is lost on a machine of any speed */
    bool runs;
    size_t at;              /**< sample that is heard next; a stop keeps it */
    struct timespec start;  /**< when it was started last, on the monotonic clock */
    uint64_t n_asked;       /**< by requests: samples that were asked for since */
    uint64_t n_since_start; /**< samples given or lost since */
} microphone_state;

/** By requests: a host has sent one, which is 50 ms of sound. */
void microphone_ask(microphone_state *microphone);

/** The board's functions; context is a microphone_state. What waits for more than a second is lost, by the
 *  clock. */
int microphone_start(void *context);
int microphone_read(void *context, int16_t *pcm, size_t n_samples);
void microphone_stop(void *context);

#endif
