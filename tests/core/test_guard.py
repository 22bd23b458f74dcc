# SPDX-License-Identifier: Apache-2.0
"""Takes that sound like another word, or like none, are refused where they are guarded."""

import numpy as np
import pytest

from images import Form, Own, make_image, with_own_words, with_traces
from machine import E, Machine, int8s, random_features
from tracekws._core import lib
from tracekws.core import GUARDED, TAKES, TRACES, Model, Network, features
from tracekws.errors import DataError
from tracekws.learner import FULL_SCALE, Learner

GUARD = lib.TKWS_LEARNER_GUARD
UNKNOWN, SILENCE = 3, 4


def image_of(bias: list[int]) -> bytes:
    """A model that prefers classes by a bias, Q10; its other weights are little beside it."""
    rng = np.random.default_rng(2)
    bare = make_image(
        seed=8,
        n_neurons=24,
        window_steps=20,
        method=16,
        passes=1,
        arrays={"readout": rng.normal(0, 300, (24, 5)), "readout_bias": np.array(bias)},
    )
    return with_own_words(with_traces(bare, Form.random(24, rank=4, seed=6)), Own(n_words=2))


EVEN = image_of([0, 0, 0, 0, 0])


def pcm_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = np.repeat(10.0 ** rng.uniform(1, 3.5, 20), 800)
    return np.clip(rng.normal(0, level), -32768, 32767).astype(np.int16)


def is_kept(image: bytes, label: int, pcm: np.ndarray, method: int = TAKES | GUARDED) -> bool:
    """Whether a take is learned; nothing at all changes where it is not."""
    learner = Learner(Model(image))
    before = learner.weights
    kept = learner.take(features(pcm, learner.model.front_end), label, method, FULL_SCALE)
    assert (learner.weights != before) is kept
    return kept


@pytest.mark.parametrize("other", [1, 2, UNKNOWN, SILENCE])
def test_the_guard_is_how_much_likelier_another_class_is(other: int) -> None:
    """Exactly: one more than the guard is refused, the guard itself is not."""
    for seed in range(3):
        pcm = pcm_of(seed)
        scores = Network(Model(EVEN)).scores(features(pcm, Model(EVEN).front_end))
        distance = int(np.delete(scores, 0).max() - scores[0])
        bias = [0] * 5
        for more, kept in ((0, True), (1, False)):
            bias[other] = GUARD - int(scores[other] - scores[0]) + more
            assert bias[other] > distance, "this one is the likeliest other"
            assert is_kept(image_of(bias), 0, pcm) is kept
            assert is_kept(image_of(bias), 0, pcm, TAKES)
            assert is_kept(image_of(bias), UNKNOWN, pcm), "other speech may be anything"


def test_a_word_of_the_users_own_is_refused_as_silence_alone() -> None:
    pcm = pcm_of(1)
    for bias, kept in (([0, 9000, 0, 0, 0], True), ([0, 0, 0, 9000, 0], True)):
        learner = Learner(Model(image_of(bias)))
        assert learner.teach("lamp", [pcm]) is not None
        steps = features(pcm, learner.model.front_end)
        assert learner.take(steps, 5, TAKES | GUARDED, FULL_SCALE) is kept
    learner = Learner(Model(image_of([0, 0, 0, 0, 9000])))
    learner.teach("lamp", [pcm])
    before = learner.weights
    steps = features(pcm, learner.model.front_end)
    assert not learner.take(steps, 5, TAKES | GUARDED, FULL_SCALE)
    assert learner.weights == before


def test_only_takes_that_are_kept_alone_can_be_guarded() -> None:
    machine = Machine(EVEN)
    for method in range(32):
        wanted = 0 if method == TAKES else E["ARGUMENT"]
        assert lib.tkws_learner_begin(machine.learner, method | GUARDED, 0, 0) == wanted
        lib.tkws_learner_abort(machine.learner)
    assert lib.tkws_learner_begin(machine.learner, 64, 0, 0) == E["ARGUMENT"]
    assert lib.tkws_learner_begin(machine.learner, TRACES | GUARDED, 5, 0) == E["ARGUMENT"]


def test_a_refused_take_leaves_the_learner_ready() -> None:
    machine = Machine(image_of([0, 9000, 0, 0, 0]))
    assert lib.tkws_learner_begin(machine.learner, TAKES | GUARDED, 0, 0) == 0
    for step in random_features(3, 30):
        assert lib.tkws_learner_step(machine.learner, int8s(step)) == 0
    assert lib.tkws_learner_end(machine.learner) == E["UNLIKE"]
    assert lib.tkws_learner_end(machine.learner) == E["STATE"]
    machine.take(random_features(4, 30), 1, TAKES | GUARDED)
    assert machine.is_intact()


def test_what_adapting_refuses_is_told() -> None:
    takes = [("yes", pcm_of(1)), ("no", pcm_of(2)), ("up", pcm_of(3)), ("_unknown_", pcm_of(4))]
    model = Model(image_of([0, 9000, 0, 0, 0]))
    learner = Learner(model)
    assert learner.learn(takes) == (0, 2)
    other = Learner(model)
    assert other.learn([takes[1], takes[3]]) == ()
    assert learner.weights == other.weights
    with pytest.raises(DataError, match="2 of 3 takes sound like another word"):
        learner.learn(takes[:3])
    assert learner.weights == other.weights
    forced = Learner(model)
    assert forced.learn(takes, force=True) == ()
    assert forced.weights != learner.weights
