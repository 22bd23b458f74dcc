/* SPDX-License-Identifier: Apache-2.0 */
#include "storage.h"

#include "generation.h"
#include "least.h"
#include "log.h"
#include "protocol.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "units.h"

#define HEADER_BYTES 32
#define WEAR_BYTES 16
#define NO_SLOT TKWS_APP_SLOTS

typedef struct {
    uint32_t model_crc;
    uint32_t generation;
    uint32_t body_bytes;
    uint32_t body_crc;
} slot_header;

static size_t header_at(const tkws_app_storage *s, size_t slot)
{
    return slot * s->board->slot_bytes;
}

static size_t wear_at(const tkws_app_storage *s, size_t slot)
{
    return header_at(s, slot) + units_of(s->board, HEADER_BYTES);
}

static size_t body_at(const tkws_app_storage *s, size_t slot)
{
    return wear_at(s, slot) + units_of(s->board, WEAR_BYTES);
}

static size_t body_room(const tkws_app_storage *s)
{
    size_t taken = units_of(s->board, HEADER_BYTES) + units_of(s->board, WEAR_BYTES);
    return s->board->slot_bytes > taken ? s->board->slot_bytes - taken : 0;
}

static int flash_read(const tkws_app_storage *s, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    return s->board->flash_read(s->board->context, offset, bytes, n_bytes);
}

static bool has_no_header(const tkws_app_storage *s, size_t slot)
{
    size_t at = header_at(s, slot);
    return tkws_app_units_are_erased(s->board, at, at + HEADER_BYTES);
}

/* State of a slot by its header alone: empty, corrupt, or valid or newer with header written, of which only
 * the generation means anything in a newer format. */
static uint8_t read_header(const tkws_app_storage *s, size_t slot, slot_header *header)
{
    uint8_t bytes[HEADER_BYTES];
    if (has_no_header(s, slot))
        return TKWS_APP_SLOT_EMPTY;
    if (flash_read(s, header_at(s, slot), bytes, HEADER_BYTES) != TKWS_OK)
        return TKWS_APP_SLOT_CORRUPT;
    uint32_t format = tkws_bytes_get_u32(bytes + 4);
    header->generation = tkws_bytes_get_u32(bytes + 8);
    header->model_crc = tkws_bytes_get_u32(bytes + 12);
    header->body_bytes = tkws_bytes_get_u32(bytes + 20);
    header->body_crc = tkws_bytes_get_u32(bytes + 24);
    if (tkws_bytes_get_u32(bytes) != TKWS_APP_SLOT_MAGIC || format < TKWS_APP_SLOT_FORMAT ||
        tkws_bytes_get_u32(bytes + 28) != tkws_crc32(0, bytes, 28) || header->generation == 0)
        return TKWS_APP_SLOT_CORRUPT;
    return format > TKWS_APP_SLOT_FORMAT ? TKWS_APP_SLOT_NEWER_FORMAT : TKWS_APP_SLOT_VALID;
}

static uint8_t check_body(const tkws_app_storage *s, size_t slot, const slot_header *header)
{
    uint32_t crc = 0;
    size_t n_bytes = tkws_model_trainable_bytes(s->model);
    if (header->model_crc != s->model->crc)
        return TKWS_APP_SLOT_OTHER_MODEL;
    if (header->body_bytes != n_bytes || n_bytes > body_room(s) ||
        tkws_app_units_crc(s->board, body_at(s, slot), n_bytes, &crc) != TKWS_OK ||
        crc != header->body_crc)
        return TKWS_APP_SLOT_CORRUPT;
    return TKWS_APP_SLOT_VALID;
}

/* Each record counts the erases of both slots: where one was lost to a power cut, the other one tells what was
 * known when its own slot was erased.
 * @return whether there is one, with counts written */
static bool find_wear(const tkws_app_storage *s, size_t slot, uint32_t counts[TKWS_APP_SLOTS])
{
    uint8_t bytes[WEAR_BYTES];
    if (flash_read(s, wear_at(s, slot), bytes, WEAR_BYTES) != TKWS_OK ||
        tkws_bytes_get_u32(bytes) != TKWS_APP_WEAR_MAGIC ||
        tkws_bytes_get_u32(bytes + 12) != tkws_crc32(0, bytes, 12))
        return false;
    for (size_t i = 0; i < TKWS_APP_SLOTS; i++)
        counts[i] = tkws_bytes_get_u32(bytes + 4 + 4 * i);
    return true;
}

