/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/model.h"

#include <stdbool.h>
#include <string.h>

#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "tracekws/frontend.h"
#include "tracekws/own.h"

#define HEADER_FIELDS (TKWS_MODEL_HEADER_BYTES / 4)
#define MAX_WEIGHT_RATE (1u << 24) /* times a feature, it must fit int32 */
#define MAX_RATE (1u << 30)
#define CRC_BYTES 4
#define CONVOLUTION_HEAD_BYTES 12
#define TRACES_HEAD_BYTES 8
#define OWN_BYTES 10
#define N_MATRICES 5 /* trainable */

/* The sections that this core knows. */
enum {
    NUMBERS,
    NAME,
    LABELS,
    THRESHOLDS,
    WEIGHTS,
    TAPS,
    DECAY,
    TARGET,
    LATENT,
    SEQUENCES,
    CONVOLUTION,
    TRACES,
    OWN,
    N_KNOWN
};

#define N_SECTIONS CONVOLUTION /* that must be there: those before it */

static const struct {
    uint32_t type;
    int error; /* missing, repeated, or of a wrong length */
} kinds[N_KNOWN] = {
    [NUMBERS] = {TKWS_SECTION_NUMBERS, TKWS_E_MODEL_NUMBERS},
    [NAME] = {TKWS_SECTION_NAME, TKWS_E_MODEL_NAME},
    [LABELS] = {TKWS_SECTION_LABELS, TKWS_E_MODEL_LABELS},
    [THRESHOLDS] = {TKWS_SECTION_THRESHOLDS, TKWS_E_MODEL_THRESHOLDS},
    [WEIGHTS] = {TKWS_SECTION_WEIGHTS, TKWS_E_MODEL_WEIGHTS},
    [TAPS] = {TKWS_SECTION_TAPS, TKWS_E_MODEL_TAPS},
    [DECAY] = {TKWS_SECTION_DECAY, TKWS_E_MODEL_DECAY},
    [TARGET] = {TKWS_SECTION_TARGET, TKWS_E_MODEL_TARGET},
    [LATENT] = {TKWS_SECTION_LATENT, TKWS_E_MODEL_LATENT},
    [SEQUENCES] = {TKWS_SECTION_SEQUENCES, TKWS_E_MODEL_SEQUENCES},
    [CONVOLUTION] = {TKWS_SECTION_CONVOLUTION, TKWS_E_MODEL_CONVOLUTION},
    [TRACES] = {TKWS_SECTION_TRACES, TKWS_E_MODEL_TRACES},
    [OWN] = {TKWS_SECTION_OWN, TKWS_E_MODEL_OWN},
};

/* A payload, where the image has it; at is NULL before it is found. */
typedef struct {
    const uint8_t *at;
    size_t n_bytes;
} section;

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
    bool in_range = h->alpha_q15 <= INT16_MAX && within(h->mean_shift, 1, 12) &&
                    within(h->fall_shift, 1, h->mean_shift) && h->energy_floor != 0;
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
    if (h->trace_decay_q15 > INT16_MAX || h->contrast_gain_q8 > 1u << 20 ||
        h->method > TKWS_LEARN_ALL || !within(h->passes, 1, 100) || h->latent_per_take > 16 ||
        h->sequences_per_take > 4)
        return TKWS_E_MODEL_LEARNING;
    /* the window's sum of readout weights must fit int32 even if every neuron always fires */
    if (!within(h->window_steps, 1, TKWS_MAX_WINDOW_STEPS) ||
        h->window_steps * h->n_neurons > UINT16_MAX || h->smoothing_shift > 6 ||
        h->refractory_steps > 1000 || h->gap_steps > 1000 || h->isolated > 1)
        return TKWS_E_MODEL_DETECTOR;
    if (h->n_latent > 4096 || h->n_sequences > 256 ||
        (h->n_sequences > 0 && !within(h->sequence_steps, 1, 200)))
        return TKWS_E_MODEL_REPLAY;
    return TKWS_OK;
}

