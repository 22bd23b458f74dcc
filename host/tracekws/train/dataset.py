# SPDX-License-Identifier: Apache-2.0
"""Training features: augmented copies of the clips through the C front end, cached on disk."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.core import FeatureConfig, features
from tracekws.data import (
    CLASSES,
    CLIP_SAMPLES,
    KEYWORDS,
    NOISE_FOLDER,
    SILENCE,
    UNKNOWN,
    Clip,
    Progress,
    Recordings,
    Tree,
    read_noise,
    read_recordings,
    silence_clips,
)
from tracekws.errors import DataError
from tracekws.train import augment

CLIPS_PER_SILENCE = 13
"""Each augmented copy has one made-up clip of silence for so many clips of words."""


@dataclass(frozen=True)
class Source:
    """What augmented copies are made from."""

    pcm: NDArray[np.int16]
    labels: NDArray[np.int64]
    """Classes of a copy's rows: those of the clips, then silence."""
    noises: Sequence[NDArray[np.int16]]
    config: FeatureConfig
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """Fixed clips to choose models by."""

    features: NDArray[np.int8]
    labels: NDArray[np.int64]


def class_index(word: str) -> int:
    """Class of a word: a keyword's own, else unknown."""
    return CLASSES.index(word if word in KEYWORDS else UNKNOWN)


def copy_of(source: Source, number: int) -> NDArray[np.int8]:
    """Augmented copy of all clips, silence behind them: int8 (rows, steps, 80)."""
    rng = np.random.default_rng([source.seed, number])
    rows = [features(augment.speech(pcm, source.noises, rng), source.config) for pcm in source.pcm]
    rows += [
        features(augment.silence(source.noises, rng), source.config)
        for _ in range(len(source.labels) - len(source.pcm))
    ]
    return np.stack(rows)


def write_copy(source: Source, number: int, path: Path) -> None:
    """Make a copy and store it; a reader never sees half of one."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, copy_of(source, number))
    part.rename(path)


class Copies:
    """Augmented copies, made by other processes ahead of their use and kept on disk.

    Args:
        source: the clips.
        folder: cache; its sub-folder is named by the data, the front end and the seed.
        count: how many different copies there are; copy n is copy n modulo count.
        workers: processes that make copies.
    """

    def __init__(self, source: Source, folder: Path, count: int, workers: int) -> None:
        """Start to make the copies that are not in the cache yet."""
        key = hashlib.sha256(source.pcm.tobytes())
        settings = {**asdict(source.config), "seed": source.seed, "version": feature_version()}
        key.update(json.dumps(settings, sort_keys=True).encode())
        self.folder = folder / f"copies-{key.hexdigest()[:16]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.count = count
        self.pool = ProcessPoolExecutor(workers)
        self.jobs: dict[int, Future[None]] = {
            n: self.pool.submit(write_copy, source, n, self.path(n))
            for n in range(count)
            if not self.path(n).exists()
        }

    def path(self, number: int) -> Path:
        """File of a copy."""
        return self.folder / f"{number}.npy"

    def get(self, number: int) -> NDArray[np.int8]:
        """A copy, waiting for it if it is still being made."""
        number %= self.count
        if number in self.jobs:
            self.jobs[number].result()
        copy: NDArray[np.int8] = np.load(self.path(number))
        return copy

    def close(self) -> None:
        """Stop making copies."""
        self.pool.shutdown(wait=True, cancel_futures=True)


def feature_version() -> str:
    """What the features depend on besides their constants: the front end's answer to a chirp."""
    t = np.arange(16000) / 16000
    chirp = (8000 * np.sin(2 * np.pi * (100 + 3000 * t) * t)).astype(np.int16)
    return hashlib.sha256(features(chirp, FeatureConfig()).tobytes()).hexdigest()[:16]


def check_classes(root: Path, clips: Sequence[Clip]) -> None:
    """See that every class of words has clips.

    Raises:
        DataError: one has none.
    """
    there = {class_index(clip.word) for clip in clips}
    if missing := [name for c, name in enumerate(CLASSES) if c not in there and name != SILENCE]:
        raise DataError(
            f"{root}: no clips to train on of {', '.join(missing)} ({UNKNOWN} is any other word)"
        )


def training_clips(tree: Tree, exclude: frozenset[str]) -> tuple[Clip, ...]:
    """The training split without the excluded speakers, before any of it is read.

    Raises:
        DataError: no list files, no noise recordings, or a class without clips.
    """
    clips = tuple(clip for clip in tree.of("training") if clip.speaker not in exclude)
    check_classes(tree.root, clips)
    if not tree.of("validation"):
        raise DataError(f"{tree.root}: the validation split has no clips to choose by")
    if not tree.noises:
        raise DataError(f"{tree.root}: no {NOISE_FOLDER} folder to learn silence from")
    return clips


def names_digest(clips: Sequence[Clip]) -> str:
    """SHA-256 over the names of clips, 16 hexadecimal digits."""
    names = sorted(f"{clip.word}/{clip.path.stem}" for clip in clips)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def read_evaluation(tree: Tree, split: str, config: FeatureConfig) -> Evaluation:
    """Clips of a split and held-out silence; no clips when the split has none."""
    held = read_recordings(tree.of(split))
    rows = [features(pcm, config) for pcm in held.pcm]
    labels = [class_index(clip.word) for clip in held.clips]
    if rows:
        silence = silence_clips(read_noise(tree.noises, "evaluation"))
        rows += [features(pcm, config) for pcm in silence]
        labels += [CLASSES.index(SILENCE)] * len(silence)
    return Evaluation(np.array(rows), np.array(labels))


def read_training(
    tree: Tree, exclude: frozenset[str], config: FeatureConfig, seed: int, progress: Progress
) -> tuple[Source, Evaluation, Recordings]:
    """Training clips without the excluded speakers, and the validation split.

    Raises:
        DataError: something is missing or not usable.
    """
    clips = training_clips(tree, exclude)
    noises = read_noise(tree.noises, "training")
    for path, noise in zip(tree.noises, noises, strict=True):
        if len(noise) <= CLIP_SAMPLES:
            raise DataError(f"{path}: shorter than two seconds; remove it")
    recordings = read_recordings(clips, progress)
    check_classes(tree.root, recordings.clips)
    validation = read_evaluation(tree, "validation", config)
    if not len(validation.labels):
        raise DataError(f"{tree.root}: the validation split has no readable clips")
    labels = [class_index(clip.word) for clip in recordings.clips]
    labels += [CLASSES.index(SILENCE)] * (1 + len(labels) // CLIPS_PER_SILENCE)
    source = Source(recordings.pcm, np.array(labels), noises, config, seed)
    return source, validation, recordings
