# SPDX-License-Identifier: Apache-2.0
"""S-TLLR: an STDP-like trace, causal and non-causal, times an error through the layers.

Apolinario and Roy, "S-TLLR: STDP-inspired Temporal Local Learning Rule for Spiking Neural
Networks", Transactions on Machine Learning Research 2025, arXiv 2306.15220 (its section 4):

    e_ij[t]  = alpha_pre psi(u_j[t]) sum_{t' <= t} lambda_pre^(t-t') x_i[t']       causal
             + alpha_post x_i[t] sum_{t' < t} lambda_post^(t-t') psi(u_j[t'])      non-causal
    dE/dW_ij = sum_{t >= first} dL_t/ds_j[t] e_ij[t]

with R like W, x then being last step's spikes, and L_t the cross-entropy of the readout so far; the
error goes back through the layers of one step only. The two sums are one trace an input and one a
neuron. alpha_post was -1 in the paper's vision tasks, +1 in sound; the constants here are those of
its DVS-Gesture. The paper's psi in e is narrower than its surrogate; here both are the network's.
"""

from dataclasses import dataclass

import torch

from tracekws.lab.network import Fired
from tracekws.lab.rule import InputTraces, Rule


@dataclass(eq=False, kw_only=True)
class Stllr(Rule):
    """S-TLLR with errors by back-propagation through the layers."""

    name = "stllr"
    paper = "Apolinario and Roy 2025, arXiv 2306.15220, section 4"
    summary = "S-TLLR: causal and non-causal traces, errors back through the layers"

    update: str = "clip"
    alpha_pre: float = 1.0
    alpha_post: float = -1.0
    lambda_pre: float = 0.75
    lambda_post: float = 0.2
    first: int = 0
    """Steps at the start of a clip without a learning signal."""

    def begin(self) -> None:
        """Traces start at zero."""
        self.heard = InputTraces(self.network, self.state, self.lambda_pre)
        self.psi = [torch.zeros_like(layer.v) for layer in self.state.layers]

    def learn(self, fired: list[Fired]) -> None:
        """One step of the traces, and the error on them."""
        gradients = self.delta_rule(fired)
        slopes = self.network.back(fired, self.error())
        self.heard.step(fired)
        for k, (layer, own) in enumerate(zip(self.network.layers, fired, strict=True)):
            past, psi = self.lambda_post * self.psi[k], layer.psi(own.u)
            self.psi[k] = past + psi
            causal = self.alpha_pre * slopes[k] * psi
            other = self.alpha_post * slopes[k] * past
            gradients |= self.heard.gradients(k, causal)
            for name, gradient in layer.gradients(own.x, own.before, other).items():
                gradients[f"{k}.{name}"] += gradient
        if self.state.steps > self.first:
            self.apply(gradients)
