# SPDX-License-Identifier: Apache-2.0
"""Conventional networks trained as ours are, to stand beside them: writes anchors.json.

Usage: python benchmarks/anchors.py --data DATA --run RUN [--seeds 1,2,3] [--epochs N] [MODEL ...],
with MODEL ds-cnn-s or bc-resnet-1; both by default. They get the features, the augmentation, the
teacher, the batches and the epochs of configs/base.toml, and the optimiser's settings of its
teacher. RUN has the checkpoint of the teacher, which `tracekws train` makes: copied to
RUN/teacher-1.safetensors it is used, else trained; and a folder a seed. Start the same
command again, and training goes on. One thread trains, another process augments; a second command
with another MODEL may run beside the first as soon as the teachers are there.

Accuracy is in floating point, over the words' clips as on the cards of our models. Bytes are one a
parameter, as if all of them were int8. After a change of anchors.json: benchmarks/run.py --page.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracekws import files
from tracekws._core import lib
from tracekws.core import CHANNELS, FeatureConfig
from tracekws.data import Tree, read_tree, split_by_hash
from tracekws.errors import DataError, TraceKwsError
from tracekws.train.augment import STEPS
from tracekws.train.config import TrainConfig, load_config
from tracekws.train.dataset import (
    Evaluation,
    names_digest,
    read_evaluation,
    read_training,
    training_clips,
    words_of,
)
from tracekws.train.group import Group
from tracekws.train.loader import Batch, Loader, Sampling
from tracekws.train.loop import Epoch, Run, TeacherRun, accuracy, answers
from tracekws.train.pipeline import epoch_text
from tracekws.train.teacher import TeacherNetwork, answer, over_classes, taught

FILE = Path(__file__).resolve().parent / "anchors.json"
STREAM = 1000
"""Of random numbers: no teacher's, and like theirs of clips alone, with nothing said before."""
SUB_BANDS = 5


def spectrogram(features: Tensor) -> Tensor:
    """Features (B, 49, 80), two frames in each step, as a picture (B, 1, frames, channels)."""
    return features.reshape(len(features), 1, -1, CHANNELS)


def normalised(layer: nn.Conv2d) -> list[nn.Module]:
    """A convolution, batch normalisation, a rectifier."""
    return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=True)]


