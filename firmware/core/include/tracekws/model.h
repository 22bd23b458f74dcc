/* SPDX-License-Identifier: Apache-2.0 */
/** @file model.h  The model image: one file of bytes on disk, in flash and on the wire.
 *
 * Little endian throughout, uint32 where nothing else is said:
 *   magic             TKWS_MODEL_MAGIC
 *   format_version    TKWS_MODEL_FORMAT
 *   image_bytes       the whole image, CRC included
 *   n_sections        how many follow
 *   sections          each one: type, n_bytes, CRC-32 of the payload; n_bytes of payload; zeros up to a multiple
 *                     of 4 bytes
 *   crc               CRC-32 of all bytes before it
 *
 * A type is four ASCII letters. If the first is a capital, a reader that does not know the section refuses the
 * image; else it passes over it. So what says more about a model needs no new format. These are all there, once,
 * even without payload, in any order, since each is found by its type before any is read:
 *   Numb              the fields of tkws_model_header in order, uint32 each
 *   Name              of the model: a cell (name.h)
 *   Labe              n_classes cells, no two alike
 *   Thre              n_classes x int16, Q15: posterior above which a word is an event
 *   Weig              all that is trained, the next five, one behind the other:
 *     weights         n_neurons x n_inputs int16, Q weight_q: a row a neuron
 *     recurrent       n_neurons x n_neurons int16, Q recurrent_q: a row a presynaptic neuron
 *     bias            n_neurons x int16, Q membrane_q
 *     readout         n_neurons x n_classes int16, Q10: a row a neuron
 *     readout_bias    n_classes x int16, Q10
 *   Taps              n_taps x n_inputs int8, Q6: the filter in time of each input, present step first
 *   Deca              n_neurons x int16, Q15: what a membrane keeps each step
 *   Targ              n_classes x n_neurons int16, Q membrane_q: the matrix S of the target path
 *   Late              n_latent x (class, n_neurons mean rates in Q8), bytes: replay vectors
 *   Sequ              n_sequences x (class, sequence_steps x n_inputs features), bytes: replay takes
 * These may be missing:
 *   Conv              a convolution before the taps (convolution.h): uint16 up to the weights
 *     n_kernels       even
 *     n_frames        TKWS_STACK..TKWS_MAX_PATCH: how many frames each kernel spans
 *     width           channels it spans, a multiple of 4
 *     stride          channels from one band to the next, at least 1
 *     margin          zeros beside the first and the last channel, below width
 *     weight_q        4..15
 *     weights         n_kernels x width x n_frames int16, Q weight_q: a row a channel, oldest frame first
 *     bias            n_kernels x int16, Q8
 *                     n_frames x width is at most TKWS_MAX_PATCH, and n_kernels times the bands that fit n_inputs
 *   trac              how traces of takes are compared (templates.h):
 *     rank            uint16, 1..TKWS_MAX_RANK
 *     along_q         uint16, 7..15
 *     weight_q10      uint16, Q10: what a cosine of one adds to a score
 *     floor_q15       int16, Q15: the cosine above which anything is added, at least 0
 *     mean            n_neurons x int16, Q15: mean rates of speech, at least 0
 *     shrink          rank x int16, Q15: how much of a direction is taken away, at least 0
 *     along           n_neurons x rank int8, Q along_q: the directions, a row a neuron
 *   ownw              words of the user's own (own.h), with trac only: uint16 each
 *     n_words         1..TKWS_MAX_OWN: how many there is room for
 *     least_q15       Q15, below 2^15, as are the next three: what a cosine is to be above, where takes agree by nothing
 *     agreement_q15   what is added to that for an agreement of one
 *     single_q15      the agreement of a word of one take
 *     rival_q15       how much of the next likest word's cosine is taken off */
