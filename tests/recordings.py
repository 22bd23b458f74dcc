# SPDX-License-Identifier: Apache-2.0
"""Recordings made for a test."""

from pathlib import Path

import numpy as np
import soundfile


def changing_noise(n_levels: int, n_each: int) -> np.ndarray:
    """Noise whose level changes, as speech's does: so many levels, so many samples each; int16."""
    rng = np.random.default_rng(5)
    level = np.repeat(10.0 ** rng.uniform(1, 4, n_levels), n_each)
    return np.clip(rng.normal(0, level), -32768, 32767).astype(np.int16)


def write_take(
    path: Path, seed: int, n_samples: int = 16000, rate: int = 16000, channels: int = 1
) -> None:
    """A recording of noise whose level changes, as speech's does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    level = np.repeat(10.0 ** rng.uniform(1, 3.5, n_samples // 800 + 1), 800)[:n_samples, None]
    pcm = np.clip(rng.normal(0, level, (n_samples, channels)), -32768, 32767).astype(np.int16)
    soundfile.write(path, pcm, rate)
