# SPDX-License-Identifier: Apache-2.0
"""Behaves as openocd, dfu-util or pyocd do for `tracekws flash`, with a file as the chip.

The folder CHIP has flash.bin, the chip from the start of flash, and log, the command lines.
FAULT spoils something: chip (another one), flip (a bit is written wrongly), error, unverified.
"""

import os
import re
import sys
from pathlib import Path

BASES = {"openocd": 0x08000000, "dfu-util": 0x08000000, "pyocd": 0x10000000}
CHIP = Path(os.environ["CHIP"])
FAULT = os.environ.get("FAULT", "")
tool, words = Path(sys.argv[0]).name, sys.argv[1:]
line = " ".join(words)
memory = bytearray((CHIP / "flash.bin").read_bytes())


def write(path: str, address: int) -> None:
    data = bytearray(Path(path).read_bytes())
    if FAULT == "flip":
        data[-1] ^= 1
    at = address - BASES[tool]
    memory[at : at + len(data)] = data
    (CHIP / "flash.bin").write_bytes(memory)


def read(address: int, n_bytes: int, path: str) -> None:
    at = address - BASES[tool]
    with Path(path).open("xb") as file:
        file.write(memory[at : at + n_bytes])


with (CHIP / "log").open("a") as log:
    log.write(f"{tool} {line}\n")
if FAULT == "error":
    print("Info : something", file=sys.stderr)
    print("Error: the cable is loose", file=sys.stderr)
    print("bye", file=sys.stderr)
    sys.exit(1)
if FAULT == "access":
    sys.exit("Error: libusb_open() failed with LIBUSB_ERROR_ACCESS")
if tool == "openocd":
    if "flash probe 0" in line:
        print(f"Info : device id = {'0x10006411' if FAULT == 'chip' else '0x100f6413'}")
    elif program := re.search(r"program \{(.*)\} (\w+) verify reset exit$", line):
        write(program.group(1), int(program.group(2), 16))
        print("" if FAULT == "unverified" else "** Verified OK **", file=sys.stderr)
elif tool == "dfu-util":
    place = words[words.index("-s") + 1].split(":")
    if "-D" in words:
        for percent in (0, 50, 100):
            print(f"\rDownload\t[=====] {percent:3d}%", end="", flush=True)
        write(words[words.index("-D") + 1], int(place[0], 16))
    elif "-U" in words:
        read(int(place[0], 16), int(place[1]), words[words.index("-U") + 1])
    else:
        assert place[1] == "leave"
elif words[0] == "flash":
    write(words[-1], int(words[words.index("-a") + 1], 16))
elif words[0] == "cmd":
    _, address, size, path = words[words.index("-c") + 1].split()
    read(int(address, 16), int(size), path)
else:
    assert words[0] == "reset"
