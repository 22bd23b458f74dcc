# SPDX-License-Identifier: Apache-2.0
"""Sessions of adapting whose takes are wrong: what the guard refuses, and what is heard after.

Each session has as many takes of each keyword as adapting has; those that are wrong are exchanged
for something else under the same name, or all for those of one other speaker of the list. Other
words that are learned as keywords are said in the stream, too. The speaker's stream, as
own_streams.py makes it, is heard by the detector as it ships before the session, and after it with
and without the guard.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws.bench.adapting import Experiment, People
from tracekws.bench.margins import NOTHING, SHIPPED, Curve, curve
from tracekws.bench.own_streams import Ears, own_minutes
from tracekws.core import GUARDED, TAKES, Model
from tracekws.data import CLIP_SAMPLES, Episode, Progress, episode
from tracekws.errors import DataError
from tracekws.learner import FULL_SCALE, MOST_REFUSED, Learner
from tracekws.parallel import spread
from tracekws.renditions import take_features

A_POINT = 100
"""One in so many words."""
CAPTIONS = {
    "right": "all takes right",
    "one label": "takes of one word are of another",
    "labels": "every label is of another word",
    "other words": "other words, as keywords",
    "speaker": "another speaker's takes of the words",
    "noise": "noise",
    "silence": "silence",
}
"""Kinds of session."""


@dataclass(frozen=True)
class Session:
    """What one session did."""

    wrong: int
    """Takes that were exchanged, or for a session without any, all."""
    kept: int
    """Of them, those that the guard let by."""
    hits: tuple[int, int, int]
    """Keywords heard before, after with the guard, after without; as are the next."""
    false: tuple[int, int, int]
    said: int
    others: int

    def harms(self, place: int) -> bool:
        """Whether a point or more of the words is missed that were heard before, or more false.

        Args:
            place: 1 with the guard, 2 without.
        """
        missed = self.hits[0] - self.hits[place]
        more = self.false[place] - self.false[0]
        return A_POINT * missed >= max(1, self.said) or A_POINT * more >= max(1, self.others)


@dataclass(frozen=True)
class Poisoned:
    """All sessions of a kind."""

    kind: str
    sessions: tuple[Session, ...]

    def summary(self) -> dict[str, Any]:
        """Plain data for --json; percent of all words, and of sessions counts."""

        def total(of: Callable[[Session], int]) -> int:
            return sum(of(one) for one in self.sessions)

        wrong, said = total(lambda s: s.wrong), total(lambda s: s.said)
        others = total(lambda s: s.others)

        def percent(count: int, of: int) -> float | None:
            return 100 * count / of if of else None

        names = ("before", "guarded", "unguarded")
        return {
            "kind": self.kind,
            "sessions": len(self.sessions),
            "takes": wrong,
            "takes_kept": percent(total(lambda s: s.kept), wrong),
            "sessions_kept": sum(one.kept > 0 for one in self.sessions),
            "heard": {
                name: percent(sum(one.hits[i] for one in self.sessions), said)
                for i, name in enumerate(names)
            },
            "false_per_100": {
                name: percent(sum(one.false[i] for one in self.sessions), others)
                for i, name in enumerate(names)
            },
            "harmed": {
                name: sum(one.harms(i) for one in self.sessions)
                for i, name in enumerate(names)
                if i
            },
        }


class Poisoner:
    """One process's copy of the experiment."""

    def __init__(
        self,
        image: bytes,
        people: People,
        noises: Sequence[NDArray[np.int16]],
        settings: Experiment,
    ) -> None:
        """Nothing is learned yet."""
        self.model = Model(image)
        self.people = people
        self.noises = noises
        self.settings = settings
        if people.listening is None:
            raise DataError("there is nothing to listen to: no background, or too few words")
        self.ears = Ears(self.model, people.listening)

    def run(self, task: tuple[str, int]) -> dict[str, Session]:
        """All kinds of session of one speaker and draw."""
        speaker, number = task
        person = self.people.speakers.index(speaker)

        def rng(stream: int) -> np.random.Generator:
            return np.random.default_rng([self.settings.seed, 1 + number, person, stream])

        clips = self.people.clips
        keywords = self.model.keywords
        draw = episode(clips, speaker, keywords, self.settings.shots, 0, rng(0))
        rows = [*draw.query, *draw.other_words]
        minutes = own_minutes(
            self.people.pcm[rows],
            [clips[i] for i in rows],
            self.ears.listening.sounds,
            rng(3),
        )
        heard = [self.ears.minute(minute) for minute in minutes]

        def listen(learner: Learner) -> Curve:
            total = NOTHING
            for steps, loudness, said, samples in heard:
                total += curve(self.model, learner.stream(steps), loudness, said, samples)
            return total

        before = listen(Learner(self.model))
        found = {}
        for place, kind in enumerate(CAPTIONS):
            takes, wrong = self.takes(kind, draw, rng(10 + place))
            kept = 0
            after = []
            for method in (TAKES | GUARDED, TAKES):
                learner = Learner(self.model)
                done = [
                    learner.take(
                        take_features(pcm, self.model.front_end, True), label, method, FULL_SCALE
                    )
                    for pcm, label in takes
                ]
                if done.count(False) > MOST_REFUSED * len(done):
                    learner = Learner(self.model)
                elif method != TAKES:
                    kept = sum(done[i] for i in wrong)
                after.append(listen(learner))
            curves = (before, *after)
            found[kind] = Session(
                len(wrong),
                kept,
                tuple(int(one.hits[SHIPPED]) for one in curves),  # type: ignore[arg-type]
                tuple(int(one.false[SHIPPED]) for one in curves),  # type: ignore[arg-type]
                before.keywords,
                before.others,
            )
        return found

    def takes(
        self, kind: str, draw: Episode, rng: np.random.Generator
    ) -> tuple[list[tuple[NDArray[np.int16], int]], set[int]]:
        """The takes of a session with their classes, and places of those that are wrong."""
        pcm, clips = self.people.pcm, self.people.clips
        if kind == "speaker":
            draw = self.another(draw.speaker, rng)
        labels = [self.model.class_of(clips[row].word) for row in draw.support]
        right = [pcm[row] for row in draw.support]
        everything = set(range(len(right)))
        if kind in ("right", "speaker"):
            return list(zip(right, labels, strict=True)), everything
        if kind in ("labels", "one label"):
            words = sorted(set(labels))
            others = dict(zip(words, np.roll(words, 1).tolist(), strict=True))
            chosen = {int(rng.choice(words))} if kind == "one label" else set(words)
            wrong = {i for i, label in enumerate(labels) if label in chosen}
            named = [others[label] if i in wrong else label for i, label in enumerate(labels)]
            return list(zip(right, named, strict=True)), wrong
        sounds = [self.sound(kind, draw, rng) for _ in labels]
        wrong = {i for i, sound in enumerate(sounds) if sound is not None}
        return [
            (right[i] if sound is None else sound, label)
            for i, (sound, label) in enumerate(zip(sounds, labels, strict=True))
        ], wrong

    def another(self, speaker: str, rng: np.random.Generator) -> Episode:
        """A draw of another of the speakers."""
        others = [one for one in self.people.speakers if one != speaker]
        other = others[int(rng.integers(len(others)))]
        keywords = self.model.keywords
        return episode(self.people.clips, other, keywords, self.settings.shots, 0, rng)

    def sound(self, kind: str, draw: Episode, rng: np.random.Generator) -> NDArray[np.int16] | None:
        """What takes the place of a take; None where there is nothing of the kind."""
        if kind == "silence":
            return np.zeros(CLIP_SAMPLES, np.int16)
        if kind == "noise":
            noise = self.noises[int(rng.integers(len(self.noises)))]
            start = int(rng.integers(len(noise) - CLIP_SAMPLES + 1))
            return noise[start : start + CLIP_SAMPLES]
        rows = draw.other_words
        return self.people.pcm[int(rng.choice(rows))] if rows else None