#ifndef TRACEKWS_MODEL_H
#define TRACEKWS_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "tracekws/name.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TKWS_MODEL_MAGIC 0x53574b54 /**< "TKWS" */
#define TKWS_MODEL_FORMAT 3         /**< the format_version that this core reads */
#define TKWS_LAYER_RECURRENT_LIF 1  /**< the layer_kind that this core runs */
#define TKWS_MAX_TAPS 16
#define TKWS_MAX_CLASSES 32
#define TKWS_MAX_NEURONS 1024
#define TKWS_MAX_WINDOW_STEPS 200
#define TKWS_MAX_RANK 64
#define TKWS_MAX_PATCH 256 /**< numbers that a kernel of the convolution spans */
#define TKWS_MAX_OWN 16
#define TKWS_TAKES_COUNTED 16     /**< of a word; later ones fade it out */
#define TKWS_CONVOLUTION_BIAS_Q 8 /**< Q format of the convolution's biases */
#define TKWS_TAP_Q 6              /**< Q format of taps */
#define TKWS_LOGIT_Q 10           /**< Q format of readout weights, scores and contrast logits */

#define TKWS_MODEL_START_BYTES 16  /**< of an image before its sections */
#define TKWS_SECTION_HEAD_BYTES 12 /**< of a section before its payload */
#define TKWS_SECTION_NUMBERS 0x626d754e
#define TKWS_SECTION_NAME 0x656d614e
#define TKWS_SECTION_LABELS 0x6562614c
#define TKWS_SECTION_THRESHOLDS 0x65726854
#define TKWS_SECTION_WEIGHTS 0x67696557
#define TKWS_SECTION_TAPS 0x73706154
#define TKWS_SECTION_DECAY 0x61636544
#define TKWS_SECTION_TARGET 0x67726154
#define TKWS_SECTION_LATENT 0x6574614c
#define TKWS_SECTION_SEQUENCES 0x75716553
#define TKWS_SECTION_CONVOLUTION 0x766e6f43
#define TKWS_SECTION_TRACES 0x63617274
#define TKWS_SECTION_OWN 0x776e776f

/** What a take changes: flags, added up. */
#define TKWS_LEARN_READOUT 1   /**< the readout's delta rule, once a take */
#define TKWS_LEARN_TRACES 2    /**< Traces Propagation on W, R and b, every step */
#define TKWS_LEARN_LATENT 4    /**< after a take: latent_per_take replay vectors to the readout */
#define TKWS_LEARN_SEQUENCES 8 /**< after a take: sequences_per_take replay takes, as if heard */
#define TKWS_LEARN_TAKES 16    /**< after a take: its trace joins those of its word */
#define TKWS_LEARN_ALL                                                                             \
    (TKWS_LEARN_READOUT | TKWS_LEARN_TRACES | TKWS_LEARN_LATENT | TKWS_LEARN_SEQUENCES |           \
     TKWS_LEARN_TAKES)
#define TKWS_LEARN_GUARDED 32 /**< with TAKES alone: one of another word is refused */

/** The numbers of a model. Each learning rate is the change of a weight for a unit gradient, in 2^-16 of
 *  the weight's least significant bit; the gradients are defined in learner.h. */
