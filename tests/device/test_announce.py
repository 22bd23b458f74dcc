# SPDX-License-Identifier: Apache-2.0
"""Boards that run are known by files, and who has a line by what Linux tells."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from host_cli import HANG_SECONDS
from loopback_device import APP, BOARDS
from reference_device import Start
from strangers import HELLO, connect
from toolchain import CORE, find
from tracekws.boards.line import READ_BYTES, PtyLine
from tracekws.boards.running import running_board
from tracekws.boards.virtual import VARIABLE, start_program
from tracekws.device.announce import START_SECONDS, RunningBoard, announced, running_boards
from tracekws.device.device import Device
from tracekws.device.discover import ASK_SECONDS, open_when_free, port_of
from tracekws.device.driver import Driver
from tracekws.device.holders import holder
from tracekws.device.link import Clock
from tracekws.device.transport import LET_GO_SECONDS, open_transport
from tracekws.errors import BusyError, NoDeviceError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


class Waiting(Clock):
    """A clock that goes by its waits, and may do something after one."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.time = 0.0
        self.then = then

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.then()


def test_a_board_is_known_while_it_runs(tmp_path: Path) -> None:
    assert running_boards() == []
    with announced("virtual", tmp_path / "flash") as ready:
        board = ready("/dev/pts/99")
        assert (board.name, board.port) == ("virtual", "/dev/pts/99")
        assert board.flash == str(tmp_path / "flash")
        assert running_boards() == [board]
        with announced("virtual", tmp_path / "other") as also:
            assert also("/dev/pts/98").name == "virtual-2"
            assert [one.port for one in running_boards()] == ["/dev/pts/99", "/dev/pts/98"]
        with announced("virtual", tmp_path / "third") as third:
            assert third("/dev/pts/97").name == "virtual-2", "the name is free again"
    assert running_boards() == []


def test_one_that_was_killed_does_not_count(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tracekws.device.announce import announced\n"
        "with announced('virtual', Path('flash')) as ready:\n"
        "    ready('/dev/pts/99')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=HANG_SECONDS, check=False)
    assert running_boards(Waiting()) == []
    with announced("virtual", tmp_path / "flash") as ready:
        assert ready("/dev/pts/1").name == "virtual"


def test_one_that_starts_is_waited_for(tmp_path: Path) -> None:
    with announced("virtual", tmp_path / "flash") as ready:
        waits = []

        def then() -> None:
            waits.append(1)
            if len(waits) == 3:
                ready("/dev/pts/99")

        assert [board.port for board in running_boards(Waiting(then))] == ["/dev/pts/99"]
        assert len(waits) == 3


def test_but_not_for_ever(tmp_path: Path) -> None:
    clock = Waiting()
    with announced("virtual", tmp_path / "flash"):
        assert running_boards(clock) == []
    assert clock.time == pytest.approx(START_SECONDS, abs=1)


def test_a_board_runs_without_a_folder_to_say_so_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with announced("virtual", tmp_path / "flash") as ready:
        assert ready("/dev/pts/99").port == "/dev/pts/99"
        assert running_boards() == []


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"name": 1}', b"\xff", b"{}"])
def test_a_file_of_something_else_is_no_board(content: bytes, home: Path, tmp_path: Path) -> None:
    with announced("virtual", tmp_path / "flash"):
        (home / "tracekws" / "boards" / "virtual").write_bytes(content)
        assert running_boards(Waiting()) == []


# --- who has a line


def test_who_has_a_pty_is_named(start: Start) -> None:
    board = start()
    assert holder(board.port) == ""
    with Driver.open(board.port), pytest.raises(BusyError) as refused:
        Driver.open(board.port)
    assert str(refused.value).startswith(f"{board.port}: ")
    assert f"(process {os.getpid()}); end that first" in str(refused.value)


