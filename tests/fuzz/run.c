/* SPDX-License-Identifier: Apache-2.0 */
/* Recognizer and learner with any model that the parser accepts, any weights, any sound and features. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "maker.h"
#include "target.h"
#include "tracekws/errors.h"
#include "tracekws/learner.h"
#include "tracekws/own.h"
#include "tracekws/recognizer.h"
#include "tracekws/takes.h"

#define FEW_NEURONS 10
#define MANY_NEURONS 80
#define MAX_STEPS 24
#define MAX_SAMPLES 4096
#define MAX_EVENTS 16
#define GARBAGE 0xa5
#define KEEPS_TAKE 64u

/* A recognizer, and another that gets the same sound in other pieces. */
typedef struct {
    tkws_model model;
    uint8_t *image;
    tkws_weights weights;
    tkws_recognizer recognizer;
    tkws_recognizer other;
    tkws_learner learner;
    tkws_templates templates[2]; /* of the one and the other, where there are takes */
    void *memory[5];
} runner;

typedef struct {
    tkws_event event[MAX_EVENTS];
    size_t n;
} events;

static int16_t *matrix(size_t n)
{
    return check_malloc(n * sizeof(int16_t));
}

static void allocate_weights(runner *r)
{
    tkws_weight_counts n = tkws_model_weight_counts(&r->model);
    r->weights.weights = matrix(n.weights);
    r->weights.recurrent = matrix(n.recurrent);
    r->weights.bias = matrix(n.bias);
    r->weights.readout = matrix(n.readout);
    r->weights.readout_bias = matrix(n.readout_bias);
    r->weights.takes = check_malloc(tkws_model_takes_bytes(&r->model));
    tkws_weights_load(&r->model, &r->weights);
}

/* Weights as they could be restored from a slot: any. */
static void change_weights(runner *r, fuzz_input *in)
{
    tkws_weight_counts n = tkws_model_weight_counts(&r->model);
    maker_fill16(r->weights.weights, n.weights, maker_read_pattern(in));
    maker_fill16(r->weights.recurrent, n.recurrent, maker_read_pattern(in));
    maker_fill16(r->weights.bias, n.bias, maker_read_pattern(in));
    maker_fill16(r->weights.readout, n.readout, maker_read_pattern(in));
    maker_fill16(r->weights.readout_bias, n.readout_bias, maker_read_pattern(in));
    if (r->model.traces.rank > 0)
        maker_fill8((int8_t *)r->weights.takes, tkws_model_takes_bytes(&r->model),
                    maker_read_pattern(in));
}

/* Both compare what they hear with the takes that there are, from rest. */
static void use_takes(runner *r)
{
    tkws_recognizer *const ears[] = {&r->recognizer, &r->other};
    size_t n = tkws_templates_memory_bytes(&r->model);
    for (size_t i = 0; i < 2; i++) {
        tkws_templates *templates = &r->templates[i];
        void *memory = r->memory[3 + i];
        if (n > 0)
            CHECK(tkws_templates_init(templates, &r->model, &r->weights, memory, n - 1) ==
                  TKWS_E_MEMORY);
        CHECK(tkws_templates_init(templates, &r->model, &r->weights, memory, n) ==
              (n > 0 ? TKWS_OK : TKWS_E_NO_TRACES));
        tkws_recognizer_set_templates(ears[i], n > 0 ? templates : NULL);
    }
}

static void *garbage(size_t n_bytes)
{
    void *memory = check_malloc(n_bytes);
    memset(memory, GARBAGE, n_bytes);
    return memory;
}

