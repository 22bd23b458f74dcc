# SPDX-License-Identifier: Apache-2.0
"""`bench correct`: what is counted, what a scene is, and a small tree from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from images import Own, make_correctable_image, write_image
from recordings import changing_noise
from tones import utterance
from tracekws import cli
from tracekws.bench.correcting import (
    LEAD_S,
    PLAY_S,
    TAIL_S,
    Corrector,
    Counts,
    bench_correct,
    read_source,
    rows_of,
)
from tracekws.core import Model
from tracekws.data import read_recordings
from tracekws.errors import DataError
from tracekws.recognizer import Recognizer


def image_of(own: int = 8) -> bytes:
    """Hears something in every sound; with no room for own words where `own` is 0."""
    room = Own(own, least_q15=32767, single_q15=32767) if own else None
    return make_correctable_image(room, window_steps=30, refractory_steps=20)


MODEL = Model(image_of())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, who say two keywords and two other words three times, and noise."""
    root = tmp_path_factory.mktemp("corrected") / "tree"
    rng = np.random.default_rng(1)
    for number, word in enumerate((*MODEL.keywords[:2], "lamp", "door")):
        (root / word).mkdir(parents=True)
        for speaker in range(2):
            for take in range(3):
                path = root / word / f"{'ab'[speaker] * 8}_nohash_{take}.wav"
                soundfile.write(path, utterance(number, 1 + 0.1 * speaker, rng), 16000)
    (root / "_background_noise_").mkdir()
    soundfile.write(root / "_background_noise_" / "hiss.wav", changing_noise(6, 40000), 16000)
    return root


def test_rows_are_shares_of_what_was_counted() -> None:
    some, more = Counts("anna"), Counts("ben")
    for happened in (True, False, False, True):
        some.add("again_before", happened)
    more.add("again_before", False)
    more.add("missed_once", True)
    assert rows_of([some, more]) == {"again_before": 40.0, "missed_once": 100.0}
    assert rows_of([]) == {}


def test_who_is_heard_is_drawn_anew_as_who_corrects_is() -> None:
    anna, ben = Counts("anna"), Counts("ben")
    anna.add("keywords_once", True, "anna")
    for _ in range(3):
        anna.add("keywords_once", False, "ben")
    assert rows_of([anna, ben]) == {"keywords_once": 25.0}
    assert rows_of([anna, anna]) == {"keywords_once": 100.0}
    assert rows_of([anna, anna, ben]) == {"keywords_once": 40.0}
    assert rows_of([ben, ben]) == {}


def test_words_of_another_tree_are_no_keywords(tree: Path) -> None:
    clips, sounds = read_source(tree, tree)
    words = [clip.word for clip in clips]
    assert len(sounds) == 1
    assert set(words) == {*MODEL.keywords[:2], "lamp", "door"} | {
        f"other {word}" for word in (*MODEL.keywords[:2], "lamp", "door")
    }
    assert len(read_source(tree, None)[0]) == 24


def test_a_scene_has_the_clip_in_it(tree: Path) -> None:
    clips, sounds = read_source(tree, None)
    recordings = read_recordings(clips)
    corrector = Corrector(MODEL.image, recordings, [0], sounds, 1)
    clip = recordings.pcm[0].astype(float)
    places = set()
    for seed in range(4):
        scene = corrector.scene(0, np.random.default_rng(seed)).astype(float)
        assert len(scene) == round((LEAD_S + PLAY_S + TAIL_S) * 16000) + len(clip)
        place = int(np.correlate(scene, clip, "valid").argmax())
        assert LEAD_S * 16000 <= place <= (LEAD_S + PLAY_S) * 16000
        gain = scene[place : place + len(clip)] @ clip / (clip @ clip)
        assert -6.5 < 20 * np.log10(gain) < 4.5
        places.add(place)
    assert len(places) > 2


def test_a_correction_is_that_of_the_recognizer(tree: Path) -> None:
    clips, sounds = read_source(tree, None)
    recordings = read_recordings(clips)
    corrector = Corrector(MODEL.image, recordings, [0], sounds, 1)
    scene = corrector.scene(0, np.random.default_rng(1))
    ear = Recognizer(MODEL)
    assert [event.word for event in ear.push(scene)] == corrector.hear(scene)
    ear.correct(None)
    learned = corrector.take_back(scene, None)
    assert learned == ear.weights
    assert len(corrector.hear(scene, learned)) < len(corrector.hear(scene))


def test_bench_correct_from_end_to_end(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_image(tmp_path, MODEL.image)
    words = ["tracekws", "bench", "correct", model, "--data", tree, "--workers", "1"]
    monkeypatch.setattr("sys.argv", [*map(str, words), "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    report = json.loads(capsys.readouterr().out)
    assert report["speakers"] == 2
    assert 0 < report["false_alarms_corrected"] <= 12
    rows = report["rows"]
    assert rows["again_twice"]["mean"] < rows["again_before"]["mean"]
    assert rows["missed_once"]["mean"] >= rows["missed_before"]["mean"]
    assert rows["keywords_all"]["mean"] <= rows["keywords_all_before"]["mean"]
    fewer = report["changes"]["again_twice"]
    assert fewer["mean"] == rows["again_twice"]["mean"] - rows["again_before"]["mean"]
    assert fewer["low"] <= fewer["mean"] + 1e-9 <= fewer["high"] + 1e-6
    for row in rows.values():
        assert 0 <= row["low"] <= row["mean"] + 1e-9 <= row["high"] + 1e-6 <= 100.001
    monkeypatch.setattr("sys.argv", list(map(str, words)))
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    assert "corrected twice" in said
    assert f"2 speakers, {report['false_alarms_corrected']} false alarms" in said


def test_what_cannot_be_measured(tree: Path) -> None:
    clips, sounds = read_source(tree, None)
    recordings = read_recordings(clips)
    with pytest.raises(DataError, match="has no room"):
        bench_correct(Model(image_of(0)), recordings, sounds, workers=1)
    others = read_recordings([clip for clip in clips if clip.word == "lamp"])
    with pytest.raises(DataError, match="no clip is of a keyword"):
        bench_correct(MODEL, others, sounds, workers=1)
