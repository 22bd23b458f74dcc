# SPDX-License-Identifier: Apache-2.0
"""Streams to measure a model on, and what counts as heard in them; docs/stream.md says it in words.

A stream is made of minutes. Each has two seconds of background to settle, then clips of held-out
speakers, one in three a keyword, with 0.3 to 1.5 s of background before each, in an order drawn
from the seed; no clip comes again before all others of its kind have come. The background runs
through the whole minute: a stretch of a recording from a random place, at the stated ratio to the
mean power of the speech. A minute starts from rest; nothing is reset within it.

A word lasts from the first to the last 20 ms of its clip that are within 20 dB of the loudest.
An event is a hit when it ends between its word's start and one second after the word's end (the
streaming rule of MLPerf Tiny); a second event for the same word, and any other event, is a false
alarm. A keyword heard as another one is therefore a miss and a false alarm.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE, check_format, read_part
from tracekws.data import CLIP_SAMPLES, READ, SUFFIXES, Clip, Recordings
from tracekws.errors import DataError

MINUTE = 60 * SAMPLE_RATE
LEAD = 2 * SAMPLE_RATE
GAP = (round(0.3 * SAMPLE_RATE), round(1.5 * SAMPLE_RATE))
OTHERS_A_KEYWORD = 2
FRAME = SAMPLE_RATE // 50
WORD_RANGE_DB = 20.0
GRACE = SAMPLE_RATE
"""Samples after a word's end in which an event still belongs to it."""


@dataclass(frozen=True)
class Sound:
    """A part of a recording, read when it is needed, so that it may be hours long."""

    path: Path
    start: int
    samples: int

    def read(self) -> NDArray[np.int16]:
        """The samples, int16.

        Raises:
            DataError: the file's header lies, or it has changed or cannot be read any more.
        """
        return read_part(self.path, self.start, self.samples)

    def pieces(self, longest: int) -> list["Sound"]:
        """The same sound in pieces of so many samples, the last one of what is left."""
        return [
            Sound(self.path, self.start + at, min(longest, self.samples - at))
            for at in range(0, self.samples, longest)
        ]

    def loop(self, start: int, samples: int) -> NDArray[np.int16]:
        """So many samples from start on, from its beginning again where it ends."""
        first = Sound(self.path, self.start + start, min(samples, self.samples - start)).read()
        if len(first) == samples:
            return first
        whole = Sound(self.path, self.start, min(samples, self.samples)).read()
        return np.concatenate([first, np.resize(whole, samples - len(first))])


def open_sounds(paths: Iterable[Path]) -> tuple[list[Sound], list[str]]:
    """Recordings as sounds, and why others are not usable."""
    sounds, bad = [], []
    for path in paths:
        try:
            sounds.append(Sound(path, 0, check_format(path)))
        except DataError as error:
            bad.append(str(error))
    return sounds, bad


