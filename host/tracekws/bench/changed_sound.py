# SPDX-License-Identifier: Apache-2.0
"""Recordings as they would sound in another room through another microphone, or in noise.

Made up, for measuring how well a model adapts to an input that has changed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE

SNR_DB = {"noise": (0.0, 5.0), "noise-10db": (10.0, 10.0)}
"""Energy of a recording over that of the noise, by the name of the change."""
CHANGES = ("room", *SNR_DB)
REVERBERATION_S = (0.3, 0.8)
"""Until it is 60 dB down."""
REVERBERANT_DB = (-3.0, 3.0)
"""Energy of the reverberation over that of the direct sound."""
LOWEST_HZ = (150.0, 400.0)
HIGHEST_HZ = (2500.0, 4500.0)
"""Where the microphone is 3 dB down; 12 dB an octave beyond."""
CLIPPED = 0.005
"""Share of the loudest samples of a recording that the microphone clips."""


def response(rng: np.random.Generator) -> NDArray[np.float64]:
    """Impulse response of a room, at 16 kHz: the direct sound, and decaying noise behind it."""
    count = round(SAMPLE_RATE * rng.uniform(*REVERBERATION_S))
    tail = rng.normal(size=count) * 10 ** np.linspace(0, -3, count)
    tail *= np.sqrt(10 ** (rng.uniform(*REVERBERANT_DB) / 10) / np.square(tail).sum())
    return np.concatenate([[1.0], tail])


def in_a_room(pcm: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Recordings, int16 (N, samples), in one made-up room, by one microphone, as loud as before.

    The room's impulse response, a band, then clipping of the loudest peaks.
    """
    samples = pcm.shape[-1]
    room, low, high = response(rng), rng.uniform(*LOWEST_HZ), rng.uniform(*HIGHEST_HZ)
    size = samples + len(room) - 1
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    with np.errstate(divide="ignore"):
        band = 1 / np.sqrt((1 + (low / hz) ** 4) * (1 + (hz / high) ** 4))
    spectrum = np.fft.rfft(pcm.astype(np.float64), size) * np.fft.rfft(room, size) * band
    heard = np.fft.irfft(spectrum, size)[..., :samples]
    limit = np.quantile(np.abs(heard), 1 - CLIPPED, axis=-1, keepdims=True)
    return as_loud(np.clip(heard, -limit, limit), pcm)


def in_noise(
    pcm: NDArray[np.int16],
    noises: Sequence[NDArray[np.int16]],
    snr_db: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Recordings, int16 (N, samples), under one of the noises, each under another part of it."""
    samples = pcm.shape[-1]
    noise = noises[int(rng.integers(len(noises)))].astype(np.float64)
    starts = rng.integers(0, len(noise) - samples + 1, len(pcm))
    heard = noise[starts[:, None] + np.arange(samples)]
    ratio = 10 ** (-rng.uniform(*snr_db) / 20)
    both = pcm + heard * ratio * loudness(pcm) / np.maximum(loudness(heard), 1)
    return as_loud(both, pcm)


def loudness(pcm: NDArray[np.generic]) -> NDArray[np.float64]:
    """Root mean square of recordings (N, samples): (N, 1)."""
    found: NDArray[np.float64] = np.sqrt(
        np.square(pcm.astype(np.float64)).mean(axis=-1, keepdims=True)
    )
    return found


def as_loud(heard: NDArray[np.float64], pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """Samples as loud as others, int16."""
    scaled = heard * loudness(pcm) / np.maximum(loudness(heard), 1e-9)
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
