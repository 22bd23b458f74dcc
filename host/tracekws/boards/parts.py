# SPDX-License-Identifier: Apache-2.0
"""The boards, a row each: all that the host knows of one. Who adds a board adds a row."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tracekws.errors import MissingTool


@dataclass(frozen=True)
class Machine:
    """What QEMU needs to be one board."""

    program: str
    package: str
    """Of Debian, with the program in it."""
    flash_bytes: int
    """Size of the file that is the flash; 0 for a machine that has none to write to."""
    arguments: tuple[str, ...]
    """With {firmware} and {flash} for the files."""
    suffix: str = ""
    """Behind the board's name in that of the firmware that is linked for QEMU."""
    clock: str = ""
    """Of -icount, where instructions are counted on it."""

    def command(self, firmware: Path, flash: Path) -> list[str]:
        """Give the command line, without where the serial line goes.

        Raises MissingTool when there is no QEMU.
        """
        program = shutil.which(self.program)
        if program is None:
            raise MissingTool(
                f"{self.program} is not installed; get it with: apt-get install {self.package}"
            )
        # QEMU takes a comma for the end of a value, two for one
        names = {"firmware": str(firmware), "flash": str(flash)}
        names = {key: name.replace(",", ",,") for key, name in names.items()}
        quiet = ["-display", "none", "-monitor", "none"]
        return [program, *quiet, *(word.format(**names) for word in self.arguments)]


@dataclass(frozen=True)
class Place:
    """Where in a part's flash the firmware is; its linker script says the same."""

    start: int
    n_bytes: int


@dataclass(frozen=True)
class Way:
    """A way to flash a board."""

    tool: str
    """A program's name, or `uf2` for a drive."""
    text: str
    """What offers it, for the user."""
    part: str
    """What the tool calls the part; of a drive, its Board-ID."""
    usb: frozenset[tuple[str, str]] = frozenset()
    """Vendor and product of the USB devices that offer it."""
    product: str = ""
    """What others have in their product's name, which then is the text."""
    chip: int | None = None
    """Device id that the tool must find."""


@dataclass(frozen=True)
class Flashing:
    """How a board is flashed."""

    place: Place
    ways: tuple[Way, ...]
    """The usual one first."""
    nothing: str
    """What to connect, where nothing is attached."""


@dataclass(frozen=True)
class Board:
    """A board."""

    processor: str
    counted_on: str
    """Board whose machine counts the instructions of its code."""
    machine: Machine | None = None
    """QEMU's; None for the board that rp2040py emulates."""
    cpu: str = ""
    """Flags of its code, where another machine counts."""
    flashing: Flashing | None = None
    """None for a board that there is in QEMU alone."""


_ST_LINK = ("3744", "3748", "374a", "374b", "374d", "374e", "374f", "3752", "3753", "3754", "3757")

BOARDS = {
    "mps2-an386": Board(
        processor="Cortex-M4",
        counted_on="mps2-an386",
        machine=Machine(
            "qemu-system-arm",
            "qemu-system-arm",
            16 << 20,
            (
                *("-M", "mps2-an386,memory-backend=flash", "-kernel", "{firmware}"),
                *("-object", "memory-backend-file,id=flash,size=16M,mem-path={flash},share=on"),
            ),
            clock="shift=10,sleep=off",
        ),
    ),
    "riscv-virt": Board(
        processor="RV32IMAC",
        counted_on="riscv-virt",
        machine=Machine(
            "qemu-system-riscv32",
            "qemu-system-misc",
            32 << 20,
            (
                *("-M", "virt", "-bios", "none", "-device", "loader,file={firmware},cpu-num=0"),
                *("-drive", "if=pflash,unit=1,format=raw,file={flash}"),
            ),
            clock="shift=0,sleep=off",
        ),
    ),
    "stm32f405": Board(
        processor="Cortex-M4",
        counted_on="mps2-an386",
        # the board's line is the third
        machine=Machine(
            "qemu-system-arm",
            "qemu-system-arm",
            0,
            ("-M", "netduinoplus2", "-kernel", "{firmware}", *("-serial", "null") * 2),
            "-qemu",
        ),
        flashing=Flashing(
            Place(0x08000000, 256 << 10),
            (
                # the device id is of its DBGMCU_IDCODE; the STM32F407 has the same
                Way(
                    "openocd",
                    "ST-Link",
                    "target/stm32f4x.cfg",
                    frozenset(("0483", product) for product in _ST_LINK),
                    chip=0x413,
                ),
                Way("dfu-util", "boot loader", "0483:df11", frozenset({("0483", "df11")})),
            ),
            "no ST-Link and no boot loader of an STM32F405: connect an ST-Link; or hold BOOT0 at"
            " 3.3 V, press reset, and connect USB",
        ),
    ),
    "rp2040": Board(
        processor="Cortex-M0+",
        counted_on="mps2-an386",
        cpu="-mcpu=cortex-m0plus -mthumb",
        flashing=Flashing(
            Place(0x10000000, 1280 << 10),
            (
                Way("uf2", "drive", "RPI-RP2"),
                Way("pyocd", "probe", "rp2040", frozenset({("2e8a", "000c")}), "CMSIS-DAP"),
            ),
            "no drive RPI-RP2 and no debug probe: hold BOOTSEL while you connect USB, and have the"
            " drive mounted; or connect a CMSIS-DAP probe",
        ),
    ),
}

MACHINES = {name: board.machine for name, board in BOARDS.items() if board.machine}
"""The boards that QEMU emulates; rp2040py emulates the others."""
FLASHED = {name: board.flashing for name, board in BOARDS.items() if board.flashing}
"""The boards that are flashed."""
PLACES = {name: flashing.place for name, flashing in FLASHED.items()}
