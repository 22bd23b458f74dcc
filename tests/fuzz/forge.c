/* SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include <string.h>

#include "check.h"
#include "image.h"
#include "log.h"
#include "maker.h"
#include "storage.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"
#include "units.h"

#define RECORD_BYTES 28
#define HEADER_BYTES 32
#define WEAR_BYTES 16
#define RECORD_HEAD 12 /* of a log */
#define RECORD_END 4

/* What is wrong with a slot or an area. */
enum {
    ABSENT = 1,
    DAMAGED = 2, /* a byte of the content, under the right CRC */
    BAD_LENGTH = 4,
    BAD_MODEL = 8,
    BAD_FORMAT = 16,
    BAD_CRC = 32,   /* of the header */
    ODD_COUNT = 64, /* any generation */
    LOGGED = 128,   /* of a slot: it has a log */
};

/* What is wrong with a record of a log. */
enum {
    RECORD_UNDONE = 1, /* it has no words */
    RECORD_BEFORE = 2, /* it goes on from anywhere */
    RECORD_LENGTH = 4,
    RECORD_CRC = 8,
    RECORD_WORDS = 16, /* of any number */
};

static uint32_t last_u32(const uint8_t *bytes, size_t n_bytes)
{
    return tkws_bytes_get_u32(bytes + n_bytes - 4);
}

static uint32_t or_any(fuzz_input *in, bool is_any, uint32_t right)
{
    return is_any ? input_within(in, 0, UINT32_MAX) : right;
}

/* The bytes of a header that every kind begins with. */
static void start(fuzz_input *in, uint8_t how, uint8_t *header, uint32_t magic, uint32_t generation)
{
    tkws_bytes_put_u32(header, magic);
    tkws_bytes_put_u32(header + 4, or_any(in, (how & BAD_FORMAT) != 0, 1));
    tkws_bytes_put_u32(header + 8, or_any(in, (how & ODD_COUNT) != 0, generation));
}

static void forge_area(machine *m, fuzz_input *in, size_t area, uint32_t factory_crc)
{
    uint8_t how = input_u8(in);
    const tkws_board *b = &m->board;
    uint8_t *record = m->flash + 2 * b->slot_bytes + area * b->image_area_bytes;
    uint8_t *at = record + units_of(b, RECORD_BYTES);
    size_t n = 0;
    if ((how & ABSENT) != 0)
        return;
    uint8_t *image = maker_known(input_u8(in) % MAKER_KNOWN, &n);
    if ((how & DAMAGED) != 0) {
        image[input_u16(in) % n] = input_u8(in);
        maker_seal(image, n);
    }
    memcpy(at, image, n);
    start(in, how, record, TKWS_APP_IMAGE_MAGIC, 1 + input_u8(in) % 3u);
    tkws_bytes_put_u32(record + 12, or_any(in, (how & BAD_LENGTH) != 0, (uint32_t)n));
    tkws_bytes_put_u32(record + 16, last_u32(image, n));
    tkws_bytes_put_u32(record + 20, or_any(in, (how & BAD_MODEL) != 0, factory_crc));
    tkws_bytes_put_u32(record + 24, or_any(in, (how & BAD_CRC) != 0, tkws_crc32(0, record, 24)));
    free(image);
}

static void forge_wear(fuzz_input *in, uint8_t *wear)
{
    if (input_u8(in) % 2 == 0)
        return;
    tkws_bytes_put_u32(wear, TKWS_APP_WEAR_MAGIC);
    tkws_bytes_put_u32(wear + 4, input_within(in, 0, UINT32_MAX));
    tkws_bytes_put_u32(wear + 8, input_within(in, 0, UINT32_MAX));
    tkws_bytes_put_u32(wear + 12, tkws_crc32(0, wear, 12));
}

static void forge_body(fuzz_input *in, uint8_t *body, size_t n_bytes)
{
    int16_t number = 0;
    maker_pattern pattern = maker_read_pattern(in);
    for (size_t i = 0; i + 1 < n_bytes; i += 2) {
        maker_fill16(&number, 1, pattern);
        tkws_bytes_put_u16(body + i, (uint32_t)number);
        pattern.seed = (pattern.seed + 1) & 0xffffu;
    }
}

/* Write words of a record. @return bytes of them */
static size_t forge_words(fuzz_input *in, uint8_t how, const tkws_model *model, uint8_t *at,
                          size_t room)
{
    size_t used = 0;
    for (uint8_t n = input_u8(in) % 4u; n > 0; n--) {
        uint32_t word = input_u8(in) % (uint32_t)tkws_model_words(model);
        size_t n_word = 2 + tkws_model_take_bytes(model) +
                        (word < model->header.n_classes ? 0 : TKWS_OWN_BYTES);
        if (n_word > room - used)
            break;
        tkws_bytes_put_u16(at + used, or_any(in, (how & RECORD_WORDS) != 0, word) & 0xffffu);
        forge_body(in, at + used + 2, n_word - 2);
        used += n_word;
    }
    return used;
}

