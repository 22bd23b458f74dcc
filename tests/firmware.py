# SPDX-License-Identifier: Apache-2.0
"""Firmware built for a test; the test is skipped where the compiler is missing."""

from pathlib import Path

import pytest

from toolchain import ROOT
from tracekws.boards import firmware
from tracekws.boards.parts import MACHINES
from tracekws.boards.virtual import board_program
from tracekws.errors import MissingTool, TraceKwsError


def build_firmware(board: str, out: Path, root: Path = ROOT, **settings: object) -> Path:
    """The firmware of a board, with settings of firmware.mk (MODEL, MAIN, BOARD_FLAGS)."""
    try:
        return firmware.build_firmware(board, out, settings, root)
    except MissingTool as error:
        pytest.skip(str(error))


def need_emulator(board: str) -> None:
    """Skip where QEMU is missing."""
    try:
        MACHINES[board].command(Path(), Path())
    except MissingTool as error:
        pytest.skip(str(error))


def need_virtual_board() -> None:
    """Skip where the virtual board is not built."""
    try:
        board_program()
    except TraceKwsError as error:
        pytest.skip(str(error))