static int check_header(const tkws_model_header *h)
{
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

/* Zeros behind a payload. */
static size_t padding(size_t n_bytes)
{
    return (4 - n_bytes % 4) % 4;
}

/* Payloads of the sections by the numbers; returns the size of the image that has these alone. */
static size_t section_bytes(const tkws_model_header *h, size_t bytes[N_SECTIONS])
{
    bytes[NUMBERS] = TKWS_MODEL_HEADER_BYTES;
    bytes[NAME] = TKWS_NAME_BYTES;
    bytes[LABELS] = (size_t)h->n_classes * TKWS_NAME_BYTES;
    bytes[THRESHOLDS] = 2 * (size_t)h->n_classes;
    bytes[WEIGHTS] = 2 * trainable_numbers(h);
    bytes[TAPS] = (size_t)h->n_taps * h->n_inputs;
    bytes[DECAY] = 2 * (size_t)h->n_neurons;
    bytes[TARGET] = 2 * (size_t)h->n_classes * h->n_neurons;
    bytes[LATENT] = h->n_latent * latent_bytes(h);
    bytes[SEQUENCES] = h->n_sequences > 0 ? h->n_sequences * sequence_bytes(h) : 0;
    size_t total = TKWS_MODEL_START_BYTES + CRC_BYTES;
    for (size_t i = 0; i < N_SECTIONS; i++)
        total += TKWS_SECTION_HEAD_BYTES + bytes[i] + padding(bytes[i]);
    return total;
}

static bool is_type(uint32_t type)
{
    for (uint32_t rest = type; rest != 0; rest >>= 8) {
        uint32_t small = (rest & 0xffu) | 0x20u;
        if (small < 'a' || small > 'z')
            return false;
    }
    return type >> 24 != 0;
}

static bool must_be_known(uint32_t type)
{
    return (type & 0x20u) == 0;
}

/* Note where a payload is, if its type is known. */
static int note(uint32_t type, const section *payload, section found[N_KNOWN])
{
    for (size_t i = 0; i < N_KNOWN; i++) {
        if (kinds[i].type != type)
            continue;
        if (found[i].at != NULL)
            return kinds[i].error;
        found[i] = *payload;
        return TKWS_OK;
    }
    return must_be_known(type) ? TKWS_E_MODEL_SECTION : TKWS_OK;
}

/* Take the section at the start of n_bytes, which go on to the CRC of the image; used is what it takes of them. */
static int take_section(const uint8_t *bytes, size_t n_bytes, size_t *used, section found[N_KNOWN])
{
    if (n_bytes < TKWS_SECTION_HEAD_BYTES)
        return TKWS_E_MODEL_SECTIONS;
    uint32_t type = tkws_bytes_get_u32(bytes);
    section payload = {bytes + TKWS_SECTION_HEAD_BYTES, tkws_bytes_get_u32(bytes + 4)};
    size_t left = n_bytes - TKWS_SECTION_HEAD_BYTES;
    size_t n_zeros = padding(payload.n_bytes);
    if (!is_type(type) || payload.n_bytes > left || n_zeros > left - payload.n_bytes)
        return TKWS_E_MODEL_SECTIONS;
    for (size_t i = 0; i < n_zeros; i++)
        if (payload.at[payload.n_bytes + i] != 0)
            return TKWS_E_MODEL_SECTIONS;
    if (tkws_crc32(0, payload.at, payload.n_bytes) != tkws_bytes_get_u32(bytes + 8))
        return TKWS_E_MODEL_CRC;
    *used = TKWS_SECTION_HEAD_BYTES + payload.n_bytes + n_zeros;
    return note(type, &payload, found);
}

/* Find the sections of an image whose length and CRC are right. */
static int find_sections(const uint8_t *image, size_t n_bytes, section found[N_KNOWN])
{
    size_t end = n_bytes - CRC_BYTES;
    size_t at = TKWS_MODEL_START_BYTES;
    for (uint32_t left = tkws_bytes_get_u32(image + 12); left > 0; left--) {
        size_t used = 0;
        int error = take_section(image + at, end - at, &used, found);
        if (error != TKWS_OK)
            return error;
        at += used;
    }
    return at == end ? TKWS_OK : TKWS_E_MODEL_SECTIONS;
}

/* Read the numbers, and check that every section has the length that they give. */
static int read_header(tkws_model_header *h, const section found[N_KNOWN])
{
    size_t bytes[N_SECTIONS];
    if (found[NUMBERS].at == NULL || found[NUMBERS].n_bytes != TKWS_MODEL_HEADER_BYTES)
        return TKWS_E_MODEL_NUMBERS;
    for (size_t i = 0; i < HEADER_FIELDS; i++) { /* not all at once: a start has little stack */
        uint32_t field = tkws_bytes_get_u32(found[NUMBERS].at + 4 * i);
        memcpy((uint8_t *)h + 4 * i, &field, sizeof field);
    }
    int error = check_header(h);
    if (error != TKWS_OK)
        return error;
    (void)section_bytes(h, bytes);
    for (size_t i = 0; i < N_SECTIONS; i++)
        if (found[i].at == NULL || found[i].n_bytes != bytes[i])
            return kinds[i].error;
    return TKWS_OK;
}

static void point_into(tkws_model *m, const section found[N_KNOWN])
{
    m->name = found[NAME].at;
    m->labels = found[LABELS].at;
    m->word_threshold = found[THRESHOLDS].at;
    m->trainable = found[WEIGHTS].at;
    m->taps = found[TAPS].at;
    m->decay = found[DECAY].at;
    m->target = found[TARGET].at;
    m->latent = found[LATENT].at;
    m->sequences = found[SEQUENCES].at;
}

static bool all_positive(const uint8_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tkws_bytes_get_i16(numbers + 2 * i) < 0)
            return false;
    return true;
}

