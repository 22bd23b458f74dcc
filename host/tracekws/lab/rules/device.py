# SPDX-License-Identifier: Apache-2.0
"""Traces Propagation as the device learns: the contrast is with a bank of classes, not a batch.

What the C core does (learner.h), in float and for any number of layers. The target path depends on
nothing but the class, so the target traces of all C classes are a small bank, and one sample at a
time is enough; samples of a larger batch learn side by side. Traces are means, not sums:

    eps    = beta eps + (1 - beta) s          of the sample         (eq. 11 of arXiv 2509.13053)
    eps~_c = beta eps~_c + (1 - beta) s~_c    of class c            (eq. 12)
    p      = softmax_c(gain / sqrt(H) eps . eps~_c)                 (eq. 14)
    W     -= rate x (p - y)_c eps~_c psi(u)                         (eq. 18, first term)
    W     -= rate x~_c (p - y)_c eps psi(u~_c)                      (second term, deeper layers)

with R and b like the first term. The readout learns once a clip from the mean rates r of the last
layer: V -= readout_rate r (softmax(r V + c) - y), c -= readout_bias_rate (softmax(r V + c) - y).

Variants to try before they go into C:

- recurrent_share: R has a rate of its own;
- traces = "unit": traces of length 1, so that z is gain / sqrt(H) times a cosine (that the length
  depends on eps is left out);
- kept (C, H), in the place of the last layer's bank, where it is set: what the user said;
- codes = "fitting": a class that is learned for the first time takes the code, a row of S, whose
  trace has the largest product with the clip's at its end, of those that no class has taken yet;
  the two classes change places. That clip is learned with the old code. For classes that S was not
  trained for.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, softmax

from tracekws.lab.network import Fired
from tracekws.lab.rule import Gradients, Rule, choose, numbered
from tracekws.lab.rules.tp import TargetPath, target_matrix


@dataclass(eq=False, kw_only=True)
class DeviceRule(Rule):
    """TP with a bank of classes as its contrast; a model's own S may be put into fixed["S"]."""

    name = "device"
    paper = "Pes et al. 2025, arXiv 2509.13053, eq. 11-18, changed as in firmware/core's learner.h"
    summary = "Traces Propagation with the contrast against classes, as on the device"

    rate: float = 2.8e-4
    readout_rate: float = 1.0
    readout_bias_rate: float = 0.01
    optimiser: str = "sgd"
    gain: float = 300.0
    """Of the contrast's logits, to be divided by the root of the layer's neurons."""
    target_scale: float = 0.5
    """Of S: see target_matrix."""
    recurrent_share: float = 1.0
    """Rate of R over that of W and b."""
    traces: str = "mean"
    """"mean" of the spikes or "unit"."""
    codes: str = "own"
    """Of a class: its "own" row of S, or a "fitting" one."""

    def prepare(self) -> None:
        """Draw S; no class has taken a code yet."""
        choose("traces", self.traces, "mean", "unit")
        choose("codes", self.codes, "own", "fitting")
        self.fixed["S"] = target_matrix(self.network, self.target_scale, self.random)
        self.taken: set[int] = set()
        self.kept: Tensor | None = None

    def begin(self) -> None:
        """Traces and bank start at zero."""
        self.target = TargetPath(self.network, self.fixed["S"])
        self.eps = [torch.zeros_like(layer.v) for layer in self.state.layers]
        self.bank = [torch.zeros_like(v) for v in self.target.v]
        self.count = torch.zeros(len(self.truth), *self.network.layers[-1].outputs)

    def learn(self, fired: list[Fired]) -> None:
        """The contrast in each layer."""
        beta = self.network.constants.beta
        target_fired = self.target.step()
        self.count += self.network.layers[-1].output(fired[-1].s)
        gradients: Gradients = {}
        for k, layer in enumerate(self.network.layers):
            heard, target = fired[k], target_fired[k]
            self.eps[k] = beta * self.eps[k] + (1 - beta) * heard.s
            self.bank[k] = beta * self.bank[k] + (1 - beta) * target.s
            eps, bank = self.compared(k)
            error = softmax(self.gain * eps.shape[1] ** -0.5 * eps @ bank.T, 1) - self.truth
            signal = (error @ bank).view_as(heard.u)
            own = layer.gradients(heard.x, heard.before, signal * layer.psi(heard.u))
            if k > 0:
                signal = (error.T @ eps).view_as(target.u)
                own["W"] += layer.gradient(target.x, signal * layer.psi(target.u))
            gradients |= numbered(k, own)
        self.apply(gradients)

    def compared(self, k: int) -> tuple[Tensor, Tensor]:
        """Traces of the samples (B, H) and of the classes (C, H) in layer k, as z takes them."""
        eps, bank = self.eps[k].flatten(1), self.bank[k].flatten(1)
        if self.kept is not None and k == len(self.network.layers) - 1:
            bank = self.kept
        if self.traces == "mean":
            return eps, bank
        return normalize(eps), normalize(bank)

    def end(self) -> None:
        """The readout's delta rule on the mean rates, and codes for new classes."""
        self.descend(self.readout_gradients(self.count / self.state.steps, self.error()))
        if self.codes == "fitting":
            self.take_codes()

    def take_codes(self) -> None:
        """Give classes that have none the free code of the largest product, as they come."""
        assert self.labels is not None
        eps, bank = self.compared(-1)
        for trace, label in zip(eps, self.labels.tolist(), strict=True):
            if label not in self.taken:
                nearness = bank @ trace
                nearness[sorted(self.taken)] = -torch.inf
                places, codes = [label, code := int(nearness.argmax())], [code, label]
                for rows in (bank, self.fixed["S"]):
                    rows[places] = rows[codes]
                self.taken.add(label)

    def logits(self) -> Tensor:
        """The mean of the readout over the clip, and its bias."""
        return self.network.biased(self.state.m / self.state.steps)

    def rate_of(self, name: str) -> float:
        """The readout's bias and R have rates of their own."""
        if name == "c":
            return self.readout_bias_rate
        return super().rate_of(name) * (self.recurrent_share if name.endswith(".R") else 1)
