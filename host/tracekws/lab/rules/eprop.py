# SPDX-License-Identifier: Apache-2.0
"""e-prop: eligibility traces of every synapse, times a learning signal of every neuron.

Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking neurons",
Nature Communications 11, 3625, 2020. Its eq. 1 and 4, and of the methods 13-14, 22-23 (LIF neurons)
and 28, with i presynaptic:

    eps_ij = alpha eps_ij + x_i               eligibility vector (one a presynaptic neuron, where
                                              all neurons share alpha)
    e_ij   = psi(u_j) eps_ij                  eligibility trace
    e-_ij  = kappa e-_ij + e_ij               filtered as the readout filters; here kappa = 1
    L_j    = sum_k B_jk (softmax(m) - c)_k    learning signal
    dE/dW_ij = sum_t L_j e-_ij

The readout's own gradient is its error times the spikes filtered likewise. B is the readout's V
("symmetric") or a fixed random matrix ("random"). Layers below the last have no connection to the
readout, and get a random B in either case. The sum over time is applied at the end of the clip, or
step by step with update = "step". Our neurons have no adaptive threshold, the paper's second
variable. The traces are one number a synapse and sample: O(B H^2).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tracekws.lab.network import DenseLayer, Fired, LabError, normal
from tracekws.lab.rule import Gradients, Rule, choose


@dataclass(eq=False, kw_only=True)
class EProp(Rule):
    """e-prop on dense layers."""

    name = "eprop"
    paper = "Bellec et al. 2020, Nature Communications 11, 3625, eq. 1, 4, 13-14, 22-23, 28"
    summary = "e-prop with symmetric feedback: a trace for every synapse"

    update: str = "clip"
    feedback: str = "symmetric"
    """Of the last layer: "symmetric" or "random"."""

    def prepare(self) -> None:
        """Draw feedback matrices (H, C) for the layers that need one."""
        choose("feedback", self.feedback, "symmetric", "random")
        layers = self.network.layers
        if not all(isinstance(layer, DenseLayer) for layer in layers):
            raise LabError(f"{self.name} keeps a trace of every synapse: dense layers only")
        for k in range(len(layers) - (self.feedback == "symmetric")):
            size = (layers[k].shape[0], self.network.classes)
            self.fixed[f"B{k}"] = normal(size, 1 / math.sqrt(size[0]), self.random)

    def begin(self) -> None:
        """All traces start at zero."""
        self.vectors: Gradients = {}
        self.traces: Gradients = {}
        self.counts = torch.zeros_like(self.state.layers[-1].v)

    def learn(self, fired: list[Fired]) -> None:
        """One step of the traces, and the learning signal on them."""
        error = self.error()
        self.counts += fired[-1].s
        gradients = self.readout_gradients(self.counts, error)
        for k, (layer, own) in enumerate(zip(self.network.layers, fired, strict=True)):
            signal = error @ self.fixed.get(f"B{k}", self.network.readout["V"]).T
            psi = layer.psi(own.u)[:, None, :]
            heard = {"W": own.x.flatten(1), "R": own.before, "b": torch.ones(len(error), 1)}
            for name, weights in layer.weights.items():
                trace = self.trace(f"{k}.{name}", heard[name][:, :, None], psi, layer.alpha)
                gradients[f"{k}.{name}"] = product(signal, trace).view_as(weights)
        self.apply(gradients)

    def trace(self, name: str, x: Tensor, psi: Tensor, alpha: float | Tensor) -> Tensor:
        """e- (B, I, H) of one kind of weights, of inputs (B, I, 1) and psi (B, 1, H)."""
        if name not in self.traces:
            self.vectors[name] = x.clone()
            self.traces[name] = psi * x
        else:
            self.vectors[name] = alpha * self.vectors[name] + x
            self.traces[name].addcmul_(psi, self.vectors[name])
        return self.traces[name]


def product(signal: Tensor, trace: Tensor) -> Tensor:
    """sum_b L_bj e-_bij, (I, H): sample by sample, which is ten times faster than einsum."""
    total = torch.zeros(trace.shape[1:])
    for of_sample, own in zip(signal, trace, strict=True):
        total.addcmul_(of_sample, own)
    return total


@dataclass(eq=False, kw_only=True)
class EPropRandom(EProp):
    """e-prop with random feedback to every layer."""

    name = "eprop-random"
    summary = "e-prop with fixed random feedback"

    feedback: str = "random"