/* The numbers of section Conv. */
static bool check_convolution(const tkws_convolution_form *form)
{
    size_t row = TKWS_CHANNELS + 2u * form->margin;
    if (form->n_kernels == 0 || form->n_kernels % 2 != 0 ||
        !within(form->n_frames, TKWS_STACK, TKWS_MAX_PATCH) ||
        !within(form->width, 4, TKWS_CHANNELS) || form->width % 4 != 0 || form->stride == 0 ||
        form->margin >= form->width || !within(form->weight_q, 4, 15) ||
        (size_t)form->n_frames * form->width > TKWS_MAX_PATCH)
        return false;
    return form->n_kernels * ((row - form->width) / form->stride + 1) == TKWS_FEATURES;
}

/* Read section Conv, where it is there; else it has no kernels. */
static int read_convolution(tkws_convolution_form *form, const section *payload)
{
    memset(form, 0, sizeof *form);
    if (payload->at == NULL)
        return TKWS_OK;
    if (payload->n_bytes < CONVOLUTION_HEAD_BYTES)
        return TKWS_E_MODEL_CONVOLUTION;
    form->n_kernels = tkws_bytes_get_u16(payload->at);
    form->n_frames = tkws_bytes_get_u16(payload->at + 2);
    form->width = tkws_bytes_get_u16(payload->at + 4);
    form->stride = tkws_bytes_get_u16(payload->at + 6);
    form->margin = tkws_bytes_get_u16(payload->at + 8);
    form->weight_q = tkws_bytes_get_u16(payload->at + 10);
    if (!check_convolution(form))
        return TKWS_E_MODEL_CONVOLUTION;
    size_t weights_bytes = 2u * form->n_kernels * form->n_frames * form->width;
    if (payload->n_bytes != CONVOLUTION_HEAD_BYTES + weights_bytes + 2u * form->n_kernels)
        return TKWS_E_MODEL_CONVOLUTION;
    form->n_bands = (uint16_t)(TKWS_FEATURES / form->n_kernels);
    form->bias_unit = (int32_t)1 << (form->weight_q + TKWS_FEATURE_Q - TKWS_CONVOLUTION_BIAS_Q);
    form->weights = payload->at + CONVOLUTION_HEAD_BYTES;
    form->bias = form->weights + weights_bytes;
    return TKWS_OK;
}

/* Read section trac, where it is there; else its rank is 0. */
static int read_traces(tkws_trace_form *form, const section *payload, size_t n_neurons)
{
    memset(form, 0, sizeof *form);
    if (payload->at == NULL)
        return TKWS_OK;
    if (payload->n_bytes < TRACES_HEAD_BYTES)
        return TKWS_E_MODEL_TRACES;
    form->rank = tkws_bytes_get_u16(payload->at);
    form->along_q = tkws_bytes_get_u16(payload->at + 2);
    form->weight_q10 = tkws_bytes_get_u16(payload->at + 4);
    form->floor_q15 = tkws_bytes_get_i16(payload->at + 6);
    size_t n_positive = n_neurons + form->rank;
    if (!within(form->rank, 1, TKWS_MAX_RANK) || !within(form->along_q, 7, 15) ||
        form->floor_q15 < 0 ||
        payload->n_bytes != TRACES_HEAD_BYTES + 2 * n_positive + n_neurons * form->rank)
        return TKWS_E_MODEL_TRACES;
    form->mean = payload->at + TRACES_HEAD_BYTES;
    form->shrink = form->mean + 2 * n_neurons;
    form->along = form->mean + 2 * n_positive;
    if (!all_positive(form->mean, n_positive))
        return TKWS_E_MODEL_TRACES;
    return TKWS_OK;
}

