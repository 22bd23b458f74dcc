/* SPDX-License-Identifier: Apache-2.0 */
/** @file image.h  The model image that runs: one that was loaded into flash, or the factory's.
 *
 * There are two areas for loaded images, behind the two slots. An area, from its start; the image begins at
 * a multiple of the board's program unit:
 *   record   written last: magic, format, generation, bytes of the image, CRC of the image (its last
 *            four bytes), CRC of the factory's image, CRC-32 of the record; uint32 each
 *   image    as in its file
 * An area without an intact record is no area, and the one that runs is never touched: a power cut at any
 * moment leaves the image before or the new one. An area counts only beside the factory's image that it was
 * loaded over: a firmware that comes with another one runs that.
 *
 * Areas hold nothing that was learned, and the host has what they hold: parts of an image whose load was cut
 * stay until the next load, and an area of a newer format does not count and is loaded over. */
#ifndef TKWS_APP_IMAGE_H
#define TKWS_APP_IMAGE_H

#include <stdbool.h>

#include "board.h"

#define TKWS_APP_AREAS 2
#define TKWS_APP_FACTORY TKWS_APP_AREAS /**< in place of an area: the firmware's own image */
#define TKWS_APP_IMAGE_MAGIC 0x4d494b54 /**< "TKIM" */
#define TKWS_APP_IMAGE_FORMAT 1

/** An image where the processor can read it. */
typedef struct {
    const uint8_t *bytes;
    size_t n_bytes;
    uint32_t generation; /**< loads so far, 1 and up, then 1 again; 0 for the factory's */
    uint8_t area;        /**< 0, 1 or TKWS_APP_FACTORY */
} tkws_app_image;

/** Bytes that an image in an area may have; 0 when the board cannot load any. */
size_t tkws_app_image_room(const tkws_board *board);

/** Look an image up; whether it is whole, tkws_model_parse() tells.
 *  @param area  0, 1 or TKWS_APP_FACTORY
 *  @return whether there is one, with image written then */
bool tkws_app_image_find(const tkws_board *board, uint8_t area, tkws_app_image *image);

/** The area to load into: not the one that runs. */
uint8_t tkws_app_image_spare(const tkws_app_image *running);

/** Clear one sector of an area. @return TKWS_OK, or TKWS_E_STORAGE */
int tkws_app_image_erase(const tkws_board *board, uint8_t area, size_t sector);

/** Sectors that an image takes, record included. */
size_t tkws_app_image_sectors(const tkws_board *board, size_t n_bytes);

/** Write a part of an image and read it back.
 *  @param offset  in the image, a multiple of 256
 *  @return TKWS_OK, or TKWS_E_STORAGE */
int tkws_app_image_write(const tkws_board *board, uint8_t area, size_t offset, const uint8_t *bytes,
                         size_t n_bytes);

/** What has been written to an area, record or not. */
const uint8_t *tkws_app_image_bytes(const tkws_board *board, uint8_t area);

/** Write the record: from now on the image of n_bytes counts, as the newest.
 *  @return TKWS_OK; or TKWS_E_STORAGE. The record is erased then, so that it does not count later; where the flash refuses
 *  that, too, it may be whole, and the image run at the next start */
int tkws_app_image_commit(const tkws_board *board, uint8_t area, size_t n_bytes);

#endif
