/* SPDX-License-Identifier: Apache-2.0 */
#include "lesson.h"

#include <string.h>

#include "app_internal.h"
#include "tracekws/errors.h"
#include "tracekws/fx.h"
#include "tracekws/own.h"

#define SEED 1 /* nothing is drawn: takes alone are kept */
#define NAME_BYTES (sizeof TKWS_APP_LESSON_NAME + 2)

_Static_assert(TKWS_MAX_OWN < 100, "two digits number the words");

/* @return bytes of the name of the number-th word */
static size_t write_name(unsigned number, char name[NAME_BYTES])
{
    size_t n = sizeof TKWS_APP_LESSON_NAME - 1;
    memcpy(name, TKWS_APP_LESSON_NAME, n);
    if (number >= 10)
        name[n++] = (char)('0' + number / 10);
    name[n++] = (char)('0' + number % 10);
    return n;
}

/* Make the first word that is not there. @return its number, or TKWS_E_NO_ROOM */
static int add_word(const tkws_app *app)
{
    char name[NAME_BYTES];
    for (unsigned number = 1; number <= TKWS_MAX_OWN; number++) {
        size_t n = write_name(number, name);
        if (tkws_own_find(&app->model, &app->weights, name, n) < 0)
            return tkws_own_add(&app->model, &app->weights, name, n);
    }
    return TKWS_E_NO_ROOM;
}

int tkws_app_lesson_start(tkws_app_lesson *lesson, tkws_app *app)
{
    if (app->model.traces.rank == 0)
        return TKWS_E_NO_TRACES;
    int word = add_word(app);
    if (word < 0)
        return word;
    memset(lesson, 0, sizeof *lesson);
    tkws_segmenter_init(&lesson->segmenter);
    lesson->state = TKWS_APP_LESSON_WAITS;
    tkws_recognizer_set_templates(&app->recognizer, NULL);
    (void)tkws_learner_init(&app->learner, &app->recognizer.network, app->learner_memory,
                            tkws_learner_memory_bytes(&app->model), SEED);
    app->learner.label = (uint16_t)word;
    app->take = TKWS_APP_PCM;
    return TKWS_OK;
}

void tkws_app_lesson_stop(tkws_app_lesson *lesson, tkws_app *app)
{
    if (lesson->state == TKWS_APP_LESSON_NONE)
        return;
    lesson->state = TKWS_APP_LESSON_NONE;
    tkws_learner_abort(&app->learner);
    tkws_own_forget(&app->model, &app->weights, app->learner.label);
    app->take = 0;
}

bool tkws_app_lesson_gap(tkws_app_lesson *lesson)
{
    lesson->n_before = 0;
    return lesson->state != TKWS_APP_LESSON_TAKES_IT;
}

void tkws_app_lesson_forget(tkws_app *app)
{
    char name[NAME_BYTES];
    for (unsigned number = 1; number <= TKWS_MAX_OWN; number++) {
        size_t n = write_name(number, name);
        int word = tkws_own_find(&app->model, &app->weights, name, n);
        if (word >= (int)app->model.header.n_classes)
            tkws_own_forget(&app->model, &app->weights, (size_t)word);
    }
    tkws_own_forget(&app->model, &app->weights, app->model.header.unknown_class);
}

static void wait(tkws_app_lesson *lesson)
{
    lesson->state = TKWS_APP_LESSON_WAITS;
    lesson->n_steps = 0;
}

static void keep_before(tkws_app_lesson *lesson, const int8_t *features)
{
    memcpy(lesson->before[lesson->at], features, TKWS_FEATURES);
    lesson->at = (uint8_t)((lesson->at + 1) % TKWS_APP_LESSON_BEFORE);
    if (lesson->n_before < TKWS_APP_LESSON_BEFORE)
        lesson->n_before++;
}

