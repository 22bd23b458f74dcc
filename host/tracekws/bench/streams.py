# SPDX-License-Identifier: Apache-2.0
"""A model on a stream: words heard and missed, false alarms, latency, at every sensitivity.

The streams are those of the module stream. A background is heard by itself, ten minutes from rest
at a time: no word is to be heard in it, so every event is a false alarm.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.clips import read_some
from tracekws.bench.intervals import poisson_interval, rate
from tracekws.bench.listen import Part, Plain, listen
from tracekws.bench.sets import read_set
from tracekws.bench.stream import (
    GAP,
    LEAD,
    MINUTE,
    OTHERS_A_KEYWORD,
    Counts,
    Minute,
    Sound,
    add,
    compose,
    held_back,
    judge,
    read_background,
)
from tracekws.bench.talk import Talk, bench_talk
from tracekws.core import ODDS_ONE, Model
from tracekws.data import CLIP_SAMPLES, Progress, Recordings, Tree, read_tree
from tracekws.errors import DataError
from tracekws.modelfile import with_thresholds
from tracekws.sensitivity import LEVELS, odds_q8

PIECE = 10 * MINUTE
CLEAN_DB, NOISY_DB = 40.0, 10.0
"""Background below the recordings' own, and one that is plainly heard."""
FALSE_PER_100 = 1.0
"""False alarms in 100 other words that thresholds are chosen for."""
SEED = 1
CALIBRATION_SEEDS = (2, 3)
CLIP_HOURS = CLIP_SAMPLES / SAMPLE_RATE / 3600


def minutes_of(recordings: Recordings, model: Model) -> int:
    """Minutes in which every other word comes about once; never so few that words are missing."""
    others = sum(clip.word not in model.keywords for clip in recordings.clips)
    clip = CLIP_SAMPLES + sum(GAP) / 2
    share = OTHERS_A_KEYWORD / (1 + OTHERS_A_KEYWORD)
    return max(3, round(others * clip / share / (MINUTE - LEAD)))


# --- what is measured -----------------------------------------------------------------------------


def hear(
    model: Model,
    parts: Sequence[Part],
    odds: Sequence[int],
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    weights: bytes | None = None,
) -> list[list[Counts]]:
    """Run the core over the parts of a stream: for each, what each detector heard; see listen()."""
    heard = listen(model, parts, odds, workers, progress, weights)
    return [
        [judge(events, one.said, model.keywords, one.samples) for events in one.events]
        for one in heard
    ]


@dataclass(frozen=True)
class Background:
    """What is heard where nothing is said; counts for each of LEVELS."""

    levels: tuple[Counts, ...]

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        own = self.levels[LEVELS.index(0)]
        return {
            "hours": own.hours,
            "false_alarms": own.false,
            "false_alarms_per_hour": rate(own.false, own.hours),
            "rows": own.false_alarms,
            "levels": [
                {"sensitivity": level, "false_alarms_per_hour": rate(at.false, at.hours)}
                for level, at in zip(LEVELS, self.levels, strict=True)
            ],
        }


@dataclass(frozen=True)
class Speech:
    """What is heard of words at one ratio of speech to background; counts for each of LEVELS."""

    snr_db: float
    levels: tuple[Counts, ...]
    new: Counts
    """Of the minutes before another word's clip came again, at the model's own thresholds."""

    @property
    def own(self) -> Counts:
        """At the model's own thresholds."""
        return self.levels[LEVELS.index(0)]

    def roc(self) -> list[dict[str, float]]:
        """Hits and false alarms at every sensitivity."""
        return [
            {
                "sensitivity": level,
                "hit_percent": at.hit_percent,
                "false_alarms_per_100_other_words": at.false_per_100,
            }
            for level, at in zip(LEVELS, self.levels, strict=True)
        ]

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        own, new = self.own, self.new
        latency = [float(s) for s in np.percentile(own.latencies, [50, 95])] if own.hit else None
        low, high = poisson_interval(own.false)
        return {
            "snr_db": self.snr_db,
            "hours": own.hours,
            "keywords": own.total,
            "hits": own.hit,
            "misses": own.total - own.hit,
            "hit_percent": own.hit_percent,
            "other_words": own.other_words,
            "distinct_other_words": new.other_words,
            "false_alarms": own.false,
            "false_alarms_per_hour": rate(own.false, own.hours),
            "false_alarms_per_100_other_words": {
                "mean": own.false_per_100,
                "low": 100 * low / own.other_words,
                "high": 100 * high / own.other_words,
            },
            "false_alarms_per_distinct_hour": rate(new.false, new.other_words * CLIP_HOURS),
            "latency_seconds": latency and {"median": latency[0], "p95": latency[1]},
            "rows": [
                {
                    "word": word,
                    "keywords": own.keywords[word],
                    "hits": own.hits[word],
                    "misses": own.keywords[word] - own.hits[word],
                    "false_alarms": own.false_alarms[word],
                }
                for word in own.keywords
            ],
            "roc": self.roc(),
        }


