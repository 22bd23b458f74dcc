# SPDX-License-Identifier: Apache-2.0
"""The virtual board: the device's own C in a process, behind a pty or a TCP port."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tracekws.errors import ModelError, TraceKwsError, table
from tracekws.shipped import BOARD_PROGRAM, find_checkout, make_command

VARIABLE = "TRACEKWS_BOARD"
STOP_SECONDS = 5.0


class Closeable(Protocol):
    """Something to be closed in the end; again is harmless."""

    def close(self) -> None:
        """Close it."""


class VirtualBoard:
    """A running virtual board."""

    def __init__(
        self, process: subprocess.Popen[str], port: str, line: Closeable | None = None
    ) -> None:
        """Take over a process that serves `port`, and what keeps that port's line alive."""
        self.process = process
        self.port = port
        """What Device.open() takes: a pty's path, or a socket:// URL."""
        self.moved: Callable[[str], object] = lambda port: None
        """Told the port when it is another one: a pty is whose host was let go. In a thread."""
        self._line = line
        self._follower: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self.process.pid

    def move(self, port: str) -> None:
        """Note that the line is somewhere else."""
        self.port = port
        self.moved(port)

    def follow(self, ports: Iterable[str]) -> None:
        """Move to each port that comes, in a thread that ends with them."""

        def run() -> None:
            for port in ports:
                self.move(port.strip())

        self._follower = threading.Thread(target=run, daemon=True)
        self._follower.start()

    def wait(self) -> int:
        """Wait until the board ends by itself or by a signal; give its exit status."""
        return self.process.wait()

    def kill(self) -> None:
        """Take the power away: kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the board in good order; again is harmless."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._follower is not None:
            self._follower.join()  # the ports end with the process
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr, self._line):
            if stream is not None:
                stream.close()


def board_program() -> Path:
    """Find the virtual board's program: of the variable TRACEKWS_BOARD, or the package's.

    Raises TraceKwsError, which says how to build it.
    """
    named = os.environ.get(VARIABLE)
    program = Path(named) if named else BOARD_PROGRAM
    if not program.is_file() or not os.access(program, os.X_OK):
        make = f"build it with: {make_command('board')}"
        how = make if find_checkout() else "install the package again"
        raise TraceKwsError(f"{program}: the virtual board is not built; {how}")
    return program


def start_program(command: Sequence[str], prefix: str) -> VirtualBoard:
    """Start a board's program that prints its port first, and ends with standard input.

    It prints the port again whenever that is another one. Raises TraceKwsError with its complaint,
    without the prefix, when it does not start.
    """
    # in a session of its own: Ctrl-C is the host's, which then ends the board
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",  # of a file's name that is no text
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    board = VirtualBoard(process, process.stdout.readline().strip())
    if board.port:
        board.follow(process.stdout)
        return board
    complaint = process.stderr.read().strip().removeprefix(prefix)
    board.stop()
    raise TraceKwsError(complaint or f"{command[0]} did not start")


def start_board(
    model: Path,
    flash: Path,
    tcp: int | None = None,
    ram: int | None = None,
    extra: Sequence[str] = (),
) -> VirtualBoard:
    """Start a board on a model image, with its flash in a file.

    `tcp` is a port of 127.0.0.1 (0 for any free one) instead of a pty; `ram` is in bytes; `extra`
    goes to the program as it is. The board ends when this process does. Raises ModelError when the
    board refuses the image, TraceKwsError for what else keeps it from starting.
    """
    command = [str(board_program()), str(model), "--flash", str(flash), "--stdin"]
    command += ["--pty"] if tcp is None else ["--tcp", str(tcp)]
    command += [] if ram is None else ["--ram", str(ram)]
    try:
        return start_program([*command, *extra], "tracekws-board: ")
    except TraceKwsError as error:
        raise _refusal(str(error)) from error


@contextmanager
def virtual_board(
    model: Path,
    flash: Path,
    tcp: int | None = None,
    ram: int | None = None,
    extra: Sequence[str] = (),
) -> Iterator[VirtualBoard]:
    """Run a board for the length of a `with`; arguments and errors as for start_board()."""
    board = start_board(model, flash, tcp, ram, extra)
    try:
        yield board
    finally:
        board.stop()


def _refusal(complaint: str) -> TraceKwsError:
    about_model = [entry.text for entry in table().values() if "MODEL" in entry.name]
    kind = ModelError if complaint.endswith(tuple(about_model)) else TraceKwsError
    return kind(complaint)
