# SPDX-License-Identifier: Apache-2.0
"""Handwritten digits seen by a moving event camera, as N-MNIST was made.

Orchard, Jayawant, Cohen, Thakor, *Converting Static Image Datasets to Spiking Neuromorphic Datasets
Using Saccades*, Frontiers in Neuroscience 9:437, 2015: three saccades of 100 ms along a triangle; a
pixel emits an ON or OFF event when its log intensity has moved by a threshold since its last event.
There a camera looked at a screen; here the camera is simulated in steps of 1 ms: the digit is 12 of
16 pixels wide, the triangle has the same shape for that size, thresholds differ a pixel, a pixel
emits at most one event a step and a few events of noise come on top.

The images are scikit-learn's copy of the test part of UCI's *Optical Recognition of Handwritten
Digits* (13 writers, none of whom the copy names). It keeps the order of the source, in which a
writer's digits seem to follow each other: nearest neighbour reads the last fifth less well (95.5 %)
than a random fifth (98.7 %). So the split is by order and the same for every seed: the first three
fifths train, the next validates, the last tests. At most the writers at two borders are on both
sides, if the order is what it seems; that nobody is cannot be shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tracekws.lab.data import Clips, Config, Configured, Split, need_package, split_of_three
from tracekws.lab.network import Constants, Dense

SENSOR = 16
"""Pixels of a side."""
WIDTH = 12
"""Pixels that the eight columns of an image cover."""
SACCADE_MS = 100
CORNERS = ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0), (0.0, 0.0))
"""The triangle's corners (x, y), in units of AMPLITUDE pixels."""
AMPLITUDE = 7 * WIDTH / 28
"""As in N-MNIST, where 28 pixels of digit move by 7."""
STEP_MS = 10
STEPS = 3 * SACCADE_MS // STEP_MS
DARK = 0.1
"""Intensity of the background; ink adds up to 1."""
THRESHOLD = 0.4
"""Change of log intensity that makes an event."""
MISMATCH = 0.1
"""Standard deviation of a pixel's threshold, relative."""
NOISE_HZ = 0.1
"""Rate of noise events of a pixel and polarity."""
BLOCK = 64
"""Images filmed at a time, so that a block stays in the cache."""


def path() -> NDArray[np.float64]:
    """Place of the gaze a millisecond: pixels (3 saccades * 100 ms, 2), x and y, middle at 0."""
    corners = AMPLITUDE * (np.array(CORNERS) - 0.5)
    share = np.arange(1, SACCADE_MS + 1)[:, None] / SACCADE_MS
    legs = [a + share * (b - a) for a, b in pairwise(corners)]
    return np.concatenate([corners[:1], *legs])


def view(gaze: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """What the sensor sees of an image, bilinear, nothing outside of it.

    Returns:
        (SENSOR^2, side^2): a matrix that takes an image's values to the pixels'.
    """

    def axis(offset: np.float64) -> NDArray[np.float64]:
        at = (np.arange(SENSOR) - (SENSOR - 1) / 2 + offset) * side / WIDTH + (side - 1) / 2
        near: NDArray[np.float64] = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side)))
        return near

    return np.kron(axis(gaze[1]), axis(gaze[0])).astype(np.float64)


def events_of(images: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Film images.

    Args:
        images: (N, side, side), 0 for paper to 1 for ink.
        rng: draws the sensor's thresholds and noise.

    Returns:
        (N, STEPS, 2, SENSOR, SENSOR): counts of OFF and ON events a step.
    """
    side = images.shape[1]
    views = [view(gaze, side).T.astype(np.float32) for gaze in path()]
    mismatch = rng.standard_normal((2, SENSOR**2))
    threshold = (THRESHOLD * (1 + MISMATCH * mismatch)).astype(np.float32)
    noise = rng.poisson(NOISE_HZ * STEP_MS / 1000, (len(images), STEPS, 2, SENSOR**2))
    counts = noise.astype(np.uint8)
    for start in range(0, len(images), BLOCK):
        film(images[start : start + BLOCK], views, threshold, counts[start : start + BLOCK])
    return counts.reshape(len(images), STEPS, 2, SENSOR, SENSOR)


def film(
    images: NDArray[np.float64],
    views: Sequence[NDArray[np.float32]],
    threshold: NDArray[np.float32],
    counts: NDArray[np.uint8],
) -> None:
    """Add the events of some images to their counts (N, STEPS, 2, SENSOR^2)."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    memory = np.log(DARK + flat @ views[0])
    for ms, seen in enumerate(views[1:]):
        change = np.log(DARK + flat @ seen) - memory
        off, on = change <= -threshold[0], change >= threshold[1]
        counts[:, ms // STEP_MS, 0] += off
        counts[:, ms // STEP_MS, 1] += on
        memory += on * threshold[1] - off * threshold[0]


CONFIGS = {
    "dense": Config(
        network=(Dense(200),),
        constants=Constants(alpha=0.9, beta=0.9, v_th=1.0),
        batch=64,
        epochs=20,
        rate=1e-3,
        origin="ours: the size of the paper's N-MNIST network, decays for steps of 10 ms, untuned",
    )
}


@dataclass(frozen=True)
class Digits(Configured):
    """The task."""

    name: str = "digits"
    summary: str = "1,797 handwritten digits before a moving event camera, made at once; 10 classes"
    needs: str = ""
    configs: Mapping[str, Config] = field(default_factory=lambda: CONFIGS)

    def load(self, data: Path | None, seed: int) -> Split:
        """Make the events; the seed draws the camera's thresholds and noise. Takes seconds.

        Raises:
            MissingTool: scikit-learn is not installed.
        """
        digits = need_package("sklearn.datasets").load_digits()
        counts = events_of(digits.images / 16, np.random.default_rng(seed))
        clips = Clips(torch.from_numpy(counts), torch.from_numpy(digits.target.astype(np.int64)))
        order = np.arange(len(clips))
        first, second = round(0.6 * len(clips)), round(0.8 * len(clips))
        return split_of_three(
            clips.take(order[:first]),
            clips.take(order[first:second]),
            clips.take(order[second:]),
            tuple(str(digit) for digit in range(10)),
        )
