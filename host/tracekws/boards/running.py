# SPDX-License-Identifier: Apache-2.0
"""A board without hardware, by the name or the file that the user gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tracekws.audio import read_clip
from tracekws.boards.emulator import board_of, built_firmware, emulated_board
from tracekws.boards.parts import BOARDS
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.core import Model
from tracekws.device.announce import Ready, RunningBoard, announced, running_boards
from tracekws.device.takes import chunks
from tracekws.files import state_folder
from tracekws.shipped import MODEL, model_file


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
    what: str,
    flash: Path | None,
    tcp: int | None,
    ram: int | None,
    heard: Path | None,
    moved: Callable[[RunningBoard], object] = lambda board: None,
) -> Iterator[tuple[VirtualBoard, RunningBoard]]:
    """Run the board that the user named, by its name or by a file; commands find it meanwhile.

    `flash` is the file that is its flash, by default one in the user's state folder; `tcp` a port
    of 127.0.0.1 (0 for any free one) instead of a pty; `ram`, in bytes, and `heard`, a recording
    that its microphone hears, are for a virtual board; `moved` is told, in a thread, when a board
    on a pty has got another. Raises TraceKwsError for what keeps it from starting, DataError and
    ModelError for the files.
    """
    if is_emulated(what):
        firmware = built_firmware(what) if what in BOARDS else Path(what)
        name = board_of(firmware)
        flash = flash or state_folder() / f"{name}.flash"
        with (
            announced(name, flash) as ready,
            emulated_board(firmware, flash, tcp) as running,
        ):
            yield running, _followed(running, ready, moved)
    else:
        model = MODEL if what == "virtual" else model_file(what)
        Model.load(model)
        flash = flash or kept_flash()
        with (
            announced("virtual", flash) as ready,
            sound_of(heard) as sound,
            virtual_board(model, flash, tcp, ram, sound) as running,
        ):
            yield running, _followed(running, ready, moved)


def _followed(
    running: VirtualBoard, ready: Ready, moved: Callable[[RunningBoard], object]
) -> RunningBoard:
    """Announce where a board is, from now on."""
    running.moved = lambda port: moved(ready(port))
    return ready(running.port)


def kept_flash() -> Path:
    """The flash of the virtual board that is kept for this user."""
    return state_folder() / "board.flash"


def _kept_port() -> str | None:
    """Where the virtual board is that is kept for this user, if it runs."""
    flash = str(kept_flash().resolve())
    return next((board.port for board in running_boards() if board.flash == flash), None)


def kept_board_runs() -> bool:
    """Whether the virtual board that is kept for this user runs."""
    return _kept_port() is not None


@contextmanager
def kept_board() -> Iterator[str]:
    """Give the port of the virtual board that is kept for this user.

    It is the one that runs, or it runs until this ends. Raises as running_board() does.
    """
    there = _kept_port()
    if there is not None:
        yield there
        return
    with running_board("virtual", None, None, None, None) as (running, _):
        yield running.port
