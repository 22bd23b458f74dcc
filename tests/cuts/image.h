/* SPDX-License-Identifier: Apache-2.0 */
/** @file image.h  The smallest model image: one neuron, three classes, room for two words of the user's own, random numbers. */
#ifndef TKWS_CUTS_IMAGE_H
#define TKWS_CUTS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX_BYTES 1024
#define IMAGE_OWN_WORDS 2

typedef struct {
    uint8_t bytes[IMAGE_MAX_BYTES];
    size_t n_bytes;
    uint32_t crc; /**< that names the model */
} model_image;

/** Make the image of a seed: each has weights of its own. */
void image_make(model_image *image, uint32_t seed);

#endif