class DsCnnS(nn.Module):
    """DS-CNN-S of Zhang et al., arXiv 1711.07128, table 4.

    Its input there is 49 frames of 20 ms with 10 coefficients; ours is 98 frames of 10 ms with 40
    channels. The first convolution keeps its kernel of 10 x 4 and steps 4 x 4 instead of 2 x 2: as
    there 40 ms, which leaves 25 instants, of 10 values instead of 5.
    """

    def __init__(self, classes: int) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        width = 64
        layers = normalised(nn.Conv2d(1, width, (10, 4), (4, 4), (4, 0), bias=False))
        for _ in range(4):
            layers += normalised(nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False))
            layers += normalised(nn.Conv2d(width, width, 1, bias=False))
        self.layers = nn.Sequential(*layers)
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.readout = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) of features (B, 49, 80)."""
        picture = spectrogram(features).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.readout(self.layers(picture).mean((2, 3)))
        return logits


class SubSpectralNorm(nn.Module):
    """Batch normalisation of each sub-band by itself (Chang et al., arXiv 2103.13620)."""

    def __init__(self, width: int) -> None:
        """Start as the identity."""
        super().__init__()
        self.norm = nn.BatchNorm2d(SUB_BANDS * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, channels, frames) to the same."""
        clips, width, channels, frames = x.shape
        bands = x.reshape(clips, SUB_BANDS * width, channels // SUB_BANDS, frames)
        out: Tensor = self.norm(bands).view(x.shape)
        return out


class BroadcastedBlock(nn.Module):
    """A residual block whose convolution in time sees the mean over channels only.

    Args:
        inputs: width of the input; where it differs from `outputs`, nothing leads around the block.
        outputs: width of the output.
        stride: over channels.
        dilation: in time.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        self.around = inputs == outputs
        first = [] if self.around else normalised(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.over_channels = nn.Sequential(
            *first,
            nn.Conv2d(outputs, outputs, (3, 1), (stride, 1), (1, 0), groups=outputs, bias=False),
            SubSpectralNorm(outputs),
        )
        self.over_time = nn.Sequential(
            nn.Conv2d(
                *(outputs, outputs, (1, 3), 1, (0, dilation), (1, dilation)),
                groups=outputs,
                bias=False,
            ),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 1, bias=False),
            nn.Dropout2d(0.1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, channels, frames) to (B, outputs, channels / stride, frames)."""
        both = self.over_channels(x)
        out = both + self.over_time(both.mean(2, keepdim=True))
        return functional.relu(out + x if self.around else out)


class BcResNet1(nn.Module):
    """BC-ResNet-1 of Kim et al., arXiv 2106.04140, table 1."""

    def __init__(self, classes: int) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        layers = normalised(nn.Conv2d(1, 16, 5, (2, 1), 2, bias=False))
        width = 16
        for outputs, blocks, stride, dilation in (
            (8, 2, 1, 1),
            (12, 2, 2, 2),
            (16, 4, 2, 4),
            (20, 4, 1, 8),
        ):
            layers.append(BroadcastedBlock(width, outputs, stride, dilation))
            layers += [BroadcastedBlock(outputs, outputs, 1, dilation) for _ in range(blocks - 1)]
            width = outputs
        layers.append(nn.Conv2d(width, width, 5, 1, (0, 2), groups=width, bias=False))
        layers += normalised(nn.Conv2d(width, 32, 1, bias=False))
        self.layers = nn.Sequential(*layers)
        self.readout = nn.Linear(32, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) of features (B, 49, 80)."""
        picture = spectrogram(features).transpose(2, 3).contiguous()
        logits: Tensor = self.readout(self.layers(picture).mean((2, 3)))
        return logits


ANCHORS: dict[str, Callable[[int], nn.Module]] = {"ds-cnn-s": DsCnnS, "bc-resnet-1": BcResNet1}


def parameters(network: nn.Module) -> int:
    """How many there are."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_adds(network: nn.Module) -> int:
    """Of the convolutions and the readout, for one clip of a second."""
    total = 0

    def add(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        total += output.numel() * layer.weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, STEPS, lib.TKWS_FEATURES))
    for hook in hooks:
        hook.remove()
    return total


