/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <string.h>

#include "random.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/model.h"
#include "tracekws/recognizer.h"

#define CLASSES 3
#define MEMBRANE_Q 10
#define WEIGHT_Q 12

static const char *const labels[CLASSES] = {"yes", "_unknown_", "_silence_"};

static const tkws_model_header header = {
    .sample_rate = TKWS_SAMPLE_RATE,
    .window = TKWS_WINDOW,
    .hop = TKWS_HOP,
    .channels = TKWS_CHANNELS,
    .stack = TKWS_STACK,
    .alpha_q15 = 32113,
    .mean_shift = 6,
    .fall_shift = 3,
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

/* What is random in an image: sections of numbers. */
static const struct {
    uint32_t type;
    size_t n_bytes;
} numbers[] = {
    {TKWS_SECTION_THRESHOLDS, 2 * CLASSES},
    {TKWS_SECTION_WEIGHTS, 2 * (TKWS_FEATURES + 1 + 1 + CLASSES + CLASSES)},
    {TKWS_SECTION_TAPS, TKWS_FEATURES},
    {TKWS_SECTION_DECAY, 2},
    {TKWS_SECTION_TARGET, 2 * CLASSES},
    {TKWS_SECTION_LATENT, 0},
    {TKWS_SECTION_SEQUENCES, 0},
};

#define N_NUMBERS (sizeof numbers / sizeof numbers[0])
#define N_SECTIONS                                                                                 \
    (5 + N_NUMBERS) /* header, name and labels before them, and what keeps takes behind */

#define ALONG_Q 7
#define TRACES_BYTES (4 * 2 + 2 + 2 + 1) /* of one neuron and one direction */
#define OWN_FORM_BYTES (5 * 2)

/* Where the payload of the section at a place goes. */
static uint8_t *payload(uint8_t *at)
{
    return at + TKWS_SECTION_HEAD_BYTES;
}

/* Write the head of a section whose payload is there. @return where the next one begins */
static uint8_t *end_section(uint8_t *at, uint32_t type, size_t n_bytes)
{
    tkws_bytes_put_u32(at, type);
    tkws_bytes_put_u32(at + 4, (uint32_t)n_bytes);
    tkws_bytes_put_u32(at + 8, tkws_crc32(0, payload(at), n_bytes));
    return payload(at) + (n_bytes + 3) / 4 * 4;
}

static void fill(uint8_t *at, size_t n_bytes, uint32_t *rng)
{
    for (size_t i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(random_bits(rng) & 0x7fu); /* no number is negative or out of range */
}

void image_make(model_image *image, uint32_t seed)
{
    uint32_t rng = random_start(seed);
    memset(image, 0, sizeof *image);
    image->n_bytes = tkws_model_image_bytes(&header) + 2 * TKWS_SECTION_HEAD_BYTES +
                     (TRACES_BYTES + 3) / 4 * 4 + (OWN_FORM_BYTES + 3) / 4 * 4;
    tkws_bytes_put_u32(image->bytes, TKWS_MODEL_MAGIC);
    tkws_bytes_put_u32(image->bytes + 4, TKWS_MODEL_FORMAT);
    tkws_bytes_put_u32(image->bytes + 8, (uint32_t)image->n_bytes);
    tkws_bytes_put_u32(image->bytes + 12, N_SECTIONS);
    uint8_t *at = image->bytes + TKWS_MODEL_START_BYTES;
    tkws_model_header_write(&header, payload(at));
    at = end_section(at, TKWS_SECTION_NUMBERS, TKWS_MODEL_HEADER_BYTES);
    memcpy(payload(at), "tiny", 4);
    at = end_section(at, TKWS_SECTION_NAME, TKWS_NAME_BYTES);
    for (size_t c = 0; c < CLASSES; c++)
        memcpy(payload(at) + c * TKWS_NAME_BYTES, labels[c], strlen(labels[c]));
    at = end_section(at, TKWS_SECTION_LABELS, (size_t)CLASSES * TKWS_NAME_BYTES);
    for (size_t i = 0; i < N_NUMBERS; i++) {
        fill(payload(at), numbers[i].n_bytes, &rng);
        at = end_section(at, numbers[i].type, numbers[i].n_bytes);
    }
    tkws_bytes_put_u16(payload(at), 1);
    tkws_bytes_put_u16(payload(at) + 2, ALONG_Q);
    at = end_section(at, TKWS_SECTION_TRACES, TRACES_BYTES);
    tkws_bytes_put_u16(payload(at), IMAGE_OWN_WORDS);
    at = end_section(at, TKWS_SECTION_OWN, OWN_FORM_BYTES);
    image->crc = tkws_crc32(0, image->bytes, image->n_bytes - sizeof image->crc);
    tkws_bytes_put_u32(at, image->crc);
}
