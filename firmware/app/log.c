/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "least.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"
#include "units.h"

#define HEAD_BYTES 12
#define CRC_BYTES 4
#define NUMBER_BYTES 2 /* of a word */
#define END_GRAINS 2   /* that are left for the record of the end, and zeros before it */
/* A log that a device has written is looked at once, or little more often; one of these for each grain is twice that. */
#define PATIENCE 2
#define PATIENCE_BYTES 256 /* that may be looked at for one of it */
#define PATIENCE_MAX 0xffffu

_Static_assert(HEAD_BYTES + CRC_BYTES <= TKWS_APP_LOG_GRAIN, "a record without words is a grain");
_Static_assert(UNITS_CHUNK % TKWS_APP_LOG_GRAIN == 0, "a chunk is of whole grains");

typedef struct {
    uint32_t magic;
    size_t before;
    size_t n_bytes;
} record;

static size_t grains_of(const tkws_app_log *log, size_t n_bytes)
{
    size_t grain = units_of(log->board, TKWS_APP_LOG_GRAIN);
    return (n_bytes + grain - 1) / grain * grain;
}

static bool read(const tkws_app_log *log, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    return log->board->flash_read(log->board->context, log->at + offset, bytes, n_bytes) == TKWS_OK;
}

/* --- words ----------------------------------------------------------------------------------------- */

/* Where a word lies in tkws_weights.takes: its row, and behind all rows what a word of the user's own has. */
typedef struct {
    size_t at;
    size_t n_bytes;
} part;

static size_t n_parts(const tkws_model *model, size_t word)
{
    return word < model->header.n_classes ? 1 : 2;
}

static part part_of(const tkws_model *model, size_t word, size_t i)
{
    size_t n_row = tkws_model_take_bytes(model);
    size_t rows = tkws_model_words(model) * n_row;
    if (i == 0)
        return (part){word * n_row, n_row};
    return (part){rows + (word - model->header.n_classes) * TKWS_OWN_BYTES, TKWS_OWN_BYTES};
}

/* Bytes of a word in a record, its number aside. */
static size_t word_bytes(const tkws_model *model, size_t word)
{
    size_t n_bytes = 0;
    for (size_t i = 0; i < n_parts(model, word); i++)
        n_bytes += part_of(model, word, i).n_bytes;
    return n_bytes;
}

/* The number of a word in a record, or of none. */
static size_t number_at(const tkws_app_log *log, size_t offset)
{
    uint8_t number[NUMBER_BYTES];
    bool is_read = read(log, offset, number, NUMBER_BYTES);
    return is_read ? tkws_bytes_get_u16(number) : tkws_model_words(log->model);
}

/* Whether n_bytes at an offset are whole words. */
static bool are_words(const tkws_app_log *log, size_t offset, size_t n_bytes)
{
    size_t used = 0;
    while (n_bytes - used >= NUMBER_BYTES) {
        size_t word = number_at(log, offset + used);
        used += NUMBER_BYTES;
        if (word >= tkws_model_words(log->model) || word_bytes(log->model, word) > n_bytes - used)
            return false;
        used += word_bytes(log->model, word);
    }
    return used == n_bytes;
}

/* --- records --------------------------------------------------------------------------------------- */

/* Read the head of a record, if there is one that may be right. */
static bool read_head(const tkws_app_log *log, size_t at, record *r)
{
    uint8_t head[HEAD_BYTES];
    if (!read(log, at, head, HEAD_BYTES))
        return false;
    r->magic = tkws_bytes_get_u32(head);
    r->before = tkws_bytes_get_u32(head + 4);
    r->n_bytes = tkws_bytes_get_u32(head + 8);
    bool is_other = r->magic == TKWS_APP_LOG_UNDONE || r->magic == TKWS_APP_LOG_ENDED;
    return (r->magic == TKWS_APP_LOG_SAVED || (is_other && r->n_bytes == 0)) && r->before <= at &&
           r->n_bytes <= log->n_bytes - at - HEAD_BYTES - CRC_BYTES;
}

/* Whether n_bytes are followed by their CRC. */
static bool is_intact(const tkws_app_log *log, size_t at, size_t n_bytes)
{
    uint8_t saved[CRC_BYTES];
    uint32_t crc = 0;
    return tkws_app_units_crc(log->board, log->at + at, n_bytes, &crc) == TKWS_OK &&
           read(log, at + n_bytes, saved, CRC_BYTES) && tkws_bytes_get_u32(saved) == crc;
}

