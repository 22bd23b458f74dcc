/* SPDX-License-Identifier: Apache-2.0 */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define _POSIX_C_SOURCE 200809L
#include "microphone.h"

#include "tracekws/bytes.h"
#include "tracekws/errors.h"

#define SAMPLES_PER_MS 16u
#define PATIENCE_MS 1000u
#define REQUEST_MS 50u /* what a host that polls as usual hears by the clock */

int microphone_start(void *context)
{
    microphone_state *m = context;
    if (clock_gettime(CLOCK_MONOTONIC, &m->start) != 0)
        return TKWS_E_MICROPHONE;
    m->n_asked = 0;
    m->n_since_start = 0;
    m->runs = true;
    return TKWS_OK;
}

/* Samples since the start that have been heard by now. */
static uint64_t due(const microphone_state *m)
{
    struct timespec now;
    if (m->by_requests)
        return m->n_asked;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return m->n_since_start;
    int64_t us =
        ((int64_t)now.tv_sec - m->start.tv_sec) * 1000000 + (now.tv_nsec - m->start.tv_nsec) / 1000;
    return (uint64_t)us * SAMPLES_PER_MS / 1000;
}

void microphone_ask(microphone_state *m)
{
    m->n_asked += REQUEST_MS * SAMPLES_PER_MS;
}

static int16_t next(microphone_state *m)
{
    int16_t sample = tkws_bytes_get_i16(m->samples + 2 * m->at);
    m->at = (m->at + 1) % m->n_samples;
    return sample;
}

int microphone_read(void *context, int16_t *pcm, size_t n_samples)
{
    microphone_state *m = context;
    uint64_t waiting = due(m) - m->n_since_start;
    if (!m->runs)
        return 0;
    if (!m->by_requests && waiting > PATIENCE_MS * SAMPLES_PER_MS) {
        m->n_since_start += waiting;
        while (waiting-- > 0)
            (void)next(m);
        return TKWS_E_OVERRUN;
    }
    size_t n = waiting < n_samples ? (size_t)waiting : n_samples;
    for (size_t i = 0; i < n; i++)
        pcm[i] = next(m);
    m->n_since_start += n;
    return (int)n;
}

void microphone_stop(void *context)
{
    ((microphone_state *)context)->runs = false;
}
