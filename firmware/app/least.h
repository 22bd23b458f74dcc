/* SPDX-License-Identifier: Apache-2.0 */
/* How much fits: the smaller of two sizes. */
#ifndef TKWS_APP_LEAST_H
#define TKWS_APP_LEAST_H

#include <stddef.h>

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
