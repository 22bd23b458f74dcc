# SPDX-License-Identifier: Apache-2.0
"""Boards that run are known by files, and who has a line by what Linux tells."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from host_cli import HANG_SECONDS
from reference_device import Start
from strangers import HELLO, connect
from tracekws.device.announce import START_SECONDS, announced, running_boards
from tracekws.device.driver import Driver
from tracekws.device.holders import holder
from tracekws.device.link import Clock
from tracekws.errors import BusyError


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


@pytest.mark.parametrize("port", ["/dev/no-such-port", "socket://127.0.0.1:1", "socket://nobody"])
def test_of_what_is_not_there_nothing_is_said(port: str) -> None:
    assert holder(port) == ""