/* Whether a whole record is at an offset. */
static bool read_record(const tkws_app_log *log, size_t at, record *r)
{
    return read_head(log, at, r) && is_intact(log, at, HEAD_BYTES + r->n_bytes) &&
           are_words(log, at + HEAD_BYTES, r->n_bytes);
}

/* The record before one that holds, or before it was undone. */
static size_t before(const tkws_app_log *log, size_t at)
{
    record r;
    return read_head(log, at, &r) && r.before < at ? r.before : 0;
}

/* Whether n_bytes are still looked at: a flash may be full of what takes long to be found wrong. */
static bool is_patient(tkws_app_log *log, size_t n_bytes)
{
    size_t left = log->patience;
    left -= least(1 + n_bytes / PATIENCE_BYTES, left);
    log->patience = (uint16_t)left;
    return left > 0;
}

/* Whether what holds goes on from an offset. */
static bool goes_on_from(tkws_app_log *log, size_t offset)
{
    size_t at = log->last;
    while (at > offset && is_patient(log, 0))
        at = before(log, at);
    return at == offset;
}

/* As read_record(), for as long as patience lasts. */
static bool read_patiently(tkws_app_log *log, size_t at, record *r)
{
    return read_head(log, at, r) && is_patient(log, r->n_bytes) && read_record(log, at, r);
}

/* Whether a record, or the body, is there with all that it goes on from. */
static bool is_there(tkws_app_log *log, size_t offset)
{
    record r;
    for (size_t at = offset; at != 0; at = r.before)
        if (!read_patiently(log, at, &r) || r.magic != TKWS_APP_LOG_SAVED || r.before >= at)
            return false;
    return true;
}

/* Take note of what is not erased, or was to be programmed. */
static void reach(tkws_app_log *log, size_t end)
{
    log->tail = end > log->tail ? end : log->tail;
}

/* Bytes of what is at an offset: a record, which is taken note of, or a grain. A record that was cut may have bytes that
 * read as erased between what was programmed: all of it counts as written. */
static size_t look_at(tkws_app_log *log, size_t at)
{
    record r;
    size_t grain = grains_of(log, 1);
    if (!read_head(log, at, &r))
        return grain;
    size_t n_bytes = grains_of(log, HEAD_BYTES + r.n_bytes + CRC_BYTES);
    reach(log, at + n_bytes);
    if (!read_patiently(log, at, &r) || !(goes_on_from(log, r.before) || is_there(log, r.before)))
        return grain;
    log->last = r.magic == TKWS_APP_LOG_SAVED ? at : r.before;
    log->is_ended = r.magic == TKWS_APP_LOG_ENDED;
    log->end = at + n_bytes;
    return n_bytes;
}

static bool is_marked(const tkws_app_log *log)
{
    uint8_t bytes[4];
    return log->n_bytes > 0 && read(log, 0, bytes, sizeof bytes) &&
           tkws_bytes_get_u32(bytes) == TKWS_APP_LOG_ALONE;
}

/* The offset behind the mark of a slot that is to be alone; else 0. */
static size_t first(const tkws_app_log *log)
{
    return log->is_alone ? grains_of(log, 1) : 0;
}

void tkws_app_log_open(tkws_app_log *log, const tkws_board *board, const tkws_model *model,
                       size_t body_at, size_t end)
{
    size_t n_body = tkws_model_trainable_bytes(model);
    size_t grain = units_of(board, TKWS_APP_LOG_GRAIN);
    log->board = board;
    log->model = model;
    log->takes_at = body_at + n_body - tkws_model_takes_bytes(model);
    log->at = body_at + units_of(board, n_body);
    log->n_bytes = log->at < end ? (end - log->at) / grain * grain : 0;
    log->is_alone = is_marked(log);
    log->last = 0;
    log->end = first(log);
    log->tail = 0;
    log->is_ended = false;
    log->patience = (uint16_t)least(PATIENCE * log->n_bytes / grain, PATIENCE_MAX);
    for (size_t at = 0; at < log->n_bytes;) {
        size_t n = look_at(log, at);
        if (!tkws_app_units_are_erased(board, log->at + at, log->at + at + n))
            reach(log, at + n);
        at += n;
    }
}

