/* SPDX-License-Identifier: Apache-2.0 */
/* The same bits everywhere: one script of hearing, learning and storing, whose every stage ends in a CRC-32.
 * It runs in the place of the firmware's main.c on a board, and natively on native.c.
 *
 * A round hears PCM through the front end, hears features, both compared with the takes that were kept, takes back
 * what was heard last, learns takes
 * with every method in turn, then saves, undoes or forgets. Every REPORT rounds, and after EARLY, a line tells the CRCs of all that came so far; "end"
 * comes last. */
#include "app.h"
#include "bare.h"
#include "report.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"
#include "tracekws/takes.h"
#include "units.h"

#ifndef ROUNDS
#define ROUNDS 8u
#endif
#ifndef REPORT
#define REPORT 1u
#endif
#ifndef EARLY
#define EARLY REPORT
#endif

#define PCM_STEPS 100u
#define FEATURE_STEPS 900u
#define TAKES 5u
#define OWN_RAISED (-6000) /* of what a cosine is to be above, Q15: as many events as can be */
#define TAKE_STEPS 20u
#define FULL_SCALE_Q15 32767u
#define HEADER_BYTES 32u /* of a slot, as are the next two: storage.h */
#define WEAR_BYTES 16u
#define CHUNK 256u

enum { FEATURES, SPIKES, SCORES, EVENTS, WEIGHTS, SLOTS, STAGES };

static const char *const stage_names[STAGES] = {"features", "spikes",  "scores",
                                                "events",   "weights", "slots"};

typedef struct {
    uint32_t random;
    uint32_t crc[STAGES];
    uint32_t network_steps; /* those of learning not counted */
    uint32_t learning_steps;
    uint32_t heard;
    int error; /* the first that there was */
} script;

static tkws_board board;
static tkws_app app;
static script s;

/* A generator of its own (Numerical Recipes' constants; the high bits are good), not the core's. */
static uint32_t draw(uint32_t n)
{
    s.random = s.random * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)s.random * n) >> 32);
}

static void add(int stage, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                        (uint8_t)(value >> 24)};
    s.crc[stage] = tkws_crc32(s.crc[stage], bytes, sizeof bytes);
}

static void check(int error)
{
    if (s.error == TKWS_OK && error < 0)
        s.error = error;
}

static void report(uint32_t round)
{
    report_text(&board, "after");
    report_number(&board, "rounds", round, 10);
    report_number(&board, "network_steps", s.network_steps, 10);
    report_number(&board, "learning_steps", s.learning_steps, 10);
    report_number(&board, "heard", s.heard, 10);
    for (int stage = 0; stage < STAGES; stage++)
        report_number(&board, stage_names[stage], s.crc[stage], 16);
    report_number(&board, "failed", (uint32_t)-s.error, 10);
    report_text(&board, "\n");
}

static void step(const int8_t *features)
{
    int32_t scores[TKWS_MAX_CLASSES] = {0};
    tkws_network *network = &app.recognizer.network;
    tkws_event event;
    board_feed_watchdog();
    tkws_recognizer_step(&app.recognizer, features);
    s.network_steps++;
    for (size_t i = 0; i < network->n_spikes; i++)
        add(SPIKES, network->spikes[i]);
    tkws_recognizer_scores(&app.recognizer, scores);
    for (size_t i = 0; i < app.model.header.n_classes; i++)
        add(SCORES, (uint32_t)scores[i]);
    int32_t cosine = 0;
    int word = -1;
    if (app.recognizer.templates != NULL) {
        for (size_t i = 0; i < tkws_model_words(&app.model); i++)
            add(SCORES, (uint32_t)tkws_templates_cosine(&app.templates, i));
        word = tkws_templates_own(&app.templates, OWN_RAISED, &cosine);
        add(SCORES, (uint32_t)word);
    }
    if (tkws_detector_step(&app.recognizer.detector, scores, app.recognizer.frontend.loudness,
                           &event) == 0 &&
        tkws_detector_own(&app.recognizer.detector, word, cosine, &event) == 0)
        return;
    if (app.recognizer.templates != NULL) {
        add(EVENTS, tkws_templates_nothing(&app.templates, event.word));
        tkws_templates_keep(&app.templates, TKWS_HEARD_EVENT);
    }
    s.heard++;
    add(EVENTS, event.word);
    add(EVENTS, (uint32_t)event.score_q15);
    add(EVENTS, (uint32_t)event.first_sample);
    add(EVENTS, (uint32_t)event.end_sample);
}

