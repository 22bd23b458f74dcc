# SPDX-License-Identifier: Apache-2.0
"""Emulated boards: the firmware of a microcontroller in QEMU or rp2040py, behind a pty."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tracekws.boards.firmware import MOST_BYTES, built_path, find_identity
from tracekws.boards.line import IDLE_SECONDS, LOOK_SECONDS, READ_BYTES, open_line
from tracekws.boards.parts import BOARDS, MACHINES
from tracekws.boards.rp2040 import start_rp2040
from tracekws.boards.virtual import VirtualBoard
from tracekws.device.driver import Driver
from tracekws.errors import NoDeviceError, TraceKwsError
from tracekws.files import check_file, read_bytes
from tracekws.shipped import make_command

BOOT_SECONDS = 60.0
"""A board that has not answered by then does not start; a busy machine is slow."""


def built_firmware(name: str) -> Path:
    """Find the firmware that `make firmware` built for a board.

    Raises TraceKwsError, which says how to build it.
    """
    suffix = MACHINES[name].suffix if name in MACHINES else ""
    path = built_path(f"{name}{suffix}.elf")
    if not path.is_file():
        how = make_command(f"firmware BOARD={name}")
        raise TraceKwsError(f"{path}: not built; build it with: {how}")
    return path


def board_of(firmware: Path) -> str:
    """Read which emulated board a firmware is for. Raises TraceKwsError when for none."""
    identity = find_identity(read_bytes(firmware, MOST_BYTES))
    if identity is None:
        raise TraceKwsError(f"{firmware}: not a TraceKWS firmware")
    _, _, name = identity
    if name not in BOARDS:
        raise TraceKwsError(
            f"{firmware}: is for the board {name!r}; emulated are {', '.join(BOARDS)}"
        )
    return name


@contextmanager
def open_flash(name: str, flash: Path) -> Iterator[int]:
    """Open and lock a board's flash file, made when it is not there; the board erases a new one.

    Gives the descriptor: a process that inherits it has the lock, too. Raises TraceKwsError when
    the file cannot be opened, is another file, or another board has it.
    """
    n_bytes = MACHINES[name].flash_bytes
    check_file(flash)
    try:
        with flash.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.tell() == 0:
                file.truncate(n_bytes)
            if file.seek(0, os.SEEK_END) != n_bytes:
                raise TraceKwsError(f"{flash}: this is not the flash of a {name} board")
            yield file.fileno()
    except BlockingIOError as error:
        raise TraceKwsError(f"{flash}: another board that runs has this flash") from error
    except OSError as error:
        raise TraceKwsError(f"{flash}: {error.strerror}") from error


def ends_with_us() -> list[str]:
    """What to put before a command so that it ends with the thread that starts it; Linux only."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "KILL"] if program else []


def command_on_stdio(name: str, program: Path, flash: Path, extra: Sequence[str] = ()) -> list[str]:
    """Give the command that runs a program on a machine, its line on standard output.

    The flash file is made; `extra` goes to QEMU as it is. Raises MissingTool when there is
    no QEMU.
    """
    command = MACHINES[name].command(program, flash)
    with open_flash(name, flash):
        return [*ends_with_us(), *command, *extra, "-serial", "stdio"]


