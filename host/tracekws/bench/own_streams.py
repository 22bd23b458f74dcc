# SPDX-License-Identifier: Apache-2.0
"""What adapting changes while the device listens: streams of the speaker, of others, and talk.

A speaker's stream has the query clips and the other words of a draw, each once, in a random order.
Beside it every draw hears a minute of other speakers, and about a minute of talk, which change from
draw to draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.margins import (
    NOTHING,
    SHIPPED,
    Curve,
    curve,
    place_of_hits,
    threshold_at,
    value_at,
)
from tracekws.bench.sets import Recording
from tracekws.bench.stream import (
    GAP,
    GRACE,
    LEAD,
    MINUTE,
    Minute,
    Said,
    Sound,
    compose,
    held_back,
    make_minute,
    speech_power,
)
from tracekws.bench.streams import CLEAN_DB
from tracekws.core import ODDS_ONE, Model, features_and_loudness
from tracekws.data import CLIP_SAMPLES, Clip, Recordings, Tree
from tracekws.errors import DataError

CAPTIONS = {
    "stream_self": "this speaker, as it ships",
    "stream_self_false": "false alarms in 100 other words",
    "stream_self_at_1": "at 1 false alarm in 100",
    "stream_others": "other speakers, as it ships",
    "stream_others_false": "false alarms in 100 other words",
    "stream_others_at_1": "at 1 false alarm in 100",
    "talk": "talk: false alarms an hour",
    "talk_at_same_hits": "where this speaker is heard as before",
}
"""The columns of streams that a table shows."""
OTHERS_MINUTES = 30
FALSE_PER_100 = (0.5, 1.0, 2.0)
"""False alarms in 100 other words at which what is heard is compared."""
SEED = 11


@runtime_checkable
class Streaming(Protocol):
    """Whatever gives scores of a stream."""

    def stream(self, features: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores of every step of a stream (steps, 80) heard from rest: (steps, classes), Q10."""


@dataclass(frozen=True)
class Listening:
    """What all draws listen to beside the speaker."""

    sounds: tuple[Sound, ...]
    """Background."""
    others: tuple[Minute, ...]
    talk: tuple[tuple[Recording, ...], ...]
    """Sentences, in pieces of about a minute."""


def pieces_of(sentences: Sequence[Recording]) -> tuple[tuple[Recording, ...], ...]:
    """Sentences in their order, in pieces of a minute or a little more."""
    pieces: list[tuple[Recording, ...]] = []
    waiting: list[Recording] = []
    for one in sentences:
        waiting.append(one)
        if sum(each.sound.samples for each in waiting) >= MINUTE:
            pieces.append(tuple(waiting))
            waiting = []
    return tuple(pieces or [tuple(waiting)]) if sentences else ()


def read_listening(
    tree: Tree,
    others: Recordings,
    keywords: Sequence[str],
    talk: Sequence[Recording],
    snr: float = CLEAN_DB,
) -> Listening | None:
    """What draws listen to; None where the tree has no background, or the others too few words.

    Args:
        tree: gives the background.
        others: clips of speakers who do not adapt.
        keywords: words to hear.
        talk: sentences of others, with their text.
        snr: of the streams, speech over background in dB.

    Raises:
        DataError: a noise recording is not usable.
    """
    sounds = tuple(held_back(tree.noises))
    if not sounds:
        return None
    try:
        minutes = compose(others, keywords, sounds, OTHERS_MINUTES, snr, SEED)
    except DataError:
        return None
    return Listening(sounds, tuple(minutes), pieces_of(talk))


def own_minutes(
    pcm: NDArray[np.int16],
    clips: Sequence[Clip],
    sounds: Sequence[Sound],
    rng: np.random.Generator,
    snr: float = CLEAN_DB,
) -> list[Minute]:
    """A speaker's clips, each once, as minutes of a stream.

    Args:
        pcm: int16 (clips, 16000).
        clips: what they are.
        sounds: the background.
        rng: draws the order, the gaps and the background.
        snr: speech over background in dB.
    """
    power = speech_power(pcm) * 10 ** (-snr / 10)
    planned: list[list[tuple[int, int]]] = []
    at = MINUTE
    for i in rng.permutation(len(clips)):
        at += int(rng.integers(*GAP))
        if at + CLIP_SAMPLES + GRACE > MINUTE:
            planned.append([])
            at = LEAD
        planned[-1].append((int(i), at))
        at += CLIP_SAMPLES
    return [make_minute(pcm, clips, places, sounds, power, True, rng) for places in planned]


Heard = tuple[NDArray[np.int8], NDArray[np.int32], list[Said], int]
"""Features, loudness, what is said, and how many samples."""