/* Where a session of the device would: in the learner's memory, which holds nothing between takes. */
static void use_takes(void)
{
    bool keeps = app.model.traces.rank > 0;
    if (keeps)
        check(tkws_templates_init(&app.templates, &app.model, &app.weights, app.learner_memory,
                                  tkws_templates_memory_bytes(&app.model)));
    tkws_recognizer_set_templates(&app.recognizer, keeps ? &app.templates : NULL);
}

/* The last event was no word, or it was one of the user's own; at times all that is forgotten. */
static void correct(void)
{
    const uint8_t *rates = app.recognizer.templates == NULL
                               ? NULL
                               : tkws_templates_kept(&app.templates, TKWS_HEARD_EVENT);
    if (rates == NULL || app.model.own.n_words == 0)
        return;
    if (draw(4) == 0)
        tkws_own_forget(&app.model, &app.weights, app.model.header.unknown_class);
    int word = tkws_own_add_nothing(&app.model, &app.weights, rates);
    add(EVENTS, (uint32_t)word);
    if (word >= 0)
        tkws_takes_add(&app.model, &app.weights, (size_t)word, rates);
}

/* Bursts of a tone in noise, with levels from silence to clipping. */
static void hear_pcm(void)
{
    int8_t features[TKWS_FEATURES];
    int16_t pcm[TKWS_HOP];
    uint32_t phase = 0;
    uint32_t pitch = 0;
    uint32_t level = 0;
    tkws_detector_set_odds(&app.recognizer.detector, 1); /* as many events as can be */
    for (uint32_t n = 0; n < PCM_STEPS;) {
        if (draw(16) == 0) {
            level = 1u << draw(18);
            pitch = draw(0x4000);
        }
        for (size_t i = 0; i < TKWS_HOP; i++) {
            int32_t tone = (phase += pitch) % 0x10000u < 0x8000u ? 1 : -1;
            int32_t value =
                (int32_t)draw(level + 1u) - (int32_t)(level / 2) + tone * (int32_t)(level / 4);
            pcm[i] = (int16_t)(value > INT16_MAX   ? INT16_MAX
                               : value < INT16_MIN ? INT16_MIN
                                                   : value);
        }
        size_t used = 0;
        if (tkws_frontend_push(&app.recognizer.frontend, pcm, TKWS_HOP, &used, features) == 0)
            continue;
        n++;
        s.crc[FEATURES] = tkws_crc32(s.crc[FEATURES], (const uint8_t *)features, sizeof features);
        step(features);
    }
}

/* Small values, as speech gives; the largest now and then. */
static void draw_features(int8_t *features)
{
    uint32_t high = draw(16) == 0 ? 128u : 50u;
    for (size_t i = 0; i < TKWS_FEATURES; i++)
        features[i] = (int8_t)draw(high);
}

static void hear_features(void)
{
    int8_t features[TKWS_FEATURES];
    for (uint32_t i = 0; i < FEATURE_STEPS; i++) {
        draw_features(features);
        step(features);
    }
}

/* A word of the user's own, made if it is not there, and at times made anew. */
static uint32_t own_word(void)
{
    char name = (char)('a' + (char)draw(app.model.own.n_words));
    int word = tkws_own_add(&app.model, &app.weights, &name, 1);
    if (word == TKWS_E_NO_ROOM) {
        tkws_own_forget(&app.model, &app.weights, app.model.header.unknown_class);
        word = tkws_own_add(&app.model, &app.weights, &name, 1);
    }
    check(word < 0 ? word : TKWS_OK);
    if (word >= 0 && draw(4) == 0) {
        tkws_own_forget(&app.model, &app.weights, (size_t)word);
        word = tkws_own_add(&app.model, &app.weights, &name, 1);
    }
    return word < 0 ? 0 : (uint32_t)word;
}

