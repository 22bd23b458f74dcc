/* SPDX-License-Identifier: Apache-2.0 */
/** @file machine.h  A board for the application: a line, NOR flash whose rules are enforced, a microphone;
 *  each piece of memory of exactly its size. Flash may refuse, and power may fail. */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include <setjmp.h>
#include <stdbool.h>

#include "board.h"
#include "frame.h"
#include "input.h"

#define MACHINE_SLOT_BYTES 4096
#define MACHINE_AREA_BYTES 12288
#define MACHINE_FLASH_BYTES (2 * MACHINE_SLOT_BYTES + 2 * MACHINE_AREA_BYTES)

/** The board, the caller's; machine_make() sets every field. */
typedef struct {
    tkws_board board;
    uint8_t *flash;
    size_t flash_bytes;
    bool is_too_small; /**< memory lacks a byte for the factory's model */

    const uint8_t *line; /**< bytes on their way to the device */
    size_t n_line;
    bool closed; /**< the line was closed, and the device has not been told */

    uint8_t frame[TKWS_APP_ENCODED_BYTES(TKWS_APP_MAX_MESSAGE)]; /**< last answer of the device */
    size_t n_frame;
    size_t n_answers;
    size_t n_damaged; /**< notices that a damaged frame came */
    size_t n_working; /**< notices that a request needs time */

    bool works_alone; /**< plain text may come, too */
    size_t n_text;    /**< bytes of it since the last delimiter */
    uint8_t newest;   /**< the last of them */
    bool is_pressed;  /**< its button is down */
    bool is_lit;      /**< its LED is on */
    bool is_raised;   /**< its output is on */

    uint32_t sound;  /**< seed of what the microphone hears */
    size_t n_heard;  /**< samples that wait to be taken */
    bool is_quiet;   /**< what it hears is silence */
    bool overrun;    /**< samples were lost, and the device has not been told */
    bool deaf;       /**< the microphone does not start */
    bool is_hearing; /**< it runs */

    uint32_t n_operations; /**< programs and erases of the flash so far */
    uint32_t refuse_at;    /**< operation that is refused half done, or 0 */
    uint32_t cut_at;       /**< operation in which power fails, or 0 */
    uint8_t tear;          /**< how much of that one is done, in 256ths */
    jmp_buf *power_cut;    /**< where that goes */
} machine;

/** Make a board as two bytes of the input say, its flash erased.
 *  @param image  the factory's, of n_image bytes; not copied */
void machine_make(machine *m, fuzz_input *in, const uint8_t *image, size_t n_image);

/** Make it one that works alone, with a button, an LED, and an output. */
void machine_let_alone(machine *m);

/** Make the same board with the same flash, a line at rest and no faults. */
void machine_copy(machine *copy, const machine *m);

/** Power up: memory holds anything, line and microphone are at rest. */
void machine_power_up(machine *m);

void machine_free(machine *m);

#endif
