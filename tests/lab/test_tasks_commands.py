# SPDX-License-Identifier: Apache-2.0
"""Speech Commands with a speaker held out: features, both splits, the leak of the published one."""

import shutil
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from speaker_tree import HELD, NAMES, RECORDINGS, WORDS, make_tree
from tracekws.audio import read_clip
from tracekws.errors import DataError
from tracekws.lab.data import Clips
from tracekws.lab.network import Constants, Dense
from tracekws.lab.tasks.commands import (
    FEATURES,
    SHOTS,
    STEPS,
    Adaptation,
    Commands,
    HeldOut,
    Splitting,
    features_of,
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("repeats"), NAMES)


@pytest.fixture(scope="module")
def published(tree: Path) -> HeldOut:
    return Commands(splitting="published").prepare(tree, seed=0)[1]


@pytest.fixture(scope="module")
def distinct(tree: Path) -> HeldOut:
    return Commands().prepare(tree, seed=0)[1]


def by_memory(drawn: Adaptation) -> float:
    """Share of the query that the nearest clip of the support labels right."""
    near = torch.cdist(
        drawn.query.events.float().flatten(1), drawn.support.events.float().flatten(1)
    )
    guess = drawn.support.labels[near.argmin(1)]
    return float((guess == drawn.query.labels).float().mean())


def test_repeats_leak_from_support_to_query_as_published(published: HeldOut) -> None:
    draws = [published.draw(HELD, None, seed) for seed in range(20)]
    assert {(len(d.support), len(d.query)) for d in draws} == {(4 * 16, 4 * 4)}
    # 16 of 20 names cover nearly always all five recordings: the query has been heard before.
    assert np.mean([d.repeated / len(d.query) for d in draws]) > 0.95
    assert np.mean([by_memory(d) for d in draws]) > 0.95


def test_distinct_recordings_do_not_leak(distinct: HeldOut) -> None:
    draws = [distinct.draw(HELD, None, seed) for seed in range(20)]
    assert {(len(d.support), len(d.query)) for d in draws} == {(4 * 3, 4 * 2)}
    assert all(d.repeated == 0 for d in draws)
    # The words are noise: memory does no better than chance, a quarter, within 5 deviations.
    assert np.mean([by_memory(d) for d in draws]) == pytest.approx(0.25, abs=0.2)


@pytest.mark.parametrize("shots", SHOTS)
def test_shots_are_takes_of_a_word(published: HeldOut, shots: int | None) -> None:
    drawn = published.draw(HELD, shots, seed=3)
    per_word = torch.bincount(drawn.support.labels, minlength=4).tolist()
    assert per_word == [16 if shots is None else shots] * 4
    assert drawn.left_out == ()
    # All numbers of shots are asked the same.
    assert torch.equal(drawn.query.labels, published.draw(HELD, None, seed=3).query.labels)
    assert torch.equal(drawn.query.events, published.draw(HELD, None, seed=3).query.events)


def test_words_with_too_few_takes(distinct: HeldOut) -> None:
    drawn = distinct.draw(HELD, 5, seed=0)
    assert drawn.left_out == WORDS
    assert len(drawn.support) == len(drawn.query) == 0
    few = HeldOut(
        distinct.clips, distinct.names, distinct.recordings, distinct.speakers, "published"
    )
    drawn = few.draw(HELD, 5, seed=0)  # five takes: four of support, too few; one is asked
    assert drawn.left_out == WORDS
    assert len(drawn.support) == 0
    assert len(drawn.query) == 4


def test_nobody_trains_on_the_held_out_speaker(tree: Path) -> None:
    for splitting, size in (("distinct", 5), ("published", 5)):
        split, held = Commands(splitting=splitting).prepare(tree, seed=0)
        parts = (split.train, split.validation, split.test, held.clips)
        groups = [set(part.groups.tolist()) for part in parts if part.groups is not None]
        assert groups == [{0}, {1}, {2}, {3}]
        assert [len(part) for part in parts[:3]] == [size, 4, 4]
        assert split.classes == (*WORDS, "_unknown_")
        assert len(held.clips) == 4 * (RECORDINGS if splitting == "distinct" else NAMES)


def test_published_training_clips_are_drawn_by_the_seed(tree: Path) -> None:
    digests = [Commands(splitting="published").load(tree, seed).digest for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_features_are_librosas_mel_and_deltas(tree: Path) -> None:
    samples = read_clip(tree / "go" / f"{HELD}_nohash_0.wav")
    got = features_of(samples[None])[0].float().numpy()
    assert got.shape == (STEPS, FEATURES)
    sound = samples.astype(np.float64)
    sound /= np.abs(sound).max()
    power = librosa.feature.melspectrogram(
        y=sound, sr=16000, n_fft=480, hop_length=160, n_mels=40, fmin=20, fmax=4000
    )
    mel = np.log1p(power / power.max())
    parts = [mel, librosa.feature.delta(mel), librosa.feature.delta(mel, order=2)]
    want = np.concatenate([part / part.std(1, keepdims=True) for part in parts]).T
    np.testing.assert_allclose(got, want, atol=5e-3 * np.abs(want).max())


def test_silence_has_features() -> None:
    assert torch.isfinite(features_of(np.zeros((2, 16000), np.int16))).all()
    assert features_of(np.zeros((0, 16000), np.int16)).shape == (0, STEPS, FEATURES)


def test_training_features_have_one_scale(tree: Path) -> None:
    split = Commands().load(tree, seed=0)
    deviation = split.train.events.float().flatten(0, 1).std(0)
    assert deviation.min() > 0.98
    assert deviation.max() < 1.02


@pytest.mark.parametrize("splitting", ["distinct", "published"])
def test_a_clip_that_is_not_readable_is_named(splitting: Splitting, tmp_path: Path) -> None:
    tree = make_tree(tmp_path, RECORDINGS)
    (tree / "go" / "aaaa_nohash_7.wav").write_bytes(b"no sound at all")
    with pytest.raises(DataError, match=r"aaaa_nohash_7\.wav: not readable as audio"):
        Commands(splitting=splitting).prepare(tree, seed=0)


def test_missing_speaker_is_one_line(tree: Path, tmp_path: Path, distinct: HeldOut) -> None:
    with pytest.raises(DataError, match=f"zzzz is not held out; held out are: {HELD}"):
        distinct.draw("zzzz", 1, seed=0)
    shutil.copytree(tree, tmp_path / "copy")
    (tmp_path / "copy" / "adaptation_speakers.txt").unlink()
    with pytest.raises(
        DataError, match=r"no clips of speaker c50f55b8.*--speakers.*adaptation_speakers\.txt"
    ):
        Commands().load(tmp_path / "copy", seed=0)


def test_settings_of_the_paper() -> None:
    task = Commands()
    assert task.network == (Dense(450, recurrent=True),)
    assert task.constants == Constants(alpha=0.77, beta=0.977, v_th=0.66, weight_scale=3**-0.5)
    assert FEATURES == 120
    assert [figure.mean for figure in task.configs["paper"].figures] == [81.62, 91.62, 93.38, 97.30]


def test_clips_can_be_taken() -> None:
    clips = Clips(
        torch.arange(6).reshape(3, 2, 1), torch.tensor([0, 1, 2]), torch.tensor([5, 6, 7])
    )
    some = clips.take(np.array([2, 0]))
    assert some.labels.tolist() == [2, 0]
    assert some.groups is not None
    assert some.groups.tolist() == [7, 5]
