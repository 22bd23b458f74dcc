/* SPDX-License-Identifier: Apache-2.0 */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define _POSIX_C_SOURCE 200809L
#include "flash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tracekws/errors.h"

#define POWER_CUT 86 /* exit status that tells a test what happened */

static bool write_all(const flash_state *flash, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = pwrite(flash->file, bytes, n_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        offset += (size_t)n;
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool read_all(const flash_state *flash, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = pread(flash->file, bytes, n_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        offset += (size_t)n;
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool within(size_t offset, size_t n_bytes)
{
    return offset <= FLASH_BYTES && n_bytes <= FLASH_BYTES - offset;
}

int flash_open(flash_state *flash, const char *path)
{
    struct stat status;
    uint8_t erased[FLASH_SECTOR];
    flash->file = open(path, O_RDWR | O_CREAT, 0666);
    if (flash->file < 0 || fstat(flash->file, &status) != 0)
        return -1;
    memset(erased, 0xff, sizeof erased);
    for (size_t at = 0; status.st_size == 0 && at < FLASH_BYTES; at += sizeof erased)
        if (!write_all(flash, at, erased, sizeof erased))
            return -1;
    if (status.st_size == 0 || status.st_size == (off_t)FLASH_BYTES)
        return 0;
    errno = EINVAL;
    return -1;
}

void flash_close(flash_state *flash)
{
    if (flash->file >= 0)
        (void)close(flash->file);
    flash->file = -1;
}

/* Operations that are left before the power is cut, at most n; n when it never is. */
static size_t powered(flash_state *flash, size_t n)
{
    if (flash->cut_after == 0)
        return n;
    size_t left = n < flash->cut_after ? n : flash->cut_after;
    flash->cut_after -= left;
    return left;
}

static void lose_power(const flash_state *flash, bool counting)
{
    if (counting && flash->cut_after == 0)
        _exit(POWER_CUT);
}

int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    const flash_state *flash = context;
    bool done = within(offset, n_bytes) && read_all(flash, offset, bytes, n_bytes);
    return done ? TKWS_OK : TKWS_E_STORAGE;
}

int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    flash_state *flash = context;
    uint8_t old[FLASH_SECTOR];
    if (n_bytes > sizeof old || flash_read(flash, offset, old, n_bytes) != TKWS_OK)
        return TKWS_E_STORAGE;
    for (size_t i = 0; i < n_bytes; i++)
        if ((old[i] & bytes[i]) != bytes[i])
            return TKWS_E_STORAGE;
    bool counting = flash->cut_after != 0;
    bool done = write_all(flash, offset, bytes, powered(flash, n_bytes));
    lose_power(flash, counting);
    return done ? TKWS_OK : TKWS_E_STORAGE;
}

int flash_erase(void *context, size_t offset)
{
    flash_state *flash = context;
    uint8_t erased[FLASH_SECTOR / 2];
    if (offset % FLASH_SECTOR != 0 || !within(offset, FLASH_SECTOR))
        return TKWS_E_STORAGE;
    memset(erased, 0xff, sizeof erased);
    bool counting = flash->cut_after != 0;
    bool done = true;
    size_t n_halves = powered(flash, 2);
    for (size_t half = 0; half < n_halves; half++)
        done = done && write_all(flash, offset + half * sizeof erased, erased, sizeof erased);
    lose_power(flash, counting);
    return done ? TKWS_OK : TKWS_E_STORAGE;
}