static void start(runner *r, fuzz_input *in)
{
    uint8_t choice = input_u8(in);
    tkws_model_header header;
    maker_content content;
    size_t n_image = 0;
    memset(r, 0, sizeof *r);
    maker_read_header(in, choice == UINT8_MAX ? MANY_NEURONS : FEW_NEURONS, &header);
    maker_read_content(in, &content);
    r->image = maker_image(&header, &content, &n_image);
    CHECK(tkws_model_parse(&r->model, r->image, n_image) == TKWS_OK);
    allocate_weights(r);
    if ((choice & 1u) != 0)
        change_weights(r, in);
    size_t n = tkws_network_memory_bytes(&r->model);
    size_t n_learner = tkws_learner_memory_bytes(&r->model);
    r->memory[0] = garbage(n);
    r->memory[1] = garbage(n);
    r->memory[2] = garbage(n_learner);
    r->memory[3] = garbage(tkws_templates_memory_bytes(&r->model));
    r->memory[4] = garbage(tkws_templates_memory_bytes(&r->model));
    CHECK(tkws_recognizer_init(&r->recognizer, &r->model, &r->weights, r->memory[0], n - 1) ==
          TKWS_E_MEMORY);
    CHECK(tkws_recognizer_init(&r->recognizer, &r->model, &r->weights, r->memory[0], n) == TKWS_OK);
    CHECK(tkws_recognizer_init(&r->other, &r->model, &r->weights, r->memory[1], n) == TKWS_OK);
    CHECK(tkws_learner_init(&r->learner, &r->recognizer.network, r->memory[2], n_learner,
                            input_u16(in)) == TKWS_OK);
    use_takes(r);
}

static void stop(runner *r)
{
    free(r->weights.weights);
    free(r->weights.recurrent);
    free(r->weights.bias);
    free(r->weights.readout);
    free(r->weights.readout_bias);
    free(r->weights.takes);
    for (size_t i = 0; i < sizeof r->memory / sizeof r->memory[0]; i++)
        free(r->memory[i]);
    free(r->image);
}

static void check_event(const tkws_recognizer *recognizer, const tkws_event *event)
{
    const tkws_model *model = recognizer->network.model;
    const tkws_model_header *h = &model->header;
    CHECK(event->word < tkws_model_words(model) && event->word != h->unknown_class);
    CHECK(recognizer->templates == NULL ||
          !tkws_templates_nothing(recognizer->templates, event->word));
    CHECK(event->word != h->silence_class && event->score_q15 >= 0);
    CHECK(event->first_sample < event->end_sample);
}

/* Push a piece of sound; what was heard goes behind what was heard before. */
static void push(tkws_recognizer *recognizer, const int16_t *pcm, size_t n, events *heard)
{
    tkws_event event;
    while (n > 0) {
        size_t n_used = 0;
        int result = tkws_recognizer_push(recognizer, pcm, n, &n_used, &event);
        CHECK(n_used > 0 && n_used <= n && (result == 1 || (result == 0 && n_used == n)));
        if (result == 1) {
            check_event(recognizer, &event);
            if (heard->n < MAX_EVENTS)
                heard->event[heard->n++] = event;
        }
        pcm += n_used;
        n -= n_used;
    }
}

static void check_same(const events *a, const events *b)
{
    CHECK(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        CHECK(a->event[i].word == b->event[i].word);
        CHECK(a->event[i].score_q15 == b->event[i].score_q15);
        CHECK(a->event[i].first_sample == b->event[i].first_sample);
        CHECK(a->event[i].end_sample == b->event[i].end_sample);
    }
}

/* Both have heard the same: all that they keep of it is the same. */
static void check_same_state(const tkws_recognizer *a, const tkws_recognizer *b)
{
    const tkws_frontend *f = &a->frontend;
    const tkws_frontend *g = &b->frontend;
    CHECK(f->n_filled == g->n_filled && f->n_stacked == g->n_stacked);
    CHECK(memcmp(f->window, g->window, f->n_filled * sizeof f->window[0]) == 0);
    CHECK(memcmp(f->mean, g->mean, sizeof f->mean) == 0);
    CHECK(memcmp(f->features, g->features, f->n_stacked * (size_t)TKWS_CHANNELS) == 0);
    CHECK(memcmp(a->detector.posterior_q15, b->detector.posterior_q15,
                 sizeof a->detector.posterior_q15) == 0);
    CHECK(f->energy == g->energy && f->loudness == g->loudness);
    CHECK(a->detector.segmenter.floor == b->detector.segmenter.floor);
    CHECK(a->detector.segmenter.run == b->detector.segmenter.run);
}

/* The totals are what the steps of the window add up to. */
static void check_window(const tkws_network *network)
{
    const tkws_model_header *h = &network->model->header;
    for (size_t c = 0; c < h->n_classes; c++) {
        int64_t sum = 0;
        for (size_t step = 0; step < h->window_steps; step++)
            sum += network->history[step * h->n_classes + c];
        CHECK(sum == network->total[c]);
    }
}

