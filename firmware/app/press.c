/* SPDX-License-Identifier: Apache-2.0 */
#include "press.h"

static uint32_t passed(uint32_t n, uint32_t n_samples, uint32_t most)
{
    return n_samples < most - n ? n + n_samples : most;
}

static tkws_app_press_meaning let_go(tkws_app_press *p, uint32_t n_down)
{
    bool was_done = p->is_done;
    p->is_done = false;
    if (was_done || n_down >= TKWS_APP_PRESS_LONG) {
        p->n_short = 0;
        return was_done ? TKWS_APP_PRESS_NONE : TKWS_APP_PRESS_HELD;
    }
    p->n_short++;
    if (p->n_short < 2)
        return TKWS_APP_PRESS_NONE;
    p->n_short = 0;
    return TKWS_APP_PRESS_DOUBLE;
}

/* It goes up or down. */
static tkws_app_press_meaning change(tkws_app_press *p)
{
    uint32_t n_was = p->n_is;
    p->is_down = p->reads;
    p->n_is = 0;
    if (!p->is_down)
        return let_go(p, n_was);
    if (n_was > TKWS_APP_PRESS_PAUSE)
        p->n_short = 0;
    return TKWS_APP_PRESS_DOWN;
}

tkws_app_press_meaning tkws_app_press_step(tkws_app_press *press, bool reads, uint32_t n_samples)
{
    uint32_t n_reads = passed(press->n_reads, n_samples, TKWS_APP_PRESS_STEADY);
    press->n_reads = reads == press->reads ? n_reads : 0;
    press->reads = reads;
    press->n_is = passed(press->n_is, n_samples, TKWS_APP_PRESS_LONGEST);
    if (press->n_reads == TKWS_APP_PRESS_STEADY && reads != press->is_down)
        return change(press);
    if (!press->is_down || press->is_done || press->n_is < TKWS_APP_PRESS_LONGEST)
        return TKWS_APP_PRESS_NONE;
    press->is_done = true;
    return TKWS_APP_PRESS_STAYS;
}

bool tkws_app_press_is_long(const tkws_app_press *press)
{
    return press->is_down && !press->is_done && press->n_is >= TKWS_APP_PRESS_LONG;
}

void tkws_app_press_drop(tkws_app_press *press)
{
    press->is_done = press->is_down;
    press->n_short = 0;
}
