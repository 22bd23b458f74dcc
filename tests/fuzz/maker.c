/* SPDX-License-Identifier: Apache-2.0 */
#include "maker.h"

#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/frontend.h"
#include "tracekws/rng.h"

#define MAX_RATE (1u << 30)
#define CRC_BYTES 4
#define TRACES_HEAD_BYTES 8
#define OWN_BYTES 10
#define CONVOLUTION_HEAD_BYTES 12
#define MOST_TYPES 13
#define WITH_TRACES 0x80u        /* in the byte that says which section comes first */
#define WITH_CONVOLUTION 0x40u   /* there, too */
#define UNKNOWN_TYPE 0x65736c65u /* "else": readers that do not know it pass over it */

maker_pattern maker_read_pattern(fuzz_input *in)
{
    maker_pattern pattern;
    pattern.kind = (uint8_t)(input_u8(in) % MAKER_KINDS);
    pattern.seed = input_u16(in);
    return pattern;
}

tkws_convolution_form maker_shape(size_t which, uint32_t weight_q)
{
    static const tkws_convolution_form shapes[MAKER_SHAPES] = {
        {.n_kernels = 8, .n_frames = 32, .width = 8, .stride = 4, .margin = 2},
        {.n_kernels = 80, .n_frames = 2, .width = 40, .stride = 1},
        {.n_kernels = 4, .n_frames = 3, .width = 4, .stride = 2, .margin = 1},
        {.n_kernels = 20, .n_frames = 9, .width = 12, .stride = 16, .margin = 11},
    };
    tkws_convolution_form form = shapes[which];
    form.weight_q = (uint16_t)weight_q;
    return form;
}

static void read_convolution(fuzz_input *in, maker_content *content)
{
    size_t which = input_u8(in) % MAKER_SHAPES;
    content->convolution = maker_shape(which, input_within(in, 4, 15));
    content->parts[MAKER_KERNELS] = maker_read_pattern(in);
    content->parts[MAKER_KERNEL_BIAS] = maker_read_pattern(in);
}

static void read_traces(fuzz_input *in, maker_content *content)
{
    content->traces.rank = (uint16_t)input_within(in, 1, TKWS_MAX_RANK);
    content->traces.along_q = (uint16_t)input_within(in, 7, 15);
    content->traces.weight_q10 = (uint16_t)input_within(in, 0, UINT16_MAX);
    content->traces.floor_q15 = (int16_t)input_within(in, 0, INT16_MAX);
    for (size_t i = MAKER_MEAN; i <= MAKER_ALONG; i++)
        content->parts[i] = maker_read_pattern(in);
    content->own.n_words = (uint16_t)input_within(in, 0, TKWS_MAX_OWN);
    content->own.least_q15 = (int16_t)input_within(in, 0, INT16_MAX);
    content->own.agreement_q15 = (int16_t)input_within(in, 0, INT16_MAX);
    content->own.single_q15 = (int16_t)input_within(in, 0, INT16_MAX);
    content->own.rival_q15 = (int16_t)input_within(in, 0, INT16_MAX);
}

void maker_read_content(fuzz_input *in, maker_content *content)
{
    memset(content, 0, sizeof *content);
    content->first = input_u8(in);
    content->n_extra = input_u8(in);
    for (size_t i = 0; i < MAKER_MEAN; i++)
        content->parts[i] = maker_read_pattern(in);
    if ((content->first & WITH_TRACES) != 0)
        read_traces(in, content);
    if ((content->first & WITH_CONVOLUTION) != 0)
        read_convolution(in, content);
}

static int16_t from_bits(uint32_t bits)
{
    int32_t low = (int32_t)(bits & 0xffffu);
    return (int16_t)(low < 32768 ? low : low - 65536);
}

static int16_t draw(maker_pattern pattern, tkws_rng *rng)
{
    uint32_t bits = tkws_rng_next(rng);
    switch (pattern.kind) {
    case MAKER_HIGHEST:
        return INT16_MAX;
    case MAKER_LOWEST:
        return INT16_MIN;
    case MAKER_ANY:
        return from_bits(bits);
    case MAKER_EXTREMES:
        return (bits & 1u) != 0 ? INT16_MAX : INT16_MIN;
    case MAKER_SMALL:
        return (int16_t)((int32_t)(bits % 655u) - 327);
    case MAKER_ONE:
        return from_bits(pattern.seed);
    case MAKER_SPARSE:
        return bits >> 29 == 0 ? from_bits(bits) : (int16_t)0;
    default:
        return 0;
    }
}

