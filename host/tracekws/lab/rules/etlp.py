# SPDX-License-Identifier: Apache-2.0
"""ETLP: input trace, membrane, and a projected label that comes as an event; no error.

Quintana, Perez-Pena, Galindo, Neftci, Chicca, Khacef, "ETLP: Event-based Three-factor Local
Plasticity for online learning with neuromorphic hardware", Neuromorphic Computing and Engineering
4(3), 2024, arXiv 2301.08281. Whenever the label's neuron fires, here every `period` steps:

    eps_i = alpha eps_i + x_i                    input trace
    L_j   = - sum_k c_k B_kj                     the label, projected as in direct random target
            + voltage u_j where |u_j| > v_th     projection, and the paper's hold on membranes
    dW_ij = - rate L_j psi(u_j) eps_i

B is fixed and random, (C, H) a layer. The readout learns at the same events by the delta rule that
all local rules of the lab share. The paper's neurons have adaptive thresholds as well, whose part
of the eligibility is one number a synapse; ours have none, and so one trace an input is enough.
"""

import math
from dataclasses import dataclass

from tracekws.lab.network import Fired, normal
from tracekws.lab.rule import InputTraces, Rule


@dataclass(eq=False, kw_only=True)
class Etlp(Rule):
    """ETLP for neurons of a fixed threshold."""

    name = "etlp"
    paper = "Quintana et al. 2024, arXiv 2301.08281"
    summary = "ETLP: input trace, membrane and a projected label, no error in the layers"

    period: int = 1
    """Steps from one teaching event to the next; the paper's come at 100 Hz."""
    voltage: float = 0.0
    """Weight of the membrane's hold."""

    def prepare(self) -> None:
        """Draw the projections of the label."""
        for k, layer in enumerate(self.network.layers):
            size = (self.network.classes, math.prod(layer.shape))
            self.fixed[f"B{k}"] = normal(size, 1 / math.sqrt(size[1]), self.random)

    def begin(self) -> None:
        """Traces start at zero."""
        self.heard = InputTraces(self.network, self.state)

    def learn(self, fired: list[Fired]) -> None:
        """Keep the traces; learn where the step is an event."""
        self.heard.step(fired)
        gradients = self.delta_rule(fired)
        if self.state.steps % self.period != 0:
            return
        for k, (layer, own) in enumerate(zip(self.network.layers, fired, strict=True)):
            signal = -(self.truth @ self.fixed[f"B{k}"]).view_as(own.u)
            signal = signal + self.voltage * own.u * (own.u.abs() > layer.v_th)
            gradients |= self.heard.gradients(k, signal * layer.psi(own.u))
        self.apply(gradients)
