# SPDX-License-Identifier: Apache-2.0
"""Takes that are kept as traces and compared with what is heard, in float: templates.h of the core.

    x = r - mean        <x, y> = x . y - sum_i shrink_i (along_i . x)(along_i . y)
    score_word += weight max(0, <x, t> / |x||t| - floor)

with r the mean spikes a step and t the same of the word's takes, less the mean.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tracekws._core import lib
from tracekws.core import Model
from tracekws.lab.model import numbers
from tracekws.lab.network import LabError

GUARD: float = lib.TKWS_LEARNER_GUARD / 2.0**lib.TKWS_LOGIT_Q
"""By how much, of logits, another class may be likelier in a take that is kept."""


@dataclass(frozen=True)
class TraceForm:
    """How an image compares traces: section trac, as numbers."""

    mean: Tensor
    """(H,) mean rates of speech."""
    along: Tensor
    """(H, rank) directions."""
    shrink: Tensor
    """(rank,) how much of each is taken away."""
    weight: float
    floor: float

    @classmethod
    def of(cls, model: Model) -> "TraceForm":
        """The form of an image.

        Raises:
            LabError: the image keeps no takes.
        """
        form, n = model.c.traces, model.header.n_neurons
        if not form.rank:
            raise LabError(f"{model.name}: it keeps no takes")
        return cls(
            numbers(form, "mean", (n,), 15),
            numbers(form, "along", (n, form.rank), form.along_q, "i1"),
            numbers(form, "shrink", (form.rank,), 15),
            form.weight_q10 / 2.0**10,
            form.floor_q15 / 2.0**15,
        )

    def cosines(self, rates: Tensor, takes: Tensor) -> Tensor:
        """Cosines (N, C) of mean rates (N, H) with words' mean rates (C, H), less the mean both."""
        x, t = rates - self.mean, takes - self.mean
        x_along, t_along = x @ self.along, t @ self.along
        product = x @ t.T - (x_along * self.shrink) @ t_along.T
        lengths = [
            (of.square().sum(1) - (self.shrink * along.square()).sum(1)).clamp(min=0).sqrt()
            for of, along in ((x, x_along), (t, t_along))
        ]
        return product / torch.outer(*lengths).clamp(min=1e-9)


class Takes:
    """The takes of words, of which each counts once, however often it is heard."""

    def __init__(self, model: Model) -> None:
        """None yet.

        Raises:
            LabError: the image keeps no takes.
        """
        self.form = TraceForm.of(model)
        self.none = (model.unknown, model.silence)
        self.classes = len(model.labels)
        self.rates: dict[object, tuple[int, Tensor]] = {}

    def keep(self, key: object, label: int, rates: Tensor) -> None:
        """Keep a take's mean rates (H,), in the place of those that came with the same key."""
        self.rates[key] = (label, rates)

    def means(self) -> Tensor:
        """Mean rates of the takes of each class: (C, H); not a number where there are none."""
        out = torch.full((self.classes, len(self.form.mean)), torch.nan)
        for label in {label for label, _ in self.rates.values()}:
            out[label] = torch.stack([r for of, r in self.rates.values() if of == label]).mean(0)
        return out

    def bonus(self, rates: Tensor) -> Tensor:
        """What the takes add to the logits of mean rates (N, H): (N, C)."""
        means = self.means()
        means[list(self.none)] = torch.nan  # other speech has no one template
        above = self.form.cosines(rates, means) - self.form.floor
        return self.form.weight * torch.nan_to_num(above).clamp(min=0)

    def bank(self, rates: Tensor, labels: Tensor) -> Tensor:
        """The takes as the classes' traces (C, H): means less that of speech.

        Of other speech, of silence and of words without takes it is the mean of vectors that are
        rehearsed, `rates` (n, H) of classes `labels` (n,); zero where there are none.
        """
        means = self.means()
        for label in range(self.classes):
            if label in self.none or means[label].isnan().any():
                means[label] = rates[labels == label].mean(0)
        return torch.nan_to_num(means - self.form.mean)
