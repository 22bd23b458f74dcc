/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/softmax.h"

#include "tracekws/fx.h"
#include "tracekws/model.h"
#define TKWS_TABLES_SOFTMAX
#include "tables.h"

#define LOG2_E_Q14 23637

/* e^-x in Q15 for x >= 0 in Q10. */
static uint32_t exp_minus(int64_t x)
{
    if (x >= 16 * 1024)
        return 0;
    uint32_t y = ((uint32_t)x * LOG2_E_Q14) >> 14; /* e^-x = 2^-y, Q10 */
    uint32_t whole = y >> 10;
    uint32_t index = (y >> 4) & 63u;
    int32_t high = exp2_q15[index];
    int32_t low = exp2_q15[index + 1];
    int32_t value = high - tkws_fx_shr((high - low) * (int32_t)(y & 15u), 4);
    return (uint32_t)value >> whole;
}

void tkws_softmax(const int32_t *logits, size_t n, int16_t *p)
{
    uint32_t power[TKWS_MAX_CLASSES];
    uint32_t sum = 0;
    int32_t largest = logits[0];
    for (size_t i = 1; i < n; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    for (size_t i = 0; i < n; i++) {
        power[i] = exp_minus((int64_t)largest - logits[i]);
        sum += power[i];
    }
    for (size_t i = 0; i < n; i++)
        p[i] = (int16_t)(power[i] * TKWS_Q15_ONE / sum); /* power <= 2^15, sum >= 32767 */
}