def bench_poison(
    model: Model,
    people: People,
    noise_files: Sequence[NDArray[np.int16]],
    settings: Experiment,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Poisoned]:
    """Measure sessions whose takes are wrong: a row a kind of session.

    Args:
        model: that keeps takes.
        people: from read_people(), with what is listened to.
        noise_files: recordings of noise, a second or longer.
        settings: shots, draws and seed matter.
        workers: processes; all cores by default.
        progress: over draws of speakers.

    Raises:
        DataError: the model keeps no takes, there is no noise, nothing to listen to, or one
            speaker alone.
    """
    if not model.keeps_takes:
        raise DataError(f"{model.name} keeps no takes: nothing is guarded")
    if not noise_files:
        raise DataError("there is no noise of a second or more in _background_noise_")
    if len(people.speakers) < 2:
        raise DataError("there is one speaker alone: nobody else's takes can be learned")
    tasks = [(speaker, draw) for speaker in people.speakers for draw in range(settings.draws)]
    make = partial(Poisoner, model.image, people, noise_files, settings)
    found: list[dict[str, Session]] = []
    for one in spread(Poisoner.run, tasks, workers, make):
        found.append(one)
        progress(len(found), len(tasks))
    return [Poisoned(kind, tuple(one[kind] for one in found)) for kind in CAPTIONS]
