# SPDX-License-Identifier: Apache-2.0
"""What a second layer would learn on the device, before the core has one: writes second_layer.json.

Usage: python benchmarks/second_layer.py --data DATA --speakers FILE --run RUN [--epochs N]

Two networks of some 39 KB of int16 weights are trained alike (configs/base.toml without a teacher,
fewer epochs), without the listed speakers: one of a recurrent layer of 102 neurons, one of two of
67. Both layers' target paths are aligned by the class contrast. Then each learns from the speakers,
in float, in the setting of `tracekws lab learn-on-device`: the image's layer, and the second one on
top of it, by the image's rates. RUN has the checkpoints: start the same command again, and training
goes on.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracekws import data, files
from tracekws.bench import adapting
from tracekws.core import FeatureConfig, Model
from tracekws.errors import TraceKwsError
from tracekws.lab import on_device
from tracekws.lab.model import Second, filtered, float_network
from tracekws.train.config import TrainConfig, load_config
from tracekws.train.dataset import (
    names_digest,
    read_training,
    training_clips,
    without_speakers,
    words_of,
)
from tracekws.train.defaults import DETECTOR, LEARNING
from tracekws.train.export import N_LATENT, export, replay_rows
from tracekws.train.group import Group
from tracekws.train.loader import Batch, Loader
from tracekws.train.loop import Student, StudentRun
from tracekws.train.network import READOUT_GAIN, Outputs, drawn_layer, lif_layer
from tracekws.train.pipeline import epoch_text

FILE = Path(__file__).resolve().parent / "second_layer.json"
ONE, TWO = 102, 67
"""Neurons of a layer: 39,804 and 39,554 bytes of weights in int16."""
METHODS = ("none", "readout+replay", "tp", "tp+replay", "eprop+replay", "bptt+replay")


class TwoLayers(Student):
    """A second recurrent layer hears the first one's spikes; readout and rates are the second's."""

    matrices = Student.matrices | {"second_weights", "second_recurrent"}

    def __init__(self, config: TrainConfig, words: int) -> None:
        """Draw the weights from torch's generator."""
        super().__init__(config, words)
        size = config.neurons
        layer = drawn_layer(size, size, 2.0)
        self.second_weights, self.second_recurrent, self.second_bias = layer[:3]
        self.second_decay_logit = layer[3]
        self.first_rates = torch.empty(0)

    @property
    def second_decay(self) -> Tensor:
        """What a membrane of the second layer keeps each step, (H,)."""
        return torch.sigmoid(self.second_decay_logit)

    def outputs(self, spikes: Tensor, target_spikes: Tensor, window: int | None) -> Outputs:
        """See SpikingNetwork; the contrast is that of both layers, at K steps each."""
        first = super().outputs(spikes, target_spikes, None)
        self.first_rates = first.rates
        current = spikes @ self.second_weights + self.second_bias
        heard = lif_layer(current, self.second_recurrent, self.second_decay)
        silent = torch.zeros_like(self.second_recurrent)
        target = lif_layer(target_spikes @ self.second_weights, silent, self.second_decay)
        second = super().outputs(heard, target, window)
        return replace(second, contrast=torch.cat([first.contrast, second.contrast], 1))


class TwoLayersRun(StudentRun):
    """Training of two layers: the first one's firing costs, too."""

    architecture = TwoLayers
    network: TwoLayers

    def loss(self, inputs: Tensor, batch: Batch) -> Tensor:
        """See StudentRun."""
        return super().loss(inputs, batch) + self.too_much(self.network.first_rates)


def second_of(
    network: TwoLayers,
    first: Model,
    features: NDArray[np.int8],
    labels: NDArray[np.int64],
    words: NDArray[np.int64],
) -> Second:
    """The second layer, with replay vectors chosen as for an image.

    Args:
        network: trained.
        first: the image of its first layer.
        features: (clips, steps, 80) int8 of training clips.
        labels: their classes.
        words: theirs, numbered as in words_of().
    """
    weights = {
        "W": network.second_weights.detach(),
        "R": network.second_recurrent.detach(),
        "b": network.second_bias.detach(),
    }
    readout = {"V": READOUT_GAIN * network.readout.detach(), "c": network.readout_bias.detach()}
    nothing = (torch.zeros(0, len(weights["b"])), torch.zeros(0, dtype=torch.int64))
    bare = Second(weights, network.second_decay.detach(), readout, nothing)
    rule = on_device.make_rule(first, on_device.METHODS["none"], {}, bare)
    rates = torch.cat(
        [
            on_device.rates_and_logits(rule, filtered(first, features[at : at + 512]), None)[0]
            for at in range(0, len(features), 512)
        ]
    )
    rows = replay_rows(words, rates.double().numpy(), len(first.keywords), N_LATENT)
    return replace(bare, latent=(rates[rows], torch.from_numpy(labels[rows])))


