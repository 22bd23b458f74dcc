/* SPDX-License-Identifier: Apache-2.0 */
/** @file frame.h  Frames on a byte stream: a message and its CRC-32, COBS coded, ended by 0x00. */
#ifndef TKWS_APP_FRAME_H
#define TKWS_APP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TKWS_APP_CRC_BYTES 4
#define TKWS_APP_MAX_MESSAGE 700 /**< bytes of a message, CRC aside */
#define TKWS_APP_MAX_FRAME (TKWS_APP_MAX_MESSAGE + TKWS_APP_CRC_BYTES)
/** Bytes that a message of n bytes takes on the line, at most. */
#define TKWS_APP_ENCODED_BYTES(n) ((n) + TKWS_APP_CRC_BYTES + ((n) + TKWS_APP_CRC_BYTES) / 254 + 2)

/** State of the receiving side, the caller's. All zero is its start. */
typedef struct {
    uint8_t bytes[TKWS_APP_MAX_FRAME]; /**< the decoded frame */
    size_t n_bytes;
    uint8_t code;  /**< of the block being read */
    uint8_t left;  /**< bytes of it still to come */
    bool overflow; /**< the frame is longer than any may be */
} tkws_app_decoder;

/** Forget a frame that has begun. */
void tkws_app_decoder_reset(tkws_app_decoder *decoder);

/** Take one byte from the line. Empty frames (0x00 after 0x00) are skipped.
 *  @param n_message  bytes of the message now at the start of decoder->bytes, valid until the next call;
 *                    written only when the result is 1
 *  @return 1 when a frame is complete, 0 when not yet, TKWS_E_FRAME when it ended damaged */
int tkws_app_decode(tkws_app_decoder *decoder, uint8_t byte, size_t *n_message);

/** Make a frame of a message.
 *  @param message    n_message bytes, at most TKWS_APP_MAX_MESSAGE, with room for the CRC behind them:
 *                    it is written there
 *  @param encoded    at least TKWS_APP_ENCODED_BYTES(n_message)
 *  @return bytes of encoded that are used */
size_t tkws_app_encode(uint8_t *message, size_t n_message, uint8_t *encoded);

#endif
