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
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from host_cli import HANG_SECONDS, start
from recordings import write_take
from toolchain import ROOT
from tracekws.audio import read_clip
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.data import read_tree
from tracekws.device import microphone
from tracekws.device.device import Device
from tracekws.device.driver import Recording
from tracekws.device.takes import count, read_takes, read_word
from tracekws.errors import TraceKwsError

SPEECH = ROOT / "examples" / "speech" / "scot"
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
    """Noise that comes and goes ten times a second, as speech does."""
    rng = np.random.default_rng(1)
    around = 1 + 0.95 * np.sin(np.arange(n_samples) * 2 * np.pi * 10 / 16000)
    return np.clip(rng.normal(0, level, n_samples) * around, -32768, 32767).astype(np.int16)


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
    options = ("--out", tmp_path / "tree", "--port", board.port)
    named = run("record", "lamp", "--takes", "1", "--speaker", "anna", *options)
    assert named.out == f"{tmp_path / 'tree' / 'lamp' / 'anna' / '1.wav'}\n"
    (clip,) = read_tree(tmp_path / "tree").clips
    assert (clip.word, clip.speaker) == ("lamp", "anna")
    (take,) = read_word([tmp_path / "tree" / "lamp"], "lamp")
    assert take.speaker == "anna"
    refused = run("record", "lamp", "--takes", "1", "--speaker", "a/b", *options)
    assert refused.code == 1
    assert "is no name of a file" in refused.err
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


def test_a_word_that_the_model_has_not(run, hearing, tmp_path, monkeypatch):
    board = hearing(noise(3000))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    words = ("--takes", "1", "--out", tmp_path / "mine", "--port", board.port)
    result = run("record", "maybe", *words)
    assert result.code == 0, result.err
    assert (tmp_path / "mine" / "maybe" / "1.wav").is_file()
    result = run("record", "may be", *words)
    assert result.code == 1
    assert re.fullmatch(r"error: 'may be' is no word: [^\n]+\n", result.err)


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
    """A tone that is loud for a half of each tenth of a second, and 20 dB quieter for the other."""
    n = np.arange(16000)
    loud = np.where(n % 1600 < 800, 1, 0.1)
    wave = offset + amplitude * loud * np.sin(n * 2 * np.pi * 440 / 16000)
    return np.clip(np.round(wave), -32768, 32767).astype(np.int16)


def tone(amplitude: float) -> np.ndarray:
    wave = amplitude * np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000)
    return np.round(wave).astype(np.int16)