static int write_wear(const tkws_app_storage *s, size_t slot)
{
    uint8_t bytes[UNITS_CHUNK];
    tkws_bytes_put_u32(bytes, TKWS_APP_WEAR_MAGIC);
    for (size_t i = 0; i < TKWS_APP_SLOTS; i++)
        tkws_bytes_put_u32(bytes + 4 + 4 * i, s->slots[i].erases);
    tkws_bytes_put_u32(bytes + 12, tkws_crc32(0, bytes, 12));
    return tkws_app_units_program(s->board, wear_at(s, slot), bytes, WEAR_BYTES);
}

/* A slot without a header is empty when it holds nothing else either, its record of wear aside. */
static uint8_t check_empty(const tkws_app_storage *s, size_t slot, bool has_wear)
{
    size_t behind = wear_at(s, slot) + (has_wear ? WEAR_BYTES : 0);
    bool empty =
        tkws_app_units_are_erased(s->board, header_at(s, slot), wear_at(s, slot)) &&
        tkws_app_units_are_erased(s->board, behind, header_at(s, slot) + s->board->slot_bytes);
    return empty ? TKWS_APP_SLOT_EMPTY : TKWS_APP_SLOT_CORRUPT;
}

/* The log of a valid slot. */
static void open_log(const tkws_app_storage *s, size_t slot, tkws_app_log *log)
{
    tkws_app_log_open(log, s->board, s->model, body_at(s, slot),
                      header_at(s, slot) + s->board->slot_bytes);
}

/* Whether a slot's header is as the beginning of an erase leaves it. */
static bool is_crossed_out(const tkws_app_storage *s, size_t slot)
{
    const uint8_t zeros[HEADER_BYTES] = {0};
    return tkws_app_units_are(s->board, header_at(s, slot), zeros, HEADER_BYTES);
}

/* Whether an erase of a slot was begun, or it was to be alone and was not written to its end: what was there before it
 * holds. @param state  by its header and body */
static bool is_ended(const tkws_app_storage *s, size_t slot, uint8_t state)
{
    tkws_app_log log;
    if (state != TKWS_APP_SLOT_VALID)
        return is_crossed_out(s, slot);
    open_log(s, slot, &log);
    return log.is_ended || (log.is_alone && !tkws_app_log_is_begun(&log));
}

static void read_slot(tkws_app_storage *s, size_t slot)
{
    tkws_app_slot *found = &s->slots[slot];
    slot_header header = {0, 0, 0, 0};
    uint32_t counts[TKWS_APP_SLOTS];
    bool has_wear = find_wear(s, slot, counts);
    found->state = read_header(s, slot, &header);
    if (found->state == TKWS_APP_SLOT_EMPTY)
        found->state = check_empty(s, slot, has_wear);
    else if (found->state == TKWS_APP_SLOT_VALID)
        found->state = check_body(s, slot, &header);
    found->is_ended = is_ended(s, slot, found->state);
    if (found->is_ended)
        found->state = TKWS_APP_SLOT_CORRUPT;
    bool counted =
        found->state == TKWS_APP_SLOT_VALID || found->state == TKWS_APP_SLOT_NEWER_FORMAT;
    found->generation = counted ? header.generation : 0;
    for (size_t i = 0; has_wear && i < TKWS_APP_SLOTS; i++)
        if (counts[i] > s->slots[i].erases)
            s->slots[i].erases = counts[i];
}

/* Flash ages: what a start has found is looked at again before a slot is erased. */
static void read_slots(tkws_app_storage *s)
{
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++)
        read_slot(s, slot);
}

static bool has_record(const tkws_app_storage *s, size_t slot)
{
    uint32_t counts[TKWS_APP_SLOTS];
    return find_wear(s, slot, counts);
}

static bool is_new(const tkws_app_storage *s)
{
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++)
        if (s->slots[slot].state != TKWS_APP_SLOT_EMPTY || has_record(s, slot))
            return false;
    return true;
}

/* Whether a power cut has ended an erase, or the write after one. A slot that reads as erased may be weak: it
 * is empty when its record was written. */
static bool is_unfinished(const tkws_app_storage *s, size_t slot)
{
    return s->slots[slot].is_ended ||
           (has_no_header(s, slot) &&
            (s->slots[slot].state != TKWS_APP_SLOT_EMPTY || !has_record(s, slot)));
}