/* Read section ownw, where it is there; else it has room for no word. */
static int read_own(tkws_own_form *form, const section *payload, bool has_traces)
{
    memset(form, 0, sizeof *form);
    if (payload->at == NULL)
        return TKWS_OK;
    if (payload->n_bytes != OWN_BYTES || !has_traces || !all_positive(payload->at, OWN_BYTES / 2))
        return TKWS_E_MODEL_OWN;
    form->n_words = tkws_bytes_get_u16(payload->at);
    form->least_q15 = tkws_bytes_get_i16(payload->at + 2);
    form->agreement_q15 = tkws_bytes_get_i16(payload->at + 4);
    form->single_q15 = tkws_bytes_get_i16(payload->at + 6);
    form->rival_q15 = tkws_bytes_get_i16(payload->at + 8);
    return within(form->n_words, 1, TKWS_MAX_OWN) ? TKWS_OK : TKWS_E_MODEL_OWN;
}

static int check_labels(const tkws_model *m)
{
    if (tkws_name_length(m->name) == 0)
        return TKWS_E_MODEL_LABEL;
    for (size_t a = 0; a < m->header.n_classes; a++) {
        const uint8_t *label = m->labels + a * TKWS_NAME_BYTES;
        if (tkws_name_length(label) == 0)
            return TKWS_E_MODEL_LABEL;
        for (size_t b = 0; b < a; b++)
            if (memcmp(label, m->labels + b * TKWS_NAME_BYTES, TKWS_NAME_BYTES) == 0)
                return TKWS_E_MODEL_LABEL;
    }
    return TKWS_OK;
}

static int check_body(const tkws_model *m)
{
    const tkws_model_header *h = &m->header;
    if (!all_positive(m->decay, h->n_neurons))
        return TKWS_E_MODEL_NEURON;
    if (!all_positive(m->word_threshold, h->n_classes))
        return TKWS_E_MODEL_DETECTOR;
    for (size_t i = 0; i < h->n_latent; i++)
        if (m->latent[i * latent_bytes(h)] >= h->n_classes)
            return TKWS_E_MODEL_REPLAY;
    for (size_t i = 0; i < h->n_sequences; i++)
        if (m->sequences[i * sequence_bytes(h)] >= h->n_classes)
            return TKWS_E_MODEL_REPLAY;
    return TKWS_OK;
}

/* What can be told before a section is read. */
static int check_start(const uint8_t *image, size_t n_bytes)
{
    if (n_bytes < 4 || tkws_bytes_get_u32(image) != TKWS_MODEL_MAGIC)
        return TKWS_E_MODEL_MAGIC;
    if (n_bytes < TKWS_MODEL_START_BYTES + CRC_BYTES)
        return TKWS_E_MODEL_LENGTH;
    if (tkws_bytes_get_u32(image + 4) != TKWS_MODEL_FORMAT)
        return TKWS_E_MODEL_FORMAT;
    if (tkws_bytes_get_u32(image + 8) != n_bytes)
        return TKWS_E_MODEL_LENGTH;
    size_t end = n_bytes - CRC_BYTES;
    return tkws_crc32(0, image, end) == tkws_bytes_get_u32(image + end) ? TKWS_OK
                                                                        : TKWS_E_MODEL_CRC;
}

int tkws_model_parse(tkws_model *model, const uint8_t *image, size_t n_bytes)
{
    tkws_model m;
    section found[N_KNOWN] = {{NULL, 0}};
    int error = check_start(image, n_bytes);
    if (error == TKWS_OK)
        error = find_sections(image, n_bytes, found);
    if (error == TKWS_OK)
        error = read_header(&m.header, found);
    if (error != TKWS_OK)
        return error;
    m.image = image;
    m.crc = tkws_bytes_get_u32(image + n_bytes - CRC_BYTES);
    point_into(&m, found);
    error = read_convolution(&m.convolution, &found[CONVOLUTION]);
    if (error == TKWS_OK)
        error = read_traces(&m.traces, &found[TRACES], m.header.n_neurons);
    if (error == TKWS_OK)
        error = read_own(&m.own, &found[OWN], m.traces.rank > 0);
    if (error == TKWS_OK)
        error = check_labels(&m);
    if (error == TKWS_OK)
        error = check_body(&m);
    if (error == TKWS_OK)
        *model = m;
    return error;
}

size_t tkws_model_image_bytes(const tkws_model_header *header)
{
    size_t bytes[N_SECTIONS];
    return check_header(header) == TKWS_OK ? section_bytes(header, bytes) : 0;
}

