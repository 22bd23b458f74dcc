/* SPDX-License-Identifier: Apache-2.0 */
/* The sealed second-stage boot loader (boot2.S, seal_boot2.py), at the start of flash. */
    .section .boot2, "a"
    .global boot2_sealed
boot2_sealed:
    .incbin "boot2.bin"
