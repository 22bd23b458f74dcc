# SPDX-License-Identifier: Apache-2.0
"""A command that is ended by a signal leaves nothing behind; what is typed stops none."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from host_cli import HANG_SECONDS, PROGRAM, start, tracekws
from recordings import write_take
from tracekws.cli import devices
from tracekws.cli.adapt import chosen
from tracekws.device.device import Device
from tracekws.errors import NoDeviceError, TraceKwsError

HEEDING = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); {PROGRAM}"
"""The command, though the tests may run under nohup."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_board_that_is_ended_leaves_no_sound_and_no_name(
    built: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    write_take(tmp_path / "take.wav", 1)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with start("board", "--microphone", tmp_path / "take.wav", program=HEEDING) as board:
        assert board.stdout is not None
        assert board.stdout.readline()
        assert [*(tmp_path / "temporary").iterdir()]
        board.send_signal(number)
        _, said = board.communicate(timeout=HANG_SECONDS)
    assert board.returncode == -number
    assert "Traceback" not in said
    assert [*(tmp_path / "temporary").iterdir()] == []
    assert [*(tmp_path / "state" / "tracekws" / "boards").iterdir()] == []


def test_bytes_that_are_no_text_are_no_answer(
    built: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    done = tracekws("load", "base", "--virtual")
    assert done.returncode == 0, done.stderr
    asked = subprocess.run(
        [sys.executable, "-c", PROGRAM, "forget", "--virtual"],
        input=b"\xff\nn\n",
        capture_output=True,
        timeout=HANG_SECONDS,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    assert asked.returncode == 1
    assert b"Traceback" not in asked.stderr
    assert b"nothing was erased" in asked.stderr


def test_without_standard_input_a_recording_ends_in_one_line(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(TraceKwsError, match="the recording ended"):
        devices.prompt(tmp_path)("say 'yes'")


def test_a_virtual_board_that_ends_meanwhile_is_started_again(monkeypatch) -> None:
    """Another command ran it, and has ended while this one waited for the line."""
    boards = iter(["another's", "my own"])
    runs = iter([True, False, False])
    opened = []

    @contextmanager
    def board():
        yield next(boards)

    @contextmanager
    def device(port, needs_model):
        if port == "another's":
            raise NoDeviceError("it has gone")
        opened.append(port)
        yield port
        opened.append("closed")

    monkeypatch.setattr(devices, "kept_board", board)
    monkeypatch.setattr(devices, "kept_board_runs", lambda: next(runs))
    monkeypatch.setattr(Device, "open", device)
    with ExitStack() as stack:
        assert devices.open_virtual(stack, True) == "my own"
        assert opened == ["my own"]
    assert opened == ["my own", "closed"]
    boards, runs = iter(["another's"]), iter([True, True])
    with ExitStack() as stack, pytest.raises(NoDeviceError, match="it has gone"):
        devices.open_virtual(stack, True)


def test_a_word_that_is_named_twice_is_recorded_once() -> None:
    assert chosen(["up", "up"], ["yes", "up"]) == ["up"]


def test_what_is_said_of_saving_can_be_done(capsys) -> None:
    devices.say_saved(3, virtual=True)
    devices.say_saved(None, virtual=True)
    said = capsys.readouterr().err
    assert "`tracekws undo --virtual` takes it back" in said
    assert "`tracekws save`" not in said
