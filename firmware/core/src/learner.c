/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/learner.h"

#include <stdbool.h>
#include <string.h>

#include "arena.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"
#include "tracekws/frontend.h"
#include "tracekws/fx.h"
#include "tracekws/own.h"
#include "tracekws/softmax.h"
#include "tracekws/takes.h"

/* Weight changes carry 16 bits below the weight's own: the model's rates are in these units. */
#define CHANGE_FRACTION 16

size_t tkws_learner_memory_bytes(const tkws_model *model)
{
    size_t n = model->header.n_neurons;
    size_t c = model->header.n_classes;
    return 2 * arena_size(n * 2) + 2 * arena_size(c * n * 2);
}

int tkws_learner_init(tkws_learner *learner, tkws_network *network, void *memory, size_t n_bytes,
                      uint32_t seed)
{
    const tkws_model *model = network->model;
    size_t n = model->header.n_neurons;
    size_t c = model->header.n_classes;
    uint8_t *arena = memory;
    if (!arena_fits(memory, n_bytes, tkws_learner_memory_bytes(model)))
        return TKWS_E_MEMORY;
    memset(learner, 0, sizeof *learner);
    learner->network = network;
    learner->trace = arena_take(&arena, n * 2);
    learner->count = arena_take(&arena, n * 2);
    learner->bank_trace = arena_take(&arena, c * n * 2);
    learner->bank_membrane = arena_take(&arena, c * n * 2);
    tkws_rng_seed(&learner->rng, seed);
    return TKWS_OK;
}

/* weight - change, change in 2^-16 of the weight's last bit, rounded stochastically, saturating. */
static int16_t descend(int16_t weight, int32_t change, tkws_rng *rng)
{
    uint32_t noise = tkws_rng_next(rng) >> (32 - CHANGE_FRACTION);
    uint32_t fraction = (uint32_t)change & ((1u << CHANGE_FRACTION) - 1);
    int32_t carry = (int32_t)((fraction + noise) >> CHANGE_FRACTION);
    return tkws_fx_sat16(weight - tkws_fx_shr(change, CHANGE_FRACTION) - carry);
}

/* rate * factor, factor Q15. Saturates far above any useful change. */
static int32_t scaled(uint32_t rate, int32_t factor_q15)
{
    return tkws_fx_sat32(tkws_fx_shr64((int64_t)rate * factor_q15, 15));
}

static uint32_t scaled_rate(uint32_t rate, uint32_t scale_q15)
{
    return (uint32_t)(((uint64_t)rate * scale_q15) >> 15);
}

/* Leaky trace of spikes: beta trace + (1 - beta) spike, Q15. */
static int16_t leaky(int16_t trace, int16_t beta_q15, bool spike)
{
    int32_t gained = spike ? TKWS_Q15_ONE - beta_q15 : 0;
    return tkws_fx_sat16(tkws_fx_mul_q15(trace, beta_q15) + gained);
}

/* The target path: neurons of class c are driven by row c of S alone, without R and bias (eq. 12). */
static void step_bank(const tkws_learner *learner)
{
    const tkws_network *net = learner->network;
    const tkws_model_header *h = &net->model->header;
    int32_t threshold = (int32_t)h->threshold;
    int16_t beta_q15 = (int16_t)h->trace_decay_q15;
    for (size_t c = 0; c < h->n_classes; c++) {
        int16_t *membrane = learner->bank_membrane + c * h->n_neurons;
        int16_t *trace = learner->bank_trace + c * h->n_neurons;
        const uint8_t *target = net->model->target + 2 * c * h->n_neurons;
        for (size_t j = 0; j < h->n_neurons; j++) {
            int16_t u = tkws_fx_sat16(tkws_fx_mul_q15(net->decay[j], membrane[j]) +
                                      tkws_bytes_get_i16(target + 2 * j));
            bool spike = u > threshold;
            membrane[j] = tkws_fx_to16(spike ? u - threshold : u);
            trace[j] = leaky(trace[j], beta_q15, spike);
        }
    }
}

static void step_trace(const tkws_learner *learner)
{
    const tkws_network *net = learner->network;
    const tkws_model_header *h = &net->model->header;
    int16_t beta_q15 = (int16_t)h->trace_decay_q15;
    size_t next = 0;
    for (size_t j = 0; j < h->n_neurons; j++) {
        bool spike = next < net->n_spikes && net->spikes[next] == j;
        next += spike;
        learner->count[j] = (uint16_t)(learner->count[j] + spike);
        learner->trace[j] = leaky(learner->trace[j], beta_q15, spike);
    }
}

