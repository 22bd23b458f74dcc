/* SPDX-License-Identifier: Apache-2.0 */
/* What goes back to the host: the answer being made, and notices. */
#include "app_internal.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"

#define NOTICE_BYTES 7 /* longest notice, CRC aside */

uint8_t *tkws_app_reply(tkws_app *app, size_t n_bytes)
{
    uint8_t *at = app->answer + app->n_answer;
    app->n_answer += n_bytes;
    return at;
}

void tkws_app_reply_events(tkws_app *app, uint32_t n_seen)
{
    uint32_t first = n_seen;
    if (app->n_events - first > TKWS_APP_EVENTS)
        first = app->n_events - TKWS_APP_EVENTS;
    uint8_t *at = tkws_app_reply(app, 5);
    tkws_bytes_put_u32(at, first);
    at[4] = (uint8_t)(app->n_events - first);
    for (uint32_t i = first; i != app->n_events; i++) {
        const tkws_event *event = &app->events[i % TKWS_APP_EVENTS];
        at = tkws_app_reply(app, TKWS_APP_EVENT_BYTES);
        tkws_bytes_put_u16(at, event->word);
        tkws_bytes_put_u16(at + 2, (uint32_t)event->score_q15);
        tkws_bytes_put_u64(at + 4, event->first_sample);
        tkws_bytes_put_u64(at + 12, event->end_sample);
    }
}

uint32_t tkws_app_credit(const tkws_app *app)
{
    size_t room = app->board->serial_bytes / TKWS_APP_ENCODED_BYTES(TKWS_APP_MAX_MESSAGE);
    if (room > TKWS_APP_MAX_CREDIT)
        room = TKWS_APP_MAX_CREDIT;
    return room > 0 && app->session != TKWS_APP_LOADING ? (uint32_t)room : 1;
}

void tkws_app_send(tkws_app *app, const uint8_t *encoded, size_t n_bytes)
{
    static const uint8_t delimiter = 0;
    const tkws_board *board = app->board;
    if (app->has_text)
        (void)board->serial_write(board->context, &delimiter, 1);
    app->has_text = false;
    (void)board->serial_write(board->context, encoded, n_bytes);
}

/* A notice is not an answer: it does not replace the stored one. */
void tkws_app_notice(tkws_app *app, uint8_t kind, uint32_t id, int status)
{
    uint8_t notice[NOTICE_BYTES + TKWS_APP_CRC_BYTES];
    uint8_t encoded[TKWS_APP_ENCODED_BYTES(NOTICE_BYTES)];
    notice[0] = kind;
    tkws_bytes_put_u32(notice + TKWS_APP_ID_AT, id);
    tkws_bytes_put_u16(notice + TKWS_APP_STATUS_AT, (uint32_t)status);
    size_t n = tkws_app_encode(notice, NOTICE_BYTES, encoded);
    tkws_app_send(app, encoded, n);
}

void tkws_app_working(tkws_app *app)
{
    tkws_app_notice(app, TKWS_APP_WORKING, app->id, TKWS_OK);
}
