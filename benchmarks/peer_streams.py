# SPDX-License-Identifier: Apache-2.0
"""Other networks of the same classes in our streams and talk, by our own detector."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.clips import read_some
from tracekws.bench.listen import Part, Plain
from tracekws.bench.margins import NOTHING, SHIPPED, Curve, curve, threshold_at, value_at
from tracekws.bench.own_streams import Streaming
from tracekws.bench.sets import SPEECH, TALK, Recording, read_split
from tracekws.bench.stream import Minute, Said, add, compose, held_back, judge
from tracekws.bench.streams import CLEAN_DB, NOISY_DB, SEED, minutes_of
from tracekws.bench.talk import count
from tracekws.bench.thresholds import Counted, by_hearing, case_of, to_odds, to_thresholds
from tracekws.core import Model, detect, features_and_loudness
from tracekws.data import read_tree
from tracekws.modelfile import with_thresholds

FALSE_PER_100 = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Scored:
    """A part of a stream as a network scores it."""

    scores: NDArray[np.int32]
    """(steps, classes), Q10."""
    loudness: NDArray[np.int32]
    said: tuple[Said, ...]
    samples: int

    def events(self, model: Model, odds: int) -> list[tuple[str, int]]:
        """Words heard by a model's detector, and the end sample of each."""
        heard = detect(model, self.scores, self.loudness, odds)
        return [(model.labels[word], end) for word, end in heard]


def score(network: Streaming, model: Model, part: Part) -> Scored:
    """Hear a part from rest."""
    pcm, said = part.mix()
    steps, loudness = features_and_loudness(pcm, model.front_end)
    return Scored(network.stream(steps), loudness, tuple(said), len(pcm))


def counted(
    model: Model,
    minutes: Sequence[Scored],
    spoken: Sequence[Scored],
    talk: Sequence[Recording],
    log_odds: NDArray[np.float64],
) -> Counted:
    """What detectors hear whose thresholds are raised by some log-odds; see Counted."""
    words = model.keywords
    runs, in_talk = [], []
    for odds in to_odds(log_odds):
        heard = [judge(one.events(model, odds), one.said, words, one.samples) for one in minutes]
        runs.append(add(heard))
        in_talk.append(count([one.events(model, odds) for one in spoken], talk, words).false)
    hours = sum(one.samples for one in spoken) / SAMPLE_RATE / 3600
    return Counted.of(runs, in_talk, hours, words)


@dataclass(frozen=True)
class Ground:
    """What networks are compared on, of a folder of sets."""

    model: Model
    """Gives classes, front end and detector."""
    chosen_on: tuple[Part, ...]
    fresh: tuple[Part, ...]
    talk: tuple[Recording, ...]
    """To choose thresholds by."""
    clean: tuple[Minute, ...]
    noisy: tuple[Minute, ...]
    testing_talk: tuple[Recording, ...]


def read_ground(model: Model, data: Path) -> Ground:
    """Compose the streams that thresholds are chosen on, and those of the testing speakers.

    Raises:
        DataError: a set cannot be read.
    """
    tree = read_tree(data / SPEECH)
    sounds = held_back(tree.noises)
    validation, _ = read_some(tree, "validation", lambda done, total: None)
    case = case_of(model, validation, sounds, 2 * minutes_of(validation, model.keywords))
    testing, _ = read_some(tree, "testing", lambda done, total: None)
    once = minutes_of(testing, model.keywords)
    clean, noisy = (
        tuple(compose(testing, model.keywords, sounds, once, db, SEED))
        for db in (CLEAN_DB, NOISY_DB)
    )
    talk, testing_talk = (
        tuple(read_split(data, TALK, split)) for split in ("validation", "testing")
    )
    return Ground(model, tuple(case.minutes), tuple(case.fresh), talk, clean, noisy, testing_talk)


def with_chosen_thresholds(network: Streaming, ground: Ground) -> Model:
    """The detector with thresholds chosen for a network as thresholds.choose() does for ours."""
    model = ground.model
    hear = partial(score, network, model)
    spoken = [hear(Plain(one.sound)) for one in ground.talk]

    def by(values: NDArray[np.float64], is_fresh: bool, log_odds: NDArray[np.float64]) -> Counted:
        given = Model(with_thresholds(model, to_thresholds(values)))
        parts = ground.fresh if is_fresh else ground.chosen_on
        return counted(given, [hear(part) for part in parts], spoken, ground.talk, log_odds)

    return Model(with_thresholds(model, by_hearing(model, by)))


def heard_of(network: Streaming, ground: Ground, detector: Model) -> dict[str, float]:
    """Percent heard and false alarms of the testing speakers, clean and noisy, and in talk.

    Args:
        network: what scores.
        ground: what is heard.
        detector: with the thresholds that were chosen for the network.
    """
    hear = partial(score, network, ground.model)
    out: dict[str, float] = {}
    places = {}
    for name, parts in (("clean", ground.clean), ("noisy", ground.noisy)):
        total: Curve = NOTHING
        for part in parts:
            one = hear(part)
            total += curve(detector, one.scores, one.loudness, one.said, one.samples)
        heard, false = 100 * total.hits / total.keywords, 100 * total.false / total.others
        for wanted in FALSE_PER_100:
            places[name, wanted] = threshold_at(false[:SHIPPED], wanted)
            out[f"{name}_at_{wanted:g}"] = value_at(heard[:SHIPPED], places[name, wanted])
        out[name], out[f"{name}_false"] = float(heard[SHIPPED]), float(false[SHIPPED])
    talk: Curve = NOTHING
    for sentence in ground.testing_talk:
        one = hear(Plain(sentence.sound))
        said = [Said(w, 0, one.samples) for w in ground.model.keywords if w in sentence.words]
        talk += curve(detector, one.scores, one.loudness, said, one.samples)
    an_hour = talk.false / (talk.samples / SAMPLE_RATE / 3600)
    out["talk_at_1"] = value_at(an_hour[:SHIPPED], places["clean", 1.0])
    out["talk"] = float(an_hour[SHIPPED])
    return out
