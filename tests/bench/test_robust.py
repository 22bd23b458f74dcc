# SPDX-License-Identifier: Apache-2.0
"""`bench robust`: what its conditions do to sound, and that its rows count as one would by hand."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from host_cli import tracekws, tracekws_json
from images import make_eventful_image, write_image
from listening import detections
from recordings import changing_noise
from tones import utterance, write_tree
from tracekws.bench import robust, sets, tones
from tracekws.bench.scenes import (
    ROOM,
    Beside,
    Noise,
    Scene,
    Spoken,
    decay_seconds,
    shortened,
    trimmed,
    voiced,
)
from tracekws.bench.stream import Sound, judge, word_bounds
from tracekws.core import Model, Network
from tracekws.data import KEYWORDS, read_tree
from tracekws.errors import DataError

SECOND = 16000
Wave = NDArray[np.float64]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that hears many words, and now and then the right one."""
    return write_image(tmp_path_factory.mktemp("eventful"), make_eventful_image())


def write_table(folder: Path, columns: str, rows: list[str]) -> None:
    """The table of a set."""
    (folder / "index.tsv").write_text("\n".join([columns, *rows]) + "\n")


def write_sound(path: Path, seconds: float, part: int) -> None:
    """A piece of noise whose level changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = changing_noise(60 * (part + 1), 1600)
    soundfile.write(path, pcm[-round(seconds * SECOND) :], SECOND)


def falling(seconds: float, fall: float, seed: int) -> Wave:
    """An impulse response: a direct sound after 2 ms, then noise that falls by 60 dB."""
    rng = np.random.default_rng(seed)
    n = round(seconds * SECOND)
    tail = rng.normal(size=n) * 10 ** (-3 * np.arange(n) / SECOND / fall) * 0.1
    tail[:32] = 0
    tail[32] = 1
    return np.asarray(tail / 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sets, made up; which sounds, phrases and rooms are for testing, their names say."""
    root = tmp_path_factory.mktemp("sets")
    (root / "gsc").mkdir()
    write_tree(root / "gsc")
    rng = np.random.default_rng(2)
    for index, word in enumerate(("yes", "cancel")):
        (root / "asc" / word).mkdir(parents=True)
        for speaker in range(3):
            for take in range(3):
                path = root / "asc" / word / f"s{speaker}_NO_{take:02d}.wav"
                soundfile.write(path, utterance(100 + index, 1.0, rng), SECOND)
    rows = []
    for number in range(6):
        split = "testing" if number < 4 else "training"
        write_sound(root / "talk" / split / f"{number}.wav", 3 + number % 2, number)
        rows.append(f"{split}/{number}\tspeaker{number % 2}\tyes no and left")
    write_table(root / "talk", "file\tspeaker\ttext", rows)
    for name in ("phrases", "sounds"):
        kinds = [f"{'music' if number % 2 else 'bark'}/{number}" for number in range(20)]
        for number, kind in enumerate(kinds):
            write_sound(root / name / f"{kind}.wav", 4, number)
        write_table(root / name, "file\ttext", [f"{kind}\tstop it" for kind in kinds])
    (root / "rooms").mkdir()
    impulses = {f"room_{n}_L": falling(0.4, 0.3, n) for n in range(10)}
    impulses["hall"] = falling(3, 1.5, 99)
    for name, wave in impulses.items():
        soundfile.write(root / "rooms" / f"{name}.wav", wave, SECOND, subtype="FLOAT")
    write_table(root / "rooms", "file", [f"{name}.flac" for name in impulses])
    return root


@pytest.fixture(scope="module")
def report(model_file: Path, folder: Path) -> robust.RobustReport:
    return robust.measure(Model.load(model_file), folder, 1)


def events(model: Model, pcm: NDArray[np.int16]) -> list[tuple[str, int]]:
    """Words heard and their ends."""
    return detections(Network(model), pcm)


# --- what conditions do ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def word() -> NDArray[np.int16]:
    return utterance(3, 1.0, np.random.default_rng(1))


