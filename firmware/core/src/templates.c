/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/templates.h"

#include <string.h>

#include "arena.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"
#include "tracekws/fx.h"
#include "tracekws/own.h"
#include "tracekws/takes.h"

#define LENGTH_Q 4 /* of lengths of a window's trace, in spikes */
#define SQUARE_Q (2 * LENGTH_Q)
#define SCALE_Q 23
#define ROW_MAX 127
#define BLOCK 256
#define DUAL_BITS 22 /* of what a trace is multiplied with, Q15, its sign aside */

/* window_steps times n_neurons fits 16 bits (model.c): so do spikes in the window, and with one byte of a row or of a
 * direction each, and 8 fractional bits, sums of them fit int32. */

static size_t ring_row_bytes(const tkws_model *model)
{
    return (model->header.n_neurons + 7u) / 8u;
}

/* The ring is what a template is made in, too. */
static size_t ring_bytes(const tkws_model *model)
{
    size_t ring = model->header.window_steps * ring_row_bytes(model);
    size_t trace = model->header.n_neurons * sizeof(int32_t);
    return ring > trace ? ring : trace;
}

size_t tkws_templates_memory_bytes(const tkws_model *model)
{
    size_t n = model->header.n_neurons;
    size_t c = tkws_model_words(model);
    size_t rank = model->traces.rank;
    if (rank == 0)
        return 0;
    return c * sizeof(tkws_template) + 4 * c + 2 * 4 * rank + arena_size(ring_bytes(model)) +
           3 * arena_size(n) + arena_size(n * c);
}

bool tkws_templates_wanted(const tkws_model *model, const tkws_weights *weights)
{
    bool any = false;
    for (size_t c = 0; model->traces.rank > 0 && c < tkws_model_words(model); c++)
        any = any || tkws_takes_count(model, weights, c) > 0;
    return any;
}

static int16_t mean_of(const tkws_model *model, size_t j)
{
    return tkws_bytes_get_i16(model->traces.mean + 2 * j);
}

static int16_t shrink_of(const tkws_model *model, size_t i)
{
    return tkws_bytes_get_i16(model->traces.shrink + 2 * i);
}

static int8_t along_of(const tkws_model *model, size_t j, size_t i)
{
    return tkws_bytes_get_i8(model->traces.along + j * model->traces.rank + i);
}

/* What the mean of speech gives: its squared length, and its sums along the directions. */
static void measure_mean(tkws_templates *t)
{
    size_t n = t->model->header.n_neurons;
    int64_t norm = 0; /* Q30 */
    for (size_t j = 0; j < n; j++)
        norm += tkws_fx_mul(mean_of(t->model, j), mean_of(t->model, j));
    t->mean_norm = norm >> 14;
    for (size_t i = 0; i < t->model->traces.rank; i++) {
        int64_t sum = 0; /* Q15 */
        for (size_t j = 0; j < n; j++)
            sum += tkws_fx_mul(mean_of(t->model, j), along_of(t->model, j, i));
        t->mean_along[i] = (int32_t)tkws_fx_shr64(sum, 7);
    }
}

void tkws_templates_reset(tkws_templates *templates)
{
    const tkws_model *model = templates->model;
    memset(templates->dots, 0, 4 * (size_t)templates->n_words);
    memset(templates->along, 0, 4 * (size_t)model->traces.rank);
    memset(templates->ring, 0, model->header.window_steps * ring_row_bytes(model));
    memset(templates->count, 0, model->header.n_neurons);
    templates->mean_dot = 0;
    templates->squares = 0;
    templates->length = 0;
    templates->at = 0;
    templates->n_steps = 0;
    tkws_templates_drop(templates);
}

