# SPDX-License-Identifier: Apache-2.0
"""A second of a stream may cut words: what is right to hear in it.

In a stream the network answers at every step for the second before it, and any of its answers can
be a false alarm. So it is also taught with seconds into which one word is coming while another
leaves: a word that is all there is to be heard; of one that is cut, nothing is asked but that it
is not taken for a third.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracekws._core import lib
from tracekws.train.augment import STEPS

MARGIN = 2
"""Steps behind a word's end from which on it is to be heard."""


@dataclass(frozen=True)
class Window:
    """One of the seconds in a batch of clips that have a context."""

    end: int
    """Step behind its last."""
    right: NDArray[np.bool_]
    """(clips, classes) answers that are right."""

    def of(self, features: Tensor) -> Tensor:
        """The second (B, 49, 80) of a batch's features (B, T, 80)."""
        return features[:, self.end - STEPS : self.end]


def in_steps(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bounds in steps that hold those in frames; (..., 2)."""
    first = frames[..., 0] // lib.TKWS_STACK
    return np.stack([first, -(-frames[..., 1] // lib.TKWS_STACK)], axis=-1)


def right_answers(
    labels: NDArray[np.int64], words: NDArray[np.int64], end: int, classes: int
) -> NDArray[np.bool_]:
    """What is right to hear in a second: (clips, classes).

    The words that are all in it, and those that are cut; where none is all there, also unknown
    words and silence, the last two classes.

    Args:
        labels: (clips, words) classes.
        words: (clips, words, 2) steps of their first and behind their last; of no word, none of
            them in the second.
        end: step behind the second's last.
        classes: how many.
    """
    first, behind = words[..., 0], words[..., 1]
    whole = (first >= end - STEPS) & (behind + MARGIN <= end)
    there = (behind > end - STEPS) & (first < end)
    right: NDArray[np.bool_] = (there[..., None] & (labels[..., None] == np.arange(classes))).any(1)
    right[~whole.any(1), -2:] = True
    return right


def set_losses(scores: Tensor, right: NDArray[np.bool_]) -> Tensor:
    """Minus log of the probability of all right answers together, (B,).

    Args:
        scores: (B, C) logits.
        right: (B, C).
    """
    wrong = torch.from_numpy(~right).to(scores.device)
    ours = torch.logsumexp(scores.masked_fill(wrong, -torch.inf), 1)
    return torch.logsumexp(scores, 1) - ours


def set_loss(scores: Tensor, right: NDArray[np.bool_]) -> Tensor:
    """Mean of set_losses()."""
    return set_losses(scores, right).mean()