uint32_t tkws_app_log_steps(const tkws_app_log *log)
{
    uint32_t n = 0;
    for (size_t at = log->last; at != 0; at = before(log, at))
        n++;
    return n;
}

/* --- what holds ------------------------------------------------------------------------------------ */

/* Where a record has a word: the offset behind its number, or 0. */
static size_t find_in(const tkws_app_log *log, size_t at, size_t word)
{
    record r;
    size_t used = 0;
    if (!read_head(log, at, &r))
        return 0;
    while (used < r.n_bytes) {
        size_t found = number_at(log, at + HEAD_BYTES + used);
        used += NUMBER_BYTES;
        if (found == word)
            return at + HEAD_BYTES + used;
        used += word_bytes(log->model, found);
    }
    return 0;
}

/* Where the word that holds is: its offset, or 0 for the slot's body. */
static size_t find(const tkws_app_log *log, size_t word)
{
    size_t found = 0;
    for (size_t at = log->last; at != 0 && found == 0; at = before(log, at))
        found = find_in(log, at, word);
    return found;
}

static bool has_changed(const tkws_app_log *log, const tkws_weights *weights, size_t word)
{
    size_t found = find(log, word);
    bool is_same = true;
    for (size_t i = 0; is_same && i < n_parts(log->model, word); i++) {
        part p = part_of(log->model, word, i);
        size_t at = found != 0 ? log->at + found : log->takes_at + p.at;
        is_same = tkws_app_units_are(log->board, at, weights->takes + p.at, p.n_bytes);
        found += found != 0 ? p.n_bytes : 0;
    }
    return !is_same;
}

bool tkws_app_log_load(const tkws_app_log *log, const tkws_weights *weights)
{
    bool is_read = true;
    for (size_t word = 0; is_read && word < tkws_model_words(log->model); word++) {
        size_t found = find(log, word);
        for (size_t i = 0; is_read && found != 0 && i < n_parts(log->model, word); i++) {
            part p = part_of(log->model, word, i);
            is_read = read(log, found, weights->takes + p.at, p.n_bytes);
            found += p.n_bytes;
        }
    }
    return is_read;
}

/* --- writing --------------------------------------------------------------------------------------- */

typedef struct {
    const tkws_app_log *log;
    size_t at; /* offset of what waits */
    size_t n_waiting;
    uint32_t crc;
    int error;
    uint8_t bytes[UNITS_CHUNK];
} writer;

static void start_writing(writer *w, const tkws_app_log *log, size_t at)
{
    w->log = log;
    w->at = at;
    w->n_waiting = 0;
    w->crc = 0;
    w->error = TKWS_OK;
}

static void flush(writer *w)
{
    const tkws_board *board = w->log->board;
    if (w->error == TKWS_OK && w->n_waiting > 0)
        w->error = board->flash_program(board->context, w->log->at + w->at, w->bytes, w->n_waiting);
    w->at += w->n_waiting;
    w->n_waiting = 0;
}

static void put(writer *w, const uint8_t *bytes, size_t n_bytes)
{
    w->crc = tkws_crc32(w->crc, bytes, n_bytes);
    for (size_t i = 0; i < n_bytes; i++) {
        w->bytes[w->n_waiting++] = bytes[i];
        if (w->n_waiting == UNITS_CHUNK)
            flush(w);
    }
}

static void put_u32(writer *w, uint32_t number)
{
    uint8_t bytes[4];
    tkws_bytes_put_u32(bytes, number);
    put(w, bytes, sizeof bytes);
}

/* Write what waits, and zeros up to whole grains. */
static void finish(writer *w)
{
    size_t n = grains_of(w->log, w->n_waiting);
    memset(w->bytes + w->n_waiting, 0, n - w->n_waiting);
    w->n_waiting = n;
    flush(w);
}

static void write_zeros(writer *w)
{
    put_u32(w, 0);
    finish(w);
}

