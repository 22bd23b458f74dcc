# SPDX-License-Identifier: Apache-2.0
"""What a model hears outside of clean single words: rows of a table, each with its interval.

docs/robust.md says what each row is. Everything is drawn from SEED; nothing of what is heard here
is for training: of talk the testing speakers, of the other sets the testing part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE, recording
from tracekws.bench import sets
from tracekws.bench.clips import classify, read_some
from tracekws.bench.intervals import poisson_interval, rate
from tracekws.bench.listen import HeardPart, Part, Plain, listen
from tracekws.bench.scenes import (
    LEAD_S,
    TAIL_S,
    Beside,
    Noise,
    Pcm,
    Scene,
    Spoken,
    Wave,
    decay_seconds,
    samples,
    shortened,
    some_of_each,
    trimmed,
)
from tracekws.bench.sets import (
    FOREIGN,
    PHRASES,
    ROOMS,
    SETS,
    SOUNDS,
    TALK,
    Recording,
    read_set,
    read_split,
)
from tracekws.bench.stream import Said, Sound, compose, held_back, words_hit
from tracekws.bench.streams import CLEAN_DB, NOISY_DB, PIECE, minutes_of
from tracekws.bench.streams import SEED as STREAM_SEED
from tracekws.bench.tones import Beep, Sweep, beeps, sweeps
from tracekws.core import Model
from tracekws.data import Clip, Recordings, Stage, Tree, read_tree
from tracekws.errors import DataError
from tracekws.shipped import install_command

SEED = 7
WORDS_EACH = 40
"""Clips of each keyword in scenes, at most."""
PAIR_GAP_S = 0.3
ROW_GAP_S = (0.3, 1.1)
ROW_TAKES = 2
"""Takes of each word that a speaker says in a row."""
NOISE = Noise(2.0, -12.0, 1.0)
BESIDE_DB = 10.0
VOICE = 1.25
CUT_S = 0.04
DECAY_S = 0.5
LONG_S = 1.0
"""An impulse response longer than this is a hall's."""
MUSIC = "music"
"""In the names of recordings that are music."""
DRAWS = 2000
"""Of speakers, for an interval."""


@dataclass(frozen=True)
class FalseAlarms:
    """A row where no word is to be heard: every event is a false alarm."""

    name: str
    what: str
    words: dict[str, int]
    """False alarms by the word heard."""
    hours: float
    apart: int = 0
    """Events of words that are in the text."""
    cases: dict[str, int] = field(default_factory=dict)
    """Of those cases that have any."""

    @property
    def count(self) -> int:
        """False alarms."""
        return sum(self.words.values())

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "name": self.name,
            "what": self.what,
            "events": self.count,
            "hours": self.hours,
            "per_hour": rate(self.count, self.hours),
            "events_of_words_said": self.apart,
            "words": {word: count for word, count in self.words.items() if count},
            "cases": self.cases,
        }