/* Add a spike of neuron j to the window's sums (by 1), or take it away (by -1). */
static void add_spike(tkws_templates *t, size_t j, int32_t by)
{
    const tkws_model *model = t->model;
    const uint8_t *along = model->traces.along + j * model->traces.rank;
    size_t n_words = t->n_words;
    const int8_t *row = t->rows + j * n_words;
    int32_t before = t->count[j];
    t->count[j] = (uint8_t)(before + by);
    if (n_words == 0)
        return;
    t->squares = tkws_fx_add(t->squares, 2 * before * by + 1);
    t->mean_dot = tkws_fx_add(t->mean_dot, by * mean_of(model, j));
    for (size_t i = 0; i < model->traces.rank; i++)
        t->along[i] = tkws_fx_add(t->along[i], by * tkws_bytes_get_i8(along + i));
    for (size_t k = 0; k < n_words; k++)
        t->dots[k] = tkws_fx_add(t->dots[k], by * row[k]);
}

/* dividend / divisor toward zero, but at most 2^bits - 1 in size. Bit by bit: a 64-bit division is a call. */
static int32_t quotient(int64_t dividend, uint32_t divisor, unsigned bits)
{
    uint64_t left = dividend < 0 ? (uint64_t)-dividend : (uint64_t)dividend;
    int32_t size = 0;
    while (bits > 0) {
        bits--;
        uint64_t part = (uint64_t)divisor << bits;
        if (left >= part) {
            left -= part;
            size += (int32_t)1 << bits;
        }
    }
    return dividend < 0 ? -size : size;
}

/* The square root, rounded down; 0 of what is negative. */
static uint32_t root(int64_t square)
{
    uint64_t left = square > 0 ? (uint64_t)square : 0;
    uint64_t result = 0;
    uint64_t bit = (uint64_t)1 << 62;
    while (bit > left)
        bit >>= 2;
    for (; bit != 0; bit >>= 2) {
        uint64_t with = result + bit;
        result >>= 1;
        if (left >= with) {
            left -= with;
            result += bit;
        }
    }
    return (uint32_t)result;
}

/* Length of the window's trace less the mean, times n_steps, Q LENGTH_Q. */
static uint32_t window_length(const tkws_templates *t)
{
    const tkws_trace_form *form = &t->model->traces;
    int64_t n = t->n_steps;
    int64_t square = (int64_t)t->squares * (1 << SQUARE_Q);
    square -= tkws_fx_shr64(n * t->mean_dot, 14 - SQUARE_Q);
    square += tkws_fx_shr64(n * n * t->mean_norm, 16 - SQUARE_Q);
    for (size_t i = 0; i < form->rank; i++) {
        int64_t y = (int64_t)t->along[i] * 256 - n * t->mean_along[i];
        y = tkws_fx_shr64(y, 8 + form->along_q - LENGTH_Q);
        square -= tkws_fx_shr64(y * y * shrink_of(t->model, i), 15);
    }
    return root(square);
}

void tkws_templates_step(tkws_templates *templates, const tkws_network *network)
{
    const tkws_model_header *h = &templates->model->header;
    size_t n_bytes = ring_row_bytes(templates->model);
    uint8_t *fired = templates->ring + templates->at * n_bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        uint32_t set = fired[i];
        for (size_t bit = 0; set >> bit != 0; bit++)
            if ((set >> bit & 1u) != 0)
                add_spike(templates, 8 * i + bit, -1);
        fired[i] = 0;
    }
    for (size_t k = 0; k < network->n_spikes; k++) {
        size_t j = network->spikes[k];
        fired[j / 8] = (uint8_t)(fired[j / 8] | 1u << j % 8);
        add_spike(templates, j, 1);
    }
    templates->at = (uint16_t)(templates->at + 1u == h->window_steps ? 0u : templates->at + 1u);
    if (templates->n_steps < h->window_steps)
        templates->n_steps++;
    if (templates->n_words > 0)
        templates->length = window_length(templates);
}

/* Product of the window's trace less the mean, times n_steps, with a word's template of length one, Q LENGTH_Q + 15. */
static int64_t window_product(const tkws_templates *t, size_t word)
{
    const tkws_template *w = t->words + word;
    int64_t dot = (int64_t)t->dots[word] * 256 - (int64_t)t->n_steps * w->offset;
    return tkws_fx_shr64(dot * w->scale, 8 + SCALE_Q - LENGTH_Q - 15);
}

