/* SPDX-License-Identifier: Apache-2.0 */
#include "hear.h"

#include <string.h>

#include "app_internal.h"
#include "least.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"

#define LIT_SAMPLES 2000u /* of a bit of a pattern */
#define LIT_BITS 32u
#define LIGHT_OFF 0u
#define LIGHT_ON UINT32_MAX
#define LIGHT_LISTENS 1u
#define LIGHT_WENT_WELL 0x3fffcu /* off first: it may have been on */
#define LIGHT_FAILED 0x15554u
#define SHOWN_SAMPLES (18u * LIT_SAMPLES)

#define PIECE 40 /* samples that are taken at a time: a lesson is deep in the stack */

/* --- the LED and the output --- */

void tkws_app_hear_light(tkws_app_alone *alone, bool on)
{
    const tkws_board *board = alone->app->board;
    if (on == alone->is_lit)
        return;
    alone->is_lit = on;
    if (board->led_set != NULL)
        board->led_set(board->context, on);
}

/* What the LED shows of what the board does. */
static uint32_t light_of(const tkws_app_alone *alone)
{
    if (tkws_app_press_is_long(&alone->press))
        return LIGHT_ON;
    if (alone->n_shown > 0)
        return alone->pattern;
    if (alone->lesson.state != TKWS_APP_LESSON_NONE)
        return alone->lesson.state == TKWS_APP_LESSON_LISTENS ? LIGHT_ON : LIGHT_OFF;
    return LIGHT_LISTENS;
}

static void show(tkws_app_alone *alone, uint32_t pattern)
{
    alone->pattern = pattern;
    alone->n_shown = SHOWN_SAMPLES;
    alone->n_lit = 0;
}

static void pulse(tkws_app_alone *alone, uint32_t n_samples)
{
    const tkws_board *board = alone->app->board;
    bool was_on = alone->pulse > 0;
    alone->pulse = n_samples;
    if (board->pulse_set != NULL && was_on != (n_samples > 0))
        board->pulse_set(board->context, n_samples > 0);
}

static void pass_time(tkws_app_alone *alone, uint32_t n_samples)
{
    uint32_t bit = alone->n_lit / LIT_SAMPLES % LIT_BITS;
    tkws_app_hear_light(alone, (light_of(alone) >> bit & 1u) != 0);
    alone->n_lit = (alone->n_lit + n_samples) % (LIT_SAMPLES * LIT_BITS);
    alone->n_shown -= (uint32_t)least(n_samples, alone->n_shown);
    pulse(alone, alone->pulse - (uint32_t)least(n_samples, alone->pulse));
}

/* --- what was heard --- */

/* A cell: zeros are behind the name. */
static const char *name_of(const tkws_app *app, size_t word)
{
    if (word < app->model.header.n_classes)
        return tkws_model_label(&app->model, word);
    return (const char *)tkws_own_name(&app->model, &app->weights, word);
}

static void write_text(const tkws_app *app, const char *text, size_t n_bytes)
{
    (void)app->board->serial_write(app->board->context, (const uint8_t *)text, n_bytes);
}

static void write_line(tkws_app *app, const char *name, int16_t score_q15)
{
    static const char start[] = "heard ";
    unsigned hundredths = score_q15 > 0 ? ((unsigned)score_q15 * 100u + 0x4000u) >> 15 : 0u;
    const char score[] = {' ',
                          (char)('0' + hundredths / 100u),
                          '.',
                          (char)('0' + hundredths / 10u % 10u),
                          (char)('0' + hundredths % 10u),
                          '\r',
                          '\n'};
    app->has_text = true;
    write_text(app, start, sizeof start - 1);
    write_text(app, name, tkws_name_length((const uint8_t *)name));
    write_text(app, score, sizeof score);
}

static void tell(tkws_app_alone *alone, const tkws_event *event)
{
    tkws_app *app = alone->app;
    const char *name = name_of(app, event->word);
    if (app->board->on_event != NULL)
        app->board->on_event(app->board->context, name, event->score_q15);
    write_line(app, name, event->score_q15);
    pulse(alone, TKWS_APP_ALONE_PULSE);
}

static void listen(tkws_app_alone *alone, const int16_t *pcm, size_t n_samples)
{
    tkws_app *app = alone->app;
    tkws_app_take_stream(app, pcm, n_samples);
    for (; alone->n_told != app->n_events; alone->n_told++)
        tell(alone, &app->events[alone->n_told % TKWS_APP_EVENTS]);
}

