# SPDX-License-Identifier: Apache-2.0
"""Words that a model does not have, taught by takes: heard in clips, in streams, and in talk.

Each draw of a speaker takes ten words of a tree and teaches them by takes of theirs. Other takes of
these words are to be heard, other words of the same speaker are not: one by one as clips from rest,
and together as a stream. What is compared with a threshold is how far the rule of own.h is above
zero, where the device's own is. Each word of a speaker's first draw is also asked alone, as a wake
word: how often it is heard in talk and sounds at a threshold, one for all, at which so much of it
is heard.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.adapting import Estimate, over_speakers
from tracekws.bench.margins import crossings, place_of_hits, threshold_at, value_at
from tracekws.bench.own_streams import own_minutes, pieces_of
from tracekws.bench.sets import Recording, read_testing
from tracekws.bench.stream import Said, Sound, held_back, judge
from tracekws.core import Model, features
from tracekws.data import Clip, Progress, Recordings, read_names, read_tree
from tracekws.errors import DataError
from tracekws.learner import Learner
from tracekws.parallel import spread
from tracekws.recognizer import Recognizer

WORDS = 10
SHOTS = (1, 3, 5)
REJECTIONS = (0.90, 0.95, 0.99)
"""Shares of clips of other words that are rejected."""
FALSE_PER_100 = (0.5, 1.0, 2.0)
OTHERS_A_WORD = 3
"""Clips of other words in a stream for each of a taught one."""
THRESHOLDS = np.arange(-0.4, 0.6, 0.01)
ALONE = 90
"""Percent of the stream's words that words which are taught alone are to hear."""
LEVELS = (0, 1, 2, 3)
"""Sensitivities at which they are heard, too."""
A_LEVEL = 1 / 32
"""Of a cosine: what a level of sensitivity takes off the thresholds (detector.c)."""
RESAMPLES = 1000
CAPTIONS = {
    "choice": "right of ten",
    "clips_at_90": "clips, 90 % of others rejected",
    "clips_at_95": "95 %",
    "clips_at_99": "99 %",
    "stream_at_0.5": "stream, at 0.5 false alarms in 100",
    "stream_at_1": "at 1",
    "stream_at_2": "at 2",
    "stream": "as it ships",
    "stream_false": "false alarms in 100",
    "talk": "talk: false alarms an hour",
    "alone_at_90": "one word alone, at 90 % heard: an hour",
    **{
        name: caption
        for level in LEVELS
        for name, caption in (
            (f"alone_{level}", f"one word alone, sensitivity {level}"),
            (f"alone_{level}_an_hour", "an hour"),
        )
    },
}
"""The columns."""


@dataclass(frozen=True)
class Pupil:
    """One draw of a speaker: rows of recordings, word by word."""

    speaker: str
    number: int
    """Of the draw, over all speakers."""
    draw: int
    """Of the speaker."""
    learned: tuple[tuple[int, ...], ...]
    """Rows of the takes of each new word, as many as the most that are learned."""
    query: tuple[tuple[int, ...], ...]
    """Rows of its further takes."""
    others: tuple[int, ...]


@dataclass(frozen=True)
class Taught:
    """What was heard of one draw, after so many takes a word."""

    right: NDArray[np.float64]
    """Margin of each query clip; minus infinity where another word was heard."""
    choice: int
    """Query clips of which the likest word was the right one."""
    others: NDArray[np.float64]
    """Margin of each clip of other words."""
    hits: NDArray[np.int64]
    """(thresholds + 1,): of the stream, last by the detector as it ships; as is the next."""
    false: NDArray[np.int64]
    said: int
    """Taught words in the stream."""
    other_words: int
    in_talk: int
    """Events in talk, by the detector as it ships."""
    talk_samples: int
    alone: "Alone | None" = None
    """The words one by one; where there is talk or sounds."""


@dataclass(frozen=True)
class Alone:
    """What words are heard like that are taught one by one."""

    hits: NDArray[np.int64]
    """(thresholds,): of the stream; the next in talk and sounds."""
    events: NDArray[np.int64]
    said: int
    samples: int
    """Of talk and sounds, times words."""


