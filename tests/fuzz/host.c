/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <string.h>

#include "check.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"

#define GARBAGE 0xa5
#define NOTICE_BYTES 7
#define MAX_RUN 254 /* of bytes that are not zero in a block */

static bool is_known(int status)
{
    switch (status) {
#define TKWS_ERROR(number, name, text) case number:
#include "tracekws/errors.def"
#undef TKWS_ERROR
    case TKWS_OK:
        return true;
    default:
        return false;
    }
}

size_t host_encode(const uint8_t *message, size_t n_message, uint8_t *frame)
{
    uint8_t all[TKWS_APP_MAX_FRAME];
    size_t n = n_message + TKWS_APP_CRC_BYTES;
    size_t at = 1;
    CHECK(n <= sizeof all);
    memcpy(all, message, n_message);
    tkws_bytes_put_u32(all + n_message, tkws_crc32(0, message, n_message));
    frame[0] = 0;
    for (size_t i = 0; i <= n;) { /* a zero stands behind the message, in thought */
        size_t run = 0;
        while (run < MAX_RUN && i + run < n && all[i + run] != 0)
            run++;
        frame[at++] = (uint8_t)(run + 1);
        memcpy(frame + at, all + i, run);
        at += run;
        i += run < MAX_RUN ? run + 1 : run;
        if (run == MAX_RUN && i == n)
            break;
    }
    frame[at++] = 0;
    return at;
}

/* @return bytes of the message, which are those of a frame without its CRC */
static size_t decode(const uint8_t *frame, size_t n_frame, uint8_t *message)
{
    size_t n = 0;
    CHECK(n_frame >= 2 && frame[n_frame - 1] == 0);
    for (size_t at = 0; at + 1 < n_frame;) {
        size_t run = frame[at];
        CHECK(run > 0 && at + run < n_frame);
        CHECK(memchr(frame + at, 0, run) == NULL);
        CHECK(n + run <= TKWS_APP_MAX_FRAME + 1);
        memcpy(message + n, frame + at + 1, run - 1);
        n += run - 1;
        at += run;
        if (run <= MAX_RUN && at + 1 < n_frame)
            message[n++] = 0;
    }
    CHECK(n > TKWS_APP_CRC_BYTES && n <= TKWS_APP_MAX_FRAME);
    n -= TKWS_APP_CRC_BYTES;
    CHECK(tkws_bytes_get_u32(message + n) == tkws_crc32(0, message, n));
    return n;
}

void host_hear(machine *m, const uint8_t *frame, size_t n_frame)
{
    uint8_t message[TKWS_APP_MAX_FRAME + 1];
    size_t n = decode(frame, n_frame, message);
    CHECK(n >= TKWS_APP_ANSWER_BODY && is_known(tkws_bytes_get_i16(message + TKWS_APP_STATUS_AT)));
    if (n == NOTICE_BYTES && message[0] == TKWS_APP_DAMAGED) {
        m->n_damaged++;
        return;
    }
    if (n == NOTICE_BYTES && message[0] == TKWS_APP_WORKING) {
        m->n_working++;
        return;
    }
    m->n_answers++;
    m->n_frame = n_frame;
    memcpy(m->frame, frame, n_frame);
}

void device_start(device *d)
{
    d->app = check_malloc(sizeof *d->app);
    memset(d->app, GARBAGE, sizeof *d->app);
    d->may_repeat = false;
    int error = tkws_app_init(d->app, &d->machine.board);
    CHECK(error == d->app->model_error && is_known(error));
    if (!d->machine.works_alone)
        return;
    d->alone = check_malloc(sizeof *d->alone);
    memset(d->alone, GARBAGE, sizeof *d->alone);
    tkws_app_alone_init(d->alone, d->app);
}

static void free_application(device *d)
{
    free(d->app);
    free(d->alone);
    d->app = NULL;
    d->alone = NULL;
}

static int poll(const device *d)
{
    return d->alone != NULL ? tkws_app_alone_poll(d->alone) : tkws_app_poll(d->app);
}

void device_restart(device *d)
{
    free_application(d);
    machine_power_up(&d->machine);
    device_start(d);
}

void device_free(device *d)
{
    free_application(d);
    machine_free(&d->machine);
}

void device_work(device *d, const uint8_t *bytes, size_t n_bytes)
{
    machine *m = &d->machine;
    m->line = bytes;
    m->n_line = n_bytes;
    size_t most = n_bytes + m->n_heard + 1; /* each poll but the last takes something */
    while (poll(d) > 0) {
        CHECK(most > 0);
        most--;
    }
    CHECK(m->n_line == 0);
    if (!d->app->has_last)
        d->may_repeat = false;
}

void device_close(device *d)
{
    d->machine.closed = true;
    d->may_repeat = false;
    CHECK(poll(d) == TKWS_E_LINK);
    CHECK(d->app->session == TKWS_APP_IDLE);
}

int device_ask(device *d, const uint8_t *message, size_t n_message)
{
    machine *m = &d->machine;
    uint8_t frame[TKWS_APP_ENCODED_BYTES(TKWS_APP_MAX_MESSAGE) + 1];
    uint8_t answer[TKWS_APP_MAX_FRAME + 1];
    bool repeated =
        d->may_repeat && n_message == d->n_request && memcmp(message, d->request, n_message) == 0;
    m->n_answers = 0;
    device_work(d, frame, host_encode(message, n_message, frame));
    CHECK(m->n_answers == 1);
    size_t n = decode(m->frame, m->n_frame, answer);
    CHECK(answer[0] == (message[0] | TKWS_APP_ANSWER));
    CHECK(memcmp(answer + TKWS_APP_ID_AT, message + TKWS_APP_ID_AT, 4) == 0);
    if (repeated)
        CHECK(n == d->n_answer && memcmp(answer, d->answer, n) == 0);
    int status = tkws_bytes_get_i16(answer + TKWS_APP_STATUS_AT);
    if (status == TKWS_E_SEQUENCE && n == TKWS_APP_ANSWER_BODY)
        return status; /* it came late by its id: the device keeps the answer before */
    d->n_request = n_message;
    memmove(d->request, message, n_message);
    d->n_answer = n;
    memcpy(d->answer, answer, n);
    d->may_repeat = true;
    return status;
}

uint32_t device_next_id(const device *d)
{
    uint32_t id = tkws_bytes_get_u32(d->request + TKWS_APP_ID_AT);
    return id < UINT32_MAX ? id + 1 : 0;
}

int device_request(device *d, uint8_t command, const uint8_t *body, size_t n_body)
{
    uint8_t message[TKWS_APP_MAX_FRAME];
    CHECK(n_body <= TKWS_APP_MAX_MESSAGE - TKWS_APP_REQUEST_BODY);
    message[0] = command;
    tkws_bytes_put_u32(message + TKWS_APP_ID_AT, device_next_id(d));
    if (n_body > 0)
        memcpy(message + TKWS_APP_REQUEST_BODY, body, n_body);
    return device_ask(d, message, TKWS_APP_REQUEST_BODY + n_body);
}