/* Write a record. @return bytes of it, or 0 where there is no room */
static size_t forge_record(fuzz_input *in, const tkws_model *model, uint8_t *at, size_t room,
                           uint32_t before)
{
    uint8_t how = input_u8(in);
    bool undone = (how & RECORD_UNDONE) != 0;
    if (room < RECORD_HEAD + RECORD_END)
        return 0;
    size_t n =
        undone ? 0 : forge_words(in, how, model, at + RECORD_HEAD, room - RECORD_HEAD - RECORD_END);
    size_t end = RECORD_HEAD + n;
    tkws_bytes_put_u32(at, undone ? TKWS_APP_LOG_UNDONE : TKWS_APP_LOG_SAVED);
    tkws_bytes_put_u32(at + 4, or_any(in, (how & RECORD_BEFORE) != 0, before));
    tkws_bytes_put_u32(at + 8, or_any(in, (how & RECORD_LENGTH) != 0, (uint32_t)n));
    tkws_bytes_put_u32(at + end, or_any(in, (how & RECORD_CRC) != 0, tkws_crc32(0, at, end)));
    return end + RECORD_END;
}

/* @param log  room bytes behind the body; one grain, its begin, first */
static void forge_log(fuzz_input *in, const tkws_board *b, const tkws_model *model, uint8_t *log,
                      size_t room)
{
    size_t grain = units_of(b, TKWS_APP_LOG_GRAIN);
    uint32_t before = 0;
    size_t at = grain;
    if (room < grain)
        return;
    bool alone = input_u8(in) % 2u != 0;
    tkws_bytes_put_u32(log, alone ? TKWS_APP_LOG_ALONE : 0);
    if (alone && at + grain <= room && input_u8(in) % 4u != 0) {
        memset(log + at, 0, grain);
        at += grain;
    }
    for (uint8_t n = input_u8(in) % 8u; n > 0 && at < room; n--) {
        size_t used = forge_record(in, model, log + at, room - at, before);
        before = input_u8(in) % 4 == 0 ? before : (uint32_t)at;
        at += (used + grain - 1) / grain * grain;
        at += (input_u8(in) & 1u) != 0 ? grain : 0;
    }
}

static void forge_slot(machine *m, fuzz_input *in, size_t slot)
{
    uint8_t how = input_u8(in);
    const tkws_board *b = &m->board;
    uint8_t *header = m->flash + slot * b->slot_bytes;
    uint8_t *wear = header + units_of(b, HEADER_BYTES);
    uint8_t *body = wear + units_of(b, WEAR_BYTES);
    size_t room = b->slot_bytes - (size_t)(body - header);
    size_t n_image = 0;
    tkws_model model;
    forge_wear(in, wear);
    uint8_t *image = maker_known(input_u8(in) % MAKER_KNOWN, &n_image);
    CHECK(tkws_model_parse(&model, image, n_image) == TKWS_OK);
    size_t n = tkws_model_trainable_bytes(&model);
    n = n < room ? n : room;
    forge_body(in, body, n);
    if ((how & LOGGED) != 0 && units_of(b, n) < room)
        forge_log(in, b, &model, body + units_of(b, n), room - units_of(b, n));
    if ((how & ABSENT) == 0) {
        start(in, how, header, TKWS_APP_SLOT_MAGIC, 1 + input_u8(in) % 3u);
        tkws_bytes_put_u32(header + 12, or_any(in, (how & BAD_MODEL) != 0, model.crc));
        tkws_bytes_put_u32(header + 16, input_u8(in));
        tkws_bytes_put_u32(header + 20, or_any(in, (how & BAD_LENGTH) != 0, (uint32_t)n));
        tkws_bytes_put_u32(header + 24, or_any(in, (how & DAMAGED) != 0, tkws_crc32(0, body, n)));
        tkws_bytes_put_u32(header + 28,
                           or_any(in, (how & BAD_CRC) != 0, tkws_crc32(0, header, 28)));
    }
    free(image);
}

/* Some bytes anywhere. */
static void spill(machine *m, fuzz_input *in)
{
    size_t at = input_u16(in) % m->flash_bytes;
    size_t n = input_u8(in) % 32u;
    for (size_t i = 0; i < n && at + i < m->flash_bytes; i++)
        m->flash[at + i] = input_u8(in);
}

void forge_flash(machine *m, fuzz_input *in, const uint8_t *factory, size_t n_factory)
{
    uint32_t factory_crc = m->board.image != NULL ? last_u32(factory, n_factory) : 0;
    for (size_t area = 0; m->board.image_area_bytes > 0 && area < TKWS_APP_AREAS; area++)
        forge_area(m, in, area, factory_crc);
    for (size_t slot = 0; m->board.slot_bytes > 0 && slot < TKWS_APP_SLOTS; slot++)
        forge_slot(m, in, slot);
    if (m->flash_bytes > 0 && input_u8(in) % 4 == 1)
        spill(m, in);
}

bool forge_slot_is_clean(const machine *m, size_t slot)
{
    const tkws_board *b = &m->board;
    size_t wear = units_of(b, HEADER_BYTES);
    size_t body = wear + units_of(b, WEAR_BYTES);
    for (size_t i = 0; i < b->slot_bytes; i++)
        if ((i < wear || i >= body) && m->flash[slot * b->slot_bytes + i] != UNITS_ERASED)
            return false;
    return true;
}
