/* SPDX-License-Identifier: Apache-2.0 */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define _GNU_SOURCE
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "protocol.h"
#include "tracekws/errors.h"

#define WAIT_MS 200 /* how often a write looks whether a signal has come just before it */
#define EVENTS 16   /* of a pty's being opened and closed, read at a time */

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t stopped;

void link_stop(void)
{
    stopped = 1;
}

void link_clear(link_state *link)
{
    memset(link, 0, sizeof *link);
    link->server = -1;
    link->next = -1;
    link->line = -1;
    link->watch = -1;
}

static int set_non_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int link_open_pty(link_state *link)
{
    struct termios settings;
    link_clear(link);
    link->line = posix_openpt(O_RDWR | O_NOCTTY);
    if (link->line < 0 || grantpt(link->line) != 0 || unlockpt(link->line) != 0 ||
        ptsname_r(link->line, link->url, sizeof link->url) != 0 ||
        tcgetattr(link->line, &settings) != 0)
        return -1;
    cfmakeraw(&settings);
    if (tcsetattr(link->line, TCSANOW, &settings) != 0 || set_non_blocking(link->line) != 0)
        return -1;
    /* Opened and closed once, the line reports that nobody is there. */
    int other_end = open(link->url, O_RDWR | O_NOCTTY);
    if (other_end < 0 || close(other_end) != 0)
        return -1;
    link->is_new = true;
    link->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return link->watch < 0 || inotify_add_watch(link->watch, link->url, IN_OPEN | IN_CLOSE) < 0 ? -1
                                                                                                : 0;
}

