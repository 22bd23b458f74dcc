/* SPDX-License-Identifier: Apache-2.0 */
/** @file templates.h  What the user said, kept as traces, and compared with what is heard.
 *
 * The trace of a take is r, its mean spikes a step of each neuron; learner.h keeps the mean of a word's takes. Traces
 * are compared less the mean of all speech, and with those directions shrunk in which takes of one word differ most:
 * both are in section trac of the image (model.h).
 *
 *     x = r - mean        <x, y> = x . y - sum_i shrink_i (along_i . x)(along_i . y)        |x|^2 = <x, x>
 *     score_word += weight max(0, <x, t> / |x||t| - floor)        x of the last second, t of the word's takes
 *
 * A sound that the user has taken back, since it was heard as a word and is none, has a template, too: nothing is heard
 * where the last second is more like it than TKWS_OWN_NOTHING (own.h), and than the word that would be.
 *
 * This is the contrast of Traces Propagation (arXiv 2509.13053, eq. 13) with the user's takes as targets. No weight
 * changes. A word's score grows where it sounds as the user says it, and stays what it was elsewhere. */
#ifndef TRACEKWS_TEMPLATES_H
#define TRACEKWS_TEMPLATES_H

#include <stdbool.h>

#include "tracekws/network.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What goes with a word's template. */
typedef struct {
    int32_t offset;  /**< what the mean of speech gives, Q8 */
    uint32_t scale;  /**< of its numbers in rows, Q23; 0 where the word has no takes */
    int32_t least;   /**< of one of the user's own: what its cosine is to be above, Q15 */
    bool is_nothing; /**< whether it is one of the user's own that is no word */
} tkws_template;

/** Templates of the words, classes first, and the trace of what is heard. Model and memory are the caller's and must outlive it. */
typedef struct {
    const tkws_model *model;
    tkws_template *words; /**< n_words */
    int8_t *rows;         /**< the templates: a row of n_words a neuron */
    int32_t *dots;        /**< n_words: sums of the rows of the window's spikes */
    int32_t *along;       /**< rank: the same of the directions */
    int32_t *mean_along;  /**< rank: along the directions, the mean of speech, Q8 */
    uint8_t *ring;        /**< window_steps sets of neurons that fired, a bit a neuron */
    uint8_t *count;       /**< spikes of each neuron in the window */
    uint8_t *kept[2];     /**< the window's mean rates at TKWS_HEARD_SOUND and TKWS_HEARD_EVENT */
    bool has[2];          /**< which of them there are */
    int64_t mean_norm;    /**< squared length of the mean of speech, Q16 */
    int32_t mean_dot;     /**< sum of the mean of speech over the window's spikes, Q15 */
    int32_t squares;      /**< sum of the squares of count */
    uint32_t length;      /**< of the window's trace less the mean, times n_steps, Q4 */
    uint16_t
        n_words; /**< classes, and words of the user's own up to the last one with takes; 0 without any */
    bool has_own;     /**< whether a word of the user's own has takes */
    uint16_t at;      /**< next row of ring */
    uint16_t n_steps; /**< rows in use, at most window_steps */
} tkws_templates;

/** Whose rates are kept. */
enum {
    TKWS_HEARD_SOUND = 0, /**< the last sound that ended, or was an event */
    TKWS_HEARD_EVENT = 1, /**< the last event */
};

/** Bytes of memory that tkws_templates_init() needs; 0 where the image keeps no takes. */
size_t tkws_templates_memory_bytes(const tkws_model *model);

/** Whether any word has takes. */
bool tkws_templates_wanted(const tkws_model *model, const tkws_weights *weights);

/** Make the templates of the takes that there are, at rest; there may be none. Takes that change later change nothing here.
 *  Those of unknown and of silence count for nothing: other speech has no one template.
 *  @param weights  only its takes are read, and only now
 *  @param memory   n_bytes, aligned to 4
 *  @return TKWS_OK, or TKWS_E_NO_TRACES or TKWS_E_MEMORY with templates untouched */
int tkws_templates_init(tkws_templates *templates, const tkws_model *model,
                        const tkws_weights *weights, void *memory, size_t n_bytes);

/** Back to rest: nothing was heard. */
void tkws_templates_reset(tkws_templates *templates);

/** Take the spikes of a step that the network has just run. */
void tkws_templates_step(tkws_templates *templates, const tkws_network *network);

/** How like the takes of a word the window is. @param word  number of it, below tkws_model_words()
 *  @return the cosine, Q15, within int16; 0 where the word has no template */
int32_t tkws_templates_cosine(const tkws_templates *templates, size_t word);

/** Which word of the user's own the window is, by the rule of own.h.
 *  @param raised_q15  what is added to what its cosine is to be above, within int16
 *  @param cosine_q15  its cosine, written only where there is one
 *  @return its number, or -1: none */
int tkws_templates_own(const tkws_templates *templates, int32_t raised_q15, int32_t *cosine_q15);

/** How like two takes are. @param a, b  their mean spikes a step, n_neurons bytes, Q8
 *  @return the cosine of their traces, Q15, within int16; 0 where one is that of speech itself, or the image has no
 *          section trac */
int32_t tkws_templates_agreement(const tkws_model *model, const uint8_t *a, const uint8_t *b);

/** Whether what is heard as a word is a sound that was taken back. @param word  number of it, below tkws_model_words() */
bool tkws_templates_nothing(const tkws_templates *templates, size_t word);

/** Keep the window's mean rates. @param heard  TKWS_HEARD_SOUND or TKWS_HEARD_EVENT */
void tkws_templates_keep(tkws_templates *templates, size_t heard);

/** What was kept. @param heard  as above
 *  @return n_neurons bytes, Q8, of the templates' memory; or NULL: nothing since templates were made or reset, or
 *          tkws_templates_drop() */
const uint8_t *tkws_templates_kept(const tkws_templates *templates, size_t heard);

/** Correct what was heard last: the sound is a take of a word (own.h), or the event is no word. What was kept is let go;
 *  these templates know nothing of it: make them again.
 *  @param name  n_bytes of UTF-8; none for no word
 *  @return number of the word; TKWS_E_NO_SOUND, or as tkws_own_add() or tkws_own_add_nothing(), with nothing changed */
int tkws_templates_correct(tkws_templates *templates, const tkws_weights *weights, const char *name,
                           size_t n_bytes);

/** Let go what was kept. */
void tkws_templates_drop(tkws_templates *templates);

/** Add to scores what the templates say.
 *  @param scores  n_classes int32, Q10 */
void tkws_templates_add(const tkws_templates *templates, int32_t *scores);

#ifdef __cplusplus
}
#endif

#endif
