/* SPDX-License-Identifier: Apache-2.0 */
/* Division of the caller's memory into arrays. Part of the core, not of its interface. */
#ifndef TRACEKWS_ARENA_H
#define TRACEKWS_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t arena_size(size_t n_bytes)
{
    return (n_bytes + 3) / 4 * 4;
}

static inline void *arena_take(uint8_t **arena, size_t n_bytes)
{
    void *taken = *arena;
    *arena += arena_size(n_bytes);
    return taken;
}

static inline bool arena_fits(const void *memory, size_t n_bytes, size_t n_needed)
{
    return memory != NULL && (uintptr_t)memory % 4 == 0 && n_bytes >= n_needed;
}

#endif