class Ears:
    """One process's streams, as the front end hears them; those of others are kept."""

    def __init__(self, model: Model, listening: Listening, odds_q8: int = ODDS_ONE) -> None:
        """Nothing is heard yet; `odds_q8` is of the thresholds as they ship."""
        self.model = model
        self.odds_q8 = odds_q8
        self.listening = listening
        self.others = cache(self._others)
        self.talk = cache(self._talk)

    def _heard(self, pcm: NDArray[np.int16], said: list[Said]) -> Heard:
        return (*features_and_loudness(pcm, self.model.front_end), said, len(pcm))

    def minute(self, minute: Minute) -> Heard:
        """A minute of a stream."""
        return self._heard(*minute.mix())

    def _others(self, place: int) -> list[Heard]:
        return [self.minute(self.listening.others[place])]

    def _talk(self, place: int) -> list[Heard]:
        """Sentences; keywords that are in the text of one are said all the time."""
        heard = []
        for sentence in self.listening.talk[place]:
            pcm = sentence.sound.read()
            words = [word for word in self.model.keywords if word.lower() in sentence.words]
            heard.append(self._heard(pcm, [Said(word, 0, len(pcm)) for word in words]))
        return heard


@dataclass(frozen=True)
class DrawStreams:
    """What one method heard in the streams of one draw."""

    own: Curve
    others: Curve
    talk: Curve


def hear(ears: Ears, learner: Streaming, own: Sequence[Heard], number: int) -> DrawStreams:
    """Let what has learned listen.

    Args:
        ears: of this process.
        learner: it.
        own: the speaker's minutes.
        number: of the draw, which chooses what else is heard.
    """

    def total(streams: Sequence[Heard]) -> Curve:
        heard = NOTHING
        for steps, loudness, said, samples in streams:
            scores = learner.stream(steps)
            heard += curve(ears.model, scores, loudness, said, samples, ears.odds_q8)
        return heard

    others, talk = ears.listening.others, ears.listening.talk
    return DrawStreams(
        total(own),
        total(ears.others(number % len(others))),
        total(ears.talk(number % len(talk))) if talk else NOTHING,
    )


@dataclass(frozen=True)
class StreamSums:
    """Sums over draws: a row a speaker."""

    hits: NDArray[np.int64]
    """(speakers, thresholds), as is the next."""
    false: NDArray[np.int64]
    keywords: NDArray[np.int64]
    """(speakers,), as are the next two."""
    others: NDArray[np.int64]
    samples: NDArray[np.int64]

    @classmethod
    def of(cls, curves: Sequence[Sequence[Curve]]) -> "StreamSums":
        """Of curves[speaker][draw]."""
        sums = [sum(draws, NOTHING) for draws in curves]
        return cls(
            np.array([one.hits for one in sums]),
            np.array([one.false for one in sums]),
            np.array([one.keywords for one in sums]),
            np.array([one.others for one in sums]),
            np.array([one.samples for one in sums]),
        )

    def over(self, speakers: NDArray[np.int64]) -> "Rates":
        """Rates over some speakers, who may come more than once."""
        hours = self.samples[speakers].sum() / SAMPLE_RATE / 3600
        with np.errstate(invalid="ignore", divide="ignore"):
            return Rates(
                100 * self.hits[speakers].sum(0) / self.keywords[speakers].sum(),
                100 * self.false[speakers].sum(0) / self.others[speakers].sum(),
                self.false[speakers].sum(0) / hours,
            )


@dataclass(frozen=True)
class Rates:
    """At each threshold: percent heard, false alarms in 100 other words and in an hour."""

    heard: NDArray[np.float64]
    false_per_100: NDArray[np.float64]
    false_per_hour: NDArray[np.float64]


def columns_of(own: Rates, others: Rates, talk: Rates, unadapted: Rates) -> Mapping[str, float]:
    """The columns of one method over some speakers; not a number where there is nothing to count.

    Args:
        own: of the speakers' streams.
        others: of those of others.
        talk: of sentences.
        unadapted: the speakers' streams before they adapted.
    """
    columns = {}
    for per_100 in FALSE_PER_100:
        place = threshold_at(own.false_per_100[:SHIPPED], per_100)
        columns[f"stream_self_at_{per_100:g}"] = value_at(own.heard[:SHIPPED], place)
    columns["stream_self"] = float(own.heard[SHIPPED])
    columns["stream_self_false"] = float(own.false_per_100[SHIPPED])
    for per_100 in FALSE_PER_100[1:]:
        place = threshold_at(others.false_per_100[:SHIPPED], per_100)
        columns[f"stream_others_at_{per_100:g}"] = value_at(others.heard[:SHIPPED], place)
    columns["stream_others"] = float(others.heard[SHIPPED])
    columns["stream_others_false"] = float(others.false_per_100[SHIPPED])
    columns["talk"] = float(talk.false_per_hour[SHIPPED])
    place = threshold_at(unadapted.false_per_100[:SHIPPED], 1.0)
    before = value_at(unadapted.heard[:SHIPPED], place)
    place = place_of_hits(own.heard[:SHIPPED], before)
    columns["talk_at_same_hits"] = value_at(talk.false_per_hour[:SHIPPED], place)
    return columns
