# SPDX-License-Identifier: Apache-2.0
"""Seconds of talk, phrases, sounds, tones and single other words: no keyword is heard in them."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.sets import (
    PHRASES,
    SOUNDS,
    TALK,
    Recording,
    read_split,
    read_table,
    without_suffix,
)
from tracekws.data import CLIP_SAMPLES
from tracekws.errors import DataError
from tracekws.names import normalised
from tracekws.train.config import SetsConfig

WORDS, BACKWARDS = "words", "backwards"
"""Parts made of the words of talk, each alone."""
TONES = 500
TONE_SECONDS = 4
"""Made-up recordings, and their length."""
SHORTEST = CLIP_SAMPLES // 2
"""Of what is left at the end of a recording, to be a second of its own."""

SHORTEST_WORD, LONGEST_WORD = 0.15, 0.85
"""Seconds of a word that is cut out of talk."""
TOLD_APART = 8
"""Times that a word must be said to be told apart."""
MARGIN, FADE = 480, 320
"""Samples around such a word, and of its rise and fall."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Seconds:
    """Seconds of recordings, in their order."""

    pcm: NDArray[np.int16]
    """(seconds, 16000)."""
    continues: NDArray[np.bool_]
    """Whether a second goes on where the one before it in the array ends."""
    is_speech: NDArray[np.bool_]
    words: tuple[str, ...]
    """Of each, the word where one is told apart; else empty."""
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


def alone(
    samples: NDArray[np.int16], span: Span, backwards: bool, rng: np.random.Generator
) -> NDArray[np.int16]:
    """What is said in a span, in a second of its own, amid faint hiss.

    Args:
        samples: of the recording.
        span: seconds.
        backwards: whether time is reversed: speech of no language.
        rng: draws the hiss.
    """
    fade = np.sin(np.linspace(0, np.pi / 2, FADE)) ** 2
    first, last = (round(at * SAMPLE_RATE) for at in span)
    word = samples[max(0, first - MARGIN) : last + MARGIN].astype(np.float64)
    rise = fade[: len(word)]
    word[: len(rise)] *= rise
    word[len(word) - len(rise) :] *= rise[::-1]
    second = rng.normal(0, 10 ** rng.uniform(-0.5, 1.5), CLIP_SAMPLES)
    at = (CLIP_SAMPLES - len(word)) // 2
    second[at : at + len(word)] += word[::-1] if backwards else word
    return np.clip(np.rint(second), -32768, 32767).astype(np.int16)


def recordings_of(folder: Path, name: str, exclude: frozenset[str]) -> tuple[Recording, ...]:
    """The recordings of a set's training part without those of some speakers; maybe none.

    Raises:
        DataError: the set is not usable.
    """
    found = read_split(folder, name, "training")
    return tuple(one for one in found if normalised(one.speaker) not in exclude)


def times_of(folder: Path) -> dict[str, list[tuple[str, Span]]]:
    """Words and when they are said, by recording: `words.tsv` of a set; nothing without it.

    Its columns are file (its suffix left out or not), word, start, end, in seconds.

    Returns:
        Words in small letters, form NFC, by the recording's name.

    Raises:
        DataError: the table is not usable.
    """
    table = folder / "words.tsv"
    said: dict[str, list[tuple[str, Span]]] = defaultdict(list)
    rows = read_table(table, ("file", "word", "start", "end")) if table.is_file() else {}
    for line, row in rows.items():
        try:
            span = float(row["start"]), float(row["end"])
        except ValueError as error:
            raise DataError(f"{table}: line {line}: {error}") from error
        if not 0 <= span[0] < span[1] < math.inf:
            raise DataError(f"{table}: line {line}: no word is said from {span[0]} to {span[1]} s")
        said[without_suffix(row["file"])].append((normalised(row["word"]).lower(), span))
    return said


def keyword_spans(
    times: Mapping[str, Sequence[tuple[str, Span]]],
    keywords: Sequence[str],
    recordings: Sequence[Recording],
) -> tuple[tuple[Span, ...], ...]:
    """Where keywords are said in each recording; all of one of which the times are not known."""
    spans = []
    for one in recordings:
        said = times.get(one.name, ())
        known = one.words & {*keywords} <= {word for word, _ in said}
        here = tuple(span for word, span in said if word in keywords)
        spans.append(here if known else ((0.0, math.inf),))
    return tuple(spans)


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


Piece = tuple[NDArray[np.int16], bool, str]
"""Samples of a second, whether it continues the one before, and the word told apart in it."""


@dataclass(frozen=True)
class Part:
    """What is taken of a set, before any of it is read."""

    name: str
    recordings: tuple[Recording, ...]
    spans: tuple[tuple[Span, ...], ...]
    """Of each recording, in seconds, what is left out."""
    weight: float
    """How often its seconds are drawn, in keywords."""

    @property
    def count(self) -> int:
        """Recordings, or words that stand alone."""
        return len(self.recordings)

    def pieces(self, rng: np.random.Generator) -> Iterator[Piece]:
        """Its seconds.

        Raises:
            DataError: a recording has changed since it was found.
        """
        pcm, continues = cut([one.sound.read() for one in self.recordings], self.spans)
        yield from ((row, bool(goes_on), "") for row, goes_on in zip(pcm, continues, strict=True))


