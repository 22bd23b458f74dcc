/* SPDX-License-Identifier: Apache-2.0 */
/** @file log.h  What takes have changed since a slot was written, behind its body: saves that erase nothing.
 *
 * The log reaches from the body to the end of the slot, in grains of TKWS_APP_LOG_GRAIN bytes, or of a program unit
 * where that is more. There are grains of zeros and records, and behind them it is erased. A record, padded with zeros
 * to whole grains, all numbers little endian:
 *   magic    uint32, TKWS_APP_LOG_SAVED, TKWS_APP_LOG_UNDONE or TKWS_APP_LOG_ENDED
 *   before   uint32, the offset in the log of the record that it goes on from; 0 is the slot's body
 *   n_bytes  uint32, of its words; none but where it is SAVED
 *   words    those that have changed: uint16 number, the row, and where it is the user's own its name and number, as
 *            tkws_weights.takes has them
 *   crc      uint32, CRC-32 of all before
 * What holds is the last record whose crc is right, and those of all that it goes on from: a SAVED one with these, or
 * what an UNDONE one goes back to. Where it is ENDED nothing holds: the slot is being erased, which may leave it looking
 * as it was, for a while.
 *
 * A power cut leaves what held before a record or what holds with it. Bits of the one unit that was being programmed
 * may be weak: they read one way now, and later another way. So
 * - the first record after a start has a grain of zeros before it, where a record may have been begun and reads as
 *   erased all the same. These zeros alone are programmed over what may not be erased;
 * - a grain of zeros ends a record, and the first one of the log the slot: where any of it is seen, what is before was
 *   programmed to its end. What may not have been is saved as a whole in the other slot, and nothing goes on from it.
 *
 * A slot that is to be the only one begins its log with TKWS_APP_LOG_ALONE, which is written before its header, and
 * the zeros behind it. Without these the slot was not written to its end, and what was there before still holds.
 */
#ifndef TKWS_APP_LOG_H
#define TKWS_APP_LOG_H

#include "board.h"
#include "tracekws/model.h"

#define TKWS_APP_LOG_GRAIN 16
#define TKWS_APP_LOG_SAVED 0x524c4b54  /**< "TKLR" */
#define TKWS_APP_LOG_UNDONE 0x554c4b54 /**< "TKLU" */
#define TKWS_APP_LOG_ENDED 0x454c4b54  /**< "TKLE" */
#define TKWS_APP_LOG_ALONE 0x424c4b54  /**< "TKLB" */
#define TKWS_APP_LOG_ALONE_GRAINS 2 /**< that the log of a slot has at least that is to be alone */
#define TKWS_APP_LOG_KEPT                                                                          \
    8 /**< grains that are left for undoing: four times, each after a start of its own */

/** A log as it was found. Board and model are the caller's and must outlive it. */
typedef struct {
    const tkws_board *board;
    const tkws_model *model;
    size_t takes_at; /**< in flash, as is the next: the takes in the slot's body */
    size_t at;       /**< where the log begins */
    size_t n_bytes;  /**< whole grains; 0 where the body leaves no room */
    size_t last;     /**< offset of the record that holds; 0 is the slot's body */
    size_t end;      /**< offset behind the last record that held, or behind the mark */
    size_t tail;     /**< offset behind the last grain that is not erased */
    bool is_alone;   /**< nothing but this slot was to be left when it was written */
    bool is_ended;   /**< the slot is being erased */
    uint16_t
        patience; /**< how much longer records are looked at: what is found later does not count */
} tkws_app_log;

/** Read the log of a slot whose body is whole.
 *  @param body_at  in flash
 *  @param end      of the slot, in flash */
void tkws_app_log_open(tkws_app_log *log, const tkws_board *board, const tkws_model *model,
                       size_t body_at, size_t end);

/** Saves since the slot was written, those that were undone aside. */
uint32_t tkws_app_log_steps(const tkws_app_log *log);

/** Replace the takes, which are the body's, by those that hold. @return whether the flash could be read */
bool tkws_app_log_load(const tkws_app_log *log, const tkws_weights *weights);

/** Say that nothing but a slot is to be left, before its header is written. There is room for TKWS_APP_LOG_ALONE_GRAINS.
 *  The log is to be opened again afterwards.
 *  @return TKWS_OK or TKWS_E_STORAGE */
int tkws_app_log_mark_alone(const tkws_app_log *log);

/** Begin the log of a slot that has just been written whole, its header, too.
 *  @return whether the log was begun; else the next save is a whole one */
bool tkws_app_log_begin(const tkws_app_log *log);

/** Whether the slot is known to have been written to its end. */
bool tkws_app_log_is_begun(const tkws_app_log *log);

/** Whether anything has been written behind the beginning. */
bool tkws_app_log_is_used(const tkws_app_log *log);

/** Append what differs from what holds. The log is to be opened again afterwards.
 *  @param weights  whose takes are saved; the rest is as in the slot
 *  @param is_firm  in and out: whether the log's end was written since the start, and without an error
 *  @return TKWS_OK when it was read back; TKWS_E_SLOT_FULL, with nothing changed: there is no room, or what holds may
 *          not last; or TKWS_E_STORAGE */
int tkws_app_log_save(const tkws_app_log *log, const tkws_weights *weights, bool *is_firm);

/** Whether there is room for tkws_app_log_undo(). */
bool tkws_app_log_can_undo(const tkws_app_log *log, bool is_firm);

/** Go back by one save, of which there is one at least. @return TKWS_OK, or TKWS_E_STORAGE */
int tkws_app_log_undo(const tkws_app_log *log, bool *is_firm);

/** Say that the slot is being erased, where there is room; there is in a log that was ever appended to.
 *  @param is_firm  as for tkws_app_log_save() */
void tkws_app_log_end(const tkws_app_log *log, bool is_firm);

#endif
