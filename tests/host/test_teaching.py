# SPDX-License-Identifier: Apache-2.0
"""`bench teach`: what is drawn, how margins are counted, and a small tree from end to end."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from host_cli import tracekws, tracekws_json
from images import Form, Own, make_image, with_own_words, with_traces, write_image
from tones import utterance
from tracekws._core import ffi, lib
from tracekws.bench import teaching
from tracekws.bench.margins import crossings
from tracekws.bench.teaching import (
    Alone,
    Pupil,
    Taught,
    columns_of,
    draw_pupils,
    events_at,
    margins,
    margins_alone,
)
from tracekws.core import Model, Templates, Weights, features
from tracekws.data import read_recordings, read_tree
from tracekws.errors import DataError
from tracekws.learner import Learner
from tracekws.sensitivity import odds_q8

SPEAKERS, WORDS, TAKES = 2, 13, 4
IMAGE = with_own_words(
    with_traces(make_image(seed=3, n_neurons=24, window_steps=50), Form.random(24, 4, seed=2)),
    Own(n_words=12, least_q15=22000, agreement_q15=0),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers who say thirteen words four times, and noise."""
    root = tmp_path_factory.mktemp("taught") / "tree"
    rng = np.random.default_rng(1)
    for speaker in range(SPEAKERS):
        for word in range(WORDS):
            (root / f"word{word:02d}").mkdir(parents=True, exist_ok=True)
            for take in range(TAKES):
                path = root / f"word{word:02d}" / f"{'ab'[speaker] * 8}_nohash_{take}.wav"
                soundfile.write(path, utterance(word, 1 + 0.1 * speaker, rng), 16000)
    (root / "_background_noise_").mkdir()
    noise = rng.normal(0, 100, 16000 * 15).astype(np.int16)
    soundfile.write(root / "_background_noise_" / "hiss.wav", noise, 16000)
    return root


def pupils(tree: Path, **options: Any) -> tuple[list[Pupil], Any]:
    recordings = read_recordings(read_tree(tree).clips)
    chosen: dict[str, Any] = {"draws": 2, "most": 3, "seed": 1} | options
    return draw_pupils(recordings, **chosen), recordings


def test_silence_is_no_take(tree: Path, tmp_path: Path) -> None:
    silent = shutil.copytree(tree, tmp_path / "tree")
    path = silent / "word00" / "aaaaaaaa_nohash_1.wav"
    soundfile.write(path, np.zeros(16000, np.int16), 16000)
    drawn, recordings = pupils(silent)
    used = {row for p in drawn for rows in (*p.learned, *p.query, p.others) for row in rows}
    assert {recordings.clips[row].path for row in range(len(recordings.clips))} - {
        recordings.clips[row].path for row in used
    } == {path}


def test_what_is_drawn(tree: Path) -> None:
    drawn, recordings = pupils(tree)
    assert [p.number for p in drawn] == list(range(2 * SPEAKERS))
    for pupil in drawn:
        words = [{recordings.clips[row].word for row in rows} for rows in pupil.learned]
        assert all(len(of) == 1 for of in words)
        new = set.union(*words)
        assert len(new) == 10
        for rows, more in zip(pupil.learned, pupil.query, strict=True):
            assert (len(rows), len(more)) == (3, 1)
            assert not set(rows) & set(more)
            assert len({recordings.clips[row].word for row in (*rows, *more)}) == 1
        assert len(pupil.others) == (WORDS - 10) * TAKES
        assert not {recordings.clips[row].word for row in pupil.others} & new
        said = [*pupil.others, *(row for rows in (*pupil.learned, *pupil.query) for row in rows)]
        assert {recordings.clips[row].speaker for row in said} == {pupil.speaker}
    assert drawn == pupils(tree)[0]
    assert drawn != pupils(tree, seed=2)[0]


def test_too_few_takes_are_told(tree: Path) -> None:
    with pytest.raises(DataError, match="10 words with 5 takes"):
        pupils(tree, most=4)


