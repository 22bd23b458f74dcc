# SPDX-License-Identifier: Apache-2.0
# One firmware for one board: make -f firmware/firmware.mk BOARD=NAME [MODEL=models/base.tkws] [OUT=build/firmware]
# From the top folder; `make firmware BOARD=NAME` calls it. Gives OUT/NAME.{elf,bin,map}: the same bytes for
# the same sources, wherever they are.
#
# firmware/boards/NAME/board.mk sets CROSS (prefix of the compiler), CPU (its flags), BOARD_SOURCES, and may
# add to FIRMWARE_OUTPUTS and BOARD_FLAGS. ALONE=1 is a firmware that listens from power-on, without a host
# (firmware/app/alone.h). MAIN is another program for the same board, for tests. LIBC is picolibc,
# or newlib, to count with it: the firmware takes copies from it, and nothing else.

MODEL ?= models/base.tkws
OUT ?= build/firmware
MAIN ?= firmware/boards/bare/main.c
LIBC ?= picolibc
ALONE ?=
DIR := firmware/boards/$(BOARD)
FIRMWARE_OUTPUTS := $(OUT)/$(BOARD).elf $(OUT)/$(BOARD).bin

all:

ifeq ($(wildcard $(DIR)/board.mk),)
$(error no board '$(BOARD)'; BOARD is one of: \
	$(patsubst firmware/boards/%/board.mk,%,$(wildcard firmware/boards/*/board.mk)))
endif
include $(DIR)/board.mk

ifeq ($(wildcard $(MODEL)),)
$(error no model image $(MODEL))
endif
# A file that it does not have is named by gcc without a folder.
LIBC_SPECS := $(LIBC:newlib=nosys).specs
LIBC_PACKAGE := $(LIBC:newlib=libnewlib)-$(CROSS:%-=%)
SPECS := $(shell $(CROSS)gcc -print-file-name=$(LIBC_SPECS) 2>/dev/null)
ifeq ($(SPECS),)
$(error $(CROSS)gcc is not installed; get it with: apt-get install gcc-$(CROSS:%-=%) $(LIBC_PACKAGE))
endif
ifeq ($(findstring /,$(SPECS)),)
$(error $(LIBC_PACKAGE) is not installed; get it with: apt-get install $(LIBC_PACKAGE))
endif

SOURCES := $(wildcard firmware/core/src/*.c firmware/app/*.c) $(MAIN) \
	firmware/boards/bare/image.S $(BOARD_SOURCES)
OBJECTS := $(patsubst %,$(OUT)/$(BOARD)/%.o,$(SOURCES))
FLAGS := $(CPU) -std=c11 -O3 -g -ffunction-sections -fdata-sections -fno-common \
	-ffile-prefix-map=$(CURDIR)=. -Wa,--debug-prefix-map=$(CURDIR)=. --specs=$(LIBC_SPECS) \
	-Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wvla -Wundef -Werror \
	-Ifirmware/core/include -Ifirmware/app -Ifirmware/boards -Ifirmware/boards/bare \
	-DTKWS_BOARD_NAME='"$(BOARD)"' $(BOARD_FLAGS)

all: $(FIRMWARE_OUTPUTS)

$(OUT)/$(BOARD)/%.o: %
	@mkdir -p $(@D)
	$(CROSS)gcc $(FLAGS) -fstack-usage -MMD -MP -c $< -o $@

# Where the time goes: unrolled loops take up to 5 % fewer instructions.
$(OUT)/$(BOARD)/firmware/core/src/frontend.c.o $(OUT)/$(BOARD)/firmware/core/src/network.c.o: \
	FLAGS += -funroll-loops

# What was built with the other setting is built again.
$(OUT)/$(BOARD)/alone: FORCE
	@mkdir -p $(@D)
	@echo '$(ALONE)' | cmp -s - $@ || echo '$(ALONE)' > $@
$(OUT)/$(BOARD)/$(MAIN).o: FLAGS += $(if $(ALONE),-DTKWS_ALONE)
$(OUT)/$(BOARD)/$(MAIN).o: $(OUT)/$(BOARD)/alone

# The image is found by its folder: where the model lies leaves no trace in the firmware.
$(OUT)/$(BOARD)/firmware/boards/bare/image.S.o: firmware/boards/bare/image.S $(OUT)/$(BOARD)/image.tkws
	@mkdir -p $(@D)
	$(CROSS)gcc $(FLAGS) -Wa,-I$(OUT)/$(BOARD) -c $< -o $@

# Another MODEL is another image, whatever the files' times say.
$(OUT)/$(BOARD)/image.tkws: FORCE
	@mkdir -p $(@D)
	@cmp -s $(MODEL) $@ || cp $(MODEL) $@

$(OUT)/$(BOARD).elf: $(OBJECTS) $(DIR)/link.ld
	$(CROSS)gcc $(FLAGS) -nostartfiles -T $(DIR)/link.ld -Wl,--gc-sections -Wl,-z,noexecstack -Wl,--fatal-warnings \
		-Wl,-Map=$(OUT)/$(BOARD).map $(OBJECTS) -lgcc -o $@
	$(CROSS)size $@

$(OUT)/$(BOARD).bin: $(OUT)/$(BOARD).elf
	$(CROSS)objcopy -O binary $< $@

# `make lint` calls this for every board. clang has RISC-V's 32 bits as a target of their own.
CLANG_TIDY ?= clang-tidy
STRING_H = $(shell echo '#include <string.h>' | $(CROSS)gcc --specs=picolibc.specs -M -x c -)
tidy:
	$(CLANG_TIDY) --quiet $(filter %.c,$(MAIN) $(BOARD_SOURCES)) -- \
		--target=$(subst riscv64,riscv32,$(CROSS:%-=%)) $(filter-out -misa-spec=% --specs=%,$(FLAGS)) \
		-isystem $(dir $(firstword $(filter %/string.h,$(STRING_H))))

-include $(OBJECTS:.o=.d)
.PHONY: all tidy FORCE
