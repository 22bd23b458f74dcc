# SPDX-License-Identifier: Apache-2.0
"""Listening and learning on the host, as docs/python.md promises it."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from images import image_with_own_words, make_image
from listening import detections
from recordings import changing_noise
from tracekws._core import lib
from tracekws.core import READOUT, TAKES, Model, Network, features
from tracekws.errors import DataError, ModelError, TraceKwsError
from tracekws.learner import Learner, schedule
from tracekws.recognizer import Event, Recognizer


def random_model(threshold: float) -> Model:
    """Small, and quick to hear a word whose posterior is above a threshold."""
    image = make_image(
        seed=24,
        n_neurons=16,
        arrays={"word_threshold": np.full(5, threshold * 32768)},
        method=7,
        passes=3,
        smoothing_shift=0,
        refractory_steps=0,
        window_steps=2,
    )
    return Model(image)


MODEL = random_model(0.0)
KEEPING = Model(image_with_own_words(11))
PCM = changing_noise(30, 1600)
WHOLE = Recognizer(MODEL).push(PCM)


def test_events_are_those_of_the_parts() -> None:
    """Front end, network and detector one after the other, over the whole stream."""
    parts = [(word, end / 16000) for word, end in detections(Network(MODEL), PCM)]
    assert [(event.word, event.end) for event in WHOLE] == parts
    assert len(WHOLE) > 3
    window = (2 * lib.TKWS_STEP_SAMPLES + 240) / 16000
    for event in WHOLE:
        assert isinstance(event, Event)
        assert 0 <= event.score <= 1
        assert event.end - event.start == pytest.approx(window)


def test_words_by_themselves_are_fewer_and_the_same() -> None:
    """Bursts of a second: an event of a word by itself comes with the pause behind it."""
    pcm = np.concatenate(
        [np.concatenate([PCM[at : at + 12000], PCM[:12000] // 1000]) for at in (0, 12000, 24000)]
    )
    flowing = Recognizer(MODEL).push(pcm)
    alone = Recognizer(MODEL, isolated=True).push(pcm)
    assert 0 < len(alone) < len(flowing)
    assert Recognizer(MODEL, isolated=False).push(pcm) == flowing
    for event in alone:
        assert event.end % 1.5 > 0.75


@given(st.lists(st.integers(0, 20000), max_size=8))
def test_chunks_of_any_size_give_the_same_events(sizes: list[int]) -> None:
    ear = Recognizer(MODEL)
    heard = []
    at = 0
    for size in sizes:
        heard += ear.push(PCM[at : at + size])
        at += size
    assert heard + ear.push(PCM[at:]) == WHOLE


def test_reset_goes_back_to_silence_and_keeps_the_sensitivity() -> None:
    model = random_model(0.3)
    strict = Recognizer(model, sensitivity=-1)
    first = strict.push(PCM)
    strict.reset()
    assert strict.push(PCM) == first
    assert strict.push(PCM[:0]) == []
    assert len(first) < len(Recognizer(model, sensitivity=1).push(PCM))


def test_learned_weights_are_listened_with() -> None:
    learner = Learner(MODEL)
    learner.learn([("no", PCM[:12000])])
    learned = Recognizer(MODEL, learner.weights).push(PCM)
    parts = detections(Network(MODEL, learner.weights), PCM)
    assert [event.end for event in learned] == [end / 16000 for _, end in parts]
    assert learner.weights != Network(MODEL).weights


@pytest.mark.parametrize(
    "pcm", [PCM.astype(np.float32), np.zeros((10, 2), np.int16)], ids=["float", "two channels"]
)
def test_other_samples_are_refused(pcm: np.ndarray) -> None:
    with pytest.raises(DataError, match="int16"):
        Recognizer(MODEL).push(pcm)
    with pytest.raises(DataError, match="int16"):
        Learner(MODEL).learn([("no", pcm)])


def test_weights_and_sensitivity_are_checked() -> None:
    with pytest.raises(TraceKwsError, match="not the weights"):
        Recognizer(MODEL, b"\0\0")
    with pytest.raises(TraceKwsError, match="none of -6 to 6"):
        Recognizer(MODEL, sensitivity=7)


def test_the_schedule_goes_over_all_takes_at_falling_rates() -> None:
    steps = list(schedule(4, 5, READOUT, np.random.default_rng(3)))
    scales = [32767, 26214, 19660, 13107, 6553]
    assert [(number, scale) for number, _, scale, _ in steps] == [
        (number, scale) for number, scale in enumerate(scales) for _ in range(4)
    ]
    orders = [tuple(take for number, take, *_ in steps if number == k) for k in range(5)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len(set(orders)) > 1


def test_takes_are_learned_by_the_schedule() -> None:
    takes = [("yes", PCM[:12000]), ("no", PCM[12000:24000])]
    learner, by_hand = Learner(MODEL, seed=9), Learner(MODEL, seed=9)
    learner.learn(takes, passes=2, seed=4)
    heard = [features(pcm, MODEL.front_end) for _, pcm in takes]
    for _, i, scale, flags in schedule(2, 2, MODEL.header.method, np.random.default_rng(4)):
        label = MODEL.labels.index(takes[i][0])
        by_hand.take(heard[i], label, flags, scale)
    assert learner.weights == by_hand.weights


@pytest.mark.parametrize(
    ("passes", "seed"), [(0, 1), (-1, 1), (101, 1), (1.5, 1), (1, -1), (1, 2**32), (1, 0.5)]
)
def test_passes_and_seeds_are_whole_numbers(passes: int, seed: int) -> None:
    learner = Learner(MODEL)
    with pytest.raises(DataError, match="a whole number from"):
        learner.learn([("yes", PCM[:12000])], passes=passes, seed=seed)
    assert learner.weights == Learner(MODEL).weights


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5])
def test_a_seed_of_rounding_is_a_whole_number(seed: int) -> None:
    with pytest.raises(DataError, match="a whole number from 0 to 4294967295"):
        Learner(MODEL, seed)


def test_learned_weights_replace_files_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe"):
        Learner(MODEL).save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("word", ["_other", "_unknown_", "_silence_"])
def test_nothing_is_heard_as_what_has_no_sound(word: str) -> None:
    ear = Recognizer(KEEPING)
    with pytest.raises(DataError, match="no one sound"):
        ear.correct(word)


def test_a_take_is_kept_once_however_many_passes_there_are() -> None:
    assert [flags for *_, flags in schedule(1, 3, READOUT | TAKES, np.random.default_rng(1))] == [
        READOUT | TAKES,
        READOUT,
        READOUT,
    ]
    takes = [("yes", PCM[:12000]), ("yes", PCM[12000:24000])]
    once, often = Learner(KEEPING), Learner(KEEPING)
    once.learn(takes, passes=1)
    often.learn(takes, passes=5)
    assert often.weights == once.weights != Learner(KEEPING).weights


@pytest.mark.parametrize(
    ("bad", "passes"),
    [(np.zeros(0, np.int16), None), (np.zeros(300, np.int16), None), ([1, 2], None), (None, 0)],
    ids=["empty", "short", "list", "passes"],
)
def test_nothing_is_learned_where_one_take_is_none(bad: object, passes: int | None) -> None:
    pcm = changing_noise(20, 800)
    learner = Learner(MODEL)
    before = learner.weights
    takes = [("yes", pcm)] if bad is None else [("yes", pcm), ("yes", bad)]
    with pytest.raises(DataError):
        learner.learn(takes, passes)  # type: ignore[arg-type]
    assert learner.weights == before


def test_a_strange_word_changes_nothing() -> None:
    learner = Learner(MODEL)
    with pytest.raises(DataError, match="no word 'lamp'"):
        learner.learn([("no", PCM[:12000]), ("lamp", PCM[:12000])])
    assert learner.weights == Network(MODEL).weights


def test_weights_are_kept_in_a_file(tmp_path: Path) -> None:
    learner, other = Learner(MODEL), Learner(MODEL)
    learner.learn([("no", PCM[:12000])])
    learner.save(tmp_path / "mine")
    other.load(tmp_path / "mine")
    assert other.weights == learner.weights
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("case", ["missing", "empty", "cut", "flipped", "of another kind"])
def test_a_damaged_file_of_weights_changes_nothing(tmp_path: Path, case: str) -> None:
    learner = Learner(MODEL)
    learner.save(tmp_path / "mine")
    content = (tmp_path / "mine").read_bytes()
    damaged = {
        "empty": b"",
        "cut": content[:-1],
        "flipped": content[:20] + bytes([content[20] ^ 1]) + content[21:],
        "of another kind": MODEL.image,
    }
    path = tmp_path / "bad"
    if case in damaged:
        path.write_bytes(damaged[case])
    before = learner.weights
    with pytest.raises(DataError, match="bad"):
        learner.load(path)
    assert learner.weights == before


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    Learner(MODEL).save(tmp_path / "mine")
    other = Learner(Model(make_image(seed=25, n_neurons=16)))
    before = other.weights
    with pytest.raises(ModelError, match=f"{MODEL.crc:08x}"):
        other.load(tmp_path / "mine")
    assert other.weights == before
    Learner(KEEPING).save(tmp_path / "larger")
    assert (tmp_path / "larger").stat().st_size > (tmp_path / "mine").stat().st_size
    with pytest.raises(ModelError, match=f"{KEEPING.crc:08x}"):
        Learner(MODEL).load(tmp_path / "larger")
