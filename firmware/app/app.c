/* SPDX-License-Identifier: Apache-2.0 */
/* The line, the requests that are no session's, and who handles which. */
#include "app_internal.h"

#include <string.h>

#include "session.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"
#include "tracekws/takes.h"

#define READ_BYTES 64
#define WORD_HEAD 6    /* of a word in an answer: number, takes, agreement, length of its name */
#define OLD_IDS 65536u /* this many ids up to the newest are of requests that came before */
#define TKWS_APP_ANY_LENGTH SIZE_MAX /* in requests.def */

int tkws_app_init(tkws_app *app, const tkws_board *board)
{
    memset(app, 0, sizeof *app);
    app->board = board;
    tkws_app_start(app);
    return app->model_error;
}

static void reply_text(tkws_app *app, const char *text, size_t n_bytes)
{
    uint8_t *at = tkws_app_reply(app, n_bytes);
    memset(at, 0, n_bytes);
    for (size_t i = 0; i < n_bytes && text[i] != 0; i++)
        at[i] = (uint8_t)text[i];
}

/* The start of this answer never changes, so that any host can tell any device's version. */
static int hello(tkws_app *app, const uint8_t *body, size_t n_body)
{
    uint32_t can = TKWS_APP_CAN_LISTEN | TKWS_APP_CAN_CLASSIFY | TKWS_APP_CAN_LEARN |
                   TKWS_APP_CAN_TEACH | TKWS_APP_CAN_CORRECT;
    if (n_body < 2)
        return TKWS_E_LENGTH;
    bool is_ours = tkws_bytes_get_u16(body) == TKWS_APP_PROTOCOL;
    if (is_ours)
        tkws_app_session_abort(app);
    uint8_t *at = tkws_app_reply(app, 22);
    tkws_bytes_put_u16(at, TKWS_APP_PROTOCOL);
    tkws_bytes_put_u32(at + 2, TKWS_APP_FIRMWARE);
    can |= app->board->slot_bytes > 0 ? TKWS_APP_CAN_SAVE : 0u;
    can |= tkws_app_image_room(app->board) > 0 ? TKWS_APP_CAN_LOAD : 0u;
    can |= app->board->microphone_start != NULL ? TKWS_APP_CAN_HEAR : 0u;
    tkws_bytes_put_u32(at + 6, can);
    tkws_bytes_put_u16(at + 10, TKWS_APP_MAX_MESSAGE);
    tkws_bytes_put_u16(at + 12, TKWS_APP_MAX_DATA);
    tkws_bytes_put_u16(at + 14, tkws_app_credit(app));
    tkws_bytes_put_u32(at + 16, (uint32_t)app->board->ram_bytes);
    tkws_bytes_put_u16(at + 20, (uint32_t)app->model_error);
    reply_text(app, app->board->name, TKWS_BOARD_NAME_BYTES);
    return is_ours ? TKWS_OK : TKWS_E_VERSION;
}

static int info(tkws_app *app, const uint8_t *body, size_t n_body)
{
    const tkws_model_header *h = &app->model.header;
    (void)body;
    (void)n_body;
    reply_text(app, (const char *)app->model.name, TKWS_NAME_BYTES);
    uint8_t *at = tkws_app_reply(app, 26);
    tkws_bytes_put_u32(at, app->model.crc);
    tkws_bytes_put_u32(at + 4, h->version);
    tkws_bytes_put_u16(at + 8, h->n_classes);
    tkws_bytes_put_u16(at + 10, h->unknown_class);
    tkws_bytes_put_u16(at + 12, h->silence_class);
    tkws_bytes_put_u16(at + 14, h->n_neurons);
    tkws_bytes_put_u16(at + 16, h->method);
    tkws_bytes_put_u16(at + 18, h->passes);
    tkws_bytes_put_u32(at + 20, (uint32_t)tkws_model_trainable_bytes(&app->model));
    at[24] = app->session;
    at[25] = app->changed;
    tkws_bytes_put_u32(tkws_app_reply(app, 4), app->storage.generation);
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++) {
        const tkws_app_slot *s = &app->storage.slots[slot];
        at = tkws_app_reply(app, 9);
        at[0] = s->state;
        tkws_bytes_put_u32(at + 1, s->generation);
        tkws_bytes_put_u32(at + 5, s->erases);
    }
    return TKWS_OK;
}