LEVELS = {
    "good": (sine(8192), 0, True, "good", -18.0, -12.04),
    "offset": (sine(3000, 8192), 0, False, "offset", -26.7, -20.8),
    "small offset": (sine(8192, 200), 0, True, "good", -18.0, -12.04),
    "clipped": (sine(60000), 0, False, "clipped", -4.1, 0),
    "very quiet": (sine(20), 0, True, "very quiet", -70.2, -64.3),
    "quiet": (sine(400), 0, True, "quiet, below -40 dBFS", -44.2, -38.3),
    "silent": (np.full(16000, 7, np.int16), 0, False, "silent", -120, -120),
    "lost": (sine(8192), 2, False, "lost, 2 times", -18.0, -12.04),
    "hum": (tone(8192), 0, False, "steady noise, no speech", -15.05, -12.04),
    "few bits": (sine(1024) * np.int16(8), 0, True, "lowest 3 bits are always 0", -18.0, -12.04),
    "18 bits": (sine(2048) * np.int16(4), 0, True, "good", -18.0, -12.04),
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


def speech() -> np.ndarray:
    """A synthesiser's words, as loud as the case of wrong frames has them."""
    words = [read_clip(path) for path in sorted(SPEECH.glob("*/0.flac"))]
    pcm = np.concatenate(words).astype(float)
    return pcm * (16000 / np.abs(pcm).max())


def clip16(wave: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)


def beside(pcm: np.ndarray, other: np.ndarray, first: bool) -> np.ndarray:
    pair = (other, pcm) if first else (pcm, other)
    return clip16(np.stack(pair, axis=1).ravel())


def shifted(pcm: np.ndarray, bits: int, below: int = 0) -> np.ndarray:
    """Samples without their highest bits, and with others below."""
    moved = (np.rint(pcm).astype(np.int64) << bits) | below
    return (moved & 0xFFFF).astype(np.uint16).view(np.int16)


def some_noise(rms: float, n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, rms, n)


FRAMES = {
    "empty-right": (lambda p: beside(p, np.zeros(len(p)), False), "every other sample is empty"),
    "empty-left": (lambda p: beside(p, np.zeros(len(p)), True), "every other sample is empty"),
    "open-right": (lambda p: beside(p, some_noise(3, len(p)) - 40, False), "every other sample"),
    "twice": (lambda p: beside(p, p, False), "every sample comes twice"),
    "twice-from-the-second": (lambda p: beside(p, p, False)[1:], "every sample comes twice"),
    "shifted-by-1": (lambda p: shifted(1.8 * p, 1), "jump to the other end"),
    "shifted-by-2": (lambda p: shifted(p, 2), "jump to the other end"),
    "shifted-by-2-with-bits-below": (lambda p: shifted(p, 2, 3), "jump to the other end"),
    "shifted-by-4": (lambda p: shifted(p, 4), "jump to the other end"),
    "hiss": (lambda p: clip16(some_noise(9000, len(p))), "steady noise, no speech"),
    "quiet-hiss": (lambda p: clip16(some_noise(500, len(p))), "steady noise, no speech"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_wrong_frames_are_named(name):
    spoil, verdict = FRAMES[name]
    found = microphone.level(spoil(speech()))
    assert verdict in found.verdict
    assert not found.ok


LOUD = {
    "as-it-is": (lambda p: clip16(p), "good", True),
    "20-db-quieter": (lambda p: clip16(p / 20), "quiet, below -40 dBFS", True),
    "a-room-without-speech": (lambda p: clip16(some_noise(20, len(p))), "very quiet", True),
    "louder-than-fits": (lambda p: clip16(6 * p), "clipped", False),
    "noise-louder-than-fits": (lambda p: clip16(some_noise(90000, len(p))), "clipped", False),
}


@pytest.mark.parametrize("name", LOUD)
def test_good_frames_are_not_called_wrong(name):
    change, verdict, ok = LOUD[name]
    found = microphone.level(change(speech()))
    assert verdict in found.verdict
    assert found.ok is ok


def test_a_microphone_that_goes_away_is_one_line(monkeypatch):
    class Gone:
        """Hears one chunk; then it is unplugged."""

        def __init__(self, callback, finished_callback, **_settings):
            callback(np.full((4, 1), 7, np.int16), 4, None, None)
            finished_callback()

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            pass

    module = SimpleNamespace(InputStream=Gone, PortAudioError=OSError)
    monkeypatch.setattr(microphone, "sounddevice", lambda: module)
    heard = microphone.stream()
    assert next(heard).tolist() == [7] * 4
    with pytest.raises(TraceKwsError, match="the microphone has gone"):
        next(heard)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 100, 1600])
def test_a_recording_of_any_length_is_judged(n_samples):
    for pcm in (clip16(some_noise(9000, n_samples)), np.zeros(n_samples, np.int16)):
        assert microphone.level(pcm).verdict


def test_a_take_of_noise_alone_is_asked_for_again():
    assert microphone.fault(clip16(some_noise(3000, 16000))) == (
        "steady noise without speech is in it: record again, and speak while it records"
    )
    assert microphone.fault(noise(3000)[:16000]) is None


def test_the_self_test(run, hearing):
    board = hearing(noise(3000))
    result = run("microphone", "--json", "--port", board.port)
    assert result.code == 0
    found = json.loads(result.out)
    assert found["ok"]
    heard = 3000 * np.sqrt(1 + 0.95**2 / 2)
    assert found["rms_dbfs"] == pytest.approx(20 * np.log10(heard / 32768), abs=0.2)
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
