/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <string.h>

#include "check.h"
#include "forge.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"

/* Faster than tkws_weights_read(), which is done for every request here. */
static size_t copy_weights(uint8_t *to, const tkws_model *model, const tkws_weights *weights)
{
    tkws_weight_counts n = tkws_model_weight_counts(model);
    const int16_t *const from[] = {weights->weights, weights->recurrent, weights->bias,
                                   weights->readout, weights->readout_bias};
    const size_t counts[] = {n.weights, n.recurrent, n.bias, n.readout, n.readout_bias};
    size_t at = 0;
    for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
        size_t n_bytes = counts[i] * sizeof *from[i];
        CHECK(at + n_bytes <= ORACLE_WEIGHT_BYTES);
        memcpy(to + at, from[i], n_bytes);
        at += n_bytes;
    }
    size_t n_takes = tkws_model_takes_bytes(model);
    CHECK(at + n_takes <= ORACLE_WEIGHT_BYTES);
    if (n_takes > 0)
        memcpy(to + at, weights->takes, n_takes);
    return at + n_takes;
}

/* Whether a board that works alone teaches a word. */
static bool teaches_alone(const tkws_app *app)
{
    return app->session == TKWS_APP_ALONE && app->take != 0;
}

/* The word that is being taught is nobody's yet, and gone when that is broken off. */
static void leave_out_taught(uint8_t *takes, const tkws_app *app)
{
    size_t n_row = tkws_model_take_bytes(&app->model);
    size_t word = app->learner.label;
    size_t number = word - app->model.header.n_classes;
    memset(takes + word * n_row, 0, n_row);
    memset(takes + tkws_model_words(&app->model) * n_row + number * TKWS_OWN_BYTES, 0,
           TKWS_OWN_BYTES);
}

void oracle_note(oracle_state *state, const device *d)
{
    const tkws_app *app = d->app;
    const machine *m = &d->machine;
    state->n_weights = 0;
    state->session = app->session != TKWS_APP_ALONE ? app->session : TKWS_APP_IDLE;
    if (m->flash_bytes > 0)
        memcpy(state->flash, m->flash, m->flash_bytes);
    if (app->model_error != TKWS_OK)
        return;
    state->n_weights = copy_weights(state->weights, &app->model, &app->weights);
    if (teaches_alone(app))
        leave_out_taught(state->weights + state->n_weights - tkws_model_takes_bytes(&app->model),
                         app);
}

static bool same_weights(const oracle_state *a, const oracle_state *b)
{
    return a->n_weights == b->n_weights && memcmp(a->weights, b->weights, a->n_weights) == 0;
}

static bool same_flash(const oracle_state *a, const oracle_state *b, const device *d)
{
    return memcmp(a->flash, b->flash, d->machine.flash_bytes) == 0;
}

/* Templates lie in the learner's memory: they are not used while another has it. */
static void check_templates(const tkws_app *app)
{
    bool may_hear = app->session == TKWS_APP_IDLE || app->session == TKWS_APP_LISTENING ||
                    app->session == TKWS_APP_CLASSIFYING || app->session == TKWS_APP_HEARING ||
                    (app->session == TKWS_APP_ALONE && app->take == 0);
    if (app->model_error != TKWS_OK)
        return;
    CHECK(may_hear || app->recognizer.templates == NULL);
    if (may_hear && app->session != TKWS_APP_IDLE)
        CHECK((app->recognizer.templates != NULL) == (app->model.traces.rank > 0));
}

static void check_session(const device *d)
{
    const tkws_app *app = d->app;
    check_templates(app);
    CHECK(app->session <= (d->machine.works_alone ? TKWS_APP_ALONE : TKWS_APP_RECORDING));
    CHECK((app->session == TKWS_APP_HEARING || app->session == TKWS_APP_RECORDING ||
           app->session == TKWS_APP_ALONE) == d->machine.is_hearing);
    CHECK(app->take == 0 || app->session == TKWS_APP_LEARNING || teaches_alone(app));
    CHECK(app->session == TKWS_APP_IDLE || app->session == TKWS_APP_LOADING ||
          app->model_error == TKWS_OK);
    if (app->session == TKWS_APP_RECORDING)
        CHECK(app->ring.n_held <= app->ring.n_samples);
}

/* Start another device on a copy of the flash: it runs the same model with the same weights. Where neither can
 * run one, the reason may be another: an image that was too large may have been erased since for a load. */
static void check_fresh_start(const device *d, const oracle_state *now)
{
    static oracle_state fresh;
    device other;
    memset(&other, 0, sizeof other);
    machine_copy(&other.machine, &d->machine);
    other.machine.works_alone = false;
    device_start(&other);
    oracle_note(&fresh, &other);
    CHECK((other.app->model_error == TKWS_OK) == (d->app->model_error == TKWS_OK));
    CHECK(same_weights(now, &fresh));
    if (d->app->model_error == TKWS_OK) {
        CHECK(other.app->model.crc == d->app->model.crc);
        CHECK(other.app->image.area == d->app->image.area);
        CHECK(other.app->storage.generation == d->app->storage.generation);
    }
    device_free(&other);
}

