/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/network.h"

#include <string.h>

#include "arena.h"
#include "dsp.h"
#include "tracekws/bytes.h"
#include "tracekws/convolution.h"
#include "tracekws/errors.h"
#include "tracekws/frontend.h"
#include "tracekws/fx.h"

#define FILTERS 4 /* that run at once, with their sums in registers */

_Static_assert(TKWS_FEATURES % FILTERS == 0, "filters run in full groups");

size_t tkws_network_memory_bytes(const tkws_model *model)
{
    size_t n = model->header.n_neurons;
    size_t c = model->header.n_classes;
    size_t i = model->header.n_inputs;
    return arena_size(tkws_convolution_numbers(&model->convolution) * 2) +
           arena_size(model->header.n_taps * i) + arena_size(i * 2) + 5 * arena_size(n * 2) +
           arena_size(n * 4) + arena_size(model->header.window_steps * c * 4) + arena_size(c * 4);
}

int tkws_network_init(tkws_network *network, const tkws_model *model, const tkws_weights *weights,
                      void *memory, size_t n_bytes)
{
    if (!arena_fits(memory, n_bytes, tkws_network_memory_bytes(model)))
        return TKWS_E_MEMORY;
    size_t n = model->header.n_neurons;
    size_t c = model->header.n_classes;
    uint8_t *arena = memory;
    network->model = model;
    network->weights = *weights;
    network->frames = arena_take(&arena, tkws_convolution_numbers(&model->convolution) * 2);
    network->features = arena_take(&arena, (size_t)model->header.n_taps * model->header.n_inputs);
    network->inputs = arena_take(&arena, (size_t)model->header.n_inputs * 2);
    network->membrane = arena_take(&arena, n * 2);
    network->potential = arena_take(&arena, n * 2);
    network->decay = arena_take(&arena, n * 2);
    network->spikes = arena_take(&arena, n * 2);
    network->previous = arena_take(&arena, n * 2);
    network->current = arena_take(&arena, n * 4);
    network->history = arena_take(&arena, model->header.window_steps * c * 4);
    network->total = arena_take(&arena, c * 4);
    for (size_t j = 0; j < n; j++)
        network->decay[j] = tkws_bytes_get_i16(model->decay + 2 * j);
    tkws_network_reset(network);
    return TKWS_OK;
}

void tkws_network_reset(tkws_network *network)
{
    const tkws_model_header *h = &network->model->header;
    memset(network->frames, 0,
           tkws_convolution_numbers(&network->model->convolution) * sizeof *network->frames);
    memset(network->features, 0, (size_t)h->n_taps * h->n_inputs);
    memset(network->inputs, 0, h->n_inputs * sizeof *network->inputs);
    memset(network->membrane, 0, h->n_neurons * sizeof *network->membrane);
    memset(network->potential, 0, h->n_neurons * sizeof *network->potential);
    memset(network->current, 0, h->n_neurons * sizeof *network->current);
    memset(network->history, 0, h->window_steps * h->n_classes * sizeof *network->history);
    memset(network->total, 0, h->n_classes * sizeof *network->total);
    network->n_spikes = 0;
    network->n_previous = 0;
    network->newest = 0;
    network->at = 0;
    network->n_steps = 0;
}

/* Add the rows of R that last step's spikes select to zero, which integrate_and_fire() leaves. */
static void recurrent_current(const tkws_network *net)
{
    size_t n = net->model->header.n_neurons;
    int32_t *current = net->current;
    size_t k = 0;
    for (; k + 2 <= net->n_previous; k += 2)
        dsp_add_two(current, net->weights.recurrent + net->previous[k] * n,
                    net->weights.recurrent + net->previous[k + 1] * n, n);
    if (k < net->n_previous) {
        const int16_t *row = net->weights.recurrent + net->previous[k] * n;
        for (size_t j = 0; j < n; j++)
            current[j] = tkws_fx_add(current[j], row[j]);
    }
}

/* Add FILTERS filters over rows of features and as many rows of taps. */
static inline void filter_rows(const uint8_t *taps, const int8_t *features, size_t n_rows,
                               int32_t sums[FILTERS])
{
    for (size_t at = 0; at < n_rows * TKWS_FEATURES; at += TKWS_FEATURES)
        for (size_t i = 0; i < FILTERS; i++)
            sums[i] = tkws_fx_add(sums[i], tkws_bytes_get_i8(taps + at + i) * features[at + i]);
}

/* What the taps hear of a step, in its place in the ring. */
static void take_in(tkws_network *net, const int8_t *features, int8_t *row)
{
    const tkws_convolution_form *form = &net->model->convolution;
    if (form->n_kernels > 0)
        tkws_convolution_step(form, net->frames, features, row);
    else
        dsp_copy_bytes(row, features, TKWS_FEATURES);
}