int link_open_tcp(link_state *link, unsigned port)
{
    struct sockaddr_in address = {0};
    socklen_t n = sizeof address;
    int on = 1;
    link_clear(link);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link->server = socket(AF_INET, SOCK_STREAM, 0);
    if (link->server < 0 ||
        setsockopt(link->server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(link->server, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(link->server, 1) != 0 ||
        getsockname(link->server, (struct sockaddr *)&address, &n) != 0)
        return -1;
    (void)snprintf(link->url, sizeof link->url, "socket://127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
    link->is_new = true;
    return 0;
}

/* What it has sent and the application has not had is dropped, here and in the kernel. */
static void lose_client(link_state *link)
{
    link->closed = link->closed || link->connected;
    link->connected = false;
    link->idle_ms = 0;
    link->n_in = 0;
    link->at = 0;
    if (link->line < 0)
        return;
    if (link->server < 0) {
        (void)tcflush(link->line, TCIFLUSH);
        return;
    }
    (void)close(link->line);
    link->line = -1;
}

/* The one that waits, or whoever connects. */
static void accept_client(link_state *link)
{
    int on = 1;
    if (link->server < 0)
        return;
    link->line = link->next >= 0 ? link->next : accept(link->server, NULL, NULL);
    link->next = -1;
    if (link->line < 0)
        return;
    if (set_non_blocking(link->line) != 0 ||
        setsockopt(link->line, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        lose_client(link);
}

static bool is_readable(int fd)
{
    struct pollfd ready = {fd, POLLIN, 0};
    return poll(&ready, 1, 0) > 0;
}

/* Whether the other end is gone, or has closed its sending side. */
static bool has_gone(int fd)
{
    struct pollfd gone = {fd, POLLIN | POLLRDHUP, 0};
    return poll(&gone, 1, 0) > 0 && (gone.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* Whether a client of TCP waits; one that has given up does not. */
static bool another_waits(link_state *link)
{
    while (link->next >= 0 || (link->server >= 0 && is_readable(link->server))) {
        if (link->next < 0)
            link->next = accept(link->server, NULL, NULL);
        if (link->next < 0)
            return false;
        if (!has_gone(link->next))
            return true;
        (void)close(link->next);
        link->next = -1;
    }
    return false;
}

/* Whether one has asked for the pty since the last look: it gave the window a size, which is of no other use. */
static bool another_asks(const link_state *link)
{
    struct winsize size = {0};
    const struct winsize none = {0};
    return link->server < 0 && ioctl(link->line, TIOCGWINSZ, &size) == 0 &&
           (size.ws_row != 0 || size.ws_col != 0) && ioctl(link->line, TIOCSWINSZ, &none) == 0;
}

/* Count time in which the client was silent. @return whether it is to be let go */
static bool is_overdue(link_state *link, int waited_ms)
{
    if (link->line < 0 || (link->server < 0 && !link->connected))
        return false;
    /* Looked at in any case: who asked earlier need not wait any more. */
    bool asked = another_asks(link);
    link->idle_ms += (unsigned)waited_ms;
    if (link->idle_ms < LINK_LET_GO_MS)
        return false;
    link->idle_ms = LINK_LET_GO_MS;
    return asked || another_waits(link);
}

/* Take the line from the client. A pty cannot be closed for it alone: there is another one from then on, or,
 * where that cannot be had, the client keeps its own. */
static void let_go(link_state *link)
{
    if (link->server < 0) {
        link_state another;
        if (link_open_pty(&another) != 0) {
            link_close(&another);
            return;
        }
        (void)close(link->line);
        (void)close(link->watch);
        link->line = another.line;
        link->watch = another.watch;
        link->n_open = 0;
        link->is_new = true;
        memcpy(link->url, another.url, sizeof link->url);
    }
    lose_client(link);
}

/* Whoever started the board holds its standard input; when that ends, so does the board. */
static bool stdin_ended(const link_state *link, short events)
{
    char byte;
    return link->ends_with_stdin && events != 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int link_wait(link_state *link, int most_ms)
{
    /* A pty without its other end is always ready: wait until that is opened. */
    bool absent = link->server < 0 && !link->connected;
    struct pollfd fds[3] = {{link->line >= 0 ? link->line : link->server, POLLIN, 0},
                            {link->ends_with_stdin ? STDIN_FILENO : -1, POLLIN, 0},
                            {link->watch, POLLIN, 0}};
    if (absent)
        fds[0].fd = -1;
    if (stopped)
        return -1;
    if (link->closed)
        return 0;
    if (link->next >= 0 && link->line < 0) {
        accept_client(link);
        return 0;
    }
    int n = poll(fds, 3, most_ms);
    if (stopped || (n > 0 && stdin_ended(link, fds[1].revents)) || (n < 0 && errno != EINTR))
        return -1;
    if (n > 0 && link->line < 0 && fds[0].revents != 0)
        accept_client(link);
    if (n == 0 && is_overdue(link, most_ms))
        let_go(link);
    return 0;
}

/* Whether nobody had the pty open at some time since the last look. Another one may have it by now. */
static bool was_left(link_state *link)
{
    uint8_t bytes[EVENTS * sizeof(struct inotify_event)];
    bool left = false;
    ssize_t n = link->watch >= 0 ? read(link->watch, bytes, sizeof bytes) : 0;
    for (ssize_t at = 0; at < n; at += (ssize_t)sizeof(struct inotify_event)) {
        struct inotify_event event;
        memcpy(&event, bytes + at, sizeof event);
        if ((event.mask & IN_OPEN) != 0)
            link->n_open++;
        else if (link->n_open > 0)
            link->n_open--;
        left = left || link->n_open == 0;
    }
    return left;
}

/* Whether the client has gone. One that has closed its sending side has gone, too: it could not ask again
 * for an answer that it has lost. */
static bool hung_up(link_state *link)
{
    if (!has_gone(link->line))
        return false;
    link->n_open = 0;
    return true;
}

/* Whether n_bytes are one frame, an intact HELLO of any version. */
static bool is_hello(const uint8_t *bytes, size_t n_bytes)
{
    tkws_app_decoder decoder = {0};
    size_t n_message = 0;
    int result = 0;
    for (size_t i = 0; i < n_bytes; i++)
        result = tkws_app_decode(&decoder, bytes[i], &n_message);
    return result == 1 && n_message >= TKWS_APP_REQUEST_BODY + 2 &&
           decoder.bytes[0] == TKWS_APP_HELLO;
}

/* Bytes up to the first zero, that one included; all of them when there is none. */
static size_t up_to_zero(const uint8_t *bytes, size_t n_bytes)
{
    const uint8_t *zero = n_bytes > 0 ? memchr(bytes, 0, n_bytes) : NULL;
    return zero != NULL ? (size_t)(zero - bytes) + 1 : n_bytes;
}

/* Look at what a client of TCP sends first, empty frames aside. @return false when that is no HELLO */
static bool greet(link_state *link)
{
    while (link->at < link->n_in && link->in[link->at] == 0)
        link->at++;
    link->n_in -= link->at;
    memmove(link->in, link->in + link->at, link->n_in);
    link->at = 0;
    size_t n = up_to_zero(link->in, link->n_in);
    if (n == 0 || link->in[n - 1] != 0)
        return link->n_in < sizeof link->in;
    link->connected = is_hello(link->in, n);
    return link->connected;
}

/* Drop what is on a pty that was left and opened again. Some of that may be of the next host, which is told
 * to repeat it: the application finds a damaged frame in its place. */
static void take_leave(link_state *link)
{
    static const uint8_t damaged[] = {1, 0};
    lose_client(link);
    memcpy(link->in, damaged, sizeof damaged);
    link->n_in = sizeof damaged;
    link->connected = true;
}

/* Take what has arrived. @return false when the client has gone, or is none of ours */
static bool receive(link_state *link)
{
    bool left = was_left(link);
    if (hung_up(link))
        return false;
    if (left) {
        take_leave(link);
        return true;
    }
    if (link->connected && link->at < link->n_in)
        return true;
    if (link->at == link->n_in) {
        link->at = 0;
        link->n_in = 0;
    }
    ssize_t n = read(link->line, link->in + link->n_in, sizeof link->in - link->n_in);
    if (n <= 0 && !(n < 0 && (errno == EAGAIN || errno == EINTR)))
        return false;
    link->n_in += n > 0 ? (size_t)n : 0;
    link->idle_ms = n > 0 ? 0 : link->idle_ms;
    if (link->server >= 0 && !link->connected)
        return greet(link);
    link->connected = true;
    return true;
}

/* A frame at a time, so that a client that goes while one is answered is seen before the next. */
int link_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    link_state *link = context;
    if (!link->closed && link->line >= 0 && !receive(link))
        lose_client(link);
    if (link->closed) {
        link->closed = false;
        return TKWS_E_LINK;
    }
    if (!link->connected)
        return 0;
    size_t n = up_to_zero(link->in + link->at, link->n_in - link->at);
    if (n > n_bytes)
        n = n_bytes;
    memcpy(bytes, link->in + link->at, n);
    link->at += n;
    return (int)n;
}

int link_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    link_state *link = context;
    size_t at = 0;
    while (at < n_bytes && link->line >= 0 && !stopped) {
        ssize_t n = link->server >= 0 ? send(link->line, bytes + at, n_bytes - at, MSG_NOSIGNAL)
                                      : write(link->line, bytes + at, n_bytes - at);
        if (n > 0) {
            at += (size_t)n;
            link->idle_ms = 0;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            break;
        struct pollfd fd = {link->line, POLLOUT, 0};
        int ready = poll(&fd, 1, WAIT_MS);
        if (ready > 0 && (fd.revents & (POLLHUP | POLLERR)) != 0)
            break;
        if (ready == 0 && is_overdue(link, WAIT_MS)) {
            let_go(link);
            break;
        }
    }
    if (at == n_bytes)
        return TKWS_OK;
    lose_client(link);
    return TKWS_E_LINK;
}

void link_close(link_state *link)
{
    if (link->line >= 0)
        (void)close(link->line);
    if (link->next >= 0)
        (void)close(link->next);
    if (link->server >= 0)
        (void)close(link->server);
    if (link->watch >= 0)
        (void)close(link->watch);
    link_clear(link);
}