/* product / length, Q15, within int16. */
static int32_t cosine(int64_t product, uint32_t length)
{
    return length > 0 ? quotient(product, length, 15) : 0;
}

int32_t tkws_templates_cosine(const tkws_templates *templates, size_t word)
{
    if (word >= templates->n_words)
        return 0;
    return cosine(window_product(templates, word), templates->length);
}

void tkws_templates_add(const tkws_templates *templates, int32_t *scores)
{
    const tkws_trace_form *form = &templates->model->traces;
    uint32_t length = templates->length;
    int64_t least = (int64_t)form->floor_q15 * length;
    size_t n = templates->n_words > 0 ? templates->model->header.n_classes : 0;
    for (size_t k = 0; k < n; k++) {
        int64_t product = window_product(templates, k);
        if (length == 0 || product <= least)
            continue;
        int32_t above = cosine(product, length) - form->floor_q15;
        scores[k] = tkws_fx_add(scores[k], tkws_fx_shr(tkws_fx_mul(above, form->weight_q10), 15));
    }
}

int tkws_templates_own(const tkws_templates *templates, int32_t raised_q15, int32_t *cosine_q15)
{
    const tkws_model *model = templates->model;
    int64_t best =
        0; /* what is at a right angle to a word is as little it as what is its opposite */
    int64_t next = 0;
    size_t word = templates->n_words;
    for (size_t k = 0; templates->has_own && k < templates->n_words; k++) {
        int64_t product = templates->words[k].scale > 0 ? window_product(templates, k) : 0;
        if (product > best) {
            next = best;
            best = product;
            word = k;
        } else if (product > next)
            next = product;
    }
    if (word < model->header.n_classes || word == templates->n_words ||
        templates->words[word].is_nothing || templates->length == 0)
        return -1;
    int64_t least = (int64_t)(templates->words[word].least + raised_q15) * templates->length;
    if (best - tkws_fx_shr64(next * model->own.rival_q15, 15) <= least)
        return -1;
    *cosine_q15 = cosine(best, templates->length);
    return (int)word;
}

bool tkws_templates_nothing(const tkws_templates *templates, size_t word)
{
    int64_t product = word < templates->n_words ? window_product(templates, word) : 0;
    int64_t least = (int64_t)TKWS_OWN_NOTHING * templates->length;
    least = product > least ? product : least;
    size_t n_words = templates->length > 0 ? templates->n_words : 0;
    for (size_t k = templates->model->header.n_classes; k < n_words; k++)
        if (templates->words[k].is_nothing && window_product(templates, k) > least)
            return true;
    return false;
}

void tkws_templates_keep(tkws_templates *templates, size_t heard)
{
    size_t n = templates->model->header.n_neurons;
    uint32_t n_steps = templates->n_steps > 0 ? templates->n_steps : 1;
    for (size_t j = 0; j < n; j++)
        templates->kept[heard][j] = tkws_takes_rate(templates->count[j], n_steps);
    templates->has[heard] = true;
}

const uint8_t *tkws_templates_kept(const tkws_templates *templates, size_t heard)
{
    return templates->has[heard] ? templates->kept[heard] : NULL;
}

int tkws_templates_correct(tkws_templates *templates, const tkws_weights *weights, const char *name,
                           size_t n_bytes)
{
    const tkws_model *model = templates->model;
    bool nothing = n_bytes == 0;
    const uint8_t *rates =
        tkws_templates_kept(templates, nothing ? TKWS_HEARD_EVENT : TKWS_HEARD_SOUND);
    if (rates == NULL)
        return TKWS_E_NO_SOUND;
    int word = nothing ? tkws_own_add_nothing(model, weights, rates)
                       : tkws_own_add(model, weights, name, n_bytes);
    if (word < 0)
        return word;
    tkws_takes_add(model, weights, (size_t)word, rates);
    tkws_templates_drop(templates);
    return word;
}

void tkws_templates_drop(tkws_templates *templates)
{
    templates->has[TKWS_HEARD_SOUND] = false;
    templates->has[TKWS_HEARD_EVENT] = false;
}

