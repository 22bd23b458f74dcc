# SPDX-License-Identifier: Apache-2.0
CROSS := arm-none-eabi-
CPU := -mcpu=cortex-m4 -mthumb -mfloat-abi=soft
BOARD_SOURCES := $(DIR)/board.c $(DIR)/vectors.c firmware/boards/bare/cortex_m.c
