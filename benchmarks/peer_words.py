# SPDX-License-Identifier: Apache-2.0
"""Words of one's own by other means: openWakeWord's embedding, and dynamic time warping.

Both learn the takes of the draws of `bench teach`, and are asked single clips.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import librosa
import numpy as np
import pyopen_wakeword
from dtaidistance import dtw_ndim
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.stream import word_bounds
from tracekws.bench.teaching import Pupil
from tracekws.data import Recordings

EDGE = SAMPLE_RATE // 2
"""Silence before and behind a clip, so that windows of the embedding reach over its ends."""
CHUNK = 1280
HOP = SAMPLE_RATE // 50
DELTA = 9


class Likeness(Protocol):
    """A way to compare clips with takes."""

    name: str

    def described(self, pcm: NDArray[np.int16]) -> Any:
        """What is kept of a clip (16000,)."""

    def like(self, clip: Any, takes: Sequence[Any]) -> float:
        """How like a clip is to the takes of a word, the larger the liker."""


class Embedding:
    """openWakeWord's embedding of 96 numbers each 80 ms: the mean over a clip, by its cosine."""

    name = "openWakeWord's embedding, mean of the takes"

    def described(self, pcm: NDArray[np.int16]) -> NDArray[np.float64]:
        """A vector of length one."""
        silence = np.zeros(EDGE, dtype=np.int16)
        sound = np.concatenate([silence, pcm, silence])
        net = pyopen_wakeword.OpenWakeWordFeatures.from_builtin()
        net.new_audio_samples = 0  # else it begins with eight seconds of silence
        parts = [
            heard.reshape(-1, heard.shape[-1])
            for at in range(0, len(sound), CHUNK)
            for heard in net.process_streaming(sound[at : at + CHUNK].tobytes())
        ]
        mean = np.concatenate(parts).astype(np.float64).mean(0)
        return np.asarray(mean / np.linalg.norm(mean))

    def like(self, clip: NDArray[np.float64], takes: Sequence[NDArray[np.float64]]) -> float:
        """The cosine with the takes' mean."""
        mean = np.mean(takes, axis=0)
        return float(clip @ mean / np.linalg.norm(mean))


class Warping:
    """Dynamic time warping of cepstra with their slopes, over the word alone; the nearest take."""

    name = "DTW on MFCC with deltas, the nearest take"

    def described(self, pcm: NDArray[np.int16]) -> NDArray[np.float64]:
        """(steps, 26), each column of mean 0 and deviation 1 over the word."""
        first, behind = word_bounds(pcm)
        word = pcm[first:behind].astype(np.float32)
        word = np.pad(word, (0, max(0, DELTA * HOP - len(word))))
        cepstra = librosa.feature.mfcc(
            y=word / 32768, sr=SAMPLE_RATE, n_mfcc=13, n_fft=512, hop_length=HOP, n_mels=40
        )
        both = np.concatenate([cepstra, librosa.feature.delta(cepstra, width=DELTA)]).T
        return np.ascontiguousarray((both - both.mean(0)) / (both.std(0) + 1e-6), dtype=np.double)

    def like(self, clip: NDArray[np.float64], takes: Sequence[NDArray[np.float64]]) -> float:
        """Minus the distance to the nearest, over the square root of both lengths."""
        return -min(
            float(dtw_ndim.distance_fast(clip, take)) / math.sqrt(len(clip) + len(take))
            for take in takes
        )


def right_and_accepted(
    way: Likeness, recordings: Recordings, pupils: Sequence[Pupil], shots: Sequence[int]
) -> dict[int, dict[str, float]]:
    """Percent right of ten words, and right and accepted where 90 and 99 % of others are rejected.

    Args:
        way: of comparing.
        recordings: of all speakers.
        pupils: draws of words and takes.
        shots: takes of each word that are learned.

    Returns:
        The columns, for each of the shots.
    """
    right: dict[int, list[float]] = {takes: [] for takes in shots}
    others: dict[int, list[float]] = {takes: [] for takes in shots}
    for pupil in pupils:
        of = cache(lambda row: way.described(recordings.pcm[row]))
        for n in shots:
            takes = [[of(row) for row in rows[:n]] for rows in pupil.learned]
            for place, rows in enumerate(pupil.query):
                for row in rows:
                    likeness = [way.like(of(row), each) for each in takes]
                    ok = int(np.argmax(likeness)) == place
                    right[n].append(likeness[place] if ok else -np.inf)
            others[n] += [max(way.like(of(row), each) for each in takes) for row in pupil.others]
    return {n: columns_of(np.array(right[n]), np.sort(others[n])) for n in shots}


def columns_of(right: NDArray[np.float64], others: NDArray[np.float64]) -> dict[str, float]:
    """The columns, of the likeness of clips that were right, of others, and, sorted, of others."""
    columns = {"choice": 100 * float(np.isfinite(right).mean())}
    for share in (0.90, 0.99):
        threshold = others[int(np.ceil(share * len(others))) - 1]
        columns[f"clips_at_{100 * share:g}"] = 100 * float((right > threshold).mean())
    return columns
