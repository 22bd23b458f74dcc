/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual board: the application of a microcontroller in a process of its own. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "flash.h"
#include "link.h"
#include "microphone.h"
#include "tracekws/errors.h"

#define FIRST_READ (64u * 1024u)
#define MAX_IMAGE_BYTES (64u * 1024u * 1024u) /* a longer file is cut, and refused as an image */
#define DEFAULT_RAM (192u * 1024u)
#define MAX_RAM (64u * 1024u * 1024u)
#define SERIAL_BYTES 4096u /* what a pty or a socket holds at the least */

#define WAIT_MS 200   /* how often a wait looks whether a signal has come just before it */
#define SAMPLES_MS 10 /* how often the microphone is looked at when it runs */

#define EXIT_USAGE 2

typedef struct {
    const char *model;
    const char *flash;
    const char *microphone;
    bool pty;
    bool tcp;
    bool ends_with_stdin;
    bool by_requests;
    unsigned long port;
    unsigned long ram;
    unsigned long cut_after;
} options;

typedef struct {
    link_state link;
    flash_state flash;
    microphone_state microphone;
    tkws_board board;
    uint8_t *image;
    uint8_t *samples;
    void *ram;
} machine;

static const char usage[] =
    "usage: tracekws-board MODEL --flash FILE (--pty | --tcp PORT) [--ram BYTES] [--stdin]\n"
    "                      [--microphone FILE] [--by-requests] [--cut-after N]\n"
    "  MODEL          the model image, as flashed into a microcontroller\n"
    "  --flash FILE   what is learned is kept here; made if it is not there\n"
    "  --pty          the serial line is a pseudo terminal\n"
    "  --tcp PORT     or a port of 127.0.0.1; 0 for any free one\n"
    "  --ram BYTES    memory of the device (default 196608)\n"
    "  --stdin        end when standard input ends\n"
    "  --microphone FILE  what its microphone hears, over and over: int16 samples, little endian, "
    "16 kHz\n"
    "  --by-requests  its sound goes on by 50 ms with each request, not by the clock (for tests)\n"
    "  --cut-after N  end at the Nth flash operation, as by a power cut (for tests)\n"
    "Prints the line's URL, then serves it until SIGINT or SIGTERM; a pty's new URL, when another\n"
    "program has got the line of one that was silent for long.\n";

static const char *error_text(int number)
{
    switch (number) {
#define TKWS_ERROR(n, name, text)                                                                  \
    case (n):                                                                                      \
        return text;
#include "tracekws/errors.def"
#undef TKWS_ERROR
    default:
        return "unknown error";
    }
}

static bool parse_number(const char *text, unsigned long most, unsigned long *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != 0 || value > most)
        return false;
    *number = value;
    return true;
}

/* An option with a value. @return false when it is not one or the value is bad */
static bool parse_value(options *o, const char *name, const char *value)
{
    if (strcmp(name, "--flash") == 0) {
        o->flash = value;
        return true;
    }
    if (strcmp(name, "--microphone") == 0) {
        o->microphone = value;
        return true;
    }
    if (strcmp(name, "--tcp") == 0) {
        o->tcp = true;
        return parse_number(value, 65535, &o->port);
    }
    if (strcmp(name, "--ram") == 0)
        return parse_number(value, MAX_RAM, &o->ram);
    if (strcmp(name, "--cut-after") == 0)
        return parse_number(value, ULONG_MAX, &o->cut_after);
    return false;
}

static bool parse_options(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--pty") == 0)
            o->pty = true;
        else if (strcmp(argv[i], "--stdin") == 0)
            o->ends_with_stdin = true;
        else if (strcmp(argv[i], "--by-requests") == 0)
            o->by_requests = true;
        else if (argv[i][0] != '-' && o->model == NULL)
            o->model = argv[i];
        else if (i + 1 < argc && parse_value(o, argv[i], argv[i + 1]))
            i++;
        else
            return false;
    }
    return o->model != NULL && o->flash != NULL && o->pty != o->tcp;
}

static int complain(const char *what, const char *why)
{
    (void)fprintf(stderr, "tracekws-board: %s: %s\n", what, why);
    return EXIT_FAILURE;
}

/* @return bytes of the file, now in *bytes; 0 when there are none, with why */
static size_t read_file(const char *path, uint8_t **bytes, const char **why)
{
    FILE *file = fopen(path, "rb");
    size_t n = 0;
    *why = "the file is empty";
    if (file == NULL) {
        *why = strerror(errno);
        return 0;
    }
    for (size_t room = FIRST_READ; room <= MAX_IMAGE_BYTES; room *= 2) {
        uint8_t *grown = realloc(*bytes, room);
        if (grown == NULL)
            break;
        *bytes = grown;
        n += fread(grown + n, 1, room - n, file);
        if (n < room)
            break;
    }
    if (ferror(file) != 0) {
        *why = "the file cannot be read";
        n = 0;
    }
    (void)fclose(file);
    return n;
}

