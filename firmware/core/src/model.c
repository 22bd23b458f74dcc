/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/model.h"

#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "tracekws/frontend.h"

#define HEADER_FIELDS (TKWS_MODEL_HEADER_BYTES / 4)
#define MAX_WEIGHT_RATE (1u << 24) /* times a feature, it must fit int32 */
#define MAX_RATE (1u << 30)
#define N_PARTS 9 /* of the image, header and CRC aside */
#define CRC_BYTES 4
#define N_MATRICES 5 /* trainable */

_Static_assert(sizeof(tkws_model_header) == TKWS_MODEL_HEADER_BYTES,
               "the header is an array of uint32 in all but name");

static bool within(uint32_t value, uint32_t low, uint32_t high)
{
    return value >= low && value <= high;
}

static int check_features(const tkws_model_header *h)
{
    bool known = h->sample_rate == TKWS_SAMPLE_RATE && h->window == TKWS_WINDOW &&
                 h->hop == TKWS_HOP && h->channels == TKWS_CHANNELS && h->stack == TKWS_STACK;
    bool in_range =
        h->alpha_q15 <= INT16_MAX && within(h->mean_shift, 1, 12) && h->energy_floor != 0;
    return known && in_range ? TKWS_OK : TKWS_E_MODEL_FEATURES;
}

static int check_network(const tkws_model_header *h)
{
    if (!within(h->n_classes, 3, TKWS_MAX_CLASSES) || h->unknown_class >= h->n_classes ||
        h->silence_class >= h->n_classes || h->unknown_class == h->silence_class)
        return TKWS_E_MODEL_CLASSES;
    if (h->n_layers != 1 || h->layer_kind != TKWS_LAYER_RECURRENT_LIF)
        return TKWS_E_MODEL_LAYER;
    if (h->n_inputs != TKWS_FEATURES || !within(h->n_taps, 1, TKWS_MAX_TAPS) ||
        !within(h->n_neurons, 1, TKWS_MAX_NEURONS))
        return TKWS_E_MODEL_SIZE;
    if (!within(h->weight_q, 4, 15) || !within(h->recurrent_q, 4, 15) ||
        !within(h->membrane_q, 4, 14) || h->weight_q + TKWS_FEATURE_Q < h->membrane_q ||
        h->recurrent_q < h->membrane_q || !within(h->surrogate_q, 4, 14))
        return TKWS_E_MODEL_Q;
    if (!within(h->threshold, 1, 16383))
        return TKWS_E_MODEL_NEURON;
    return TKWS_OK;
}

static int check_learning(const tkws_model_header *h)
{
    const uint32_t rates[] = {h->rate_weights, h->rate_recurrent, h->rate_bias, h->rate_readout,
                              h->rate_readout_bias};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (rates[i] > (i == 0 ? MAX_WEIGHT_RATE : MAX_RATE))
            return TKWS_E_MODEL_LEARNING;
    if (h->trace_decay_q15 > INT16_MAX || h->contrast_gain_q8 > 1u << 20 || h->method > 15 ||
        !within(h->passes, 1, 100) || h->latent_per_take > 16 || h->sequences_per_take > 4)
        return TKWS_E_MODEL_LEARNING;
    /* the window's sum of readout weights must fit int32 even if every neuron always fires */
    if (!within(h->window_steps, 1, TKWS_MAX_WINDOW_STEPS) ||
        h->window_steps * h->n_neurons > UINT16_MAX || h->smoothing_shift > 6 ||
        h->refractory_steps > 1000)
        return TKWS_E_MODEL_DETECTOR;
    if (h->n_latent > 4096 || h->n_sequences > 256 ||
        (h->n_sequences > 0 && !within(h->sequence_steps, 1, 200)))
        return TKWS_E_MODEL_REPLAY;
    return TKWS_OK;
}

static int check_header(const tkws_model_header *h)
{
    if (h->magic != TKWS_MODEL_MAGIC)
        return TKWS_E_MODEL_MAGIC;
    if (h->format_version != TKWS_MODEL_FORMAT)
        return TKWS_E_MODEL_FORMAT;
    int error = check_features(h);
    if (error == TKWS_OK)
        error = check_network(h);
    return error == TKWS_OK ? check_learning(h) : error;
}

static size_t trainable_numbers(const tkws_model_header *h)
{
    return (size_t)h->n_neurons * (h->n_inputs + h->n_neurons + 1 + h->n_classes) + h->n_classes;
}

