# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a model over a data set, by the C core."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tracekws.core import Model, Network, features
from tracekws.data import (
    Progress,
    Recordings,
    Stage,
    Tree,
    read_noise,
    read_recordings,
    silence_clips,
)
from tracekws.errors import DataError
from tracekws.parallel import spread


@dataclass(frozen=True)
class ClipAccuracy:
    """Accuracy over a split; percentages are over keyword and other-word clips, by argmax."""

    confusion: NDArray[np.int64]
    """(classes, classes): true class, heard class; the silence row are the noise recordings."""
    labels: tuple[str, ...]
    unknown: int
    silence: int
    repeats: int
    bad: tuple[str, ...]
    """Why files were left out."""
    digest: str
    long: int = 0
    """Clips longer than a second, of which the loudest second is heard."""

    @property
    def words(self) -> NDArray[np.int64]:
        """The confusion's rows without silence."""
        return np.delete(self.confusion, self.silence, axis=0)

    @property
    def clips(self) -> int:
        """Clips of words, keywords and others."""
        return int(self.words.sum())

    def share(self, label: int) -> float | None:
        """Percent of a class's clips that are heard as it; None without clips."""
        row = self.confusion[label]
        return 100 * float(row[label]) / float(row.sum()) if row.sum() else None

    @property
    def accuracy(self) -> float:
        """Percent of all words heard right (LEARNING: argmax, no thresholds)."""
        right = np.trace(self.confusion) - self.confusion[self.silence, self.silence]
        return 100 * float(right) / self.clips

    @property
    def macro_accuracy(self) -> float:
        """Mean over the classes that have clips, silence aside."""
        shares = [self.share(c) for c in range(len(self.labels)) if c != self.silence]
        return float(np.mean([s for s in shares if s is not None]))

    def rejected(self, row: int) -> float | None:
        """Percent of a class's clips that are heard as no keyword; None without clips."""
        counts = self.confusion[row]
        total = counts.sum()
        away = counts[self.unknown] + counts[self.silence]
        return 100 * float(away) / float(total) if total else None

    def summary(self) -> dict[str, object]:
        """Plain data for --json."""
        return {
            "clips": self.clips,
            "accuracy": self.accuracy,
            "macro_accuracy": self.macro_accuracy,
            "per_word": {
                label: {"clips": int(self.confusion[c].sum()), "accuracy": self.share(c)}
                for c, label in enumerate(self.labels)
                if c != self.silence
            },
            "unknown_rejected": self.rejected(self.unknown),
            "silence_rejected": self.rejected(self.silence),
            "silence_clips": int(self.confusion[self.silence].sum()),
            "repeats_dropped": self.repeats,
            "bad_files": len(self.bad),
            "long_clips": self.long,
            "data": self.digest,
            "confusion": self.confusion.tolist(),
            "labels": list(self.labels),
        }


def own_network(image: bytes) -> Network:
    """A process's own copy of the model."""
    return Network(Model(image))


def heard(network: Network, pcm: NDArray[np.int16]) -> int:
    """Class of the largest score after a clip heard from reset."""
    scores = network.scores(features(pcm, network.model.front_end))
    return int(scores.argmax())


def classify(
    model: Model, pcm: Sequence[NDArray[np.int16]], workers: int | None, progress: Progress
) -> NDArray[np.int64]:
    """Classes of clips, int16 at 16 kHz."""
    out = np.zeros(len(pcm), dtype=np.int64)
    results = spread(heard, pcm, workers, partial(own_network, model.image))
    for done, result in enumerate(results):
        out[done] = result
        progress(done + 1, len(pcm))
    return out


def read_some(tree: Tree, split: str, progress: Progress) -> tuple[Recordings, tuple[str, ...]]:
    """Recordings of a split, and why files of it were left out.

    Raises:
        DataError: nothing in it is readable.
    """
    recordings = read_recordings(tree.of(split), progress)
    bad = tuple(reason for _, reason in recordings.bad)
    if not recordings.clips:
        raise DataError(
            f"{tree.root}: no readable clips in split '{split}'"
            + (f"; {len(bad)} are bad, the first is {bad[0]}" if bad else "")
        )
    return recordings, bad


@dataclass(frozen=True)
class Outside:
    """How words are heard that the model was not trained on, not even as unknown words."""

    rejected: int
    clips: int
    repeats: int
    bad: tuple[str, ...]
    digest: str
    long: int

    @property
    def percent(self) -> float:
        """Percent of the clips that are heard as no keyword."""
        return 100 * self.rejected / self.clips


def reject(
    model: Model,
    tree: Tree,
    workers: int | None = None,
    stage: Stage = lambda name: lambda done, total: None,
) -> Outside:
    """Run the model over words that it was not trained on, whatever they are named.

    Arguments and errors are those of evaluate().
    """
    recordings, bad = read_some(tree, "all", stage("reading outside words"))
    guess = classify(model, [*recordings.pcm], workers, stage("rejecting"))
    rejected = np.isin(guess, (model.unknown, model.silence)).sum()
    return Outside(
        int(rejected),
        len(guess),
        len(recordings.repeats),
        bad,
        recordings.digest,
        len(recordings.long),
    )


def evaluate(
    model: Model,
    tree: Tree,
    split: str,
    workers: int | None = None,
    stage: Stage = lambda name: lambda done, total: None,
) -> ClipAccuracy:
    """Run the model over a split: training, validation, testing or all.

    Args:
        model: the model.
        tree: the data set.
        split: its part.
        workers: processes; all cores by default.
        stage: gives, for the name of a stage, what its progress is reported to.

    Raises:
        DataError: the tree has no such split or nothing readable in it, or a bad noise recording.
    """
    silence = silence_clips(read_noise(tree.noises, "evaluation"))
    recordings, bad = read_some(tree, split, stage("reading"))
    truth = [model.class_of(clip.word) for clip in recordings.clips]
    truth += [model.silence] * len(silence)
    guess = classify(model, [*recordings.pcm, *silence], workers, stage("recognising"))
    confusion = np.zeros((len(model.labels),) * 2, dtype=np.int64)
    for said, recognised in zip(truth, guess, strict=True):
        confusion[said, recognised] += 1
    return ClipAccuracy(
        confusion,
        model.labels,
        model.unknown,
        model.silence,
        len(recordings.repeats),
        bad,
        recordings.digest,
        len(recordings.long),
    )


@dataclass(frozen=True)
class Measured:
    """A model over a split, and over words that it was not trained on, where there are any."""

    model: Model
    split: str
    result: ClipAccuracy
    """What was left out, or cut, is of both data sets."""
    outside: Outside | None

    def summary(self) -> dict[str, object]:
        """Plain data for --json."""
        outside = self.outside
        return {
            **self.result.summary(),
            "outside_rejected": outside and outside.percent,
            "outside_clips": outside.clips if outside else 0,
            "outside_data": outside and outside.digest,
            "bad": list(self.result.bad),
            "split": self.split,
            "model": self.model.identity,
        }


def measure(
    model: Model,
    tree: Tree,
    split: str,
    outside: Tree | None = None,
    workers: int | None = None,
    stage: Stage = lambda name: lambda done, total: None,
) -> Measured:
    """Run the model over a split, and over all of another data set; see evaluate() and reject()."""
    result = evaluate(model, tree, split, workers, stage)
    strange = reject(model, outside, workers, stage) if outside else None
    if strange:
        result = replace(
            result,
            repeats=result.repeats + strange.repeats,
            bad=(*result.bad, *strange.bad),
            long=result.long + strange.long,
        )
    return Measured(model, split, result, strange)
