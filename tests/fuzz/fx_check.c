/* SPDX-License-Identifier: Apache-2.0 */
/* The core's sums fit, in every target. */
#include "check.h"
#include "tracekws/fx.h"

void tkws_fx_check(int64_t exact, unsigned n_bits, const char *file, int line)
{
    int64_t limit = INT64_C(1) << (n_bits - 1);
    if (exact < -limit || exact >= limit)
        check_failed("the result fits", file, line);
}