void maker_fill16(int16_t *numbers, size_t n, maker_pattern pattern)
{
    tkws_rng rng;
    tkws_rng_seed(&rng, pattern.seed);
    for (size_t i = 0; i < n; i++)
        numbers[i] = draw(pattern, &rng);
}

/* The upper byte of an int16. */
static int8_t upper(int16_t number)
{
    return (int8_t)((number - (number & 0xff)) / 256);
}

void maker_fill8(int8_t *numbers, size_t n, maker_pattern pattern)
{
    tkws_rng rng;
    tkws_rng_seed(&rng, pattern.seed);
    for (size_t i = 0; i < n; i++)
        numbers[i] = upper(draw(pattern, &rng));
}

static void read_network(fuzz_input *in, uint32_t max_neurons, tkws_model_header *h)
{
    h->n_classes = input_within(in, 3, TKWS_MAX_CLASSES);
    h->unknown_class = input_u8(in) % h->n_classes;
    h->silence_class = (h->unknown_class + 1 + input_u8(in) % (h->n_classes - 1)) % h->n_classes;
    h->n_layers = 1;
    h->layer_kind = TKWS_LAYER_RECURRENT_LIF;
    h->n_inputs = TKWS_FEATURES;
    h->n_taps = input_within(in, 1, TKWS_MAX_TAPS);
    h->n_neurons = input_within(in, 1, max_neurons);
    h->membrane_q = input_within(in, 4, 14);
    uint32_t least_q = h->membrane_q > 4 + TKWS_FEATURE_Q ? h->membrane_q - TKWS_FEATURE_Q : 4;
    h->weight_q = input_within(in, least_q, 15);
    h->recurrent_q = input_within(in, h->membrane_q, 15);
    h->surrogate_q = input_within(in, 4, 14);
    h->threshold = input_within(in, 1, 16383);
}

static void read_learning(fuzz_input *in, tkws_model_header *h)
{
    h->trace_decay_q15 = input_within(in, 0, INT16_MAX);
    h->contrast_gain_q8 = input_within(in, 0, 1u << 20);
    h->rate_weights = input_within(in, 0, 1u << 24);
    h->rate_recurrent = input_within(in, 0, MAX_RATE);
    h->rate_bias = input_within(in, 0, MAX_RATE);
    h->rate_readout = input_within(in, 0, MAX_RATE);
    h->rate_readout_bias = input_within(in, 0, MAX_RATE);
    h->method = input_within(in, 0, TKWS_LEARN_ALL);
    h->passes = input_within(in, 1, 100);
    h->latent_per_take = input_within(in, 0, 16);
    h->sequences_per_take = input_within(in, 0, 4);
    h->n_latent = input_within(in, 0, 12);
    h->n_sequences = input_within(in, 0, 3);
    h->sequence_steps = input_within(in, 1, 12);
}

/* What every header has. */
static void start_header(tkws_model_header *h)
{
    memset(h, 0, sizeof *h);
    h->sample_rate = TKWS_SAMPLE_RATE;
    h->window = TKWS_WINDOW;
    h->hop = TKWS_HOP;
    h->channels = TKWS_CHANNELS;
    h->stack = TKWS_STACK;
}

void maker_read_header(fuzz_input *in, uint32_t max_neurons, tkws_model_header *h)
{
    start_header(h);
    h->version = input_u32(in);
    h->alpha_q15 = input_within(in, 0, INT16_MAX);
    h->mean_shift = input_within(in, 1, 12);
    h->fall_shift = input_within(in, 1, h->mean_shift);
    h->energy_floor = input_within(in, 1, UINT32_MAX);
    read_network(in, max_neurons, h);
    read_learning(in, h);
    uint32_t most_steps = UINT16_MAX / h->n_neurons;
    h->window_steps = input_within(
        in, 1, most_steps < TKWS_MAX_WINDOW_STEPS ? most_steps : TKWS_MAX_WINDOW_STEPS);
    h->smoothing_shift = input_within(in, 0, 6);
    h->refractory_steps = input_within(in, 0, 1000);
    h->gap_steps = input_within(in, 0, 1000);
    h->isolated = input_within(in, 0, 1);
}

size_t maker_label(uint32_t word, uint8_t cell[TKWS_NAME_BYTES])
{
    static const uint8_t two[] = {0xc3, 0xa9}; /* of one character */
    size_t n = 3;
    memset(cell, 0, TKWS_NAME_BYTES);
    cell[0] = 'w';
    cell[1] = (uint8_t)('0' + word / 10);
    cell[2] = (uint8_t)('0' + word % 10);
    for (; word % 3 == 1 && n + sizeof two <= TKWS_NAME_MAX; n += sizeof two)
        memcpy(cell + n, two, sizeof two);
    return n;
}