/* The valid slot of the newest generation, or NO_SLOT. */
static size_t newest(const tkws_app_storage *s)
{
    size_t best = NO_SLOT;
    for (size_t i = 0; i < TKWS_APP_SLOTS; i++)
        if (s->slots[i].state == TKWS_APP_SLOT_VALID &&
            (best == NO_SLOT ||
             generation_is_newer(s->slots[i].generation, s->slots[best].generation)))
            best = i;
    return best;
}

/* The slot to save into: not the newest nor one of a newer format, and rather one that holds nothing of another
 * model. NO_SLOT when there is none. */
static size_t spare(const tkws_app_storage *s)
{
    size_t best = NO_SLOT;
    size_t taken = newest(s);
    for (size_t i = 0; i < TKWS_APP_SLOTS; i++)
        if (i != taken && s->slots[i].state != TKWS_APP_SLOT_NEWER_FORMAT &&
            (best == NO_SLOT || s->slots[best].state == TKWS_APP_SLOT_OTHER_MODEL))
            best = i;
    return best;
}

/* The generation that a slot is at: a valid one's with all saves in its log. */
static uint32_t generation_of(const tkws_app_storage *s, size_t slot)
{
    tkws_app_log log;
    uint32_t generation = s->slots[slot].generation;
    if (s->slots[slot].state != TKWS_APP_SLOT_VALID)
        return generation;
    open_log(s, slot, &log);
    for (uint32_t i = tkws_app_log_steps(&log); i > 0; i--)
        generation = generation_after(generation);
    return generation;
}

static uint32_t next_generation(const tkws_app_storage *s)
{
    uint32_t last = generation_of(s, 0);
    uint32_t other = generation_of(s, 1);
    if (other != 0 && (last == 0 || generation_is_newer(other, last)))
        last = other;
    return generation_after(last);
}

static int erase_sectors(const tkws_app_storage *s, size_t slot)
{
    int error = TKWS_OK;
    for (size_t at = 0; error == TKWS_OK && at < s->board->slot_bytes; at += s->board->sector_bytes)
        error = s->board->flash_erase(s->board->context, header_at(s, slot) + at);
    return error;
}

/* A slot that is being erased counts no more, before anything of it is erased: an erase that is cut may leave a part,
 * or look for a while as if there had been none. */
static void end_slot(tkws_app_storage *s, size_t slot)
{
    tkws_app_log log;
    if (s->slots[slot].state == TKWS_APP_SLOT_VALID) {
        open_log(s, slot, &log);
        tkws_app_log_end(&log, s->slots[slot].is_firm);
    }
    s->slots[slot].is_firm = false;
    if (!has_no_header(s, slot))
        (void)tkws_app_units_cross_out(s->board, header_at(s, slot), HEADER_BYTES);
}

/* What the flash then holds is read back: all of it is erased, or it is no success.
 * On new flash the other slot gets a record, too, before anything is saved: it tells a start that finds this one
 * erased that its erase was cut. A record that is cut may read as erased: it is programmed again behind an erase
 * alone. That is so, for new flash is erased at slot 0 first, and a start erases a slot without a record where the
 * other one has one. */
static int erase_slot(tkws_app_storage *s, size_t slot)
{
    tkws_app_slot *erased = &s->slots[slot];
    bool was_new = is_new(s);
    end_slot(s, slot);
    int error = erase_sectors(s, slot);
    if (error == TKWS_OK) {
        if (erased->erases < UINT32_MAX)
            erased->erases++;
        error = write_wear(s, slot);
    }
    if (error == TKWS_OK && was_new)
        error = write_wear(s, 1 - slot);
    read_slot(s, slot);
    if (error == TKWS_OK && erased->state != TKWS_APP_SLOT_EMPTY)
        error = TKWS_E_STORAGE;
    erased->is_owed = erased->is_owed && error != TKWS_OK;
    return error;
}

static int write_body(const tkws_app_storage *s, size_t slot, size_t n_bytes, uint32_t *crc)
{
    uint8_t bytes[UNITS_CHUNK];
    uint32_t sum = 0;
    for (size_t at = 0; at < n_bytes; at += UNITS_CHUNK) {
        size_t n = least(n_bytes - at, UNITS_CHUNK);
        (void)tkws_weights_read(s->model, s->weights, at, bytes, n);
        sum = tkws_crc32(sum, bytes, n);
        int error = tkws_app_units_program(s->board, body_at(s, slot) + at, bytes, n);
        if (error != TKWS_OK)
            return error;
    }
    *crc = sum;
    uint32_t written = 0;
    int error = tkws_app_units_crc(s->board, body_at(s, slot), n_bytes, &written);
    return error == TKWS_OK && written != sum ? TKWS_E_STORAGE : error;
}