typedef struct {
    uint32_t version;     /**< of the tools that wrote it: major << 16 | minor << 8 | patch */
    uint32_t sample_rate; /**< Hz */
    uint32_t window;      /**< samples */
    uint32_t hop;         /**< samples */
    uint32_t channels;    /**< mel channels a frame */
    uint32_t stack;       /**< frames a step */
    uint32_t alpha_q15;   /**< energy normalisation, as are the next three: see frontend.h */
    uint32_t mean_shift;
    uint32_t fall_shift;
    uint32_t energy_floor;
    uint32_t n_classes;        /**< 3..TKWS_MAX_CLASSES */
    uint32_t unknown_class;    /**< index of the class for other words */
    uint32_t silence_class;    /**< index of the class for no speech */
    uint32_t n_layers;         /**< 1 */
    uint32_t layer_kind;       /**< TKWS_LAYER_RECURRENT_LIF */
    uint32_t n_inputs;         /**< TKWS_FEATURES */
    uint32_t n_taps;           /**< steps that an input's filter spans, 1..TKWS_MAX_TAPS */
    uint32_t n_neurons;        /**< 1..TKWS_MAX_NEURONS */
    uint32_t weight_q;         /**< Q format of the input weights, 4..15 */
    uint32_t recurrent_q;      /**< Q format of the recurrent weights, 4..15 */
    uint32_t membrane_q;       /**< Q format of membranes, biases and S, 4..14 */
    uint32_t threshold;        /**< of the membrane, in Q membrane_q, 1..16383 */
    uint32_t window_steps;     /**< steps that scores are the mean of, 1..TKWS_MAX_WINDOW_STEPS */
    uint32_t surrogate_q;      /**< half width of the triangle surrogate is 2^surrogate_q, 4..14 */
    uint32_t trace_decay_q15;  /**< beta of the eligibility traces, 0..32767 */
    uint32_t contrast_gain_q8; /**< contrast logit of two equal traces of norm 1, 0..2^20 */
    uint32_t rate_weights; /**< learning rate of the input weights, per unit of feature; 0..2^24 */
    uint32_t rate_recurrent;     /**< of the recurrent weights, 0..2^30, as are those below */
    uint32_t rate_bias;          /**< of the biases */
    uint32_t rate_readout;       /**< of the readout weights */
    uint32_t rate_readout_bias;  /**< of the readout's biases */
    uint32_t method;             /**< what adaptation does by default: TKWS_LEARN_* flags */
    uint32_t passes;             /**< passes over the takes by default, 1..100 */
    uint32_t latent_per_take;    /**< latent replays after each take, 0..16 */
    uint32_t sequences_per_take; /**< replayed sequences after each take, 0..4 */
    uint32_t smoothing_shift;    /**< detector: posteriors are smoothed by 1 / 2^n a step, 0..6 */
    uint32_t
        refractory_steps; /**< detector: steps until the word of the last event may be one again, 0..1000 */
    uint32_t gap_steps; /**< detector: steps without any further event, 0..1000 */
    uint32_t
        isolated; /**< detector: 1 to hear words that stand alone only, as it is set at first; else 0 */
    uint32_t n_latent;       /**< latent replay vectors, 0..4096 */
    uint32_t n_sequences;    /**< replay sequences, 0..256 */
    uint32_t sequence_steps; /**< steps of each sequence, 1..200 when there are any */
} tkws_model_header;

/** Bytes of tkws_model_header in an image: the payload of section Numb. */
#define TKWS_MODEL_HEADER_BYTES 168

/** Section Conv of an image. */
typedef struct {
    uint16_t n_kernels; /**< 0 where the image has no such section */
    uint16_t n_frames;
    uint16_t width;
    uint16_t stride;
    uint16_t margin;
    uint16_t weight_q;
    uint16_t n_bands;  /**< that a kernel is laid on */
    int32_t bias_unit; /**< of a bias, in Q weight_q + TKWS_FEATURE_Q */
    const uint8_t *weights;
    const uint8_t *bias;
} tkws_convolution_form;

/** Section trac of an image. */
typedef struct {
    uint16_t rank;       /**< 0 where the image has no such section */
    uint16_t along_q;    /**< Q format of along */
    uint16_t weight_q10; /**< what a cosine of one adds to a score, Q10 */
    int16_t floor_q15;   /**< the cosine above which anything is added */
    const uint8_t *mean;
    const uint8_t *shrink;
    const uint8_t *along;
} tkws_trace_form;

/** Section ownw of an image: words of the user's own. */
typedef struct {
    uint16_t n_words; /**< 0 where the image has no such section */
    int16_t least_q15;
    int16_t agreement_q15;
    int16_t single_q15;
    int16_t rival_q15;
} tkws_own_form;

/** A checked view of an image. The image stays the caller's and must outlive the model. */
typedef struct {
    tkws_model_header header;
    const uint8_t *image;
    const uint8_t *name;
    const uint8_t *labels;
    const uint8_t *word_threshold;
    const uint8_t *trainable; /**< weights, recurrent, bias, readout, readout_bias, in this order */
    const uint8_t *taps;
    const uint8_t *decay;
    const uint8_t *target;
    const uint8_t *latent;
    const uint8_t *sequences;
    tkws_convolution_form convolution;
    tkws_trace_form traces;
    tkws_own_form own;
    uint32_t crc; /**< of the image: names the model in saved slots */
} tkws_model;

