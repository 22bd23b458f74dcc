# SPDX-License-Identifier: Apache-2.0
"""Without a board at hand: one that runs is found, and a virtual one is there for the asking."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import soundfile

from host_cli import HANG_SECONDS, PROGRAM
from recordings import write_take
from toolchain import ROOT
from tracekws.audio import read_clip
from tracekws.boards.running import running_board
from tracekws.device import discover
from tracekws.device.announce import RunningBoard
from tracekws.device.device import Device
from tracekws.shipped import SPEECH

OFFERING = ("listen x.wav", "adapt takes", "info", "undo", "forget --yes", "load x.tkws --yes")
"""Commands that a virtual board would do for."""
NOT_OFFERING = ("record yes", "microphone", "listen --live", "save")

pytestmark = pytest.mark.usefixtures("built")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state, in which nothing is; and nothing is plugged in."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.delenv("TRACEKWS_PORT", raising=False)
    monkeypatch.setattr(discover, "candidates", lambda: [])
    return folder


@pytest.fixture
def desk(tmp_path: Path, image: bytes, takes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with what the commands name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tkws").write_bytes(image)
    write_take(tmp_path / "x.wav", 1)
    return tmp_path


Begin = Callable[..., RunningBoard]


@pytest.fixture
def begin(model: Path, tmp_path: Path) -> Iterator[Begin]:
    """Run a board as `tracekws board` does; it is ended with the test."""
    with ExitStack() as stack:

        def run(flash: str = "flash", tcp: int | None = None) -> RunningBoard:
            board = running_board(str(model), tmp_path / flash, tcp, None, None)
            return stack.enter_context(board)[1]

        yield run


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH that has `tracekws`, as an activated environment has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "tracekws"
    command = shlex.join([sys.executable, "-c", PROGRAM])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return folder


def test_the_readmes_first_commands_work_as_typed(programs: Path, tmp_path: Path) -> None:
    """Each behind the other at one prompt; the port is seen before the next is typed."""
    voice = (ROOT / "README.md").read_text().partition("## Your voice")[2]
    start, *rest = re.findall(r"^    (tracekws \S+.*?)(?: {2,}#.*)?$", voice, re.MULTILINE)
    listen = next(line for line in rest if line.startswith("tracekws listen"))
    assert start == "tracekws board &"
    pcm = read_clip(SPEECH / "stream.flac")
    soundfile.write(tmp_path / "take.wav", pcm, 16000)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    with subprocess.Popen(
        ["bash", "-m"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f"{start}\n")
        shell.stdin.flush()
        assert shell.stdout.readline().startswith("/dev/")
        out, err = shell.communicate(f"{listen}\necho ended $?\nkill %1\n", timeout=HANG_SECONDS)
    assert "error" not in err
    *heard, ended = out.splitlines()
    assert ended == "ended 0"
    assert heard


@pytest.mark.parametrize("tcp", [None, 0], ids=["pty", "tcp"])
def test_a_board_that_runs_is_found(tcp, run, begin):
    board = begin(tcp=tcp)
    assert board.name == "virtual"
    result = run("info", "--json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["board"] == "virtual"
    with Device.find() as device:
        assert device.info().labels[0] == "yes"


def test_one_of_several_is_chosen_by_its_name_or_port(run, begin, takes):
    first, second = begin("one"), begin("two")
    assert (first.name, second.name) == ("virtual", "virtual-2")
    result = run("info")
    assert result.code == 3
    assert result.err == (
        f"error: several devices (virtual at {first.port}, virtual-2 at {second.port}): name one"
        " with --port\n"
    )
    assert run("adapt", takes, "--port", "virtual-2").code == 0
    for port, generation in ((second.port, 1), ("virtual-2", 1), ("virtual", 0)):
        assert json.loads(run("info", "--json", "--port", port).out)["generation"] == generation


def test_a_board_beside_one_that_is_plugged_in(run, begin, monkeypatch):
    board = begin()
    monkeypatch.setattr(discover, "candidates", lambda: ["/dev/ttyACM7"])
    monkeypatch.setattr(discover, "answers", lambda port, timeout: True)
    result = run("info")
    assert (result.code, f"(/dev/ttyACM7, virtual at {board.port})" in result.err) == (3, True)


def test_a_name_that_no_board_has(run, begin):
    begin()
    result = run("info", "--port", "virtual-9")
    assert result.code == 3
    assert re.fullmatch(r"error: virtual-9: [^\n]+\n", result.err)


@pytest.mark.parametrize("command", [*OFFERING, *NOT_OFFERING])
def test_a_script_without_a_device_is_told_what_there_is(command, run, desk):
    result = run(*command.split())
    assert (result.code, result.out) == (3, "")
    assert re.fullmatch(r"error: no serial port[^\n]*`tracekws board`[^\n]*\n", result.err)
    assert ("--virtual" in result.err) == (command in OFFERING)


def test_a_virtual_board_keeps_what_it_learns(run, desk, home):
    assert json.loads(run("info", "--virtual", "--json").out)["generation"] == 0
    assert run("load", "x.tkws", "--virtual").code == 0
    assert run("adapt", "takes", "--virtual").code == 0
    assert json.loads(run("info", "--virtual", "--json").out)["generation"] == 1
    assert (home / "tracekws" / "board.flash").stat().st_size > 0
    heard = run("listen", "x.wav", "--virtual", "--json")
    assert (heard.code, heard.err) == (0, "")
    assert run("undo", "--virtual").code == 0
    assert json.loads(run("info", "--virtual", "--json").out)["generation"] == 0


def test_virtual_is_the_board_that_runs_with_that_flash(run, desk, takes, begin):
    begin("of another flash")
    with running_board("virtual", None, None, None, None) as (_, kept):
        assert json.loads(run("info", "--virtual", "--json").out)["generation"] == 0
        with Device.open(kept.port), pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            busy = run("info", "--virtual")
        assert (busy.code, kept.port in busy.err) == (3, True)


def test_virtual_beside_a_port(run, begin):
    result = run("info", "--virtual", "--port", begin().port)
    assert (result.code, "not both" in result.err) == (2, True)


def test_virtual_cannot_hear_live(run):
    result = run("listen", "--live", "--virtual")
    assert (result.code, "microphone" in result.err) == (2, True)


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 0), ("n", 3)])
def test_it_is_offered_at_a_terminal(answer, code, desk, home):
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from tracekws.device import discover\n{WITHOUT}\n{PROGRAM}",
            "info",
        ],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        out, _ = process.communicate(timeout=HANG_SECONDS)
    said = os.read(ours, 1 << 16).decode().replace("\r", "")
    os.close(ours)
    assert process.returncode == code
    assert "Use a virtual board?" in said
    assert str(home / "tracekws" / "board.flash") in said.replace("\n", "")
    assert ("virtual" in out) == (code == 0)


WITHOUT = "discover.candidates = lambda: []"
"""What has a program see no serial port."""
