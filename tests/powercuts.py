# SPDX-License-Identifier: Apache-2.0
"""The program that cuts the power at every flash operation (tests/cuts), built and run."""

import subprocess
from pathlib import Path

from toolchain import ROOT, SANITIZE, SOURCES, WARNINGS, find, run

GEOMETRIES = ("virtual", "rp2040", "stm32f405", "riscv-virt", "small")
"""Of the program's matrix."""
_FIRMWARE = ROOT / "firmware"


def build_cuts(folder: Path) -> Path:
    """Build the program with sanitizers into a folder."""
    program = folder / "cuts"
    includes = (_FIRMWARE / "core" / "include", _FIRMWARE / "app", _FIRMWARE / "boards")
    sources = (*sorted((_FIRMWARE / "app").glob("*.c")), *SOURCES)
    run(
        *(find("cc"), "-std=c11", "-O2", *SANITIZE, *WARNINGS),
        *(f"-I{path}" for path in includes),
        *(*sources, *sorted((ROOT / "tests" / "cuts").glob("*.c")), "-o", program),
    )
    return program


def run_cuts(program: Path, geometry: str, every: int = 1) -> tuple[dict[str, int], list[str]]:
    """Run one case in so many of a geometry: cuts, second cuts and failures, and a line of each.

    The lines are of the cases that failed; each names the case, which the program runs alone.
    """
    command = [program, "--every", str(every), geometry]
    done = subprocess.run(command, capture_output=True, text=True)
    *failed, last = done.stdout.splitlines() or [done.stderr]
    if done.returncode not in (0, 1) or not last.startswith("geometry "):
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr or last}")
    words = last.split()[2:]
    return dict(zip(words[::2], map(int, words[1::2]), strict=True)), failed
