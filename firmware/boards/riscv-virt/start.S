/* SPDX-License-Identifier: Apache-2.0 */
/* Start of a RISC-V: traps, memory as C wants it, then main(). */
#define PAINT 0xa5a5a5a5

    .section .start, "ax"
    .global tkws_start
tkws_start:
    .option push
    .option norelax
    la gp, tkws_global_pointer
    .option pop
    la sp, tkws_stack_top
    la t0, tkws_trap_handler
    csrw mtvec, t0

    /* What is not overwritten was never used: tests measure the stack by it. */
    la t0, tkws_stack_bottom
    li t1, PAINT
paint:
    sw t1, 0(t0)
    addi t0, t0, 4
    bltu t0, sp, paint

    la t0, tkws_data_start
    la t1, tkws_data_end
    la t2, tkws_data_load
    j copy_test
copy:
    lw t3, 0(t2)
    sw t3, 0(t0)
    addi t0, t0, 4
    addi t2, t2, 4
copy_test:
    bltu t0, t1, copy

    la t0, tkws_bss_start
    la t1, tkws_bss_end
    j clear_test
clear:
    sw zero, 0(t0)
    addi t0, t0, 4
clear_test:
    bltu t0, t1, clear

    call main
stay:
    j stay
