# SPDX-License-Identifier: Apache-2.0
# Raspberry Pi Pico: RP2040, 2 MiB of flash. Gives the UF2 file for BOOTSEL too.
CROSS := arm-none-eabi-
CPU := -mcpu=cortex-m0plus -mthumb
BOARD_SOURCES := firmware/boards/bare/cortex_m.c $(wildcard $(DIR)/*.c) $(DIR)/boot2_sealed.S
FIRMWARE_OUTPUTS += $(OUT)/$(BOARD).uf2
PYTHON ?= python3

# The second-stage boot loader: built alone, then sealed with the checksum that the boot ROM demands.
BOOT2 := $(OUT)/$(BOARD)/boot2

$(BOOT2).elf: $(DIR)/boot2.S
	@mkdir -p $(@D)
	$(CROSS)gcc $(CPU) -nostdlib -Wl,-Ttext=0 -Wl,-e,0 -Wl,--build-id=none $< -o $@

$(BOOT2).bin: $(BOOT2).elf $(DIR)/seal_boot2.py
	$(CROSS)objcopy -O binary --only-section=.text $< $@
	$(PYTHON) $(DIR)/seal_boot2.py $@

$(OUT)/$(BOARD)/$(DIR)/boot2_sealed.S.o: $(DIR)/boot2_sealed.S $(BOOT2).bin
	@mkdir -p $(@D)
	$(CROSS)gcc $(FLAGS) -Wa,-I$(OUT)/$(BOARD) -c $< -o $@

$(OUT)/$(BOARD).uf2: $(OUT)/$(BOARD).bin
	$(PYTHON) -I host/tracekws/boards/uf2.py $< $@
