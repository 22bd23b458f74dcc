# SPDX-License-Identifier: Apache-2.0
"""Compilers for the tests that build C themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "firmware" / "core"
SOURCES = sorted((CORE / "src").glob("*.c"))
WARNINGS = [
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow"),
    *("-Wvla", "-Wundef", "-Werror"),
]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


def find(tool: str) -> str:
    """The path of a tool; the test is skipped where it is not installed."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


def run(*command: object) -> str:
    """What a command prints; a failure shows all of it."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def compile_core(folder: Path, compiler: str, *flags: str) -> list[Path]:
    """Object files of the core."""
    objects = []
    for source in SOURCES:
        objects.append(folder / f"{source.stem}.o")
        run(
            find(compiler),
            *("-std=c11", "-ffreestanding", *flags, *WARNINGS),
            *(f"-I{CORE / 'include'}", "-c", source, "-o", objects[-1]),
        )
    return objects


def build_program(folder: Path, compiler: str, source: Path, *flags: str) -> Path:
    """An instrumented test program that uses the core's headers."""
    program = folder / source.stem
    run(
        find(compiler),
        *("-std=c11", "-O2", *flags, *SANITIZE, *WARNINGS),
        *(f"-I{CORE / 'include'}", source, "-o", program),
    )
    return program