/* As many labels as fit, from one on. */
static int labels(tkws_app *app, const uint8_t *body, size_t n_body)
{
    uint32_t first = tkws_bytes_get_u16(body);
    (void)n_body;
    if (first >= app->model.header.n_classes)
        return TKWS_E_ARGUMENT;
    for (uint32_t c = first; c < app->model.header.n_classes; c++) {
        const uint8_t *label = app->model.labels + (size_t)c * TKWS_NAME_BYTES;
        size_t n = tkws_name_length(label);
        if (app->n_answer + 1 + n > TKWS_APP_MAX_MESSAGE)
            break;
        uint8_t *at = tkws_app_reply(app, 1 + n);
        at[0] = (uint8_t)n;
        memcpy(at + 1, label, n);
    }
    return TKWS_OK;
}

_Static_assert(TKWS_APP_ANSWER_BODY + 2 + TKWS_MAX_OWN * (WORD_HEAD + TKWS_NAME_MAX) <=
                   TKWS_APP_MAX_MESSAGE,
               "all words of the user's own fit an answer");

/* How many takes of each class are kept. */
static int takes_of_classes(tkws_app *app)
{
    size_t n_classes = app->model.header.n_classes;
    uint8_t *at = tkws_app_reply(app, n_classes);
    for (size_t c = 0; c < n_classes; c++)
        at[c] = (uint8_t)tkws_takes_count(&app->model, &app->weights, c);
    return TKWS_OK;
}

/* The words of the user's own that there are; with a byte of one, sounds that are no word, too, without a name; with
 * one of two, the takes of the model's words instead. */
static int words(tkws_app *app, const uint8_t *body, size_t n_body)
{
    const tkws_model *model = &app->model;
    if (n_body > 1)
        return TKWS_E_LENGTH;
    if (n_body == 1 && body[0] == 2)
        return takes_of_classes(app);
    if (n_body == 1 && body[0] != 1)
        return TKWS_E_ARGUMENT;
    tkws_bytes_put_u16(tkws_app_reply(app, 2), model->own.n_words);
    for (size_t w = model->header.n_classes; w < tkws_model_words(model); w++) {
        const uint8_t *name = tkws_own_name(model, &app->weights, w);
        bool nothing = name != NULL && tkws_own_is_nothing(model, &app->weights, w);
        if (name == NULL || (nothing && n_body == 0))
            continue;
        size_t n = nothing ? 0 : tkws_name_length(name);
        uint8_t *at = tkws_app_reply(app, WORD_HEAD + n);
        tkws_bytes_put_u16(at, (uint32_t)w);
        at[2] = (uint8_t)tkws_takes_count(model, &app->weights, w);
        tkws_bytes_put_u16(at + 3, (uint32_t)tkws_own_agreement(model, &app->weights, w));
        at[5] = (uint8_t)n;
        memcpy(at + WORD_HEAD, name, n);
    }
    return TKWS_OK;
}

static int health(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    uint8_t *at = tkws_app_reply(app, 14);
    at[0] = app->image.area != TKWS_APP_FACTORY;
    tkws_bytes_put_u32(at + 1, app->image.generation);
    tkws_bytes_put_u32(at + 5, (uint32_t)tkws_app_image_room(app->board));
    at[9] = app->board->reset_reason;
    tkws_bytes_put_u16(at + 10, app->board->watchdog_ms);
    tkws_bytes_put_u16(at + 12, app->board->brown_out_mv);
    return TKWS_OK;
}

static int read_weights(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)n_body;
    size_t offset = tkws_bytes_get_u32(body);
    size_t n = tkws_bytes_get_u16(body + 4);
    if (n > TKWS_APP_MAX_DATA)
        return TKWS_E_ARGUMENT;
    int error =
        tkws_weights_read(&app->model, &app->weights, offset, app->answer + app->n_answer, n);
    if (error == TKWS_OK)
        app->n_answer += n;
    return error;
}

/* Run one of the storage's functions outside of any session and answer the generation.
 * One that restores has done so even when the flash refused: what was not saved is gone then too. */
static int store(tkws_app *app, int (*function)(tkws_app_storage *), bool restores)
{
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    tkws_app_working(app);
    int error = function(&app->storage);
    if (error == TKWS_OK || (restores && error == TKWS_E_STORAGE))
        app->changed = false;
    if (error == TKWS_OK)
        tkws_bytes_put_u32(tkws_app_reply(app, 4), app->storage.generation);
    return error;
}

static int save(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    return store(app, tkws_app_storage_save, false);
}

static int undo(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    return store(app, tkws_app_storage_undo, true);
}

/* With what was said the sound goes that could be corrected. */
static int forgotten(tkws_app *app, int error)
{
    if (error != TKWS_E_BUSY)
        app->recognizer.templates = NULL;
    return error;
}

static int forget(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    return forgotten(app, store(app, tkws_app_storage_forget, true));
}