static uint8_t *put16(uint8_t *at, size_t n, maker_pattern pattern, bool may_be_negative)
{
    tkws_rng rng;
    tkws_rng_seed(&rng, pattern.seed);
    for (size_t i = 0; i < n; i++) {
        int32_t number = draw(pattern, &rng);
        tkws_bytes_put_u16(at + 2 * i,
                           (uint32_t)(number < 0 && !may_be_negative ? ~number : number));
    }
    return at + 2 * n;
}

static uint8_t *put8(uint8_t *at, size_t n, maker_pattern pattern)
{
    tkws_rng rng;
    tkws_rng_seed(&rng, pattern.seed);
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(upper(draw(pattern, &rng)) & 0xff);
    return at + n;
}

/* Rows that each begin with a class. */
static uint8_t *put_rows(uint8_t *at, size_t n_rows, size_t n, uint32_t n_classes,
                         maker_pattern pattern)
{
    for (size_t row = 0; row < n_rows; row++) {
        *at = (uint8_t)((pattern.seed + row) % n_classes);
        at = put8(at + 1, n, pattern);
        pattern.seed = (pattern.seed + 1) & 0xffffu;
    }
    return at;
}

static uint8_t *put_labels(uint8_t *at, uint32_t n_classes)
{
    for (uint32_t word = 0; word < n_classes; word++, at += TKWS_NAME_BYTES)
        (void)maker_label(word, at);
    return at;
}

static uint8_t *put_weights(uint8_t *at, const tkws_model_header *h, const maker_pattern *parts)
{
    size_t n = h->n_neurons;
    at = put16(at, n * TKWS_FEATURES, parts[MAKER_WEIGHTS], true);
    at = put16(at, n * n, parts[MAKER_RECURRENT], true);
    at = put16(at, n, parts[MAKER_BIAS], true);
    at = put16(at, n * h->n_classes, parts[MAKER_READOUT], true);
    return put16(at, h->n_classes, parts[MAKER_READOUT_BIAS], true);
}

/* Weights of section Conv. */
static size_t n_kernel_weights(const tkws_convolution_form *form)
{
    return (size_t)form->n_kernels * form->n_frames * form->width;
}

static uint8_t *put_convolution(uint8_t *at, const maker_content *content)
{
    const tkws_convolution_form *form = &content->convolution;
    tkws_bytes_put_u16(at, form->n_kernels);
    tkws_bytes_put_u16(at + 2, form->n_frames);
    tkws_bytes_put_u16(at + 4, form->width);
    tkws_bytes_put_u16(at + 6, form->stride);
    tkws_bytes_put_u16(at + 8, form->margin);
    tkws_bytes_put_u16(at + 10, form->weight_q);
    at = put16(at + CONVOLUTION_HEAD_BYTES, n_kernel_weights(form), content->parts[MAKER_KERNELS],
               true);
    return put16(at, form->n_kernels, content->parts[MAKER_KERNEL_BIAS], true);
}

static uint8_t *put_traces(uint8_t *at, size_t n, const maker_content *content)
{
    const tkws_trace_form *form = &content->traces;
    tkws_bytes_put_u16(at, form->rank);
    tkws_bytes_put_u16(at + 2, form->along_q);
    tkws_bytes_put_u16(at + 4, form->weight_q10);
    tkws_bytes_put_u16(at + 6, (uint32_t)form->floor_q15);
    at = put16(at + TRACES_HEAD_BYTES, n, content->parts[MAKER_MEAN], false);
    at = put16(at, form->rank, content->parts[MAKER_SHRINK], false);
    return put8(at, n * form->rank, content->parts[MAKER_ALONG]);
}

static uint8_t *put_own(uint8_t *at, const tkws_own_form *form)
{
    tkws_bytes_put_u16(at, form->n_words);
    tkws_bytes_put_u16(at + 2, (uint32_t)form->least_q15);
    tkws_bytes_put_u16(at + 4, (uint32_t)form->agreement_q15);
    tkws_bytes_put_u16(at + 6, (uint32_t)form->single_q15);
    tkws_bytes_put_u16(at + 8, (uint32_t)form->rival_q15);
    return at + OWN_BYTES;
}