def bench_speech(
    model: Model,
    recordings: Recordings,
    sounds: Sequence[Sound],
    minutes: int,
    snr_db: float,
    seed: int = SEED,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    weights: bytes | None = None,
) -> Speech:
    """Measure a model on a stream of words.

    Args:
        model: the model.
        recordings: clips of speakers that it was not trained on.
        sounds: background.
        minutes: length of the stream.
        snr_db: mean power of the speech over that of the background.
        seed: of the stream.
        workers: processes; all cores by default.
        progress: over minutes.
        weights: what the model has learned; its own by default.

    Raises:
        DataError: no keywords, no other words, or no background.
    """
    planned = compose(recordings, model.keywords, sounds, minutes, snr_db, seed)
    heard = hear(model, planned, [odds_q8(level) for level in LEVELS], workers, progress, weights)
    levels = tuple(add(part) for part in zip(*heard, strict=True))
    if not levels[0].total or not levels[0].other_words:
        raise DataError("the stream is so short that a kind of word is missing: give more --hours")
    own = LEVELS.index(0)
    new = [at[own] for at, minute in zip(heard, planned, strict=True) if minute.is_new]
    return Speech(snr_db, levels, add(new or [heard[0][own]]))


def bench_background(
    model: Model,
    sounds: Sequence[Sound],
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    weights: bytes | None = None,
) -> Background:
    """Count false alarms over recordings in which no keyword is said; arguments as above."""
    pieces = [Plain(piece) for sound in sounds for piece in sound.pieces(PIECE)]
    heard = hear(model, pieces, [odds_q8(level) for level in LEVELS], workers, progress, weights)
    return Background(tuple(add(part) for part in zip(*heard, strict=True)))


@dataclass(frozen=True)
class Report:
    """What is heard of words, of background by itself and of talk, where each was asked for."""

    split: str | None
    """Of the words."""
    seed: int
    speech: tuple[Speech, ...]
    """A row a ratio of speech to background."""
    background: Background | None
    talk: tuple[Talk, ...]
    """A row a split."""
    repeats: int
    bad: tuple[str, ...]
    """Why files were left out."""
    long: int
    """Clips longer than a second, of which the loudest second is said."""
    digest: str | None
    """Of the words' clips."""

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "split": self.split,
            "seed": self.seed,
            "speech": [one.summary() for one in self.speech],
            "background": self.background and self.background.summary(),
            "talk": [one.summary() for one in self.talk],
            "repeats_dropped": self.repeats,
            "bad": list(self.bad),
            "long_clips": self.long,
            "data": self.digest,
        }


def measure(
    model: Model,
    folder: Path | None,
    split: str,
    background: Path | None = None,
    sentences: Path | None = None,
    hours: float | None = None,
    ratios: Sequence[float] | None = None,
    seed: int = SEED,
    workers: int | None = None,
    stage: Callable[[str], Progress] = lambda name: lambda done, total: None,
    weights: bytes | None = None,
) -> Report:
    """Measure a model on streams of a data set's words, on a background alone, on talk.

    Args:
        model: the model.
        folder: a Speech Commands tree, whose words are said; none if there is none.
        split: whose speakers are heard: training, validation, testing or all.
        background: folder of recordings without keywords; by default the tree's noise is behind
            the words, and no background is heard by itself.
        sentences: folder of talk, a set whose table has texts; see read_set().
        hours: length of a stream of words; by default each other word comes about once.
        ratios: speech over background in dB, a stream each; CLEAN_DB and NOISY_DB by default.
        seed: of the streams.
        workers: processes; all cores by default.
        stage: gives, for the name of a stage, what its progress is reported to.
        weights: what the model has learned; its own by default.

    Raises:
        DataError: a folder that is not usable, no keywords, no other words, or no background.
    """
    speech: list[Speech] = []
    alone = None
    digest, repeats, long = None, 0, 0
    sounds, bad = read_background(background) if background else ([], [])
    spoken = read_set(sentences, text=True) if sentences else []
    if folder is not None:
        tree = read_tree(folder)
        recordings, unread = read_some(tree, split, stage("reading"))
        digest, repeats, bad = recordings.digest, len(recordings.repeats), [*bad, *unread]
        long = len(recordings.long)
        minutes = minutes_of(recordings, model) if hours is None else max(1, round(60 * hours))
        for ratio in ratios or (CLEAN_DB, NOISY_DB):
            behind = sounds or held_back(tree.noises)
            progress = stage(f"hearing words at {ratio:g} dB")
            speech.append(
                bench_speech(
                    model, recordings, behind, minutes, ratio, seed, workers, progress, weights
                )
            )
    if background is not None:
        progress = stage("hearing the background alone")
        alone = bench_background(model, sounds, workers, progress, weights)
    talks = bench_talk(model, spoken, workers, stage("hearing talk"), weights) if spoken else []
    return Report(
        split if folder else None,
        seed,
        tuple(speech),
        alone,
        tuple(talks),
        repeats,
        tuple(bad),
        long,
        digest,
    )


