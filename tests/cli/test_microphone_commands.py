# SPDX-License-Identifier: Apache-2.0
"""The board's own microphone on the command line: listen --live, record, microphone."""

import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile

from host_cli import HANG_SECONDS, start
from recordings import write_take
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.device import microphone
from tracekws.device.device import Device
from tracekws.device.driver import Recording
from tracekws.device.takes import count, read_takes

Hearing = Callable[[np.ndarray], VirtualBoard]


@pytest.fixture
def hearing(built: None, model: Path, tmp_path: Path) -> Iterator[Hearing]:
    """Start a board whose microphone hears some sound, as fast as it is asked."""

    def start(pcm: np.ndarray) -> VirtualBoard:
        sound = tmp_path / "sound.raw"
        sound.write_bytes(pcm.astype("<i2").tobytes())
        extra = ["--microphone", str(sound), "--by-requests"]
        return stack.enter_context(virtual_board(model, tmp_path / "flash", extra=extra))

    with ExitStack() as stack:
        yield start


def noise(level: float, n_samples: int = 48000) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.clip(rng.normal(0, level, n_samples), -32768, 32767).astype(np.int16)


def is_idle(board: VirtualBoard) -> bool:
    """Nobody left a session open: it would refuse another one."""
    with Device.open(board.port) as device:
        device.classify(noise(100))
        return True


def test_listen_live_for_some_seconds(run, hearing):
    board = hearing(noise(3000))
    result = run("listen", "--live", "--seconds", "2", "--json", "--port", board.port)
    assert result.code == 0, result.err
    events = [json.loads(line) for line in result.out.splitlines()]
    assert {(event["file"], event["word"]) for event in events} == {(None, "yes")}
    assert 0 < events[0]["end"] < 2
    assert result.err == ""
    plain = run("listen", "--live", "--seconds", "0.5", "--port", board.port)
    assert " yes " in plain.out
    assert is_idle(board)


def test_listen_live_until_ctrl_c(run, hearing, monkeypatch):
    calls = []

    def sleep(seconds: float) -> None:
        calls.append(seconds)
        if len(calls) == 3:
            raise KeyboardInterrupt

    board = hearing(noise(3000))
    monkeypatch.setattr(time, "sleep", sleep)
    assert run("listen", "--live", "--port", board.port).code == 130
    assert len(calls) == 3
    assert is_idle(board)


def test_takes_are_recorded_beside_those_that_are_there(run, hearing, tmp_path, monkeypatch):
    board = hearing(noise(3000))
    folder = tmp_path / "mine"
    write_take(folder / "yes" / "2.wav", 1)
    kept = (folder / "yes" / "2.wav").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" * 9))
    options = ("--out", folder, "--port", board.port)
    result = run("record", "yes", "--takes", "2", "--json", *options)
    assert result.code == 0, result.err
    files = [folder / "yes" / name for name in ("1.wav", "3.wav")]
    assert json.loads(result.out) == {"files": [str(path) for path in files]}
    assert result.err.startswith("1 of 2: say 'yes': press Enter")
    plain = run("record", "_other", "--takes", "1", *options)
    assert plain.out == f"{folder / '_other' / '1.wav'}\n"
    assert (folder / "yes" / "2.wav").read_bytes() == kept
    takes = read_takes(folder, ("yes", "no", "up", "_unknown_", "_silence_"), "_unknown_", "")
    assert count(takes) == {"_unknown_": 1, "yes": 3}
    assert soundfile.info(files[0]).frames == 16000
    assert run("adapt", folder, "--port", board.port).code == 0


def test_a_bad_take_is_asked_for_again(run, hearing, tmp_path, monkeypatch):
    recordings = iter(
        [
            Recording(noise(5), 0),
            Recording(noise(90000), 0),
            Recording(noise(3000), 1),
            Recording(noise(3000), 0),
        ]
    )
    board = hearing(noise(3000))
    monkeypatch.setattr(Device, "record", lambda self, seconds: next(recordings))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" * 9))
    folder = tmp_path / "mine"
    result = run("record", "no", "--takes", "1", "--out", folder, "--port", board.port)
    assert result.code == 0
    for said in ("speak louder", "too loud", "samples of the microphone were lost"):
        assert said in result.err
    assert result.err.count("again: say 'no'") == 3
    assert len(list(folder.rglob("*.wav"))) == 1