/* --- the button --- */

/* Listen from silence on, with what is known now. */
static void listen_anew(tkws_app_alone *alone)
{
    tkws_app_open(alone->app, TKWS_APP_ALONE);
    alone->n_told = 0;
}

/* Save what has been changed, and alone where nothing else is to be left; where that is refused, go back to what is
 * saved. On a board without storage it stays in RAM. @return whether it is there to stay */
static bool keep(tkws_app *app, bool alone)
{
    app->changed = true;
    if (app->board->slot_bytes == 0)
        return true;
    int error =
        alone ? tkws_app_storage_save_alone(&app->storage) : tkws_app_storage_save(&app->storage);
    if (error != TKWS_OK)
        tkws_app_storage_restore(&app->storage);
    app->changed = false;
    return error == TKWS_OK;
}

/* Show how something went, and go on listening. */
static void finish(tkws_app_alone *alone, bool went_well)
{
    show(alone, went_well ? LIGHT_WENT_WELL : LIGHT_FAILED);
    listen_anew(alone);
}

static void start_lesson(tkws_app_alone *alone)
{
    alone->n_shown = 0; /* the light is the lesson's from here on */
    if (tkws_app_lesson_start(&alone->lesson, alone->app) != TKWS_OK)
        show(alone, LIGHT_FAILED);
}

static void learn(tkws_app_alone *alone, const int16_t *pcm, size_t n_samples)
{
    int result = tkws_app_lesson_push(&alone->lesson, alone->app, pcm, n_samples);
    if (result != 0)
        finish(alone, result > 0 && keep(alone->app, false));
}

static void break_off(tkws_app_alone *alone)
{
    tkws_app_lesson_stop(&alone->lesson, alone->app);
    finish(alone, false);
}

/* What the flash still has goes even where RAM has nothing of it: the flash may have refused before. */
static void forget(tkws_app_alone *alone)
{
    tkws_app_lesson_forget(alone->app);
    finish(alone, keep(alone->app, true));
}

/* Take back the event that came last: it was no word. */
static void correct_last(tkws_app_alone *alone)
{
    if (tkws_app_correct_heard(alone->app, NULL, 0) < 0)
        show(alone, LIGHT_FAILED);
    else
        finish(alone, keep(alone->app, false));
}

static void press(tkws_app_alone *alone, uint32_t n_samples)
{
    const tkws_board *board = alone->app->board;
    if (board->button_pressed == NULL)
        return;
    bool reads = board->button_pressed(board->context);
    tkws_app_press_meaning meaning = tkws_app_press_step(&alone->press, reads, n_samples);
    if (meaning == TKWS_APP_PRESS_DOWN && alone->lesson.state != TKWS_APP_LESSON_NONE) {
        tkws_app_press_drop(&alone->press);
        break_off(alone);
    } else if (meaning == TKWS_APP_PRESS_HELD)
        start_lesson(alone);
    else if (meaning == TKWS_APP_PRESS_STAYS)
        forget(alone);
    else if (meaning == TKWS_APP_PRESS_DOUBLE)
        correct_last(alone);
}

/* --- the microphone --- */

int tkws_app_hear(tkws_app_alone *alone)
{
    tkws_app *app = alone->app;
    int16_t pcm[PIECE];
    int n = app->board->microphone_read(app->board->context, pcm, PIECE);
    if (n < 0) {
        app->n_overruns++;
        if (!tkws_app_lesson_gap(&alone->lesson))
            break_off(alone);
        return 0;
    }
    if (n == 0)
        return 0;
    if (alone->lesson.state != TKWS_APP_LESSON_NONE)
        learn(alone, pcm, (size_t)n);
    else
        listen(alone, pcm, (size_t)n);
    pass_time(alone, (uint32_t)n);
    press(alone, (uint32_t)n);
    return n;
}

void tkws_app_hear_rest(tkws_app_alone *alone)
{
    tkws_app_hear_light(alone, false);
    pulse(alone, 0);
    alone->lesson.state = TKWS_APP_LESSON_NONE;
    alone->n_shown = 0;
    alone->n_lit = 0;
    alone->n_deaf = 0;
    memset(&alone->press, 0, sizeof alone->press);
}