/* p - y of the class contrast, Q15. */
static void contrast_error(const tkws_learner *learner, int16_t *error_q15)
{
    const tkws_model_header *h = &learner->network->model->header;
    int32_t logits[TKWS_MAX_CLASSES];
    for (size_t c = 0; c < h->n_classes; c++) {
        const int16_t *bank = learner->bank_trace + c * h->n_neurons;
        int32_t dot_q15 = 0;
        for (size_t j = 0; j < h->n_neurons; j++)
            dot_q15 = tkws_fx_add(dot_q15, tkws_fx_mul_q15(learner->trace[j], bank[j]));
        /* gain is Q8, logits Q10 */
        logits[c] = tkws_fx_sat32(tkws_fx_shr64((int64_t)dot_q15 * h->contrast_gain_q8, 13));
    }
    tkws_softmax(logits, h->n_classes, error_q15);
    error_q15[learner->label] = tkws_fx_to16(error_q15[learner->label] - TKWS_Q15_ONE);
}

/* psi: triangle around the threshold, Q15. */
static int16_t surrogate(int16_t potential, const tkws_model_header *h)
{
    int32_t distance = potential - (int32_t)h->threshold;
    if (distance < 0)
        distance = -distance;
    if (distance >= (int32_t)1 << h->surrogate_q)
        return 0;
    return tkws_fx_to16(TKWS_Q15_ONE - tkws_fx_mul(distance, 1 << (15 - h->surrogate_q)));
}

/* Eq. 18, first term, of one step. */
static void descend_traces(tkws_learner *learner)
{
    tkws_network *net = learner->network;
    const tkws_model_header *h = &net->model->header;
    tkws_rng *rng = &learner->rng;
    size_t n = h->n_neurons;
    uint32_t rate_weights = scaled_rate(h->rate_weights, learner->scale_q15);
    uint32_t rate_recurrent = scaled_rate(h->rate_recurrent, learner->scale_q15);
    uint32_t rate_bias = scaled_rate(h->rate_bias, learner->scale_q15);
    int16_t error_q15[TKWS_MAX_CLASSES];
    contrast_error(learner, error_q15);
    for (size_t j = 0; j < n; j++) {
        int16_t psi_q15 = surrogate(net->potential[j], h);
        if (psi_q15 == 0)
            continue;
        int32_t signal = 0;
        for (size_t c = 0; c < h->n_classes; c++)
            signal =
                tkws_fx_add(signal, tkws_fx_mul_q15(error_q15[c], learner->bank_trace[c * n + j]));
        int32_t factor_q15 = tkws_fx_mul_q15(tkws_fx_sat16(signal), psi_q15);
        if (factor_q15 == 0)
            continue;
        int32_t change = scaled(rate_weights, factor_q15); /* for one unit of the input */
        int16_t *row = net->weights.weights + j * h->n_inputs;
        for (size_t i = 0; i < h->n_inputs; i++)
            if (net->inputs[i] != 0)
                row[i] = descend(row[i], tkws_fx_mul(change, net->inputs[i]), rng);
        change = scaled(rate_recurrent, factor_q15);
        for (size_t k = 0; k < net->n_previous; k++) {
            int16_t *weight = net->weights.recurrent + net->previous[k] * n + j;
            *weight = descend(*weight, change, rng);
        }
        net->weights.bias[j] = descend(net->weights.bias[j], scaled(rate_bias, factor_q15), rng);
    }
}

/* Mean rate of a neuron, Q15: of the take, or of a replay vector. */
static int32_t mean_rate(const tkws_learner *learner, const uint8_t *vector, size_t j)
{
    if (vector != NULL)
        return (int32_t)vector[j] << 7;
    return (int32_t)(((uint32_t)learner->count[j] << 15) / learner->n_steps);
}

