# SPDX-License-Identifier: Apache-2.0
"""A board without hardware, by the name or the file that the user gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tracekws.audio import read_clip
from tracekws.boards.emulator import board_of, built_firmware, emulated_board
from tracekws.boards.parts import BOARDS
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.core import Model
from tracekws.device.takes import chunks
from tracekws.errors import TraceKwsError
from tracekws.shipped import MODEL


def state_folder() -> Path:
    """The user's folder for state, made when it is missing (XDG_STATE_HOME)."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tracekws"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceKwsError(f"{folder}: {error.strerror}; name a file with --flash") from error
    return folder


@contextmanager
def sound_of(recording: Path | None) -> Iterator[list[str]]:
    """Give the options of a microphone that hears a recording, a second of silence behind it."""
    if recording is None:
        yield []
        return
    with TemporaryDirectory(prefix="tracekws-") as folder:
        path = Path(folder) / "sound.raw"
        path.write_bytes(np.concatenate(list(chunks(read_clip(recording)))).astype("<i2").tobytes())
        yield ["--microphone", str(path)]


def is_emulated(what: str) -> bool:
    """Whether a name or a file is of an emulated board; else it is of a virtual one."""
    return what in BOARDS or what.endswith((".elf", ".uf2"))


@contextmanager
def running_board(
    what: str, flash: Path | None, tcp: int | None, ram: int | None, heard: Path | None
) -> Iterator[tuple[VirtualBoard, Path]]:
    """Run the board that the user named, by its name or by a file; the board and its flash.

    `flash` is the file that is its flash, by default one in the user's state folder; `tcp` a port
    of 127.0.0.1 (0 for any free one) instead of a pty; `ram`, in bytes, and `heard`, a recording
    that its microphone hears, are for a virtual board. Raises TraceKwsError for what keeps it from
    starting, DataError and ModelError for the files.
    """
    if is_emulated(what):
        firmware = built_firmware(what) if what in BOARDS else Path(what)
        flash = flash or state_folder() / f"{board_of(firmware)}.flash"
        with emulated_board(firmware, flash, tcp) as running:
            yield running, flash
    else:
        model = MODEL if what == "virtual" else Path(what)
        Model.load(model)
        flash = flash or state_folder() / "board.flash"
        with (
            sound_of(heard) as sound,
            virtual_board(model, flash, tcp, ram, sound) as running,
        ):
            yield running, flash