def read_background(folder: Path) -> tuple[list[Sound], list[str]]:
    """The user's recordings, in a folder and those below it, and why others are not usable.

    Raises:
        DataError: none is usable.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not paths:
        raise DataError(f"{folder}: no recordings in it; background is {', '.join(READ)}")
    sounds, bad = open_sounds(paths)
    if not sounds:
        raise DataError(f"none of {len(bad)} recordings is usable, the first is {bad[0]}")
    return sounds, bad


def held_back(paths: Iterable[Path]) -> list[Sound]:
    """The last fifth of each noise recording of a tree, which training does not hear.

    Raises:
        DataError: one is not usable.
    """
    sounds = []
    for path in paths:
        samples = check_format(path)
        border = samples * 4 // 5
        sounds.append(Sound(path, border, samples - border))
    return sounds


@dataclass(frozen=True)
class Said:
    """A word in a stream; start and end in samples."""

    word: str
    start: int
    end: int
    speaker: str = ""


def word_bounds(pcm: NDArray[np.int16]) -> tuple[int, int]:
    """First and last sample + 1 of the word in a clip, by its energy (see the module)."""
    frames = pcm[: len(pcm) // FRAME * FRAME].astype(np.float64).reshape(-1, FRAME)
    energy = (frames**2).sum(1)
    (loud,) = np.nonzero(energy >= energy.max() * 10 ** (-WORD_RANGE_DB / 10))
    return int(loud[0]) * FRAME, (int(loud[-1]) + 1) * FRAME


def speech_power(pcm: NDArray[np.int16]) -> float:
    """Mean power of the words in clips: of each, between its bounds; int16 (clips, samples)."""
    powers = []
    for clip in pcm:
        start, end = word_bounds(clip)
        powers.append(float((clip[start:end].astype(np.float64) ** 2).mean()))
    return float(np.mean(powers))


class Deck:
    """Cards drawn in random order, shuffled again when all are out."""

    def __init__(self, cards: Sequence[int], rng: np.random.Generator) -> None:
        """Start with a full deck."""
        self.cards = np.array(cards)
        self.rng = rng
        self.left: list[int] = []
        self.shuffles = 0

    def draw(self) -> int:
        """The next card."""
        if not self.left:
            self.left = [int(card) for card in self.rng.permutation(self.cards)]
            self.shuffles += 1
        return self.left.pop()


@dataclass(frozen=True)
class Minute:
    """A minute of a stream, to be mixed; a clip is int16 (16000,)."""

    clips: NDArray[np.int16]
    words: tuple[str, ...]
    speakers: tuple[str, ...]
    starts: tuple[int, ...]
    background: Sound
    background_start: int
    background_power: float
    is_new: bool
    """No clip of another word in it has come before."""

    def mix(self) -> tuple[NDArray[np.int16], list[Said]]:
        """Its samples, and what is said in it."""
        track = self.background.loop(self.background_start, MINUTE).astype(np.float64)
        track *= math.sqrt(self.background_power / max(1e-9, float((track**2).mean())))
        said = []
        for clip, word, speaker, start in zip(
            self.clips, self.words, self.speakers, self.starts, strict=True
        ):
            track[start : start + len(clip)] += clip
            first, last = word_bounds(clip)
            said.append(Said(word, start + first, start + last, speaker))
        return np.clip(np.rint(track), -32768, 32767).astype(np.int16), said


def make_minute(
    pcm: NDArray[np.int16],
    clips: Sequence[Clip],
    places: Sequence[tuple[int, int]],
    sounds: Sequence[Sound],
    power: float,
    is_new: bool,
    rng: np.random.Generator,
) -> Minute:
    """A minute of clips, over a stretch of a background that is drawn.

    Args:
        pcm: int16 (clips, 16000), of which some are said.
        clips: what they are.
        places: row and first sample of each that is said, in order.
        sounds: background to draw from.
        power: of it.
        is_new: see Minute.
        rng: draws.
    """
    sound = sounds[int(rng.integers(len(sounds)))]
    rows = [row for row, _ in places]
    return Minute(
        pcm[rows],
        tuple(clips[row].word for row in rows),
        tuple(clips[row].speaker for row in rows),
        tuple(start for _, start in places),
        sound,
        int(rng.integers(sound.samples)),
        power,
        is_new,
    )


def compose(
    recordings: Recordings,
    keywords: Sequence[str],
    sounds: Sequence[Sound],
    minutes: int,
    snr_db: float,
    seed: int,
) -> list[Minute]:
    """Draw the minutes of a stream; words and their places are the same for every snr_db.

    Args:
        recordings: clips of speakers that the model was not trained on.
        keywords: words to hear.
        sounds: the background.
        minutes: how many.
        snr_db: mean power of the speech over that of the background.
        seed: of every draw.

    Raises:
        DataError: no keywords, no other words, or no background.
    """
    rng = np.random.default_rng([seed, 0])
    words = [clip.word for clip in recordings.clips]
    wanted = [i for i, word in enumerate(words) if word in keywords]
    other = [i for i, word in enumerate(words) if word not in keywords]
    for there, what in (
        (wanted, "clips of the model's keywords"),
        (other, "clips of other words, to raise false alarms"),
        (sounds, "background: recordings in _background_noise_, or --background DIR"),
    ):
        if not there:
            raise DataError(f"a stream needs {what}, and there are none")
    power = speech_power(recordings.pcm) * 10 ** (-snr_db / 10)
    keyword_deck, other_deck = Deck(wanted, rng), Deck(other, rng)
    planned = []
    for _ in range(minutes):
        places: list[tuple[int, int]] = []
        at = LEAD
        while (at := at + int(rng.integers(*GAP))) + CLIP_SAMPLES + GRACE <= MINUTE:
            deck = other_deck if rng.integers(1 + OTHERS_A_KEYWORD) else keyword_deck
            places.append((deck.draw(), at))
            at += CLIP_SAMPLES
        is_new = other_deck.shuffles <= 1
        planned.append(
            make_minute(recordings.pcm, recordings.clips, places, sounds, power, is_new, rng)
        )
    return planned


@dataclass(frozen=True)
class Counts:
    """What was heard of a stream, by word."""

    keywords: dict[str, int]
    hits: dict[str, int]
    false_alarms: dict[str, int]
    """Events that are no hit, by the word heard."""
    other_words: int
    samples: int
    latencies: tuple[float, ...]
    """Seconds from the word's end to the event, of the hits."""

    @property
    def total(self) -> int:
        """Keywords said."""
        return sum(self.keywords.values())

    @property
    def hit(self) -> int:
        """Keywords heard."""
        return sum(self.hits.values())

    @property
    def false(self) -> int:
        """False alarms."""
        return sum(self.false_alarms.values())

    @property
    def hit_percent(self) -> float:
        """Percent of the keywords that were heard."""
        return 100 * self.hit / self.total

    @property
    def false_per_100(self) -> float:
        """False alarms for 100 other words."""
        return 100 * self.false / self.other_words

    @property
    def hours(self) -> float:
        """Length of the stream."""
        return self.samples / SAMPLE_RATE / 3600


