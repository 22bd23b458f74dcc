/* SPDX-License-Identifier: Apache-2.0 */
/** @file flash.h  NOR flash whose power can be cut in any operation.
 *
 * Its rules are as hard as those of the strictest part: units and sectors are whole and aligned, and a unit is
 * programmed once between two erases, but that zeros may go over anything. What breaks one jumps out, as a cut
 * does. A cut operation leaves its unit or sector torn: a mixture of old and new bits, some of which may be weak.
 * A weak bit reads one way at first and another way from flash_settle() on. */
#ifndef TKWS_CUTS_FLASH_H
#define TKWS_CUTS_FLASH_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_MAX_SLOTS 2

/** How a jump ends a run. */
enum {
    FLASH_CUT = 1,
    FLASH_BROKEN_RULE = 2,
};

typedef struct {
    size_t n_bytes;
    size_t sector_bytes;
    size_t program_bytes;
    size_t slot_bytes;                /**< of the slots at the start, whose erases are counted */
    uint8_t *bytes;                   /**< n_bytes, as they read */
    uint8_t *settled;                 /**< n_bytes, as they will read when weak bits have settled */
    uint32_t erases[FLASH_MAX_SLOTS]; /**< begun, of each slot's first sector */

    unsigned long n_operations; /**< units programmed and sectors erased */
    unsigned long cut_at;       /**< number of the operation that is cut; 0 is none */
    uint32_t torn;              /**< how: any number, a way of tearing and its random bits */
    const char *rule;           /**< that was broken */
    jmp_buf *end;               /**< where a cut or a broken rule jumps */
} cut_flash;

/** Ways of tearing an operation: torn modulo this is the way. */
extern const uint32_t flash_n_tears;

/** Set it to all ones. Sizes, bytes, settled and end are the caller's, set before. */
void flash_make(cut_flash *flash);

/** Weak bits take their other value, for ever. */
void flash_settle(cut_flash *flash);

/** The board's functions; context is a cut_flash. */
int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes);
int flash_erase(void *context, size_t offset);

#endif
