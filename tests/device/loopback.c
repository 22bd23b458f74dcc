/* SPDX-License-Identifier: Apache-2.0 */
/* The application as a library: what the tests need beyond its own functions. */
#include <stdlib.h>
#include <string.h>

#include "alone.h"

size_t loopback_app_bytes(void);
size_t loopback_alone_bytes(void);
int loopback_flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);

size_t loopback_app_bytes(void)
{
    return sizeof(tkws_app);
}

size_t loopback_alone_bytes(void)
{
    return sizeof(tkws_app_alone);
}

/* The board's flash_read: the application reads a thousand times for each time that it programs. The board's context is
 * the board itself, whose flash is mapped. */
int loopback_flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    const tkws_board *board = context;
    size_t n_flash = 2 * (board->slot_bytes + board->image_area_bytes);
    if (offset > n_flash || n_bytes > n_flash - offset)
        abort();
    memcpy(bytes, (const uint8_t *)board->flash_mapped + offset, n_bytes);
    return 0;
}