/* Sum of a trace along a direction, Q 15 + along_q. The trace is within one, so that BLOCK of its products fit int32:
 * sums of 64 bits take a small core several times as long. */
static int64_t sum_along(const tkws_model *model, const int32_t *trace, size_t i)
{
    size_t n = model->header.n_neurons;
    int64_t sum = 0;
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t end = n - first < BLOCK ? n : first + BLOCK;
        int32_t part = 0;
        for (size_t j = first; j < end; j++)
            part = tkws_fx_add(part, tkws_fx_mul(trace[j], along_of(model, j, i)));
        sum += part;
    }
    return sum;
}

/* The length of a trace less the mean, Q15, and what is taken away of it along each direction, Q15. The trace is
 * within one, and so are the directions, since along_q is at least 7: all sums fit. */
static uint32_t trace_length(const tkws_templates *t, const int32_t *trace,
                             int32_t taken[TKWS_MAX_RANK])
{
    const tkws_trace_form *form = &t->model->traces;
    size_t n = t->model->header.n_neurons;
    int64_t square = 0;
    for (size_t j = 0; j < n; j++)
        square += tkws_fx_mul(trace[j], trace[j]);
    for (size_t i = 0; i < form->rank; i++) {
        int64_t y = tkws_fx_shr64(sum_along(t->model, trace, i), form->along_q);
        int64_t part = tkws_fx_shr64(y * shrink_of(t->model, i), 15);
        square -= y * part;
        taken[i] = (int32_t)part;
    }
    return root(square);
}

/* Turn a trace of this length into what another one is multiplied with for their product, Q15.
 * @return the largest of it */
