# SPDX-License-Identifier: Apache-2.0
"""Augmentation: of the waveform before the front end, of the features behind it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracekws.data import CLIP_SAMPLES

FULL = 32767
MAX_SHIFT = 1600
"""Samples, 100 ms."""


def stretch(x: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Play faster (factor above 1) or slower, pitch included, by linear interpolation."""
    at = np.arange(0, len(x) - 1, factor, dtype=np.float32)
    return np.interp(at, np.arange(len(x)), x).astype(np.float32)


def shift(x: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Move by samples and fit to one second; gaps are filled by reflection."""
    padded = np.pad(x, (MAX_SHIFT, MAX_SHIFT + CLIP_SAMPLES), mode="reflect")
    start = MAX_SHIFT - samples
    return padded[start : start + CLIP_SAMPLES]


def noise_segment(
    noises: Sequence[NDArray[np.int16]], rng: np.random.Generator
) -> NDArray[np.float32]:
    """One second of a background recording or, less often, of white or brown noise; unit power."""
    if noises and rng.random() < 0.7:
        noise = noises[int(rng.integers(len(noises)))]
        start = rng.integers(len(noise) - CLIP_SAMPLES)
        segment = noise[start : start + CLIP_SAMPLES].astype(np.float32)
    else:
        segment = rng.standard_normal(CLIP_SAMPLES).astype(np.float32)
        if rng.random() < 0.5:
            segment = np.cumsum(segment)
            segment -= np.convolve(segment, np.ones(801) / 801, mode="same").astype(np.float32)
    unit: NDArray[np.float32] = segment / np.float32(np.sqrt(np.mean(segment**2)) + 1e-3)
    return unit


def to_pcm(x: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples clipped to int16."""
    pcm: NDArray[np.int16] = np.clip(x, -FULL, FULL).astype(np.int16)
    return pcm


def speech(
    pcm: NDArray[np.int16], noises: Sequence[NDArray[np.int16]], rng: np.random.Generator
) -> NDArray[np.int16]:
    """A clip as another room, microphone and moment might have given it: int16 (16000,)."""
    x = pcm.astype(np.float32)
    if rng.random() < 0.5:
        x = stretch(x, rng.uniform(0.9, 1.1))
    x = shift(x, int(rng.integers(-MAX_SHIFT, MAX_SHIFT + 1)))
    if rng.random() < 0.5:
        x += np.float32(rng.uniform(-0.5, 0.5)) * np.concatenate([x[:1], x[:-1]])
    power = float(np.sqrt(np.mean(x**2))) + 1.0
    if rng.random() < 0.75:
        level = power * 10 ** (-rng.uniform(6, 36) / 20)
        x += np.float32(level) * noise_segment(noises, rng)
    return to_pcm(x * np.float32(10 ** (rng.uniform(-12, 6) / 20)))


def silence(noises: Sequence[NDArray[np.int16]], rng: np.random.Generator) -> NDArray[np.int16]:
    """One second without speech: noise of any level, now and then nothing at all."""
    level = 0.0 if rng.random() < 0.05 else 10 ** rng.uniform(0.3, 3.5)
    return to_pcm(noise_segment(noises, rng) * np.float32(level))


def mask(features: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Blank, in place, up to 5 steps and up to 5 channels of half the clips: (B, T, 2 x 40)."""
    batch, steps, inputs = features.shape
    channels = inputs // 2
    for clip in np.flatnonzero(rng.random(batch) < 0.5):
        width = rng.integers(1, 6)
        start = rng.integers(0, steps - width)
        features[clip, start : start + width] = 0
        width = rng.integers(1, 6)
        start = rng.integers(0, channels - width)
        features[clip, :, start : start + width] = 0
        features[clip, :, channels + start : channels + start + width] = 0