/* The sums are those of the spikes in the ring; no score is lowered, and none of a word without takes changes. */
static void check_templates(const tkws_recognizer *recognizer, const tkws_weights *weights)
{
    const tkws_templates *t = recognizer->templates;
    const tkws_model *model = recognizer->network.model;
    const tkws_model_header *h = &model->header;
    int32_t added[TKWS_MAX_CLASSES] = {0};
    int64_t dots[TKWS_MAX_CLASSES] = {0};
    int64_t squares = 0;
    tkws_templates_add(t, added);
    for (size_t j = 0; j < h->n_neurons; j++) {
        uint32_t count = 0;
        for (size_t step = 0; step < h->window_steps; step++)
            count += (uint32_t)t->ring[step * ((h->n_neurons + 7u) / 8u) + j / 8] >> j % 8 & 1u;
        CHECK(count == t->count[j]);
        squares += (int64_t)count * count;
        for (size_t c = 0; t->n_words > 0 && c < h->n_classes; c++)
            dots[c] += (int64_t)count * t->rows[j * t->n_words + c];
    }
    CHECK(t->n_steps <= recognizer->network.n_steps);
    CHECK(t->n_words == 0 || squares == t->squares);
    for (size_t c = 0; t->n_words > 0 && c < h->n_classes; c++) {
        int32_t cosine = tkws_templates_cosine(t, c);
        bool may_count = weights->takes[c * tkws_model_take_bytes(model)] > 0 &&
                         c != h->unknown_class && c != h->silence_class;
        CHECK(dots[c] == t->dots[c] && cosine >= -INT16_MAX && cosine <= INT16_MAX);
        CHECK(added[c] >= 0 && added[c] <= model->traces.weight_q10);
        CHECK(may_count || (added[c] == 0 && cosine == 0));
    }
}

/* The same sound, whole and in pieces: the same events and scores. */
static void hear(runner *r, fuzz_input *in)
{
    events whole = {.n = 0};
    events pieces = {.n = 0};
    int32_t scores[2][TKWS_MAX_CLASSES];
    size_t n = 1u + input_u16(in) % MAX_SAMPLES;
    size_t piece = 1u + input_u16(in) % MAX_SAMPLES;
    int16_t *pcm = matrix(n);
    maker_fill16(pcm, n, maker_read_pattern(in));
    push(&r->recognizer, pcm, n, &whole);
    for (size_t at = 0; at < n; at += piece)
        push(&r->other, pcm + at, piece < n - at ? piece : n - at, &pieces);
    check_same(&whole, &pieces);
    tkws_recognizer_scores(&r->recognizer, scores[0]);
    tkws_recognizer_scores(&r->other, scores[1]);
    CHECK(memcmp(scores[0], scores[1], r->model.header.n_classes * sizeof scores[0][0]) == 0);
    check_same_state(&r->recognizer, &r->other);
    check_window(&r->recognizer.network);
    if (r->recognizer.templates != NULL)
        check_templates(&r->recognizer, &r->weights);
    free(pcm);
}

/* Name words of the user's own, or forget one. */
static void change_words(runner *r, fuzz_input *in)
{
    uint8_t name[TKWS_NAME_BYTES];
    uint8_t which = input_u8(in);
    size_t n = maker_label(which % 64u, name);
    int found = tkws_own_find(&r->model, &r->weights, (const char *)name, n);
    int added = tkws_own_add(&r->model, &r->weights, (const char *)name, n);
    bool is_word =
        found != (int)r->model.header.unknown_class && found != (int)r->model.header.silence_class;
    CHECK(found < 0 || added == (is_word ? found : TKWS_E_LABEL));
    CHECK(added < (int)tkws_model_words(&r->model));
    CHECK(added >= 0 || added == (is_word ? TKWS_E_NO_ROOM : TKWS_E_LABEL));
    if (added >= 0 && which >= 192)
        tkws_own_forget(&r->model, &r->weights, (size_t)added);
    use_takes(r);
}

