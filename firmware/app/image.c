/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include "generation.h"
#include "least.h"
#include "storage.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "units.h"

#define RECORD_BYTES 28
#define RECORD_CRC_AT 24
#define CRC_BYTES 4 /* at the end of an image */

static size_t area_at(const tkws_board *board, uint8_t area)
{
    return TKWS_APP_SLOTS * board->slot_bytes + area * board->image_area_bytes;
}

static size_t image_at(const tkws_board *board, uint8_t area)
{
    return area_at(board, area) + units_of(board, RECORD_BYTES);
}

size_t tkws_app_image_room(const tkws_board *board)
{
    if (board->flash_mapped == NULL || board->image_area_bytes == 0)
        return 0; /* what is programmed at once need not be told then */
    size_t taken = units_of(board, RECORD_BYTES);
    return board->image_area_bytes > taken ? board->image_area_bytes - taken : 0;
}

const uint8_t *tkws_app_image_bytes(const tkws_board *board, uint8_t area)
{
    return board->flash_mapped + image_at(board, area);
}

/* The CRC that an image says it has; 0 for none. */
static uint32_t crc_of(const uint8_t *image, size_t n_bytes)
{
    return n_bytes >= CRC_BYTES ? tkws_bytes_get_u32(image + n_bytes - CRC_BYTES) : 0;
}

static uint32_t factory_crc(const tkws_board *board)
{
    return board->image != NULL ? crc_of(board->image, board->image_bytes) : 0;
}

static bool find_loaded(const tkws_board *board, uint8_t area, tkws_app_image *image)
{
    if (tkws_app_image_room(board) == 0)
        return false;
    const uint8_t *record = board->flash_mapped + area_at(board, area);
    const uint8_t *bytes = tkws_app_image_bytes(board, area);
    uint32_t generation = tkws_bytes_get_u32(record + 8);
    size_t n_bytes = tkws_bytes_get_u32(record + 12);
    if (tkws_bytes_get_u32(record) != TKWS_APP_IMAGE_MAGIC ||
        tkws_bytes_get_u32(record + 4) != TKWS_APP_IMAGE_FORMAT ||
        tkws_bytes_get_u32(record + RECORD_CRC_AT) != tkws_crc32(0, record, RECORD_CRC_AT) ||
        generation == 0 || n_bytes > tkws_app_image_room(board) ||
        tkws_bytes_get_u32(record + 16) != crc_of(bytes, n_bytes) ||
        tkws_bytes_get_u32(record + 20) != factory_crc(board))
        return false;
    image->bytes = bytes;
    image->n_bytes = n_bytes;
    image->generation = generation;
    image->area = area;
    return true;
}

bool tkws_app_image_find(const tkws_board *board, uint8_t area, tkws_app_image *image)
{
    if (area != TKWS_APP_FACTORY)
        return find_loaded(board, area, image);
    if (board->image == NULL || board->image_bytes == 0)
        return false;
    image->bytes = board->image;
    image->n_bytes = board->image_bytes;
    image->generation = 0;
    image->area = TKWS_APP_FACTORY;
    return true;
}

uint8_t tkws_app_image_spare(const tkws_app_image *running)
{
    return running->area == 0 ? 1 : 0;
}

size_t tkws_app_image_sectors(const tkws_board *board, size_t n_bytes)
{
    return (units_of(board, RECORD_BYTES) + n_bytes + board->sector_bytes - 1) /
           board->sector_bytes;
}

int tkws_app_image_erase(const tkws_board *board, uint8_t area, size_t sector)
{
    return board->flash_erase(board->context, area_at(board, area) + sector * board->sector_bytes);
}

/* Program at most UNITS_CHUNK bytes and read them where they are mapped. */
static int write_chunk(const tkws_board *board, size_t at, uint8_t *bytes, size_t n_bytes)
{
    int error = tkws_app_units_program(board, at, bytes, n_bytes);
    if (error == TKWS_OK && memcmp(board->flash_mapped + at, bytes, n_bytes) != 0)
        error = TKWS_E_STORAGE;
    return error;
}

int tkws_app_image_write(const tkws_board *board, uint8_t area, size_t offset, const uint8_t *bytes,
                         size_t n_bytes)
{
    uint8_t chunk[UNITS_CHUNK];
    for (size_t at = 0; at < n_bytes; at += UNITS_CHUNK) {
        size_t n = least(n_bytes - at, UNITS_CHUNK);
        memcpy(chunk, bytes + at, n);
        int error = write_chunk(board, image_at(board, area) + offset + at, chunk, n);
        if (error != TKWS_OK)
            return error;
    }
    return TKWS_OK;
}

int tkws_app_image_commit(const tkws_board *board, uint8_t area, size_t n_bytes)
{
    uint8_t record[UNITS_CHUNK];
    tkws_app_image other;
    bool found = find_loaded(board, area == 0 ? 1 : 0, &other);
    tkws_bytes_put_u32(record, TKWS_APP_IMAGE_MAGIC);
    tkws_bytes_put_u32(record + 4, TKWS_APP_IMAGE_FORMAT);
    tkws_bytes_put_u32(record + 8, found ? generation_after(other.generation) : 1);
    tkws_bytes_put_u32(record + 12, (uint32_t)n_bytes);
    tkws_bytes_put_u32(record + 16, crc_of(tkws_app_image_bytes(board, area), n_bytes));
    tkws_bytes_put_u32(record + 20, factory_crc(board));
    tkws_bytes_put_u32(record + RECORD_CRC_AT, tkws_crc32(0, record, RECORD_CRC_AT));
    int error = write_chunk(board, area_at(board, area), record, RECORD_BYTES);
    if (error != TKWS_OK) /* the record may be whole all the same, and count at the next start */
        (void)tkws_app_image_erase(board, area, 0);
    return error;
}
