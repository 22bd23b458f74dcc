/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"

#define FULL_BLOCK 0xff /* 254 bytes without a zero behind them */

void tkws_app_decoder_reset(tkws_app_decoder *decoder)
{
    decoder->n_bytes = 0;
    decoder->code = 0;
    decoder->left = 0;
    decoder->overflow = false;
}

static void append(tkws_app_decoder *decoder, uint8_t byte)
{
    if (decoder->n_bytes < sizeof decoder->bytes)
        decoder->bytes[decoder->n_bytes++] = byte;
    else
        decoder->overflow = true;
}

static bool intact(const tkws_app_decoder *decoder)
{
    if (decoder->overflow || decoder->left != 0 || decoder->n_bytes <= TKWS_APP_CRC_BYTES)
        return false;
    size_t n = decoder->n_bytes - TKWS_APP_CRC_BYTES;
    return tkws_crc32(0, decoder->bytes, n) == tkws_bytes_get_u32(decoder->bytes + n);
}

static int end_frame(tkws_app_decoder *decoder, size_t *n_message)
{
    int result = 0;
    if (decoder->code != 0) {
        result = intact(decoder) ? 1 : TKWS_E_FRAME;
        if (result == 1)
            *n_message = decoder->n_bytes - TKWS_APP_CRC_BYTES;
    }
    tkws_app_decoder_reset(decoder);
    return result;
}

int tkws_app_decode(tkws_app_decoder *decoder, uint8_t byte, size_t *n_message)
{
    if (byte == 0)
        return end_frame(decoder, n_message);
    if (decoder->left > 0) {
        append(decoder, byte);
        decoder->left--;
        return 0;
    }
    if (decoder->code != 0 && decoder->code != FULL_BLOCK)
        append(decoder, 0);
    decoder->code = byte;
    decoder->left = (uint8_t)(byte - 1);
    return 0;
}

size_t tkws_app_encode(uint8_t *message, size_t n_message, uint8_t *encoded)
{
    size_t n_bytes = n_message + TKWS_APP_CRC_BYTES;
    size_t code_at = 0;
    size_t at = 1;
    tkws_bytes_put_u32(message + n_message, tkws_crc32(0, message, n_message));
    for (size_t i = 0; i < n_bytes; i++) {
        if (message[i] != 0)
            encoded[at++] = message[i];
        bool full = at - code_at == FULL_BLOCK;
        if (message[i] == 0 || (full && i + 1 < n_bytes)) {
            encoded[code_at] = (uint8_t)(at - code_at);
            code_at = at++;
        }
    }
    encoded[code_at] = (uint8_t)(at - code_at);
    encoded[at++] = 0;
    return at;
}