static int write_header(const tkws_app_storage *s, size_t slot, const slot_header *header)
{
    uint8_t bytes[UNITS_CHUNK];
    tkws_bytes_put_u32(bytes, TKWS_APP_SLOT_MAGIC);
    tkws_bytes_put_u32(bytes + 4, TKWS_APP_SLOT_FORMAT);
    tkws_bytes_put_u32(bytes + 8, header->generation);
    tkws_bytes_put_u32(bytes + 12, header->model_crc);
    tkws_bytes_put_u32(bytes + 16, TKWS_APP_FIRMWARE);
    tkws_bytes_put_u32(bytes + 20, header->body_bytes);
    tkws_bytes_put_u32(bytes + 24, header->body_crc);
    tkws_bytes_put_u32(bytes + 28, tkws_crc32(0, bytes, 28));
    return tkws_app_units_program(s->board, header_at(s, slot), bytes, HEADER_BYTES);
}

static int write_slot(const tkws_app_storage *s, size_t slot, uint32_t generation)
{
    size_t n_bytes = tkws_model_trainable_bytes(s->model);
    slot_header header = {s->model->crc, generation, (uint32_t)n_bytes, 0};
    int error = write_body(s, slot, n_bytes, &header.body_crc);
    return error == TKWS_OK ? write_header(s, slot, &header) : error;
}

/* Load a slot's body into the weights. The CRC is checked again: flash may have aged since the scan. */
static bool load_body(const tkws_app_storage *s, size_t slot)
{
    uint8_t bytes[UNITS_CHUNK];
    slot_header header = {0, 0, 0, 0};
    if (read_header(s, slot, &header) != TKWS_APP_SLOT_VALID ||
        check_body(s, slot, &header) != TKWS_APP_SLOT_VALID)
        return false;
    for (size_t at = 0; at < header.body_bytes; at += UNITS_CHUNK) {
        size_t n = least(header.body_bytes - at, UNITS_CHUNK);
        if (flash_read(s, body_at(s, slot) + at, bytes, n) != TKWS_OK ||
            tkws_weights_write(s->model, s->weights, at, bytes, n) != TKWS_OK)
            return false;
    }
    return true;
}

/* Load the body, and what the log has changed since. */
static bool load_slot(const tkws_app_storage *s, size_t slot)
{
    tkws_app_log log;
    if (!load_body(s, slot))
        return false;
    open_log(s, slot, &log);
    return tkws_app_log_load(&log, s->weights);
}

static void finish_erases(tkws_app_storage *s)
{
    bool untouched = is_new(s);
    for (size_t slot = 0; !untouched && slot < TKWS_APP_SLOTS; slot++)
        if (is_unfinished(s, slot))
            (void)erase_slot(s, slot); /* its state tells a refusal */
}

/* Erase what a slot was to be alone without; its log is begun again before, as what was seen of that may fade. */
static void erase_other(tkws_app_storage *s, size_t slot, const tkws_app_log *log)
{
    tkws_app_slot *other = &s->slots[1 - slot];
    other->is_owed = other->state == TKWS_APP_SLOT_VALID || other->state == TKWS_APP_SLOT_CORRUPT;
    if (other->is_owed && tkws_app_log_begin(log))
        (void)erase_slot(s, 1 - slot); /* its state tells a refusal */
}

/* A power cut may have ended a save that was to leave nothing else. */
static void finish_forgetting(tkws_app_storage *s)
{
    tkws_app_log log;
    size_t slot = newest(s);
    if (slot == NO_SLOT)
        return;
    open_log(s, slot, &log);
    if (log.is_alone)
        erase_other(s, slot, &log);
}

void tkws_app_storage_init(tkws_app_storage *storage, const tkws_board *board,
                           const tkws_model *model, const tkws_weights *weights)
{
    memset(storage, 0, sizeof *storage);
    storage->board = board;
    storage->model = model;
    storage->weights = weights;
    if (board->slot_bytes > 0) {
        read_slots(storage);
        finish_erases(storage);
        finish_forgetting(storage);
    }
    tkws_app_storage_restore(storage);
}

