# SPDX-License-Identifier: Apache-2.0
"""A model of own words in minutes: a readout of another model's layer, trained on few recordings.

The layer stays as it is, so that traces of takes and words of the user's own are compared as by the
model that it is of. All recordings are learned in the end. What the model is worth is measured
before: the clips are divided into parts, and each part is heard by a readout that was trained
without it. Thresholds are chosen on these streams, too.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.stream import Sound, add, held_back
from tracekws.bench.streams import CLEAN_DB, NOISY_DB, Speech, bench_speech, minutes_of
from tracekws.bench.thresholds import case_of, choose
from tracekws.core import Model, Network, features
from tracekws.data import (
    Clip,
    Progress,
    Recordings,
    Stage,
    Tree,
    by_voice,
    in_turn,
    left_out,
    read_recordings,
)
from tracekws.errors import DataError
from tracekws.modelfile import Detector, Learning, arrays_of, rehearsed, with_thresholds
from tracekws.train.config import TrainConfig
from tracekws.train.dataset import (
    check_words,
    names_digest,
    read_training,
    words_of,
)
from tracekws.train.export import export
from tracekws.train.group import Group
from tracekws.train.loader import Batch, Loader
from tracekws.train.loop import Epoch, Student, StudentRun, to_input
from tracekws.train.made import PIECES, completed
from tracekws.train.network import SpikingNetwork

PARTS = 4
"""Of the clips, that are held out in turn."""
REHEARSAL_WEIGHT = 0.5
"""Of the clips that the start's image has to rehearse, as other words."""
LEAST_OTHERS = 5
"""Recordings of other words in each part, to count false alarms in them."""
HEARINGS = 5
"""How often a stream of the length of minutes_of() is heard, thresholds included."""
TRIAL = 4
"""Batches by which the time is told beforehand; the first only counts where it is the only one."""
SAID = ("hit_percent", "false_alarms_per_100_other_words", "keywords", "other_words")
"""Of the clean stream, in short."""
HEARD_SHARE = 50.0
"""Percent of the words: a model that hears less is poor."""
MADE_EXCESS = 12.0
"""Points by which that is too good where other words are made: up to eleven were measured."""
FALSE_PER_100 = 3.0
"""False alarms in 100 other words: a model with more is poor."""


def hold(network: SpikingNetwork, model: Model) -> None:
    """Give a network a model's layer, which learns nothing any more."""
    arrays = arrays_of(model)
    decay = torch.from_numpy(arrays.decay).clamp(1e-6, 1 - 1e-6)
    layer = {
        "taps": torch.from_numpy(arrays.taps),
        "weights": torch.from_numpy(arrays.weights.T.copy()),
        "recurrent": torch.from_numpy(arrays.recurrent),
        "bias": torch.from_numpy(arrays.bias),
        "decay_logit": torch.logit(decay),
    }
    if arrays.convolution:
        layer["convolution.weights"] = torch.from_numpy(arrays.convolution.weights)[:, None]
        layer["convolution.bias"] = torch.from_numpy(arrays.convolution.bias)
    for name, parameter in network.named_parameters():
        if name in layer:
            parameter.data.copy_(layer[name])
            parameter.requires_grad_(False)


class Held(Student):
    """The spiking network with the layer of the model in config.start, and a readout from zero."""

    matrices: ClassVar = frozenset[str]()

    def __init__(self, config: TrainConfig, words: int) -> None:
        """Load the layer."""
        super().__init__(config, words)
        hold(self, Model.load(config.start))
        self.readout.data.zero_()


