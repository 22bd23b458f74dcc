# SPDX-License-Identifier: Apache-2.0
"""Streams heard with one threshold for all words, so that methods compare at equal false alarms.

The margin of a word is its score less the logarithm of the sum of the exponentials of those of
unknown and silence, smoothed by a quarter a step. An event comes where the largest margin rises
above the threshold, and none within a second of the one before. What counts as heard is as in the
module stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.bench.stream import Said, judge
from tracekws.core import STEP_SAMPLES, Model

THRESHOLDS = np.arange(-4.0, 24.01, 0.5)
"""In natural logarithms of odds."""
SMOOTHING = 0.25
APART = 50
"""Steps from an event to the next one, at least."""
LEAD_SAMPLES = lib.TKWS_WINDOW - lib.TKWS_HOP


def margins(model: Model, scores: NDArray[np.int32]) -> NDArray[np.float64]:
    """Smoothed margins of the keywords, (steps, keywords), of scores (steps, classes), Q10."""
    logits = scores / 2.0**lib.TKWS_LOGIT_Q
    none = np.logaddexp(logits[:, model.unknown], logits[:, model.silence])
    places = [model.labels.index(word) for word in model.keywords]
    out = logits[:, places] - none[:, None]
    for step in range(1, len(out)):
        out[step] = out[step - 1] + SMOOTHING * (out[step] - out[step - 1])
    return out


def crossings(
    model: Model, margin: NDArray[np.float64], threshold: float
) -> list[tuple[str, int]]:
    """Events: word and end sample of each."""
    best = margin.max(1)
    best[: model.header.window_steps - 1] = -np.inf
    above = best > threshold
    (rises,) = np.nonzero(above & ~np.concatenate([[False], above[:-1]]))
    events: list[tuple[str, int]] = []
    last = -APART
    for step in rises:
        if step - last < APART:
            continue
        last = int(step)
        word = model.keywords[int(margin[step].argmax())]
        events.append((word, (last + 1) * STEP_SAMPLES + LEAD_SAMPLES))
    return events


@dataclass(frozen=True)
class Curve:
    """What was heard at each of THRESHOLDS; sums of several add up."""

    hits: NDArray[np.int64]
    false: NDArray[np.int64]
    keywords: int
    others: int
    samples: int

    def __add__(self, other: "Curve") -> "Curve":
        """Both together."""
        return Curve(
            self.hits + other.hits,
            self.false + other.false,
            self.keywords + other.keywords,
            self.others + other.others,
            self.samples + other.samples,
        )


NOTHING = Curve(np.zeros(len(THRESHOLDS), int), np.zeros(len(THRESHOLDS), int), 0, 0, 0)


def curve(model: Model, scores: NDArray[np.int32], said: Sequence[Said], samples: int) -> Curve:
    """Hear a stream at every threshold.

    Args:
        model: gives the words.
        scores: (steps, classes) of the stream.
        said: the words in it, in order; a keyword heard that is none of them is a false alarm.
        samples: its length.
    """
    margin = margins(model, scores)
    counts = [
        judge(crossings(model, margin, threshold), said, model.keywords, samples)
        for threshold in THRESHOLDS
    ]
    return Curve(
        np.array([one.hit for one in counts]),
        np.array([one.false for one in counts]),
        counts[0].total,
        counts[0].other_words,
        samples,
    )


def threshold_at(false: NDArray[np.float64], wanted: float) -> float:
    """Place among THRESHOLDS, between two of them where need be, of so many false alarms.

    Args:
        false: at each threshold.
        wanted: how many there may be.
    """
    (fits,) = np.nonzero(false <= wanted)
    if not len(fits):
        return float(len(THRESHOLDS) - 1)
    first = int(fits[0])
    if first == 0:
        return 0.0
    step = false[first - 1] - false[first]
    return first - float((wanted - false[first]) / step)


def value_at(values: NDArray[np.float64], place: float) -> float:
    """Of values at THRESHOLDS, that at a place."""
    return float(np.interp(place, np.arange(len(values)), values))
