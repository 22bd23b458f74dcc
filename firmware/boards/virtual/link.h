/* SPDX-License-Identifier: Apache-2.0 */
/** @file link.h  The virtual board's serial line: a pseudo terminal, or a TCP port of this machine. */
#ifndef TKWS_VIRTUAL_LINK_H
#define TKWS_VIRTUAL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

typedef struct {
    int server;       /**< listening socket, or -1 for a pty */
    int next;         /**< a client of TCP that waits for the line to be let go, or -1 */
    unsigned idle_ms; /**< time that the client has been silent, as far as link_wait() has waited */
    int line;         /**< the pty or the client's socket; -1 when there is no client */
    int watch;        /**< tells when the pty's other end is opened and closed; -1 for TCP */
    unsigned n_open;  /**< programs that have it open, as far as that is known */
    bool connected; /**< somebody was there at the last look; on TCP somebody who has said HELLO */
    bool closed;    /**< the line was closed and the application has not been told */
    bool ends_with_stdin;
    char url[128]; /**< where the line is; a pty gets another when its client is let go */
    bool is_new;   /**< the url is another one since whoever tells of it has cleared this */
    uint8_t
        in[TKWS_APP_ENCODED_BYTES(TKWS_APP_MAX_MESSAGE)]; /**< what the application is given next */
    size_t n_in;
    size_t at; /**< bytes of it that it has had */
} link_state;

/** A client that has been silent for so long is let go when another one waits. One that waits for a pty says
 * so by giving its window a size. */
#ifndef LINK_LET_GO_MS
#define LINK_LET_GO_MS 60000u
#endif

/** Begin with none open. */
void link_clear(link_state *link);

/** Open a pty. @return 0, or -1 with errno set */
int link_open_pty(link_state *link);

/** Listen on 127.0.0.1. @param port 0 for any free one. @return 0, or -1 with errno set */
int link_open_tcp(link_state *link, unsigned port);

/** Wait until there is something to do, or most_ms have passed.
 *  @return 0, or -1 when the board shall end */
int link_wait(link_state *link, int most_ms);

/** The board's serial_read and serial_write; context is a link_state.
 *
 * A client that has gone, or has closed its sending side, acts no more: what it had sent is dropped. On TCP
 * nothing reaches the application before a whole frame that is an intact HELLO; a client that sends anything
 * else first is disconnected. */
int link_read(void *context, uint8_t *bytes, size_t n_bytes);
int link_write(void *context, const uint8_t *bytes, size_t n_bytes);

/** Close everything. */
void link_close(link_state *link);

/** End link_wait() and link_write(); may be called from a signal handler. */
void link_stop(void);

#endif
