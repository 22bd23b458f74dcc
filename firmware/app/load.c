/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a model image: a session whose data goes into the area of flash that does not run. */
#include "app_internal.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"

/* Whether the image that runs would be found again by a start. Flash ages, and the record of a load that was
 * cut in its last write may have been weak: then the other area's image is the one that counts. */
static bool is_found(const tkws_app *app)
{
    tkws_app_image image;
    return tkws_app_image_find(app->board, app->image.area, &image) &&
           tkws_app_check_image(app->board, image.bytes, image.n_bytes) == TKWS_OK;
}

int tkws_app_load(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)n_body;
    const tkws_board *board = app->board;
    size_t n_bytes = tkws_bytes_get_u32(body);
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    if (tkws_app_image_room(board) == 0)
        return TKWS_E_UNSUPPORTED;
    if (n_bytes > tkws_app_image_room(board))
        return TKWS_E_IMAGE_FULL;
    if (app->image.area != TKWS_APP_FACTORY && !is_found(app))
        return TKWS_E_STORAGE;
    for (size_t i = 0; i < tkws_app_image_sectors(board, n_bytes); i++) {
        tkws_app_working(app);
        int error = tkws_app_image_erase(board, tkws_app_image_spare(&app->image), i);
        if (error != TKWS_OK)
            return error;
    }
    app->load_bytes = n_bytes;
    app->load_crc = tkws_bytes_get_u32(body + 4);
    app->load_error = TKWS_OK;
    tkws_app_open(app, TKWS_APP_LOADING);
    tkws_bytes_put_u16(tkws_app_reply(app, 2), tkws_app_credit(app));
    return TKWS_OK;
}

/* Bytes that data message number carries; 0 for one that there is not. */
static size_t part_of(const tkws_app *app, uint32_t number)
{
    size_t n_whole = app->load_bytes / TKWS_APP_LOAD_BYTES;
    if (number < n_whole)
        return TKWS_APP_LOAD_BYTES;
    return number == n_whole ? app->load_bytes % TKWS_APP_LOAD_BYTES : 0;
}

int tkws_app_load_check(const tkws_app *app, uint32_t number, size_t n_bytes)
{
    return n_bytes > 0 && n_bytes == part_of(app, number) ? TKWS_OK : TKWS_E_LENGTH;
}

int tkws_app_load_data(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes)
{
    if (app->load_error == TKWS_OK)
        app->load_error = tkws_app_image_write(app->board, tkws_app_image_spare(&app->image),
                                               (size_t)number * TKWS_APP_LOAD_BYTES, data, n_bytes);
    return app->load_error;
}

/* Whether the board can go back to the factory's image. The area that does not run was erased when the session was
 * opened, so that a power cut leaves what ran, or the factory's. */
static int check_factory(const tkws_app *app)
{
    tkws_app_image image;
    if (app->load_crc != 0)
        return TKWS_E_MODEL_CRC;
    if (!tkws_app_image_find(app->board, TKWS_APP_FACTORY, &image) ||
        tkws_app_check_image(app->board, image.bytes, image.n_bytes) != TKWS_OK)
        return TKWS_E_NO_MODEL;
    bool is_erased = !tkws_app_image_find(app->board, tkws_app_image_spare(&app->image), &image);
    return is_erased ? TKWS_OK : TKWS_E_STORAGE;
}

/* Everything that can be wrong is found before the record is written, or the image that runs erased. */
static int check(const tkws_app *app, const uint8_t *image)
{
    if (app->load_bytes == 0)
        return check_factory(app);
    if (tkws_crc32(0, image, app->load_bytes) != app->load_crc)
        return TKWS_E_MODEL_CRC;
    return tkws_app_check_image(app->board, image, app->load_bytes);
}

int tkws_app_load_end(tkws_app *app)
{
    const tkws_board *board = app->board;
    uint8_t spare = tkws_app_image_spare(&app->image);
    bool to_factory = app->load_bytes == 0;
    if (part_of(app, app->next) != 0)
        return TKWS_E_STATE;
    tkws_app_working(app);
    int error = check(app, tkws_app_image_bytes(board, spare));
    if (error != TKWS_OK)
        return error;
    error = to_factory ? tkws_app_image_erase(board, spare == 0 ? 1 : 0, 0)
                       : tkws_app_image_commit(board, spare, app->load_bytes);
    if (error != TKWS_OK && !to_factory)
        return error;
    tkws_app_start(app); /* what ran may be gone from flash, refused or not */
    if (error != TKWS_OK || app->image.area != (to_factory ? TKWS_APP_FACTORY : spare))
        return TKWS_E_STORAGE;
    /* What is in the slots was learned with another model; should they refuse, they say so in INFO. */
    if (board->slot_bytes > 0)
        (void)tkws_app_storage_forget(&app->storage);
    return TKWS_OK;
}
