# SPDX-License-Identifier: Apache-2.0
"""A take as it might have been said: slower and faster, earlier and later, in a little noise.

The trace of a take is its mean rates. One recording says little about how they differ from one time
to the next, and renditions of it tell a part of that. They are heard one after the other as one
long take, whose rates are then the mean over all of them; the recording itself comes last.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.core import FeatureConfig, features

SPEEDS = (0.88, 1.12)
SHIFTS_S = (0.08, -0.08)
NOISE_DB = 20.0
"""White noise, below the recording."""
RENDITIONS = 1 + len(SHIFTS_S) + len(SPEEDS) + 1
"""Of a take, itself among them."""


def at_speed(pcm: NDArray[np.int16], speed: float) -> NDArray[np.int16]:
    """A recording said so much faster, and higher; as long as before, its middle in the middle."""
    said = soxr.resample(pcm.astype(np.float32), SAMPLE_RATE, SAMPLE_RATE / speed)
    spare = len(said) - len(pcm)
    if spare >= 0:
        said = said[spare // 2 : spare // 2 + len(pcm)]
    else:
        said = np.pad(said, (-spare // 2, -spare - -spare // 2))
    out: NDArray[np.int16] = np.clip(np.rint(said), -32768, 32767).astype(np.int16)
    return out


def shifted(pcm: NDArray[np.int16], seconds: float) -> NDArray[np.int16]:
    """A recording so much later, or earlier; as long as before, with silence where nothing is."""
    moved = np.zeros_like(pcm)
    by = round(abs(seconds) * SAMPLE_RATE)
    if by >= len(pcm):
        return moved
    kept = len(pcm) - by
    if seconds > 0:
        moved[by:] = pcm[:kept]
    else:
        moved[:kept] = pcm[by:]
    return moved


def in_noise(pcm: NDArray[np.int16], below_db: float) -> NDArray[np.int16]:
    """A recording in white noise, the same for the same length."""
    power = float((pcm.astype(np.float64) ** 2).mean()) * 10 ** (-below_db / 10)
    noise = np.random.default_rng(1).normal(0, np.sqrt(power), len(pcm))
    return np.clip(np.rint(pcm + noise), -32768, 32767).astype(np.int16)


def renditions(pcm: NDArray[np.int16]) -> list[NDArray[np.int16]]:
    """A take in noise, shifted, at other speeds, and as it is.

    Args:
        pcm: int16 (samples,), 16 kHz, some tenths of a second or more.

    Returns:
        Recordings of the same length, the same every time; the last is the take.
    """
    return [
        in_noise(pcm, NOISE_DB),
        *(shifted(pcm, seconds) for seconds in SHIFTS_S),
        *(at_speed(pcm, speed) for speed in SPEEDS),
        pcm,
    ]


def take_features(pcm: NDArray[np.int16], config: FeatureConfig, is_kept: bool) -> NDArray[np.int8]:
    """Features that a take is learned by.

    Args:
        pcm: as of renditions().
        config: of the model's front end.
        is_kept: whether its trace is kept: then those of its renditions one after the other, each
            heard from reset.

    Returns:
        int8 (steps, 80), Q4; those of the take itself are the last, or all.
    """
    alone = features(pcm, config)
    if not is_kept or not len(alone):
        return alone
    return np.concatenate([features(one, config) for one in renditions(pcm)])


def take_alone(heard: NDArray[np.int8]) -> NDArray[np.int8]:
    """Features of a take itself, among those of its renditions.

    Args:
        heard: int8 (steps, 80), of take_features() of a take that is kept.
    """
    return heard[-(len(heard) // RENDITIONS) :]