static void put_word(writer *w, const tkws_weights *weights, size_t word)
{
    const tkws_model *model = w->log->model;
    uint8_t number[NUMBER_BYTES];
    tkws_bytes_put_u16(number, (uint32_t)word);
    put(w, number, NUMBER_BYTES);
    for (size_t i = 0; i < n_parts(model, word); i++) {
        part p = part_of(model, word, i);
        put(w, weights->takes + p.at, p.n_bytes);
    }
}

/* @param weights  those whose words have changed; NULL for none */
static void write_record(writer *w, const record *r, const tkws_weights *weights)
{
    const tkws_app_log *log = w->log;
    w->crc = 0;
    put_u32(w, r->magic);
    put_u32(w, (uint32_t)r->before);
    put_u32(w, (uint32_t)r->n_bytes);
    for (size_t word = 0; weights != NULL && word < tkws_model_words(log->model); word++)
        if (has_changed(log, weights, word))
            put_word(w, weights, word);
    put_u32(w, w->crc);
    finish(w);
}

/* @param n_kept  grains that are to be left behind the record */
static bool has_room(const tkws_app_log *log, const record *r, size_t n_kept, bool is_firm)
{
    size_t grain = grains_of(log, 1);
    size_t at = log->tail + (is_firm ? 0 : grain);
    size_t n_bytes = grains_of(log, HEAD_BYTES + r->n_bytes + CRC_BYTES);
    return at + n_bytes + n_kept * grain <= log->n_bytes;
}

/* Append a record, its zeros around it. @param r  is read back */
static int append(const tkws_app_log *log, record *r, const tkws_weights *weights, bool *is_firm)
{
    writer w;
    size_t grain = grains_of(log, 1);
    size_t at = log->tail + (*is_firm ? 0 : grain);
    start_writing(&w, log, log->tail);
    if (!*is_firm)
        write_zeros(&w);
    write_record(&w, r, weights);
    *is_firm = w.error == TKWS_OK;
    if (!*is_firm || !read_record(log, at, r))
        return TKWS_E_STORAGE;
    if (w.at + (1 + TKWS_APP_LOG_KEPT + END_GRAINS) * grain <= log->n_bytes)
        write_zeros(&w);
    *is_firm = w.error == TKWS_OK; /* the record is there */
    return TKWS_OK;
}

int tkws_app_log_mark_alone(const tkws_app_log *log)
{
    writer w;
    start_writing(&w, log, 0);
    put_u32(&w, TKWS_APP_LOG_ALONE);
    finish(&w);
    return is_marked(log) ? w.error : TKWS_E_STORAGE;
}

bool tkws_app_log_begin(const tkws_app_log *log)
{
    writer w;
    if (log->n_bytes == 0)
        return false;
    start_writing(&w, log, first(log));
    write_zeros(&w);
    return w.error == TKWS_OK;
}

bool tkws_app_log_is_begun(const tkws_app_log *log)
{
    return log->tail > first(log);
}

bool tkws_app_log_is_used(const tkws_app_log *log)
{
    return log->tail > first(log) + grains_of(log, 1);
}

int tkws_app_log_save(const tkws_app_log *log, const tkws_weights *weights, bool *is_firm)
{
    record r = {TKWS_APP_LOG_SAVED, log->last, 0};
    for (size_t word = 0; word < tkws_model_words(log->model); word++)
        if (has_changed(log, weights, word))
            r.n_bytes += NUMBER_BYTES + word_bytes(log->model, word);
    if ((!*is_firm && log->tail == log->end) ||
        !has_room(log, &r, 1 + TKWS_APP_LOG_KEPT + END_GRAINS, *is_firm))
        return TKWS_E_SLOT_FULL;
    return append(log, &r, weights, is_firm);
}

bool tkws_app_log_can_undo(const tkws_app_log *log, bool is_firm)
{
    const record r = {TKWS_APP_LOG_UNDONE, 0, 0};
    return has_room(log, &r, END_GRAINS, is_firm);
}

int tkws_app_log_undo(const tkws_app_log *log, bool *is_firm)
{
    record r = {TKWS_APP_LOG_UNDONE, before(log, log->last), 0};
    return append(log, &r, NULL, is_firm);
}

void tkws_app_log_end(const tkws_app_log *log, bool is_firm)
{
    record r = {TKWS_APP_LOG_ENDED, log->last, 0};
    if (has_room(log, &r, 0, is_firm))
        (void)append(log, &r, NULL, &is_firm);
}
