# SPDX-License-Identifier: Apache-2.0
"""Streams heard with one threshold for all words, so that methods compare at equal false alarms.

The margin of a word is its score less the logarithm of the sum of the exponentials of those of
unknown and silence, smoothed by a quarter a step. An event comes where the largest margin rises
above the threshold, and none within a second of the one before. What counts as heard is as in the
module stream.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.bench.stream import Said, judge
from tracekws.core import ODDS_ONE, STEP_SAMPLES, Model, detect

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
    out: NDArray[np.float64] = logits[:, places] - none[:, None]
    for step in range(1, len(out)):
        out[step] = out[step - 1] + SMOOTHING * (out[step] - out[step - 1])
    return out


def crossings(
    words: Sequence[str],
    place: NDArray[np.int64],
    margin: NDArray[np.float64],
    threshold: float,
    window_steps: int,
) -> list[tuple[str, int]]:
    """Events where the margin rises above a threshold: word and end sample of each.

    Args:
        words: that are heard.
        place: (steps,) of the likest one among them.
        margin: (steps,) of it.
        threshold: that it is to be above.
        window_steps: of the model; nothing is an event before a window is full.
    """
    above = margin > threshold
    above[: window_steps - 1] = False
    (rises,) = np.nonzero(above & ~np.concatenate([[False], above[:-1]]))
    events: list[tuple[str, int]] = []
    last = -APART
    for step in rises.tolist():
        if step - last >= APART:
            last = step
            end = (step + 1) * STEP_SAMPLES + LEAD_SAMPLES
            events.append((words[int(place[step])], end))
    return events


@dataclass(frozen=True)
class Curve:
    """What was heard at each of THRESHOLDS, and last by the model's detector as it ships."""

    hits: NDArray[np.int64]
    """(len(THRESHOLDS) + 1,), as is the next."""
    false: NDArray[np.int64]
    keywords: int
    """That were said."""
    others: int
    """Other words that were."""
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


SHIPPED = len(THRESHOLDS)
"""Place of the detector as it ships."""
NOTHING = Curve(np.zeros(SHIPPED + 1, int), np.zeros(SHIPPED + 1, int), 0, 0, 0)


def curve(
    model: Model,
    scores: NDArray[np.int32],
    loudness: NDArray[np.int32],
    said: Sequence[Said],
    samples: int,
    odds_q8: int = ODDS_ONE,
) -> Curve:
    """Hear a stream at every threshold.

    Args:
        model: gives the words, and the detector.
        scores: (steps, classes) of the stream.
        loudness: (steps,) of it.
        said: the words in it, in order; a keyword heard that is none of them is a false alarm.
        samples: its length.
        odds_q8: what the odds of the thresholds that ship are multiplied by.
    """
    margin = margins(model, scores)
    place, best, steps = margin.argmax(1), margin.max(1), model.header.window_steps
    events = [crossings(model.keywords, place, best, at, steps) for at in THRESHOLDS]
    shipped = detect(model, scores, loudness, odds_q8)
    events.append([(model.labels[word], end) for word, end in shipped])
    counts = [judge(heard, said, model.keywords, samples) for heard in events]
    return Curve(
        np.array([one.hit for one in counts]),
        np.array([one.false for one in counts]),
        counts[0].total,
        counts[0].other_words,
        samples,
    )


def threshold_at(false: NDArray[np.float64], wanted: float) -> float:
    """Place among thresholds, between two of them where need be, of so many false alarms.

    Args:
        false: at each threshold, of which there are the fewer the higher it is.
        wanted: how many there may be.

    Returns:
        Not a number where there is nothing to count.
    """
    if not np.isfinite(false).all():
        return math.nan
    (fits,) = np.nonzero(false <= wanted)
    if not len(fits):
        return float(len(false) - 1)
    first = int(fits[0])
    if first == 0:
        return 0.0
    return first - float((wanted - false[first]) / (false[first - 1] - false[first]))


def place_of_hits(heard: NDArray[np.float64], percent: float) -> float:
    """Place among thresholds at which so much is heard, the highest; the lowest if none is.

    Not a number where one of both is none.
    """
    if math.isnan(percent) or np.isnan(heard).any():
        return math.nan
    (enough,) = np.nonzero(heard >= percent)
    if not len(enough):
        return 0.0
    last = int(enough[-1])
    if last + 1 == len(heard):
        return float(last)
    return last + float((heard[last] - percent) / (heard[last] - heard[last + 1]))


def value_at(values: NDArray[np.float64], place: float) -> float:
    """Of values at each threshold, that at a place between two of them."""
    return float(np.interp(place, np.arange(len(values)), values))