/* The payload of a section. @return its end */
static uint8_t *put_payload(uint8_t *at, const tkws_model_header *h, const maker_content *content,
                            uint32_t type)
{
    const maker_pattern *parts = content->parts;
    size_t n = h->n_neurons;
    size_t c = h->n_classes;
    switch (type) {
    case TKWS_SECTION_NUMBERS:
        tkws_model_header_write(h, at);
        return at + TKWS_MODEL_HEADER_BYTES;
    case TKWS_SECTION_NAME:
        (void)maker_label(1, at);
        return at + TKWS_NAME_BYTES;
    case TKWS_SECTION_LABELS:
        return put_labels(at, h->n_classes);
    case TKWS_SECTION_THRESHOLDS:
        return put16(at, c, parts[MAKER_THRESHOLDS], false);
    case TKWS_SECTION_WEIGHTS:
        return put_weights(at, h, parts);
    case TKWS_SECTION_TAPS:
        return put8(at, (size_t)h->n_taps * TKWS_FEATURES, parts[MAKER_TAPS]);
    case TKWS_SECTION_DECAY:
        return put16(at, n, parts[MAKER_DECAY], false);
    case TKWS_SECTION_TARGET:
        return put16(at, n * c, parts[MAKER_TARGET], true);
    case TKWS_SECTION_LATENT:
        return put_rows(at, h->n_latent, n, h->n_classes, parts[MAKER_LATENT]);
    case TKWS_SECTION_TRACES:
        return put_traces(at, n, content);
    case TKWS_SECTION_CONVOLUTION:
        return put_convolution(at, content);
    case TKWS_SECTION_OWN:
        return put_own(at, &content->own);
    default:
        return put_rows(at, h->n_sequences, (size_t)h->sequence_steps * TKWS_FEATURES, h->n_classes,
                        parts[MAKER_SEQUENCES]);
    }
}

static size_t padded(size_t n_bytes)
{
    return (n_bytes + 3) / 4 * 4;
}

/* Put the head before a payload that is there, and the zeros behind it. @return their end */
static uint8_t *close_section(uint8_t *head, uint32_t type, const uint8_t *end)
{
    uint8_t *payload = head + TKWS_SECTION_HEAD_BYTES;
    size_t n = (size_t)(end - payload);
    tkws_bytes_put_u32(head, type);
    tkws_bytes_put_u32(head + 4, (uint32_t)n);
    tkws_bytes_put_u32(head + 8, tkws_crc32(0, payload, n));
    memset(payload + n, 0, padded(n) - n);
    return payload + padded(n);
}

/* The sections of an image, those that may be missing last. @return how many */
static size_t list_types(const maker_content *content, uint32_t types[MOST_TYPES])
{
    static const uint32_t always[] = {
        TKWS_SECTION_NUMBERS, TKWS_SECTION_NAME,      TKWS_SECTION_LABELS, TKWS_SECTION_THRESHOLDS,
        TKWS_SECTION_WEIGHTS, TKWS_SECTION_TAPS,      TKWS_SECTION_DECAY,  TKWS_SECTION_TARGET,
        TKWS_SECTION_LATENT,  TKWS_SECTION_SEQUENCES,
    };
    size_t n = sizeof always / sizeof always[0];
    memcpy(types, always, sizeof always);
    if (content->convolution.n_kernels > 0)
        types[n++] = TKWS_SECTION_CONVOLUTION;
    if (content->traces.rank > 0)
        types[n++] = TKWS_SECTION_TRACES;
    if (content->traces.rank > 0 && content->own.n_words > 0)
        types[n++] = TKWS_SECTION_OWN;
    return n;
}

/* Of section Conv, its head included; 0 when it is not there. */
static size_t convolution_bytes(const tkws_convolution_form *form)
{
    size_t n = CONVOLUTION_HEAD_BYTES + 2 * (n_kernel_weights(form) + form->n_kernels);
    return form->n_kernels > 0 ? TKWS_SECTION_HEAD_BYTES + padded(n) : 0;
}

/* Of section trac, its head included; 0 when it is not there. */
static size_t traces_bytes(size_t n_neurons, size_t rank)
{
    size_t n = TRACES_HEAD_BYTES + 2 * (n_neurons + rank) + n_neurons * rank;
    return rank > 0 ? TKWS_SECTION_HEAD_BYTES + padded(n) : 0;
}

