/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/takes.h"

#include <stdbool.h>

#include "tracekws/own.h"
#include "tracekws/templates.h"

/* A word's row: how many takes, then their mean. */
static uint8_t *row_of(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    return weights->takes + word * tkws_model_take_bytes(model);
}

uint8_t tkws_takes_rate(uint32_t n_spikes, uint32_t n_steps)
{
    uint32_t rate = (n_spikes * 256 + n_steps / 2) / n_steps;
    return (uint8_t)(rate < UINT8_MAX ? rate : UINT8_MAX);
}

uint32_t tkws_takes_count(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    uint32_t n = model->traces.rank > 0 ? row_of(model, weights, word)[0] : 0;
    return n < TKWS_TAKES_COUNTED ? n : TKWS_TAKES_COUNTED;
}

const uint8_t *tkws_takes_mean(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    return row_of(model, weights, word) + 1;
}

/* The mean with another rate in it, as the n-th. A full mean is one of the last takes, of which each moves it by at
 * least one: rounding would hold it still. */
static uint8_t mean_with(uint8_t mean, uint32_t rate, uint32_t n, bool full)
{
    uint32_t with = (mean * (n - 1) + rate + n / 2) / n;
    if (full && with == mean && rate != mean)
        with = rate > mean ? with + 1 : with - 1;
    return (uint8_t)with;
}

/* The mean of how takes agree with those before them, with another one in it: the n-th take, n > 1. */
static void keep_agreement(const tkws_model *model, const tkws_weights *weights, size_t word,
                           const uint8_t *rates, int32_t n)
{
    int32_t before = tkws_own_agreement(model, weights, word);
    int32_t now = tkws_templates_agreement(model, rates, tkws_takes_mean(model, weights, word));
    tkws_own_set_agreement(model, weights, word, before + (now - before) / (n - 1));
}

void tkws_takes_add(const tkws_model *model, const tkws_weights *weights, size_t word,
                    const uint8_t *rates)
{
    uint8_t *row = row_of(model, weights, word);
    bool full = row[0] >= TKWS_TAKES_COUNTED;
    uint32_t n = full ? TKWS_TAKES_COUNTED : row[0] + 1u;
    if (word >= model->header.n_classes && n > 1)
        keep_agreement(model, weights, word, rates, (int32_t)n);
    for (size_t j = 0; j < model->header.n_neurons; j++)
        row[1 + j] = mean_with(row[1 + j], rates[j], n, full);
    row[0] = (uint8_t)n;
}