static size_t latent_bytes(const tkws_model_header *h)
{
    return 1 + (size_t)h->n_neurons;
}

static size_t sequence_bytes(const tkws_model_header *h)
{
    return 1 + (size_t)h->sequence_steps * h->n_inputs;
}

/* Sizes of the image's parts behind the header, in order; returns the size of the whole. */
static size_t part_bytes(const tkws_model_header *h, size_t bytes[N_PARTS])
{
    const size_t sizes[N_PARTS] = {
        TKWS_NAME_BYTES,
        (size_t)h->n_classes * TKWS_LABEL_BYTES,
        2 * (size_t)h->n_classes,
        2 * trainable_numbers(h),
        (size_t)h->n_taps * h->n_inputs,
        2 * (size_t)h->n_neurons,
        2 * (size_t)h->n_classes * h->n_neurons,
        h->n_latent * latent_bytes(h),
        h->n_sequences > 0 ? h->n_sequences * sequence_bytes(h) : 0,
    };
    size_t total = TKWS_MODEL_HEADER_BYTES + CRC_BYTES;
    for (size_t i = 0; i < N_PARTS; i++) {
        bytes[i] = sizes[i];
        total += sizes[i];
    }
    return total;
}

static void point_into(tkws_model *m, const uint8_t *image, const size_t bytes[N_PARTS])
{
    const uint8_t **const part[N_PARTS] = {&m->name,      &m->labels, &m->word_threshold,
                                           &m->trainable, &m->taps,   &m->decay,
                                           &m->target,    &m->latent, &m->sequences};
    const uint8_t *at = image + TKWS_MODEL_HEADER_BYTES;
    m->image = image;
    for (size_t i = 0; i < N_PARTS; i++) {
        *part[i] = at;
        at += bytes[i];
    }
}

/* Length of a zero-filled printable string, or 0 if it is none. */
static size_t text_length(const uint8_t *text, size_t n_bytes)
{
    size_t n = 0;
    while (n < n_bytes && text[n] >= 0x21 && text[n] <= 0x7e)
        n++;
    for (size_t i = n; i < n_bytes; i++)
        if (text[i] != 0)
            return 0;
    return n;
}

static int check_labels(const tkws_model *m)
{
    if (text_length(m->name, TKWS_NAME_BYTES) == 0)
        return TKWS_E_MODEL_LABEL;
    for (size_t a = 0; a < m->header.n_classes; a++) {
        const uint8_t *label = m->labels + a * TKWS_LABEL_BYTES;
        if (text_length(label, TKWS_LABEL_BYTES) == 0)
            return TKWS_E_MODEL_LABEL;
        for (size_t b = 0; b < a; b++)
            if (memcmp(label, m->labels + b * TKWS_LABEL_BYTES, TKWS_LABEL_BYTES) == 0)
                return TKWS_E_MODEL_LABEL;
    }
    return TKWS_OK;
}

static int check_body(const tkws_model *m)
{
    const tkws_model_header *h = &m->header;
    for (size_t j = 0; j < h->n_neurons; j++)
        if (get_i16(m->decay + 2 * j) < 0)
            return TKWS_E_MODEL_NEURON;
    for (size_t c = 0; c < h->n_classes; c++)
        if (get_i16(m->word_threshold + 2 * c) < 0)
            return TKWS_E_MODEL_DETECTOR;
    for (size_t i = 0; i < h->n_latent; i++)
        if (m->latent[i * latent_bytes(h)] >= h->n_classes)
            return TKWS_E_MODEL_REPLAY;
    for (size_t i = 0; i < h->n_sequences; i++)
        if (m->sequences[i * sequence_bytes(h)] >= h->n_classes)
            return TKWS_E_MODEL_REPLAY;
    return TKWS_OK;
}

