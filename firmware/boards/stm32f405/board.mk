# SPDX-License-Identifier: Apache-2.0
# STM32F405: pyboard, Adafruit Feather STM32F405 Express.
# stm32f405.elf is for the part. stm32f405-qemu.elf has the same objects, linked for QEMU's netduinoplus2,
# which has 192 KiB of SRAM in one piece and no CCM:
#   qemu-system-arm -M netduinoplus2 -display none -monitor none -serial null -serial null \
#       -serial tcp:127.0.0.1:PORT,server=on,wait=on -kernel build/firmware/stm32f405-qemu.elf

CROSS := arm-none-eabi-
CPU := -mcpu=cortex-m4 -mthumb -mfloat-abi=soft
BOARD_SOURCES := firmware/boards/bare/cortex_m.c $(wildcard $(DIR)/*.c)
QEMU_ELF := $(OUT)/$(BOARD)-qemu.elf
FIRMWARE_OUTPUTS += $(QEMU_ELF)

$(QEMU_ELF): $(OUT)/$(BOARD).elf
	$(CROSS)gcc $(FLAGS) -nostartfiles -T $(DIR)/link.ld -Wl,--defsym=tkws_ccm=0x20020000 \
		-Wl,--gc-sections -Wl,-z,noexecstack -Wl,--fatal-warnings $(OBJECTS) -lgcc -o $@
