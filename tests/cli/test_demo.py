# SPDX-License-Identifier: Apache-2.0
"""The demonstration's arithmetic, and the committed speech that it plays."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from host_cli import HANG_SECONDS
from images import make_image, write_image
from tracekws.audio import read_clip
from tracekws.bench.demo import VOICE, judge, read_said, split_voice
from tracekws.bench.stream import Said
from tracekws.device.driver import Event
from tracekws.device.takes import Take, count, read_takes
from tracekws.errors import DataError
from tracekws.shipped import SPEECH

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
LABELS = (*KEYWORDS, "_unknown_", "_silence_")
SAID = [Said("yes", 16000, 22400), Said("lamp", 48000, 56000), Said("no", 80000, 88000)]


def event(word: str, end: float) -> Event:
    return Event(word, 0.9, end - 1, end)


@pytest.mark.parametrize(
    ("events", "said", "right", "false"),
    [
        ([], [], 0, 0),
        ([event("yes", 1.5)], ["yes"], 1, 0),
        ([event("yes", 1.0)], ["yes"], 1, 0),
        ([event("yes", 0.99)], [None], 0, 1),
        ([event("yes", 2.4)], ["yes"], 1, 0),
        ([event("yes", 2.41)], [None], 0, 1),
        ([event("no", 1.5)], ["yes"], 0, 1),
        ([event("yes", 3.5)], ["lamp"], 0, 1),
        ([event("yes", 1.5), event("yes", 2.3)], ["yes", "yes"], 1, 1),
        ([event("yes", 1.5), event("up", 3.6), event("no", 6.0)], ["yes", "lamp", "no"], 2, 1),
    ],
)
def test_events_are_judged_by_the_word_that_was_said(events, said, right, false):
    heard = judge(events, SAID, KEYWORDS)
    assert list(heard.said) == said
    assert (heard.keywords, heard.right, heard.false) == (2, right, false)
    assert heard.as_json()["keywords_heard"] == right


def test_a_voice_is_divided_into_takes_to_teach_and_to_test():
    pcm = np.zeros(16000, np.int16)
    takes = [Take("yes", f"yes/{n}", pcm) for n in range(5)]
    takes += [Take("_unknown_", f"_other/{n}", pcm) for n in range(7)]
    learn, test = split_voice(takes, "_unknown_")
    assert count(learn) == {"yes": 3, "_unknown_": 5}
    assert [t.name for t in test] == ["yes/3", "yes/4", "_other/5", "_other/6"]


@pytest.mark.parametrize(
    "text",
    ["1.0\t2.0\n", "one\ttwo\tyes\n", "1\tinf\tyes\n", "nan\t1\tyes\n", "1.0\t2.0\tyes\tno\n"],
)
def test_a_damaged_list_of_words_is_refused(text, tmp_path):
    path = tmp_path / "stream.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match="expected lines"):
        read_said(path)


def test_a_missing_list_of_words_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_said(tmp_path / "stream.tsv")


def voices() -> list[Path]:
    return sorted(path for path in SPEECH.iterdir() if path.is_dir())


def test_the_committed_takes_are_complete_and_distinct():
    assert VOICE in [voice.name for voice in voices()]
    assert len(voices()) >= 4
    seen: dict[bytes, str] = {}
    for voice in voices():
        takes = read_takes(voice, LABELS, "_unknown_", "_silence_")
        counts = count(takes)
        assert set(counts) == {*KEYWORDS, "_unknown_"}
        assert min(counts.values()) >= (6 if voice.name == VOICE else 2)
        for take in takes:
            assert len(take.pcm) == 16000
            assert 3000 < np.abs(take.pcm.astype(int)).max() < 32767
            # where in the second a take begins does not make it another take
            samples = np.trim_zeros(take.pcm).tobytes()
            name = f"{voice.name}/{take.name}"
            assert samples not in seen, f"{name} repeats {seen[samples]}"
            seen[samples] = name


def test_the_committed_stream_is_loud_where_it_says_that_a_word_is():
    pcm = read_clip(SPEECH / "stream.flac").astype(float)
    said = read_said(SPEECH / "stream.tsv")
    assert sorted(word.word for word in said if word.word in KEYWORDS) == sorted(KEYWORDS)
    speech = np.zeros(len(pcm), bool)
    for word in said:
        here = slice(word.start - 16, word.end + 16)  # 1 ms of rounding
        assert np.abs(pcm[here]).max() > 3000, word
        speech[here] = True
    assert 0 < np.abs(pcm[~speech]).max() < 200


def test_the_committed_speech_is_small():
    assert sum(path.stat().st_size for path in SPEECH.rglob("*.*")) < 3_000_000


@pytest.fixture(scope="session")
def ten_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model with the ten keywords, which hears something in everything."""
    zero = np.zeros(12)
    image = make_image(
        seed=3, n_classes=12, n_neurons=16, arrays={"word_threshold": zero}, passes=2
    )
    return write_image(tmp_path_factory.mktemp("model"), image)


def test_the_demonstration_measures_teaches_and_survives_a_restart(
    run, built, ten_words, tmp_path, monkeypatch, leftovers
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    picture = tmp_path / "demo.png"
    result = run("demo", "--model", ten_words, "--picture", picture, "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    counts = dict.fromkeys(KEYWORDS, 3) | {"_unknown_": 5}
    assert told["taught"] == counts
    for columns in (told["before"], told["after"]):
        assert {name: column["clips"] for name, column in columns.items()} == {
            "keywords_self": 30,
            "unknown_self": 11,
            "keywords_others": 100,
            "unknown_others": 30,
        }
    for name in ("stream_before", "stream_after"):
        heard = told[name]
        right = {e["said"] for e in heard["events"] if e["said"] == e["word"]}
        assert heard["keywords_said"] == 10
        assert heard["keywords_heard"] == len(right)
        assert heard["false_alarms"] == len(heard["events"]) - len(right)
    assert told["stream_before"]["events"]
    assert told["stream_before"] != told["stream_after"]
    assert told["generation_after_restart"] == 1
    assert told["weights_survive_restart"] is True
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [picture]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("at", ["board with model", "it is taught", "is killed", "the same words"])
def test_ctrl_c_in_the_demonstration_leaves_nothing(at, built, ten_words, tmp_path, leftovers):
    program = "from tracekws.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "demo", "--model", str(ten_words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        for line in process.stderr:
            if at in line:
                break
        else:
            pytest.fail(f"the demonstration never said {at!r}")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