/** How many numbers each trainable matrix holds, all int16. */
typedef struct {
    size_t weights;      /**< n_neurons * n_inputs */
    size_t recurrent;    /**< n_neurons * n_neurons */
    size_t bias;         /**< n_neurons */
    size_t readout;      /**< n_neurons * n_classes */
    size_t readout_bias; /**< n_classes */
} tkws_weight_counts;

/** What is learned: buffers of the caller, of at least the sizes of tkws_weight_counts and of
 *  tkws_model_takes_bytes(). They may lie in different memories. */
typedef struct {
    int16_t *weights;
    int16_t *recurrent;
    int16_t *bias;
    int16_t *readout;
    int16_t *readout_bias;
    /** A row a class, and behind them a row a word of the user's own: how many takes of it there were, at most 255;
     *  the mean over them of each neuron's mean spikes a step, Q8; a zero where n_neurons is even. Then, for each word
     *  of the user's own, a cell with its name, all zeros where there is none, and a number (own.h). */
    uint8_t *takes;
} tkws_weights;

/** Check an image and take a view of it. Every field is checked before model is written.
 *  @param image   n_bytes of image, any alignment
 *  @return TKWS_OK, or the TKWS_E_MODEL_* that names the bad field, with model untouched */
int tkws_model_parse(tkws_model *model, const uint8_t *image, size_t n_bytes);

/** Bytes of the image that a header describes, with the sections named above and no other, CRC included; 0 if a
 *  field is out of range. */
size_t tkws_model_image_bytes(const tkws_model_header *header);

/** Write a header as section Numb has it. @param bytes TKWS_MODEL_HEADER_BYTES, the caller's */
void tkws_model_header_write(const tkws_model_header *header, uint8_t *bytes);

/** Sizes of the trainable matrices. */
tkws_weight_counts tkws_model_weight_counts(const tkws_model *model);

/** Bytes of a row of tkws_weights.takes; 0 where the image has no section trac: it keeps no takes. */
size_t tkws_model_take_bytes(const tkws_model *model);

/** Rows of tkws_weights.takes: classes, and words of the user's own that there is room for. */
size_t tkws_model_words(const tkws_model *model);

/** Bytes of tkws_weights.takes. */
size_t tkws_model_takes_bytes(const tkws_model *model);

/** Bytes of what is learned as it is saved and sent: two for each weight, then the takes. */
size_t tkws_model_trainable_bytes(const tkws_model *model);

/** The label of a class, in the image, ended by a zero. @param class_  below n_classes */
const char *tkws_model_label(const tkws_model *model, size_t class_);

/** Find a label. @param label n_bytes of UTF-8, no terminator needed
 *  @return the class, or TKWS_E_LABEL */
int tkws_model_class(const tkws_model *model, const char *label, size_t n_bytes);

/** Lay the matrices out, one behind the other, and set them to the factory's, those of the image. For a
 *  caller with one piece of memory; others fill the struct themselves and call tkws_weights_load().
 *  @param memory  n_bytes, the caller's, at least tkws_model_trainable_bytes(); aligned to 2
 *  @return TKWS_OK, or TKWS_E_MEMORY with weights untouched */
int tkws_weights_init(tkws_weights *weights, const tkws_model *model, int16_t *memory,
                      size_t n_bytes);

/** Set the weights to the factory's, those of the image, without takes. */
void tkws_weights_load(const tkws_model *model, const tkws_weights *weights);

/** Read a part of what is learned as little-endian bytes, in the image's order, the takes last.
 *  @param offset, n_bytes  both even; the part must lie within tkws_model_trainable_bytes()
 *  @return TKWS_OK or TKWS_E_ARGUMENT, with bytes untouched */
int tkws_weights_read(const tkws_model *model, const tkws_weights *weights, size_t offset,
                      uint8_t *bytes, size_t n_bytes);

/** Replace a part of the trainable state; arguments as for tkws_weights_read(). */
int tkws_weights_write(const tkws_model *model, const tkws_weights *weights, size_t offset,
                       const uint8_t *bytes, size_t n_bytes);

#ifdef __cplusplus
}
#endif

#endif