def draw_pupils(recordings: Recordings, draws: int, most: int, seed: int) -> list[Pupil]:
    """Draw words and takes for every speaker who has enough of them.

    Args:
        recordings: of all speakers; silent ones are nobody's take.
        draws: of each speaker.
        most: takes of a word that are learned, at most; one more is needed to test with.
        seed: of all draws.

    Raises:
        DataError: nobody has ten such words, and others.
    """
    speakers = sorted({clip.speaker for clip in recordings.clips} - {""})
    silent = set(recordings.silent)
    pupils: list[Pupil] = []
    for place, speaker in enumerate(speakers):
        rows: dict[str, list[int]] = {}
        for row, clip in enumerate(recordings.clips):
            if clip.speaker == speaker and clip not in silent:
                rows.setdefault(clip.word, []).append(row)
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw, place])
            enough = [word for word in sorted(rows) if len(rows[word]) > most]
            new = [enough[i] for i in rng.permutation(len(enough))[:WORDS]]
            others = [row for word in sorted(rows) if word not in new for row in rows[word]]
            if len(new) < WORDS or not others:
                continue
            takes = [rng.permutation(rows[word]).tolist() for word in new]
            pupils.append(
                Pupil(
                    speaker,
                    len(pupils),
                    draw,
                    tuple(tuple(each[:most]) for each in takes),
                    tuple(tuple(each[most:]) for each in takes),
                    tuple(rng.permutation(others).tolist()),
                )
            )
    if not pupils:
        raise DataError(f"no speaker has {WORDS} words with {most + 1} takes, and other words")
    return pupils


