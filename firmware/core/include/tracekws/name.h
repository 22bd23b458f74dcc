/* SPDX-License-Identifier: Apache-2.0 */
/** @file name.h  What may be a name: of a model, of a word, of a board.
 *
 * A name is 1 to TKWS_NAME_MAX bytes of well-formed UTF-8 (the shortest form of each character, no surrogates, at
 * most U+10FFFF) that can be shown as it is, be a word of a list, and be the name of a file. So it has none of
 *   control characters, and U+FEFF
 *   white space, U+200B among it
 *   controls of writing direction (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069)
 *   / and \
 * and does not start with a full stop. Names are compared byte by byte: whoever takes a name from a keyboard, a
 * file or a file system brings it into Unicode's form NFC first. */
#ifndef TRACEKWS_NAME_H
#define TRACEKWS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TKWS_NAME_MAX 31   /**< bytes of a name, at most */
#define TKWS_NAME_BYTES 32 /**< of a cell: a name, and zeros behind it, at least one */

/** Whether n_bytes are a name. Any n_bytes; reads name only. */
bool tkws_name_valid(const uint8_t *name, size_t n_bytes);

/** Bytes of the name in a cell. @param cell  TKWS_NAME_BYTES @return 1..TKWS_NAME_MAX, or 0: it holds none */
size_t tkws_name_length(const uint8_t *cell);

#ifdef __cplusplus
}
#endif

#endif