void tkws_app_storage_restore(tkws_app_storage *storage)
{
    for (size_t slot = newest(storage); slot != NO_SLOT; slot = newest(storage)) {
        if (load_slot(storage, slot)) {
            storage->generation = generation_of(storage, slot);
            return;
        }
        storage->slots[slot].state = TKWS_APP_SLOT_CORRUPT;
        storage->slots[slot].generation = 0;
    }
    tkws_weights_load(storage->model, storage->weights);
    storage->generation = 0;
}

/* Read a part of what is saved: of a slot's body, or where there is no slot, of the model. */
static bool read_saved(const tkws_app_storage *s, size_t slot, size_t at, uint8_t *bytes,
                       size_t n_bytes)
{
    const tkws_model *model = s->model;
    size_t n_weights = tkws_model_trainable_bytes(model) - tkws_model_takes_bytes(model);
    if (slot != NO_SLOT)
        return flash_read(s, body_at(s, slot) + at, bytes, n_bytes) == TKWS_OK;
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = at + i < n_weights ? model->trainable[at + i] : 0;
    return true;
}

/* Whether the first n_bytes of what is in RAM are as saved. */
static bool is_as_saved(const tkws_app_storage *s, size_t slot, size_t n_bytes)
{
    uint8_t bytes[UNITS_PIECE];
    uint8_t saved[UNITS_PIECE];
    for (size_t at = 0; at < n_bytes; at += UNITS_PIECE) {
        size_t n = least(n_bytes - at, UNITS_PIECE);
        (void)tkws_weights_read(s->model, s->weights, at, bytes, n);
        if (!read_saved(s, slot, at, saved, n) || memcmp(bytes, saved, n) != 0)
            return false;
    }
    return true;
}

/* What a log is to say counts only while the other slot holds nothing newer: one that is corrupt may have been written
 * when the power was cut, and be whole later. @return whether it is so */
static bool can_append(tkws_app_storage *s, size_t slot)
{
    return s->slots[1 - slot].state != TKWS_APP_SLOT_CORRUPT || erase_slot(s, 1 - slot) == TKWS_OK;
}

/* Append what has changed to the newest slot's log. @return whether it is there: it is not when more than takes has
 * changed, and when the log is full or the flash refused */
static bool save_in_log(tkws_app_storage *s)
{
    tkws_app_log log;
    size_t slot = newest(s);
    size_t n_bytes = tkws_model_trainable_bytes(s->model) - tkws_model_takes_bytes(s->model);
    if (slot == NO_SLOT || !is_as_saved(s, slot, n_bytes) || !can_append(s, slot))
        return false;
    open_log(s, slot, &log);
    if (tkws_app_log_save(&log, s->weights, &s->slots[slot].is_firm) != TKWS_OK)
        return false;
    s->generation = generation_of(s, slot);
    return true;
}

static int erase_owed(tkws_app_storage *s)
{
    int error = TKWS_OK;
    for (size_t i = 0; error == TKWS_OK && i < TKWS_APP_SLOTS; i++)
        if (s->slots[i].is_owed)
            error = erase_slot(s, i);
    return error;
}

/* It and begin_log() open a log each, so that the stack holds none while the slot is erased and written. */
static int mark_alone(const tkws_app_storage *s, size_t slot)
{
    tkws_app_log log;
    open_log(s, slot, &log);
    return tkws_app_log_mark_alone(&log);
}

static bool begin_log(const tkws_app_storage *s, size_t slot)
{
    tkws_app_log log;
    open_log(s, slot, &log);
    return tkws_app_log_begin(&log);
}

static int save_whole(tkws_app_storage *s, bool alone)
{
    size_t slot = spare(s);
    if (slot == NO_SLOT)
        return TKWS_E_NEWER_FORMAT;
    uint32_t generation = next_generation(s);
    int error = erase_slot(s, slot);
    if (error == TKWS_OK && alone)
        error = mark_alone(s, slot);
    if (error == TKWS_OK)
        error = write_slot(s, slot, generation);
    if (error == TKWS_OK)
        s->slots[slot].is_firm = begin_log(s, slot);
    read_slot(s, slot);
    const tkws_app_slot *written = &s->slots[slot];
    bool counts = written->state == TKWS_APP_SLOT_VALID && written->generation == generation;
    if (counts) /* after a refusal too: the header may be whole, and the next start restores it */
        s->generation = generation;
    if (error == TKWS_OK && !counts)
        error = TKWS_E_STORAGE;
    return error == TKWS_OK ? erase_owed(s) : error;
}

