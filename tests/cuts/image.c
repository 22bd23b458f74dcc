/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <string.h>

#include "random.h"
#include "tracekws/crc32.h"
#include "tracekws/model.h"
#include "tracekws/recognizer.h"
#include "wire.h"

#define CLASSES 3
#define MEMBRANE_Q 10
#define WEIGHT_Q 12

static const char *const labels[CLASSES] = {"yes", "_unknown_", "_silence_"};

static const tkws_model_header header = {
    .magic = TKWS_MODEL_MAGIC,
    .format_version = TKWS_MODEL_FORMAT,
    .sample_rate = TKWS_SAMPLE_RATE,
    .window = TKWS_WINDOW,
    .hop = TKWS_HOP,
    .channels = TKWS_CHANNELS,
    .stack = TKWS_STACK,
    .alpha_q15 = 32113,
    .mean_shift = 6,
    .energy_floor = 16,
    .n_classes = CLASSES,
    .unknown_class = 1,
    .silence_class = 2,
    .n_layers = 1,
    .layer_kind = TKWS_LAYER_RECURRENT_LIF,
    .n_inputs = TKWS_FEATURES,
    .n_taps = 1,
    .n_neurons = 1,
    .weight_q = WEIGHT_Q,
    .recurrent_q = WEIGHT_Q,
    .membrane_q = MEMBRANE_Q,
    .threshold = 1u << MEMBRANE_Q,
    .window_steps = 10,
    .surrogate_q = 10,
    .method = 1,
    .passes = 1,
};

static uint8_t *fill(uint8_t *at, size_t n_bytes, uint32_t *rng)
{
    for (size_t i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(random_bits(rng) & 0x7fu); /* no number is negative or out of range */
    return at + n_bytes;
}

void image_make(model_image *image, uint32_t seed)
{
    uint32_t rng = random_start(seed);
    tkws_model_header h = header;
    h.image_bytes = (uint32_t)tkws_model_image_bytes(&h);
    memset(image, 0, sizeof *image);
    image->n_bytes = h.image_bytes;
    tkws_model_header_write(&h, image->bytes);
    uint8_t *at = image->bytes + TKWS_MODEL_HEADER_BYTES;
    memcpy(at, "tiny", 4);
    at += TKWS_NAME_BYTES;
    for (size_t c = 0; c < CLASSES; c++, at += TKWS_LABEL_BYTES)
        memcpy(at, labels[c], strlen(labels[c]));
    (void)fill(at, image->n_bytes - sizeof image->crc - (size_t)(at - image->bytes), &rng);
    image->crc = tkws_crc32(0, image->bytes, image->n_bytes - sizeof image->crc);
    wire_put_u32(image->bytes + image->n_bytes - sizeof image->crc, image->crc);
}
