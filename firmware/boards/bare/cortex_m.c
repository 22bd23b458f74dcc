/* SPDX-License-Identifier: Apache-2.0 */
/* Start of a Cortex-M: memory as C wants it, then main(). The vector table is the board's. */
#include "cortex_m.h"

#include <stdint.h>
#include <string.h>

/* Of the linker script. */
extern uint8_t tkws_data_start[];
extern uint8_t tkws_data_end[];
extern const uint8_t tkws_data_load[];
extern uint8_t tkws_bss_start[];
extern uint8_t tkws_bss_end[];
extern uint32_t tkws_stack_bottom[];

int main(void);

#define PAINT 0xa5a5a5a5u

void tkws_reset_handler(void)
{
    const uint32_t *top = __builtin_frame_address(0);
    for (volatile uint32_t *word = tkws_stack_bottom; word < top - 8; word++)
        *word = PAINT; /* what is not overwritten was never used: tests measure the stack by it */
    memcpy(tkws_data_start, tkws_data_load, (size_t)(tkws_data_end - tkws_data_start));
    memset(tkws_bss_start, 0, (size_t)(tkws_bss_end - tkws_bss_start));
    (void)main();
    for (;;) {
    }
}

/* The watchdog ends this, where the board has one. */
void tkws_fault_handler(void)
{
    for (;;) {
    }
}
