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
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "tracekws/errors.h"

#define LOOK_MS                                                                                    \
    20 /* how often a pty that nobody has open is looked at: there is no event for that */
#define WAIT_MS 200 /* how often a write looks whether a signal has come just before it */

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t stopped;

void link_stop(void)
{
    stopped = 1;
}

static void link_clear(link_state *link)
{
    memset(link, 0, sizeof *link);
    link->server = -1;
    link->line = -1;
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
    return other_end < 0 ? -1 : close(other_end);
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
    return 0;
}

static void lose_client(link_state *link)
{
    link->closed = link->closed || link->connected;
    link->connected = false;
    if (link->server >= 0 && link->line >= 0) {
        (void)close(link->line);
        link->line = -1;
    }
}

static void accept_client(link_state *link)
{
    int on = 1;
    if (link->server < 0)
        return;
    link->line = accept(link->server, NULL, NULL);
    if (link->line < 0)
        return;
    link->connected = true;
    if (set_non_blocking(link->line) != 0 ||
        setsockopt(link->line, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
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
    bool absent = link->server < 0 && !link->connected;
    struct pollfd fds[2];
    fds[0].fd = link->line >= 0 ? link->line : link->server;
    fds[0].events = POLLIN;
    fds[0].revents = 0;
    fds[1].fd = link->ends_with_stdin ? STDIN_FILENO : -1;
    fds[1].events = POLLIN;
    fds[1].revents = 0;
    if (stopped)
        return -1;
    if (link->closed)
        return 0;
    /* A pty without its other end is always ready: look at it from time to time only. */
    int n = absent ? poll(fds + 1, 1, LOOK_MS) : poll(fds, 2, most_ms);
    if (stopped || (n > 0 && stdin_ended(link, fds[1].revents)) || (n < 0 && errno != EINTR))
        return -1;
    if (n > 0 && link->line < 0 && fds[0].revents != 0)
        accept_client(link);
    return 0;
}

int link_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    link_state *link = context;
    if (!link->closed && link->line >= 0) {
        ssize_t n = read(link->line, bytes, n_bytes);
        if (n > 0) {
            link->connected = true;
            return (int)n;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            link->connected = true;
            return 0;
        }
        lose_client(link);
    }
    bool closed = link->closed;
    link->closed = false;
    return closed ? TKWS_E_LINK : 0;
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
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            break;
        struct pollfd fd = {link->line, POLLOUT, 0};
        if (poll(&fd, 1, WAIT_MS) > 0 && (fd.revents & (POLLHUP | POLLERR)) != 0)
            break;
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
    if (link->server >= 0)
        (void)close(link->server);
    link_clear(link);
}