void tkws_model_header_write(const tkws_model_header *header, uint8_t *bytes)
{
    uint32_t fields[HEADER_FIELDS];
    memcpy(fields, header, sizeof fields);
    for (size_t i = 0; i < HEADER_FIELDS; i++)
        tkws_bytes_put_u32(bytes + 4 * i, fields[i]);
}

tkws_weight_counts tkws_model_weight_counts(const tkws_model *model)
{
    const tkws_model_header *h = &model->header;
    size_t n = h->n_neurons;
    tkws_weight_counts counts = {n * h->n_inputs, n * n, n, n * h->n_classes, h->n_classes};
    return counts;
}

size_t tkws_model_take_bytes(const tkws_model *model)
{
    size_t n = model->header.n_neurons;
    return model->traces.rank > 0 ? (1 + n + 1) / 2 * 2 : 0;
}

size_t tkws_model_words(const tkws_model *model)
{
    return model->header.n_classes + (size_t)model->own.n_words;
}

size_t tkws_model_takes_bytes(const tkws_model *model)
{
    return tkws_model_words(model) * tkws_model_take_bytes(model) +
           model->own.n_words * TKWS_OWN_BYTES;
}

size_t tkws_model_trainable_bytes(const tkws_model *model)
{
    return 2 * trainable_numbers(&model->header) + tkws_model_takes_bytes(model);
}

const char *tkws_model_label(const tkws_model *model, size_t class_)
{
    return (const char *)model->labels + class_ * TKWS_NAME_BYTES;
}

int tkws_model_class(const tkws_model *model, const char *label, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > TKWS_NAME_MAX)
        return TKWS_E_LABEL;
    for (size_t c = 0; c < model->header.n_classes; c++) {
        const uint8_t *cell = model->labels + c * TKWS_NAME_BYTES;
        if (tkws_name_length(cell) == n_bytes && memcmp(cell, label, n_bytes) == 0)
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

int tkws_weights_init(tkws_weights *weights, const tkws_model *model, int16_t *memory,
                      size_t n_bytes)
{
    tkws_weight_counts n = tkws_model_weight_counts(model);
    if (n_bytes < tkws_model_trainable_bytes(model))
        return TKWS_E_MEMORY;
    weights->weights = memory;
    weights->recurrent = weights->weights + n.weights;
    weights->bias = weights->recurrent + n.recurrent;
    weights->readout = weights->bias + n.bias;
    weights->readout_bias = weights->readout + n.readout;
    weights->takes = (uint8_t *)(weights->readout_bias + n.readout_bias);
    tkws_weights_load(model, weights);
    return TKWS_OK;
}

void tkws_weights_load(const tkws_model *model, const tkws_weights *weights)
{
    (void)tkws_weights_write(model, weights, 0, model->trainable,
                             2 * trainable_numbers(&model->header));
    if (tkws_model_takes_bytes(model) > 0)
        memset(weights->takes, 0, tkws_model_takes_bytes(model));
}

/* Not memcpy, which is a call. */
static void copy_two(uint8_t *to, const uint8_t *from)
{
    to[0] = from[0];
    to[1] = from[1];
}

int tkws_weights_read(const tkws_model *model, const tkws_weights *weights, size_t offset,
                      uint8_t *bytes, size_t n_bytes)
{
    int error = check_part(model, offset, n_bytes);
    if (error != TKWS_OK)
        return error;
    tkws_weight_counts counts = tkws_model_weight_counts(model);
    size_t n = 2 * trainable_numbers(&model->header);
    for (size_t i = 0; i < n_bytes; i += 2)
        if (offset + i < n)
            tkws_bytes_put_u16(bytes + i, (uint32_t)*weight_at(&counts, weights, (offset + i) / 2));
        else
            copy_two(bytes + i, weights->takes + (offset + i - n));
    return TKWS_OK;
}

int tkws_weights_write(const tkws_model *model, const tkws_weights *weights, size_t offset,
                       const uint8_t *bytes, size_t n_bytes)
{
    int error = check_part(model, offset, n_bytes);
    if (error != TKWS_OK)
        return error;
    tkws_weight_counts counts = tkws_model_weight_counts(model);
    size_t n = 2 * trainable_numbers(&model->header);
    for (size_t i = 0; i < n_bytes; i += 2)
        if (offset + i < n)
            *weight_at(&counts, weights, (offset + i) / 2) = tkws_bytes_get_i16(bytes + i);
        else
            copy_two(weights->takes + (offset + i - n), bytes + i);
    return TKWS_OK;
}
