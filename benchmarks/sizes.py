# SPDX-License-Identifier: Apache-2.0
"""Memory of the firmware on every board, with each shipped model: benchmarks/sizes.json.

Read from the linker's sections and from the core's own sizes. RAM is what the board needs while it
learns: variables, stack, trainable weights, and the states of network and learner.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tracekws._core import ffi, lib
from tracekws.core import Model
from tracekws.device.firmware import build_firmware
from tracekws.errors import TraceKwsError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BOARDS = ("mps2-an386", "riscv-virt", "rp2040", "stm32f405")
MODELS = ("base", "small")
SLOT_HEADER_BYTES = 512
"""Header and wear record of a slot, in the largest units of programming."""


def prefix(board: str) -> str:
    """What the names of a board's tools begin with."""
    return "riscv64-unknown-elf-" if board == "riscv-virt" else "arm-none-eabi-"


def run(*command: object) -> str:
    """Run a command; what it printed. Ends the program with its output when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def compiler(board: str) -> str:
    """Name and version of a board's compiler."""
    return run(prefix(board) + "gcc", "--version").splitlines()[0]


def sections(board: str, elf: Path) -> dict[str, int]:
    """Size of each section."""
    rows = [line.split() for line in run(prefix(board) + "size", "-A", elf).splitlines()]
    return {row[0]: int(row[1]) for row in rows if row and row[0].startswith(".")}


def measure(board: str, model: Path) -> dict[str, int]:
    """Bytes of each part of a board's firmware."""
    image = Model.load(model)
    with tempfile.TemporaryDirectory() as folder:
        elf = build_firmware(board, Path(folder), {"MODEL": model})
        parts = sections(board, elf)
        flash = elf.with_suffix(".bin").stat().st_size
    variables = parts.get(".data", 0) + parts[".bss"]
    stack = parts[".stack"]
    network = lib.tkws_network_memory_bytes(image.c)
    learner = lib.tkws_learner_memory_bytes(image.c)
    return {
        "flash": flash,
        "code_and_constants": flash - len(image.image),
        "image": len(image.image),
        "slot": image.trainable_bytes + SLOT_HEADER_BYTES,
        "ram": variables + stack + image.trainable_bytes + network + learner,
        "variables": variables,
        "stack": stack,
        "weights": image.trainable_bytes,
        "network": network,
        "learner": learner,
        "learning_adds": learner + ffi.sizeof("tkws_learner"),
    }


def main() -> None:
    """Write the file; print a table in Markdown."""
    found = {
        board: {name: measure(board, ROOT / "models" / f"{name}.tkws") for name in MODELS}
        for board in BOARDS
    }
    compilers = {board: compiler(board) for board in BOARDS}
    (HERE / "sizes.json").write_text(
        json.dumps({"compilers": compilers, "boards": found}, indent=1) + "\n"
    )
    print("| board | model | flash | of it the image | RAM, learning | of it weights |")
    print("|---|---|---:|---:|---:|---:|")
    for board, models in found.items():
        for name, row in models.items():
            cells = (row[key] for key in ("flash", "image", "ram", "weights"))
            print(f"| {board} | {name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")


if __name__ == "__main__":
    try:
        main()
    except TraceKwsError as error:
        sys.exit(str(error))
