# SPDX-License-Identifier: Apache-2.0
"""Aligned pre-training: readout loss and class contrast together, by BPTT."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional

from tracekws._core import lib
from tracekws.data import CLASSES, UNKNOWN
from tracekws.errors import DataError
from tracekws.train import augment
from tracekws.train.dataset import Copies, Evaluation
from tracekws.train.network import SpikingNetwork

FEATURE_SCALE = 1 / (1 << lib.TKWS_FEATURE_Q)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run; a checkpoint is only resumed with the very same."""

    neurons: int = 196
    epochs: int = 40
    batch: int = 256
    clips_per_epoch: int = 21504
    learning_rate: float = 6e-3
    weight_decay: float = 1e-3
    contrast_weight: float = 0.5
    label_smoothing: float = 0.05
    unknown_weight: float = 2.5
    rate_target: float = 0.07
    rate_weight: float = 20.0
    copies: int = 8
    seed: int = 1


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave."""

    epoch: int
    loss: float
    accuracy: float
    """Of the readout on validation, words and other words, in percent."""
    contrast_accuracy: float
    """Of the class-contrast logits alone, in percent."""
    rate: float
    """Mean share of neurons that fire in a step, in percent."""
    seconds: float


def sampling_weights(labels: NDArray[np.int64], config: TrainConfig) -> NDArray[np.float64]:
    """Probability of each row, so that classes are drawn evenly, unknown unknown_weight times."""
    share = np.ones(len(CLASSES))
    share[CLASSES.index(UNKNOWN)] = config.unknown_weight
    weight = (share / np.maximum(1, np.bincount(labels, minlength=len(CLASSES))))[labels]
    total: float = weight.sum()
    return weight / total


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate: up over the first fifth, down to nothing by cosines."""
    warm = 0.2
    if progress < warm:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / warm)) / 2
    return (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) / 2


def to_input(features: NDArray[np.int8]) -> NDArray[np.float32]:
    """Features as the network takes them."""
    numbers: NDArray[np.float32] = features.astype(np.float32) * np.float32(FEATURE_SCALE)
    return numbers


def evaluate(network: SpikingNetwork, data: Evaluation) -> tuple[float, float, float]:
    """Accuracy of readout and contrast logits over words (silence aside) and mean rate, percent."""
    words = data.labels != CLASSES.index("_silence_")
    right = np.zeros(2)
    rates = []
    with torch.no_grad():
        for at in range(0, len(data.labels), 512):
            part = slice(at, at + 512)
            out = network(torch.from_numpy(to_input(data.features[part])))
            for k, logits in enumerate((out.scores, out.contrast.sum(1))):
                guess = logits.argmax(1).numpy()
                right[k] += ((guess == data.labels[part]) & words[part]).sum()
            rates.append(out.rates.mean().item())
    readout, contrast = 100 * right / words.sum()
    return float(readout), float(contrast), 100 * float(np.mean(rates))


class Run:
    """A training run with a checkpoint after each epoch in its folder."""

    def __init__(self, config: TrainConfig, folder: Path, clips: str) -> None:
        """Start, or go on from the folder's checkpoint (see resume() for its errors).

        `clips` is the digest of what is trained on, which a checkpoint is bound to.
        """
        self.config = config
        self.clips = clips
        self.folder = folder
        self.checkpoint = folder / "checkpoint.safetensors"
        self.history: list[Epoch] = []
        torch.manual_seed(config.seed)
        self.network = SpikingNetwork(lib.TKWS_FEATURES, config.neurons, len(CLASSES))
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.resume()

    def resume(self) -> None:
        """Go on from the folder's checkpoint.

        Raises:
            DataError: it is damaged, or was made with other settings or from other clips.
        """
        try:
            self.load()
        except (
            SafetensorError,
            OSError,
            LookupError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise DataError(
                f"{self.checkpoint}: damaged, or no checkpoint of this version; remove it to start "
                f"again, or choose another --run"
            ) from error

    def load(self) -> None:
        """Take everything over from the checkpoint; for its errors see resume()."""
        with safe_open(self.checkpoint, "pt") as file:
            meta = json.loads(file.metadata()["run"])
        if meta["config"] != asdict(self.config):
            raise DataError(
                f"{self.checkpoint} was made with other settings; remove it or choose another --run"
            )
        if meta.get("clips", self.clips) != self.clips:  # the first version did not write it
            raise DataError(
                f"{self.checkpoint} was made from other clips (--data, --exclude-speakers); remove "
                f"it or choose another --run"
            )
        state = load_file(self.checkpoint)
        self.network.load_state_dict({k: state[f"network.{k}"] for k in self.network.state_dict()})
        self.history = [Epoch(**epoch) for epoch in meta["history"]]
        # One step on zero gradients makes the optimizer's tensors, which are then overwritten.
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        before = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.optimizer.step()
        self.network.load_state_dict(before)
        for index, moments in self.optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                value.copy_(state[f"optimizer.{index}.{name}"])

    def save(self) -> None:
        """Write the checkpoint: complete or not at all."""
        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v.contiguous() for k, v in moments.items()}
        meta = {
            "config": asdict(self.config),
            "clips": self.clips,
            "history": [asdict(e) for e in self.history],
        }
        part = self.checkpoint.with_suffix(".part")
        save_file(tensors, part, {"run": json.dumps(meta)})
        part.rename(self.checkpoint)

    def train_epoch(self, features: NDArray[np.int8], labels: NDArray[np.int64]) -> float:
        """One pass over as many drawn clips as the settings say; gives the mean loss."""
        config = self.config
        rng = np.random.default_rng([config.seed, len(self.history)])
        drawn = rng.choice(len(labels), config.clips_per_epoch, p=sampling_weights(labels, config))
        total = 0.0
        batches = config.clips_per_epoch // config.batch
        for batch, rows in enumerate(drawn[: batches * config.batch].reshape(batches, -1)):
            progress = (len(self.history) + batch / batches) / config.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = config.learning_rate * one_cycle(progress)
            inputs = to_input(features[rows])
            augment.mask(inputs, rng)
            out = self.network(torch.from_numpy(inputs))
            target = torch.from_numpy(labels[rows])
            loss = functional.cross_entropy(
                out.scores, target, label_smoothing=config.label_smoothing
            )
            instants = out.contrast.shape[1]
            loss = loss + config.contrast_weight * functional.cross_entropy(
                out.contrast.flatten(0, 1), target.repeat_interleave(instants)
            )
            excess = torch.clamp(out.rates.mean(0) - config.rate_target, min=0)
            loss = loss + config.rate_weight * (excess**2).mean()
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            total += loss.item()
        return total / batches

    def train(
        self,
        copies: Copies,
        labels: NDArray[np.int64],
        held: Evaluation,
        report: Callable[[Epoch], None],
    ) -> None:
        """Train the epochs that are left, with a checkpoint after each."""
        while len(self.history) < self.config.epochs:
            epoch = len(self.history)
            features = copies.get(epoch)
            start = time.monotonic()
            loss = self.train_epoch(features, labels)
            seconds = time.monotonic() - start
            accuracy, contrast, rate = evaluate(self.network, held)
            self.history.append(Epoch(epoch + 1, loss, accuracy, contrast, rate, seconds))
            self.save()
            report(self.history[-1])
