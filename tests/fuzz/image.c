/* SPDX-License-Identifier: Apache-2.0 */
/* Images of any content, most of them nearly right: what is refused leaves everything untouched, what is
 * accepted runs. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "maker.h"
#include "oracle.h"
#include "target.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"

#define MAX_NEURONS 8
#define MAX_CHANGES 8
#define START_BYTES (TKWS_MODEL_START_BYTES + TKWS_SECTION_HEAD_BYTES + TKWS_MODEL_HEADER_BYTES)
#define GARBAGE 0xa5

/* What is wrong with an image. */
enum {
    RAW = 1,       /* nothing but the input */
    CUT_SHORT = 2, /* or longer */
    UNSEALED = 4,  /* the CRCs are not made right */
    CONTENT = 8,   /* a byte of what has a range, the header's fields aside */
};

static bool is_model_error(int error)
{
    return error <= TKWS_E_MODEL_MAGIC && error > TKWS_E_MODEL_MAGIC - 32;
}

static uint8_t *resized(uint8_t *image, size_t n_old, size_t n_new)
{
    uint8_t *other = check_malloc(n_new);
    memset(other, 0, n_new);
    memcpy(other, image, n_old < n_new ? n_old : n_new);
    free(image);
    return other;
}

/* Change bytes: half of them at the start, whose fields are most of what can be wrong. */
static void change(fuzz_input *in, uint8_t *image, size_t n_bytes)
{
    size_t n_changes = input_u8(in) % MAX_CHANGES;
    for (size_t i = 0; i < n_changes; i++) {
        uint16_t at = input_u16(in);
        size_t span = (at & 1u) != 0 ? n_bytes : START_BYTES;
        image[at / 2u % (span < n_bytes ? span : n_bytes)] = input_u8(in);
    }
}

/* Change a byte at the start of a section whose content has a range. */
static void change_content(fuzz_input *in, uint8_t *image, size_t n_bytes)
{
    tkws_model m;
    CHECK(tkws_model_parse(&m, image, n_bytes) == TKWS_OK);
    const uint8_t *const parts[] = {m.name,   m.labels,    m.word_threshold, m.decay,
                                    m.latent, m.sequences, m.traces.mean};
    size_t n_parts = sizeof parts / sizeof parts[0] - (m.traces.rank == 0);
    size_t at = (size_t)(parts[input_u8(in) % n_parts] - image);
    at += input_u8(in) % 4u;
    image[at] = (uint8_t)input_within(in, m.header.n_classes, UINT8_MAX);
}

static uint8_t *make(fuzz_input *in, size_t *n_bytes)
{
    uint8_t how = input_u8(in);
    if ((how & RAW) != 0) {
        uint8_t *raw = check_malloc(in->n_bytes);
        if (in->n_bytes > 0)
            memcpy(raw, in->bytes, in->n_bytes);
        *n_bytes = in->n_bytes;
        if ((how & UNSEALED) == 0)
            maker_seal(raw, *n_bytes);
        return raw;
    }
    tkws_model_header header;
    maker_content content;
    maker_read_header(in, MAX_NEURONS, &header);
    maker_read_content(in, &content);
    uint8_t *image = maker_image(&header, &content, n_bytes);
    if ((how & CONTENT) != 0)
        change_content(in, image, *n_bytes);
    if ((how & CUT_SHORT) != 0) {
        size_t n_new = input_u16(in) % (*n_bytes + 8);
        n_new = n_new > 0 ? n_new : 1;
        image = resized(image, *n_bytes, n_new);
        *n_bytes = n_new;
    }
    change(in, image, *n_bytes);
    if ((how & UNSEALED) == 0)
        maker_seal(image, *n_bytes);
    return image;
}

static int parse(const uint8_t *image, size_t n_bytes)
{
    tkws_model before;
    tkws_model model;
    memset(&before, GARBAGE, sizeof before);
    memcpy(&model, &before, sizeof model);
    int error = tkws_model_parse(&model, image, n_bytes);
    CHECK(error == TKWS_OK || is_model_error(error));
    if (error != TKWS_OK)
        CHECK(memcmp(&model, &before, sizeof model) == 0);
    return error;
}