/* Look at the slots before a save. @return TKWS_OK, or why there can be none */
static int begin_save(tkws_app_storage *s)
{
    if (s->board->slot_bytes == 0)
        return TKWS_E_UNSUPPORTED;
    if (tkws_model_trainable_bytes(s->model) > body_room(s))
        return TKWS_E_SLOT_FULL;
    read_slots(s);
    return TKWS_OK;
}

/* Whether the flash holds nothing but what is in RAM. */
static bool holds_nothing_else(const tkws_app_storage *s)
{
    tkws_app_log log;
    size_t slot = newest(s);
    for (size_t i = 0; i < TKWS_APP_SLOTS; i++)
        if (i != slot && s->slots[i].state != TKWS_APP_SLOT_EMPTY)
            return false;
    if (!is_as_saved(s, slot, tkws_model_trainable_bytes(s->model)))
        return false;
    if (slot == NO_SLOT)
        return true;
    open_log(s, slot, &log);
    return !tkws_app_log_is_used(&log);
}

int tkws_app_storage_check_alone(tkws_app_storage *storage)
{
    size_t n_log = TKWS_APP_LOG_ALONE_GRAINS * units_of(storage->board, TKWS_APP_LOG_GRAIN);
    size_t n_body = units_of(storage->board, tkws_model_trainable_bytes(storage->model));
    int error = begin_save(storage);
    if (error == TKWS_OK && n_body + n_log > body_room(storage))
        error = TKWS_E_SLOT_FULL;
    for (size_t i = 0; error == TKWS_OK && i < TKWS_APP_SLOTS; i++)
        if (storage->slots[i].state == TKWS_APP_SLOT_NEWER_FORMAT)
            error = TKWS_E_NEWER_FORMAT;
    return error;
}

/* What both slots have but for what is in RAM is owed. @return whether there is anything */
static bool owe_all(tkws_app_storage *s)
{
    bool is_done = holds_nothing_else(s);
    for (size_t i = 0; i < TKWS_APP_SLOTS; i++)
        s->slots[i].is_owed = !is_done && s->slots[i].state != TKWS_APP_SLOT_EMPTY;
    return !is_done;
}

static int save(tkws_app_storage *s, bool alone)
{
    int error = alone ? tkws_app_storage_check_alone(s) : begin_save(s);
    if (error != TKWS_OK || (alone ? !owe_all(s) : save_in_log(s)))
        return error;
    return save_whole(s, alone);
}

int tkws_app_storage_save(tkws_app_storage *storage)
{
    return save(storage, tkws_app_storage_is_owed(storage));
}

int tkws_app_storage_save_alone(tkws_app_storage *storage)
{
    return save(storage, true);
}

bool tkws_app_storage_is_owed(const tkws_app_storage *storage)
{
    return storage->slots[0].is_owed || storage->slots[1].is_owed;
}

/* Go back by a save in the log. @return TKWS_OK, TKWS_E_NO_UNDO with nothing changed, or TKWS_E_STORAGE */
static int undo_in_log(tkws_app_storage *s, size_t slot, const tkws_app_log *log)
{
    bool *is_firm = &s->slots[slot].is_firm;
    if (!tkws_app_log_can_undo(log, *is_firm))
        return TKWS_E_NO_UNDO;
    int error = can_append(s, slot) ? tkws_app_log_undo(log, is_firm) : TKWS_E_STORAGE;
    tkws_app_storage_restore(s);
    return error;
}

int tkws_app_storage_undo(tkws_app_storage *storage)
{
    tkws_app_log log;
    size_t slot = newest(storage);
    if (slot == NO_SLOT)
        return TKWS_E_NO_SAVED;
    open_log(storage, slot, &log);
    if (log.last != 0)
        return undo_in_log(storage, slot, &log);
    read_slot(storage, 1 - slot); /* which is relied on: flash ages */
    if (storage->slots[1 - slot].state != TKWS_APP_SLOT_VALID &&
        storage->slots[slot].generation != 1)
        return TKWS_E_NO_UNDO;
    int error = erase_slot(storage, slot);
    tkws_app_storage_restore(storage);
    return error;
}

int tkws_app_storage_forget(tkws_app_storage *storage)
{
    if (storage->board->slot_bytes == 0)
        return TKWS_E_UNSUPPORTED;
    read_slots(storage);
    size_t last = newest(storage) == 0 ? 0 : 1;
    int error = erase_slot(storage, 1 - last);
    if (error == TKWS_OK)
        error = erase_slot(storage, last);
    tkws_app_storage_restore(storage);
    return error;
}