def test_who_has_a_tcp_line_is_named(start: Start) -> None:
    """The one that the board has taken, not one that waits."""
    board = start(0)
    program = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
    program += "s.sendall(bytes.fromhex(sys.argv[2])); s.recv(1); print(flush=True); input()"
    words = [sys.executable, "-c", program, board.port.rpartition(":")[2], HELLO.hex()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with closing(connect(board.port)):
            assert f"(process {other.pid})" in holder(board.port)
            with pytest.raises(BusyError, match=rf"has the line: .*\(process {other.pid}\)"):
                Driver.open(board.port, 0.2)
        other.communicate(b"\n", timeout=HANG_SECONDS)


def test_one_that_waits_for_a_pty_gets_another_one(tmp_path: Path) -> None:
    """The board lets the silent holder go, and is found by its name, wherever its line is."""
    time = [0.0]
    with announced("virtual", tmp_path / "flash") as ready:
        line = PtyLine(ready, lambda: time[0])
        before = ready(line.url).port
        holder = open_transport(before)
        holder.write(HELLO)
        while line.receive(READ_BYTES) != HELLO:
            continue
        time[0] = LET_GO_SECONDS - 1

        def look() -> None:
            time[0] += ASK_SECONDS
            line.receive(READ_BYTES)

        got = open_when_free(before, open_transport, 5, Waiting(look))
        assert time[0] == LET_GO_SECONDS
        assert port_of("virtual") == line.url != before
        got.write(HELLO)
        got.close()
        holder.close()
        line.close()


def test_one_that_waits_for_a_pty_does_not_wait_for_ever(tmp_path: Path) -> None:
    with announced("virtual", tmp_path / "flash") as ready, closing(PtyLine(ready)) as line:
        ready(line.url)
        clock = Waiting()
        with closing(open_transport(line.url)), pytest.raises(BusyError) as refused:
            open_when_free(line.url, open_transport, 5, clock)
        assert f"(process {os.getpid()}); a board lets it go" in str(refused.value)
        assert str(refused.value).endswith(f"for {LET_GO_SECONDS} s: end it, or try again")
        assert clock.time == pytest.approx(5, abs=1)


def test_a_port_that_no_board_is_known_at_is_not_waited_for(start: Start) -> None:
    board, clock = start(), Waiting()
    with Driver.open(board.port), pytest.raises(BusyError, match="end that first"):
        open_when_free(board.port, open_transport, 5, clock)
    assert clock.time == 0


def test_a_board_s_program_says_where_it_is_from_then_on() -> None:
    moved = threading.Event()
    program = ["sh", "-c", "echo /dev/pts/98; read line; echo /dev/pts/99; read line"]
    board = start_program(program, "")
    assert board.port == "/dev/pts/98"
    board.moved = lambda port: moved.set()
    assert board.process.stdin is not None
    board.process.stdin.write("go on\n")
    board.process.stdin.flush()
    assert moved.wait(HANG_SECONDS)
    assert board.port == "/dev/pts/99"
    board.stop()


def test_the_virtual_board_says_where_it_is_from_then_on(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it, on a board that lets a host go the first time that another one asks."""
    sources = [*(CORE / "src").glob("*.c"), *APP.glob("*.c"), *(BOARDS / "virtual").glob("*.c")]
    includes = [f"-I{folder}" for folder in (CORE / "include", CORE / "src", APP, BOARDS)]
    flags = ["-std=c11", "-O1", "-DLINK_LET_GO_MS=0u"]
    program = tmp_path / "tracekws-board"
    subprocess.run([find("cc"), *flags, *includes, *sources, "-o", program], check=True)
    monkeypatch.setenv(VARIABLE, str(program))
    told: SimpleQueue[RunningBoard] = SimpleQueue()
    flash = tmp_path / "flash"
    with (
        running_board(str(model), flash, None, None, None, told.put) as (running, known),
        Device.open(known.name) as holder,
    ):
        holder.info()
        with Device.open(known.name, HANG_SECONDS) as other:
            assert other.info().board == "virtual"
            moved = told.get(timeout=HANG_SECONDS)
            assert (moved.name, moved.port) == (known.name, running.port)
            assert [moved] == running_boards() != [known]
            with pytest.raises(NoDeviceError, match="this program was silent"):
                holder.info()


@pytest.mark.parametrize("port", ["/dev/no-such-port", "socket://127.0.0.1:1", "socket://nobody"])
def test_of_what_is_not_there_nothing_is_said(port: str) -> None:
    assert holder(port) == ""
