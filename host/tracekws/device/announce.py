# SPDX-License-Identifier: Apache-2.0
"""Boards without hardware that run for this user: whoever runs one says so in a file of its name.

The file is locked for as long as the board runs, so that what a board left that was killed counts
for nothing. It is empty until the board answers.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from tracekws.device.link import Clock
from tracekws.errors import TraceKwsError
from tracekws.files import parse_json, state_folder

START_SECONDS = 60.0
"""A board that has not said its port by then is not waited for."""
LOOK_SECONDS = 0.05
MOST_BYTES = 1 << 14


@dataclass(frozen=True)
class RunningBoard:
    """A virtual or an emulated board that runs."""

    name: str
    port: str
    flash: str
    """File that is its flash."""


Ready = Callable[[str], RunningBoard]
"""Given the port when the board answers there, and again when it has moved; gives what is known."""


def running_boards(clock: Clock | None = None) -> list[RunningBoard]:
    """The boards of this user, by their names; those that start at this moment are waited for."""
    clock = clock or Clock()
    give_up = clock.now() + START_SECONDS
    while True:
        entries = _entries()
        boards = [board for board in entries if board is not None]
        if len(boards) == len(entries) or clock.now() >= give_up:
            return boards
        clock.sleep(LOOK_SECONDS)


@contextmanager
def announced(kind: str, flash: Path) -> Iterator[Ready]:
    """Announce a board that is started within; it has run when this ends.

    Args:
        kind: its name, which gets a number behind it where another board has it.
        flash: file that is its flash.

    Yields:
        What is told the port when the board answers. Where the user's state folder takes no file,
        the board runs all the same, and is not found.
    """
    name, file = kind, None
    with suppress(OSError, TraceKwsError):
        name, file = _claim(_folder(), kind)

    def ready(port: str) -> RunningBoard:
        board = RunningBoard(name, port, str(flash.resolve()))
        if file is not None:
            with suppress(OSError):
                os.ftruncate(file, 0)  # as when it starts: who looks waits
                os.pwrite(file, json.dumps(asdict(board)).encode(), 0)
        return board

    try:
        yield ready
    finally:
        if file is not None:
            with suppress(OSError):
                (_folder() / name).unlink()
            os.close(file)


def _folder() -> Path:
    folder = state_folder() / "boards"
    folder.mkdir(exist_ok=True)
    return folder


def _claim(folder: Path, kind: str) -> tuple[str, int]:
    """Lock the file of a name that no running board has; the name, and the empty file."""
    for number in count(1):
        name = kind if number == 1 else f"{kind}-{number}"
        file = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), os.stat(folder / name)):
                os.ftruncate(file, 0)
                return name, file
        except (BlockingIOError, FileNotFoundError):
            pass  # it is another's, or was until just now
        os.close(file)
    raise AssertionError  # names do not end


def _entries() -> list[RunningBoard | None]:
    """A board, or None for one that starts, for each file that is locked."""
    found = []
    with suppress(OSError, TraceKwsError):
        for path in sorted(_folder().iterdir()):
            with suppress(OSError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(_parse(file.read(MOST_BYTES)))
    return found


def _parse(content: bytes) -> RunningBoard | None:
    try:
        board = RunningBoard(**parse_json(content.decode()))
    except (ValueError, TypeError):
        return None
    return board if all(isinstance(value, str) for value in asdict(board).values()) else None
