# SPDX-License-Identifier: Apache-2.0
"""Folders of takes, and guided recording with a recorder that needs no microphone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recordings import write_take
from tracekws.core import READOUT, TAKES, Model
from tracekws.device import microphone
from tracekws.device.takes import (
    chunks,
    count,
    doubts,
    hold_back,
    read_lesson,
    read_takes,
    read_word,
    weak_points,
)
from tracekws.errors import DataError, TraceKwsError

LABELS = ("yes", "no", "up", "_unknown_", "_silence_")


def read(folder: Path, force: bool = False):
    return read_takes(folder, LABELS, "_unknown_", "_silence_", force)


def write(path: Path, seed: int = 0, n_samples: int = 16000, rate: int = 16000, channels: int = 1):
    write_take(path, seed, n_samples, rate, channels)
    return soundfile.read(path, dtype="int16", always_2d=True)[0][:, 0]


def test_takes_are_read_with_their_labels(tmp_path):
    pcm = write(tmp_path / "no" / "1.wav", 1)
    write(tmp_path / "no" / "2.flac", 2)
    write(tmp_path / "_other" / "lamp.wav", 3)
    write(tmp_path / ".cache" / "x.wav", 4)
    (tmp_path / "no" / ".DS_Store").write_text("hidden")
    (tmp_path / "readme.txt").write_text("not in a word's folder")
    takes = read(tmp_path)
    assert [(t.label, t.name) for t in takes] == [
        ("_unknown_", "_other/lamp.wav"),
        ("no", "no/1.wav"),
        ("no", "no/2.flac"),
    ]
    np.testing.assert_array_equal(takes[1].pcm, pcm)


def test_takes_of_this_folder_are_named_by_their_files(tmp_path, monkeypatch):
    write(tmp_path / "1.wav", 1)
    monkeypatch.chdir(tmp_path)
    assert [take.name for take in read_word([Path("1.wav")], "lamp", force=True)] == ["1.wav"]


def missing(folder: Path) -> None:
    folder.rmdir()


def empty(folder: Path) -> None:
    pass


def empty_word(folder: Path) -> None:
    (folder / "yes").mkdir()


def strange_word(folder: Path) -> None:
    write(folder / "yes" / "1.wav")
    write(folder / "maybe" / "1.wav")


def class_of_unknown(folder: Path) -> None:
    write(folder / "_unknown_" / "1.wav")


def not_audio(folder: Path) -> None:
    write(folder / "yes" / "1.wav")
    (folder / "yes" / "2.wav").write_text("hello")


def telephone(folder: Path) -> None:
    write(folder / "yes" / "1.wav")
    (folder / "yes" / "2.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(5000))


def too_short(folder: Path) -> None:
    write(folder / "yes" / "1.wav", n_samples=399)


BAD = {
    missing: "no such folder",
    empty: "no folder of takes",
    empty_word: "yes: no takes in it",
    strange_word: "no word 'maybe'; it knows yes, no, up",
    class_of_unknown: "belong in _other",
    not_audio: "2.wav: not readable as audio",
    telephone: r"2.m4a: .* is not read; convert it with: ffmpeg -i .*yes/2\.m4a",
    too_short: "399 samples are too short",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_bad_folders_are_refused_in_one_line(make, tmp_path):
    folder = tmp_path / "takes"
    folder.mkdir()
    make(folder)
    with pytest.raises(DataError, match=BAD[make]) as error:
        read(folder)
    assert "\n" not in str(error.value)


def test_the_last_take_of_each_label_is_held_back(tmp_path):
    for name in ("yes/1", "yes/2", "yes/3", "no/1", "_other/1", "_other/2"):
        write(tmp_path / f"{name}.wav")
    learn, test = hold_back(read(tmp_path))
    assert [t.name for t in test] == ["_other/2.wav", "yes/3.wav"]
    assert [t.name for t in learn] == ["_other/1.wav", "no/1.wav", "yes/1.wav", "yes/2.wav"]
    assert count(learn) == {"_unknown_": 1, "no": 1, "yes": 2}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ("yes/1 yes/2 _other/1 _other/2 _other/3", []),
        ("yes/1 no/1 no/2 _other/1 _other/2 _other/3", ["one take only of yes:"]),
        ("yes/1 yes/2", ["no takes in _other"]),
        ("yes/1 yes/2 _other/1", ["few takes in _other"]),
        ("_other/1 _other/2 _other/3", ["no takes of a keyword"]),
    ],
)
def test_weak_points_are_named(files, said, tmp_path):
    for name in files.split():
        write(tmp_path / f"{name}.wav")
    points = weak_points(read(tmp_path), "_unknown_", moves_weights=True)
    assert len(points) == len(said)
    for point, start in zip(points, said, strict=True):
        assert point.startswith(start)
    kept = weak_points(read(tmp_path), "_unknown_", moves_weights=False)
    assert kept == [
        point.replace("only the rejection of other words", "nothing")
        for point in points
        if "_other" not in point
    ]


def test_of_other_words_nothing_is_learned_where_takes_are_kept(tmp_path):
    for seed, name in enumerate(("yes/1", "yes/2", "_other/1", "_other/2")):
        write(tmp_path / f"{name}.wav", seed)
    labels = ("yes", "no", "_unknown_", "_silence_")
    where = (tmp_path, None, True, labels, "_unknown_", "_silence_")
    model = Model.load("base")
    lesson = read_lesson(*where, TAKES, model)
    assert count(lesson.learn) == {"yes": 1}
    assert count(lesson.test) == {"yes": 1, "_unknown_": 2}
    assert count(read_lesson(*where, TAKES | READOUT, model).learn) == {"yes": 1, "_unknown_": 1}
    for take in (tmp_path / "yes").iterdir():
        take.unlink()
    (tmp_path / "yes").rmdir()
    with pytest.raises(DataError, match="only other words"):
        read_lesson(*where, TAKES, model)


@pytest.mark.parametrize("n_samples", [1, 1599, 1600, 16000])
def test_chunks_are_the_recording_and_a_second_of_silence(n_samples):
    pcm = np.arange(1, n_samples + 1).astype(np.int16)
    whole = np.concatenate(list(chunks(pcm)))
    np.testing.assert_array_equal(whole[:n_samples], pcm)
    assert len(whole) == n_samples + 16000
    assert not whole[n_samples:].any()


def voiced(level: int) -> np.ndarray:
    """A second that is loud and not so loud by turns."""
    quieter = np.where(np.arange(16000) // 800 % 2, 10, 1)
    return (np.resize([level, -level], 16000) / quieter).astype(np.int16)


class Voice:
    """A recorder: two seconds with one loud second that starts at a sample of its own."""

    def __init__(self, levels: Iterator[int] | None = None) -> None:
        self.levels = levels
        self.prompts: list[str] = []
        self.complaints: list[str] = []
        self.calls = 0

    def __call__(self, seconds: float) -> np.ndarray:
        self.calls += 1
        level = next(self.levels) if self.levels else 5000
        pcm = np.zeros(int(seconds * 16000), np.int16)
        pcm[100 * self.calls :][:16000] = voiced(level)
        return pcm

    def record(self, folder: Path, words: list[str]) -> int:
        return microphone.record_takes(
            folder,
            words,
            ask=self.prompts.append,
            complain=self.complaints.append,
            recorder=self,
        )


def test_guided_recording_makes_a_folder_that_can_be_learned(tmp_path):
    voice = Voice()
    assert voice.record(tmp_path, ["yes", "no"]) == 11
    takes = read(tmp_path)
    assert count(takes) == {"_unknown_": 5, "no": 3, "yes": 3}
    for take in takes:
        np.testing.assert_array_equal(take.pcm, voiced(5000))
    assert voice.prompts[0] == "1 of 11: say 'yes'"
    assert not list(tmp_path.rglob(".*.part"))


def test_an_interrupted_recording_goes_on_where_it_stopped(tmp_path):
    class Tired(Voice):
        def __call__(self, seconds: float) -> np.ndarray:
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().__call__(seconds)

    with pytest.raises(KeyboardInterrupt):
        Tired().record(tmp_path, ["yes", "no"])
    assert count(read(tmp_path)) == {"no": 1, "yes": 3}
    assert Voice().record(tmp_path, ["yes", "no"]) == 7


@pytest.mark.parametrize(("level", "said"), [(0, "nothing was heard"), (32767, "too loud")])
def test_a_bad_take_is_asked_for_again(level, said, tmp_path):
    voice = Voice(iter([level] + [5000] * 8))
    assert voice.record(tmp_path, ["yes"]) == 8
    assert voice.complaints[0].startswith(said)
    assert voice.prompts[:2] == ["1 of 8: say 'yes'", "again: say 'yes'"]
    np.testing.assert_array_equal(read(tmp_path)[-3].pcm, voiced(5000))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "yes").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"yes/1.wav: cannot be written"):
        Voice().record(tmp_path, ["yes"])


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ImportError("no module"), "pip install"),
        (OSError("PortAudio library not found"), "apt install libportaudio2"),
    ],
)
def test_a_missing_microphone_library_is_explained(error, advice, monkeypatch):
    import builtins

    real = builtins.__import__

    def broken(name, *rest, **more):
        if name == "sounddevice":
            raise error
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(TraceKwsError, match=advice):
        microphone.sounddevice()


def test_longer_takes_are_cut_to_their_loudest_second_and_shorter_ones_filled(
    tmp_path: Path,
) -> None:
    pcm = np.zeros(48000, dtype=np.int16)
    pcm[20000:36000] = np.resize([1000, -1000], 16000)
    (tmp_path / "yes").mkdir()
    soundfile.write(tmp_path / "yes" / "1.wav", pcm, 16000)
    soundfile.write(tmp_path / "yes" / "2.wav", pcm[20000:28000], 16000)
    long, short = read(tmp_path, force=True)
    np.testing.assert_array_equal(long.pcm, pcm[20000:36000])
    np.testing.assert_array_equal(short.pcm, np.pad(pcm[20000:28000], (0, 8000)))


def test_a_recording_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    """Else it would be held out, and learned, too."""
    for name, seed in (("no/1", 1), ("no/2", 2), ("yes/1", 1), ("yes/2", 3), ("yes/3", 3)):
        write(tmp_path / f"{name}.wav", seed)
    where = (tmp_path, tmp_path, False, LABELS, "_unknown_", "_silence_")
    lesson = read_lesson(*where, TAKES, Model.load("base"))
    kept = ["no/1.wav", "no/2.wav", "yes/2.wav"]
    assert [take.name for take in lesson.learn] == kept
    assert [take.name for take in lesson.others] == kept
    (said,) = [text for text in lesson.weak_points if "the same recording" in text]
    assert said == (
        "the same recording as an earlier take is yes/1.wav (as no/1.wav), yes/3.wav (as"
        " yes/2.wav): it counts once; record another"
    )


def test_takes_of_several_speakers_are_warned_of(tmp_path: Path) -> None:
    for seed, name in enumerate(("anna/1.wav", "anna/2.wav", "ben_1.wav")):
        write_take(tmp_path / "yes" / name, seed)
    write_take(tmp_path / "_other" / "carla_1.wav", 9)
    takes = read_takes(tmp_path, ("yes", "_unknown_"), "_unknown_", "_silence_")
    assert [take.name for take in takes if take.label == "yes"] == [
        "yes/anna/1.wav",
        "yes/anna/2.wav",
        "yes/ben_1.wav",
    ]
    told = doubts(takes, "_unknown_", Model.load("base"))
    (said,) = [text for text in told if "speakers" in text]
    assert said == "takes of several speakers (anna, ben): a device learns one voice"
