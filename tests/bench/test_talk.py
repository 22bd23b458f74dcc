# SPDX-License-Identifier: Apache-2.0
"""Talk: events of words in a sentence's text are counted apart from false alarms."""

from pathlib import Path

import pytest
import soundfile

from host_cli import tracekws, tracekws_json
from images import make_eventful_image, write_image
from listening import detections
from recordings import changing_noise
from tracekws.core import Model, Network
from tracekws.sensitivity import LEVELS, odds_q8

SECONDS = 6
TEXTS = {
    "training/ann/1": "yes and no",
    "training/ann/2": "nothing of it",
    "testing/bob/1": "UP, down, go: stop!",
    "testing/bob/2": "left right on off yes",
    "testing/eve/3": "(no transcript)",
}


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that hears many words."""
    return write_image(tmp_path_factory.mktemp("eventful"), make_eventful_image())


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of noise."""
    root = tmp_path_factory.mktemp("talk")
    pcm = changing_noise(SECONDS * len(TEXTS) * 20, 800)
    lines = ["file\tspeaker\ttext"]
    for number, (name, text) in enumerate(TEXTS.items()):
        path = root / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = pcm[number * SECONDS * 16000 : (number + 1) * SECONDS * 16000]
        soundfile.write(path, part, 16000)
        lines.append(f"{name}\t{name.split('/')[1]}\t{text}")
    (root / "index.tsv").write_text("\n".join(lines) + "\n")
    return root


def heard(model: Model, path: Path, level: int) -> list[str]:
    """Words of a sentence's events."""
    pcm, _ = soundfile.read(path, dtype="int16")
    return [word for word, _ in detections(Network(model), pcm, odds_q8(level))]


@pytest.mark.parametrize("split", ["training", "testing"])
def test_events_of_words_in_the_text_are_apart(split, model_file, talk) -> None:
    report = tracekws_json("bench", "stream", str(model_file), "--talk", str(talk))
    assert report["speech"] == []
    assert report["background"] is None
    assert [part["split"] for part in report["talk"]] == ["training", "testing"]
    (found,) = [part for part in report["talk"] if part["split"] == split]
    model = Model.load(model_file)
    said_in = {
        "training/ann/1": {"yes", "no"},
        "testing/bob/1": {"up", "down", "go", "stop"},
        "testing/bob/2": {"left", "right", "on", "off", "yes"},
    }
    sentences = [name for name in TEXTS if name.startswith(split)]
    assert found["sentences"] == len(sentences)
    assert found["speakers"] == len({name.split("/")[1] for name in sentences})
    assert found["hours"] == pytest.approx(len(sentences) * SECONDS / 3600)
    total = 0
    for row in found["levels"]:
        apart = false = 0
        for name in sentences:
            for word in heard(model, talk / f"{name}.flac", row["sensitivity"]):
                apart += word in said_in.get(name, ())
                false += word not in said_in.get(name, ())
        assert row["events_of_words_said"] == apart
        assert row["false_alarms_per_hour"]["mean"] == pytest.approx(false / found["hours"])
        total += apart * false
        if row["sensitivity"] == 0:
            assert (found["false_alarms"], found["events_of_words_said"]) == (false, apart)
            assert sum(word["false_alarms"] for word in found["rows"]) == false
    assert [row["sensitivity"] for row in found["levels"]] == list(LEVELS)
    assert total > 0, "both kinds of event are there to be told apart"


def test_it_is_said_in_words(model_file, talk) -> None:
    done = tracekws("bench", "stream", str(model_file), "--talk", str(talk), "--workers", "1")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "talk, training: " in text
    assert "events of words in the text" in text


def test_talk_without_a_table_is_one_line(model_file, tmp_path) -> None:
    done = tracekws("bench", "stream", str(model_file), "--talk", str(tmp_path))
    assert done.returncode == 1
    assert "index.tsv: No such file" in done.stderr
    assert done.stderr.count("\n") == 1