/* All that knows the layout of an image is this and maker_seal(). */
uint8_t *maker_image(const tkws_model_header *h, const maker_content *content, size_t *n_bytes)
{
    bool has_own = content->traces.rank > 0 && content->own.n_words > 0;
    uint32_t types[MOST_TYPES];
    size_t n_types = list_types(content, types);
    size_t n_extra = content->n_extra > 0 ? TKWS_SECTION_HEAD_BYTES + padded(content->n_extra) : 0;
    size_t n_image = tkws_model_image_bytes(h);
    CHECK(n_image > 0);
    n_image += convolution_bytes(&content->convolution);
    n_image += n_extra + traces_bytes(h->n_neurons, content->traces.rank);
    n_image += has_own ? TKWS_SECTION_HEAD_BYTES + padded(OWN_BYTES) : 0;
    uint8_t *image = check_malloc(n_image);
    uint8_t *at = image + TKWS_MODEL_START_BYTES;
    tkws_bytes_put_u32(image, TKWS_MODEL_MAGIC);
    tkws_bytes_put_u32(image + 4, TKWS_MODEL_FORMAT);
    tkws_bytes_put_u32(image + 8, (uint32_t)n_image);
    tkws_bytes_put_u32(image + 12, (uint32_t)n_types + (n_extra > 0));
    for (size_t i = 0; i < n_types; i++) {
        uint32_t type = types[(content->first + i) % n_types];
        uint8_t *end = put_payload(at + TKWS_SECTION_HEAD_BYTES, h, content, type);
        at = close_section(at, type, end);
    }
    if (n_extra > 0) {
        memset(at + TKWS_SECTION_HEAD_BYTES, content->n_extra, content->n_extra);
        at = close_section(at, UNKNOWN_TYPE, at + TKWS_SECTION_HEAD_BYTES + content->n_extra);
    }
    CHECK(at + CRC_BYTES == image + n_image);
    maker_seal(image, n_image);
    *n_bytes = n_image;
    return image;
}

void maker_seal(uint8_t *image, size_t n_bytes)
{
    if (n_bytes < TKWS_MODEL_START_BYTES + CRC_BYTES)
        return;
    size_t end = n_bytes - CRC_BYTES;
    size_t at = TKWS_MODEL_START_BYTES;
    while (end - at >= TKWS_SECTION_HEAD_BYTES) {
        size_t n = tkws_bytes_get_u32(image + at + 4);
        uint8_t *payload = image + at + TKWS_SECTION_HEAD_BYTES;
        if (padded(n) > end - at - TKWS_SECTION_HEAD_BYTES)
            break;
        tkws_bytes_put_u32(image + at + 8, tkws_crc32(0, payload, n));
        at += TKWS_SECTION_HEAD_BYTES + padded(n);
    }
    tkws_bytes_put_u32(image + end, tkws_crc32(0, image, end));
}

void maker_known_header(size_t which, tkws_model_header *h)
{
    static const uint32_t neurons[MAKER_KNOWN] = {4, 7, 12};
    static const uint32_t classes[MAKER_KNOWN] = {5, 3, 4};
    start_header(h);
    h->alpha_q15 = 32113;
    h->mean_shift = 6;
    h->fall_shift = 3;
    h->energy_floor = 16;
    h->n_classes = classes[which];
    h->unknown_class = 1;
    h->silence_class = 2;
    h->n_layers = 1;
    h->layer_kind = TKWS_LAYER_RECURRENT_LIF;
    h->n_inputs = TKWS_FEATURES;
    h->n_taps = 3;
    h->n_neurons = neurons[which];
    h->weight_q = 12;
    h->recurrent_q = 12;
    h->membrane_q = 10;
    h->threshold = 1024;
    h->surrogate_q = 14;
    h->trace_decay_q15 = 31130;
    h->contrast_gain_q8 = 30 << 8;
    h->rate_weights = 1 << 20;
    h->rate_recurrent = 1 << 22;
    h->rate_bias = 1 << 22;
    h->rate_readout = 1 << 24;
    h->rate_readout_bias = 1 << 24;
    h->method = 15;
    h->passes = 5;
    h->latent_per_take = 2;
    h->sequences_per_take = 1;
    h->window_steps = 1;
    h->n_latent = 3;
    h->n_sequences = 2;
    h->sequence_steps = 3;
}

uint8_t *maker_known(size_t which, size_t *n_bytes)
{
    maker_content content = {.first = 0, .n_extra = 0};
    for (uint32_t i = 0; i < MAKER_PARTS; i++)
        content.parts[i] = (maker_pattern){MAKER_ANY, 40 * (uint32_t)which + i};
    content.parts[MAKER_THRESHOLDS].kind = which + 1 < MAKER_KNOWN ? MAKER_ZERO : MAKER_HIGHEST;
    tkws_model_header h;
    maker_known_header(which, &h);
    if (which == 0) {
        content.traces = (tkws_trace_form){.rank = 2, .along_q = 9, .weight_q10 = 8 << 10};
        content.own = (tkws_own_form){3, 1 << 12, 1 << 13, 1 << 14, 1 << 13};
        content.parts[MAKER_MEAN].kind = MAKER_SMALL;
        content.convolution = maker_shape(2, 12);
        h.method = TKWS_LEARN_ALL;
    }
    return maker_image(&h, &content, n_bytes);
}
