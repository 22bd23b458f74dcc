# SPDX-License-Identifier: Apache-2.0
"""Batches of freshly augmented features, made by other processes ahead of their use."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.core import CHANNELS, FeatureConfig, normalise
from tracekws.data import UNKNOWN, Progress
from tracekws.parallel import start_worker, work_on_own
from tracekws.train import augment, cache
from tracekws.train.augment import Noises, bounds
from tracekws.train.config import TrainConfig
from tracekws.train.dataset import Source
from tracekws.train.windows import Window, in_steps, right_answers

REPLAY_STREAM, STUDENT_STREAM, TEACHER_STREAM = 0, 1, 2
"""Random streams; teacher k has TEACHER_STREAM + k."""


NOWHERE = -(1 << 20)
"""Frame of a word that is not said."""


@dataclass(frozen=True)
class Sampling:
    """How a network's clips are drawn."""

    stream: int
    seed: int
    batch: int
    """Clips of a batch, over all processes."""
    context_share: float = 0.0
    """Of the batches, in which something is said before each clip."""


@dataclass(frozen=True)
class Batch:
    """Some clips, perhaps with what was said before: int8 (clips, steps, 80), and their classes."""

    features: NDArray[np.int8]
    labels: NDArray[np.int64]
    words: NDArray[np.int64]
    """As in Source."""
    window: Window | None
    """Of batches with a context: one of the seconds before the clips are all there."""
    no_word: NDArray[np.bool_] | None = None
    """(clips,) of which nothing is asked but that no keyword is heard."""


