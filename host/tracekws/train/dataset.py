# SPDX-License-Identifier: Apache-2.0
"""What is trained on and chosen by: clips with their classes, noise recordings, fixed features."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws.core import FeatureConfig, features
from tracekws.data import (
    CLIP_SAMPLES,
    NOISE_FOLDER,
    SILENCE,
    SPLITS,
    UNKNOWN,
    Clip,
    Progress,
    Recordings,
    Tree,
    left_out,
    read_noise,
    read_recordings,
    silence_clips,
)
from tracekws.errors import DataError
from tracekws.names import bytes_of
from tracekws.train.seconds import Part, Seconds

CLIPS_PER_SILENCE = 13
"""One made-up clip of silence is there for so many clips of words."""


def digest_of(*arrays: NDArray[Any]) -> str:
    """SHA-256 over numbers, 16 hexadecimal digits."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(array.data)
    return sha.hexdigest()[:16]


@dataclass(frozen=True)
class Source:
    """What is trained on."""

    pcm: NDArray[np.int16]
    labels: NDArray[np.int64]
    """Classes of the rows: those of the clips, then of the seconds of sets, then silence."""
    words: NDArray[np.int64]
    """Words of the rows, numbered as in words_of()."""
    noises: list[NDArray[np.int16]]
    seconds: Seconds | None = None
    """Those of sets; their samples are in pcm, too."""

    @property
    def content(self) -> dict[str, str]:
        """Digests of what is in it beside names, by what they are of."""
        clips, rows = self.clips, len(self.pcm)
        return {
            "clips": digest_of(self.pcm[:clips]),
            "sets": digest_of(self.pcm[clips:], self.words[clips:rows]),
            "noise": digest_of(*self.noises),
        }

    @property
    def clips(self) -> int:
        """Rows that are clips of words."""
        return len(self.pcm) - (len(self.seconds.pcm) if self.seconds else 0)

    @property
    def of_sets(self) -> NDArray[np.bool_]:
        """Which rows are seconds of sets."""
        rows = np.arange(len(self.labels))
        inside: NDArray[np.bool_] = (rows >= self.clips) & (rows < len(self.pcm))
        return inside

    @property
    def no_word(self) -> NDArray[np.bool_]:
        """Which rows are seconds of sets of which nothing is asked but that no keyword is heard."""
        none = self.of_sets
        if self.seconds:
            none[none] = [not word for word in self.seconds.words]
        return none


@dataclass(frozen=True)
class Evaluation:
    """Fixed clips to choose models by; silence is the last class."""

    features: NDArray[np.int8]
    labels: NDArray[np.int64]


def class_index(word: str, classes: Sequence[str]) -> int:
    """Class of a word: a keyword's own, else unknown."""
    return classes.index(word if word in classes else UNKNOWN)


