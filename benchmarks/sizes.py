# SPDX-License-Identifier: Apache-2.0
"""Memory of the firmware on every board, with each shipped model: writes sizes.json.

Usage: python benchmarks/sizes.py. Bytes of code, constants and variables are read from the linker's
map, those of weights and states are the core's own. The worst stack is computed from the compiler's
frames; tests/boards/test_board_stacks.py sees in emulation that a session keeps within it. What a
session uses is not recorded: it differs between runs by where interrupts came.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracekws._core import ffi, lib
from tracekws.boards.firmware import build_firmware
from tracekws.core import Model
from tracekws.errors import TraceKwsError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))

from boardstack import BOARDS, read_stack  # noqa: E402

FILE = HERE / "sizes.json"
MODELS = ("base", "small")
SLOT_HEADER_BYTES = 512
"""Header and wear record of a slot, in the largest units of programming."""
_PIECE = re.compile(r"^ (\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)

Sizes = dict[str, Any]


def run(*command: object) -> str:
    """Run a command; what it printed. Ends the program with its output when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def compiler(board: str) -> str:
    """Name and version of a board's compiler."""
    return run(BOARDS[board].prefix + "gcc", "--version").splitlines()[0]


@dataclass(frozen=True)
class Piece:
    """One input section, where the linker has put it."""

    name: str
    n_bytes: int
    file: str

    @property
    def part(self) -> str:
        """Whose it is: core, app, board or library."""
        found = re.search(r"firmware/(core|app|board)", self.file)
        return found.group(1) if found else "library"

    @property
    def kind(self) -> str:
        """What it is: code, constants, data, bss or image."""
        if self.name == ".image":
            return "image"
        if re.match(r"\.(s?bss|dma_buffers)", self.name):
            return "bss"
        if re.match(r"\.s?data", self.name):
            return "data"
        return "constants" if re.match(r"\.s?rodata", self.name) else "code"

    @property
    def variable(self) -> str:
        """Name of the variable that a section of its own holds."""
        return self.name.removeprefix(".").partition(".")[2] or self.name


def pieces(path: Path) -> list[Piece]:
    """Everything in a linker's map that takes memory."""
    text = path.read_text().partition("\nLinker script and memory map\n")[2]
    text = re.sub(r"\n +(0x[0-9a-f]+ +0x[0-9a-f]+ \S)", r" \1", text)  # a long name has a line
    debugging = (".debug", ".comment", ".ARM", ".riscv", ".note")
    return [
        Piece(name, int(n_bytes, 16), file)
        for name, _, n_bytes, file in _PIECE.findall(text)
        if int(n_bytes, 16) and name.startswith(".") and not name.startswith(debugging)
    ]


def sections(board: str, elf: Path) -> dict[str, int]:
    """Size of each section."""
    lines = run(BOARDS[board].prefix + "size", "-A", elf).splitlines()
    rows = [line.split() for line in lines]
    return {row[0]: int(row[1]) for row in rows if row and row[0].startswith(".")}


def measure(board: str, model: Path, folder: Path) -> Sizes:
    """Bytes of each part of a board's firmware, which is built into a folder."""
    image = Model.load(model)
    flags = "-fcallgraph-info=su"  # the compiler tells of the stack
    elf = build_firmware(board, folder, {"MODEL": model, "BOARD_FLAGS": flags})
    output = sections(board, elf)
    flash = elf.with_suffix(".bin").stat().st_size
    stack = read_stack(board, folder)
    code: Counter[str] = Counter()
    variables: Counter[str] = Counter()
    for piece in pieces(elf.with_suffix(".map")):
        if piece.kind in ("code", "constants"):
            code[f"{piece.kind}, {piece.part}"] += piece.n_bytes
        elif piece.kind in ("bss", "data"):
            variables[piece.variable] += piece.n_bytes
    in_ram = output.get(".data", 0) + output[".bss"]
    network = lib.tkws_network_memory_bytes(image.c)
    learner = max(lib.tkws_learner_memory_bytes(image.c), lib.tkws_templates_memory_bytes(image.c))
    return {
        "flash": flash,
        "image": len(image.image),
        **dict(sorted(code.items())),
        "flash, alignment and initial values": flash - len(image.image) - code.total(),
        "slot": image.trainable_bytes + SLOT_HEADER_BYTES,
        "ram": in_ram + stack.reserved + image.trainable_bytes + network + learner,
        "weights": image.weight_bytes,
        "takes": image.takes_bytes,
        "network": network,
        "learner": learner,
        "variables": dict(sorted(variables.items())),
        "code and constants in RAM, alignment": in_ram - variables.total(),
        "stack": stack.reserved,
        "stack, worst": stack.worst,
        "learning adds": learner + ffi.sizeof("tkws_learner") + image.takes_bytes,
    }


def main() -> None:
    """Measure every board with every model; write the file."""
    found: Sizes = {"compilers": {board: compiler(board) for board in BOARDS}, "boards": {}}
    for board in BOARDS:
        found["boards"][board] = {}
        for name in MODELS:
            with tempfile.TemporaryDirectory() as scratch:
                sizes = measure(board, ROOT / "models" / f"{name}.tkws", Path(scratch))
            found["boards"][board][name] = sizes
            print(f"{board}, {name}: {sizes['ram']:,} bytes of RAM, {sizes['flash']:,} of flash")
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except TraceKwsError as error:
        sys.exit(str(error))
