# SPDX-License-Identifier: Apache-2.0
"""Thresholds a word: chosen on streams of words and on talk, so that false alarms are few in both.

Words are taken as independent at first: the share of each that is heard, and the false alarms in
words and in talk, by the word heard, are counted with equal thresholds for all; then prices of a
false alarm in either, in hits, are sought with which the words' own choices keep both bounds and
hear most. A word with few clips goes by what all words do. What the thresholds then do together is
measured on another stream, where they have no luck of choice, and in the talk again; all are raised
until that keeps both bounds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.clips import read_some
from tracekws.bench.listen import Plain, listen
from tracekws.bench.sets import Recording
from tracekws.bench.stream import Counts, Minute, Sound, add, compose, held_back
from tracekws.bench.streams import CLEAN_DB, NOISY_DB, SEED, bench_speech, hear, minutes_of
from tracekws.bench.talk import count
from tracekws.core import ODDS_ONE, Model
from tracekws.data import Progress, Recordings, Stage, Tree
from tracekws.modelfile import with_thresholds

FALSE_PER_100 = 0.6
"""False alarms in 100 other words that thresholds are chosen for."""
FALSE_PER_HOUR = 8.0
"""False alarms in an hour of talk, where there is some to choose by."""
CALIBRATION_SEEDS = (2, 3, 4)
"""Of streams; thresholds are chosen on all but the last, and raised on that."""
MIDDLE = 2.0
"""Log-odds of a threshold from which the detectors' factors of odds reach all candidates."""
CANDIDATES = np.arange(-1.0, 7.01, 0.25)
"""Log-odds of thresholds to choose from."""
PRIOR = 20
"""Keywords said, heard as all words are, that count with each word's own."""
PRICES = np.array([0.0, *np.geomspace(1e-3, 30, 60)])
"""Of as many false alarms as the bound, in shares of a word that is heard."""
STEPS = np.arange(0.0, 3.01, 0.1)
"""Log-odds by which all words' thresholds are raised until the false alarms are few enough."""


def to_odds(log_odds: NDArray[np.float64]) -> list[int]:
    """Factors of odds in Q8."""
    return [round(ODDS_ONE * math.exp(value)) for value in log_odds]