static void check_rows(const uint8_t *rows, size_t n, size_t n_bytes, uint32_t n_classes)
{
    for (size_t i = 0; i < n; i++)
        CHECK(rows[i * n_bytes] < n_classes);
}

/* What stands beside the header's fields is in range too. */
static void check_ranges(const tkws_model *model)
{
    const tkws_model_header *h = &model->header;
    for (size_t i = 0; i < h->n_neurons; i++)
        CHECK(tkws_bytes_get_i16(model->decay + 2 * i) >= 0);
    for (size_t i = 0; i < h->n_classes; i++)
        CHECK(tkws_bytes_get_i16(model->word_threshold + 2 * i) >= 0);
    const tkws_trace_form *form = &model->traces;
    CHECK(form->rank <= TKWS_MAX_RANK && form->floor_q15 >= 0);
    if (form->rank > 0)
        CHECK(form->along_q >= 7 && form->along_q <= 15);
    for (size_t i = 0; form->rank > 0 && i < h->n_neurons + form->rank; i++)
        CHECK(tkws_bytes_get_i16(form->mean + 2 * i) >= 0);
    check_rows(model->latent, h->n_latent, 1 + (size_t)h->n_neurons, h->n_classes);
    check_rows(model->sequences, h->n_sequences, 1 + (size_t)h->sequence_steps * h->n_inputs,
               h->n_classes);
}

static void hear(device *d)
{
    static const uint8_t silence[TKWS_APP_MAX_DATA + 8];
    CHECK(device_request(d, TKWS_APP_LISTEN, NULL, 0) == TKWS_OK);
    CHECK(device_request(d, TKWS_APP_DATA, silence, sizeof silence) == TKWS_OK);
    CHECK(device_request(d, TKWS_APP_END, NULL, 0) == TKWS_OK);
}

/* Hear some and learn some, by the line. A model without section trac cannot learn by keeping takes. */
static void use(device *d, fuzz_input *in)
{
    uint8_t body[TKWS_APP_MAX_DATA + 8] = {0};
    int8_t features[TKWS_APP_MAX_DATA];
    const tkws_model *model = &d->app->model;
    check_ranges(model);
    CHECK(device_request(d, TKWS_APP_INFO, NULL, 0) == TKWS_OK);
    hear(d);
    CHECK(device_request(d, TKWS_APP_LEARN, body, 4) == TKWS_OK);
    bool can_learn = (model->header.method & TKWS_LEARN_TAKES) == 0 || model->traces.rank > 0;
    body[0] = TKWS_APP_FEATURES;
    memset(body + 1, 0xff, 2);
    memset(body + 3, 0x7f, 2);
    size_t n_label = tkws_name_length(d->app->model.labels);
    memcpy(body + 5, d->app->model.labels, n_label);
    CHECK(device_request(d, TKWS_APP_TAKE, body, 5 + n_label) ==
          (can_learn ? TKWS_OK : TKWS_E_NO_TRACES));
    if (!can_learn)
        return;
    memset(body, 0, 8);
    maker_fill8(features, sizeof features, maker_read_pattern(in));
    memcpy(body + 8, features, sizeof features);
    CHECK(device_request(d, TKWS_APP_DATA, body, sizeof body) == TKWS_OK);
    CHECK(device_request(d, TKWS_APP_TAKE_END, NULL, 0) == TKWS_OK);
    CHECK(device_request(d, TKWS_APP_END, NULL, 0) == TKWS_OK);
    hear(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    fuzz_input in = {bytes, n_bytes};
    device d = {0};
    size_t n_image = 0;
    fuzz_input plain = {(const uint8_t *)"\0\x40", 2}; /* flash, a microphone, exact memory */
    uint8_t *image = make(&in, &n_image);
    int error = parse(image, n_image);
    machine_make(&d.machine, &plain, image, n_image);
    device_start(&d);
    CHECK(d.app->model_error == (n_image > 0 ? error : TKWS_E_NO_MODEL));
    if (error == TKWS_OK)
        use(&d, &in);
    else
        CHECK(device_request(&d, TKWS_APP_INFO, NULL, 0) == d.app->model_error);
    device_free(&d);
    free(image);
    return 0;
}