@dataclass(frozen=True)
class WordPart(Part):
    """Words of recordings, each alone in a second; `spans` are theirs."""

    words: tuple[tuple[str, ...], ...]
    """Of each span, the word where it is told apart; else empty."""
    backwards: bool

    @property
    def count(self) -> int:
        """See Part."""
        return sum(map(len, self.spans))

    def pieces(self, rng: np.random.Generator) -> Iterator[Piece]:
        """Its seconds; see Part."""
        for one, spans, words in zip(self.recordings, self.spans, self.words, strict=True):
            samples = one.sound.read()
            for span, word in zip(spans, words, strict=True):
                yield alone(samples, span, self.backwards, rng), False, word


def other_words(
    recordings: tuple[Recording, ...],
    times: Mapping[str, Sequence[tuple[str, Span]]],
    keywords: Sequence[str],
    least: int,
    weight: float = 0.0,
) -> WordPart:
    """The words of recordings that are no keywords; told apart where they are said so often.

    Times behind a recording's end, where nothing is said, are left out.
    """
    said = [
        [
            (word, (start, end))
            for word, (start, end) in times.get(one.name, ())
            if word not in keywords
            and end - start <= LONGEST_WORD
            and min(end, one.sound.samples / SAMPLE_RATE) - start >= SHORTEST_WORD
        ]
        for one in recordings
    ]
    counts = Counter(word for words in said for word, _ in words)
    spans = tuple(tuple(span for _, span in words) for words in said)
    told = tuple(tuple(w if counts[w] >= least else "" for w, _ in words) for words in said)
    return WordPart(WORDS, recordings, spans, weight, told, False)


def word_parts(
    recordings: tuple[Recording, ...],
    times: Mapping[str, Sequence[tuple[str, Span]]],
    keywords: Sequence[str],
    config: SetsConfig,
) -> list[Part]:
    """Words alone, forwards and backwards; those that are said often are told apart forwards."""
    forwards = other_words(recordings, times, keywords, TOLD_APART, config.words)
    untold = tuple(("",) * len(words) for words in forwards.words)
    backwards = replace(
        forwards, name=BACKWARDS, weight=config.backwards, words=untold, backwards=True
    )
    return [part for part in (forwards, backwards) if part.count and part.weight]


def spoken_words(
    folder: Path, keywords: Sequence[str], exclude: frozenset[str] = frozenset()
) -> WordPart | None:
    """The other words of talk's training part, each told apart; None where there are none.

    Args:
        folder: of sets.
        keywords: no other words.
        exclude: speakers that are left out.

    Raises:
        DataError: the set is not usable.
    """
    keywords = [word.lower() for word in keywords]
    recordings = recordings_of(folder, TALK, exclude)
    part = other_words(recordings, times_of(folder / TALK), keywords, 1) if recordings else None
    return part if part and part.count else None


def training_parts(
    folder: Path,
    keywords: Sequence[str],
    config: SetsConfig,
    exclude: frozenset[str] = frozenset(),
) -> list[Part]:
    """The training parts of the sets that there are in a folder.

    Args:
        folder: of sets.
        keywords: what is not to be in them.
        config: how much of each.
        exclude: speakers that are left out, by the sets' tables.

    Raises:
        DataError: a set is not usable.
    """
    keywords = [word.lower() for word in keywords]
    weights = {TALK: config.talk, PHRASES: config.phrases, SOUNDS: config.sounds}
    parts: list[Part] = []
    for name, weight in weights.items():
        recordings = recordings_of(folder, name, exclude)
        times = times_of(folder / name) if recordings else {}
        if recordings and weight:
            parts.append(Part(name, recordings, keyword_spans(times, keywords, recordings), weight))
        if name == TALK:
            parts += word_parts(recordings, times, keywords, config)
    return parts


def told_apart(parts: Sequence[Part]) -> frozenset[str]:
    """The words of the parts that training tells apart."""
    words = (part.words for part in parts if isinstance(part, WordPart))
    return frozenset(word for of_part in words for one in of_part for word in one if word)


def read_seconds(parts: Sequence[Part], config: SetsConfig, seed: int) -> Seconds | None:
    """Seconds of the parts, and of tones; None without parts.

    Args:
        parts: of training_parts().
        config: how much of tones.
        seed: of the tones, and of the hiss around words.

    Raises:
        DataError: a recording has changed since it was found.
    """
    if not parts:
        return None
    rng = np.random.default_rng([seed, 2])
    made = [([*part.pieces(rng)], part.name != SOUNDS, part.weight) for part in parts]
    if config.tones:
        rng = np.random.default_rng([seed, 1])
        pcm, continues = cut([tone(rng) for _ in range(TONES)], [()] * TONES)
        tones = [(row, bool(goes_on), "") for row, goes_on in zip(pcm, continues, strict=True)]
        made.append((tones, False, config.tones))
    rows = [piece for pieces, *_ in made for piece in pieces]
    return Seconds(
        np.array([pcm for pcm, *_ in rows], dtype=np.int16).reshape(-1, CLIP_SAMPLES),
        np.array([continues for _, continues, _ in rows], dtype=bool),
        np.concatenate([np.full(len(pieces), speech) for pieces, speech, _ in made]),
        tuple(word for *_, word in rows),
        np.concatenate([np.full(len(pieces), w / max(1, len(pieces))) for pieces, _, w in made]),
    )
