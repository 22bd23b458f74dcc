/* SPDX-License-Identifier: Apache-2.0 */
/** @file input.h  The bytes that a fuzzer gives, read as numbers; zeros when they are used up. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *bytes; /**< those still to be read */
    size_t n_bytes;
} fuzz_input;

static inline uint8_t input_u8(fuzz_input *in)
{
    if (in->n_bytes == 0)
        return 0;
    in->n_bytes--;
    return *in->bytes++;
}

static inline uint16_t input_u16(fuzz_input *in)
{
    uint32_t low = input_u8(in);
    return (uint16_t)(low | (uint32_t)input_u8(in) << 8);
}

static inline uint32_t input_u32(fuzz_input *in)
{
    uint32_t low = input_u16(in);
    return low | (uint32_t)input_u16(in) << 16;
}

/** One of the ends of a range, often, or any number in it. */
static inline uint32_t input_within(fuzz_input *in, uint32_t low, uint32_t high)
{
    uint8_t choice = input_u8(in);
    if (choice < 48)
        return low;
    if (choice >= 208)
        return high;
    return low + (uint32_t)(input_u32(in) % ((uint64_t)high - low + 1));
}

#endif
