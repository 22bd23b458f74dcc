# SPDX-License-Identifier: Apache-2.0
"""Training of the teachers and, aligned, of the spiking network: epochs with checkpoints."""

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from tracekws import files
from tracekws._core import lib
from tracekws.errors import DataError, TraceKwsError
from tracekws.train.augment import STEPS
from tracekws.train.cache import front_end_version
from tracekws.train.config import TrainConfig
from tracekws.train.dataset import Evaluation
from tracekws.train.group import Group
from tracekws.train.loader import STUDENT_STREAM, TEACHER_STREAM, Batch, Loader, Sampling
from tracekws.train.network import READOUT_GAIN, SpikingNetwork
from tracekws.train.teacher import TeacherNetwork, answer, over_classes, taught
from tracekws.train.windows import set_loss, set_losses

MOST_CHECKPOINT_BYTES = 1024 * files.MIB
FEATURE_SCALE = 1 / (1 << lib.TKWS_FEATURE_Q)


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave."""

    network: str
    """Name of what is trained."""
    epoch: int
    loss: float
    accuracy: float
    """On validation, words and other words, in percent."""
    contrast_accuracy: float | None
    """Of the class-contrast logits alone, in percent; a teacher has none."""
    rate: float | None
    """Mean share of neurons that fire in a step, in percent; a teacher has none."""
    seconds: float


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate: up over the first fifth, down to nothing by cosines."""
    warm = 0.2
    if progress < warm:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / warm)) / 2
    return (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) / 2


def to_input(features: NDArray[np.int8]) -> Tensor:
    """Features as the networks take them."""
    return torch.from_numpy(features.astype(np.float32) * np.float32(FEATURE_SCALE))


def answers(network: nn.Module, data: Evaluation, group: Group) -> list[Any]:
    """What a network gives for fixed clips, batch by batch."""
    network.eval()
    out = []
    with torch.no_grad():
        for at in range(0, len(data.labels), 512):
            out.append(network(to_input(data.features[at : at + 512]).to(group.device)))
    network.train()
    return out


def accuracy(logits: Iterable[Tensor], labels: NDArray[np.int64]) -> float:
    """Percent of the clips of words heard right; silence, the last class, is aside."""
    joined = torch.cat([*logits]).cpu()
    guess = joined.argmax(1).numpy()
    words = labels != joined.shape[1] - 1
    return 100 * float((guess == labels)[words].mean())


def evaluate(network: nn.Module, data: Evaluation, group: Group) -> tuple[float, float, float]:
    """Accuracy of readout and contrast logits over words (silence aside) and mean rate, percent."""
    outputs = answers(network, data, group)
    readout = accuracy((out.scores for out in outputs), data.labels)
    contrast = accuracy((out.contrast.sum(1) for out in outputs), data.labels)
    rate = torch.cat([out.rates for out in outputs]).mean().item()
    return readout, contrast, 100 * rate


def as_json(settings: object) -> object:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(settings))


