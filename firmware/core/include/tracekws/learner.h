/* SPDX-License-Identifier: Apache-2.0 */
/** @file learner.h  Learning from labelled takes: online Traces Propagation and the readout's delta rule.
 *
 * The rule is Traces Propagation (Pes, Yin, Stuijk, Corradi, arXiv 2509.13053) with the contrast taken
 * against a bank of class traces instead of a batch, so that it learns from one sample at a time:
 *
 *     eps_j    = beta eps_j + (1 - beta) s_j         trace of the heard take (eq. 11)
 *     eps~_cj  = beta eps~_cj + (1 - beta) s~_cj     trace of class c, driven by S_c alone (eq. 12)
 *     p        = softmax_c(gain eps . eps~_c)        contrast logits (eq. 14)
 *     L_j      = sum_c (p_c - y_c) eps~_cj           learning signal
 *     W_ji    -= rate L_j psi(u_j) x_i               (eq. 18, first term), every step
 *     R_ij    -= rate L_j psi(u_j) s_i(t-1)
 *     b_j     -= rate L_j psi(u_j)
 *
 * The readout learns once a take from the mean rates r: V_jc -= rate (softmax(r V + c) - y)_c r_j.
 *
 * A guarded take is refused where the network hears another class by more than TKWS_LEARNER_GUARD: a take of another
 * word, of none, or noise, under a wrong name. One of a word of the user's own is refused as silence alone.
 *
 * Without any of that, the mean rates alone are kept, as the trace of what the user says: templates.h compares them
 * with what is heard. */
#ifndef TRACEKWS_LEARNER_H
#define TRACEKWS_LEARNER_H

#include "tracekws/network.h"
#include "tracekws/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How much likelier another class may be than the word of a guarded take, of logits, Q10: 4. */
#define TKWS_LEARNER_GUARD 4096

/** State of the learner. The network and memory are the caller's and must outlive it. */
typedef struct {
    tkws_network *network;
    int16_t *trace;         /**< eps, Q15 */
    int16_t *bank_trace;    /**< eps~, Q15: n_classes rows of n_neurons */
    int16_t *bank_membrane; /**< of the target path's neurons, Q membrane_q, rows likewise */
    uint16_t *count;        /**< spikes of each neuron in this take */
    tkws_rng rng;           /**< behind stochastic rounding and replay draws */
    uint32_t n_steps;       /**< of the take; 0 when none is open */
    uint16_t method;        /**< TKWS_LEARN_* flags of the open take */
    uint16_t label;         /**< number of the word of the open take */
    uint16_t scale_q15;     /**< of all rates in the open take */
    uint16_t open;          /**< 1 between begin and end */
} tkws_learner;

/** Bytes of memory that tkws_learner_init() needs for a model. */
size_t tkws_learner_memory_bytes(const tkws_model *model);

/** Start a learner on a network.
 *  @param memory  n_bytes, aligned to 4
 *  @param seed    of the generator; the same seed, takes and weights give the same weights, to the bit
 *  @return TKWS_OK, or TKWS_E_MEMORY with learner untouched */
int tkws_learner_init(tkws_learner *learner, tkws_network *network, void *memory, size_t n_bytes,
                      uint32_t seed);

/** Open a take: the network, the traces and the bank start at rest.
 *  @param method     TKWS_LEARN_* flags; 0 only listens; TKWS_LEARN_GUARDED goes with TKWS_LEARN_TAKES alone
 *  @param label      class of the take. Where the method is TKWS_LEARN_TAKES alone, guarded or not, it may also be the number of a word of
 *                    the user's own (own.h)
 *  @param scale_q15  share of the model's rates to learn with, 0..32767
 *  @return TKWS_OK; TKWS_E_ARGUMENT, TKWS_E_STATE (a take is open) or TKWS_E_NO_TRACES (the image keeps no takes)
 *          with nothing changed */
int tkws_learner_begin(tkws_learner *learner, uint32_t method, uint32_t label, uint32_t scale_q15);

/** Run the network one step and learn from it.
 *  @param features  n_inputs int8, Q4
 *  @return TKWS_OK, or TKWS_E_STATE when no take is open, or TKWS_E_ARGUMENT after 65,535 steps */
int tkws_learner_step(tkws_learner *learner, const int8_t *features);

/** Close the take: the readout learns, then what is replayed. The network is left at rest.
 *  @return TKWS_OK, TKWS_E_STATE when no take is open, TKWS_E_TOO_SHORT when it had no step, TKWS_E_UNLIKE when it was
 *          guarded and refused, with nothing changed */
int tkws_learner_end(tkws_learner *learner);

/** Close the take without the readout's part; what W, R and b learned step by step stays. */
void tkws_learner_abort(tkws_learner *learner);

#ifdef __cplusplus
}
#endif

#endif
