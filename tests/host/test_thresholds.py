# SPDX-License-Identifier: Apache-2.0
"""Thresholds chosen on words and on talk: within the bounds, and no lower than they need to be."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from images import make_eventful_image, write_image
from recordings import write_take
from tracekws.bench import stream, streams, thresholds
from tracekws.bench.sets import Recording, read_set
from tracekws.bench.talk import bench_talk
from tracekws.bench.thresholds import Counted
from tracekws.core import Model
from tracekws.data import read_recordings, read_tree


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A random model that hears many words, and now and then the right one."""
    return Model.load(write_image(tmp_path_factory.mktemp("eventful"), make_eventful_image()))


@pytest.fixture(scope="module")
def talk(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """Ten minutes of words in a row, as sentences without a keyword."""
    root = tmp_path_factory.mktemp("talk")
    clips = read_recordings(read_tree(tree).of("testing")).pcm
    rng = np.random.default_rng(1)
    names = [f"validation/eve/{number}" for number in range(10)]
    for name in names:
        path = root / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, clips[rng.integers(0, len(clips), 60)].ravel(), 16000)
    lines = ["file\tspeaker\ttext", *(f"{name}\teve\tnothing" for name in names)]
    (root / "index.tsv").write_text("\n".join(lines) + "\n")
    return read_set(root, text=True)


def test_thresholds_are_chosen_within_the_bound(model, tree) -> None:
    """A random model: what counts is the bound, and that a word's threshold is its own."""
    found = read_tree(tree)
    chosen, results = thresholds.calibrate(model, found, workers=1)
    assert set(results) == {"validation", "testing"}
    assert [part["snr_db"] for part in results["testing"]] == [40, 10]
    json.dumps(results)
    before, after = (
        streams.bench_speech(
            m,
            read_recordings(found.of("validation")),
            stream.held_back(found.noises),
            6,
            streams.CLEAN_DB,
            seed=thresholds.CALIBRATION_SEEDS[-1],
            workers=1,
        ).own
        for m in (model, chosen)
    )
    assert after.false_per_100 <= thresholds.FALSE_PER_100 < before.false_per_100


def test_talk_is_a_bound_of_its_own(model, tree, talk, monkeypatch) -> None:
    monkeypatch.setattr(thresholds, "FALSE_PER_100", 50.0)  # of words: none that matters
    monkeypatch.setattr(thresholds, "FALSE_PER_HOUR", 60.0)
    chosen, _ = thresholds.calibrate(model, read_tree(tree), talk, workers=1)

    def an_hour(m: Model) -> float:
        (heard,) = bench_talk(m, talk, 1)
        return float(heard.summary()["false_alarms_per_hour"]["mean"])

    assert an_hour(chosen) <= 60.0 < an_hour(model)


def test_a_tree_without_validation_leaves_the_model_as_it_is(model, tree, tmp_path) -> None:
    write_take(tmp_path / "yes" / "a_nohash_0.wav", 1)
    assert thresholds.calibrate(model, read_tree(tmp_path), workers=1) == (model, {})


def counted(hits: list[list[int]], false: list[list[int]], in_talk: list[list[int]]) -> Counted:
    """Counts of 1,000 said of each of two words, and bounds of 12 and 8."""
    said = np.array([1000, 1000])
    return Counted(np.array(hits), np.array(false), np.array(in_talk), said, 2000, 1.0)


def test_false_alarms_are_spent_where_they_hear_most() -> None:
    """Both words cost the same false alarms; the first gains more by a low threshold."""
    hits = [[900, 800], [600, 780]]
    for false, in_talk in (
        ([[8, 8], [1, 1]], [[0, 0], [0, 0]]),
        ([[0, 0], [0, 0]], [[6, 6], [1, 1]]),
    ):
        assert thresholds.best(counted(hits, false, in_talk)).tolist() == [0, 1]


def test_both_bounds_hold_together() -> None:
    hits = [[900, 900], [500, 600]]
    false, in_talk = [[10, 0], [0, 0]], [[0, 9], [0, 0]]
    assert thresholds.best(counted(hits, false, in_talk)).tolist() == [0, 1]


def test_out_of_reach_the_highest_are_taken() -> None:
    assert thresholds.best(counted([[9, 9]] * 2, [[99, 99]] * 2, [[0, 0]] * 2)).tolist() == [1, 1]
