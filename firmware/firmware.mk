# SPDX-License-Identifier: Apache-2.0
# One firmware for one board: make -f firmware/firmware.mk BOARD=NAME [MODEL=models/base.tkws]
# From the top folder; `make firmware BOARD=NAME` calls it. Gives build/firmware/NAME.{elf,bin,map}.
#
# firmware/boards/NAME/board.mk sets CROSS (prefix of the compiler), CPU (its flags), BOARD_SOURCES, and may
# add to FIRMWARE_OUTPUTS.

MODEL ?= models/base.tkws
OUT := build/firmware
DIR := firmware/boards/$(BOARD)
FIRMWARE_OUTPUTS := $(OUT)/$(BOARD).elf $(OUT)/$(BOARD).bin

all:

include $(DIR)/board.mk

SOURCES := $(wildcard firmware/core/src/*.c firmware/app/*.c) firmware/boards/bare/main.c \
	firmware/boards/bare/image.S $(BOARD_SOURCES)
OBJECTS := $(patsubst %,$(OUT)/$(BOARD)/%.o,$(SOURCES))
FLAGS := $(CPU) -std=c11 -O2 -g -ffunction-sections -fdata-sections -fno-common \
	-ffile-prefix-map=$(CURDIR)=. --specs=picolibc.specs \
	-Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wvla -Wundef -Werror \
	-Ifirmware/core/include -Ifirmware/app -Ifirmware/boards -Ifirmware/boards/bare \
	-DTKWS_BOARD_NAME='"$(BOARD)"' -DTKWS_IMAGE='"$(MODEL)"' $(BOARD_FLAGS)

all: $(FIRMWARE_OUTPUTS)

$(OUT)/$(BOARD)/%.o: %
	@mkdir -p $(@D)
	$(CROSS)gcc $(FLAGS) -fstack-usage -MMD -c $< -o $@

$(OUT)/$(BOARD)/firmware/boards/bare/image.S.o: $(MODEL)

$(OUT)/$(BOARD).elf: $(OBJECTS) $(DIR)/link.ld
	$(CROSS)gcc $(FLAGS) -nostartfiles -T $(DIR)/link.ld -Wl,--gc-sections -Wl,--fatal-warnings \
		-Wl,-Map=$(OUT)/$(BOARD).map $(OBJECTS) -lgcc -o $@
	$(CROSS)size $@

$(OUT)/$(BOARD).bin: $(OUT)/$(BOARD).elf
	$(CROSS)objcopy -O binary $< $@

-include $(OBJECTS:.o=.d)
.PHONY: all
