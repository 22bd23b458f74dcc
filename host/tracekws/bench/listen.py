# SPDX-License-Identifier: Apache-2.0
"""What a model hears in sounds, spread over processes: its events, not yet judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracekws.bench.stream import Said, Sound
from tracekws.core import ODDS_ONE, Model, Network, detect, features_and_loudness
from tracekws.data import Progress
from tracekws.parallel import spread

Event = tuple[str, int]
"""A word heard, and the end sample of the second that it was heard in."""


class Part(Protocol):
    """Something to hear from rest, made where it is heard."""

    def mix(self) -> tuple[NDArray[np.int16], list[Said]]:
        """Its samples, and what is said in it."""


@dataclass(frozen=True)
class Plain:
    """A recording as it is."""

    sound: Sound

    def mix(self) -> tuple[NDArray[np.int16], list[Said]]:
        """Its samples; nothing that is to be heard."""
        return self.sound.read(), []


@dataclass(frozen=True)
class HeardPart:
    """What was heard of a part."""

    events: tuple[tuple[Event, ...], ...]
    """For each detector."""
    said: tuple[Said, ...]
    samples: int


class Ear:
    """One process's copy of the model, and the settings of the detectors that listen to it."""

    def __init__(
        self,
        image: bytes,
        weights: bytes | None,
        odds: Sequence[int],
        isolated: bool | None,
    ) -> None:
        """Load the model, with its own weights or with learned ones."""
        self.model = Model(image)
        self.network = Network(self.model, weights)
        self.odds = odds
        self.isolated = isolated

    def hear(self, part: Part) -> HeardPart:
        """Make a part, and hear it from rest."""
        pcm, said = part.mix()
        steps, loudness = features_and_loudness(pcm, self.model.front_end)
        scores = self.network.stream(steps)
        events = (
            tuple(
                (self.model.labels[word], end)
                for word, end in detect(self.model, scores, loudness, odds, self.isolated)
            )
            for odds in self.odds
        )
        return HeardPart(tuple(events), tuple(said), len(pcm))


def listen(
    model: Model,
    parts: Sequence[Part],
    odds: Sequence[int] = (ODDS_ONE,),
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    weights: bytes | None = None,
    isolated: bool | None = None,
) -> list[HeardPart]:
    """Run the core over parts, each from rest.

    Args:
        model: the model.
        parts: what is heard.
        odds: of the detectors: what the thresholds' odds are multiplied by, Q8.
        workers: processes; all cores by default.
        progress: over the parts.
        weights: what the model has learned; its own by default.
        isolated: whether only words that stand by themselves are heard; as the model says by
            default.
    """
    make = partial(Ear, model.image, weights, tuple(odds), isolated)
    heard = []
    for one in spread(Ear.hear, parts, workers, make):
        heard.append(one)
        progress(len(heard), len(parts))
    return heard
