# SPDX-License-Identifier: Apache-2.0
"""Firmware built for a test; the test is skipped where the compiler is missing."""

import subprocess
from pathlib import Path

import pytest

from toolchain import ROOT
from tracekws.device.emulator import MACHINES
from tracekws.errors import TraceKwsError


def make_firmware(root: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run firmware.mk in a checkout."""
    words = [f"{name}={value}" for name, value in settings.items()]
    return subprocess.run(
        ["make", "-s", "-C", str(root), "-f", "firmware/firmware.mk", *words],
        capture_output=True,
        text=True,
    )


def build_firmware(board: str, out: Path, root: Path = ROOT, **settings: object) -> Path:
    """The firmware of a board, with settings of firmware.mk (MODEL, MAIN, BOARD_FLAGS)."""
    done = make_firmware(root, BOARD=board, OUT=out, **settings)
    if "apt-get install" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return out / f"{board}.elf"


def need_emulator(board: str) -> None:
    """Skip where QEMU is missing."""
    try:
        MACHINES[board].command(Path(), Path())
    except TraceKwsError as error:
        pytest.skip(str(error))
