# SPDX-License-Identifier: Apache-2.0
"""Takes are looked at before they are learned: what is wrong with them, and what to do.

One recording by itself may be silent, noise without speech, too quiet, clipped, cut, or of two
words. Among the takes of a folder one may sound unlike the others of its word: the network's mean
spike rates are compared as a device compares them (templates.h), each take with the mean of the
others. Levels are those of the front end, of 20 ms, so that an offset and hum count for nothing.
docs/takes.md says how often this is right.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracekws._core import ffi
from tracekws.audio import FRAME, FULL_SCALE, SHORTEST, is_silent, loudest_second
from tracekws.core import FeatureConfig, Model, Network, check_pcm, features, features_and_loudness
from tracekws.errors import DataError

DB = 340.0
"""Units of loudness in a dB, Q10 of the logarithm to base 2."""
LEAST_STEPS = 25
"""Of a recording that is judged by how its level changes, half a second."""
STEADY_DB = 6.0
"""Between the loudest 20 ms and the quietest tenth: speech has more, even in noise."""
CLICK_STEPS = 3
"""What is within WORD_DB of the loudest for less is no word."""
WORD_DB = 20.0
FAINT_DBFS = -60.0
"""Of the loudest 20 ms: half of the words are no longer heard."""
QUIET_DBFS = -50.0
"""Of the same: one word in seven more is missed."""
LIMIT = 32700
FLAT = 0.97
"""Share of the peak above which three equal neighbours are a top that was cut flat..."""
FLAT_PEAK = 4000
"""...unless the sound is so quiet that rounding makes them."""
CLIPPED, BADLY_CLIPPED = 16, 160
"""Samples, a thousandth and a hundredth of a second."""
OFFSET = 0.02
"""Share of full scale."""
EDGE_STEPS = 2
EDGE_DB = 6.0
"""An edge that is hardly quieter than the loudest cuts the word..."""
ABOVE_NOISE_DB = 10.0
"""...if there is a word: the quietest tenth is that much quieter."""
PAUSE_STEPS = 11
"""Of a stop within a word at most; a longer pause is between words."""
PART_STEPS = 6
PART_DB = 25.0
PART_ABOVE_NOISE_DB = 8.0
PART_PEAK_DB = 12.0
"""What is that much quieter than the loudest part is no word of its own."""
LEAST_TAKES = 3
"""Of a word whose takes are compared."""
UNLIKE = 0.1
"""Cosine to the mean of the other takes, below which a take is unlike them."""
RATHER = 0.2
"""What another word's cosine is more, so that a take is taken for that word."""


@dataclass(frozen=True)
class Kind:
    """Something that may be wrong with a take."""

    severe: bool
    """Whether such a take is refused; else it is warned of."""
    what: str
    """How the line begins, before the names of takes."""
    advice: str


CLOSER = "come closer to the microphone, or turn its level up"
AWAY = "move away from the microphone, or turn its level down"
KINDS: Mapping[str, Kind] = {
    "silent": Kind(True, "nothing is heard in", "record again, or remove what is silent"),
    "noise": Kind(
        True, "steady noise without speech is in", "record again, and speak while it records"
    ),
    "click": Kind(True, "no more than a click is heard in", "record again"),
    "faint": Kind(True, "far too quiet is the word in", CLOSER),
    "badly clipped": Kind(True, "the sound is badly clipped in", AWAY),
    "quiet": Kind(False, "the word is quiet in", CLOSER),
    "clipped": Kind(False, "the sound is clipped in", AWAY),
    "offset": Kind(False, "a constant offset is in", "check how the microphone is connected"),
    "start": Kind(False, "the word is cut at the start in", "wait a moment before you speak"),
    "end": Kind(False, "the word is cut at the end in", "record until the word has ended"),
    "two": Kind(False, "more than one word is heard in", "say the word once a take"),
    "copy": Kind(
        False, "the same recording as an earlier take is", "it counts once; record another"
    ),
    "unlike": Kind(
        False, "unlike the other takes of its word is", "listen to it: is it that word?"
    ),
}
"""What may be wrong, in the order in which it is told."""


def faults(pcm: NDArray[np.int16]) -> tuple[str, ...]:
    """What is wrong with a recording by itself.

    Args:
        pcm: int16 (samples,), 16 kHz, as it was recorded, 35 ms or longer, without zeros that were
            added. Of a longer one than a second, most is asked of the loudest second.

    Returns:
        Keys of KINDS; of those that make no word of it the first alone.

    Raises:
        DataError: these are no samples of one channel, or too few.
    """
    second = loudest_second(check_pcm(pcm))
    if len(second) < SHORTEST:
        raise DataError(f"{len(second)} samples are too short, the least is {SHORTEST} (35 ms)")
    if is_silent(second):
        return ("silent",)
    if is_steady(second):
        return ("noise",)
    level = _levels(second)
    if np.count_nonzero(level > level.max() - WORD_DB) < CLICK_STEPS <= len(level):
        return ("click",)
    found = []
    loudest = _loudest_dbfs(second)
    if loudest < QUIET_DBFS:
        found.append("faint" if loudest < FAINT_DBFS else "quiet")
    n_clipped = _clipped(second)
    if n_clipped >= CLIPPED:
        found.append("badly clipped" if n_clipped >= BADLY_CLIPPED else "clipped")
    if abs(second.mean(dtype=np.float64)) >= OFFSET * FULL_SCALE:
        found.append("offset")
    whole = _levels(pcm)
    if _above_noise(whole) >= ABOVE_NOISE_DB:
        edges = {"start": whole[:EDGE_STEPS], "end": whole[-EDGE_STEPS:]}
        found += [name for name, edge in edges.items() if edge.max() > whole.max() - EDGE_DB]
    if _words(whole) > 1:
        found.append("two")
    return tuple(found)


