# SPDX-License-Identifier: Apache-2.0
"""Bad takes are found, good ones are not, on made-up speech; figures on real speech are in docs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tones import utterance
from tracekws import inspection
from tracekws.audio import read_clip
from tracekws.core import TAKES, Model
from tracekws.device.takes import read_lesson, read_takes
from tracekws.errors import DataError
from tracekws.learner import Learner

LABELS = ("yes", "no", "up", "_unknown_", "_silence_")
SPEECH = Path(__file__).resolve().parents[2] / "examples" / "speech"
RNG = np.random.default_rng


def clip16(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x), -32768, 32767).astype(np.int16)


def room(n: int, rms: float = 8.0) -> np.ndarray:
    return RNG(4).normal(0, rms, n)


def word(seconds: float = 0.5) -> np.ndarray:
    """A word alone: a tone whose level goes up and down, without any room."""
    t = np.arange(round(16000 * seconds)) / 16000
    return 6000 * np.sin(2 * np.pi * 700 * t) * np.sin(np.pi * t / seconds) ** 0.5


def laid(*parts: np.ndarray | int, n: int = 16000) -> np.ndarray:
    """Words, and pauses in samples, one after the other, in a room."""
    sound = np.concatenate([np.zeros(p) if isinstance(p, int) else p for p in parts])
    out = room(max(n, len(sound)))
    out[: len(sound)] += sound
    return clip16(out)


GOOD = {
    "a-word": laid(4000, word()),
    "in-noise": clip16(laid(4000, word()) + room(16000, 400)),
    "with-a-stop-of-0.15-s": laid(2000, word(0.3), 2400, word(0.3)),
    "long-recording": laid(20000, word(), n=48000),
    "short-recording": laid(1600, word(), 1600, n=0),
    "shorter-than-a-word": laid(word(0.05), n=0),
    "notes": utterance(3, 1.0, RNG(0)),
    "as-loud-as-can-be": clip16(laid(4000, word()) * 5.4),
}
BAD = {
    "zeros": (np.zeros(16000), ["silent"]),
    "a-converter-s-noise": (room(16000, 2), ["silent"]),
    "hiss": (room(16000, 2000), ["noise"]),
    "faint-hiss": (room(16000, 12), ["noise"]),
    "hum": (3000 * np.sin(2 * np.pi * 50 * np.arange(16000) / 16000) + room(16000), ["noise"]),
    "click": (laid(8000, np.full(100, 9000.0)), ["click"]),
    "46-db-down": (laid(4000, word()) / 200, ["faint"]),
    "33-db-down": (laid(4000, word()) / 45, ["quiet"]),
    "clipped": (laid(4000, word()) * 5.48, ["clipped"]),
    "overdriven": (laid(4000, word()) * 20.0, ["badly clipped"]),
    "clipped-at-a-third": (np.clip(laid(4000, word()) * 6.0, -9000, 9000), ["badly clipped"]),
    "offset": (laid(4000, word()) + 1500.0, ["offset"]),
    "no-start": (laid(word()[3000:]), ["start"]),
    "no-end": (laid(11000, word()[:5000], n=0), ["end"]),
    "two-words": (laid(500, word(0.3), 4500, word(0.3)), ["two"]),
    "two-words-in-two-seconds": (laid(4000, word(), 8000, word(), n=32000), ["two"]),
    "quiet-and-cut": (laid(word()[3000:]) / 45, ["quiet", "start"]),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_takes_have_no_fault(name):
    assert inspection.faults(GOOD[name]) == ()


@pytest.mark.parametrize("name", BAD)
def test_bad_takes_are_found(name):
    pcm, wanted = BAD[name]
    assert list(inspection.faults(clip16(pcm))) == wanted
    assert set(wanted) <= set(inspection.KINDS)


def test_every_fault_has_a_case():
    found = {kind for _, kinds in BAD.values() for kind in kinds}
    assert found == set(inspection.KINDS) - {"copy", "unlike"}


@pytest.mark.parametrize("length", [560, 1000, 7999, 8000, 16000, 100000])
def test_any_length_is_judged(length):
    for pcm in (room(length, 3000), np.full(length, -32768.0), laid(word(), n=length)[:length]):
        assert set(inspection.faults(clip16(pcm))) <= set(inspection.KINDS)


def takes_of(voice: str) -> list[tuple[str, np.ndarray]]:
    folders = sorted(path for path in (SPEECH / voice).iterdir() if path.name != "_other")
    return [(path.name, read_clip(file)) for path in folders for file in sorted(path.iterdir())]


@pytest.mark.parametrize("model", ["base", "small"])
@pytest.mark.parametrize("word", ["left", "no", "yes"])
def test_a_take_of_another_word_is_named_with_that_word(word, model):
    words, sound = map(list, zip(*takes_of("scot"), strict=True))
    image = Model.load(model)
    before = inspection.odd_ones(words, sound, image)
    wrong = words.index("stop")
    words[wrong] = word
    after = inspection.odd_ones(words, sound, image)
    assert after.pop(wrong) == "stop"
    assert after == before
    assert len(before) <= 2  # of 60


def test_words_that_the_model_does_not_know_are_compared_too():
    words, sound = map(list, zip(*takes_of("scot"), strict=True))
    other = [f"my-{word}" for word in words]
    image = Model.load("base")
    plain = inspection.odd_ones(words, sound, image)
    assert inspection.odd_ones(other, sound, image) == {
        i: like and f"my-{like}" for i, like in plain.items()
    }


def test_two_takes_of_a_word_are_not_compared():
    words, sound = zip(*takes_of("awb"), strict=True)
    assert inspection.odd_ones(words, sound, Model.load("base")) == {}
    assert inspection.odd_ones([], [], Model.load("base")) == {}


def save(folder: Path, sounds: dict[str, np.ndarray]) -> Path:
    for name, pcm in sounds.items():
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, clip16(pcm), 16000)
    return folder


SPOILT = {
    "yes/1": GOOD["a-word"],
    "yes/2": BAD["hiss"][0],
    "yes/3": BAD["no-end"][0],
    "no/1": BAD["zeros"][0],
    "no/2": BAD["overdriven"][0],
    "no/3": BAD["click"][0],
    "up/1": BAD["hum"][0],
    "up/2": BAD["46-db-down"][0],
    "up/3": BAD["two-words"][0],
    "_other/1": BAD["hiss"][0],
}


def test_all_bad_takes_are_in_one_line_with_what_to_do(tmp_path):
    save(tmp_path, SPOILT)
    (tmp_path / "yes" / "4.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(999))
    with pytest.raises(DataError) as error:
        read_takes(tmp_path, LABELS, "_unknown_", "_silence_")
    said = str(error.value)
    assert "\n" not in said
    for part in (
        "nothing is heard in no/1.wav: record again",
        "steady noise without speech is in up/1.wav, yes/2.wav: record again",
        "no more than a click is heard in no/3.wav",
        "far too quiet is the word in up/2.wav: come closer",
        "the sound is badly clipped in no/2.wav: move away",
        "(--force learns them all the same)",
        "4.m4a: M4A, MP4 or 3GP is not read",
    ):
        assert part in said
    for fine in ("yes/1", "yes/3", "up/3", "_other"):
        assert fine not in said


@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_refused_is_warned_of(force, tmp_path):
    mild = ("yes/1", "yes/3", "up/3")
    save(tmp_path, SPOILT if force else {name: SPOILT[name] for name in mild})
    lesson = read_lesson(
        tmp_path, None, False, LABELS, "_unknown_", "_silence_", TAKES, Model.load("base"), force
    )
    told = "; ".join(lesson.weak_points)
    assert "the word is cut at the end in yes/3.wav: record until" in told
    assert "more than one word is heard in up/3.wav: say the word once" in told
    assert ("the sound is badly clipped in no/2.wav" in told) is force
    assert len(lesson.learn) == (8 if force else 3), "the hiss is there twice"


def test_takes_unlike_the_others_are_warned_of(tmp_path):
    for voice_word in ("left", "no", "stop", "yes"):
        for n in range(4):
            pcm = read_clip(SPEECH / "scot" / voice_word / f"{n}.flac")
            save(tmp_path, {f"{voice_word}/{n}": pcm})
    save(tmp_path, {"left/9": read_clip(SPEECH / "scot" / "stop" / "5.flac")})
    labels = ("left", "no", "stop", "yes", "_unknown_", "_silence_")
    lesson = read_lesson(
        tmp_path, None, True, labels, "_unknown_", "_silence_", TAKES, Model.load("base")
    )
    (told,) = (line for line in lesson.weak_points if line.startswith("unlike"))
    assert "left/9.wav (more like 'stop')" in told
    assert told.endswith("listen to it: is it that word?")


def test_the_learner_refuses_silence_and_names_it():
    learner = Learner(Model.load("base"))
    before = learner.weights
    with pytest.raises(DataError, match=r"nothing is heard in take 2 \('no'\), take 3 \('yes'\)"):
        learner.learn(
            [
                ("yes", GOOD["a-word"]),
                ("no", np.zeros(16000, np.int16)),
                ("yes", clip16(room(9000, 2) + 900)),
            ]
        )
    assert learner.weights == before
    learner.learn([("yes", GOOD["a-word"]), ("_silence_", np.zeros(16000, np.int16))])


def test_the_page_says_what_was_measured():
    root = SPEECH.parents[1]
    page = " ".join((root / "docs" / "takes.md").read_text().split())
    found = json.loads((root / "benchmarks" / "inspection.json").read_text())
    good, crowd, unlike = found["good"], found["crowd"], found["unlike"]
    assert f"{found['speakers']} speakers" in page
    assert f"{good['takes']:,} clips. Of them {good['refused']:g} % are refused" in page
    assert f"and of {good['warned']:.1f} % it warns, mostly" in page
    assert f"Of {crowd['takes']:,} clips of the other speakers {crowd['refused']:.1f} % are" in page
    assert f"and of {crowd['warned']:.1f} % it warns; many" in page
    assert f"Of {unlike['good_takes']:,} takes in folders" in page
    assert f"word {unlike['good_flagged']:.1f} % are called unlike" in page
    assert f"{unlike['found']:.0f} %, the right word named in {unlike['named']:.0f} %" in page
    rows = {
        "45 dB quieter": "45 dB quieter",
        "55 dB quieter": "55 dB quieter",
        "6 dB louder than fits": "6 dB louder than fits",
        "20 dB louder than fits": "20 dB louder than fits",
        "an offset of a tenth": "an offset of a tenth",
        "cut at the start": "two fifths cut off at the start",
        "cut at the end": "two fifths cut off at the end",
        "the word twice": "the word twice",
        "seconds of noise recordings": "seconds of noise recordings",
    }
    for name, caption in rows.items():
        row = found["spoilt"][name]
        cells = (f"{row[what]:.0f} %" if row[what] else "" for what in ("refused", "warned"))
        assert f"| {caption} | {' | '.join(cells)} |".replace("|  |", "| |") in page
    for name in ("nothing but a converter's noise", "hiss of any level", "a click"):
        assert found["spoilt"][name]["refused"] == 100


def test_the_page_has_every_kind_and_its_program_runs(monkeypatch, tmp_path, capsys):
    page = (SPEECH.parents[1] / "docs" / "takes.md").read_text()
    rows = re.findall(r"^\| (`.*`) \|.*\| (refused|warned of) \|$", page, re.MULTILINE)
    told = {
        kind: said == "refused" for kinds, said in rows for kind in re.findall("`(.*?)`", kinds)
    }
    assert told == {name: kind.severe for name, kind in inspection.KINDS.items()}
    monkeypatch.chdir(tmp_path)
    save(tmp_path, {"take": BAD["offset"][0]})
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(program, "docs/takes.md", "exec"), {})
    assert capsys.readouterr().out.startswith("offset False check how")