class Maker:
    """One process's view of everything that batches are made from."""

    def __init__(
        self,
        files: list[Path],
        labels: NDArray[np.int64],
        noises: Noises,
        front_end: FeatureConfig,
        config: TrainConfig,
        of_sets: NDArray[np.bool_],
        continues: NDArray[np.bool_],
    ) -> None:
        """Open the copies.

        Args:
            files: of the copies.
            labels: of all rows.
            noises: to be laid under clips.
            front_end: normalisation.
            config: of the run.
            of_sets: which rows are seconds of sets.
            continues: of the rows, whether they go on where the row before them ends.
        """
        self.copies = [open_memmap(path, mode="r") for path in files]
        self.labels = labels
        self.noises = noises
        self.front_end = front_end
        self.classes = len(config.classes)
        self.config = config.augment
        self.of_sets = of_sets
        self.continues = continues

    def speech(self, copies: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Energies of clips; of rows that are silence, those of another."""
        clips = len(self.copies[0])
        pairs = zip(copies, rows % clips, strict=True)
        return cache.decode(np.stack([self.copies[copy][row] for copy, row in pairs]))

    def features(
        self, rows: NDArray[np.int64], key: tuple[int, ...], part: slice, context: int, masked: bool
    ) -> "Made":
        """Features of a batch's part, and where there is a context a window.

        Args:
            rows: clips of the whole batch; those behind the last clip are silence.
            key: of the batch's random numbers.
            part: which of them are wanted.
            context: frames before each clip: the last ones of another clip, then perhaps a gap.
            masked: whether steps and channels are blanked.
        """
        clips = len(self.copies[0])
        rng = np.random.default_rng(key)
        changes = augment.draw(len(rows), clips, self.noises, self.config, rng).part(part)
        rows = rows[part]
        talkers = np.zeros((len(rows), augment.FRAMES, CHANNELS), dtype=np.float32)
        heard = changes.talker_level > 0
        if heard.any():
            talkers[heard] = self.speech(changes.copies[heard], changes.talkers[heard])
        speech = self.speech(changes.copies, rows)
        is_silence = rows >= clips
        follows = self.continues[rows]
        changes.before[follows] = rows[follows] - 1
        changes.before_level[follows] = 1
        before = np.zeros((len(rows), context, CHANNELS), dtype=np.float32)
        window = None
        if context:
            earlier = self.speech(changes.copies, changes.before)
            gap = int(rng.integers(context // 2 + 1))
            before[:, : context - gap] = earlier[:, gap - context :]
            before[follows] = earlier[follows, -context:]
            end = augment.STEPS + int(rng.integers(context // lib.TKWS_STACK))
            clip = augment.moved(speech.sum(2), changes.frames)
            words = np.stack([bounds(earlier.sum(2)) - gap - augment.FRAMES, bounds(clip)], axis=1)
            words[is_silence, 1] = NOWHERE
            words[follows, 0] += gap
            sound = self.of_sets[changes.before] & (self.labels[changes.before] == self.classes - 1)
            words[sound, 0] = NOWHERE
            labels = np.stack([self.labels[changes.before], self.labels[rows]], axis=1)
            right = right_answers(labels, in_steps(words + context), end, self.classes)
            right[is_silence, -2:] = True  # its noise may drown what is said before
            right[self.of_sets[rows], -2:] = True
            window = Window(end, right)
        energies = augment.changed(speech, talkers, before, is_silence, self.noises, changes)
        out = normalise(energies, self.front_end)
        if masked:
            augment.mask(out, changes)
        return out, window


Made = tuple[NDArray[np.int8], Window | None]


def live_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it, whatever ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make_maker(
    files: list[Path],
    labels: NDArray[np.int64],
    noises: Noises,
    front_end: FeatureConfig,
    config: TrainConfig,
    of_sets: NDArray[np.bool_],
    continues: NDArray[np.bool_],
) -> Maker:
    """A process's own view."""
    live_with_parent()
    return Maker(files, labels, noises, front_end, config, of_sets, continues)


def sampling_weights(source: Source, config: TrainConfig) -> NDArray[np.float64]:
    """Probability of each row, so that classes are drawn evenly, unknown unknown_weight times.

    Seconds of sets are drawn beside them, by their own weights.
    """
    share = np.ones(len(config.classes))
    share[config.classes.index(UNKNOWN)] = config.unknown_weight
    labels, inside = source.labels, source.of_sets
    counts = np.bincount(labels[~inside], minlength=len(share))
    weight = (share / np.maximum(1, counts))[labels]
    if source.seconds:
        weight[inside] = source.seconds.weight
    total: float = weight.sum()
    return weight / total


class Loader:
    """Batches of features; close it after use.

    Args:
        source: what is trained on.
        folder: of the cache of energies, which runs beside each other share.
        front_end: normalisation.
        config: of the run.
        workers: processes that make features.
        part: which clips of each batch are wanted, where several processes share it.
        fills: whether this process makes the cache's missing files.
        progress: of that.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        front_end: FeatureConfig,
        config: TrainConfig,
        workers: int,
        part: slice = slice(None),
        fills: bool = True,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """Make what the cache lacks."""
        self.labels = source.labels
        self.words = source.words
        self.of_sets = source.of_sets
        self.no_word = source.no_word
        self.config = config
        self.part = part
        settings, seed = config.augment, config.augment.seed
        folder.mkdir(parents=True, exist_ok=True)
        files = cache.paths(folder, source.pcm, settings.copies, settings.stretch, seed)
        context = get_context("spawn")
        if fills:
            with ProcessPoolExecutor(workers, context, live_with_parent) as pool:
                cache.fill(files, source.pcm, settings.stretch, seed, pool, progress)
        noises = Noises.of(source.noises, seed)
        continues = np.zeros(len(source.labels), dtype=bool)
        if source.seconds:
            continues[self.of_sets] = source.seconds.continues
        own = partial(
            make_maker, files, self.labels, noises, front_end, config, self.of_sets, continues
        )
        self.pool = ProcessPoolExecutor(workers, context, start_worker, (own,))
        self.weights = sampling_weights(source, config)

    def make(
        self, rows: NDArray[np.int64], key: tuple[int, ...], part: slice, context: int, masked: bool
    ) -> Future[Made]:
        """See Maker.features()."""
        work = Maker.features
        return self.pool.submit(work_on_own, work, rows, key, part, context, masked)

    def batches(self, sampling: Sampling) -> int:
        """Batches of an epoch."""
        return self.config.clips_per_epoch // sampling.batch

    def plan(
        self, sampling: Sampling, epochs: range
    ) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
        """Epoch, number and rows of each batch."""
        for epoch in epochs:
            rng = np.random.default_rng([sampling.seed, sampling.stream, epoch])
            drawn = rng.choice(len(self.labels), self.config.clips_per_epoch, p=self.weights)
            for number in range(self.batches(sampling)):
                first = number * sampling.batch
                yield epoch, number, drawn[first : first + sampling.batch]

    def context(self, share: float, key: tuple[int, ...]) -> int:
        """Frames before each clip of a batch: none, or those of 0.2 to 1 s."""
        rng = np.random.default_rng([*key, 1])
        if rng.random() >= share:
            return 0
        frames: int = lib.TKWS_STACK * int(rng.integers(10, augment.STEPS + 1))
        return frames

    def epochs(self, sampling: Sampling, epochs: range) -> Iterator[Iterator[Batch]]:
        """The batches of each epoch in turn; they are made an epoch ahead.

        Args:
            sampling: how clips are drawn.
            epochs: their numbers; the same epoch of a sampling is always the same.
        """
        plan = self.plan(sampling, epochs)
        count = self.batches(sampling)
        waiting: deque[tuple[NDArray[np.int64], Future[Made]]] = deque()

        def order() -> None:
            for epoch, number, rows in plan:
                key = (sampling.seed, sampling.stream, epoch, number)
                context = self.context(sampling.context_share, key)
                waiting.append((rows, self.make(rows, key, self.part, context, masked=True)))
                return

        def batches() -> Iterator[Batch]:
            for _ in range(count):
                rows, job = waiting.popleft()
                order()
                features, window = job.result()
                rows = rows[self.part]
                labels, words, no_word = self.labels[rows], self.words[rows], self.no_word[rows]
                yield Batch(features, labels, words, window, no_word)

        try:
            for _ in range(count):
                order()
            for _ in epochs:
                yield batches()
        finally:
            for _, job in waiting:
                job.cancel()

    def each_once(self) -> NDArray[np.int8]:
        """Features of every row but those of sets, augmented, in order; nothing is blanked."""
        (rows,) = np.nonzero(~self.of_sets)
        parts = np.array_split(rows, -(-len(rows) // 256))
        keys = [(self.config.seed, REPLAY_STREAM, 0, number) for number in range(len(parts))]
        jobs = [
            self.make(rows, key, slice(None), 0, masked=False)
            for rows, key in zip(parts, keys, strict=True)
        ]
        return np.concatenate([job.result()[0] for job in jobs])

    def close(self) -> None:
        """Stop the processes."""
        self.pool.shutdown(wait=True, cancel_futures=True)