def is_steady(pcm: NDArray[np.int16]) -> bool:
    """Whether the level hardly changes, as that of noise: nobody speaks.

    Args:
        pcm: int16 (samples,), 16 kHz; what is shorter than half a second is not called steady.
    """
    level = _levels(pcm)
    return len(level) >= LEAST_STEPS and _above_noise(level) < STEADY_DB


def _levels(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    """Level of each step of 20 ms, in dB of an unknown unit; one at least."""
    loudness: NDArray[np.float64] = features_and_loudness(pcm, FeatureConfig())[1] / DB
    return loudness if len(loudness) else np.zeros(1)


def _above_noise(level: NDArray[np.float64]) -> float:
    return float(level.max() - np.percentile(level, 10))


def _loudest_dbfs(pcm: NDArray[np.int16]) -> float:
    sound = pcm - pcm.mean(dtype=np.float64)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return float(10 * np.log10(np.square(frames).mean(1).max() / FULL_SCALE**2))


def _clipped(pcm: NDArray[np.int16]) -> int:
    """Samples at the limit, or on tops that are flat since it was another limit."""
    size = np.abs(pcm.astype(np.int32))
    at_limit = int(np.count_nonzero(size >= LIMIT))
    if size.max() < FLAT_PEAK:
        return at_limit
    same = pcm[1:] == pcm[:-1]
    tops = same[1:] & same[:-1] & (size[2:] >= FLAT * size.max())
    return max(at_limit, int(np.count_nonzero(tops)))


def _words(level: NDArray[np.float64]) -> int:
    """How many parts there are with pauses between them that no word has."""
    top = level.max()
    least = max(top - PART_DB, float(np.percentile(level, 10)) + PART_ABOVE_NOISE_DB)
    (loud,) = np.nonzero(level > least)
    parts = np.split(loud, np.nonzero(np.diff(loud) > PAUSE_STEPS)[0] + 1)
    return sum(
        part[-1] - part[0] + 1 >= PART_STEPS and level[part].max() > top - PART_PEAK_DB
        for part in parts
        if len(part)
    )


def odd_ones(
    words: Sequence[str], pcm: Sequence[NDArray[np.int16]], model: Model
) -> dict[int, str]:
    """Takes that sound unlike the others of their word, whether the model knows it or not.

    Args:
        words: of each take.
        pcm: int16 (samples,) each, 16 kHz, a second or less: what would be learned.
        model: whose network hears them, one that keeps takes; others find nothing.

    Returns:
        Index of such takes, each with the word whose takes it is more like, or with nothing.
    """
    if not model.c.traces.rank:
        return {}
    network = Network(model)
    rates = np.array([network.rates(features(take, model.front_end)) for take in pcm])
    traces = _compared(model, rates) if len(rates) else rates
    of_word: dict[str, list[int]] = defaultdict(list)
    for i, word in enumerate(words):
        of_word[word].append(i)
    means = {word: traces[mine].mean(0) for word, mine in of_word.items() if len(mine) > 1}
    odd = {}
    for word, mine in of_word.items():
        if len(mine) < LEAST_TAKES:
            continue
        for i in mine:
            own = _cosine(traces[i], traces[[j for j in mine if j != i]].mean(0))
            others = {w: _cosine(traces[i], mean) for w, mean in means.items() if w != word}
            nearest = max(others, key=others.__getitem__, default="")
            if nearest and others[nearest] > own + RATHER:
                odd[i] = nearest
            elif own < UNLIKE:
                odd[i] = ""
    return odd


def _compared(model: Model, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Traces (N, H) whose plain cosine is that of templates.h."""
    form = model.c.traces
    n, rank = int(model.header.n_neurons), int(form.rank)
    mean = np.frombuffer(bytes(ffi.buffer(form.mean, 2 * n)), "<i2") / 2**15
    shrink = np.frombuffer(bytes(ffi.buffer(form.shrink, 2 * rank)), "<i2") / 2**15
    along = np.frombuffer(bytes(ffi.buffer(form.along, n * rank)), np.int8).reshape(n, rank)
    along = along / 2.0**form.along_q
    x = rates - mean
    kept: NDArray[np.float64] = x - (x @ along * (1 - np.sqrt(1 - shrink.clip(0, 1)))) @ along.T
    return kept


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / max(1e-9, float(np.linalg.norm(a) * np.linalg.norm(b))))


def lines(found: Mapping[str, Sequence[str]], severe: bool) -> list[str]:
    """What is wrong, a line a kind, with the names of all takes of that kind, and what to do.

    Args:
        found: names of takes, by the kind of what is wrong with them.
        severe: those that are refused; else those that are warned of.
    """
    return [
        f"{kind.what} {', '.join(found[name])}: {kind.advice}"
        for name, kind in KINDS.items()
        if kind.severe == severe and found.get(name)
    ]
