# SPDX-License-Identifier: Apache-2.0
CROSS := riscv64-unknown-elf-
# With -march=rv32imac_zicsr this gcc links 64-bit libraries; the older specification has csr instructions in it.
CPU := -misa-spec=2.2 -march=rv32imac -mabi=ilp32
BOARD_SOURCES := $(DIR)/board.c $(DIR)/start.S