void oracle_check(const device *d, oracle_state *restored)
{
    static oracle_state now;
    check_session(d);
    if (d->app->changed)
        return;
    oracle_note(&now, d);
    if (same_weights(&now, restored) && same_flash(&now, restored, d))
        return;
    check_fresh_start(d, &now);
    *restored = now;
}

/* The session that a request opens, or idle. */
static uint8_t opened_by(uint8_t command)
{
    switch (command) {
    case TKWS_APP_LISTEN:
        return TKWS_APP_LISTENING;
    case TKWS_APP_CLASSIFY:
        return TKWS_APP_CLASSIFYING;
    case TKWS_APP_LEARN:
        return TKWS_APP_LEARNING;
    case TKWS_APP_LOAD:
        return TKWS_APP_LOADING;
    case TKWS_APP_LIVE:
        return TKWS_APP_HEARING;
    case TKWS_APP_RECORD:
        return TKWS_APP_RECORDING;
    default:
        return TKWS_APP_IDLE;
    }
}

/* Whether nothing at all may have changed by a request that was refused so. */
static bool refuses_all(int status)
{
    switch (status) {
    case TKWS_E_ARGUMENT:
    case TKWS_E_LABEL:
    case TKWS_E_STATE:
    case TKWS_E_NO_TRACES:
    case TKWS_E_NO_ROOM:
    case TKWS_E_NO_SOUND:
    case TKWS_E_NAME:
    case TKWS_E_REQUEST:
    case TKWS_E_LENGTH:
    case TKWS_E_VERSION:
    case TKWS_E_SEQUENCE:
    case TKWS_E_CREDIT:
    case TKWS_E_BUSY:
    case TKWS_E_NO_SAVED:
    case TKWS_E_NO_UNDO:
    case TKWS_E_UNSUPPORTED:
    case TKWS_E_SLOT_FULL:
    case TKWS_E_TOO_LONG:
    case TKWS_E_MICROPHONE:
    case TKWS_E_IMAGE_FULL:
    case TKWS_E_NEWER_FORMAT:
        return true;
    default:
        return false;
    }
}

static void check_transition(uint8_t before, uint8_t after, uint8_t command, int status)
{
    uint8_t opens = opened_by(command);
    bool closes = command == TKWS_APP_ABORT || command == TKWS_APP_HELLO;
    bool closed = closes ? status == TKWS_OK : !refuses_all(status);
    bool stores = command == TKWS_APP_SAVE || command == TKWS_APP_UNDO ||
                  command == TKWS_APP_FORGET || command == TKWS_APP_FORGET_WORD;
    if (status == TKWS_OK && opens != TKWS_APP_IDLE)
        CHECK(before == TKWS_APP_IDLE && after == opens);
    else if (closes || command == TKWS_APP_END)
        CHECK(after == (closed ? TKWS_APP_IDLE : before));
    else
        CHECK(after == before);
    if (status == TKWS_OK && stores)
        CHECK(before == TKWS_APP_IDLE);
}

static bool only_reads(uint8_t command)
{
    switch (command) {
    case TKWS_APP_SAVE:
    case TKWS_APP_UNDO:
    case TKWS_APP_FORGET:
    case TKWS_APP_LOAD:
    case TKWS_APP_DATA:
    case TKWS_APP_END:
    case TKWS_APP_ABORT:
    case TKWS_APP_HELLO:
    case TKWS_APP_TAKE_END:
    case TKWS_APP_TEACH:
    case TKWS_APP_CORRECT:
    case TKWS_APP_FORGET_WORD:
        return false;
    default:
        return true;
    }
}

static void check_forgotten(const device *d)
{
    CHECK(!d->app->changed && d->app->storage.generation == 0);
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++)
        CHECK(forge_slot_is_clean(&d->machine, slot));
}

void oracle_check_request(const device *d, const oracle_state *before, uint8_t command, int status)
{
    static oracle_state now;
    oracle_note(&now, d);
    check_transition(before->session, now.session, command, status);
    if (refuses_all(status) || only_reads(command))
        CHECK(same_weights(before, &now) && same_flash(before, &now, d));
    if (status == TKWS_OK && command == TKWS_APP_SAVE)
        CHECK(!d->app->changed && same_weights(before, &now));
    if (command == TKWS_APP_CORRECT && status != TKWS_OK)
        CHECK(same_weights(before, &now) && same_flash(before, &now, d));
    if (command == TKWS_APP_CORRECT && status == TKWS_OK)
        CHECK(d->app->changed && same_flash(before, &now, d));
    if (status == TKWS_OK && command == TKWS_APP_FORGET)
        check_forgotten(d);
    if (status == TKWS_OK && command == TKWS_APP_FORGET_WORD)
        CHECK(d->app->board->slot_bytes == 0 || !d->app->changed);
}

void oracle_check_cut(const device *d, uint8_t command, const oracle_state *before,
                      const oracle_state *restored)
{
    static oracle_state now;
    if (command != TKWS_APP_SAVE && command != TKWS_APP_LOAD && command != TKWS_APP_DATA)
        return;
    oracle_note(&now, d);
    bool is_old = same_weights(&now, restored);
    CHECK(is_old || (command == TKWS_APP_SAVE && same_weights(&now, before)));
}
