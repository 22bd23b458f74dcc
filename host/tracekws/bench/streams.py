# SPDX-License-Identifier: Apache-2.0
"""A model on a stream: words heard and missed, false alarms, latency, at every sensitivity.

The streams are those of the module stream. A background is heard by itself, ten minutes from rest
at a time: no word is to be heard in it, so every event is a false alarm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
    Sound,
    add,
    compose,
    held_back,
    judge,
    read_background,
)
from tracekws.bench.talk import Talk, bench_talk
from tracekws.core import Model
from tracekws.data import CLIP_SAMPLES, Progress, Recordings, Stage, read_tree
from tracekws.errors import DataError
from tracekws.sensitivity import LEVELS, odds_q8

PIECE = 10 * MINUTE
CLEAN_DB, NOISY_DB = 40.0, 10.0
"""Background below the recordings' own, and one that is plainly heard."""
SEED = 1
CLIP_HOURS = CLIP_SAMPLES / SAMPLE_RATE / 3600


def minutes_of(recordings: Recordings, keywords: Sequence[str]) -> int:
    """Minutes in which every other word comes about once; never so few that words are missing."""
    others = sum(clip.word not in keywords for clip in recordings.clips)
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
    isolated: bool | None = None,
) -> list[list[Counts]]:
    """Run the core over the parts of a stream: for each, what each detector heard; see listen()."""
    heard = listen(model, parts, odds, workers, progress, weights, isolated)
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
    isolated: bool | None = None,
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
        isolated: whether only words that stand by themselves are heard; as the model says by
            default.

    Raises:
        DataError: no keywords, no other words, or no background.
    """
    planned = compose(recordings, model.keywords, sounds, minutes, snr_db, seed)
    odds = [odds_q8(level) for level in LEVELS]
    heard = hear(model, planned, odds, workers, progress, weights, isolated)
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
    isolated: bool | None = None,
) -> Background:
    """Count false alarms over recordings in which no keyword is said; arguments as above."""
    pieces = [Plain(piece) for sound in sounds for piece in sound.pieces(PIECE)]
    odds = [odds_q8(level) for level in LEVELS]
    heard = hear(model, pieces, odds, workers, progress, weights, isolated)
    return Background(tuple(add(part) for part in zip(*heard, strict=True)))


@dataclass(frozen=True)
class StreamsReport:
    """What is heard of words, of background by itself and of talk, where each was asked for."""

    split: str | None
    """Of the words."""
    seed: int
    isolated: bool
    """Whether only words that stand by themselves were heard."""
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
            "isolated": self.isolated,
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
    stage: Stage = lambda name: lambda done, total: None,
    weights: bytes | None = None,
    isolated: bool | None = None,
) -> StreamsReport:
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
        isolated: whether only words that stand by themselves are heard; as the model says by
            default.

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
        minutes = (
            minutes_of(recordings, model.keywords) if hours is None else max(1, round(60 * hours))
        )
        for ratio in ratios or (CLEAN_DB, NOISY_DB):
            behind = sounds or held_back(tree.noises)
            progress = stage(f"hearing words at {ratio:g} dB")
            speech.append(
                bench_speech(
                    model,
                    recordings,
                    behind,
                    minutes,
                    ratio,
                    seed,
                    workers,
                    progress,
                    weights,
                    isolated,
                )
            )
    if background is not None:
        progress = stage("hearing the background alone")
        alone = bench_background(model, sounds, workers, progress, weights, isolated)
    talks = (
        bench_talk(model, spoken, workers, stage("hearing talk"), weights, isolated)
        if spoken
        else []
    )
    return StreamsReport(
        split if folder else None,
        seed,
        model.isolated if isolated is None else isolated,
        tuple(speech),
        alone,
        tuple(talks),
        repeats,
        tuple(bad),
        long,
        digest,
    )
