/* SPDX-License-Identifier: Apache-2.0 */
#include "cortex_m.h"

#include <stdint.h>

/* Of the linker script. */
extern uint32_t tkws_stack_top[];

/* Step 2: behind these 16 come the part's own interrupts. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*entries[15])(void);
} vectors = {
    tkws_stack_top,
    {[0] = tkws_reset_handler, [1] = tkws_fault_handler, [2] = tkws_fault_handler},
};
