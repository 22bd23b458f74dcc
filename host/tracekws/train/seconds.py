# SPDX-License-Identifier: Apache-2.0
"""Seconds of talk, phrases, sounds and tones, in which no word is to be heard."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.sets import PHRASES, SOUNDS, TALK, Recording, read_split, read_table
from tracekws.data import CLIP_SAMPLES
from tracekws.errors import DataError
from tracekws.train.config import SetsConfig

TONES = 500
TONE_SECONDS = 4
"""Made-up recordings, and their length."""
SHORTEST = CLIP_SAMPLES // 2
"""Of what is left at the end of a recording, to be a second of its own."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Seconds:
    """Seconds of recordings, in their order."""

    pcm: NDArray[np.int16]
    """(seconds, 16000)."""
    continues: NDArray[np.bool_]
    """Whether a second goes on where the one before it in the array ends."""
    is_speech: NDArray[np.bool_]
    weight: NDArray[np.float64]
    """How often each is drawn, in keywords."""


def starts(samples: int) -> list[int]:
    """Where the seconds of a recording begin: one behind the other, the last one at its end."""
    whole = [*range(0, samples - CLIP_SAMPLES + 1, CLIP_SAMPLES)]
    rest = samples - len(whole) * CLIP_SAMPLES
    if not whole:
        return [0]
    return [*whole, samples - CLIP_SAMPLES] if rest >= SHORTEST else whole


def cut(
    recordings: Sequence[NDArray[np.int16]], spans: Sequence[Sequence[Span]]
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Seconds of recordings, without those that touch a span, and which continue.

    Args:
        recordings: samples.
        spans: of each, in seconds, what is left out.
    """
    pcm, continues = [], []
    for samples, out in zip(recordings, spans, strict=True):
        before = -1
        for start in starts(len(samples)):
            first, last = start / SAMPLE_RATE, (start + CLIP_SAMPLES) / SAMPLE_RATE
            if any(first < end and begin < last for begin, end in out):
                continue
            second = samples[start : start + CLIP_SAMPLES]
            pcm.append(np.pad(second, (0, CLIP_SAMPLES - len(second))))
            continues.append(before == start - CLIP_SAMPLES and before >= 0)
            before = start
    return np.array(pcm, dtype=np.int16).reshape(-1, CLIP_SAMPLES), np.array(continues, dtype=bool)


def spans_of(
    folder: Path, keywords: Sequence[str], recordings: Sequence[Recording]
) -> tuple[tuple[Span, ...], ...]:
    """Where keywords are said in each recording; all of one of which the times are not known.

    Times are in `words.tsv`, with columns file, word, start, end, in seconds.

    Raises:
        DataError: the table is not usable.
    """
    said: dict[str, list[Span]] = defaultdict(list)
    timed: dict[str, set[str]] = defaultdict(set)
    table = folder / "words.tsv"
    columns = ("file", "word", "start", "end")
    rows = read_table(table, columns) if table.is_file() else {}
    for line, row in rows.items():
        word = row["word"].lower()
        if word in keywords:
            try:
                said[row["file"]].append((float(row["start"]), float(row["end"])))
            except ValueError as error:
                raise DataError(f"{table}: line {line}: {error}") from error
            timed[row["file"]].add(word)
    return tuple(
        tuple(said[one.name]) if one.words & {*keywords} <= timed[one.name] else ((0.0, math.inf),)
        for one in recordings
    )


def tone(rng: np.random.Generator) -> NDArray[np.int16]:
    """A made-up sound of a device: on and off, sweeping, humming, or steady."""
    t = np.arange(TONE_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    level = 32768 * 10 ** (rng.uniform(-50, -6) / 20)
    low, high = np.sort(np.exp(rng.uniform(math.log(60), math.log(6000), 2)))
    period = math.exp(rng.uniform(math.log(0.15), math.log(2.5)))
    at = (t / period + rng.random()) % 1
    kind = rng.integers(4)
    if kind == 0:  # a beep
        hertz = np.full(len(t), high)
    elif kind == 1:  # a sweep
        hertz = low * (high / low) ** at
    elif kind == 2:  # a siren, or vibrato
        hertz = np.sqrt(low * high) * (high / low) ** (
            0.5 * rng.uniform(0.05, 1) * np.sin(2 * np.pi * at)
        )
    else:  # two notes
        hertz = np.where(at < 0.5, low, high)
    turns = np.cumsum(hertz) / SAMPLE_RATE
    overtones = int(rng.choice([1, 1, 3, 10, 20]))
    wave = sum(
        np.sin(2 * np.pi * n * turns) / n * (n * hertz < SAMPLE_RATE / 2)
        for n in range(1, overtones + 1)
    )
    if rng.random() < 0.2:
        wave = np.sign(wave)
    share = (
        rng.choice([1.0, rng.uniform(0.05, 0.9)], p=[0.3, 0.7]) if kind else rng.uniform(0.05, 0.9)
    )
    wave = np.where(at < share, wave, 0)
    if rng.random() < 0.3:  # struck
        wave = wave * np.exp(-at * period * rng.uniform(2, 10))
    hiss = rng.normal(0, 10 ** rng.uniform(-1, 1.5), len(t))
    return np.clip(np.rint(level * wave + hiss), -32768, 32767).astype(np.int16)


@dataclass(frozen=True)
class Part:
    """What is taken of a set, before any of it is read."""

    name: str
    recordings: tuple[Recording, ...]
    spans: tuple[tuple[Span, ...], ...]
    """Of each recording, in seconds, what is left out."""
    weight: float
    """How often its seconds are drawn, in keywords."""


def training_parts(folder: Path, keywords: Sequence[str], config: SetsConfig) -> list[Part]:
    """The training parts of the sets that there are in a folder.

    Raises:
        DataError: a set is not usable.
    """
    weights = {TALK: config.talk, PHRASES: config.phrases, SOUNDS: config.sounds}
    parts = []
    for name, weight in weights.items():
        recordings = tuple(read_split(folder, name, "training")) if weight else ()
        if recordings:
            spans = spans_of(folder / name, keywords, recordings)
            parts.append(Part(name, recordings, spans, weight))
    return parts


def read_seconds(parts: Sequence[Part], config: SetsConfig, seed: int) -> Seconds | None:
    """Seconds of the parts, and of tones; None without parts.

    Args:
        parts: of training_parts().
        config: how much of tones.
        seed: of the tones.

    Raises:
        DataError: a recording has changed since it was found.
    """
    made: list[tuple[NDArray[np.int16], NDArray[np.bool_], bool, float]] = [
        (
            *cut([one.sound.read() for one in part.recordings], part.spans),
            part.name != SOUNDS,
            part.weight,
        )
        for part in parts
    ]
    if not made:
        return None
    if config.tones:
        rng = np.random.default_rng([seed, 1])
        tones = [tone(rng) for _ in range(TONES)]
        made.append((*cut(tones, [()] * TONES), False, config.tones))
    return Seconds(
        np.concatenate([pcm for pcm, *_ in made]),
        np.concatenate([continues for _, continues, *_ in made]),
        np.concatenate([np.full(len(pcm), speech) for pcm, _, speech, _ in made]),
        np.concatenate([np.full(len(pcm), weight / max(1, len(pcm))) for pcm, *_, weight in made]),
    )