/* Speech begins: so does the take, a little before it. */
static void begin_take(tkws_app_lesson *lesson, tkws_app *app)
{
    size_t first = (size_t)(lesson->at + TKWS_APP_LESSON_BEFORE - lesson->n_before);
    (void)tkws_learner_begin(&app->learner, TKWS_LEARN_TAKES, app->learner.label, TKWS_Q15_ONE);
    for (size_t i = 0; i < lesson->n_before; i++)
        (void)tkws_learner_step(&app->learner,
                                lesson->before[(first + i) % TKWS_APP_LESSON_BEFORE]);
    lesson->state = TKWS_APP_LESSON_TAKES_IT;
    lesson->n_steps = lesson->n_before;
    lesson->n_speech = 1;
    lesson->n_before = 0;
}

/* Cosine of the take that has been kept with those before it. */
static int32_t last_agreement(const tkws_app_lesson *lesson, const tkws_app *app,
                              int32_t mean_before)
{
    int32_t mean = tkws_own_agreement(&app->model, &app->weights, app->learner.label);
    return mean_before + (mean - mean_before) * (lesson->n_takes - 1);
}

/* @return as tkws_app_lesson_push(), with the lesson going on */
static int end_take(tkws_app_lesson *lesson, tkws_app *app)
{
    int32_t mean_before = tkws_own_agreement(&app->model, &app->weights, app->learner.label);
    wait(lesson);
    if (lesson->n_speech < TKWS_APP_LESSON_LEAST + TKWS_SPEECH_HANG) {
        tkws_learner_abort(&app->learner);
        return 0;
    }
    (void)tkws_learner_end(&app->learner);
    lesson->n_takes++;
    lesson->n_waited = 0;
    if (lesson->n_takes > 1 &&
        last_agreement(lesson, app, mean_before) <= TKWS_APP_LESSON_AGREEMENT_Q15)
        return TKWS_E_ARGUMENT;
    return lesson->n_takes == TKWS_APP_LESSON_TAKES;
}

static int step_take(tkws_app_lesson *lesson, tkws_app *app, const int8_t *features)
{
    (void)tkws_learner_step(&app->learner, features);
    lesson->n_speech = (uint16_t)(lesson->n_speech + (lesson->segmenter.quiet == 0));
    lesson->n_steps++;
    return lesson->n_steps == TKWS_APP_LESSON_STEPS ? end_take(lesson, app) : 0;
}

/* Between takes. */
static int step_between(tkws_app_lesson *lesson, tkws_app *app, const int8_t *features)
{
    bool is_quiet = lesson->segmenter.quiet > 0;
    keep_before(lesson, features);
    lesson->n_steps++;
    if (lesson->state == TKWS_APP_LESSON_LISTENS && !is_quiet)
        begin_take(lesson, app);
    else if (lesson->state == TKWS_APP_LESSON_WAITS && is_quiet &&
             lesson->n_steps > TKWS_APP_LESSON_PAUSE)
        lesson->state = TKWS_APP_LESSON_LISTENS;
    return lesson->n_waited < TKWS_APP_LESSON_PATIENCE ? 0 : TKWS_E_TOO_SHORT;
}

static int step(tkws_app_lesson *lesson, tkws_app *app, const int8_t *features)
{
    lesson->n_waited++;
    tkws_segmenter_step(&lesson->segmenter, app->recognizer.frontend.loudness);
    return lesson->state == TKWS_APP_LESSON_TAKES_IT ? step_take(lesson, app, features)
                                                     : step_between(lesson, app, features);
}

int tkws_app_lesson_push(tkws_app_lesson *lesson, tkws_app *app, const int16_t *pcm,
                         size_t n_samples)
{
    int8_t features[TKWS_FEATURES];
    int result = 0;
    while (result == 0 && n_samples > 0) {
        size_t n = 0;
        if (tkws_frontend_push(&app->recognizer.frontend, pcm, n_samples, &n, features) != 0)
            result = step(lesson, app, features);
        pcm += n;
        n_samples -= n;
    }
    if (result < 0)
        tkws_app_lesson_stop(lesson, app);
    if (result > 0) {
        lesson->state = TKWS_APP_LESSON_NONE;
        app->take = 0;
    }
    return result;
}