def test_a_scene_is_a_word_in_a_quiet_room(word) -> None:
    pcm, (said,) = Scene((Spoken(word, "yes", "ann"),), 5).mix()
    start, end = word_bounds(word)
    assert (said.word, said.speaker) == ("yes", "ann")
    assert (said.start, said.end) == (3 * SECOND + start, 3 * SECOND + end)
    assert len(pcm) == 3 * SECOND + len(word) + 1.5 * SECOND
    assert np.std(pcm[: 3 * SECOND]) == pytest.approx(ROOM, rel=0.05)
    rest = pcm[3 * SECOND : 4 * SECOND] - word.astype(float)
    assert np.std(rest) == pytest.approx(ROOM, rel=0.05)
    again, _ = Scene((Spoken(word, "yes", "ann"),), 5).mix()
    other, _ = Scene((Spoken(word, "yes", "ann"),), 6).mix()
    assert pcm.tobytes() == again.tobytes() != other.tobytes()


def test_two_words_lie_apart_by_their_gap(word) -> None:
    short = trimmed(word)
    spoken = (Spoken(short, "yes", "ann"), Spoken(short, "no", "bob", 0.3))
    _, (first, second) = Scene(spoken, 1).mix()
    start, end = word_bounds(short)
    assert second.start - first.end == start + round(0.3 * SECOND) + len(short) - end
    assert (second.word, second.speaker) == ("no", "bob")