static int32_t make_dual(const tkws_templates *t, int32_t *trace, uint32_t length,
                         const int32_t taken[TKWS_MAX_RANK])
{
    const tkws_trace_form *form = &t->model->traces;
    int32_t largest = 1;
    for (size_t j = 0; j < t->model->header.n_neurons; j++) {
        int64_t value = trace[j];
        for (size_t i = 0; i < form->rank; i++)
            value -= tkws_fx_shr64((int64_t)taken[i] * along_of(t->model, j, i), form->along_q);
        trace[j] = quotient(value * (1 << 15), length, DUAL_BITS);
        int32_t size = trace[j] < 0 ? -trace[j] : trace[j];
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Make a word's template of the mean rates of its takes. Rates that are those of speech itself make none. */
static void make_template(const tkws_templates *t, size_t word, const uint8_t *rates)
{
    int32_t taken[TKWS_MAX_RANK];
    size_t n = t->model->header.n_neurons;
    int32_t *trace = (int32_t *)(void *)t->ring;
    for (size_t j = 0; j < n; j++)
        trace[j] = (int32_t)rates[j] * 128 - mean_of(t->model, j);
    uint32_t length = trace_length(t, trace, taken);
    if (length == 0)
        return;
    int32_t largest = make_dual(t, trace, length, taken);
    int64_t offset = 0;
    for (size_t j = 0; j < n; j++) {
        int32_t value = tkws_fx_mul(trace[j], ROW_MAX);
        int8_t number = (int8_t)((value + (value < 0 ? -largest : largest) / 2) / largest);
        t->rows[j * t->n_words + word] = number;
        offset += mean_of(t->model, j) * number;
    }
    t->words[word].offset = (int32_t)tkws_fx_shr64(offset, 7);
    t->words[word].scale =
        (((uint32_t)largest << (SCALE_Q - 15)) + ROW_MAX / 2) / (uint32_t)ROW_MAX;
}

/* What a word's cosine is to be above, Q15. */
static int32_t least_of(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    int32_t agreement = tkws_own_agreement(model, weights, word);
    if (tkws_takes_count(model, weights, word) == 1 && agreement == 0)
        agreement = model->own.single_q15;
    return model->own.least_q15 + tkws_fx_shr(tkws_fx_mul(agreement, model->own.agreement_q15), 15);
}

/* Whether takes of a word make a template: other speech has no one, and what has no name is no word. */
static bool has_template(const tkws_model *model, const tkws_weights *weights, size_t word)
{
    const tkws_model_header *h = &model->header;
    return tkws_takes_count(model, weights, word) > 0 && word != h->unknown_class &&
           word != h->silence_class &&
           (word < h->n_classes || tkws_own_name(model, weights, word) != NULL);
}

/* Words to compare with, up to the last one of the user's own that has takes: rows are no longer than that. */
static size_t words_used(const tkws_model *model, const tkws_weights *weights)
{
    size_t n = tkws_model_words(model);
    while (n > model->header.n_classes && !has_template(model, weights, n - 1))
        n--;
    return n > model->header.n_classes || tkws_templates_wanted(model, weights) ? n : 0;
}

int tkws_templates_init(tkws_templates *templates, const tkws_model *model,
                        const tkws_weights *weights, void *memory, size_t n_bytes)
{
    size_t n = model->header.n_neurons;
    size_t rank = model->traces.rank;
    uint8_t *arena = memory;
    if (rank == 0)
        return TKWS_E_NO_TRACES;
    if (!arena_fits(memory, n_bytes, tkws_templates_memory_bytes(model)))
        return TKWS_E_MEMORY;
    size_t c = words_used(model, weights);
    templates->model = model;
    templates->n_words = (uint16_t)c;
    templates->has_own = c > model->header.n_classes;
    templates->words = arena_take(&arena, c * sizeof(tkws_template));
    templates->dots = arena_take(&arena, 4 * c);
    templates->along = arena_take(&arena, 4 * rank);
    templates->mean_along = arena_take(&arena, 4 * rank);
    templates->ring = arena_take(&arena, ring_bytes(model));
    templates->count = arena_take(&arena, n);
    templates->kept[TKWS_HEARD_SOUND] = arena_take(&arena, n);
    templates->kept[TKWS_HEARD_EVENT] = arena_take(&arena, n);
    templates->rows = arena_take(&arena, n * c);
    memset(templates->words, 0, c * sizeof(tkws_template));
    memset(templates->rows, 0, n * c);
    measure_mean(templates);
    for (size_t k = 0; k < c; k++) {
        if (!has_template(model, weights, k))
            continue;
        make_template(templates, k, tkws_takes_mean(model, weights, k));
        if (k < model->header.n_classes)
            continue;
        templates->words[k].least = least_of(model, weights, k);
        templates->words[k].is_nothing = tkws_own_is_nothing(model, weights, k);
    }
    tkws_templates_reset(templates);
    return TKWS_OK;
}

/* Product of two traces less the mean, Q30; each within one. */
static int64_t trace_product(const tkws_model *model, const uint8_t *a, const uint8_t *b)
{
    size_t n = model->header.n_neurons;
    int64_t product = 0;
    for (size_t j = 0; j < n; j++)
        product += (int64_t)((int32_t)a[j] * 128 - mean_of(model, j)) *
                   ((int32_t)b[j] * 128 - mean_of(model, j));
    for (size_t i = 0; i < model->traces.rank; i++) {
        int64_t of_a = 0;
        int64_t of_b = 0;
        for (size_t j = 0; j < n; j++) {
            int8_t along = along_of(model, j, i);
            of_a += (int64_t)((int32_t)a[j] * 128 - mean_of(model, j)) * along;
            of_b += (int64_t)((int32_t)b[j] * 128 - mean_of(model, j)) * along;
        }
        of_a = tkws_fx_shr64(of_a, model->traces.along_q);
        of_b = tkws_fx_shr64(of_b, model->traces.along_q);
        product -= of_a * tkws_fx_shr64(of_b * shrink_of(model, i), 15);
    }
    return product;
}

int32_t tkws_templates_agreement(const tkws_model *model, const uint8_t *a, const uint8_t *b)
{
    if (model->traces.rank == 0)
        return 0;
    uint64_t lengths =
        (uint64_t)root(trace_product(model, a, a)) * root(trace_product(model, b, b));
    return cosine(trace_product(model, a, b), (uint32_t)(lengths >> 15));
}