class Run(ABC):
    """A network in training, with a checkpoint after each epoch.

    Subclasses say what is minimised and what is measured.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        folder: Path,
        settings: object,
        clips: str,
        sampling: Sampling,
        epochs: int,
        learning_rate: float,
        weight_decay: float,
        group: Group,
        matrices: frozenset[str] = frozenset(),
    ) -> None:
        """Start, or go on from the folder's checkpoint (see resume() for its errors).

        Args:
            name: of the network and its checkpoint.
            network: with the weights that training begins with.
            folder: of the checkpoint.
            settings: all that the result depends on but the data; the checkpoint is bound to them.
            clips: digest of the names of what is trained on, which the checkpoint is bound to, too.
            sampling: how its clips are drawn.
            epochs: in all.
            learning_rate: the peak of one cycle.
            weight_decay: a share of the learning rate.
            group: the processes that train together; the first one writes.
            matrices: names of weights that Muon moves, by their orthogonalised momentum (Jordan
                et al. 2024, with the rate scaled to AdamW's as in arXiv 2502.16982); AdamW moves
                all others that need a gradient.
        """
        self.name = name
        self.network = network.to(group.device)
        self.checkpoint = folder / f"{name}.safetensors"
        self.settings = as_json(settings)
        self.clips = clips
        self.content: dict[str, str] = {}
        self.sampling = sampling
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.group = group
        self.history: list[Epoch] = []
        weights = {k: v for k, v in network.named_parameters() if v.requires_grad}
        moved = [weights.pop(name) for name in sorted(matrices)]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(weights.values(), learning_rate, weight_decay=weight_decay)
        ]
        if moved:
            muon = torch.optim.Muon(
                moved, learning_rate, weight_decay, adjust_lr_fn="match_rms_adamw"
            )
            self.optimizers.append(muon)
        there = group.leads and self.checkpoint.exists()
        content = group.share(
            files.read_bytes(self.checkpoint, MOST_CHECKPOINT_BYTES) if there else None
        )
        if content is not None:
            self.resume(content)

    def tensor(self, array: NDArray[np.int64]) -> Tensor:
        """Labels where the network is."""
        return torch.from_numpy(array).to(self.group.device)

    @abstractmethod
    def loss(self, inputs: Tensor, batch: Batch) -> Tensor:
        """What is minimised over this process's part of a batch: the mean over its clips.

        Args:
            inputs: (B, T, 80) features of the batch, as networks take them.
            batch: what is right.
        """

    @abstractmethod
    def measure(self, held: Evaluation) -> tuple[float, float | None, float | None]:
        """Accuracy, that of the contrast alone, and rate, in percent."""

    def resume(self, content: bytes) -> None:
        """Go on from a checkpoint's bytes.

        Raises:
            DataError: it is damaged, or was made with other settings or from other clips.
        """
        try:
            self.load(content)
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

    def load(self, content: bytes) -> None:
        """Take everything over from a checkpoint; for its errors see resume()."""
        state = load(content)
        version = front_end_version()
        size = int.from_bytes(content[:8], "little")
        meta = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["run"])
        if meta["settings"] != self.settings:
            raise self.refused("with other settings")
        shapes = {k: v.shape for k, v in self.network.state_dict().items()}
        network = {k: state[f"network.{k}"] for k in shapes}
        # words that are told apart give it its shape, and those of sets have no part in the digest
        if meta["clips"] != self.clips or shapes != {k: v.shape for k, v in network.items()}:
            raise self.refused("from other clips (--data, --exclude-speakers)")
        if meta.get("front_end", version) != version:  # the first version did not write it
            raise self.refused("with another front end")
        self.content = dict(meta.get("content", {}))  # nor this
        self.network.load_state_dict(network)
        self.history = [Epoch(**epoch) for epoch in meta["history"]]
        # One step on zero gradients makes the optimizers' tensors, which are then overwritten.
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        before = {k: v.clone() for k, v in self.network.state_dict().items()}
        for optimizer in self.optimizers:
            optimizer.step()
        self.network.load_state_dict(before)
        for name, value in self.moments().items():
            value.copy_(state[name])

    def refused(self, made: str) -> DataError:
        """What to raise of a checkpoint that is not of this run; `made` says how it was made."""
        return DataError(f"{self.checkpoint} was made {made}; remove it or choose another --run")

    def bind(self, content: Mapping[str, str]) -> None:
        """See that what is gone on from was made of this content; checkpoints have it from here on.

        Args:
            content: digests of what is trained on, by what they are of.

        Raises:
            DataError: it was made of another.
        """
        for what, digest in content.items():
            if self.content.get(what, digest) != digest:
                raise self.refused(f"from {what} of another content")
        self.content = dict(content)

    def moments(self) -> dict[str, Tensor]:
        """The optimizers' own tensors, by their names in a checkpoint."""
        return {
            f"optimizer.{number}.{index}.{name}": value
            for number, optimizer in enumerate(self.optimizers)
            for index, moments in optimizer.state_dict()["state"].items()
            for name, value in moments.items()
        }

    def save(self) -> None:
        """Write the checkpoint: complete or not at all."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors = {k: v.contiguous() for k, v in (tensors | self.moments()).items()}
        meta = {
            "settings": self.settings,
            "clips": self.clips,
            "content": self.content,
            "front_end": front_end_version(),
            "history": [asdict(e) for e in self.history],
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        files.write(self.checkpoint, save(tensors, {"run": json.dumps(meta)}))

    def train_epoch(self, batches: Iterable[Batch], count: int) -> float:
        """One pass over so many batches; gives the mean loss."""
        total = torch.zeros((), device=self.group.device)
        for number, batch in enumerate(batches):
            progress = (len(self.history) + number / count) / self.epochs
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate * one_cycle(progress)
            inputs = to_input(batch.features).to(self.group.device)
            loss = self.loss(inputs, batch)
            self.network.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.group.average_gradients(self.network.parameters())
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
            total += loss.detach()
        return self.group.mean(total / count).item()

    def train(self, loader: Loader, held: Evaluation, report: Callable[[Epoch], None]) -> None:
        """Train the epochs that are left, with a checkpoint after each.

        Raises:
            TraceKwsError: the loss is no number any more; the checkpoint is of the epoch before.
        """
        left = range(len(self.history), self.epochs)
        for batches in loader.epochs(self.sampling, left):
            start = time.monotonic()
            loss = self.train_epoch(batches, loader.batches(self.sampling))
            seconds = time.monotonic() - start
            number = len(self.history) + 1
            if not math.isfinite(loss):
                raise TraceKwsError(
                    f"{self.name}, epoch {number}: the loss is {loss}, no number any more; choose "
                    f"a lower learning_rate and another --run"
                )
            measured = self.measure(held)
            self.history.append(Epoch(self.name, number, loss, *measured, seconds))
            if self.group.leads:
                self.save()
                report(self.history[-1])


def label_loss(scores: Tensor, labels: Tensor, batch: Batch, config: TrainConfig) -> Tensor:
    """Mean cross-entropy of labels; of seconds of sets, minus log of the probability of no keyword.

    Args:
        scores: (B, C) logits of classes or of words: keywords first.
        labels: (B,) of clips.
        batch: of which rows are seconds of sets.
        config: of the run.
    """
    if batch.no_word is None or not batch.no_word.any():
        return functional.cross_entropy(scores, labels, label_smoothing=config.label_smoothing)
    losses = functional.cross_entropy(
        scores, labels, label_smoothing=config.label_smoothing, reduction="none"
    )
    right = np.ones(tuple(scores.shape), dtype=bool)
    right[:, : len(config.words)] = False
    none = torch.from_numpy(batch.no_word).to(scores.device)
    return torch.where(none, set_losses(scores, right), losses).mean()


class TeacherRun(Run):
    """Training of one teacher, which tells every word of the data apart."""

    network: TeacherNetwork

    def __init__(
        self,
        config: TrainConfig,
        words: int,
        number: int,
        folder: Path,
        clips: str,
        group: Group,
    ) -> None:
        """Start, or go on; see Run."""
        torch.manual_seed(1000 * config.teacher.seed + number + 1)
        settings = config.teacher
        super().__init__(
            f"teacher-{number + 1}",
            TeacherNetwork(lib.TKWS_FEATURES, words, settings, group),
            folder,
            {**config.of_teachers, "number": number},
            clips,
            Sampling(TEACHER_STREAM + number, settings.seed, settings.batch, config.context_share),
            settings.epochs,
            settings.learning_rate,
            settings.weight_decay,
            group,
        )
        self.config = config

    def loss(self, inputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the words; where there is a context, of the classes in the window."""
        if batch.window:
            heard = batch.window.of(inputs)
            scores = over_classes(self.network(heard), len(self.config.words))
            return set_loss(scores, batch.window.right)
        return label_loss(self.network(inputs), self.tensor(batch.words), batch, self.config)

    def measure(self, held: Evaluation) -> tuple[float, float | None, float | None]:
        """Accuracy."""
        logits = answers(self.network, held, self.group)
        scores = (over_classes(part, len(self.config.words)) for part in logits)
        return accuracy(scores, held.labels), None, None


class Student(SpikingNetwork):
    """The spiking network with a readout that tells every word apart, which training alone has."""

    matrices: ClassVar = frozenset({"weights", "recurrent"})
    """Names of weights for Muon."""

    def __init__(self, config: TrainConfig, words: int) -> None:
        """Draw the weights from torch's generator."""
        super().__init__(
            lib.TKWS_FEATURES,
            config.taps,
            config.neurons,
            len(config.classes),
            config.convolution,
        )
        self.words = nn.Linear(config.neurons, words)


class StudentRun(Run):
    """Training of the spiking network: readout, class contrast, firing rates, teachers."""

    architecture: type[Student] = Student
    network: Student

    def __init__(
        self,
        config: TrainConfig,
        words: int,
        folder: Path,
        clips: str,
        group: Group,
        teachers: Sequence[TeacherNetwork] = (),
        name: str = "checkpoint",
    ) -> None:
        """Start, or go on; see Run. `teachers` are trained before this is."""
        torch.manual_seed(config.seed)
        settings = asdict(config)
        if not config.start:  # checkpoints of before it could be said do not have it
            del settings["start"]
        super().__init__(
            name,
            self.architecture(config, words),
            folder,
            settings,
            clips,
            Sampling(STUDENT_STREAM, config.seed, config.batch, config.context_share),
            config.epochs,
            config.learning_rate,
            config.weight_decay,
            group,
            self.architecture.matrices,
        )
        self.config = config
        self.teachers = teachers

    def train(self, loader: Loader, held: Evaluation, report: Callable[[Epoch], None]) -> None:
        """See Run; the teachers are trained by now."""
        for teacher in self.teachers:
            teacher.eval()
        super().train(loader, held, report)

    def answer(self, heard: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The teachers' logits of words and of classes, for features of a second."""
        if not self.teachers:
            return None, None
        words = answer(self.teachers, heard)
        return words, over_classes(words, len(self.config.words))

    def loss(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The weighted sum."""
        config, window = self.config, batch.window
        labels, words = self.tensor(batch.labels), self.tensor(batch.words)
        out = self.network(inputs, window.end if window else None)
        answer_words, answer_classes = self.answer(inputs[:, -STEPS:])
        loss = label_loss(out.scores, labels, batch, config)
        loss = taught(loss, out.scores, answer_classes, config)
        scores = self.network.words(READOUT_GAIN * out.rates)
        of_words = taught(label_loss(scores, words, batch, config), scores, answer_words, config)
        loss = loss + config.word_weight * of_words
        if window and out.window is not None:
            _, answer_classes = self.answer(window.of(inputs))
            of_window = taught(
                set_loss(out.window, window.right), out.window, answer_classes, config
            )
            loss = loss + config.window_weight * of_window
        instants = out.contrast.shape[1]
        loss = loss + config.contrast_weight * functional.cross_entropy(
            out.contrast.flatten(0, 1), labels.repeat_interleave(instants)
        )
        return loss + self.too_much(out.rates)

    def too_much(self, rates: Tensor) -> Tensor:
        """The penalty of mean spikes (B, H) above the target."""
        excess = torch.clamp(self.group.mean(rates.mean(0)) - self.config.rate_target, min=0)
        return self.config.rate_weight * (excess**2).mean()

    def measure(self, held: Evaluation) -> tuple[float, float | None, float | None]:
        """All three."""
        return evaluate(self.network, held, self.group)