/* Inputs from what was heard in the last steps; 16 * 2^7 * 2^7 fits int32 with room to spare. */
static void filter(tkws_network *net, const int8_t *features)
{
    const uint8_t *taps = net->model->taps;
    size_t n_taps = net->model->header.n_taps;
    size_t newest = net->newest > 0 ? net->newest - 1u : n_taps - 1;
    size_t n_recent = n_taps - newest; /* the others lie before them in the ring */
    int8_t *row = net->features + newest * TKWS_FEATURES;
    net->newest = (uint16_t)newest;
    take_in(net, features, row);
    for (size_t first = 0; first < TKWS_FEATURES; first += FILTERS) {
        int32_t sums[FILTERS] = {0};
        filter_rows(taps + first, row + first, n_recent, sums);
        filter_rows(taps + n_recent * TKWS_FEATURES + first, net->features + first, newest, sums);
        for (size_t i = 0; i < FILTERS; i++)
            net->inputs[first + i] = tkws_fx_sat8(tkws_fx_shr_round(sums[i], TKWS_TAP_Q));
    }
}

/* What is added before a shift, so that it rounds to the nearest. */
static int32_t half_of(unsigned shift)
{
    return shift > 0 ? (int32_t)1 << (shift - 1) : 0;
}

/* Sums fit int32 with room to spare: of weighted inputs they are below 80 * 2^15 * 2^7 < 2^29, of
 * recurrent weights below 2^10 * 2^15, and half of a shift of at most 15 bits is nothing beside that. */
static void integrate_and_fire(tkws_network *net)
{
    const tkws_model_header *h = &net->model->header;
    unsigned weight_shift = h->weight_q + TKWS_FEATURE_Q - h->membrane_q;
    unsigned recurrent_shift = h->recurrent_q - h->membrane_q;
    int32_t weight_half = half_of(weight_shift);
    int32_t recurrent_half = half_of(recurrent_shift);
    int32_t threshold = (int32_t)h->threshold;
    size_t n = h->n_neurons;
    size_t n_spikes = 0;
    for (size_t first = 0; first < n; first += 2) {
        const int16_t *row = net->weights.weights + first * TKWS_FEATURES;
        size_t end = first + 2 <= n ? first + 2 : n;
        int32_t inputs[2] = {0, 0};
        if (end == first + 2)
            dsp_dot_rows(row, net->inputs, TKWS_FEATURES, inputs);
        else
            inputs[0] = dsp_dot(row, net->inputs, TKWS_FEATURES);
        for (size_t j = first; j < end; j++) {
            int32_t u = tkws_fx_mul_q15(net->decay[j], net->membrane[j]) + net->weights.bias[j];
            u = tkws_fx_add(u,
                            tkws_fx_shr(tkws_fx_add(inputs[j - first], weight_half), weight_shift));
            u = tkws_fx_add(
                u, tkws_fx_shr(tkws_fx_add(net->current[j], recurrent_half), recurrent_shift));
            net->current[j] = 0;
            int16_t potential = tkws_fx_sat16(u);
            net->potential[j] = potential;
            if (potential > threshold) {
                net->spikes[n_spikes++] = (uint16_t)j;
                potential = tkws_fx_to16(potential - threshold);
            }
            net->membrane[j] = potential;
        }
    }
    net->n_spikes = (uint16_t)n_spikes;
}

/* Replace the oldest step of the window by the readout of this one. */
static void read_out(tkws_network *net)
{
    const tkws_model_header *h = &net->model->header;
    size_t n_classes = h->n_classes;
    int32_t *slot = net->history + net->at * n_classes;
    for (size_t c = 0; c < n_classes; c++) {
        net->total[c] = tkws_fx_sub(net->total[c], slot[c]);
        slot[c] = 0;
    }
    for (size_t k = 0; k < net->n_spikes; k++) {
        const int16_t *row = net->weights.readout + net->spikes[k] * n_classes;
        for (size_t c = 0; c < n_classes; c++)
            slot[c] = tkws_fx_add(slot[c], row[c]);
    }
    for (size_t c = 0; c < n_classes; c++)
        net->total[c] = tkws_fx_add(net->total[c], slot[c]);
    net->at = (uint16_t)(net->at + 1u == h->window_steps ? 0u : net->at + 1u);
    if (net->n_steps < h->window_steps)
        net->n_steps++;
}

void tkws_network_step(tkws_network *network, const int8_t *features)
{
    uint16_t *spikes = network->previous;
    network->previous = network->spikes;
    network->n_previous = network->n_spikes;
    network->spikes = spikes;
    filter(network, features);
    recurrent_current(network);
    integrate_and_fire(network);
    read_out(network);
}

void tkws_network_scores(const tkws_network *network, int32_t *scores)
{
    int32_t n = network->n_steps > 0 ? network->n_steps : 1;
    for (size_t c = 0; c < network->model->header.n_classes; c++)
        scores[c] = tkws_fx_add(network->total[c] / n, network->weights.readout_bias[c]);
}