def test_margins_are_above_zero_where_the_core_hears_a_word(tree: Path) -> None:
    drawn, recordings = pupils(tree, draws=1)
    model = Model(IMAGE)
    learner = Learner(model)
    for place, rows in enumerate(drawn[0].learned):
        learner.teach(f"taught-{place}", [recordings.pcm[row] for row in rows[:2]])
    weights = Weights(model, learner.weights)
    templates = Templates(model, weights)
    network, told, heard = Learner(model), 0, 0
    at = ffi.new("int32_t *")
    for rows in drawn[0].query:
        steps = features(recordings.pcm[rows[0]], model.front_end)
        place, margin = margins(learner, steps)
        lib.tkws_templates_reset(templates.c)
        lib.tkws_network_reset(network._network)
        for step, row in enumerate(steps):
            lib.tkws_network_step(network._network, ffi.from_buffer("int8_t[]", row))
            lib.tkws_templates_step(templates.c, network._network)
            word = lib.tkws_templates_own(templates.c, 0, at)
            if abs(margin[step]) > 0.001:
                assert word == (len(model.labels) + place[step] if margin[step] > 0 else -1)
                told += 1
                heard += word >= 0
    assert told > 400
    assert 0 < heard < told


def test_a_crossing_is_an_event_and_another_comes_a_second_later() -> None:
    margin = np.full(300, -1.0)
    margin[10:20] = 1  # before there is a whole second
    margin[60:70] = 1
    margin[90:95] = 1
    margin[115] = 1
    place = np.zeros(300, int)
    place[115] = 1
    assert [word for word, _ in crossings(["a", "b"], place, margin, 0.5, 50)] == ["a", "b"]
    (_, first), (_, second) = crossings(["a", "b"], place, margin, 0.5, 50)
    assert (first, second - first) == (61 * 320 + 240, 55 * 320)
    assert crossings(["a", "b"], place, margin, 1.5, 50) == []


def test_columns() -> None:
    n = len(teaching.THRESHOLDS)
    hits, false = np.zeros(n + 1, int), np.zeros(n + 1, int)
    hits[:50], false[:50] = 40, 8
    hits[50:], false[50:] = 20, 0
    hits[-1], false[-1] = 30, 3
    one = Taught(
        np.concatenate([np.linspace(0.5, 1, 50), np.full(50, -np.inf)]),
        50,
        np.linspace(-1, 0.6, 100),
        hits,
        false,
        50,
        200,
        6,
        16000 * 1800,
        Alone(
            np.linspace(50, 0, n).round().astype(int),
            np.linspace(400, 0, n).round().astype(int),
            50,
            16000 * 3600 * 4,
        ),
    )
    found = columns_of([one])
    assert found["choice"] == 50
    assert found["clips_at_90"] == 50
    assert found["clips_at_99"] == pytest.approx(100 * np.mean(one.right > one.others[98]))
    # a false alarm in 100 other words is two of 200: a quarter of the way to eight
    assert found["stream_at_1"] == pytest.approx(2 * (20 + 0.25 * 20))
    assert found["stream"] == 60
    assert found["stream_false"] == 1.5
    assert found["talk"] == 12
    # 90 % of 50 hits are 45, nine tenths of the way, where 360 events come in four hours
    assert found["alone_at_90"] == pytest.approx(90, abs=1)
    at = np.searchsorted(teaching.THRESHOLDS, -2 / 32)
    assert found["alone_2"] == pytest.approx(100 * (1 - at / (n - 1)), abs=2)
    assert found["alone_2_an_hour"] == pytest.approx(100 * (1 - at / (n - 1)), abs=2)
    assert found["alone_0"] < found["alone_1"] < found["alone_2"] < found["alone_3"]
    assert one.alone
    deaf = replace(one, alone=replace(one.alone, hits=0 * one.alone.hits))
    assert found.keys() - columns_of([deaf]).keys() == {"alone_at_90"}


def test_a_level_of_sensitivity_is_the_core_s() -> None:
    detector = ffi.new("tkws_detector *")
    for level in teaching.LEVELS:
        detector.odds_q8 = odds_q8(level)
        assert lib.tkws_detector_raised(detector) == -level * teaching.A_LEVEL * 32768


def test_events_where_so_much_is_heard() -> None:
    hits, events = np.array([80.0, 60.0, 20.0]), np.array([9.0, 5.0, 1.0])
    assert events_at(hits, events, 70) == 7
    assert events_at(hits, events, 60) == 5
    assert events_at(hits, events, 10) == 1


