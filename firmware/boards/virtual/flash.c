/* SPDX-License-Identifier: Apache-2.0 */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define _GNU_SOURCE
#include "flash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bare/nor.h"
#include "tracekws/errors.h"

#define POWER_CUT 86 /* exit status that tells a test what happened */

static bool fill(int file)
{
    uint8_t erased[FLASH_SECTOR];
    memset(erased, NOR_ERASED, sizeof erased);
    for (size_t at = 0; at < FLASH_BYTES; at += sizeof erased)
        if (write(file, erased, sizeof erased) != (ssize_t)sizeof erased)
            return false;
    return fsync(file) == 0;
}

/* Put a new flash, locked as the empty file is, in its place in one step: no file is ever half a flash. */
static const char *make(flash_state *flash, const char *path)
{
    char scratch[PATH_MAX];
    int n = snprintf(scratch, sizeof scratch, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof scratch)
        return strerror(ENAMETOOLONG);
    int file = open(scratch, O_RDWR | O_CREAT | O_TRUNC, 0666);
    if (file < 0)
        return strerror(errno);
    if (flock(file, LOCK_EX | LOCK_NB) != 0 || !fill(file) || rename(scratch, path) != 0) {
        int error = errno;
        (void)close(file);
        (void)unlink(scratch);
        return strerror(error);
    }
    (void)close(flash->file);
    flash->file = file;
    return NULL;
}

/* Lock what is at path. @return NULL, or why not */
static const char *lock(flash_state *flash, const char *path)
{
    struct stat opened;
    struct stat there;
    flash->file = open(path, O_RDWR | O_CREAT, 0666);
    if (flash->file < 0)
        return strerror(errno);
    if (flock(flash->file, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? "in use by another board" : strerror(errno);
    if (fstat(flash->file, &opened) != 0 || stat(path, &there) != 0)
        return strerror(errno);
    if (!S_ISREG(opened.st_mode)) /* a device or a pipe has no bytes either, and is no new flash */
        return "this is not a file: name another one with --flash";
    /* Another board has just put its own flash there. */
    if (opened.st_ino != there.st_ino || opened.st_dev != there.st_dev)
        return "in use by another board";
    if (opened.st_size == 0)
        return make(flash, path);
    return opened.st_size == (off_t)FLASH_BYTES
               ? NULL
               : "this is not a virtual board's flash, or one of another version: name "
                 "another file with --flash, or delete this one";
}

const char *flash_open(flash_state *flash, const char *path)
{
    const char *why = lock(flash, path);
    if (why != NULL)
        return why;
    void *mapped = mmap(NULL, FLASH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, flash->file, 0);
    if (mapped == MAP_FAILED)
        return strerror(errno);
    flash->bytes = mapped;
    return NULL;
}

void flash_close(flash_state *flash)
{
    if (flash->bytes != NULL)
        (void)munmap(flash->bytes, FLASH_BYTES);
    if (flash->file >= 0)
        (void)close(flash->file);
    flash->bytes = NULL;
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
    return nor_read(flash->bytes, FLASH_BYTES, offset, bytes, n_bytes);
}

int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    flash_state *flash = context;
    if (!nor_can_program(flash->bytes, FLASH_BYTES, FLASH_PROGRAM, offset, bytes, n_bytes))
        return TKWS_E_STORAGE;
    bool counting = flash->cut_after != 0;
    memcpy(flash->bytes + offset, bytes, powered(flash, n_bytes));
    lose_power(flash, counting);
    return TKWS_OK;
}

int flash_erase(void *context, size_t offset)
{
    flash_state *flash = context;
    if (!nor_can_erase(FLASH_BYTES, FLASH_SECTOR, offset))
        return TKWS_E_STORAGE;
    bool counting = flash->cut_after != 0;
    memset(flash->bytes + offset, NOR_ERASED, powered(flash, 2) * (FLASH_SECTOR / 2));
    lose_power(flash, counting);
    return TKWS_OK;
}