def belongs(end: int, word: Said) -> bool:
    """Whether an event that ends at a sample can be for a word."""
    return word.start <= end <= word.end + GRACE


def words_hit(events: Sequence[tuple[str, int]], said: Sequence[Said]) -> list[Said | None]:
    """The word that each event hits by the rule of the module; None for a false alarm.

    Args:
        events: word heard and end sample.
        said: the words, in order.
    """
    waiting = list(said)
    found = []
    for heard, end in events:
        mine = next((w for w in waiting if w.word == heard and belongs(end, w)), None)
        if mine is not None:
            waiting.remove(mine)
        found.append(mine)
    return found


def judge(
    events: Sequence[tuple[str, int]], said: Sequence[Said], keywords: Sequence[str], samples: int
) -> Counts:
    """Count hits and false alarms by the rule of the module.

    Args:
        events: word heard and end sample.
        said: the words, in order.
        keywords: words that are to be heard.
        samples: length of the stream.
    """
    hits = dict.fromkeys(keywords, 0)
    false_alarms = dict.fromkeys(keywords, 0)
    latencies = []
    wanted = [word for word in said if word.word in keywords]
    for (heard, end), mine in zip(events, words_hit(events, wanted), strict=True):
        if mine is None:
            false_alarms[heard] += 1
            continue
        hits[heard] += 1
        latencies.append((end - mine.end) / SAMPLE_RATE)
    spoken = {word: sum(s.word == word for s in said) for word in keywords}
    others = len(said) - sum(spoken.values())
    return Counts(spoken, hits, false_alarms, others, samples, tuple(latencies))


def add(parts: Sequence[Counts]) -> Counts:
    """Counts of several streams together; at least one."""

    def total(name: str) -> dict[str, int]:
        first: dict[str, int] = getattr(parts[0], name)
        return {word: sum(getattr(part, name)[word] for part in parts) for word in first}

    return Counts(
        total("keywords"),
        total("hits"),
        total("false_alarms"),
        sum(part.other_words for part in parts),
        sum(part.samples for part in parts),
        tuple(latency for part in parts for latency in part.latencies),
    )
