/* SPDX-License-Identifier: Apache-2.0 */
/** @file board.h  All that the application knows of a board: a serial line, a microphone, a piece of flash,
 *  memory.
 *
 * A port fills one tkws_board and calls tkws_app_init() once and tkws_app_poll() for ever. Interrupts stay
 * in the board: serial_read takes from the ring that an interrupt fills. */
#ifndef TKWS_BOARD_H
#define TKWS_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TKWS_BOARD_NAME_BYTES 16
#define TKWS_BOARD_MEMORIES 4
#define TKWS_BOARD_BROWN_OUT_UNKNOWN 0xffffu

/** Why the board started. The numbers are on the wire. */
enum {
    TKWS_APP_RESET_UNKNOWN = 0,
    TKWS_APP_RESET_POWER_ON = 1,
    TKWS_APP_RESET_PIN = 2,
    TKWS_APP_RESET_WATCHDOG = 3,
    TKWS_APP_RESET_SOFTWARE = 4,
    TKWS_APP_RESET_BROWN_OUT = 5,
};

/** A piece of RAM for weights and state, aligned to 4. Parts may lie in different memories: no array of the
 *  application crosses from one to the next. */
typedef struct {
    void *start;
    size_t n_bytes;
} tkws_board_memory;

/** A board. Functions get context back; those that return int give TKWS_OK or an error of errors.def. */
typedef struct {
    void *context;
    const char *name; /**< a name (name.h) of at most TKWS_BOARD_NAME_BYTES */

    /** Take what has arrived, without waiting.
     *  @return bytes taken, at most n_bytes; 0 when there are none; TKWS_E_LINK once when the line was
     *          closed since the last call, for lines that can tell */
    int (*serial_read)(void *context, uint8_t *bytes, size_t n_bytes);
    /** Send all of n_bytes, waiting for room. @return TKWS_OK or TKWS_E_LINK */
    int (*serial_write)(void *context, const uint8_t *bytes, size_t n_bytes);
    size_t serial_bytes; /**< what the receive ring holds while the application is busy */

    /** The microphone: 16 kHz, mono. All three NULL when the board has none.
     *  Start it; what it heard before is not given. @return TKWS_OK or TKWS_E_MICROPHONE */
    int (*microphone_start)(void *context);
    /** Take samples that have arrived, without waiting.
     *  @return samples taken, at most n_samples; 0 when there are none; TKWS_E_OVERRUN once when samples
     *          were lost since the last call */
    int (*microphone_read)(void *context, int16_t *pcm, size_t n_samples);
    void (*microphone_stop)(void *context);

    /** Storage, from offset 0 of the board's own choosing: slot 0, slot 1, image area 0, image area 1. */
    int (*flash_read)(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
    /** Turn ones into zeros. offset and n_bytes are multiples of program_bytes. What is programmed is erased, but
     *  zeros may come over anything.
     *  @return TKWS_OK, or TKWS_E_STORAGE */
    int (*flash_program)(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes);
    /** Set the sector that starts at offset to 0xff. @return TKWS_OK, or TKWS_E_STORAGE */
    int (*flash_erase)(void *context, size_t offset);
    size_t slot_bytes;       /**< of each of the two slots of learned weights, a multiple of
                                  sector_bytes; 0 when the board has no storage */
    size_t image_area_bytes; /**< of each of the two areas for a loaded model image, a multiple of
                                  sector_bytes; 0 when models cannot be loaded */
    const uint8_t *flash_mapped; /**< where the processor reads flash offset 0, what was just
                                      programmed or erased too; or NULL (then
                                      image_area_bytes is 0) */
    size_t sector_bytes;         /**< what one erase clears */
    size_t program_bytes;        /**< unit of programming: a power of two, 1..256 */

    const uint8_t *image; /**< the factory's model image, where the processor can read it */
    size_t image_bytes;

    tkws_board_memory memory[TKWS_BOARD_MEMORIES];
    size_t n_memories;

    /** For information only. */
    size_t ram_bytes;      /**< the whole of the application's RAM, its own struct included */
    uint8_t reset_reason;  /**< TKWS_APP_RESET_UNKNOWN ... */
    uint16_t watchdog_ms;  /**< 0 when none runs */
    uint16_t brown_out_mv; /**< 0 when nothing watches the supply, or ..._BROWN_OUT_UNKNOWN */

    /** Of a board that works alone (alone.h), and of no other; each may be 0 or NULL: it is not there. */
    uint16_t quiet_poll_ms; /**< from one poll to the next while nothing happens; 0: a second */
    /** A word was heard.
     *  @param word       its name, ended by a zero; valid until this returns
     *  @param score_q15  as in tkws_event */
    void (*on_event)(void *context, const char *word, int16_t score_q15);
    /** Switch the output that is on for TKWS_APP_ALONE_PULSE samples from each word on. */
    void (*pulse_set)(void *context, bool on);
    void (*led_set)(void *context, bool on);
    /** Whether the button is down, as it is read: the application waits until it no longer bounces. */
    bool (*button_pressed)(void *context);
} tkws_board;

#endif
