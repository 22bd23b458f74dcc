/* SPDX-License-Identifier: Apache-2.0 */
/** @file play.h  A host and a world that do what a fuzzer says: requests in any order, a line that closes, a
 *  microphone, flash that refuses, power that fails. */
#ifndef FUZZ_PLAY_H
#define FUZZ_PLAY_H

#include "host.h"
#include "input.h"

/** Play the input on a device that has started, and check it after each step.
 *
 * A step begins with a byte. Below PLAY_DATA it is the number of a request, which need not exist; below
 * PLAY_WORLD likewise, modulo PLAY_DATA, but DATA where none exists (and for 0, whose answer would be a
 * notice's); above, what befalls the device: PLAY_..., modulo 16. A second byte says how a request is made:
 * with none of its bits set, it is right. */
void play(device *d, fuzz_input *in);

#define PLAY_DATA 0x40
#define PLAY_WORLD 0xe0

/** What befalls the device. */
enum {
    PLAY_SOUND = 0,   /**< u16: the microphone hears samples */
    PLAY_OVERRUN = 1, /**< it has lost some */
    PLAY_DEAF = 2,    /**< from now on it does not start, or does again */
    PLAY_CLOSE = 3,   /**< the line is closed */
    PLAY_NOISE = 4,   /**< u8 count, bytes: on the line */
    PLAY_REPEAT = 5,  /**< the last request comes again */
    PLAY_RESTART = 6, /**< power fails and comes back */
    PLAY_REFUSE = 7,  /**< u8: the flash refuses an operation, so many from now */
    PLAY_CUT = 8, /**< u8, u8: power fails in one, so many from now, and this much of it is done */
    PLAY_BUTTON = 9, /**< a button goes down, or up */
    PLAY_QUIET = 10, /**< from now on the microphone hears silence, or sound again */
};

/** How a request is made. */
enum {
    PLAY_OLD_ID = 1,    /**< with the id of the one before */
    PLAY_WRONG_A = 2,   /**< its first number is any */
    PLAY_WRONG_B = 4,   /**< its second number is any */
    PLAY_WRONG_C = 8,   /**< its third; the content of what is loaded */
    PLAY_LENGTH = 0x80, /**< its length is any, where PLAY_OTHER is set too */
    PLAY_OTHER = 0x40,  /**< features instead of PCM */
};

#endif