@dataclass(frozen=True)
class WordsRight:
    """A row where something is to be heard, or rejected: how much of it is."""

    name: str
    what: str
    right: NDArray[np.bool_]
    speakers: tuple[str, ...]
    """Of each."""
    without: NDArray[np.bool_] | None = None
    """The same without the condition."""
    false: int | None = None
    """Events that hear nothing of it, where they are counted."""
    others: int | None = None
    """Words that are not to be heard."""

    def bootstrap(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """95 % interval of a mean, in percent, speakers drawn anew."""
        names, where = np.unique(self.speakers, return_inverse=True)
        totals = np.bincount(where, values, len(names))
        counts = np.bincount(where, minlength=len(names))
        drawn = np.random.default_rng(SEED).integers(0, len(names), (DRAWS, len(names)))
        means = totals[drawn].sum(1) / counts[drawn].sum(1)
        low, high = np.percentile(100 * means, [2.5, 97.5])
        return float(low), float(high)

    def interval(self, values: NDArray[np.float64]) -> dict[str, float]:
        """Mean in percent with its interval."""
        low, high = self.bootstrap(values)
        return {"mean": 100 * float(values.mean()), "low": low, "high": high}

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        right = self.right.astype(float)
        row: dict[str, Any] = {
            "name": self.name,
            "what": self.what,
            "right": int(self.right.sum()),
            "of": len(right),
            "speakers": len(set(self.speakers)),
            "percent": self.interval(right),
        }
        if self.without is not None:
            row["without"] = 100 * float(self.without.mean())
            row["difference"] = self.interval(right - self.without)
        if self.false is not None:
            row["false_alarms"] = self.false
        if self.false is not None and self.others:
            low, high = poisson_interval(self.false)
            row["other_words"] = self.others
            row["false_alarms_per_100_other_words"] = {
                name: 100 * value / self.others
                for name, value in (("mean", self.false), ("low", low), ("high", high))
            }
        return row


RobustRow = FalseAlarms | WordsRight


@dataclass
class RobustBench:
    """A model, the sets that there are, and how it is heard."""

    model: Model
    folder: Path
    workers: int | None
    stage: Stage
    isolated: bool
    """Whether only words that stand by themselves are heard."""
    read_so_far: list[Recordings] = field(default_factory=list)

    # --- what there is ---

    def some(self, tree: Tree, split: str, name: str) -> Recordings:
        """Read the recordings of a split."""
        recordings, _ = read_some(tree, split, self.stage(name))
        self.read_so_far.append(recordings)
        return recordings

    def left_out(self) -> list[str]:
        """What of the clips read so far was not heard."""
        bad = [reason for recordings in self.read_so_far for _, reason in recordings.bad]
        long = sum(len(recordings.long) for recordings in self.read_so_far)
        told = [f"{len(bad)} bad files, the first is {bad[0]}"] if bad else []
        return told + ([f"all but the loudest second of {long} longer clips"] if long else [])

    @cached_property
    def tree(self) -> Tree | None:
        """Speech Commands."""
        root = sets.speech_of(self.folder)
        return read_tree(root) if root else None

    @cached_property
    def testing(self) -> Recordings:
        """Words of testing speakers; asked for only where there is a tree."""
        assert self.tree is not None
        return self.some(self.tree, "testing", "reading testing")

    def recordings(self, name: str) -> list[Recording]:
        """The testing part of a set; none where it is missing."""
        return read_split(self.folder, name, "testing")

    @cached_property
    def talk(self) -> list[Recording]:
        """Sentences."""
        return self.recordings(TALK)

    @cached_property
    def phrases(self) -> list[Recording]:
        """Phrases and orders."""
        return self.recordings(PHRASES)

    @cached_property
    def sounds(self) -> list[Recording]:
        """Sounds and music."""
        return self.recordings(SOUNDS)

    @cached_property
    def impulses(self) -> tuple[list[Wave], list[Wave]]:
        """See read_impulses(); none where there are no rooms."""
        if not sets.has_set(self.folder, ROOMS):
            return [], []
        found = read_set(self.folder / ROOMS)
        return read_impulses([one for one in found if one.split == "testing" or is_hall(one)])

    @cached_property
    def foreign(self) -> Recordings | None:
        """Words of another language."""
        if not sets.has_set(self.folder, FOREIGN):
            return None
        tree = read_tree(self.folder / FOREIGN)
        return self.some(tree, "all", "reading foreign words")

    def read(self) -> None:
        """Read what there is, so that what is wrong with it is said before the work begins."""
        _ = self.tree and self.testing
        _ = self.talk, self.phrases, self.sounds, self.impulses, self.foreign

    @cached_property
    def words(self) -> list[tuple[Clip, Pcm]]:
        """Keywords to lay into scenes."""
        return some_of_each(self.testing, self.model.keywords, WORDS_EACH, SEED)

    def hear(self, name: str, parts: Sequence[Part]) -> list[HeardPart]:
        """Run the model at its own thresholds."""
        return listen(
            self.model,
            parts,
            workers=self.workers,
            progress=self.stage(name),
            isolated=self.isolated,
        )

    # --- rows without words ---

    def count(
        self,
        name: str,
        what: str,
        parts: Sequence[Part],
        texts: Sequence[frozenset[str]] = (),
        cases: Sequence[str] = (),
    ) -> FalseAlarms:
        """Hear parts in which nothing is to be heard.

        Args:
            name: of the row.
            what: in words.
            parts: what is heard.
            texts: words that are said in each.
            cases: names of the parts.
        """
        words = dict.fromkeys(self.model.keywords, 0)
        apart, length = 0, 0
        found: dict[str, int] = {}
        for i, heard in enumerate(self.hear(name, parts)):
            length += heard.samples
            for word, _ in heard.events[0]:
                if texts and word.lower() in texts[i]:
                    apart += 1
                    continue
                words[word] += 1
                if cases:
                    found[cases[i]] = found.get(cases[i], 0) + 1
        return FalseAlarms(name, what, words, length / SAMPLE_RATE / 3600, apart, found)

    def recorded(self, name: str, what: str, recordings: Sequence[Recording]) -> list[RobustRow]:
        """A row of recordings, each from rest, long ones in pieces."""
        pieces = [(one, piece) for one in recordings for piece in one.sound.pieces(PIECE)]
        if not pieces:
            return []
        parts = [Plain(piece) for _, piece in pieces]
        return [self.count(name, what, parts, [one.words for one, _ in pieces])]

    def foreign_words(self, clips: Recordings) -> list[Scene]:
        """Each speaker's words in a row: so many takes of each, in random order."""
        rng = np.random.default_rng(SEED)
        takes: dict[str, dict[str, list[int]]] = {}
        for i, clip in enumerate(clips.clips):
            takes.setdefault(clip.speaker, {}).setdefault(clip.word, []).append(i)
        scenes: list[Scene] = []
        for speaker in sorted(takes):
            mine = [i for _, rows in sorted(takes[speaker].items()) for i in rows[:ROW_TAKES]]
            spoken = tuple(
                Spoken(clips.pcm[i], "", speaker, float(rng.uniform(*ROW_GAP_S)))
                for i in rng.permutation(mine)
            )
            scenes.append(Scene(spoken, len(scenes)))
        return scenes

    # --- rows of words ---

    def judged(
        self, name: str, parts: Sequence[Part]
    ) -> tuple[list[list[bool]], list[list[Said]], int, int]:
        """Hear parts: of each, the keywords' being heard, and they; false alarms; other words."""
        right, said, false, others = [], [], 0, 0
        for heard in self.hear(name, parts):
            wanted = [one for one in heard.said if one.word in self.model.keywords]
            hits = words_hit(heard.events[0], wanted)
            right.append([one in hits for one in wanted])
            said.append(wanted)
            false += hits.count(None)
            others += len(heard.said) - len(wanted)
        return right, said, false, others

    def stream(self, snr_db: float) -> WordsRight:
        """The stream of `bench stream`."""
        assert self.tree is not None
        minutes = compose(
            self.testing,
            self.model.keywords,
            held_back(self.tree.noises),
            minutes_of(self.testing, self.model.keywords),
            snr_db,
            STREAM_SEED,
        )
        name = f"stream, {snr_db:g} dB"
        right, said, false, others = self.judged(name, minutes)
        return WordsRight(
            name,
            f"keywords heard in the stream of words, background {snr_db:g} dB below",
            np.array([one for part in right for one in part]),
            tuple(one.speaker for part in said for one in part),
            None,
            false,
            others,
        )

    def scenes(self, **condition: Any) -> list[Scene]:
        """One keyword a scene, all under a condition."""
        return [
            Scene((Spoken(pcm, clip.word, clip.speaker),), seed, **condition)
            for seed, (clip, pcm) in enumerate(self.words)
        ]

    def single(
        self, name: str, what: str, scenes: Sequence[Scene], alone: WordsRight | None = None
    ) -> WordsRight:
        """A row of scenes with one keyword each."""
        right, said, false, _ = self.judged(name, scenes)
        return WordsRight(
            name,
            what,
            np.array([one for (one,) in right]),
            tuple(one.speaker for (one,) in said),
            None if alone is None else alone.right,
            false,
        )

    def pairs(self, alone: WordsRight) -> WordsRight:
        """Two keywords in a row, each keyword of the scenes being first once."""
        words = self.words
        second = np.roll(np.arange(len(words)), -(len(words) // 2))
        scenes = []
        for seed, (i, j) in enumerate(enumerate(second)):
            (a, first), (b, then) = words[i], words[j]
            spoken = (
                Spoken(trimmed(first), a.word, a.speaker),
                Spoken(trimmed(then), b.word, b.speaker, PAIR_GAP_S),
            )
            scenes.append(Scene(spoken, seed))
        right, said, false, _ = self.judged("two keywords", scenes)
        return WordsRight(
            "two keywords",
            f"two keywords {PAIR_GAP_S:g} s apart, both heard; without: both heard alone",
            np.array([all(both) for both in right]),
            tuple(part[0].speaker for part in said),
            alone.right & alone.right[second],
            false,
        )

    def with_beside(self, recordings: Sequence[Recording], together: int) -> list[Scene]:
        """Scenes with other sound: so many recordings in a row, from a random place."""
        rng = np.random.default_rng(SEED)
        length = 2 * samples(LEAD_S + TAIL_S)
        scenes = []
        for scene in self.scenes():
            first = int(rng.integers(len(recordings)))
            chosen = [recordings[(first + n) % len(recordings)].sound for n in range(together)]
            if together == 1:
                (sound,) = chosen
                start = int(rng.integers(max(1, sound.samples - length)))
                part = min(length, sound.samples - start)
                chosen = [Sound(sound.path, sound.start + start, part)]
            scenes.append(Scene(scene.spoken, scene.seed, beside=Beside(tuple(chosen), BESIDE_DB)))
        return scenes

    def in_rooms(self, impulses: Sequence[Wave]) -> list[Scene]:
        """Scenes in rooms, in turn."""
        return [
            Scene(scene.spoken, scene.seed, impulse=impulses[n % len(impulses)])
            for n, scene in enumerate(self.scenes())
        ]

    def clips(
        self, name: str, what: str, recordings: Recordings, foreign: bool = False
    ) -> WordsRight:
        """Single clips, by the largest score; those of another language are to be rejected."""
        model = self.model
        guess = classify(model, [*recordings.pcm], self.workers, self.stage(name))
        if foreign:
            right = np.isin(guess, (model.unknown, model.silence))
        else:
            right = guess == [model.class_of(clip.word) for clip in recordings.clips]
        return WordsRight(name, what, right, tuple(clip.speaker for clip in recordings.clips))


def has_librosa() -> bool:
    """Whether voices can be changed here."""
    try:
        import librosa  # noqa: F401
    except ImportError:
        return False
    return True


def is_hall(one: Recording) -> bool:
    """Whether an impulse response is that of a hall; all of them are for testing."""
    return one.sound.samples > samples(LONG_S)


def read_impulses(recordings: Sequence[Recording]) -> tuple[list[Wave], list[Wave]]:
    """Impulse responses of rooms as they are, and of halls made as short as DECAY_S.

    Raises:
        DataError: one is not readable, or there is no sound in it.
    """
    rooms: list[Wave] = []
    halls: list[Wave] = []
    for one in recordings:
        with recording(one.sound.path) as file:
            wave = file.floats(0, one.sound.samples)
        if not wave.any():
            raise DataError(f"{one.sound.path}: no sound in it, so no impulse response; remove it")
        if not is_hall(one):
            rooms.append(wave)
        elif decay_seconds(wave) > DECAY_S:
            halls.append(shortened(wave, DECAY_S)[: samples(2 * DECAY_S)])
    return rooms, halls


def rows_of_speech(bench: RobustBench) -> list[RobustRow]:
    """Rows that need Speech Commands, and what is laid beside its words."""
    assert bench.tree is not None
    alone = bench.single("alone", "one keyword in a quiet room", bench.scenes())

    def under(name: str, what: str, scenes: Sequence[Scene]) -> WordsRight:
        return bench.single(name, what, scenes, alone)

    rows: list[RobustRow] = [
        bench.stream(CLEAN_DB),
        bench.stream(NOISY_DB),
        alone,
        bench.pairs(alone),
    ]
    rows.append(
        under(
            "after noise",
            f"{NOISE.gap_s:g} s after {NOISE.seconds:g} s of noise at {NOISE.dbfs:g} dBFS",
            bench.scenes(noise=NOISE),
        )
    )
    if bench.talk:
        scenes = bench.with_beside(bench.talk, 4)
        rows.append(under("talk beside", f"talk {BESIDE_DB:g} dB below", scenes))
    if music := [one for one in bench.sounds if MUSIC in one.name]:
        scenes = bench.with_beside(music, 1)
        rows.append(under("music beside", f"music {BESIDE_DB:g} dB below", scenes))
    if has_librosa():
        scenes = bench.scenes(voice=VOICE)
        rows.append(under("voice", f"pitch and formants x {VOICE:g}", scenes))
    what = f"the first {1000 * CUT_S:g} ms of the word cut"
    rows.append(under("onset", what, bench.scenes(cut_s=CUT_S)))
    rooms, halls = bench.impulses
    if halls:
        what = f"a hall, made to fall by 60 dB in {DECAY_S:g} s"
        rows.append(under("hall", what, bench.in_rooms(halls)))
    if rooms:
        rows.append(under("room", "a room as measured", bench.in_rooms(rooms)))
    held = bench.some(bench.tree, "validation", "reading validation")
    rows.append(bench.clips("clips, validation", "clips heard right, validation", held))
    rows.append(bench.clips("clips, testing", "clips heard right, testing", bench.testing))
    return rows


def rows_of_others(bench: RobustBench) -> list[RobustRow]:
    """Rows in which no word is to be heard."""
    rows: list[RobustRow] = [
        *bench.recorded("talk", "sentences of testing speakers", bench.talk),
        *bench.recorded("phrases", "phrases and orders", bench.phrases),
        *bench.recorded("sounds", "sounds and music", bench.sounds),
    ]
    if (clips := bench.foreign) is not None:
        scenes = bench.foreign_words(clips)
        rows.append(bench.count("foreign words", "words of another language in a row", scenes))
        what = "clips of another language rejected"
        rows.append(bench.clips("foreign clips", what, clips, foreign=True))
    kinds: list[tuple[str, str, list[Beep] | list[Sweep]]] = [
        ("beeps", "tones on and off", beeps()),
        ("sweeps", "sweeps, sirens, hum, ticks", sweeps()),
    ]
    for name, what, parts in kinds:
        cases = [part.name for part in parts]
        rows.append(bench.count(name, what, parts, cases=cases))
    return rows


@dataclass(frozen=True)
class RobustReport:
    """The table of a model."""

    model: Model
    isolated: bool
    """Whether only words that stand by themselves were heard."""
    rows: tuple[RobustRow, ...]
    missing: tuple[str, ...]
    """What was left out, and why."""

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "model": self.model.identity,
            "isolated": self.isolated,
            "seed": SEED,
            "rows": [row.summary() for row in self.rows],
            "missing": list(self.missing),
        }


def measure(
    model: Model,
    folder: Path,
    workers: int | None = None,
    stage: Stage = lambda name: lambda done, total: None,
    isolated: bool | None = None,
) -> RobustReport:
    """Measure a model outside of clean single words.

    Args:
        model: the model, at its own thresholds.
        folder: of sets, under the names of SETS; or a Speech Commands tree alone.
        workers: processes; all cores by default.
        stage: gives, for the name of a stage, what its progress is reported to.
        isolated: whether only words that stand by themselves are heard; as the model says by
            default.

    Raises:
        DataError: no such folder, or a set that is not usable.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if isolated is None:
        isolated = model.isolated
    bench = RobustBench(model, folder, workers, stage, isolated)
    missing = [f"{name} ({what})" for name, what in SETS.items() if not sets.has_set(folder, name)]
    if bench.tree is not None:
        missing = [text for text in missing if not text.startswith(f"{sets.SPEECH} ")]
    if not has_librosa():
        missing.append(f"changed voices (librosa: {install_command('lab')})")
    bench.read()
    rows = rows_of_speech(bench) if bench.tree else []
    rows += rows_of_others(bench)
    return RobustReport(model, isolated, tuple(rows), (*missing, *bench.left_out()))