def test_noise_ends_some_time_before_the_word(word) -> None:
    pcm, (said,) = Scene((Spoken(word, "yes", ""),), 1, noise=Noise(2, -12, 1)).mix()
    loud = np.abs(pcm) > 1500
    before = np.flatnonzero(loud[: said.start - SECOND // 2])
    assert said.start - before[-1] == pytest.approx(SECOND, abs=64)
    noise = pcm[before[-1] - 2 * SECOND + 100 : before[-1]].astype(float)
    assert 20 * math.log10(noise.std() / 32768) == pytest.approx(-12, abs=0.3)


@pytest.mark.parametrize("db", [0, 10])
def test_other_sound_has_its_ratio_to_the_word(db, word, tmp_path) -> None:
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for number, path in enumerate(paths):
        write_sound(path, 2, number)
    beside = Beside(tuple(Sound(path, 0, 2 * SECOND) for path in paths), db)
    plain, (said,) = Scene((Spoken(word, "yes", ""),), 1).mix()
    pcm, (same,) = Scene((Spoken(word, "yes", ""),), 1, beside=beside).mix()
    assert said == same
    other = pcm.astype(float) - plain
    speech = plain[said.start : said.end].astype(float)
    ratio = 10 * math.log10((speech**2).mean() / (other**2).mean())
    assert ratio == pytest.approx(db, abs=0.1)
    assert np.abs(np.corrcoef(other[:2000], soundfile.read(paths[0])[0][:2000])[0, 1]) > 0.99


def test_a_cut_word_begins_late(word) -> None:
    _, (whole,) = Scene((Spoken(word, "yes", ""),), 1).mix()
    pcm, (said,) = Scene((Spoken(word, "yes", ""),), 1, cut_s=0.04).mix()
    start, _ = word_bounds(word)
    assert whole.end - whole.start - (said.end - said.start) == pytest.approx(640, abs=320)
    assert np.abs(pcm[3 * SECOND :][:400] - word[start + 640 :][:400]).max() < 6 * ROOM


def test_of_a_word_at_a_clips_end_something_is_left_by_the_cut() -> None:
    pcm = np.zeros(SECOND, np.int16)
    pcm[15_700] = 20_000
    _, (said,) = Scene((Spoken(pcm, "yes", ""),), 1, cut_s=0.04).mix()
    assert said.end > said.start


def test_a_room_sounds_on_and_is_as_loud(word) -> None:
    impulse = falling(0.4, 0.4, 1)
    dry, (said,) = Scene((Spoken(word, "yes", ""),), 1).mix()
    wet, (same,) = Scene((Spoken(word, "yes", ""),), 1, impulse=impulse).mix()
    assert said == same
    assert (wet.astype(float) ** 2).sum() == pytest.approx((dry.astype(float) ** 2).sum(), rel=0.05)
    behind = slice(said.end + 1600, said.end + 3200)
    assert np.std(wet[behind]) > 3 * np.std(dry[behind])


@pytest.mark.parametrize("fall", [0.3, 1.5, 2.5])
def test_the_time_of_a_decay_is_measured(fall) -> None:
    assert decay_seconds(falling(3, fall, 1)) == pytest.approx(fall, rel=0.08)


@pytest.mark.parametrize("fall", [1.0, 2.5])
def test_a_hall_is_made_shorter(fall) -> None:
    impulse = falling(4, fall, 1)
    made = shortened(impulse, 0.5)
    assert decay_seconds(made) == pytest.approx(0.5, rel=0.02)
    assert made[32] == impulse[32]


def impulse_file(folder: Path, wave: Wave) -> sets.Recording:
    """An impulse response as a row of a set's table."""
    soundfile.write(folder / "room.wav", wave, SECOND, subtype="FLOAT")
    sound = Sound(folder / "room.wav", 0, len(wave))
    return sets.Recording("room", sound, "testing", "", frozenset())


def test_a_faint_impulse_response_loses_nothing(tmp_path) -> None:
    wave = np.float32(1e-4 * falling(0.4, 0.3, 1))
    (room,), halls = robust.read_impulses([impulse_file(tmp_path, wave)])
    assert halls == []
    assert np.array_equal(room, wave)


def test_an_impulse_response_without_sound_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"room\.wav: no sound in it"):
        robust.read_impulses([impulse_file(tmp_path, np.zeros(SECOND))])


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_voice_is_higher_and_as_long(factor) -> None:
    pytest.importorskip("librosa", reason="no librosa: changed voices were not checked")
    t = np.arange(SECOND) / SECOND
    pcm = (8000 * np.sin(2 * np.pi * 1000 * t) * np.hanning(SECOND)).astype(np.int16)
    changed = voiced(pcm, factor)
    assert len(changed) == SECOND
    loudest = np.abs(np.fft.rfft(changed.astype(float))).argmax()
    assert loudest == pytest.approx(1000 * factor, rel=0.01)
    middle = slice(SECOND // 4, -SECOND // 4)
    assert np.std(changed[middle]) == pytest.approx(np.std(pcm[middle]), rel=0.2)


@pytest.mark.parametrize("case", [*tones.beeps()[::7], *tones.sweeps()], ids=lambda c: c.name)
def test_tones_are_sound_of_their_length(case) -> None:
    pcm, said = case.mix()
    assert said == []
    assert len(pcm) / SECOND in (30, 60)
    assert 20 < np.abs(pcm[: 10 * SECOND].astype(int)).max() <= 32767
    assert pcm.tobytes() == case.mix()[0].tobytes()


def test_a_beep_is_on_and_off() -> None:
    pcm, _ = tones.Beep(2000, 0.5, 9000).mix()
    halves = pcm[: 10 * SECOND].astype(float).reshape(-1, SECOND // 2)
    assert np.allclose(halves[::2].std(1), 9000 / math.sqrt(2), rtol=0.01)
    assert np.all(halves[1::2].std(1) < 10)
    assert np.abs(np.fft.rfft(halves[0])).argmax() == 1000


# --- what rows count ------------------------------------------------------------------------------


def test_every_row_is_there(report) -> None:
    names = [row.name for row in report.rows]
    voice = ["voice"] if robust.has_librosa() else []
    assert names == [
        "stream, 40 dB",
        "stream, 10 dB",
        "alone",
        "two keywords",
        "after noise",
        "talk beside",
        "music beside",
        *voice,
        "onset",
        "hall",
        "room",
        "clips, validation",
        "clips, testing",
        "talk",
        "phrases",
        "sounds",
        "foreign words",
        "foreign clips",
        "beeps",
        "sweeps",
    ]
    assert bool(report.missing) != robust.has_librosa()


def row(report: robust.RobustReport, name: str) -> dict:
    """A row's summary."""
    (found,) = [one.summary() for one in report.rows if one.name == name]
    return found


def test_streams_are_those_of_bench_stream(report, model_file, folder) -> None:
    told = tracekws_json("bench", "stream", str(model_file), "--data", str(folder / "gsc"))
    for speech in told["speech"]:
        found = row(report, f"stream, {speech['snr_db']:g} dB")
        assert (found["right"], found["of"]) == (speech["hits"], speech["keywords"])
        assert found["false_alarms"] == speech["false_alarms"] > 0
        assert found["other_words"] == speech["other_words"]
        assert found["false_alarms_per_100_other_words"] == pytest.approx(
            speech["false_alarms_per_100_other_words"]
        )
        assert found["speakers"] == 2


def test_scenes_are_judged_by_the_rule_of_streams(report, model_file) -> None:
    model = Model.load(model_file)
    found = row(report, "after noise")
    alone = row(report, "alone")
    assert found["of"] == alone["of"] == len(KEYWORDS) * 2 * 4
    assert found["without"] == alone["percent"]["mean"] == 100 * alone["right"] / alone["of"]
    assert found["difference"]["mean"] == pytest.approx(found["percent"]["mean"] - found["without"])
    assert 0 < alone["right"] < alone["of"]
    assert model.keywords == KEYWORDS


def test_pairs_and_words_alone_by_hand(report, model_file, folder) -> None:
    model = Model.load(model_file)
    bench = robust.RobustBench(
        model, folder, 1, lambda name: lambda done, total: None, isolated=False
    )
    pairs = []
    alone = []
    words = bench.words
    for seed, (clip, pcm) in enumerate(words):
        sound, said = Scene((Spoken(pcm, clip.word, clip.speaker),), seed).mix()
        alone.append(judge(events(model, sound), said, KEYWORDS, len(sound)).hit == 1)
    assert row(report, "alone")["right"] == sum(alone)
    half = len(words) // 2
    for seed in range(len(words)):
        other = (seed + half) % len(words)
        (a, first), (b, second) = words[seed], words[other]
        spoken = (
            Spoken(trimmed(first), a.word, a.speaker),
            Spoken(trimmed(second), b.word, b.speaker, 0.3),
        )
        sound, said = Scene(spoken, seed).mix()
        hits = judge(events(model, sound), said, KEYWORDS, len(sound)).hit
        pairs.append((hits == 2, alone[seed] and alone[other]))
    found = row(report, "two keywords")
    assert (found["right"], found["of"]) == (sum(both for both, _ in pairs), len(words))
    assert found["without"] == pytest.approx(100 * np.mean([two for _, two in pairs]))


def test_recordings_without_words_by_hand(report, model_file, folder) -> None:
    model = Model.load(model_file)
    apart = false = 0
    for number in range(4):
        (path,) = (folder / "talk" / "testing").glob(f"{number}.wav")
        for word, _ in events(model, soundfile.read(path, dtype="int16")[0]):
            apart += word in ("yes", "no", "left")
            false += word not in ("yes", "no", "left")
    found = row(report, "talk")
    assert (found["events"], found["events_of_words_said"]) == (false, apart)
    assert found["hours"] == pytest.approx(14 / 3600)
    assert found["per_hour"]["low"] < found["per_hour"]["mean"] < found["per_hour"]["high"]
    assert sum(found["words"].values()) == false > 0
    testing = [one for one in read_names(folder / "sounds") if sets.split_of(one) != "training"]
    assert row(report, "sounds")["hours"] == pytest.approx(4 * len(testing) / 3600)
    assert 0 < len(testing) < 20


def read_names(folder: Path) -> list[str]:
    """Names of a set."""
    return [line.split("\t")[0] for line in (folder / "index.tsv").read_text().split("\n")[1:-1]]


def test_foreign_words_are_no_hits_whatever_they_are_called(report, folder) -> None:
    found = row(report, "foreign words")
    clips = len(read_tree(folder / "asc").clips)
    assert clips == 18
    assert found["events_of_words_said"] == 0
    shortest = 3 * (4.5 + 4 * (1 + robust.ROW_GAP_S[0])) / 3600
    longest = 3 * (4.5 + 4 * (1 + robust.ROW_GAP_S[1])) / 3600
    assert shortest < found["hours"] < longest
    assert row(report, "foreign clips")["of"] == clips


def test_cases_of_tones_are_named(report) -> None:
    for name, hours in (("beeps", 48 * 30 / 3600), ("sweeps", 12 * 60 / 3600)):
        found = row(report, name)
        assert found["hours"] == pytest.approx(hours)
        assert sum(found["cases"].values()) == found["events"]


def test_intervals_are_of_speakers() -> None:
    """All takes of a speaker are alike: as many speakers as there are give the interval."""
    speakers = tuple(f"s{n // 50}" for n in range(1000))
    right = np.array([n // 50 < 10 for n in range(1000)])
    share = robust.WordsRight("", "", right, speakers).summary()
    assert share["percent"]["mean"] == 50
    # a binomial of twenty speakers: 50 +- 22
    assert share["percent"]["low"] == pytest.approx(28, abs=4)
    assert share["percent"]["high"] == pytest.approx(72, abs=4)
    same = robust.WordsRight("", "", right, speakers, right).summary()
    assert same["difference"] == {"mean": 0, "low": 0, "high": 0}


# --- the command ----------------------------------------------------------------------------------


def test_the_command_gives_the_report(model_file, folder, tmp_path, report) -> None:
    picture = tmp_path / "rows.png"
    words = ("bench", "robust", str(model_file), "--data", str(folder / "gsc"), "--workers", "2")
    (told,) = tracekws_json(*words, "--picture", str(picture))["models"]
    whole = {one["name"]: one for one in report.summary()["rows"]}
    assert told["rows"] == [whole[one["name"]] for one in told["rows"]]
    assert {"alone", "two keywords", "clips, testing", "beeps"} < {
        one["name"] for one in told["rows"]
    }
    assert told["model"] == report.summary()["model"]
    assert [text.split()[0] for text in told["missing"][:5]] == [
        "asc",
        "talk",
        "phrases",
        "sounds",
        "rooms",
    ]
    assert picture.stat().st_size > 0


def test_what_is_missing_is_left_out_and_named(model_file, folder, tmp_path) -> None:
    shutil.copytree(folder / "talk", tmp_path / "sets" / "talk")
    words = ("bench", "robust", str(model_file), str(model_file))
    done = tracekws(*words, "--data", str(tmp_path / "sets"), "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("│ talk ") == 2
    assert "alone" not in done.stdout
    for name in ("gsc", "asc", "phrases", "sounds", "rooms"):
        assert f"left out: {name} (" in done.stderr
    assert "left out: talk" not in done.stderr


def test_clips_that_are_bad_or_long_are_told(model_file, folder, tmp_path) -> None:
    shutil.copytree(folder / "asc", tmp_path / "sets" / "asc")
    first, second, third, *_ = sorted((tmp_path / "sets" / "asc").glob("*/*.wav"))
    first.write_bytes(b"no sound at all")
    second.write_bytes(b"nor here")
    write_sound(third, 2, 5)
    words = ("bench", "robust", str(model_file), "--data", str(tmp_path / "sets"), "--workers", "1")
    done = tracekws(*words)
    assert done.returncode == 0, done.stderr
    assert f"left out: 2 bad files, the first is {first}: not readable" in done.stderr
    assert "left out: all but the loudest second of 1 longer clips" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: shutil.rmtree(root), "no such folder"),
        (lambda root: (root / "talk" / "index.tsv").unlink(), "index.tsv: No such file"),
        (lambda root: (root / "talk" / "testing" / "2.wav").unlink(), "no such recording"),
    ],
    ids=["folder", "table", "recording"],
)
def test_what_is_not_usable_is_one_line(spoil, said, model_file, folder, tmp_path) -> None:
    root = tmp_path / "sets"
    shutil.copytree(folder / "talk", root / "talk")
    spoil(root)
    done = tracekws("bench", "robust", str(model_file), "--data", str(root))
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