def words_of(
    clips: Sequence[Clip], keywords: Sequence[str], others: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Every word that is told apart in training: keywords, those of clips and others, silence."""
    there = {clip.word for clip in clips} | others
    return (*keywords, *sorted(there - {*keywords}), SILENCE)


def check_words(root: Path, clips: Sequence[Clip], words: Sequence[str]) -> None:
    """See that every word has clips.

    Raises:
        DataError: one has none.
    """
    there = {clip.word for clip in clips}
    if missing := [word for word in words if word not in there]:
        swapped = {clip.speaker for clip in clips} & {*missing}
        hint = "; the folders of words come first, then those of speakers" if swapped else ""
        raise DataError(
            f"{root}: no clips to train on of {', '.join(missing)}: expected are"
            f" {root}/{missing[0]}/1.wav and so on{hint}"
        )


def check_classes(
    root: Path, clips: Sequence[Clip], classes: Sequence[str], read: Recordings | None = None
) -> None:
    """See that every class of words has clips; `read` is what there are, once that is known.

    Raises:
        DataError: one has none.
    """
    there = {class_index(clip.word, classes) for clip in clips}
    if missing := [name for c, name in enumerate(classes) if c not in there and name != SILENCE]:
        repeats = read.said_of_repeats(missing) if read else ""
        raise DataError(
            f"{root}: no clips to train on of {', '.join(missing)} ({UNKNOWN} is any other word)"
            f"{repeats}"
        )


def without_speakers(tree: Tree, exclude: frozenset[str]) -> Tree:
    """The tree without what some speakers say in its training split.

    Raises:
        DataError: none of them is there.
    """
    exclude = left_out(tree, exclude)
    clips = (c for c in tree.clips if c.split != SPLITS[0] or c.speaker not in exclude)
    return replace(tree, clips=tuple(clips))


def training_clips(tree: Tree, classes: Sequence[str]) -> tuple[Clip, ...]:
    """The training split, before any of it is read.

    Raises:
        DataError: no list files, no noise recordings, or a class without clips.
    """
    clips = tree.of("training")
    check_classes(tree.root, clips, classes)
    if not tree.of("validation"):
        raise DataError(
            f"{tree.root}: the validation split has no clips to choose by; record more "
            f"speakers, or write validation_list.txt and testing_list.txt"
        )
    if not tree.noises:
        raise DataError(f"{tree.root}: no {NOISE_FOLDER} folder to learn silence from")
    return clips


def names_digest(clips: Sequence[Clip], parts: Sequence[Part] = ()) -> str:
    """SHA-256 over the names of clips and of recordings of sets, 16 hexadecimal digits."""
    names = sorted(clip.key for clip in clips)
    names += [f"{part.name}/{one.name}" for part in parts for one in part.recordings]
    return hashlib.sha256(bytes_of("\n".join(names))).hexdigest()[:16]


def read_evaluation(
    tree: Tree, split: str, config: FeatureConfig, classes: Sequence[str]
) -> Evaluation:
    """Clips of a split and held-out silence; no clips when the split has none."""
    held = read_recordings(tree.of(split))
    rows = [features(pcm, config) for pcm in held.pcm]
    labels = [class_index(clip.word, classes) for clip in held.clips]
    if rows:
        silence = silence_clips(read_noise(tree.noises, "evaluation"))
        rows += [features(pcm, config) for pcm in silence]
        labels += [classes.index(SILENCE)] * len(silence)
    return Evaluation(np.array(rows), np.array(labels))


def read_training(
    tree: Tree,
    config: FeatureConfig,
    classes: Sequence[str],
    progress: Progress,
    seconds: Seconds | None = None,
) -> tuple[Source, Evaluation, Recordings]:
    """The training and the validation split.

    Raises:
        DataError: something is missing or not usable.
    """
    clips = training_clips(tree, classes)
    noises = read_noise(tree.noises, "training")
    for path, noise in zip(tree.noises, noises, strict=True):
        if len(noise) <= CLIP_SAMPLES:
            raise DataError(f"{path}: shorter than two seconds; remove it")
    recordings = read_recordings(clips, progress)
    check_classes(tree.root, recordings.clips, classes, recordings)
    validation = read_evaluation(tree, "validation", config, classes)
    if not len(validation.labels):
        raise DataError(f"{tree.root}: the validation split has no readable clips")
    said = [clip.word for clip in recordings.clips]
    pcm = recordings.pcm
    silence = 1 + len(said) // CLIPS_PER_SILENCE
    told = frozenset(seconds.words) - {""} if seconds else frozenset[str]()
    words = words_of(clips, classes[:-2], told)
    other = words[len(classes) - 2]
    if seconds:
        said += [
            word or (other if speech else SILENCE)
            for word, speech in zip(seconds.words, seconds.is_speech, strict=True)
        ]
        pcm = np.concatenate([pcm, seconds.pcm])
    said += [SILENCE] * silence
    numbers = {word: number for number, word in enumerate(words)}
    source = Source(
        pcm,
        np.array([class_index(word, classes) for word in said]),
        np.array([numbers[word] for word in said]),
        noises,
        seconds,
    )
    return source, validation, recordings