static void learn(uint32_t round)
{
    int8_t features[TKWS_FEATURES];
    uint8_t bytes[CHUNK];
    tkws_learner *learner = &app.learner;
    for (uint32_t take = 0; take < TAKES; take++) {
        uint32_t method = 1 + (round * TAKES + take) % TKWS_LEARN_ALL;
        if (app.model.traces.rank == 0)
            method &= TKWS_LEARN_ALL - TKWS_LEARN_TAKES;
        uint32_t label = draw(app.model.header.n_classes);
        if (take == 0 && app.model.own.n_words > 0) {
            label = own_word();
            method = TKWS_LEARN_TAKES;
        }
        uint32_t scale_q15 = draw(FULL_SCALE_Q15 + 1u);
        check(tkws_learner_begin(learner, method, label, scale_q15));
        for (uint32_t i = 0; i < TAKE_STEPS; i++) {
            board_feed_watchdog();
            draw_features(features);
            check(tkws_learner_step(learner, features));
            s.learning_steps++;
        }
        check(tkws_learner_end(learner));
    }
    size_t n_bytes = tkws_model_trainable_bytes(&app.model);
    for (size_t at = 0; at < n_bytes; at += CHUNK) {
        size_t n = n_bytes - at < CHUNK ? n_bytes - at : CHUNK;
        check(tkws_weights_read(&app.model, &app.weights, at, bytes, n));
        s.crc[WEIGHTS] = tkws_crc32(s.crc[WEIGHTS], bytes, n);
    }
}

static void add_stored(size_t offset, size_t n_bytes)
{
    uint8_t bytes[CHUNK];
    for (size_t at = 0; at < n_bytes; at += CHUNK) {
        size_t n = n_bytes - at < CHUNK ? n_bytes - at : CHUNK;
        check(board.flash_read(board.context, offset + at, bytes, n));
        s.crc[SLOTS] = tkws_crc32(s.crc[SLOTS], bytes, n);
    }
}

/* Save twice, then undo, then forget, in each eight rounds. The parts of a slot lie at multiples of the unit of
 * programming, which boards differ in: what is between them does not count. */
static void store(uint32_t round)
{
    uint32_t turn = round % 8;
    if (turn == 2 || turn == 4)
        check(tkws_app_storage_save(&app.storage));
    else if (turn == 6)
        check(tkws_app_storage_undo(&app.storage));
    else if (turn == 7)
        check(tkws_app_storage_forget(&app.storage));
    else
        return;
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++) {
        size_t header = slot * board.slot_bytes;
        size_t wear = header + units_of(&board, HEADER_BYTES);
        add_stored(header, HEADER_BYTES);
        add_stored(wear, WEAR_BYTES);
        add_stored(wear + units_of(&board, WEAR_BYTES), tkws_model_trainable_bytes(&app.model));
    }
}

static void start(void)
{
    board_start(&board);
    board.image = tkws_image_start;
    board.image_bytes = (size_t)(tkws_image_end - tkws_image_start);
    size_t flash_bytes = 2 * board.slot_bytes + 2 * board.image_area_bytes;
    for (size_t at = 0; at < flash_bytes; at += board.sector_bytes)
        check(board.flash_erase(board.context, at));
    check(tkws_app_init(&app, &board));
    s.random = 1;
}

int main(void)
{
    start();
    report_text(&board, "model");
    report_number(&board, "crc", app.model.crc, 16);
    report_text(&board, "\n");
    if (s.error == TKWS_OK)
        check(tkws_learner_init(&app.learner, &app.recognizer.network, app.learner_memory,
                                tkws_learner_memory_bytes(&app.model), 1));
    for (uint32_t round = 1; s.error == TKWS_OK && round <= ROUNDS; round++) {
        use_takes();
        hear_pcm();
        hear_features();
        correct();
        learn(round - 1);
        store(round - 1);
        if (round % REPORT == 0 || round == EARLY)
            report(round);
    }
    if (s.error != TKWS_OK)
        report(0);
    report_text(&board, "end\n");
    return s.error == TKWS_OK ? 0 : 1;
}
