/* SPDX-License-Identifier: Apache-2.0 */
#include "storage.h"

#include <stdbool.h>

#include "generation.h"
#include "least.h"
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

static bool are_ones(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t ones = UNITS_ERASED;
    for (size_t i = 0; i < n_bytes; i++)
        ones &= bytes[i];
    return ones == UNITS_ERASED;
}

/* Whether the flash between two offsets reads as erased. */
static bool is_erased(const tkws_app_storage *s, size_t from, size_t to)
{
    uint8_t bytes[UNITS_CHUNK];
    for (size_t at = from; at < to; at += UNITS_CHUNK) {
        size_t n = least(to - at, UNITS_CHUNK);
        if (flash_read(s, at, bytes, n) != TKWS_OK || !are_ones(bytes, n))
            return false;
    }
    return true;
}

static int body_crc(const tkws_app_storage *s, size_t slot, size_t n_bytes, uint32_t *crc)
{
    uint8_t bytes[UNITS_CHUNK];
    uint32_t sum = 0;
    for (size_t at = 0; at < n_bytes; at += UNITS_CHUNK) {
        size_t n = least(n_bytes - at, UNITS_CHUNK);
        int error = flash_read(s, body_at(s, slot) + at, bytes, n);
        if (error != TKWS_OK)
            return error;
        sum = tkws_crc32(sum, bytes, n);
    }
    *crc = sum;
    return TKWS_OK;
}

/* State of a slot by its header alone: empty, corrupt, or valid or newer with header written, of which only
 * the generation means anything in a newer format. */
static uint8_t read_header(const tkws_app_storage *s, size_t slot, slot_header *header)
{
    uint8_t bytes[HEADER_BYTES];
    if (flash_read(s, header_at(s, slot), bytes, HEADER_BYTES) != TKWS_OK)
        return TKWS_APP_SLOT_CORRUPT;
    if (are_ones(bytes, HEADER_BYTES))
        return TKWS_APP_SLOT_EMPTY;
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
        body_crc(s, slot, n_bytes, &crc) != TKWS_OK || crc != header->body_crc)
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
    return units_program(s->board, wear_at(s, slot), bytes, WEAR_BYTES);
}

/* A slot without a header is empty when it holds nothing else either, its record of wear aside. */
static uint8_t check_empty(const tkws_app_storage *s, size_t slot, bool has_wear)
{
    size_t behind = wear_at(s, slot) + (has_wear ? WEAR_BYTES : 0);
    bool empty = is_erased(s, header_at(s, slot), wear_at(s, slot)) &&
                 is_erased(s, behind, header_at(s, slot) + s->board->slot_bytes);
    return empty ? TKWS_APP_SLOT_EMPTY : TKWS_APP_SLOT_CORRUPT;
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
    slot_header header;
    return read_header(s, slot, &header) == TKWS_APP_SLOT_EMPTY &&
           (s->slots[slot].state != TKWS_APP_SLOT_EMPTY || !has_record(s, slot));
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

static uint32_t next_generation(const tkws_app_storage *s)
{
    uint32_t last = s->slots[0].generation;
    uint32_t other = s->slots[1].generation;
    if (other != 0 && (last == 0 || generation_is_newer(other, last)))
        last = other;
    return generation_after(last);
}

/* On new flash the other slot gets a record first. It carries the counts over a power cut, and tells the next
 * start that the flash is new no more, and that the other slot needs no erase. */
static int begin_erase(tkws_app_storage *s, size_t slot)
{
    if (!is_new(s))
        return TKWS_OK;
    int error = write_wear(s, 1 - slot);
    read_slot(s, 1 - slot);
    return error;
}

static int erase_sectors(const tkws_app_storage *s, size_t slot)
{
    int error = TKWS_OK;
    for (size_t at = 0; error == TKWS_OK && at < s->board->slot_bytes; at += s->board->sector_bytes)
        error = s->board->flash_erase(s->board->context, header_at(s, slot) + at);
    return error;
}

/* The first sector holds the header and goes first: from then on the slot does not count. What the flash then
 * holds is read back: all of it is erased, or it is no success. */
static int erase_slot(tkws_app_storage *s, size_t slot)
{
    int error = begin_erase(s, slot);
    if (error == TKWS_OK)
        error = erase_sectors(s, slot);
    if (error == TKWS_OK) {
        if (s->slots[slot].erases < UINT32_MAX)
            s->slots[slot].erases++;
        error = write_wear(s, slot);
    }
    read_slot(s, slot);
    if (error == TKWS_OK && s->slots[slot].state != TKWS_APP_SLOT_EMPTY)
        error = TKWS_E_STORAGE;
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
        int error = units_program(s->board, body_at(s, slot) + at, bytes, n);
        if (error != TKWS_OK)
            return error;
    }
    *crc = sum;
    uint32_t written = 0;
    int error = body_crc(s, slot, n_bytes, &written);
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
    return units_program(s->board, header_at(s, slot), bytes, HEADER_BYTES);
}

static int write_slot(const tkws_app_storage *s, size_t slot, uint32_t generation)
{
    size_t n_bytes = tkws_model_trainable_bytes(s->model);
    slot_header header = {s->model->crc, generation, (uint32_t)n_bytes, 0};
    int error = write_body(s, slot, n_bytes, &header.body_crc);
    return error == TKWS_OK ? write_header(s, slot, &header) : error;
}

/* Load a slot's body into the weights. The CRC is checked again: flash may have aged since the scan. */
static bool load_slot(const tkws_app_storage *s, size_t slot)
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

static void finish_erases(tkws_app_storage *s)
{
    bool untouched = is_new(s);
    for (size_t slot = 0; !untouched && slot < TKWS_APP_SLOTS; slot++)
        if (is_unfinished(s, slot))
            (void)erase_slot(s, slot); /* its state tells a refusal */
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
    }
    tkws_app_storage_restore(storage);
}

void tkws_app_storage_restore(tkws_app_storage *storage)
{
    for (size_t slot = newest(storage); slot != NO_SLOT; slot = newest(storage)) {
        if (load_slot(storage, slot)) {
            storage->generation = storage->slots[slot].generation;
            return;
        }
        storage->slots[slot].state = TKWS_APP_SLOT_CORRUPT;
        storage->slots[slot].generation = 0;
    }
    tkws_weights_load(storage->model, storage->weights);
    storage->generation = 0;
}

int tkws_app_storage_save(tkws_app_storage *storage)
{
    if (storage->board->slot_bytes == 0)
        return TKWS_E_UNSUPPORTED;
    if (tkws_model_trainable_bytes(storage->model) > body_room(storage))
        return TKWS_E_SLOT_FULL;
    read_slots(storage);
    size_t slot = spare(storage);
    if (slot == NO_SLOT)
        return TKWS_E_NEWER_FORMAT;
    uint32_t generation = next_generation(storage);
    int error = erase_slot(storage, slot);
    if (error == TKWS_OK)
        error = write_slot(storage, slot, generation);
    read_slot(storage, slot);
    const tkws_app_slot *written = &storage->slots[slot];
    bool counts = written->state == TKWS_APP_SLOT_VALID && written->generation == generation;
    if (counts) /* after a refusal too: the header may be whole, and the next start restores it */
        storage->generation = generation;
    return error == TKWS_OK && !counts ? TKWS_E_STORAGE : error;
}

int tkws_app_storage_undo(tkws_app_storage *storage)
{
    size_t slot = newest(storage);
    if (slot == NO_SLOT)
        return TKWS_E_NO_SAVED;
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
