# SPDX-License-Identifier: Apache-2.0
"""Nearest prototype: a class is the mean of its clips' spike rates; nothing is descended.

Snell, Swersky, Zemel, "Prototypical Networks for Few-shot Learning", arXiv 1703.05175, eq. 1, with
the cosine as likeness. The logits of a clip are the cosines of its mean rates, in the last layer,
with the mean of each class; a class never heard has 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tracekws.lab.rule import Rule


@dataclass(eq=False, kw_only=True)
class Prototype(Rule):
    """The nearest of the classes' mean rates."""

    name = "prototype"
    paper = "Snell et al. 2017, arXiv 1703.05175, eq. 1"
    summary = "nearest mean of spike rates; no weight changes"

    def prepare(self) -> None:
        """No clip has been heard."""
        outputs = torch.Size(self.network.layers[-1].outputs).numel()
        self.rates = torch.zeros(self.network.classes, outputs)
        self.clips = torch.zeros(self.network.classes, 1)

    def start(self, batch: int, labels: Tensor | None) -> None:
        """Count from zero."""
        super().start(batch, labels)
        self.count = torch.zeros(batch, self.rates.shape[1])

    def step(self, x: Tensor) -> None:
        """Count the last layer's spikes."""
        super().step(x)
        last = self.network.layers[-1]
        self.count += last.output(self.state.layers[-1].s).flatten(1)

    def end(self) -> None:
        """Move the means of the classes that were heard."""
        clips = self.truth.sum(0)[:, None]
        sums = self.truth.T @ (self.count / self.state.steps)
        self.clips += clips
        self.rates += (sums - clips * self.rates) / self.clips.clamp(min=1)

    def logits(self) -> Tensor:
        """Cosines with the prototypes, (B, C)."""
        return cosine_similarity(self.count[:, None, :], self.rates[None], dim=2)
