# SPDX-License-Identifier: Apache-2.0
"""Mistakes taken back: how often a sound raises a false alarm again, and a missed word is missed.

Each clip is heard in scenes of its own: background, the clip, background, at a level, a ratio and a
place that are drawn. A word that is no keyword and raises an event is a false alarm; it is
corrected at once, and again at the next event in three further scenes. Then others tell what it is
worth: scenes of the same clip, and other takes of the word by the same speaker. Keywords are heard
before and after beside it. A keyword that is missed is corrected once, and other takes tell.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.adapting import Estimate, over_speakers
from tracekws.bench.stream import Sound, held_back, speech_power
from tracekws.core import Model
from tracekws.data import Clip, Progress, Recordings, read_tree
from tracekws.errors import DataError, TraceKwsError
from tracekws.parallel import spread
from tracekws.recognizer import Recognizer

LEAD_S, PLAY_S, TAIL_S = 1.5, 0.5, 1.5
"""Of background before a clip, the range of where it begins after that, and behind it."""
RATIOS_DB = (40.0, 30.0, 20.0)
LEVEL_DB = (-6.0, 4.0)
CHANCES = 3
"""Scenes in which a false alarm may be corrected a second time."""
AGAIN = 4
"""Scenes of the same clip that tell what corrections are worth."""
KEYWORDS = 20
"""Scenes of keywords that are heard with each correction."""
RESAMPLES = 1000

CAPTIONS = {
    "again_before": "the sound that raised it raises one, before",
    "again_once": "corrected once",
    "again_twice": "corrected twice, where it was raised again",
    "takes_before": "other takes of the same word raise one, before",
    "takes_twice": "after",
    "keywords_before": "keywords heard, before",
    "keywords_once": "after one correction",
    "keywords_twice": "after both",
    "keywords_all_before": "keywords heard, before",
    "keywords_all": "after all corrections of a speaker",
    "missed_before": "other takes of a word that was missed are heard, before",
    "missed_once": "after it was corrected once",
    "missed_false": "other keywords heard as that word, before",
    "missed_false_once": "after",
}
"""The rows; percent."""
BEFORE = {
    "again_once": "again_before",
    "again_twice": "again_before",
    "takes_twice": "takes_before",
    "keywords_once": "keywords_before",
    "keywords_twice": "keywords_before",
    "keywords_all": "keywords_all_before",
    "missed_once": "missed_before",
    "missed_false_once": "missed_false",
}
"""Rows by those of the same scenes before."""


def read_source(folder: Path, others: Path | None) -> tuple[list[Clip], list[Sound]]:
    """Which clips there are, and the background.

    Args:
        folder: of a tree, whose testing speakers are heard.
        others: of a tree of other words, whatever their names are; none by default.

    Raises:
        DataError: one is no such tree, or there is no background.
    """
    tree = read_tree(folder)
    sounds = held_back(tree.noises)
    if not sounds:
        raise DataError(f"{folder}: no recordings in _background_noise_")
    clips = list(tree.of("testing") if tree.has_lists else tree.clips)
    strange = read_tree(others).clips if others else ()
    return [*clips, *(replace(clip, word=f"other {clip.word}") for clip in strange)], sounds


@dataclass
class Counts:
    """Of one speaker, who corrects: how many, and of how many, by row and by who is heard."""

    speaker: str
    happened: Counter[tuple[str, str]] = field(default_factory=Counter)
    of: Counter[tuple[str, str]] = field(default_factory=Counter)
    corrected: int = 0
    """False alarms that were corrected."""
    missed: int = 0
    """Missed words that were."""

    def add(self, name: str, happened: bool, heard: str = "") -> None:
        """Count one; `heard` is who is heard where that need not be the one who corrects."""
        self.happened[name, heard] += happened
        self.of[name, heard] += 1


@dataclass(frozen=True)
class CorrectingReport:
    """What corrections are worth, over speakers."""

    rows: dict[str, Estimate]
    speakers: int
    false_alarms: int
    missed: int

    def change(self, name: str) -> Estimate | None:
        """Paired difference of a row to the one before it; none where there is no such row."""
        before = self.rows.get(BEFORE.get(name, ""))
        return self.rows[name] - before if before else None

    def summary(self) -> dict[str, object]:
        """Plain data for --json."""
        changes = {name: self.change(name) for name in self.rows if name in BEFORE}
        return {
            "speakers": self.speakers,
            "false_alarms_corrected": self.false_alarms,
            "missed_words_corrected": self.missed,
            "rows": {name: one.summary() for name, one in self.rows.items()},
            "changes": {name: one and one.summary() for name, one in changes.items()},
        }


class Corrector:
    """One process's copy of what all speakers share."""

    def __init__(
        self,
        image: bytes,
        recordings: Recordings,
        keywords: Sequence[int],
        sounds: Sequence[Sound],
        seed: int,
    ) -> None:
        """Nothing is heard yet."""
        self.model = Model(image)
        self.recordings = recordings
        self.keywords = np.array(keywords)
        self.sounds = sounds
        self.seed = seed

    def scene(self, row: int, rng: np.random.Generator) -> NDArray[np.int16]:
        """A clip in a background, at rest before and after."""
        clip = self.recordings.pcm[row]
        start = round(rng.uniform(LEAD_S, LEAD_S + PLAY_S) * SAMPLE_RATE)
        length = round((LEAD_S + PLAY_S + TAIL_S) * SAMPLE_RATE) + len(clip)
        sound = self.sounds[int(rng.integers(len(self.sounds)))]
        track = sound.loop(int(rng.integers(sound.samples)), length).astype(np.float64)
        wanted = speech_power(clip[None]) * 10 ** (-float(rng.choice(RATIOS_DB)) / 10)
        track *= np.sqrt(wanted / max(1e-9, float((track**2).mean())))
        track[start : start + len(clip)] += clip
        track *= 10 ** (rng.uniform(*LEVEL_DB) / 20)
        return np.clip(np.rint(track), -32768, 32767).astype(np.int16)

    def hear(self, sound: NDArray[np.int16], weights: bytes | None = None) -> list[str]:
        """Words heard in a scene, from rest."""
        return [event.word for event in Recognizer(self.model, weights).push(sound)]

    def take_back(
        self, sound: NDArray[np.int16], word: str | None, weights: bytes | None = None
    ) -> bytes:
        """What is learned when a scene that was heard is corrected."""
        ear = Recognizer(self.model, weights)
        ear.push(sound)
        ear.correct(word)
        return ear.weights

    def run(self, rows: Sequence[int]) -> Counts:
        """Correct all mistakes with one speaker's clips, each by itself, and false alarms together.

        Args:
            rows: of the speaker's clips.
        """
        rng = np.random.default_rng([self.seed, rows[0]])
        counts = Counts(self.recordings.clips[rows[0]].speaker)
        of_word: dict[str, list[int]] = {}
        for row in rows:
            of_word.setdefault(self.recordings.clips[row].word, []).append(row)
        together: bytes | None = None
        for word, takes in of_word.items():
            if word in self.model.keywords:
                self.missed(word, takes, rng, counts)
                continue
            for row in takes:
                together = self.false_alarm(row, takes, rng, counts, together)
        if together is not None:
            for sound, said in self.said(rng):
                counts.add("keywords_all_before", said.word in self.hear(sound), said.speaker)
                counts.add("keywords_all", said.word in self.hear(sound, together), said.speaker)
        return counts

    def said(self, rng: np.random.Generator) -> list[tuple[NDArray[np.int16], Clip]]:
        """Some scenes of keywords, and what is said in each."""
        chosen = rng.choice(self.keywords, min(KEYWORDS, len(self.keywords)), replace=False)
        return [(self.scene(row, rng), self.recordings.clips[row]) for row in chosen.tolist()]

    def false_alarm(
        self,
        row: int,
        takes: Sequence[int],
        rng: np.random.Generator,
        counts: Counts,
        together: bytes | None,
    ) -> bytes | None:
        """Correct a clip that raises a false alarm, twice where it does so again.

        Returns:
            `together`, what was learned of all false alarms of the speaker, with this one.
        """
        first = self.scene(row, rng)
        if not self.hear(first):
            return together
        counts.corrected += 1
        once = twice = self.take_back(first, None)
        if self.hear(first, together):
            together = self.take_back(first, None, together)
        for _ in range(CHANCES):
            sound = self.scene(row, rng)
            if self.hear(sound, once):
                twice = self.take_back(sound, None, once)
                break
        for _ in range(AGAIN):
            sound = self.scene(row, rng)
            counts.add("again_before", bool(self.hear(sound)))
            counts.add("again_once", bool(self.hear(sound, once)))
            counts.add("again_twice", bool(self.hear(sound, twice)))
        for other in takes:
            if other != row:
                sound = self.scene(other, rng)
                counts.add("takes_before", bool(self.hear(sound)))
                counts.add("takes_twice", bool(self.hear(sound, twice)))
        for sound, said in self.said(rng):
            counts.add("keywords_before", said.word in self.hear(sound), said.speaker)
            counts.add("keywords_once", said.word in self.hear(sound, once), said.speaker)
            counts.add("keywords_twice", said.word in self.hear(sound, twice), said.speaker)
        return together

    def missed(
        self, word: str, takes: Sequence[int], rng: np.random.Generator, counts: Counts
    ) -> None:
        """Correct the first take of a keyword that is missed, and hear the others."""
        for row in takes:
            sound = self.scene(row, rng)
            if len(takes) == 1 or word in self.hear(sound):
                continue
            try:
                learned = self.take_back(sound, word)
            except TraceKwsError:  # nothing in it was a sound
                continue
            counts.missed += 1
            for other in takes:
                if other != row:
                    sound = self.scene(other, rng)
                    counts.add("missed_before", word in self.hear(sound))
                    counts.add("missed_once", word in self.hear(sound, learned))
            for sound, said in self.said(rng):
                if said.word != word:
                    counts.add("missed_false", word in self.hear(sound), said.speaker)
                    counts.add("missed_false_once", word in self.hear(sound, learned), said.speaker)
            return


