/* SPDX-License-Identifier: Apache-2.0 */
/** @file maker.h  Model images of any shape and content that the parser accepts. */
#ifndef FUZZ_MAKER_H
#define FUZZ_MAKER_H

#include "input.h"
#include "tracekws/model.h"

/** What an array is filled with. */
enum {
    MAKER_HIGHEST,  /**< 32767, or 127 */
    MAKER_LOWEST,   /**< -32768, or -128; the highest where no number may be negative */
    MAKER_ZERO,     /**< 0 */
    MAKER_ANY,      /**< all numbers alike */
    MAKER_EXTREMES, /**< the highest and the lowest */
    MAKER_SMALL,    /**< within 1% of the range */
    MAKER_ONE,      /**< one number throughout: the seed's upper half */
    MAKER_SPARSE,   /**< mostly 0 */
    MAKER_KINDS,
};

typedef struct {
    uint8_t kind;
    uint32_t seed;
} maker_pattern;

/** Arrays of an image. */
enum {
    MAKER_THRESHOLDS,
    MAKER_WEIGHTS,
    MAKER_RECURRENT,
    MAKER_BIAS,
    MAKER_READOUT,
    MAKER_READOUT_BIAS,
    MAKER_TAPS,
    MAKER_DECAY,
    MAKER_TARGET,
    MAKER_LATENT,
    MAKER_SEQUENCES,
    MAKER_MEAN, /**< of section trac, as are the next two */
    MAKER_SHRINK,
    MAKER_ALONG,
    MAKER_KERNELS, /**< of section Conv, as is the next */
    MAKER_KERNEL_BIAS,
    MAKER_PARTS,
};

/** What is in an image, its numbers aside. */
typedef struct {
    maker_pattern parts[MAKER_PARTS];
    tkws_convolution_form
        convolution;        /**< numbers of section Conv, which is not there without kernels */
    tkws_trace_form traces; /**< numbers of section trac, which is not there when rank is 0 */
    tkws_own_form own; /**< of section ownw, which is not there when n_words is 0; with trac only */
    uint8_t first;     /**< section that comes first; the others follow in a ring */
    uint8_t n_extra;   /**< 0, or bytes of a section more, of a type that readers pass over */
} maker_content;

/** Read a pattern. */
maker_pattern maker_read_pattern(fuzz_input *in);

/** Read any content. */
void maker_read_content(fuzz_input *in, maker_content *content);

#define MAKER_SHAPES 4
/** Numbers of section Conv: one of MAKER_SHAPES, the first one with the largest patch. */
tkws_convolution_form maker_shape(size_t which, uint32_t weight_q);

/** Fill n numbers of int16. */
void maker_fill16(int16_t *numbers, size_t n, maker_pattern pattern);

/** Fill n numbers of int8. */
void maker_fill8(int8_t *numbers, size_t n, maker_pattern pattern);

/** A header in range: each field at an end of its range, or between.
 *  @param max_neurons  1..TKWS_MAX_NEURONS */
void maker_read_header(fuzz_input *in, uint32_t max_neurons, tkws_model_header *header);

/** Make an image.
 *  @param header   all fields in range
 *  @param n_bytes  of the image
 *  @return the image, the caller's to free */
uint8_t *maker_image(const tkws_model_header *header, const maker_content *content,
                     size_t *n_bytes);

/** Make all CRCs of an image right that was changed, as far as its sections can be followed. */
void maker_seal(uint8_t *image, size_t n_bytes);

/** The label of a class: a cell of name.h. @return its bytes without the zeros */
size_t maker_label(uint32_t word, uint8_t cell[TKWS_NAME_BYTES]);

#define MAKER_KNOWN 3
/** The header of one of MAKER_KNOWN small models. */
void maker_known_header(size_t which, tkws_model_header *header);

/** One of those models, always the same; all but the last hear words, and the first keeps takes.
 *  @return the image, the caller's to free */
uint8_t *maker_known(size_t which, size_t *n_bytes);

#endif
