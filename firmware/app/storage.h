/* SPDX-License-Identifier: Apache-2.0 */
/** @file storage.h  Learned weights in two slots of flash; the factory's when there are none.
 *
 * A slot, from its start; each part begins at a multiple of the board's program unit:
 *   header   written last: magic, format, generation, CRC of the model, version of the firmware,
 *            bytes of the body, CRC-32 of the body, CRC-32 of the header; uint32 each
 *   wear     written right after an erase: magic, erases of both slots so far, CRC-32 of all three
 *   body     the trainable state as tkws_weights_read() gives it
 *   log      what has changed since (log.h)
 * A save that changes takes alone goes into the log of the newest slot and erases nothing; any other, and one for
 * which the log has no room, goes as a whole into the other slot. A slot's generation is that of its body; each save in
 * its log is one more. A firmware that does not know the log finds the body, at its generation, and loses what the log
 * has when it saves twice. A power cut at any moment leaves the generation before or the new one: a slot without an
 * intact header is no slot, and the other one is not touched.
 *
 * An erase begins with a record in the log, and zeros over the header: what is being erased looks then as it was no
 * more, whatever a power cut leaves of it. The record of wear ends an erase. A slot whose header is erased and that
 * holds anything else but an intact record, or no record, was being erased or written when the power was cut: the next
 * start erases it. New flash, two slots of ones without a record, is left alone.
 *
 * A save that is to leave nothing else says so at the beginning of its log, before its header, and erases the other slot
 * when all is written. Where that was not done, the next start does it; where not all was written, it erases this one.
 *
 * Every format to come keeps four words of the header where they are: the magic, the format, the generation,
 * and at 28 the CRC-32 of the 28 bytes before. Where they are right and the format is a higher one, a newer
 * firmware has saved: such a slot is named, kept, and erased by tkws_app_storage_forget() alone. */
#ifndef TKWS_APP_STORAGE_H
#define TKWS_APP_STORAGE_H

#include <stdbool.h>

#include "board.h"
#include "tracekws/model.h"

#define TKWS_APP_SLOTS 2
#define TKWS_APP_SLOT_MAGIC 0x4c534b54 /**< "TKSL" */
#define TKWS_APP_WEAR_MAGIC 0x52574b54 /**< "TKWR" */
#define TKWS_APP_SLOT_FORMAT 1

/** What a slot holds. The numbers are on the wire. */
enum {
    TKWS_APP_SLOT_EMPTY = 0,
    TKWS_APP_SLOT_VALID = 1,
    TKWS_APP_SLOT_CORRUPT = 2,
    TKWS_APP_SLOT_OTHER_MODEL = 3,
    TKWS_APP_SLOT_NEWER_FORMAT = 4,
};

typedef struct {
    uint8_t state;
    bool is_firm;  /**< the end of its log was written since the start, and without an error */
    bool is_owed;  /**< it may hold what is forgotten, and is still to be erased */
    bool is_ended; /**< its erase was begun, and not ended */
    uint32_t
        generation; /**< that it was written as: 1 and up, then 1 again; 0 unless valid or of a newer format */
    uint32_t erases; /**< of this slot, as far as the records tell */
} tkws_app_slot;

/** Both slots. Board, model and weights are the caller's and must outlive it. */
typedef struct {
    const tkws_board *board;
    const tkws_model *model;
    const tkws_weights *weights;
    tkws_app_slot slots[TKWS_APP_SLOTS];
    uint32_t generation; /**< that was restored or saved last; 0 for the factory's weights */
} tkws_app_storage;

/** Read both slots whole, finish erases that a power cut has left unfinished, and restore the weights. An erase
 *  that the flash refuses leaves its slot corrupt. */
void tkws_app_storage_init(tkws_app_storage *storage, const tkws_board *board,
                           const tkws_model *model, const tkws_weights *weights);

/** Set the weights to what the newest valid slot is at, or to the factory's. A slot whose body is found damaged is
 *  marked corrupt and passed over. */
void tkws_app_storage_restore(tkws_app_storage *storage);

/** Save what is in RAM as a new generation; where tkws_app_storage_is_owed(), as tkws_app_storage_save_alone() does.
 *  @return TKWS_OK with storage->generation the new one; TKWS_E_UNSUPPORTED without flash;
 *          TKWS_E_SLOT_FULL when the weights do not fit; TKWS_E_NEWER_FORMAT when no slot is left for
 *          them beside those of a newer format, with nothing changed; TKWS_E_STORAGE, with
 *          storage->generation the new one if all of it was written all the same. The newest generation stays as
 *          it was on error. */
int tkws_app_storage_save(tkws_app_storage *storage);

/** Whether tkws_app_storage_save_alone() may be tried.
 *  @return TKWS_OK; TKWS_E_UNSUPPORTED or TKWS_E_SLOT_FULL as tkws_app_storage_save(); TKWS_E_NEWER_FORMAT: a slot was
 *          saved by a newer firmware, and what it has cannot be told */
int tkws_app_storage_check_alone(tkws_app_storage *storage);

/** Save what is in RAM and leave nothing else: what is forgotten is then nowhere in the flash. Where that is so
 *  already, nothing is done.
 *  @return as tkws_app_storage_check_alone(), with nothing changed; or TKWS_E_STORAGE: tkws_app_storage_is_owed() says
 *          whether something may be left, and the next call goes on with it */
int tkws_app_storage_save_alone(tkws_app_storage *storage);

/** Whether tkws_app_storage_save_alone() has not come to its end, here or before the start. */
bool tkws_app_storage_is_owed(const tkws_app_storage *storage);

/** Go back by one generation: by a save in the newest slot's log, which stays in the flash; or from that slot's body to
 *  what the other slot is at, erasing the newest. Before the first generation is the model's own.
 *  @return TKWS_OK, TKWS_E_NO_SAVED, TKWS_E_NO_UNDO (there is none, or the log has no room to say so; both with nothing
 *          changed) or TKWS_E_STORAGE (with what is left restored) */
int tkws_app_storage_undo(tkws_app_storage *storage);

/** Erase both slots whole, whatever they hold, the older first, and restore the model's own weights.
 *  @return TKWS_OK when all of both was read back as erased; TKWS_E_UNSUPPORTED; or TKWS_E_STORAGE (with
 *          what is left restored) */
int tkws_app_storage_forget(tkws_app_storage *storage);

#endif