def rows_of(counts: Sequence[Counts]) -> dict[str, float]:
    """Percent of each row over some speakers, who correct and are heard.

    One who comes more than once, as in a resample, is heard as often; one who does not is not.
    """
    times = Counter(one.speaker for one in counts)
    happened: Counter[str] = Counter()
    of: Counter[str] = Counter()
    for one in counts:
        for (name, heard), n in one.of.items():
            weight = times[heard] if heard else 1
            of[name] += weight * n
            happened[name] += weight * one.happened[name, heard]
    return {name: 100 * happened[name] / of[name] for name in CAPTIONS if of[name]}


def bench_correct(
    model: Model,
    recordings: Recordings,
    sounds: Sequence[Sound],
    seed: int = 1,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> CorrectingReport:
    """Measure what corrections are worth.

    Args:
        model: with room for sounds that are no word.
        recordings: of speakers; their other words may raise false alarms.
        sounds: background.
        seed: of all scenes.
        workers: processes; all cores by default.
        progress: over speakers.

    Raises:
        DataError: the model has no room, there are no keywords, or nothing is heard wrongly.
    """
    if not model.own_words:
        raise DataError(f"{model.name} has no room for sounds that are no word")
    clips: Sequence[Clip] = recordings.clips
    keywords = [row for row, clip in enumerate(clips) if clip.word in model.keywords]
    if not keywords:
        raise DataError("no clip is of a keyword")
    people: dict[str, list[int]] = {}
    for row, clip in enumerate(clips):
        people.setdefault(clip.speaker, []).append(row)
    make = partial(Corrector, model.image, recordings, keywords, sounds, seed)
    counts = []
    for one in spread(Corrector.run, list(people.values()), workers, make):
        counts.append(one)
        progress(len(counts), len(people))
    false_alarms = sum(one.corrected for one in counts)
    if not false_alarms:
        raise DataError("no other word raises a false alarm: there is nothing to correct")
    return CorrectingReport(
        over_speakers(
            lambda some: rows_of([counts[i] for i in some]), len(counts), RESAMPLES, seed
        ),
        len(counts),
        false_alarms,
        sum(one.missed for one in counts),
    )
