# SPDX-License-Identifier: Apache-2.0
"""A run as TensorBoard and as a picture show it, in the run's folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from tracekws.figure import write_figure
from tracekws.train.loop import Epoch, Run

CURVES = {
    "loss": "loss",
    "accuracy": "accuracy on validation, %",
    "contrast_accuracy": "the same by class contrast alone, %",
    "rate": "neurons that fire in a step, %",
}


class Log:
    """What a network's training gives, epoch by epoch: all its checkpoint has, not more.

    Args:
        folder: of the run.
        runs: all that the picture shows.
        run: the one that is trained.
    """

    def __init__(self, folder: Path, runs: Sequence[Run], run: Run) -> None:
        """Write what there is."""
        self.picture = folder / "training.png"
        self.runs = runs
        events = folder / "tensorboard" / run.name
        shutil.rmtree(events, ignore_errors=True)
        self.writer = SummaryWriter(str(events))
        for epoch in run.history:
            self.add(epoch)

    def add(self, epoch: Epoch) -> None:
        """One epoch's numbers for TensorBoard."""
        for name in (*CURVES, "seconds"):
            if (value := getattr(epoch, name)) is not None:
                self.writer.add_scalar(name, value, epoch.epoch)
        self.writer.flush()

    def write(self, epoch: Epoch) -> None:
        """One more epoch, which the run's history has by now."""
        self.add(epoch)
        training_picture([run.history for run in self.runs if run.history], self.picture)


def training_picture(histories: Sequence[Sequence[Epoch]], path: Path) -> None:
    """Draw loss, accuracies and firing rate over the epochs, a line a network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        for history in histories:
            points = [(e.epoch, value) for e in history if (value := getattr(e, name)) is not None]
            if points:
                label = "student" if history[0].network == "checkpoint" else history[0].network
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    write_figure(figure, path)
