/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/own.h"

#include <string.h>

#include "tracekws/bytes.h"
#include "tracekws/errors.h"

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

int tkws_own_find(const tkws_model *model, const tkws_weights *weights, const char *name,
                  size_t n_bytes)
{
    int found = tkws_model_class(model, name, n_bytes);
    for (size_t w = model->header.n_classes; found < 0 && w < tkws_model_words(model); w++)
        if (n_bytes > 0 && length_of(model, weights, w) == n_bytes &&
            memcmp(entry_of(model, weights, w), name, n_bytes) == 0)
            found = (int)w;
    return found;
}

int tkws_own_add(const tkws_model *model, const tkws_weights *weights, const char *name,
                 size_t n_bytes)
{
    if (!tkws_name_valid((const uint8_t *)name, n_bytes))
        return TKWS_E_NAME;
    int found = tkws_own_find(model, weights, name, n_bytes);
    if (found == (int)model->header.unknown_class || found == (int)model->header.silence_class)
        return TKWS_E_LABEL;
    for (size_t w = model->header.n_classes; found < 0 && w < tkws_model_words(model); w++) {
        if (length_of(model, weights, w) > 0)
            continue;
        tkws_own_forget(model, weights, w);
        memcpy(entry_of(model, weights, w), name, n_bytes);
        found = (int)w;
    }
    return found < 0 ? TKWS_E_NO_ROOM : found;
}

void tkws_own_forget(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    size_t n_row = tkws_model_take_bytes(model);
    if (n_row > 0)
        memset(weights->takes + word * n_row, 0, n_row);
    if (word >= model->header.n_classes)
        memset(entry_of(model, weights, word), 0, TKWS_OWN_BYTES);
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