int tkws_model_parse(tkws_model *model, const uint8_t *image, size_t n_bytes)
{
    tkws_model m;
    uint32_t fields[HEADER_FIELDS];
    size_t bytes[N_PARTS];
    if (n_bytes < 4 || get_u32(image) != TKWS_MODEL_MAGIC)
        return TKWS_E_MODEL_MAGIC;
    if (n_bytes < TKWS_MODEL_HEADER_BYTES)
        return TKWS_E_MODEL_LENGTH;
    for (size_t i = 0; i < HEADER_FIELDS; i++)
        fields[i] = get_u32(image + 4 * i);
    memcpy(&m.header, fields, sizeof m.header);
    if (m.header.format_version != TKWS_MODEL_FORMAT)
        return TKWS_E_MODEL_FORMAT;
    if (m.header.image_bytes != n_bytes)
        return TKWS_E_MODEL_LENGTH;
    m.crc = get_u32(image + n_bytes - CRC_BYTES);
    if (tkws_crc32(0, image, n_bytes - CRC_BYTES) != m.crc)
        return TKWS_E_MODEL_CRC;
    int error = check_header(&m.header);
    if (error != TKWS_OK)
        return error;
    if (part_bytes(&m.header, bytes) != n_bytes)
        return TKWS_E_MODEL_LENGTH;
    point_into(&m, image, bytes);
    error = check_labels(&m);
    if (error == TKWS_OK)
        error = check_body(&m);
    if (error == TKWS_OK)
        *model = m;
    return error;
}

size_t tkws_model_image_bytes(const tkws_model_header *header)
{
    size_t bytes[N_PARTS];
    return check_header(header) == TKWS_OK ? part_bytes(header, bytes) : 0;
}

void tkws_model_header_write(const tkws_model_header *header, uint8_t *bytes)
{
    uint32_t fields[HEADER_FIELDS];
    memcpy(fields, header, sizeof fields);
    for (size_t i = 0; i < HEADER_FIELDS; i++)
        put_u32(bytes + 4 * i, fields[i]);
}

tkws_weight_counts tkws_model_weight_counts(const tkws_model *model)
{
    const tkws_model_header *h = &model->header;
    size_t n = h->n_neurons;
    tkws_weight_counts counts = {n * h->n_inputs, n * n, n, n * h->n_classes, h->n_classes};
    return counts;
}

size_t tkws_model_trainable_bytes(const tkws_model *model)
{
    return 2 * trainable_numbers(&model->header);
}

int tkws_model_class(const tkws_model *model, const char *label, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > TKWS_LABEL_BYTES)
        return TKWS_E_LABEL;
    for (size_t c = 0; c < model->header.n_classes; c++) {
        const uint8_t *known = model->labels + c * TKWS_LABEL_BYTES;
        if (text_length(known, TKWS_LABEL_BYTES) == n_bytes && memcmp(known, label, n_bytes) == 0)
            return (int)c;
    }
    return TKWS_E_LABEL;
}

/* The place of the i-th trainable number in the caller's buffers. */
static int16_t *weight_at(const tkws_weight_counts *counts, const tkws_weights *weights, size_t i)
{
    const size_t n[N_MATRICES] = {counts->weights, counts->recurrent, counts->bias, counts->readout,
                                  counts->readout_bias};
    int16_t *const part[N_MATRICES] = {weights->weights, weights->recurrent, weights->bias,
                                       weights->readout, weights->readout_bias};
    size_t p = 0;
    while (p < N_MATRICES - 1 && i >= n[p])
        i -= n[p++];
    return part[p] + i;
}

static int check_part(const tkws_model *model, size_t offset, size_t n_bytes)
{
    size_t total = tkws_model_trainable_bytes(model);
    bool fits = offset <= total && n_bytes <= total - offset && offset % 2 == 0 && n_bytes % 2 == 0;
    return fits ? TKWS_OK : TKWS_E_ARGUMENT;
}

void tkws_weights_load(const tkws_model *model, const tkws_weights *weights)
{
    (void)tkws_weights_write(model, weights, 0, model->trainable,
                             tkws_model_trainable_bytes(model));
}

int tkws_weights_read(const tkws_model *model, const tkws_weights *weights, size_t offset,
                      uint8_t *bytes, size_t n_bytes)
{
    int error = check_part(model, offset, n_bytes);
    if (error != TKWS_OK)
        return error;
    tkws_weight_counts counts = tkws_model_weight_counts(model);
    for (size_t i = 0; i < n_bytes; i += 2)
        put_i16(bytes + i, *weight_at(&counts, weights, (offset + i) / 2));
    return TKWS_OK;
}

int tkws_weights_write(const tkws_model *model, const tkws_weights *weights, size_t offset,
                       const uint8_t *bytes, size_t n_bytes)
{
    int error = check_part(model, offset, n_bytes);
    if (error != TKWS_OK)
        return error;
    tkws_weight_counts counts = tkws_model_weight_counts(model);
    for (size_t i = 0; i < n_bytes; i += 2)
        *weight_at(&counts, weights, (offset + i) / 2) = get_i16(bytes + i);
    return TKWS_OK;
}