class AnchorRun(Run):
    """Training of an anchor: labels and teachers, as a student has them."""

    def __init__(
        self,
        name: str,
        config: TrainConfig,
        folder: Path,
        clips: str,
        teachers: list[TeacherNetwork],
    ) -> None:
        """Start, or go on; see Run. `teachers` are trained before this is."""
        torch.manual_seed(config.seed)
        names = ("seed", "batch", "epochs", "teachers", "soft_weight", "temperature")
        super().__init__(
            name,
            ANCHORS[name](len(config.classes)),
            folder,
            {**config.of_teachers, **{key: getattr(config, key) for key in names}, "name": name},
            clips,
            Sampling(STREAM, config.seed, config.batch),
            config.epochs,
            config.teacher.learning_rate,
            config.teacher.weight_decay,
            Group(),
        )
        self.config = config
        self.teachers = teachers

    def train_epoch(self, batches: Any, count: int) -> float:
        """See Run; what is dropped depends on seed and epoch alone, so that a run can go on."""
        torch.manual_seed(1000 * self.config.seed + len(self.history))
        return super().train_epoch(batches, count)

    def loss(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The weighted sum, over clips without a context."""
        config = self.config
        labels = self.tensor(batch.labels)
        scores = self.network(inputs)
        loss = functional.cross_entropy(scores, labels, label_smoothing=config.label_smoothing)
        if not self.teachers:
            return loss
        wanted = over_classes(answer(self.teachers, inputs), len(config.words))
        return taught(loss, scores, wanted, config)

    def accuracy(self, held: Evaluation) -> float:
        """Over the clips of words, in percent."""
        return accuracy(answers(self.network, held, self.group), held.labels)

    def measure(self, held: Evaluation) -> tuple[float, float | None, float | None]:
        """Accuracy."""
        return self.accuracy(held), None, None


@dataclass(frozen=True)
class Job:
    """What to train on, where to put checkpoints, and the file of results."""

    data: Path
    run: Path
    file: Path = FILE


def write_row(file: Path, row: files.JsonObject) -> None:
    """Put a row in place of that of its model and seed; the others stay."""
    rows = json.loads(file.read_text()) if file.exists() else []
    key = (row["model"], row["seed"])
    rows = [other for other in rows if (other["model"], other["seed"]) != key] + [row]
    rows.sort(key=lambda other: (other["model"], other["seed"]))
    files.write(file, (json.dumps(rows, indent=1) + "\n").encode())


def report(epoch: Epoch) -> None:
    """A line an epoch."""
    print(epoch_text(epoch), flush=True)


def train_seed(job: Job, names: list[str], config: TrainConfig, tree: Tree) -> None:
    """Train anchors of one seed, and their teachers where they are missing; write their rows.

    Raises:
        DataError: nothing to train on, or a checkpoint that is damaged or of other settings.
    """
    folder, cache = job.run / f"seed-{config.seed}", job.run.parent / "cache"
    files.check_folder(folder)
    files.check_folder(cache)
    clips = training_clips(tree, config.classes)
    digest, words = names_digest(clips), len(words_of(clips, config.words))
    teachers = [
        TeacherRun(config, words, number, job.run, digest, Group())
        for number in range(config.teachers)
    ]
    networks = [teacher.network for teacher in teachers]
    anchors = [AnchorRun(name, config, folder, digest, networks) for name in names]
    front_end = FeatureConfig()
    print(f"seed {config.seed}: reading clips and energies", flush=True)
    source, held, recordings = read_training(
        tree, front_end, config.classes, lambda done, total: None
    )
    training_data = recordings.digest
    loader = Loader(source, cache, front_end, config, 1)
    del source, recordings  # a gigabyte, perhaps
    testing = read_evaluation(tree, "testing", front_end, config.classes)
    try:
        if any(len(anchor.history) < anchor.epochs for anchor in anchors):
            for teacher in teachers:
                teacher.train(loader, held, report)
                teacher.network.eval()
        for anchor in anchors:
            anchor.train(loader, held, report)
            row = {
                "model": anchor.name,
                "seed": config.seed,
                "epochs": anchor.epochs,
                "parameters": parameters(anchor.network),
                "multiply_adds": multiply_adds(anchor.network),
                "int8_bytes": parameters(anchor.network),
                "validation": anchor.accuracy(held),
                "testing": anchor.accuracy(testing),
                "training_data": training_data,
            }
            write_row(job.file, row)
            print(
                f"{anchor.name}, seed {config.seed}: validation {row['validation']:.2f} %, "
                f"testing {row['testing']:.2f} %",
                flush=True,
            )
    finally:
        loader.close()


def run(job: Job, names: list[str], configs: list[TrainConfig]) -> None:
    """Train anchors for every configuration, which differ in their seeds.

    Raises:
        DataError: as train_seed(), or a tree without a testing split.
    """
    torch.set_num_threads(1)
    tree = read_tree(job.data)
    if not tree.has_lists:
        tree = split_by_hash(tree)
    if not tree.of("testing"):
        raise DataError(f"{job.data}: the testing split has no clips to measure with")
    for config in configs:
        train_seed(job, names, config, tree)


def main() -> None:
    """Train what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="tree of clips")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--seeds", default="1,2,3", help="numbers, as in 1,2,3")
    parser.add_argument("--epochs", type=int, help="not the configuration's")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=" or ".join(ANCHORS))
    given = parser.parse_args()
    names = given.models or [*ANCHORS]
    if unknown := sorted(set(names) - set(ANCHORS)):
        parser.error(f"no anchor {', '.join(unknown)}; there are {', '.join(ANCHORS)}")
    try:
        seeds = [int(seed) for seed in given.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds {given.seeds}: numbers with commas between them, as in 1,2,3")
    changes = {} if given.epochs is None else {"epochs": given.epochs}
    configs = [load_config("base", seed=seed, **changes) for seed in seeds]
    run(Job(given.data, given.run), names, configs)


if __name__ == "__main__":
    try:
        main()
    except TraceKwsError as error:
        sys.exit(f"error: {error}")
