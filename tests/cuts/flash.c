/* SPDX-License-Identifier: Apache-2.0 */
#include "flash.h"

#include <string.h>

#include "random.h"
#include "tracekws/errors.h"

#define ERASED 0xffu

/* What becomes of the bits of a torn operation. */
typedef enum {
    OLD,     /* nothing was done */
    FIRST,   /* the first bytes are done, the rest not */
    LAST,    /* the last ones */
    SOME,    /* half of the bits are done, anywhere */
    MOST,    /* all but an eighth */
    CLEARED, /* bits were cleared that should not be: the start of an erase */
    NEW,     /* all was done */
} outcome;

/* At first, and when weak bits have settled. */
static const struct {
    outcome now;
    outcome later;
} tears[] = {
    {OLD, OLD},       {FIRST, FIRST}, {LAST, LAST}, {SOME, SOME}, {MOST, MOST}, {CLEARED, CLEARED},
    {NEW, NEW},       {OLD, NEW},     {NEW, OLD},   {NEW, MOST},  {OLD, SOME},  {MOST, NEW},
    {CLEARED, FIRST}, {FIRST, SOME},  {NEW, SOME},  {SOME, OLD},
};

const uint32_t flash_n_tears = sizeof tears / sizeof tears[0];

/* One byte of a torn operation. @param edge  share of the bytes that is done first, of 256 */
static uint8_t tear(outcome how, uint8_t old, uint8_t new, size_t share, size_t edge, uint32_t *rng)
{
    uint32_t done = 0;
    switch (how) {
    case OLD:
        break;
    case FIRST:
        done = share < edge ? 0xffu : 0;
        break;
    case LAST:
        done = share < edge ? 0 : 0xffu;
        break;
    case SOME:
        done = random_bits(rng);
        break;
    case MOST:
        done = random_bits(rng) | random_bits(rng) | random_bits(rng);
        break;
    case CLEARED:
        return (uint8_t)(old & random_bits(rng) & 0xffu);
    case NEW:
        done = 0xffu;
        break;
    }
    return (uint8_t)(((old & ~done) | (new & done)) & 0xffu);
}

/* Both looks of a bit are of the same chance, so that equal outcomes are equal bits. */
static void tear_all(cut_flash *f, uint8_t *bytes, outcome how, size_t offset, const uint8_t *new,
                     size_t n_bytes)
{
    uint32_t rng = random_start(f->torn);
    size_t edge = random_bits(&rng) % 257;
    for (size_t i = 0; i < n_bytes; i++) {
        uint8_t to = new != NULL ? new[i] : ERASED;
        bytes[offset + i] = tear(how, f->bytes[offset + i], to, i * 256 / n_bytes, edge, &rng);
    }
}

/* Count an operation; the one that is cut ends here. @param new  NULL for an erase */
static void operate(cut_flash *f, size_t offset, const uint8_t *new, size_t n_bytes)
{
    f->n_operations++;
    if (f->n_operations != f->cut_at)
        return;
    uint32_t way = f->torn % flash_n_tears;
    tear_all(f, f->settled, tears[way].later, offset, new, n_bytes);
    tear_all(f, f->bytes, tears[way].now, offset, new, n_bytes);
    longjmp(*f->end, FLASH_CUT);
}

static void require(cut_flash *f, int kept, const char *rule)
{
    if (kept)
        return;
    f->rule = rule;
    longjmp(*f->end, FLASH_BROKEN_RULE);
}

static int are_all(uint8_t value, const uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if (bytes[i] != value)
            return 0;
    return 1;
}

void flash_make(cut_flash *flash)
{
    memset(flash->bytes, ERASED, flash->n_bytes);
    memset(flash->settled, ERASED, flash->n_bytes);
    memset(flash->erases, 0, sizeof flash->erases);
    flash->n_operations = 0;
    flash->cut_at = 0;
    flash->torn = 0;
    flash->rule = NULL;
}

void flash_settle(cut_flash *flash)
{
    memcpy(flash->bytes, flash->settled, flash->n_bytes);
}

int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    cut_flash *f = context;
    require(f, offset <= f->n_bytes && n_bytes <= f->n_bytes - offset, "a read within the flash");
    memcpy(bytes, f->bytes + offset, n_bytes);
    return TKWS_OK;
}

int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    cut_flash *f = context;
    size_t unit = f->program_bytes;
    require(f, offset <= f->n_bytes && n_bytes <= f->n_bytes - offset, "a write within the flash");
    require(f, offset % unit == 0 && n_bytes % unit == 0 && n_bytes > 0, "whole program units");
    for (size_t at = offset; at < offset + n_bytes; at += unit) {
        const uint8_t *new = bytes + (at - offset);
        int erased = are_all(ERASED, f->bytes + at, unit) && are_all(ERASED, f->settled + at, unit);
        require(f, erased || are_all(0, new, unit), "an erase before each program but of zeros");
        operate(f, at, new, unit);
        memcpy(f->bytes + at, new, unit);
        memcpy(f->settled + at, new, unit);
    }
    return TKWS_OK;
}

int flash_erase(void *context, size_t offset)
{
    cut_flash *f = context;
    size_t n_bytes = f->sector_bytes;
    require(f, offset % n_bytes == 0 && offset < f->n_bytes, "whole sectors");
    if (offset % f->slot_bytes == 0 && offset / f->slot_bytes < FLASH_MAX_SLOTS)
        f->erases[offset / f->slot_bytes]++;
    operate(f, offset, NULL, n_bytes);
    memset(f->bytes + offset, ERASED, n_bytes);
    memset(f->settled + offset, ERASED, n_bytes);
    return TKWS_OK;
}