/* The RAM holds the application's own struct first, the rest is the model's. */
static tkws_app *lay_out_ram(machine *m, const options *o)
{
    size_t own = (sizeof(tkws_app) + 15) / 16 * 16;
    if (o->ram < own)
        return NULL;
    m->ram = malloc(o->ram);
    if (m->ram == NULL)
        return NULL;
    memset(m->ram, 0xa5, o->ram); /* as a real RAM: not zero */
    m->board.memory[0].start = (uint8_t *)m->ram + own;
    m->board.memory[0].n_bytes = o->ram - own;
    m->board.n_memories = 1;
    m->board.ram_bytes = o->ram;
    return m->ram;
}

static int serve(machine *m, tkws_app *app)
{
    do {
        int n = 0;
        if (m->link.is_new && (printf("%s\n", m->link.url) < 0 || fflush(stdout) != 0))
            return complain("standard output", strerror(errno));
        m->link.is_new = false;
        do
            n = tkws_app_poll(app);
        while (n > 0);
    } while (link_wait(&m->link, m->microphone.runs ? SAMPLES_MS : WAIT_MS) == 0);
    return EXIT_SUCCESS;
}

static int link_read_of(void *context, uint8_t *bytes, size_t n_bytes)
{
    machine *m = context;
    int n = link_read(&m->link, bytes, n_bytes);
    if (n > 0 && bytes[n - 1] == 0)
        microphone_ask(&m->microphone);
    return n;
}

static int link_write_of(void *context, const uint8_t *bytes, size_t n_bytes)
{
    return link_write(&((machine *)context)->link, bytes, n_bytes);
}

static int flash_read_of(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    return flash_read(&((machine *)context)->flash, offset, bytes, n_bytes);
}

static int flash_program_of(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    return flash_program(&((machine *)context)->flash, offset, bytes, n_bytes);
}

static int flash_erase_of(void *context, size_t offset)
{
    return flash_erase(&((machine *)context)->flash, offset);
}

static int microphone_start_of(void *context)
{
    return microphone_start(&((machine *)context)->microphone);
}

static int microphone_read_of(void *context, int16_t *pcm, size_t n_samples)
{
    return microphone_read(&((machine *)context)->microphone, pcm, n_samples);
}

static void microphone_stop_of(void *context)
{
    microphone_stop(&((machine *)context)->microphone);
}

static void wire_up(machine *m)
{
    tkws_board *board = &m->board;
    board->context = m;
    board->name = "virtual";
    board->serial_read = link_read_of;
    board->serial_write = link_write_of;
    board->serial_bytes = SERIAL_BYTES;
    board->flash_read = flash_read_of;
    board->flash_program = flash_program_of;
    board->flash_erase = flash_erase_of;
    board->slot_bytes = FLASH_SLOT;
    board->image_area_bytes = FLASH_IMAGE_AREA;
    board->reset_reason = TKWS_APP_RESET_POWER_ON;
    board->sector_bytes = FLASH_SECTOR;
    board->program_bytes = FLASH_PROGRAM;
}

/* @return NULL, or why there is no such microphone */
static const char *wire_microphone(machine *m, const options *o)
{
    const char *why = NULL;
    size_t n_bytes = read_file(o->microphone, &m->samples, &why);
    if (n_bytes < 2)
        return why;
    m->microphone.samples = m->samples;
    m->microphone.n_samples = n_bytes / 2;
    m->microphone.by_requests = o->by_requests;
    m->board.microphone_start = microphone_start_of;
    m->board.microphone_read = microphone_read_of;
    m->board.microphone_stop = microphone_stop_of;
    return NULL;
}

static int start(machine *m, const options *o)
{
    wire_up(m);
    tkws_app *app = lay_out_ram(m, o);
    const char *why = NULL;
    m->board.image_bytes = read_file(o->model, &m->image, &why);
    if (m->board.image_bytes == 0)
        return complain(o->model, why);
    m->board.image = m->image;
    why = o->microphone != NULL ? wire_microphone(m, o) : NULL;
    if (why != NULL)
        return complain(o->microphone, why);
    why = flash_open(&m->flash, o->flash);
    if (why != NULL)
        return complain(o->flash, why);
    m->board.flash_mapped = m->flash.bytes;
    m->flash.cut_after = o->cut_after;
    int error = app != NULL ? tkws_app_init(app, &m->board) : TKWS_E_MODEL_TOO_LARGE;
    if (error != TKWS_OK)
        return complain(o->model, error_text(error));
    int opened = o->pty ? link_open_pty(&m->link) : link_open_tcp(&m->link, (unsigned)o->port);
    if (opened != 0)
        return complain("serial line", strerror(errno));
    m->link.ends_with_stdin = o->ends_with_stdin;
    return serve(m, app);
}

static void on_signal(int number)
{
    (void)number;
    link_stop();
}

static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

int main(int argc, char **argv)
{
    options o = {.ram = DEFAULT_RAM};
    machine m;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (!parse_options(&o, argc, argv)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    memset(&m, 0, sizeof m);
    m.flash.file = -1;
    link_clear(&m.link);
    catch_signals();
    int status = start(&m, &o);
    link_close(&m.link);
    flash_close(&m.flash);
    free(m.image);
    free(m.samples);
    free(m.ram);
    return status;
}
