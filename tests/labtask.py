# SPDX-License-Identifier: Apache-2.0
"""A task of the lab that is made on the spot and learned in seconds, and rules compared on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tracekws.lab import experiment
from tracekws.lab.data import Clips, Config, Split, split_of_three
from tracekws.lab.experiment import compare
from tracekws.lab.network import Constants, Conv, Dense

CONSTANTS = Constants(alpha=0.9, beta=0.9, v_th=1.0, weight_scale=2.0)
DENSE = Config((Dense(24),), CONSTANTS, batch=16, epochs=6, rate=1e-3, origin="of this test")


def clips(count: int, seed: int) -> Clips:
    """Three classes of spikes on 12 lines; a class fires on its own four twice as often."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    rates = torch.full((count, 12), 0.2)
    for line in range(12):
        rates[labels == line // 4, line] = 0.4
    events = torch.rand(count, 15, 12, generator=random) < rates[:, None, :]
    return Clips(events.to(torch.uint8), labels)


@dataclass(frozen=True)
class Lines:
    """A task made on the spot."""

    name: str = "lines"
    summary: str = "which lines fire most"
    needs: str = ""
    configs: Mapping[str, Config] = field(default_factory=lambda: {"dense": DENSE})

    @property
    def network(self) -> tuple[Dense | Conv, ...]:
        """Of the first config."""
        return next(iter(self.configs.values())).network

    @property
    def constants(self) -> Constants:
        """Of the first config."""
        return next(iter(self.configs.values())).constants

    def load(self, data: Path | None, seed: int) -> Split:
        """90, 45 and 60 clips."""
        return split_of_three(clips(90, 1), clips(45, 2), clips(60, 3), ("a", "b", "c"))


TASK = Lines()
FILE = "results.jsonl"


def compared(folder: Path, *rules: str, minutes: float | None = None) -> experiment.Comparison:
    """Two trials and two seeds of each rule."""
    return compare(
        TASK, None, None, rules, 2, 2, None, folder / FILE, minutes, 1, lambda done, total: None
    )