/* The readout's delta rule on mean rates. */
static void descend_readout(tkws_learner *learner, const uint8_t *vector, size_t label)
{
    const tkws_weights *weights = &learner->network->weights;
    const tkws_model_header *h = &learner->network->model->header;
    size_t n_classes = h->n_classes;
    uint32_t rate_readout = scaled_rate(h->rate_readout, learner->scale_q15);
    uint32_t rate_bias = scaled_rate(h->rate_readout_bias, learner->scale_q15);
    int64_t sum[TKWS_MAX_CLASSES] = {0};
    int32_t logits[TKWS_MAX_CLASSES] = {0};
    int16_t error_q15[TKWS_MAX_CLASSES];
    for (size_t j = 0; j < h->n_neurons; j++) {
        int32_t rate_q15 = mean_rate(learner, vector, j);
        for (size_t c = 0; rate_q15 != 0 && c < n_classes; c++)
            sum[c] += tkws_fx_mul(rate_q15, weights->readout[j * n_classes + c]);
    }
    for (size_t c = 0; c < n_classes; c++)
        logits[c] = tkws_fx_add((int32_t)tkws_fx_shr64(sum[c], 15), weights->readout_bias[c]);
    tkws_softmax(logits, n_classes, error_q15);
    error_q15[label] = tkws_fx_to16(error_q15[label] - TKWS_Q15_ONE);
    for (size_t j = 0; j < h->n_neurons; j++) {
        int32_t rate_q15 = mean_rate(learner, vector, j);
        if (rate_q15 == 0)
            continue;
        uint32_t rate = scaled_rate(rate_readout, (uint32_t)rate_q15);
        int16_t *row = weights->readout + j * n_classes;
        for (size_t c = 0; c < n_classes; c++)
            row[c] = descend(row[c], scaled(rate, error_q15[c]), &learner->rng);
    }
    for (size_t c = 0; c < n_classes; c++)
        weights->readout_bias[c] =
            descend(weights->readout_bias[c], scaled(rate_bias, error_q15[c]), &learner->rng);
}

/* Make the take's mean rates part of the mean of its word's. */
static void keep_take(const tkws_learner *learner)
{
    const tkws_network *net = learner->network;
    const tkws_model_header *h = &net->model->header;
    uint8_t *rates = (uint8_t *)learner->trace; /* which the take is done with */
    for (size_t j = 0; j < h->n_neurons; j++)
        rates[j] = tkws_takes_rate(learner->count[j], learner->n_steps);
    tkws_takes_add(net->model, &net->weights, learner->label, rates);
    bool is_first = tkws_takes_count(net->model, &net->weights, learner->label) == 1;
    if (is_first && learner->label >= h->n_classes && learner->n_steps > 2 * h->window_steps)
        tkws_own_set_agreement(net->model, &net->weights, learner->label, TKWS_OWN_RENDERED);
}

/* Whether a method teaches a word: those of the user's own have no weights. */
static bool teaches(const tkws_model *model, uint32_t method, uint32_t label)
{
    return label < model->header.n_classes ||
           (label < tkws_model_words(model) &&
            (method | TKWS_LEARN_GUARDED) == (TKWS_LEARN_TAKES | TKWS_LEARN_GUARDED));
}

/* Whether a method is one that there is. */
static bool is_method(uint32_t method)
{
    return method <= TKWS_LEARN_ALL || method == (TKWS_LEARN_TAKES | TKWS_LEARN_GUARDED);
}

/* The largest score of all classes but one. */
static int32_t best_other(const tkws_model_header *h, const int32_t *scores, size_t but)
{
    int32_t best = INT32_MIN;
    for (size_t c = 0; c < h->n_classes; c++)
        if (c != but && scores[c] > best)
            best = scores[c];
    return best;
}

/* Whether a take is of something else than its word: other speech may be anything, silence is none. */
static bool is_unlike(const tkws_learner *learner)
{
    const tkws_model_header *h = &learner->network->model->header;
    int32_t scores[TKWS_MAX_CLASSES] = {0};
    size_t label = learner->label;
    if (label == h->unknown_class || label == h->silence_class)
        return false;
    tkws_network_scores(learner->network, scores);
    if (label < h->n_classes)
        return tkws_fx_sub(best_other(h, scores, label), scores[label]) > TKWS_LEARNER_GUARD;
    int32_t best = best_other(h, scores, h->silence_class);
    return tkws_fx_sub(scores[h->silence_class], best) > TKWS_LEARNER_GUARD;
}

