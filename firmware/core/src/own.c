/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/own.h"

#include <string.h>

#include "tracekws/bytes.h"
#include "tracekws/errors.h"
#include "tracekws/takes.h"
#include "tracekws/templates.h"

_Static_assert(TKWS_OWN_BYTES == TKWS_NAME_BYTES + 2, "a name and a number");

/* What is kept of a word behind all rows. */
static uint8_t *entry_of(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    size_t rows = tkws_model_words(model) * tkws_model_take_bytes(model);
    return weights->takes + rows + (word - model->header.n_classes) * TKWS_OWN_BYTES;
}

/* Bytes of its name; 0: there is no such word. */
static size_t length_of(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    return tkws_name_length(entry_of(model, weights, word));
}

const uint8_t *tkws_own_name(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    return length_of(model, weights, word) > 0 ? entry_of(model, weights, word) : NULL;
}

static bool is_named(const tkws_model *model, const tkws_weights *weights, size_t word,
                     const void *name, size_t n_bytes)
{
    return length_of(model, weights, word) == n_bytes &&
           memcmp(entry_of(model, weights, word), name, n_bytes) == 0;
}

int tkws_own_find(const tkws_model *model, const tkws_weights *weights, const char *name,
                  size_t n_bytes)
{
    int found = tkws_model_class(model, name, n_bytes);
    for (size_t w = model->header.n_classes; found < 0 && w < tkws_model_words(model); w++)
        if (n_bytes > 0 && is_named(model, weights, w, name, n_bytes))
            found = (int)w;
    return found;
}

static void clear(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    size_t n_row = tkws_model_take_bytes(model);
    if (n_row > 0)
        memset(weights->takes + word * n_row, 0, n_row);
    if (word >= model->header.n_classes)
        memset(entry_of(model, weights, word), 0, TKWS_OWN_BYTES);
}

/* Take the first row that no word has. @return its number, or TKWS_E_NO_ROOM */
static int take_row(const tkws_model *model, const tkws_weights *weights, const void *name,
                    size_t n_bytes)
{
    for (size_t w = model->header.n_classes; w < tkws_model_words(model); w++) {
        if (length_of(model, weights, w) > 0)
            continue;
        clear(model, weights, w);
        memcpy(entry_of(model, weights, w), name, n_bytes);
        return (int)w;
    }
    return TKWS_E_NO_ROOM;
}

int tkws_own_add(const tkws_model *model, const tkws_weights *weights, const char *name,
                 size_t n_bytes)
{
    if (!tkws_name_valid((const uint8_t *)name, n_bytes))
        return TKWS_E_NAME;
    int found = tkws_own_find(model, weights, name, n_bytes);
    if (found == (int)model->header.unknown_class || found == (int)model->header.silence_class)
        return TKWS_E_LABEL;
    return found < 0 ? take_row(model, weights, name, n_bytes) : found;
}

/* The name of the class of unknown words. */
static const uint8_t *nothing(const tkws_model *model)
{
    return model->labels + (size_t)model->header.unknown_class * TKWS_NAME_BYTES;
}

bool tkws_own_is_nothing(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    const uint8_t *name = nothing(model);
    return is_named(model, weights, word, name, tkws_name_length(name));
}

int tkws_own_add_nothing(const tkws_model *model, const tkws_weights *weights, const uint8_t *rates)
{
    const uint8_t *name = nothing(model);
    int likest = TKWS_E_NO_ROOM;
    int32_t cosine_q15 = INT32_MIN;
    for (size_t w = model->header.n_classes; w < tkws_model_words(model); w++) {
        if (!tkws_own_is_nothing(model, weights, w))
            continue;
        int32_t like = tkws_templates_agreement(model, rates, tkws_takes_mean(model, weights, w));
        if (like > cosine_q15) {
            cosine_q15 = like;
            likest = (int)w;
        }
    }
    if (cosine_q15 > TKWS_OWN_NOTHING)
        return likest;
    int row = take_row(model, weights, name, tkws_name_length(name));
    return row < 0 ? likest : row;
}

void tkws_own_forget(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    clear(model, weights, word);
    for (size_t w = model->header.n_classes;
         word == model->header.unknown_class && w < tkws_model_words(model); w++)
        if (tkws_own_is_nothing(model, weights, w))
            clear(model, weights, w);
}

int32_t tkws_own_agreement(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    return tkws_bytes_get_i16(entry_of(model, weights, word) + TKWS_NAME_BYTES);
}

void tkws_own_set_agreement(const tkws_model *model, const tkws_weights *weights, size_t word,
                            int32_t agreement_q15)
{
    tkws_bytes_put_u16(entry_of(model, weights, word) + TKWS_NAME_BYTES, (uint32_t)agreement_q15);
}
