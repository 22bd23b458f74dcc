/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/name.h"

/* Characters that no name has, in order. */
static const struct {
    uint16_t first;
    uint16_t last;
} forbidden[] = {
    {0x0000, 0x0020}, {'/', '/'},       {'\\', '\\'},     {0x007f, 0x00a0}, {0x061c, 0x061c},
    {0x1680, 0x1680}, {0x2000, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x205f},
    {0x2066, 0x2069}, {0x3000, 0x3000}, {0xfeff, 0xfeff},
};

static bool allowed(uint32_t code)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (code >= forbidden[i].first && code <= forbidden[i].last)
            return false;
    return true;
}

/* Bytes of a character by its first byte; 0 when none begins so. */
static size_t bytes_of(uint8_t lead)
{
    if (lead < 0x80)
        return 1;
    if (lead < 0xc0 || lead > 0xf7)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Decode the character at the start of n_bytes, of which there is at least one.
 * Returns its bytes; 0 when it is malformed, with code untouched. */
static size_t character(const uint8_t *text, size_t n_bytes, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = bytes_of(text[0]);
    if (n == 0 || n > n_bytes)
        return 0;
    uint32_t c = n == 1 ? text[0] : text[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0u) != 0x80u)
            return 0;
        c = c << 6 | (text[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *code = c;
    return n;
}

bool tkws_name_valid(const uint8_t *name, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > TKWS_NAME_MAX || name[0] == '.')
        return false;
    size_t n = 0;
    for (size_t at = 0; at < n_bytes; at += n) {
        uint32_t code = 0;
        n = character(name + at, n_bytes - at, &code);
        if (n == 0 || !allowed(code))
            return false;
    }
    return true;
}

size_t tkws_name_length(const uint8_t *cell)
{
    size_t n = 0;
    while (n < TKWS_NAME_BYTES && cell[n] != 0)
        n++;
    for (size_t i = n; i < TKWS_NAME_BYTES; i++)
        if (cell[i] != 0)
            return 0;
    return tkws_name_valid(cell, n) ? n : 0;
}
