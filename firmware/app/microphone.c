/* SPDX-License-Identifier: Apache-2.0 */
/* The board's own microphone: the device hears by itself, or records for the host. */
#include <string.h>

#include "app_internal.h"
#include "least.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"

#define MAX_SAMPLES (TKWS_APP_MAX_DATA / 2)

int tkws_app_microphone_open(tkws_app *app, uint8_t session)
{
    const tkws_board *board = app->board;
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    if (board->microphone_start == NULL)
        return TKWS_E_UNSUPPORTED;
    int error = board->microphone_start(board->context);
    if (error != TKWS_OK)
        return error;
    tkws_app_open(app, session);
    app->n_samples = 0;
    app->n_overruns = 0;
    app->ring.first = 0;
    app->ring.n_held = 0;
    return TKWS_OK;
}

void tkws_app_microphone_stop(tkws_app *app)
{
    app->board->microphone_stop(app->board->context);
    if (app->session != TKWS_APP_RECORDING)
        return;
    memset(app->ring.pcm, 0, app->ring.n_samples * sizeof *app->ring.pcm);
    memset(app->answer + app->n_answer, 0, sizeof app->answer - app->n_answer);
    memset(app->encoded, 0, sizeof app->encoded);
}

int tkws_app_microphone_end(tkws_app *app)
{
    tkws_app_microphone_stop(app);
    return TKWS_OK;
}

void tkws_app_alone_abort(tkws_app *app)
{
    tkws_app_microphone_stop(app);
    if (app->take != 0)
        tkws_own_forget(&app->model, &app->weights, app->learner.label);
}

int tkws_app_live(tkws_app *app, const uint8_t *body, size_t n_body)
{
    tkws_app_hearing hearing;
    int error = tkws_app_read_hearing(body, n_body, &hearing);
    if (error == TKWS_OK)
        error = tkws_app_microphone_open(app, TKWS_APP_HEARING);
    if (error == TKWS_OK)
        tkws_app_set_hearing(app, &hearing);
    return error;
}

int tkws_app_record(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    return tkws_app_microphone_open(app, TKWS_APP_RECORDING);
}

/* An index below twice the ring's room, in the ring. */
static size_t wrapped(const tkws_app_ring *ring, size_t index)
{
    return index < ring->n_samples ? index : index - ring->n_samples;
}

static void keep(tkws_app *app, const int16_t *pcm, size_t n_samples)
{
    tkws_app_ring *ring = &app->ring;
    for (size_t i = 0; i < n_samples; i++)
        ring->pcm[wrapped(ring, ring->first + ring->n_held + i)] = pcm[i];
    ring->n_held += n_samples;
}

/* While the ring is full nothing is taken: should that last, the board says that samples were lost. */
int tkws_app_microphone_hear(tkws_app *app)
{
    const tkws_board *board = app->board;
    int16_t pcm[TKWS_APP_PCM_CHUNK];
    size_t room = TKWS_APP_PCM_CHUNK;
    if (app->session == TKWS_APP_RECORDING)
        room = least(room, app->ring.n_samples - app->ring.n_held);
    int n = room > 0 ? board->microphone_read(board->context, pcm, room) : 0;
    if (n < 0) {
        app->n_overruns++;
        return 0;
    }
    app->n_samples += (uint32_t)n;
    if (app->session == TKWS_APP_RECORDING)
        keep(app, pcm, (size_t)n);
    else
        tkws_app_take_stream(app, pcm, (size_t)n);
    return n;
}

int tkws_app_microphone_drop(tkws_app *app)
{
    int16_t pcm[TKWS_APP_PCM_CHUNK];
    if (app->session != TKWS_APP_RECORDING || app->ring.n_held < app->ring.n_samples)
        return 0;
    int n = app->board->microphone_read(app->board->context, pcm, TKWS_APP_PCM_CHUNK);
    app->n_overruns += n != 0;
    return n > 0 ? n : 0;
}

int tkws_app_poll_events(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)n_body;
    uint32_t n_seen = tkws_bytes_get_u32(body);
    if (app->session != TKWS_APP_HEARING)
        return TKWS_E_STATE;
    if (n_seen > app->n_events)
        return TKWS_E_ARGUMENT;
    uint8_t *at = tkws_app_reply(app, 12);
    tkws_bytes_put_u64(at, app->n_samples);
    tkws_bytes_put_u32(at + 8, app->n_overruns);
    tkws_app_reply_events(app, n_seen);
    return TKWS_OK;
}

/* Samples from the oldest that is held to a position, which counts modulo 2^32. */
static uint32_t held_before(const tkws_app *app, uint32_t position)
{
    uint32_t start = (uint32_t)((app->n_samples - app->ring.n_held) & UINT32_MAX);
    return position >= start ? position - start : UINT32_MAX - (start - position) + 1;
}

/* Forget the samples before a position, which the host has. One that is not held is of an old request. */
static void acknowledge(tkws_app *app, uint32_t position)
{
    tkws_app_ring *ring = &app->ring;
    uint32_t n = held_before(app, position);
    if (n > ring->n_held)
        return;
    ring->first = wrapped(ring, ring->first + n);
    ring->n_held -= n;
}

int tkws_app_read_pcm(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)n_body;
    const tkws_app_ring *ring = &app->ring;
    uint32_t from = tkws_bytes_get_u32(body + 4);
    if (app->session != TKWS_APP_RECORDING)
        return TKWS_E_STATE;
    acknowledge(app, tkws_bytes_get_u32(body));
    size_t skip = held_before(app, from);
    size_t n = skip < ring->n_held ? least(ring->n_held - skip, MAX_SAMPLES) : 0;
    uint8_t *at = tkws_app_reply(app, 8 + 2 * n);
    tkws_bytes_put_u32(at, app->n_overruns);
    tkws_bytes_put_u32(at + 4, from);
    for (size_t i = 0; i < n; i++)
        tkws_bytes_put_u16(at + 8 + 2 * i,
                           (uint32_t)ring->pcm[wrapped(ring, ring->first + skip + i)]);
    return TKWS_OK;
}