static void start_take(tkws_learner *learner, uint32_t label)
{
    const tkws_model_header *h = &learner->network->model->header;
    size_t n = h->n_neurons;
    tkws_network_reset(learner->network);
    memset(learner->trace, 0, n * sizeof *learner->trace);
    memset(learner->count, 0, n * sizeof *learner->count);
    memset(learner->bank_trace, 0, h->n_classes * n * sizeof *learner->bank_trace);
    memset(learner->bank_membrane, 0, h->n_classes * n * sizeof *learner->bank_membrane);
    learner->n_steps = 0;
    learner->label = (uint16_t)label;
}

static void step_take(tkws_learner *learner, const int8_t *features)
{
    tkws_network_step(learner->network, features);
    step_trace(learner);
    if ((learner->method & TKWS_LEARN_TRACES) != 0) {
        step_bank(learner);
        descend_traces(learner);
    }
    learner->n_steps++;
}

static void replay_latent(tkws_learner *learner)
{
    const tkws_model *model = learner->network->model;
    size_t stride = 1 + (size_t)model->header.n_neurons;
    for (uint32_t i = 0; i < model->header.latent_per_take && model->header.n_latent > 0; i++) {
        const uint8_t *vector =
            model->latent + tkws_rng_below(&learner->rng, model->header.n_latent) * stride;
        descend_readout(learner, vector + 1, vector[0]);
    }
}

static void replay_sequences(tkws_learner *learner)
{
    const tkws_model *model = learner->network->model;
    const tkws_model_header *h = &model->header;
    int8_t features[TKWS_FEATURES] = {0};
    size_t stride = 1 + (size_t)h->sequence_steps * h->n_inputs;
    for (uint32_t i = 0; i < h->sequences_per_take && h->n_sequences > 0; i++) {
        const uint8_t *sequence =
            model->sequences + tkws_rng_below(&learner->rng, h->n_sequences) * stride;
        start_take(learner, sequence[0]);
        for (size_t t = 0; t < h->sequence_steps; t++) {
            for (size_t k = 0; k < h->n_inputs; k++)
                features[k] = tkws_bytes_get_i8(sequence + 1 + t * h->n_inputs + k);
            step_take(learner, features);
        }
        if ((learner->method & TKWS_LEARN_READOUT) != 0)
            descend_readout(learner, NULL, learner->label);
    }
}

int tkws_learner_begin(tkws_learner *learner, uint32_t method, uint32_t label, uint32_t scale_q15)
{
    if (learner->open != 0)
        return TKWS_E_STATE;
    if (!is_method(method) || !teaches(learner->network->model, method, label) ||
        scale_q15 > TKWS_Q15_ONE)
        return TKWS_E_ARGUMENT;
    if ((method & TKWS_LEARN_TAKES) != 0 && learner->network->model->traces.rank == 0)
        return TKWS_E_NO_TRACES;
    learner->method = (uint16_t)method;
    learner->scale_q15 = (uint16_t)scale_q15;
    learner->open = 1;
    start_take(learner, label);
    return TKWS_OK;
}

int tkws_learner_step(tkws_learner *learner, const int8_t *features)
{
    if (learner->open == 0)
        return TKWS_E_STATE;
    if (learner->n_steps >= UINT16_MAX)
        return TKWS_E_ARGUMENT;
    step_take(learner, features);
    return TKWS_OK;
}

int tkws_learner_end(tkws_learner *learner)
{
    if (learner->open == 0)
        return TKWS_E_STATE;
    if (learner->n_steps == 0) {
        tkws_learner_abort(learner);
        return TKWS_E_TOO_SHORT;
    }
    if ((learner->method & TKWS_LEARN_GUARDED) != 0 && is_unlike(learner)) {
        tkws_learner_abort(learner);
        return TKWS_E_UNLIKE;
    }
    if ((learner->method & TKWS_LEARN_TAKES) != 0)
        keep_take(learner);
    if ((learner->method & TKWS_LEARN_READOUT) != 0)
        descend_readout(learner, NULL, learner->label);
    if ((learner->method & TKWS_LEARN_LATENT) != 0)
        replay_latent(learner);
    if ((learner->method & TKWS_LEARN_SEQUENCES) != 0)
        replay_sequences(learner);
    tkws_learner_abort(learner);
    return TKWS_OK;
}

void tkws_learner_abort(tkws_learner *learner)
{
    learner->open = 0;
    learner->n_steps = 0;
    tkws_network_reset(learner->network);
}
