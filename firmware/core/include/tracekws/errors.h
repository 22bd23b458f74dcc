/* SPDX-License-Identifier: Apache-2.0 */
/** @file errors.h  Results of every function: 0 is success, negative an error, positive a count. */
#ifndef TRACEKWS_ERRORS_H
#define TRACEKWS_ERRORS_H

enum {
    TKWS_OK = 0,
#define TKWS_ERROR(number, name, text) TKWS_E_##name = (number),
#include "tracekws/errors.def"
#undef TKWS_ERROR
};

#endif
