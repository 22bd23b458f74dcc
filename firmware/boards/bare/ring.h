/* SPDX-License-Identifier: Apache-2.0 */
/** @file ring.h  Bytes from an interrupt to the main loop: one writer, one reader, no lock.
 *
 * The size is a power of two. Indices run freely and are taken modulo the size. */
#ifndef TKWS_BARE_RING_H
#define TKWS_BARE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BYTES 4096u

typedef struct {
    volatile uint32_t written;
    volatile uint32_t taken;
    uint8_t bytes[RING_BYTES];
} ring;

/** For the interrupt. A byte for which there is no room is dropped: the frame's CRC tells. */
static inline void ring_put(ring *r, uint8_t byte)
{
    uint32_t written = r->written;
    if (written - r->taken == RING_BYTES)
        return;
    ((volatile uint8_t *)r->bytes)[written % RING_BYTES] = byte;
    r->written = written + 1;
}

static inline bool ring_has_bytes(const ring *r)
{
    return r->written != r->taken;
}

/** For the main loop. @return bytes taken, at most n_bytes */
static inline int ring_take(ring *r, uint8_t *bytes, size_t n_bytes)
{
    size_t n = 0;
    while (n < n_bytes && ring_has_bytes(r)) {
        bytes[n++] = ((volatile uint8_t *)r->bytes)[r->taken % RING_BYTES];
        r->taken = r->taken + 1;
    }
    return (int)n;
}

#endif
