/* SPDX-License-Identifier: Apache-2.0 */
/** @file protocol.h  Numbers of the device protocol; docs/protocol.md says what they mean. */
#ifndef TKWS_APP_PROTOCOL_H
#define TKWS_APP_PROTOCOL_H

#include "frame.h"
#include "tracekws/version.h"

#define TKWS_APP_PROTOCOL 2 /**< version; any change that an older host would misread raises it */

/** Version of the firmware as it goes on the wire and into slots. */
#define TKWS_APP_FIRMWARE                                                                          \
    (((uint32_t)TKWS_VERSION_MAJOR << 16) + ((uint32_t)TKWS_VERSION_MINOR << 8) +                  \
     (uint32_t)TKWS_VERSION_PATCH)

/** First byte of a message from the host. */
enum {
#define TKWS_REQUEST(number, name, needs_model, n_body, handle) TKWS_APP_##name = (number),
#include "requests.def"
#undef TKWS_REQUEST
};

#define TKWS_APP_ANSWER 0x80  /**< set in the first byte of an answer */
#define TKWS_APP_DAMAGED 0x80 /**< first byte of the notice that a damaged frame came */
#define TKWS_APP_WORKING 0xff /**< first byte of the notice that a request needs time */

#define TKWS_APP_ID_AT 1        /**< offset of the request id */
#define TKWS_APP_REQUEST_BODY 5 /**< offset of a request's body */
#define TKWS_APP_STATUS_AT 5    /**< offset of an answer's status, int16 */
#define TKWS_APP_ANSWER_BODY 7  /**< offset of an answer's body */

/** Kinds of session. */
enum {
    TKWS_APP_IDLE = 0,
    TKWS_APP_LISTENING = 1,
    TKWS_APP_CLASSIFYING = 2,
    TKWS_APP_LEARNING = 3,
    TKWS_APP_LOADING = 4,
    TKWS_APP_HEARING = 5,   /**< listening to the board's own microphone */
    TKWS_APP_RECORDING = 6, /**< its microphone is recorded */
    TKWS_APP_ALONE = 7,     /**< no host's; not on the wire, since any request ends it */
};

/** Which words a stream is heard for. */
enum {
    TKWS_APP_WORDS_MODEL = 0,     /**< as the model says */
    TKWS_APP_WORDS_ISOLATED = 1,  /**< those that stand by themselves */
    TKWS_APP_WORDS_CONNECTED = 2, /**< those in flowing speech, too */
};

/** Kinds of data in a take. */
enum {
    TKWS_APP_PCM = 1,
    TKWS_APP_FEATURES = 2,
};

#define TKWS_APP_CAN_LISTEN 1
#define TKWS_APP_CAN_CLASSIFY 2
#define TKWS_APP_CAN_LEARN 4
#define TKWS_APP_CAN_SAVE 8
#define TKWS_APP_CAN_LOAD 16
#define TKWS_APP_CAN_HEAR 32     /**< has a microphone */
#define TKWS_APP_CAN_TEACH 64    /**< knows WORDS, TEACH and FORGET_WORD */
#define TKWS_APP_CAN_CORRECT 128 /**< knows CORRECT, and takes that are guarded */

#define TKWS_APP_MAX_DATA 640         /**< bytes of PCM, features or weights in one message */
#define TKWS_APP_LOAD_BYTES 512       /**< of an image in one message: whole program units */
#define TKWS_APP_MODEL_METHOD 0xffffu /**< in TAKE: the method that the model names */
#define TKWS_APP_EVENTS 8             /**< events kept until the host has seen them */
#define TKWS_APP_RING_SAMPLES 2048    /**< recorded samples that wait for the host, at the least */
#define TKWS_APP_EVENT_BYTES 20
#define TKWS_APP_MAX_CREDIT 4 /**< one step a message at most, hence one event */

#endif