def margins(
    learner: Learner, steps: NDArray[np.int8]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The likest taught word of each step, and how far the rule of own.h is above zero.

    Returns:
        (steps,) places among the taught words, -1 where another word is likest; and (steps,),
        minus infinity there.
    """
    model = learner.model
    form, first = model.c.own, len(model.labels)
    least = learner.least()
    cosines = np.maximum(0, learner.cosines(steps)) / 32768
    likest = cosines.argmax(1)
    ordered = np.sort(cosines, axis=1)
    place = np.where((likest >= first) & (ordered[:, -1] > 0), likest - first, -1)
    above = ordered[:, -1] - form.rival_q15 / 32768 * ordered[:, -2] - least[place]
    return place, np.where(place >= 0, above, -np.inf)


def margins_alone(learner: Learner, steps: NDArray[np.int8]) -> NDArray[np.float64]:
    """How far each taught word would be above zero if it were the only one.

    Returns:
        (steps, words of the user's own that there is room for).
    """
    first, least = len(learner.model.labels), learner.least()
    cosines = learner.cosines(steps)[:, first : first + len(least)]
    out: NDArray[np.float64] = np.maximum(0, cosines) / 32768 - least
    return out


@dataclass(frozen=True, eq=False)
class Spoken:
    """A minute of a stream."""

    sound: NDArray[np.int16]
    features: NDArray[np.int8]
    """(steps, 80)."""
    said: list[Said]


@dataclass(frozen=True)
class Source:
    """What words are taught from, and what else is heard."""

    clips: tuple[Clip, ...]
    background: tuple[Sound, ...]
    talk: tuple[Recording, ...]
    sounds: tuple[Recording, ...]


def read_source(
    folder: Path,
    others: Path | None,
    speakers: Path | None,
    talk: Path | None,
    sounds: Path | None,
) -> Source:
    """Read which clips there are, the background and the sentences.

    Args:
        folder: of a tree, whose words are taught.
        others: of a tree whose background is heard; the same by default.
        speakers: a list of those who teach; all by default.
        talk: a set of sentences; none by default.
        sounds: a set of anything else in which no word is said; none by default.

    Raises:
        DataError: a folder is no such tree or set, or there is no background.
    """
    tree = read_tree(folder)
    listed = read_names(speakers) if speakers else None
    background = held_back((read_tree(others) if others else tree).noises)
    if not background:
        raise DataError(f"{others or folder}: no recordings in _background_noise_; give --others")
    return Source(
        tuple(clip for clip in tree.clips if listed is None or clip.speaker in listed),
        tuple(background),
        read_testing(talk, text=True) if talk else (),
        read_testing(sounds) if sounds else (),
    )


class Teacher:
    """One process's copy of what all draws share."""

    def __init__(
        self,
        image: bytes,
        recordings: Recordings,
        background: Sequence[Sound],
        talk: Sequence[Recording],
        sounds: Sequence[Recording],
        shots: Sequence[int],
        seed: int,
    ) -> None:
        """Nothing is taught yet."""
        self.model = Model(image)
        self.recordings = recordings
        self.background = background
        self.talk = pieces_of(talk)
        self.elsewhere = (*talk, *sounds)
        self.shots = shots
        self.seed = seed

    @cached_property
    def features_elsewhere(self) -> list[NDArray[np.int8]]:
        """Of talk and sounds, each from rest."""
        return [features(one.sound.read(), self.model.front_end) for one in self.elsewhere]

    def run(self, pupil: Pupil) -> list[Taught]:
        """Teach a draw's words by each number of takes, and listen."""
        pcm, clips = self.recordings.pcm, self.recordings.clips
        names = [f"taught-{place}" for place in range(WORDS)]  # the model may have a tree's word
        query = [(place, row) for place, rows in enumerate(pupil.query) for row in rows]
        others = pupil.others[: OTHERS_A_WORD * len(query)]
        said = [replace(clips[row], word=names[place]) for place, row in query]
        said += [clips[row] for row in others]
        rows = [row for _, row in query] + list(others)
        rng = np.random.default_rng([self.seed, pupil.number])
        mixed = [one.mix() for one in own_minutes(pcm[rows], said, self.background, rng)]
        minutes = [
            Spoken(sound, features(sound, self.model.front_end), words) for sound, words in mixed
        ]
        talk = self.talk[pupil.number % len(self.talk)] if self.talk else ()
        heard = []
        for takes in self.shots:
            learner = Learner(self.model)
            for name, learned in zip(names, pupil.learned, strict=True):
                learner.teach(name, [pcm[row] for row in learned[:takes]])
            found = self.hear(learner, names, query, pupil.others, minutes, talk)
            if self.elsewhere and pupil.draw == 0:
                found = replace(found, alone=self.alone(learner, names, minutes))
            heard.append(found)
        return heard

    def hear(
        self,
        learner: Learner,
        names: Sequence[str],
        query: Sequence[tuple[int, int]],
        others: Sequence[int],
        minutes: Sequence[Spoken],
        talk: Sequence[Recording],
    ) -> Taught:
        """Listen with what was taught.

        Args:
            learner: what has learned.
            names: of the words.
            query: place of the word, and row, of clips to be heard.
            others: rows of clips that are not.
            minutes: of the stream.
            talk: sentences.
        """
        asked = [self.clip(learner, row) for _, row in query]
        right = [place == heard for (place, _), (heard, _) in zip(query, asked, strict=True)]
        counts, steps = [], self.model.header.window_steps
        for minute in minutes:
            place, margin = margins(learner, minute.features)
            events = [crossings(names, place, margin, at, steps) for at in THRESHOLDS]
            events.append(self.events(learner, names, minute.sound))
            counts.append([judge(one, minute.said, names, len(minute.sound)) for one in events])
        sentences = [one.sound.read() for one in talk]
        return Taught(
            np.array([m if ok else -np.inf for ok, (_, m) in zip(right, asked, strict=True)]),
            sum(right),
            np.array([self.clip(learner, row)[1] for row in others]),
            np.sum([[one.hit for one in each] for each in counts], 0),
            np.sum([[one.false for one in each] for each in counts], 0),
            sum(each[0].total for each in counts),
            sum(each[0].other_words for each in counts),
            sum(len(self.events(learner, names, pcm)) for pcm in sentences),
            sum(len(pcm) for pcm in sentences),
        )

    def alone(
        self,
        learner: Learner,
        names: Sequence[str],
        minutes: Sequence[Spoken],
    ) -> Alone:
        """Listen for each word by itself: arguments as of hear()."""
        steps = self.model.header.window_steps
        hits = np.zeros(len(THRESHOLDS), dtype=np.int64)
        for minute in minutes:
            margin = margins_alone(learner, minute.features)
            first = np.zeros(len(margin), dtype=np.int64)
            for name, of in zip(names, margin.T[: len(names)], strict=True):
                found = [crossings([name], first, of, at, steps) for at in THRESHOLDS]
                hits += [judge(one, minute.said, [name], len(minute.sound)).hit for one in found]
        parts = [margins_alone(learner, heard) for heard in self.features_elsewhere]
        for part in parts:
            part[: steps - 1] = -np.inf  # nothing is an event before a window is full
        joined = np.concatenate(parts)
        first = np.zeros(len(joined), dtype=np.int64)
        events = [
            sum(len(crossings([""], first, of, at, steps)) for of in joined.T[: len(names)])
            for at in THRESHOLDS
        ]
        samples = len(names) * sum(one.sound.samples for one in self.elsewhere)
        spoken = sum(word.word in names for minute in minutes for word in minute.said)
        return Alone(hits, np.array(events), spoken, samples)

    def clip(self, learner: Learner, row: int) -> tuple[int, float]:
        """Which taught word a clip is, heard from rest, and by which margin."""
        steps = features(self.recordings.pcm[row], self.model.front_end)
        place, margin = margins(learner, steps)
        return int(place[-1]), float(margin[-1])

    def events(
        self, learner: Learner, names: Sequence[str], sound: NDArray[np.int16]
    ) -> list[tuple[str, int]]:
        """Taught words that the recognizer hears in a sound from rest: word and end sample."""
        heard = Recognizer(self.model, learner.weights).push(sound)
        return [(one.word, round(one.end * SAMPLE_RATE)) for one in heard if one.word in names]


@dataclass(frozen=True, eq=False)
class TeachingRow:
    """What is heard after so many takes a word: percent, and events an hour in talk."""

    takes: int
    speakers: int
    """Who taught."""
    columns: dict[str, Estimate]

    def summary(self) -> dict[str, object]:
        """Plain data for --json."""
        return {
            "takes": self.takes,
            **{name: one.summary() for name, one in self.columns.items()},
        }


def columns_of(heard: Sequence[Taught]) -> dict[str, float]:
    """The columns over some draws."""
    right = np.concatenate([one.right for one in heard])
    others = np.sort(np.concatenate([one.others for one in heard]))
    columns = {"choice": 100 * sum(one.choice for one in heard) / len(right)}
    for share in REJECTIONS:
        threshold = others[min(len(others) - 1, int(np.ceil(share * len(others))) - 1)]
        columns[f"clips_at_{100 * share:g}"] = 100 * float((right > threshold).mean())
    hits = 100 * np.sum([one.hits for one in heard], 0) / sum(one.said for one in heard)
    false = 100 * np.sum([one.false for one in heard], 0) / sum(one.other_words for one in heard)
    for per_100 in FALSE_PER_100:
        place = threshold_at(false[:-1], per_100)
        columns[f"stream_at_{per_100:g}"] = value_at(hits[:-1], place)
    columns["stream"] = float(hits[-1])
    columns["stream_false"] = float(false[-1])
    hours = sum(one.talk_samples for one in heard) / SAMPLE_RATE / 3600
    if hours:
        columns["talk"] = sum(one.in_talk for one in heard) / hours
    alone = [one.alone for one in heard if one.alone]
    if alone:
        hours = sum(one.samples for one in alone) / SAMPLE_RATE / 3600
        hits = 100 * np.sum([one.hits for one in alone], 0) / sum(one.said for one in alone)
        events = np.sum([one.events for one in alone], 0) / hours
        if (hits >= ALONE).any():
            columns[f"alone_at_{ALONE}"] = events_at(hits, events, ALONE)
        for level in LEVELS:
            at = -level * A_LEVEL
            columns[f"alone_{level}"] = float(np.interp(at, THRESHOLDS, hits))
            columns[f"alone_{level}_an_hour"] = float(np.interp(at, THRESHOLDS, events))
    return columns


def events_at(hits: NDArray[np.float64], events: NDArray[np.float64], percent: float) -> float:
    """Events at the highest threshold at which so much is heard, between two where need be."""
    return value_at(events, place_of_hits(hits, percent))


def bench_teach(
    model: Model,
    recordings: Recordings,
    background: Sequence[Sound],
    talk: Sequence[Recording] = (),
    sounds: Sequence[Recording] = (),
    shots: Sequence[int] = SHOTS,
    draws: int = 2,
    seed: int = 1,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> list[TeachingRow]:
    """Measure how taught words are heard: a row a number of takes.

    Args:
        model: with room for ten words of the user's own.
        recordings: words of speakers, whatever the words are.
        background: far below, as in streams.
        talk: sentences of others.
        sounds: in which no word is said.
        shots: takes of each word that are learned.
        draws: of words and takes, of each speaker.
        seed: of all draws.
        workers: processes; all cores by default.
        progress: over draws.

    Raises:
        DataError: the model has no room, or nobody has enough takes.
    """
    if model.own_words < WORDS:
        raise DataError(
            f"{model.name} has room for {model.own_words} words of the user's own; {WORDS} are"
            " taught"
        )
    pupils = draw_pupils(recordings, draws, max(shots), seed)
    make = partial(Teacher, model.image, recordings, background, talk, sounds, shots, seed)
    heard: list[list[Taught]] = []
    for one in spread(Teacher.run, pupils, workers, make):
        heard.append(one)
        progress(len(heard), len(pupils))
    speakers = sorted({pupil.speaker for pupil in pupils})
    of_speaker = [
        [i for i, pupil in enumerate(pupils) if pupil.speaker == speaker] for speaker in speakers
    ]

    def columns(number: int, some: Sequence[int]) -> dict[str, float]:
        return columns_of([heard[i][number] for speaker in some for i in of_speaker[speaker]])

    return [
        TeachingRow(
            takes,
            len(speakers),
            over_speakers(partial(columns, number), len(speakers), RESAMPLES, seed),
        )
        for number, takes in enumerate(shots)
    ]