def to_thresholds(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Posteriors with these log-odds."""
    return np.asarray(1 / (1 + np.exp(-log_odds)))


@dataclass(frozen=True)
class Counted:
    """What detectors hear; a row a detector, a column a keyword."""

    hits: NDArray[np.int64]
    false: NDArray[np.int64]
    """Of false alarms over the words."""
    in_talk: NDArray[np.int64]
    """Of those in talk, words of its text aside."""
    said: NDArray[np.int64]
    """(keywords,) how often each is said."""
    others: int
    """Other words."""
    hours: float
    """Of talk."""

    @classmethod
    def of(
        cls,
        runs: Sequence[Counts],
        in_talk: Sequence[dict[str, int]],
        hours: float,
        words: Sequence[str],
    ) -> "Counted":
        """What detectors heard: for each its counts in words, and by keyword in hours of talk."""
        return cls(
            np.array([[run.hits[word] for word in words] for run in runs]),
            np.array([[run.false_alarms[word] for word in words] for run in runs]),
            np.array([[row[word] for word in words] for row in in_talk]),
            np.array([runs[0].keywords[word] for word in words]),
            runs[0].other_words,
            hours,
        )

    @classmethod
    def together(cls, parts: Sequence["Counted"]) -> "Counted":
        """The sum of what is heard of several streams."""
        return cls(*(sum(getattr(part, f.name) for part in parts) for f in fields(cls)))

    @property
    def bounds(self) -> tuple[float, float]:
        """False alarms that are allowed over the words, and in talk."""
        return FALSE_PER_100 / 100 * self.others, FALSE_PER_HOUR * self.hours


def count_all(
    model: Model,
    minutes: Sequence[Minute],
    talk: Sequence[Recording],
    log_odds: NDArray[np.float64],
    workers: int | None,
    progress: Progress,
) -> Counted:
    """Hear words and talk with detectors whose thresholds are raised by some log-odds."""
    odds, words = to_odds(log_odds), model.keywords
    total = len(minutes) + len(talk)
    heard = hear(model, minutes, odds, workers, lambda done, _: progress(done, total))
    runs = [add(part) for part in zip(*heard, strict=True)]
    parts = [Plain(one.sound) for one in talk]
    events = listen(
        model, parts, odds, workers, lambda done, _: progress(len(minutes) + done, total)
    )
    talks = [
        count([one.events[i] for one in events], talk, words).false for i in range(len(log_odds))
    ]
    hours = sum(one.sound.samples for one in talk) / SAMPLE_RATE / 3600
    return Counted.of(runs, talks, hours, words)


def best(counted: Counted) -> NDArray[np.int64]:
    """Which detector is each word's, by the module's rule."""
    rows, columns = counted.hits.shape
    all_words = counted.hits.sum(1, keepdims=True) / max(1, counted.said.sum())
    hits = (counted.hits + PRIOR * all_words) / (counted.said + PRIOR)
    among, an_hour = counted.bounds
    column = np.arange(columns)
    chosen = np.full(columns, rows - 1)
    most = -1.0
    for price in PRICES:
        for price_in_talk in PRICES:
            cost = price * counted.false / max(among, 1)
            cost = cost + price_in_talk * counted.in_talk / max(an_hour, 1)
            # of equal ones the highest threshold
            at = rows - 1 - (hits - cost)[::-1].argmax(0)
            few = counted.false[at, column].sum() <= among
            few = few and counted.in_talk[at, column].sum() <= an_hour
            if few and hits[at, column].mean() > most:
                most, chosen = hits[at, column].mean(), at
    return chosen


@dataclass(frozen=True)
class Case:
    """A model, and what it is to hear; it was not trained on these clips."""

    model: Model
    """Its own thresholds do not matter."""
    minutes: Sequence[Minute]
    """Of compose()."""
    fresh: Sequence[Minute]
    """Another stream, to raise the thresholds on."""


Hear = Callable[[NDArray[np.float64], bool, NDArray[np.float64]], Counted]
"""What detectors hear whose thresholds have log-odds of the classes, raised by some log-odds; of
the streams to choose on, or of the fresh ones."""


def by_hearing(model: Model, hear: Hear) -> NDArray[np.float64]:
    """Thresholds that hear most at so many false alarms, of whatever is heard.

    Args:
        model: gives the classes.
        hear: counts.

    Returns:
        (classes,) posteriors.
    """
    counted = hear(np.full(len(model.labels), MIDDLE), False, CANDIDATES - MIDDLE)
    chosen = CANDIDATES[best(counted)]
    values = np.full(len(model.labels), float(chosen.mean()))
    values[[model.class_of(word) for word in model.keywords]] = chosen
    counted = hear(values, True, STEPS)
    among, an_hour = counted.bounds
    few = (counted.false.sum(1) <= among) & (counted.in_talk.sum(1) <= an_hour)
    step = STEPS[few.argmax()] if few.any() else STEPS[-1]
    return to_thresholds(values + step)


def choose(
    cases: Sequence[Case],
    talk: Sequence[Recording] = (),
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> NDArray[np.float64]:
    """Thresholds of the classes that hear most at so many false alarms.

    Args:
        cases: models of the same classes; several where each was trained without a part of the
            clips, so that the same thresholds do for all.
        talk: sentences with their texts; none leaves talk out.
        workers: processes; all cores by default.
        progress: over both rounds, in percent.

    Returns:
        (classes,) posteriors.
    """
    model = cases[0].model
    rounds = 2 * len(cases)

    def heard(
        values: NDArray[np.float64], is_fresh: bool, log_odds: NDArray[np.float64]
    ) -> Counted:
        parts = []
        for number, case in enumerate(cases):
            given = Model(with_thresholds(case.model, to_thresholds(values)))
            minutes = case.fresh if is_fresh else case.minutes
            at = len(cases) * is_fresh + number

            def done_of(done: int, total: int, at: int = at) -> None:
                progress((100 * at + 100 * done // total) // rounds, 100)

            parts.append(count_all(given, minutes, talk, log_odds, workers, done_of))
        return Counted.together(parts)

    return by_hearing(model, heard)


def case_of(model: Model, recordings: Recordings, sounds: Sequence[Sound], minutes: int) -> Case:
    """Streams of clips to choose thresholds by, each of so many minutes.

    Raises:
        DataError: no keywords, no other words, or no background.
    """
    *chosen_on, fresh = (
        compose(recordings, model.keywords, sounds, minutes, CLEAN_DB, seed)
        for seed in CALIBRATION_SEEDS
    )
    return Case(model, [minute for stream in chosen_on for minute in stream], fresh)


def calibrate(
    model: Model,
    tree: Tree,
    talk: Sequence[Recording] = (),
    workers: int | None = None,
    stage: Stage = lambda name: lambda done, total: None,
) -> tuple[Model, dict[str, list[dict[str, Any]]]]:
    """Give a model thresholds, chosen on validation in clean speech, and measure what they do.

    Args:
        model: as it was trained.
        tree: the data set.
        talk: sentences of validation speakers, to choose by beside the words.
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
        once = minutes_of(recordings, model.keywords)
        if split == "validation":
            case = case_of(model, recordings, sounds, 2 * once)
            values = choose([case], talk, workers, stage("thresholds"))
            model = Model(with_thresholds(model, values))
        results[split] = [
            bench_speech(
                model, recordings, sounds, once, snr, SEED, workers, stage(f"{split} stream")
            ).summary()
            for snr in (CLEAN_DB, NOISY_DB)
        ]
    return model, results