def test_a_recording_that_ends_early_keeps_its_takes(run, hearing, tmp_path, monkeypatch):
    board = hearing(noise(3000))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    result = run("record", "up", "--out", tmp_path / "mine", "--port", board.port)
    assert result.code == 1
    assert result.err.endswith(
        f"error: the recording ended; what was recorded is in {tmp_path}/mine\n"
    )
    assert [path.name for path in (tmp_path / "mine" / "up").iterdir()] == ["1.wav"]


def test_a_word_that_the_model_has_not(run, hearing, tmp_path):
    board = hearing(noise(3000))
    result = run("record", "maybe", "--out", tmp_path / "mine", "--port", board.port)
    assert result.code == 1
    assert re.fullmatch(
        r"error: the model has no word 'maybe'; it knows yes, no, up [^\n]+\n", result.err
    )
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("words", ["listen --live", "record yes", "microphone"])
def test_a_board_without_a_microphone_is_one_line(words, run, board, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    result = run(*words.split(), "--port", board.port)
    assert result.code == 4
    assert re.fullmatch(
        r"error: this board has no microphone: wire one [^\n]*`tracekws board --microphone [^\n]*"
        r"`listen --mic`[^\n]*\n",
        result.err,
    ), "and nobody was asked to speak"
    assert list(tmp_path.rglob("*.wav")) == []


def sine(amplitude: float, offset: float = 0) -> np.ndarray:
    wave = offset + amplitude * np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000)
    return np.clip(np.round(wave), -32768, 32767).astype(np.int16)


LEVELS = {
    "good": (sine(8192), 0, True, "good", -15.05, -12.04),
    "offset": (sine(3000, 8192), 0, False, "offset", -23.8, -20.8),
    "small offset": (sine(8192, 200), 0, True, "good", -15.05, -12.04),
    "clipped": (sine(60000), 0, False, "clipped", -1.2, 0),
    "quiet": (sine(20), 0, True, "very quiet", -67.3, -64.3),
    "silent": (np.full(16000, 7, np.int16), 0, False, "silent", -120, -120),
    "lost": (sine(8192), 2, False, "lost, 2 times", -15.05, -12.04),
}


@pytest.mark.parametrize("name", LEVELS)
def test_level(name):
    pcm, overruns, ok, verdict, rms, peak = LEVELS[name]
    found = microphone.level(pcm, overruns)
    assert found.ok == ok
    assert verdict in found.verdict
    assert found.rms_dbfs == pytest.approx(rms, abs=0.1)
    assert found.peak_dbfs == pytest.approx(peak, abs=0.1)
    assert found.dc == pytest.approx(pcm.mean() / 32768, abs=1e-5)
    assert (found.seconds, found.overruns) == (1, overruns)
    assert (found.clipped > 0.1) == (name == "clipped")


def test_the_self_test(run, hearing):
    board = hearing(noise(3000))
    result = run("microphone", "--json", "--port", board.port)
    assert result.code == 0
    found = json.loads(result.out)
    assert found["ok"]
    assert found["rms_dbfs"] == pytest.approx(20 * np.log10(3000 / 32768), abs=0.2)
    assert "good" in run("microphone", "--seconds", "0.2", "--port", board.port).out
    assert is_idle(board)


def test_the_self_test_of_a_bad_microphone(run, hearing):
    board = hearing(np.full(16000, -1, np.int16))
    result = run("microphone", "--port", board.port)
    assert result.code == 1
    assert "silent" in result.out


def test_the_virtual_board_hears_a_recording(built, model, tmp_path, run):
    write_take(tmp_path / "hello.wav", 3)
    flash = tmp_path / "flash"
    running = start("board", model, "--flash", flash, "--microphone", tmp_path / "hello.wav")
    try:
        assert running.stdout is not None
        port = running.stdout.readline().strip()
        result = run("listen", "--live", "--seconds", "0.7", "--json", "--port", port)
        assert result.code == 0, result.err
        assert json.loads(result.out.splitlines()[0])["word"] == "yes"
    finally:
        running.terminate()
        running.communicate(timeout=HANG_SECONDS)


@pytest.mark.parametrize(
    "words",
    [
        "listen --live x.wav",
        "listen --live --mic",
        "listen x.wav --seconds 2",
        "record yes --takes 0",
    ],
)
def test_wrong_usage_exits_2(words, run):
    result = run(*words.split())
    assert result.code == 2
    assert result.out == ""
