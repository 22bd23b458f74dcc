/* SPDX-License-Identifier: Apache-2.0 */
/** @file own.h  Words of the user's own, beside the classes of the image.
 *
 * A word of the user's own is known by its takes alone: no weight changes for it, so that no other word's score does.
 * It has a row among tkws_weights.takes, as classes have, and is numbered behind them: its number is n_classes and up.
 * What is heard is it where its cosine (templates.h) is far enough above that of the next likest word with takes:
 *
 *     cos_word - rival max(0, cos_next) > least + agreement a
 *
 * with a the mean cosine of its takes with those before them: takes that agree are to be heard as clearly as they were
 * said. Of one take a is the image's, or TKWS_OWN_RENDERED where it is longer than two windows: of renditions. All four constants are the image's.
 *
 * A sound that was heard as a word and is none is kept in such a row, too, under the name of the class of unknown
 * words: TKWS_OWN_NOTHING says how like it another sound is to be to be nothing, too (templates.h). */
#ifndef TRACEKWS_OWN_H
#define TRACEKWS_OWN_H

#include <stdbool.h>

#include "tracekws/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Of a word in tkws_weights.takes, behind all rows: its name, and how its takes agree, int16, Q15. */
#define TKWS_OWN_BYTES 34

/** How the one take of a word is taken to agree where it is of renditions, Q15: 0.7. Their mean is smoother. */
#define TKWS_OWN_RENDERED 22938

/** Cosine above which what is heard is a sound that is no word, Q15: 0.55. */
#define TKWS_OWN_NOTHING 18022

/** The name of a word of the user's own.
 *  @param word  number of it, from n_classes to below tkws_model_words()
 *  @return its cell (name.h), or NULL: there is no such word now */
const uint8_t *tkws_own_name(const tkws_model *model, const tkws_weights *weights, size_t word);

/** Find a word, of the image or of the user's own. @param name  n_bytes of UTF-8, no terminator needed
 *  @return its number, or TKWS_E_LABEL */
int tkws_own_find(const tkws_model *model, const tkws_weights *weights, const char *name,
                  size_t n_bytes);

/** Find a word, or make it one of the user's own, without takes. Arguments as for tkws_own_find().
 *  @return its number; TKWS_E_NAME, TKWS_E_LABEL (it is the image's for other words or for silence, which have no one
 *          sound) or TKWS_E_NO_ROOM with nothing changed */
int tkws_own_add(const tkws_model *model, const tkws_weights *weights, const char *name,
                 size_t n_bytes);

/** Whether a word of the user's own is a sound that is no word. @param word  as for tkws_own_name() */
bool tkws_own_is_nothing(const tkws_model *model, const tkws_weights *weights, size_t word);

/** Find where to keep a sound that is no word: with the one most like it above TKWS_OWN_NOTHING, else in a row of its
 *  own, else, where there is no room, with the one most like it. The image keeps takes.
 *  @param rates  of the sound, as in takes.h
 *  @return its number, or TKWS_E_NO_ROOM with nothing changed */
int tkws_own_add_nothing(const tkws_model *model, const tkws_weights *weights,
                         const uint8_t *rates);

/** Forget the takes of a word, and one of the user's own with its name. Weights stay.
 *  @param word  number of it, below tkws_model_words(); with that of unknown words go all sounds that are none */
void tkws_own_forget(const tkws_model *model, const tkws_weights *weights, size_t word);

/** How the takes of a word of the user's own agree, Q15; of one take 0, or TKWS_OWN_RENDERED. @param word  as for tkws_own_name(), one that is there */
int32_t tkws_own_agreement(const tkws_model *model, const tkws_weights *weights, size_t word);

/** Keep how its takes agree, within int16; see tkws_own_agreement(). */
void tkws_own_set_agreement(const tkws_model *model, const tkws_weights *weights, size_t word,
                            int32_t agreement_q15);

#ifdef __cplusplus
}
#endif

#endif
