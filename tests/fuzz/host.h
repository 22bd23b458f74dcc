/* SPDX-License-Identifier: Apache-2.0 */
/** @file host.h  The other end of the line: frames by a coder of its own, and answers that are checked. */
#ifndef FUZZ_HOST_H
#define FUZZ_HOST_H

#include "alone.h"
#include "machine.h"

/** The application on a board, and what the host remembers of it. */
typedef struct {
    machine machine;
    tkws_app *app;
    tkws_app_alone *alone;               /**< where the machine works alone, else NULL */
    uint8_t request[TKWS_APP_MAX_FRAME]; /**< the last one that was not late; zeros at first */
    size_t n_request;
    bool may_repeat; /**< the device has its answer still */
    uint8_t answer[TKWS_APP_MAX_FRAME];
    size_t n_answer;
} device;

/** Start the application on a machine that is made. */
void device_start(device *d);

/** Turn the machine off and on again, and start. */
void device_restart(device *d);

void device_free(device *d);

/** Let the application work until there is nothing to do; the line brings n_bytes to it before. */
void device_work(device *d, const uint8_t *bytes, size_t n_bytes);

/** Close the line. */
void device_close(device *d);

/** Ask. The answer is well-formed, to this request and the only one; one that is repeated is the same.
 *  @param message  n_message bytes of a request, 5..TKWS_APP_MAX_MESSAGE; room for a CRC behind them
 *  @return the status; d->answer holds the message */
int device_ask(device *d, const uint8_t *message, size_t n_message);

/** The id that a new request has. */
uint32_t device_next_id(const device *d);

/** Ask with a new id, and a body. */
int device_request(device *d, uint8_t command, const uint8_t *body, size_t n_body);

/** For the machine: the device has sent something. */
void host_hear(machine *m, const uint8_t *frame, size_t n_frame);

/** Code a message as a frame, delimited on both sides.
 *  @param frame  TKWS_APP_ENCODED_BYTES(n_message) + 1
 *  @return its bytes */
size_t host_encode(const uint8_t *message, size_t n_message, uint8_t *frame);

#endif