static int forget_word(tkws_app *app, const uint8_t *body, size_t n_body)
{
    bool is_kept = app->board->slot_bytes > 0;
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    int word = tkws_own_find(&app->model, &app->weights, (const char *)body, n_body);
    if (word < 0 && !tkws_app_storage_is_owed(&app->storage))
        return word;
    int error = is_kept ? tkws_app_storage_check_alone(&app->storage) : TKWS_OK;
    if (error != TKWS_OK)
        return error;
    if (word >= 0)
        tkws_own_forget(&app->model, &app->weights, (size_t)word);
    app->changed = true;
    return forgotten(app, is_kept ? store(app, tkws_app_storage_save_alone, false) : TKWS_OK);
}

typedef struct {
    uint8_t command;
    bool needs_model;
    size_t n_body; /* exactly, or TKWS_APP_ANY_LENGTH */
    int (*handle)(tkws_app *app, const uint8_t *body, size_t n_body);
} request;

static const request requests[] = {
#define TKWS_REQUEST(number, name, needs_model, n_body, handle)                                    \
    {(number), (needs_model), (n_body), (handle)},
#include "requests.def"
#undef TKWS_REQUEST
};

static int dispatch(tkws_app *app, uint8_t command, const uint8_t *body, size_t n_body)
{
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const request *r = &requests[i];
        if (r->command != command)
            continue;
        if (r->needs_model && app->model_error != TKWS_OK)
            return app->model_error;
        if (r->n_body != TKWS_APP_ANY_LENGTH && r->n_body != n_body)
            return TKWS_E_LENGTH;
        return r->handle(app, body, n_body);
    }
    return TKWS_E_REQUEST;
}

/* Those that a host sends ahead, and that may overtake each other: they say themselves where they belong. */
static bool is_sent_ahead(uint8_t command)
{
    return command == TKWS_APP_DATA || command == TKWS_APP_READ_PCM;
}

/* Whether a request has been overtaken by a newer one: its host has had the answer, or given it up. */
static bool is_late(const tkws_app *app, uint8_t command, uint32_t id)
{
    uint32_t behind = id <= app->newest ? app->newest - id : UINT32_MAX - (id - app->newest) + 1u;
    return app->has_last && command != TKWS_APP_HELLO && behind < OLD_IDS;
}

/* Answer a request; one that came just before gets its stored answer and is not done again, nor is one that
 * comes late. */
static void serve(tkws_app *app, size_t n_message)
{
    const uint8_t *message = app->decoder.bytes;
    if (n_message < TKWS_APP_REQUEST_BODY) {
        tkws_app_notice(app, TKWS_APP_DAMAGED, 0, TKWS_E_LENGTH);
        return;
    }
    uint32_t id = tkws_bytes_get_u32(message + TKWS_APP_ID_AT);
    uint32_t crc = tkws_crc32(0, message, n_message);
    if (!app->has_last || id != app->id || crc != app->last_crc) {
        if (is_late(app, message[0], id)) {
            tkws_app_notice(app, (uint8_t)(message[0] | TKWS_APP_ANSWER), id, TKWS_E_SEQUENCE);
            return;
        }
        if (app->session == TKWS_APP_ALONE)
            tkws_app_session_abort(app);
        app->id = id;
        if (!is_sent_ahead(message[0]))
            app->newest = id;
        app->answer[0] = (uint8_t)(message[0] | TKWS_APP_ANSWER);
        tkws_bytes_put_u32(app->answer + TKWS_APP_ID_AT, id);
        app->n_answer = TKWS_APP_ANSWER_BODY;
        int status = dispatch(app, message[0], message + TKWS_APP_REQUEST_BODY,
                              n_message - TKWS_APP_REQUEST_BODY);
        tkws_bytes_put_u16(app->answer + TKWS_APP_STATUS_AT, (uint32_t)status);
        app->n_encoded = tkws_app_encode(app->answer, app->n_answer, app->encoded);
        app->has_last = true;
        app->last_crc = crc;
    }
    tkws_app_send(app, app->encoded, app->n_encoded);
}

void tkws_app_lose_host(tkws_app *app)
{
    app->n_answer = 0;
    tkws_app_session_abort(app);
    tkws_app_decoder_reset(&app->decoder);
    app->has_last = false;
}

int tkws_app_poll(tkws_app *app)
{
    uint8_t bytes[READ_BYTES];
    int n = app->board->serial_read(app->board->context, bytes, sizeof bytes);
    if (n < 0) {
        tkws_app_lose_host(app);
        return n;
    }
    for (int i = 0; i < n; i++) {
        size_t n_message = 0;
        int result = tkws_app_decode(&app->decoder, bytes[i], &n_message);
        if (result == 1)
            serve(app, n_message);
        else if (result < 0)
            tkws_app_notice(app, TKWS_APP_DAMAGED, 0, result);
    }
    return n + tkws_app_session_hear(app);
}