def reports(command: Sequence[str]) -> list[dict[str, str]]:
    """Names and values of each line that a program prints (report.h), until it says "end".

    Raises TraceKwsError when it ends before, with the last line of its complaint.
    """
    lines: list[dict[str, str]] = []
    with (
        tempfile.TemporaryFile("w+") as complaint,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # an end of input would keep QEMU busy
            stdout=subprocess.PIPE,
            stderr=complaint,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                kind, *words = line.split() or [""]
                if kind == "end":
                    return lines
                lines.append(dict(zip(words[::2], words[1::2], strict=True)))
        finally:
            process.terminate()  # an emulated processor never ends by itself
        complaint.seek(0)
        why = "".join(complaint.read().splitlines()[-1:])
    raise TraceKwsError(f"{command[0]} ended early, after {lines}: {why}")


def start_emulator(
    firmware: Path, flash: Path, tcp: int | None = None, extra: Sequence[str] = ()
) -> VirtualBoard:
    """Start the board that a firmware is for, with its flash in a file; wait until it answers.

    `tcp` is a port of 127.0.0.1 (0 for any free one) instead of a pty; `extra` goes to QEMU as it
    is. On Linux the board ends when the thread that started it does, even by kill -9; elsewhere
    only with stop(). Raises TraceKwsError for what keeps it from starting.
    """
    name = board_of(firmware)
    if name not in MACHINES:
        return start_rp2040(firmware, flash, tcp)
    command = MACHINES[name].command(firmware, flash)
    with open_flash(name, flash) as lock:
        relay = Relay(tcp)
        process = subprocess.Popen(
            [*ends_with_us(), *command, *extra, "-serial", "pty"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[lock],
            # in a session of its own: Ctrl-C is the host's, which then ends the board
            start_new_session=True,
        )
    board = relay.serve(process)
    try:
        _wait_for(board, name)
    except BaseException:
        board.stop()
        raise
    return board


class Relay:
    """Carries bytes between QEMU's pty and a line that lets hosts go, and looks at strangers.

    QEMU does neither, and writes byte by byte: a pty gathers them, as a socket does not.
    """

    def __init__(self, tcp: int | None) -> None:
        """Open the line, as open_line() does."""
        self._board: VirtualBoard | None = None
        self._line = open_line(tcp, self._move)
        self._theirs = -1
        self._thread = threading.Thread(target=self._run, daemon=True)

    def serve(self, process: subprocess.Popen[str]) -> VirtualBoard:
        """Carry what comes and goes for as long as QEMU runs.

        It names a pty in the first line that it prints, and looks only once a second whether
        somebody has opened it; here it is always open.
        """
        assert process.stdout is not None
        words = process.stdout.readline().split()
        port = next((word for word in words if word.startswith("/dev/")), "")
        self._board = VirtualBoard(process, self._line.url, self)
        if port:
            self._theirs = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._thread.start()
        return self._board

    def close(self) -> None:
        """Wait for the end, which comes with that of the process."""
        self._thread.join()

    def _move(self, url: str) -> None:
        if self._board is not None:
            self._board.move(url)

    def _run(self) -> None:
        waiting = b""
        with closing(self._line):
            while (data := self._sent(waiting)) is not None:
                self._line.send(data)
                come = self._line.receive(0 if waiting else READ_BYTES)
                waiting = b"" if come is None else waiting + come
                waiting = waiting[self._carry(waiting) :]
        if self._theirs >= 0:
            os.close(self._theirs)

    def _sent(self, waiting: bytes) -> bytes | None:
        """Wait for something to do; give what the board has sent, None when it has ended."""
        if self._theirs < 0:
            return None
        source = self._line.source
        patience = LOOK_SECONDS if source is None else IDLE_SECONDS
        reading = [self._theirs] if waiting or source is None else [self._theirs, source]
        writing = [self._theirs] if waiting else []
        ready, _, _ = select.select(reading, writing, [], patience)
        try:
            return (os.read(self._theirs, READ_BYTES) or None) if self._theirs in ready else b""
        except OSError:
            return None

    def _carry(self, waiting: bytes) -> int:
        """Send to the board what it has room for."""
        try:
            return os.write(self._theirs, waiting) if waiting else 0
        except BlockingIOError:
            return 0
        except OSError:
            return len(waiting)  # it has ended, as the next look tells


@contextmanager
def emulated_board(
    firmware: Path, flash: Path, tcp: int | None = None, extra: Sequence[str] = ()
) -> Iterator[VirtualBoard]:
    """Run a board for the length of a `with`; arguments and errors as for start_emulator()."""
    board = start_emulator(firmware, flash, tcp, extra)
    try:
        yield board
    finally:
        board.stop()


def _wait_for(board: VirtualBoard, name: str) -> None:
    give_up = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            Driver.open(board.port, needs_model=False).close()
            return
        except NoDeviceError as error:
            if board.process.poll() is not None:
                assert board.process.stderr is not None
                complaint = board.process.stderr.read().strip().splitlines()
                why = complaint[-1] if complaint else f"exit status {board.process.returncode}"
                raise TraceKwsError(f"{name}: QEMU ended: {why}") from error
            if time.monotonic() >= give_up:
                raise TraceKwsError(f"{name}: the board does not start") from error
