# SPDX-License-Identifier: Apache-2.0
"""The front end in floating point, from the formulas in frontend.h, with NumPy's FFT."""

import numpy as np

RATE, WINDOW, HOP, FFT, CHANNELS = 16000, 400, 160, 512, 40
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0


def mel_filters() -> np.ndarray:
    """Triangles over FFT bins, equal and half overlapping on the HTK mel scale: CHANNELS x bins."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)

    edges = np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), CHANNELS + 2)
    bins = mel(np.arange(FFT // 2 + 1) * RATE / FFT)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


def energies(pcm: np.ndarray) -> np.ndarray:
    """Mel energies of each frame in squared PCM steps: frames x CHANNELS."""
    starts = range(0, len(pcm) - WINDOW + 1, HOP)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.array([pcm[s : s + WINDOW] * window for s in starts], float).reshape(-1, WINDOW)
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2
    return power @ mel_filters().T


FAR_BELOW = 256


def normalised(
    energy: np.ndarray, alpha: float, mean_shift: int, fall_shift: int, floor: float
) -> np.ndarray:
    """PCEN of energies in the core's unit, 1/16 squared PCM step; the mean starts full.

    It falls by another rate to energies that are far below it.
    """
    e = energy * 16
    mean = e[0].copy()
    out = np.empty_like(e)
    for t in range(len(e)):
        falls = e[t] < mean / FAR_BELOW
        mean += (e[t] - mean) / np.where(falls, 2**fall_shift, 2**mean_shift)
        out[t] = (np.maximum(e[t], 1) / (mean + floor) ** alpha + 2) ** 0.5 - 2**0.5
    return out


def features(
    pcm: np.ndarray, alpha_q15: int, mean_shift: int, fall_shift: int, floor: int
) -> np.ndarray:
    """Q4 features before rounding, two frames a row: steps x 80."""
    frames = 16 * normalised(energies(pcm), alpha_q15 / 32768, mean_shift, fall_shift, floor)
    n_steps = len(frames) // 2
    return np.clip(frames[: 2 * n_steps].reshape(n_steps, 2 * CHANNELS), 0, 127)
