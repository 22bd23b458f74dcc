# SPDX-License-Identifier: Apache-2.0
"""What a task gives to a rule: clips of events with labels, split in three, and what to run."""

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracekws.errors import DataError, MissingTool
from tracekws.lab.network import Constants, LayerSpec
from tracekws.shipped import install_command


@dataclass(frozen=True)
class Clips:
    """Labelled clips of the same length."""

    events: Tensor
    """(N, T, *shape): input of each step; uint8 counts or float16/32, float32 to the network."""
    labels: Tensor
    """(N,) int64."""
    groups: Tensor | None = None
    """(N,) int64, a speaker or a subject, where the task knows them."""

    def __len__(self) -> int:
        """Count of clips."""
        return len(self.labels)

    def steps(self) -> Iterator[Tensor]:
        """Input of each step, (N, *shape), as a network takes it."""
        for t in range(self.events.shape[1]):
            yield self.events[:, t].to(torch.float32)

    def take(self, indices: NDArray[np.int64]) -> "Clips":
        """The clips at these indices, in their order."""
        at = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        groups = None if self.groups is None else self.groups[at]
        return Clips(self.events[at], self.labels[at], groups)


@dataclass(frozen=True)
class Split:
    """A task's data."""

    train: Clips
    validation: Clips
    """Rates are chosen on it."""
    test: Clips
    classes: tuple[str, ...]
    digest: str
    """SHA-256 (hex) of all that is in it: says which data a result is of."""


@dataclass(frozen=True)
class Figure:
    """A published accuracy, percent, mean and standard deviation over seeds."""

    rule: str
    mean: float
    deviation: float
    note: str


@dataclass(frozen=True)
class Config:
    """A network and how it is trained; `origin` says what is the paper's and what is ours."""

    network: tuple[LayerSpec, ...]
    constants: Constants
    batch: int
    epochs: int
    rate: float
    """Adam's learning rate of all weights, where none is set; it falls along a cosine."""
    origin: str
    standardised: bool = False
    """Weights are standardised a neuron: see Network."""
    crop: int = 0
    """Zeros around a frame, in pixels, of which training crops the frame's size at random."""
    flip: bool = False
    """Half of the training clips, at random, are mirrored left to right."""
    figures: tuple[Figure, ...] = ()


def augmented(clips: Clips, config: Config, rng: np.random.Generator) -> Clips:
    """Clips (N, T, channels, height, width) cropped and flipped anew, all steps of one alike."""
    events = clips.events
    if config.crop:
        height, width = events.shape[-2:]
        padded = functional.pad(events, 4 * (config.crop,))
        corners = rng.integers(0, 2 * config.crop, (len(clips), 2), endpoint=True).tolist()
        cut = [
            clip[..., y : y + height, x : x + width]
            for clip, (y, x) in zip(padded, corners, strict=True)
        ]
        events = torch.stack(cut)
    if config.flip:
        mirrored = torch.from_numpy(rng.random((len(clips), 1, 1, 1, 1)) < 0.5)
        events = torch.where(mirrored, events.flip(-1), events)
    return replace(clips, events=events)


class Task(Protocol):
    """A data set and what runs on it by default."""

    @property
    def name(self) -> str:
        """Name on the command line."""

    @property
    def summary(self) -> str:
        """A line for `lab list`."""

    @property
    def needs(self) -> str:
        """Empty, or the line that gets the data."""

    @property
    def configs(self) -> Mapping[str, Config]:
        """Networks and settings by name; the first is the default."""

    @property
    def network(self) -> tuple[LayerSpec, ...]:
        """Hidden layers of the default config."""

    @property
    def constants(self) -> Constants:
        """Constants of the default config."""

    def load(self, data: Path | None, seed: int) -> Split:
        """Read or make the data.

        Raises:
            DataError: the folder is missing or not of the task's form.
            MissingTool: a package of the extra `lab` is missing.
        """


class Configured:
    """Network and constants of a task: those of its first config."""

    configs: Mapping[str, Config]

    @property
    def network(self) -> tuple[LayerSpec, ...]:
        """Hidden layers of the default config."""
        return next(iter(self.configs.values())).network

    @property
    def constants(self) -> Constants:
        """Constants of the default config."""
        return next(iter(self.configs.values())).constants


def digest_of(train: Clips, validation: Clips, test: Clips, classes: tuple[str, ...]) -> str:
    """SHA-256 (hex) over every value, type, shape and class name of a split."""
    sha = hashlib.sha256("\n".join(classes).encode())
    for clips in (train, validation, test):
        for tensor in (clips.events, clips.labels, clips.groups):
            if tensor is None:
                sha.update(b"none")
                continue
            sha.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            sha.update(tensor.contiguous().numpy().reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def split_of_three(train: Clips, validation: Clips, test: Clips, classes: tuple[str, ...]) -> Split:
    """A split with its digest.

    Raises:
        DataError: a part of it is empty.
    """
    for name, clips in (("training", train), ("validation", validation), ("test", test)):
        if not len(clips):
            raise DataError(f"no clips for {name}: the data holds too few to be split in three")
    return Split(train, validation, test, classes, digest_of(train, validation, test, classes))


def hold_out(
    labels: Tensor, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices that stay and indices held out: of each class the same share, one at least."""
    held = []
    for label in torch.unique(labels).tolist():
        (members,) = np.nonzero(labels.numpy() == label)
        held.append(rng.permutation(members)[: max(1, round(share * len(members)))])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), out), out


SPEECH_COMMANDS = "a Speech Commands tree with its two lists: `tracekws data get DIR` gets one"
"""What tasks on it need."""


def need_folder(data: Path | None, task: str, needs: str) -> Path:
    """The folder that the user named.

    Raises:
        DataError: none was named, or it is not there.
    """
    if data is None:
        raise DataError(f"task {task} reads data of yours: name its folder with --data; {needs}")
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; {needs}")
    return data


EVENTS = ("aedat", "h5py", "tonic")
"""Packages of the extra events, which the lab does not bring."""


def need_package(module: str) -> ModuleType:
    """Import a module that not everybody has, late, since some take seconds.

    Raises:
        MissingTool: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        apart = module.partition(".")[0] in EVENTS
        how = f"{install_command('events')} (GPL)" if apart else install_command("lab")
        raise MissingTool(f"{error.name} is not installed; {how} brings it") from error