# --- thresholds -----------------------------------------------------------------------------------

EVEN = 0.5
"""A threshold whose odds are one."""
CANDIDATES = np.arange(-1.0, 5.51, 0.5)
"""Log-odds of thresholds to choose from."""
PRIOR = 20
"""Keywords said, heard as all words are, that count with each word's own."""
STEPS = np.arange(0.0, 3.01, 0.2)
"""Log-odds by which all words' thresholds are raised until the false alarms are few enough."""


def to_odds(log_odds: NDArray[np.float64]) -> list[int]:
    """Factors of odds in Q8."""
    return [round(ODDS_ONE * math.exp(value)) for value in log_odds]


def to_thresholds(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Posteriors with these log-odds."""
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def choose(
    model: Model,
    minutes: Sequence[Minute],
    fresh: Sequence[Minute],
    false_per_100: float,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> bytes:
    """The image with thresholds a word that hear most keywords at so many false alarms.

    Words are taken as independent at first: the share of each that is heard, and the false alarms,
    by the word heard, are counted with equal thresholds for all; then the price of a false alarm in
    hits is raised until what the words choose is within the bound. A word with few clips goes by
    what all words do. What the thresholds then do together is measured on another stream, where
    they have no luck of choice, and all are raised until that is within the bound too.

    Args:
        model: its own thresholds do not matter.
        minutes: of compose(), with clips that the figures to be reported are not from.
        fresh: another stream, to raise the thresholds on.
        false_per_100: the bound: false alarms in 100 other words.
        workers: processes; all cores by default.
        progress: over both rounds.
    """

    def count(
        image: bytes, minutes: Sequence[Minute], log_odds: NDArray[np.float64], before: int
    ) -> list[Counts]:
        def told(done: int, _: int) -> None:
            progress(before + done, total)

        heard = hear(Model(image), minutes, to_odds(log_odds), workers, told)
        return [add(part) for part in zip(*heard, strict=True)]

    keywords = model.keywords
    labels = len(model.labels)
    total = len(minutes) + len(fresh)
    runs = count(with_thresholds(model, np.full(labels, EVEN)), minutes, CANDIDATES, 0)
    said = np.array([runs[0].keywords[word] for word in keywords])
    heard = np.array([[run.hits[word] for word in keywords] for run in runs])
    all_words = heard.sum(1, keepdims=True) / said.sum()
    hits = (heard + PRIOR * all_words) / (said + PRIOR)
    false = np.array([[run.false_alarms[word] for word in keywords] for run in runs])
    budget = false_per_100 / 100 * runs[0].other_words
    chosen = np.full(len(keywords), len(CANDIDATES) - 1)
    for price in np.geomspace(1e-4, 10, 300):
        # of equal ones the highest threshold
        chosen = len(CANDIDATES) - 1 - (hits - price * false)[::-1].argmax(0)
        if false[chosen, np.arange(len(keywords))].sum() <= budget:
            break
    values = np.full(labels, float(CANDIDATES[chosen].mean()))
    values[[model.class_of(word) for word in keywords]] = CANDIDATES[chosen]
    first = with_thresholds(model, to_thresholds(values))
    raised = count(first, fresh, STEPS, len(minutes))
    budget = false_per_100 / 100 * raised[0].other_words
    step = next((s for s, at in zip(STEPS, raised, strict=True) if at.false <= budget), STEPS[-1])
    return with_thresholds(model, to_thresholds(values + step))


def calibrate(
    model: Model,
    tree: Tree,
    workers: int | None = None,
    stage: Callable[[str], Progress] = lambda name: lambda done, total: None,
) -> tuple[Model, dict[str, list[dict[str, Any]]]]:
    """Give a model thresholds, chosen on validation in clean speech, and measure what they do.

    Args:
        model: as it was trained.
        tree: the data set.
        workers: processes; all cores by default.
        stage: gives, for the name of a stage, what its progress is reported to.

    Returns:
        The model, and for its card by split what Speech.summary() says, clean and with noise. The
        model as it is, and nothing, where the tree has no noise, or no keywords and other words for
        validation.

    Raises:
        DataError: a bad noise recording.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    sounds = held_back(tree.noises)
    for split in ("validation", "testing") if tree.has_lists and sounds else ():
        kinds = {clip.word in model.keywords for clip in tree.of(split)}
        if len(kinds) < 2:
            break  # without validation no testing either
        recordings, _ = read_some(tree, split, lambda done, total: None)
        once = minutes_of(recordings, model)
        if split == "validation":
            first, fresh = (
                compose(recordings, model.keywords, sounds, 2 * once, CLEAN_DB, seed)
                for seed in CALIBRATION_SEEDS
            )
            progress = stage("thresholds")
            model = Model(choose(model, first, fresh, FALSE_PER_100, workers, progress))
        results[split] = [
            bench_speech(
                model, recordings, sounds, once, snr, SEED, workers, stage(f"{split} stream")
            ).summary()
            for snr in (CLEAN_DB, NOISY_DB)
        ]
    return model, results
