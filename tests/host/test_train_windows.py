# SPDX-License-Identifier: Apache-2.0
"""What is right to hear in a second of a stream that may cut words."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tracekws.train.augment import bounds  # noqa: E402
from tracekws.train.windows import (  # noqa: E402
    MARGIN,
    in_steps,
    right_answers,
    set_loss,
)

UNKNOWN, SILENCE, CLASSES = 3, 4, 5


def right(*words, end=60):
    """Classes that are right in the steps 11 to 59 after words (class, first, behind the last)."""
    labels = np.array([[word[0] for word in words]])
    steps = np.array([[word[1:] for word in words]])
    return {int(c) for c in np.flatnonzero(right_answers(labels, steps, end, CLASSES)[0])}


def test_a_word_that_is_all_there_is_to_be_heard():
    assert right((0, 11, 60 - MARGIN)) == {0}
    assert right((UNKNOWN, 30, 40)) == {UNKNOWN}
    assert right((0, 11, 30), (1, 40, 50)) == {0, 1}  # whichever


def test_a_cut_word_is_itself_or_nothing_but_no_other():
    for cut in ((0, 10, 30), (0, 40, 60 - MARGIN + 1), (0, 0, 80)):
        assert right(cut) == {0, UNKNOWN, SILENCE}
    assert right((UNKNOWN, 10, 30)) == {UNKNOWN, SILENCE}
    assert right((0, 0, 20), (1, 50, 80)) == {0, 1, UNKNOWN, SILENCE}
    assert right((0, 0, 20), (1, 30, 50)) == {0, 1}


def test_a_word_elsewhere_is_not_to_be_heard():
    for elsewhere in ((0, 0, 11), (0, 60, 80), (0, -(1 << 20), -(1 << 20))):
        assert right(elsewhere) == {UNKNOWN, SILENCE}
        assert right(elsewhere, (1, 20, 40)) == {1}


def test_bounds_are_those_of_the_loud_frames():
    clips = np.full((3, 98, 40), 0.9, np.float32)
    clips[0, 20:31] = 100  # quiet frames are 20.5 dB below
    clips[1, 5] = 100
    clips[1, 90] = 2
    np.testing.assert_array_equal(bounds(clips.sum(2)), [[20, 31], [5, 91], [0, 98]])
    np.testing.assert_array_equal(in_steps(np.array([[20, 31], [5, 90]])), [[10, 16], [2, 45]])


def test_the_loss_is_of_all_right_answers_together():
    scores = torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    scores.requires_grad_()
    allowed = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1]], bool)
    loss = set_loss(scores, allowed)
    shares = torch.softmax(scores, 1).detach().numpy()
    expected = np.mean([-np.log(p[a].sum()) for p, a in zip(shares, allowed, strict=True)])
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert (scores.grad[2].abs() < 1e-12).all()  # nothing is wrong there
    assert (scores.grad[1] > 0).tolist() == (~allowed[1]).tolist()