def test_a_word_alone_is_heard_as_by_a_device_that_has_no_other(tree: Path) -> None:
    drawn, recordings = pupils(tree, draws=1)
    model = Model(IMAGE)
    all_words = Learner(model)
    takes = [[recordings.pcm[row] for row in rows[:2]] for rows in drawn[0].learned]
    for place, pcm in enumerate(takes):
        all_words.teach(f"taught-{place}", pcm)
    heard = 0
    for place in (0, 3, 9):
        alone = Learner(model)
        alone.teach("alone", takes[place])
        for rows in drawn[0].query:
            steps = features(recordings.pcm[rows[0]], model.front_end)
            likest, margin = margins(alone, steps)
            found = margins_alone(all_words, steps)[:, place]
            assert found[likest == 0] == pytest.approx(margin[likest == 0], abs=1e-4)
            assert (found[likest < 0] < 0).all()
            heard += (found > 0).sum()
    assert heard > 20


def test_the_command(tree: Path, tmp_path: Path) -> None:
    model = write_image(tmp_path, IMAGE)
    words = ["bench", "teach", str(model), "--data", str(tree), "--shots", "1", "--shots", "3"]
    ran = subprocess.run(
        [sys.executable, "-m", "tracekws", *words, "--draws", "1", "--workers", "1", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(ran.stdout)
    assert [row["takes"] for row in report["rows"]] == [1, 3]
    assert report["speakers"] == SPEAKERS
    for row in report["rows"]:
        assert 0 <= row["choice"]["low"] <= row["choice"]["mean"] <= row["choice"]["high"] <= 100
        assert row["choice"]["mean"] > 30  # tones are told apart, by chance it were 10
        assert "talk" not in row
        assert "alone_at_90" not in row
    table = subprocess.run(
        [sys.executable, "-m", "tracekws", *words, "--draws", "1", "--workers", "1"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert "right of ten" in table.stdout


def test_words_alone_are_asked_in_talk_and_sounds(tree: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    folder = tmp_path / "sounds"
    (folder / "testing").mkdir(parents=True)
    said = np.concatenate([utterance(word, 1, rng) for word in range(WORDS)])
    soundfile.write(folder / "testing" / "words.wav", said, 16000)
    (folder / "index.tsv").write_text("file\ttext\ntesting/words.wav\t(tones)\n")
    model = write_image(tmp_path, IMAGE)
    words = ["bench", "teach", str(model), "--data", str(tree), "--shots", "3", "--draws", "1"]
    words += ["--workers", "1"]

    def rows(*options: str) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = tracekws_json(*words, *options)["rows"][0]
        return found

    one = rows("--sounds", str(folder))
    assert "talk" not in one
    assert one["alone_3"]["mean"] >= one["alone_0"]["mean"] >= 0
    assert one["alone_3_an_hour"]["mean"] >= one["alone_0_an_hour"]["mean"]
    assert one["alone_at_90"]["mean"] > 0  # the words themselves are among these sounds
    two = rows("--sounds", str(folder), "--talk", str(folder))
    assert two["alone_at_90"]["mean"] == pytest.approx(one["alone_at_90"]["mean"])


def test_a_set_without_testing_recordings_is_refused(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    (folder / "training").mkdir(parents=True)
    soundfile.write(folder / "training" / "a.wav", np.ones(32000, np.int16), 16000)
    (folder / "index.tsv").write_text("file\ttext\ntraining/a.wav\t\n")
    model = write_image(tmp_path, IMAGE)
    for option in ("--sounds", "--talk"):
        ran = tracekws("bench", "teach", str(model), "--data", str(tree), option, str(folder))
        assert ran.returncode == 1
        assert ran.stderr.splitlines()[-1].endswith("none of its recordings is for testing")


def test_a_model_without_room_is_named(tree: Path, tmp_path: Path) -> None:
    model = write_image(tmp_path, make_image())
    ran = subprocess.run(
        [sys.executable, "-m", "tracekws", "bench", "teach", str(model), "--data", str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "room for 0 words" in ran.stderr