@dataclass(frozen=True)
class Job:
    """What to train on, whom to leave out and adapt to, where to put checkpoints and results."""

    data: Path
    speakers: Path
    run: Path
    file: Path = FILE


def trained(
    job: Job, tree: data.Tree, excluded: frozenset[str], configs: dict[int, TrainConfig]
) -> dict[int, tuple[Model, Second | None, files.JsonObject]]:
    """Train the networks; by their layers: an image, a second layer, and what the row says of it.

    Raises:
        DataError: nothing to train on, or a checkpoint that is damaged or of other settings.
    """
    base, front_end = configs[1], FeatureConfig()
    files.check_folder(job.run)
    tree = without_speakers(tree, excluded)
    clips = training_clips(tree, base.classes)
    digest, words = names_digest(clips), len(words_of(clips, base.words))
    runs = {
        1: StudentRun(configs[1], words, job.run / "one", digest, Group()),
        2: TwoLayersRun(configs[2], words, job.run / "two", digest, Group()),
    }
    source, held, _ = read_training(tree, front_end, base.classes, lambda done, total: None)
    loader = Loader(source, job.run.parent / "cache", front_end, base, 1)
    del source  # a gigabyte, perhaps
    found = {}
    try:
        for run in runs.values():
            run.train(loader, held, lambda epoch: print(epoch_text(epoch), flush=True))
        once, labels, said = loader.each_once(), loader.labels, loader.words
    finally:
        loader.close()
    for layers, run in runs.items():
        network = run.network
        image = export(
            f"layers-{layers}",
            network,
            base.classes,
            once,
            labels,
            said,
            front_end,
            LEARNING,
            DETECTOR,
            sequences=0,
        )
        model, second = Model(image), None
        if isinstance(network, TwoLayers):
            second = second_of(network, model, once, labels, said)
        last = run.history[-1]
        row: files.JsonObject = {
            "layers": layers,
            "neurons": configs[layers].neurons,
            "weights_bytes": 2 * sum(values.numel() for values in weights_of(model, second)),
            "epochs": last.epoch,
            "validation": last.accuracy,
            "contrast": last.contrast_accuracy,
        }
        found[layers] = (model, second, row)
    return found


def weights_of(model: Model, second: Second | None) -> list[Tensor]:
    """What the device would learn."""
    return [*float_network(model, second).parameters().values()]


def run(job: Job, configs: dict[int, TrainConfig], draws: int) -> None:
    """Train, adapt, and write the file.

    Raises:
        DataError: see trained(); or nobody to adapt to.
    """
    torch.set_num_threads(1)
    tree = data.read_tree(job.data)
    listed = data.read_names(job.speakers)
    settings = adapting.Experiment(draws=draws)
    rows = []
    for model, second, row in trained(job, tree, frozenset(listed), configs).values():
        people = adapting.read_people(model, tree, None, listed, settings, lambda done, total: None)
        report = on_device.compare(model, people, settings, METHODS, second=second)
        row |= {"speakers": len(people.speakers), "draws": draws, "data": people.digest}
        rows.append(row | {"methods": [one.summary() for one in report.rows]})
        print(json.dumps(row), flush=True)
    files.write(job.file, (json.dumps(rows, indent=1) + "\n").encode())


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="tree of clips")
    parser.add_argument("--speakers", type=Path, required=True, help="not to train on, but to test")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    configs = {
        layers: load_config("base", neurons=neurons, epochs=given.epochs, teachers=0)
        for layers, neurons in ((1, ONE), (2, TWO))
    }
    try:
        run(Job(given.data, given.speakers, given.run), configs, given.draws)
    except TraceKwsError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