/* Take back what was heard last, or call it a word: where both still hear the same, they do afterwards. */
static void correct(runner *r, fuzz_input *in)
{
    tkws_recognizer *const ears[] = {&r->recognizer, &r->other};
    uint8_t which = input_u8(in);
    size_t heard = which % 2 == 0 ? TKWS_HEARD_EVENT : TKWS_HEARD_SOUND;
    size_t n = tkws_templates_memory_bytes(&r->model);
    if (r->recognizer.templates == NULL)
        return;
    const uint8_t *rates = tkws_templates_kept(r->recognizer.templates, heard);
    const uint8_t *others = tkws_templates_kept(r->other.templates, heard);
    CHECK((rates == NULL) == (others == NULL));
    if (rates == NULL)
        return;
    CHECK(memcmp(rates, others, r->model.header.n_neurons) == 0);
    int word = which < 128 ? tkws_own_add_nothing(&r->model, &r->weights, rates)
                           : (int)(which % tkws_model_words(&r->model));
    CHECK(word < (int)tkws_model_words(&r->model));
    if (word < 0) {
        CHECK(word == TKWS_E_NO_ROOM);
        return;
    }
    CHECK(which >= 128 || tkws_own_is_nothing(&r->model, &r->weights, (size_t)word));
    tkws_takes_add(&r->model, &r->weights, (size_t)word, rates);
    CHECK(tkws_takes_count(&r->model, &r->weights, (size_t)word) > 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(tkws_templates_init(&r->templates[i], &r->model, &r->weights, r->memory[3 + i], n) ==
              TKWS_OK);
        tkws_recognizer_change_templates(ears[i], &r->templates[i]);
    }
}

/* A take, whole or aborted; both recognizers are at rest after it. */
static void learn(runner *r, fuzz_input *in)
{
    int8_t features[TKWS_FEATURES];
    uint8_t how = input_u8(in);
    uint32_t method = (how & 15u) | ((how & KEEPS_TAKE) != 0 ? TKWS_LEARN_TAKES : 0u);
    bool is_kept = method < TKWS_LEARN_TAKES || r->model.traces.rank > 0;
    uint32_t n_words = (uint32_t)tkws_model_words(&r->model);
    uint32_t label = input_u8(in) % (n_words + 1);
    uint32_t scale = (how & 16u) != 0 ? input_u16(in) : INT16_MAX;
    int error = tkws_learner_begin(&r->learner, method, label, scale);
    bool has_label =
        label < r->model.header.n_classes || (label < n_words && method == TKWS_LEARN_TAKES);
    CHECK((error == TKWS_OK) == (has_label && scale <= INT16_MAX && is_kept));
    if (error != TKWS_OK)
        return;
    CHECK(tkws_learner_begin(&r->learner, method, label, scale) == TKWS_E_STATE);
    size_t n_steps = input_u8(in) % MAX_STEPS;
    for (size_t i = 0; i < n_steps; i++) {
        maker_fill8(features, sizeof features, maker_read_pattern(in));
        CHECK(tkws_learner_step(&r->learner, features) == TKWS_OK);
    }
    if ((how & 32u) != 0)
        tkws_learner_abort(&r->learner);
    else
        CHECK(tkws_learner_end(&r->learner) == (n_steps > 0 ? TKWS_OK : TKWS_E_TOO_SHORT));
    CHECK(tkws_learner_step(&r->learner, features) == TKWS_E_STATE);
    use_takes(r);
}

static void set_odds(runner *r, fuzz_input *in)
{
    uint16_t odds_q8 = input_u16(in);
    odds_q8 = odds_q8 > 0 ? odds_q8 : 1;
    tkws_detector_set_odds(&r->recognizer.detector, odds_q8);
    tkws_detector_set_odds(&r->other.detector, odds_q8);
    tkws_detector_set_isolated(&r->recognizer.detector, odds_q8 % 2 != 0);
    tkws_detector_set_isolated(&r->other.detector, odds_q8 % 2 != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    fuzz_input in = {bytes, n_bytes};
    runner r;
    start(&r, &in);
    for (size_t i = 0; i < MAX_STEPS && in.n_bytes > 0; i++) {
        uint8_t choice = input_u8(&in);
        if (choice % 8 == 0)
            set_odds(&r, &in);
        else if (choice % 8 == 4)
            change_words(&r, &in);
        else if (choice % 16 == 15)
            correct(&r, &in);
        else if (choice % 2 == 0)
            learn(&r, &in);
        else
            hear(&r, &in);
    }
    stop(&r);
    return 0;
}