class ReadoutRun(StudentRun):
    """Training of a readout; what the start rehearses of other words is learned beside the clips.

    Words of the start that the config has, too, are left out of that.
    """

    architecture: type[Student] = Held

    def __init__(
        self, config: TrainConfig, words: int, folder: Path, clips: str, group: Group, name: str
    ) -> None:
        """Start, or go on; see Run."""
        super().__init__(config, words, folder, clips, group, name=name)
        start = Model.load(config.start)
        classes, rates = rehearsed(start)
        other = [start.labels[number] not in config.words for number in classes]
        self.others = torch.from_numpy(rates[other].astype(np.float32))
        self.right = torch.full((len(self.others),), len(config.words))

    def loss(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The weighted sum."""
        loss = super().loss(inputs, batch)
        if not len(self.others):
            return loss
        scores = self.network.readout_of(self.others)
        return loss + REHEARSAL_WEIGHT * functional.cross_entropy(scores, self.right)


@dataclass(frozen=True)
class Worth:
    """What a model of own words is worth, by streams of clips that were held out."""

    streams: tuple[dict[str, Any], ...]
    """Speech.summary(), clean and with noise."""
    speakers: int
    """That were held out in turn; 0 where clips were, of voices that were learned, too."""
    made_others: bool
    """Whether what is no word was made, for want of recordings of other words."""

    @property
    def poor(self) -> bool:
        """Whether it hears less, or has more false alarms, than a model should."""
        clean = self.streams[0]
        false = clean["false_alarms_per_100_other_words"]["mean"]
        return bool(clean["hit_percent"] < self.least or false > FALSE_PER_100)

    @property
    def least(self) -> float:
        """Percent of the words that is to be heard."""
        return HEARD_SHARE + (MADE_EXCESS if self.made_others else 0)

    def summary(self) -> dict[str, object]:
        """Plain data for --json and the card."""
        return {
            "speakers": self.speakers,
            "made_other_words": self.made_others,
            "poor": self.poor,
            **{key: self.streams[0][key] for key in SAID},
        }

    def lines(self) -> list[str]:
        """The same for people."""
        clean, noisy = self.streams
        false = clean["false_alarms_per_100_other_words"]
        who = f"{self.speakers} speakers" if self.speakers else "clips, of voices that it knows"
        what = (
            "100 other words of a synthesiser's voices" if self.made_others else "100 other words"
        )
        rows = [row for row in clean["rows"] if row["keywords"]]
        least = min(rows, key=lambda row: row["hits"] / row["keywords"])
        told = [
            f"held out in turn, {who}: {clean['hit_percent']:.0f} % of the words heard in a stream,"
            f" {false['mean']:.1f} ({false['low']:.1f} to {false['high']:.1f}) false alarms in"
            f" {what}; with noise 10 dB below, {noisy['hit_percent']:.0f} % heard",
            f"heard least: {least['word']}, {100 * least['hits'] / least['keywords']:.0f} %",
        ]
        if self.poor:
            told.append(
                f"warning: a poor model: it should hear {self.least:.0f} % at no more than"
                f" {FALSE_PER_100:.0f} false alarms in 100; record more takes, of more speakers,"
                " and other words in _other"
            )
        return told


@dataclass(frozen=True)
class Learned:
    """A model of own words, and what its card says of it."""

    model: Model
    worth: Worth
    last: Epoch
    """Of the training with all clips; its accuracies say nothing."""
    recordings: Recordings
    """All that it has learned of the tree."""


def forecast(run: ReadoutRun, loader: Loader, start: Model, minutes: float) -> float:
    """Seconds that all will take on this machine, by a few batches and a second of sound.

    Args:
        run: the first of those to come.
        loader: of its batches.
        start: any model of this size.
        minutes: of streams that will be heard.
    """
    begun, counted = time.monotonic(), 0
    epochs = loader.epochs(run.sampling, range(1))
    for number, batch in enumerate(islice(next(epochs), TRIAL)):
        if number == 1:
            begun, counted = time.monotonic(), 0
        run.loss(to_input(batch.features), batch)
        counted += 1
    a_batch = (time.monotonic() - begun) / counted
    del epochs  # nothing more is made
    begun = time.monotonic()
    Network(start).stream(features(np.zeros(SAMPLE_RATE, np.int16), start.front_end))
    a_second = time.monotonic() - begun
    batches = (PARTS + 1) * run.epochs * loader.batches(run.sampling)
    return batches * a_batch + 60 * minutes * a_second


def in_parts(tree: Tree, clips: Sequence[Clip], words: Sequence[str]) -> Tree:
    """The tree with these clips alone, whose splits are the parts that are held out in turn.

    Where so few speakers say the words that a part would be without any, clips are divided one by
    one.
    """
    parts = in_turn(clips, PARTS)
    said = [clip.word in words for clip in clips]
    if {n for n, is_word in zip(parts, said, strict=True) if is_word} != set(range(PARTS)):
        parts = in_turn([replace(clip, speaker="") for clip in clips], PARTS)
    divided = (replace(clip, split=str(n)) for clip, n in zip(clips, parts, strict=True))
    return replace(tree, clips=tuple(divided), has_lists=True)


def check_parts(tree: Tree, words: Sequence[str], read: Recordings) -> None:
    """See that every word has clips in two parts, and every part one of them.

    Args:
        tree: divided by in_parts().
        words: to be learned.
        read: what its clips are of.

    Raises:
        DataError: it is not so.
    """
    for word in words:
        mine = [clip for clip in tree.clips if clip.word == word]
        if len({clip.split for clip in mine}) < 2:
            what = "readable take" if len(mine) == 1 else "readable takes"
            voice = ", all of one voice" if len(mine) > 1 else ""
            raise DataError(
                f"{tree.root}: {len(mine)} {what} of '{word}'{voice}"
                f"{read.said_of_repeats([word])}: record some by others, ten are better (a few"
                " takes of your own voice are enough for `tracekws teach`)"
            )
    if len({clip.split for clip in tree.clips if clip.word in words}) < PARTS:
        raise DataError(
            f"{tree.root}: too few takes of {', '.join(words)}{read.said_of_repeats(words)}:"
            f" {PARTS} in all at least, ten a word are better (a few takes of your own voice are"
            " enough for `tracekws teach`)"
        )


def few_others(tree: Tree, words: Sequence[str]) -> bool:
    """Whether a part has too few recordings of other words to count false alarms in."""
    counts = Counter(clip.split for clip in tree.clips if clip.word not in words)
    return min(counts[str(part)] for part in range(PARTS)) < LEAST_OTHERS


def without(tree: Tree, part: int | None) -> Tree:
    """The tree with one part held out as validation; with None all is trained on.

    The first part is validation then, too, though it is learned: what it gives says nothing.
    """
    held = str(part or 0)
    clips = [replace(c, split="training") for c in tree.clips if part is None or c.split != held]
    clips += [replace(clip, split="validation") for clip in tree.of(held)]
    return replace(tree, clips=tuple(clips))


def measured(
    models: Sequence[Model],
    values: NDArray[np.float64],
    held_out: Sequence[Recordings],
    sounds: Sequence[Sound],
    ratio: float,
    progress: Progress,
) -> dict[str, Any]:
    """What models hear, each of the part that it has not learned, as Speech.summary().

    Args:
        models: of the parts.
        values: thresholds.
        held_out: the parts.
        sounds: background.
        ratio: speech over background, dB.
        progress: over the parts.
    """
    parts = []
    for number, (model, recordings) in enumerate(zip(models, held_out, strict=True)):
        progress(number, len(models))
        given = Model(with_thresholds(model, values))
        minutes = minutes_of(recordings, model.keywords)
        parts.append(bench_speech(given, recordings, sounds, minutes, ratio))
    progress(len(models), len(models))
    levels = tuple(add(level) for level in zip(*(part.levels for part in parts), strict=True))
    return Speech(ratio, levels, add([part.new for part in parts])).summary()


@dataclass
class Training:
    """The runs of a model of own words: one without each part, then one with all."""

    name: str
    tree: Tree
    run: Path
    cache: Path
    workers: int
    group: Group
    config: TrainConfig
    learning: Learning
    detector: Detector

    def models(
        self, minutes: int, progress: Progress, tell: Callable[[str], None]
    ) -> tuple[list[Model], Epoch]:
        """The models, without thresholds, and the last epoch of the one with all.

        Args:
            minutes: of streams that will be heard afterwards, HEARINGS times.
            progress: over all epochs.
            tell: told how long all will take, when the first batches are made.

        Raises:
            DataError: as of the runs.
        """
        config, start = self.config, Model.load(self.config.start)
        front_end = start.front_end
        told_apart = len(words_of(self.tree.clips, config.words))
        models: list[Model] = []
        for part in (*range(PARTS), None):
            tree = without(self.tree, part)
            source, held, _ = read_training(
                tree, front_end, config.classes, lambda done, total: None
            )
            trained = ReadoutRun(
                config,
                told_apart,
                self.run,
                names_digest(tree.of("training")),
                self.group,
                "checkpoint" if part is None else f"without-part-{part + 1}",
            )
            trained.bind({**source.content, "start": f"{start.crc:08x}"})
            loader = Loader(source, self.cache, front_end, config, self.workers)
            try:
                if part == 0:
                    seconds = forecast(trained, loader, start, HEARINGS * minutes)
                    tell(f"this takes about {max(1, math.ceil(seconds / 60))} min on this machine")

                def after(epoch: Epoch, done: int = len(models) * config.epochs) -> None:
                    progress(done + epoch.epoch, (PARTS + 1) * config.epochs)

                trained.train(loader, held, after)
                image = export(
                    self.name,
                    trained.network,
                    config.classes,
                    loader.each_once(),
                    loader.labels,
                    loader.words,
                    front_end,
                    self.learning,
                    self.detector,
                    start=start,
                )
            finally:
                loader.close()
            models.append(Model(image))
        return models, trained.history[-1]


def learn(
    name: str,
    tree: Tree,
    exclude: frozenset[str],
    run: Path,
    cache: Path,
    workers: int,
    group: Group,
    config: TrainConfig,
    learning: Learning,
    detector: Detector,
    stage: Stage,
    tell: Callable[[str], None],
) -> Learned:
    """Make a model of own words; see the module.

    Args:
        name: of the model.
        tree: clips of its testing split are left out, and what its noise has behind four fifths.
        exclude: speakers that are left out, too.
        run: folder of checkpoints, and of what is made.
        cache: folder of energies.
        workers: processes that augment.
        group: of one process.
        config: with a start.
        learning: constants of learning.
        detector: constants of the detector; thresholds are chosen.
        stage: gives what the progress of a stage is reported to.
        tell: given what the user should know.

    Raises:
        DataError: nothing to train on, or as of the runs.
    """
    if group.size > 1:
        raise DataError("a model that has a start is trained by one process: leave torchrun out")
    exclude = left_out(tree, exclude)
    clips = [c for c in tree.clips if c.split != "testing" and c.speaker not in exclude]
    check_words(tree.root, clips, config.words)
    read = read_recordings(clips, stage("reading"))
    real = in_parts(tree, read.clips, config.words)
    check_parts(real, config.words, read)
    splits = [*map(str, range(PARTS))]
    seed = config.augment.seed
    tree, told = completed(real, config.words, run / "made", seed, splits, always=True)
    for text in told:
        tell(text)
    made_others = few_others(real, config.words)
    said = tree.clips if made_others else real.clips
    # pieces have half of a word in them: thresholds that keep them out keep the words out, too
    heard = replace(tree, clips=tuple(clip for clip in said if clip.word != PIECES))
    held_out = [read_recordings(heard.of(split)) for split in splits]
    training = Training(name, tree, run, cache, workers, group, config, learning, detector)
    models, last = training.models(
        sum(minutes_of(one, config.words) for one in held_out), stage("training"), tell
    )
    *without_part, model = models
    sounds = held_back(tree.noises)
    cases = [
        case_of(one, recordings, sounds, minutes_of(recordings, config.words))
        for one, recordings in zip(without_part, held_out, strict=True)
    ]
    values = choose(cases, progress=stage("thresholds"))
    streams = [
        measured(without_part, values, held_out, sounds, ratio, stage(f"stream at {ratio:g} dB"))
        for ratio in (CLEAN_DB, NOISY_DB)
    ]
    places = {(c.speaker, c.split) for c in real.clips if c.word in config.words and c.speaker}
    speakers = {speaker for speaker, _ in places}
    apart = by_voice(read.clips) and len(places) == len(speakers)
    worth = Worth(tuple(streams), len(speakers) if apart else 0, made_others)
    return Learned(
        Model(with_thresholds(model, values)), worth, replace(last, contrast_accuracy=None), read
    )
