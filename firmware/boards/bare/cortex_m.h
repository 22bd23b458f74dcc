/* SPDX-License-Identifier: Apache-2.0 */
/** @file cortex_m.h  Start-up of a Cortex-M, and sleeping without missing an interrupt. */
#ifndef TKWS_BARE_CORTEX_M_H
#define TKWS_BARE_CORTEX_M_H

/** For the vector table, entry 1: fills memory as C wants it, paints the stack, calls main(). */
void tkws_reset_handler(void);

/** For the entries that must not happen: stays, until a watchdog resets the part. */
void tkws_fault_handler(void);

/** With interrupts held off, decide whether to sleep: one that comes in between still wakes the part. */
static inline void tkws_hold_interrupts(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}

static inline void tkws_sleep(void)
{
    __asm__ volatile("dsb\n\twfi" ::: "memory");
}

static inline void tkws_release_interrupts(void)
{
    __asm__ volatile("cpsie i\n\tisb" ::: "memory");
}

#endif
