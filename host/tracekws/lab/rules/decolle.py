# SPDX-License-Identifier: Apache-2.0
"""DECOLLE: every layer learns from a fixed random readout of its own.

Kaiser, Mostafa, Neftci, "Synaptic Plasticity Dynamics for Deep Continuous Local Learning
(DECOLLE)", Frontiers in Neuroscience 14, 424, 2020. At every step, in each layer:

    P_i  = alpha P_i + x_i                       trace of the input, the same for all neurons
    y_k  = sum_j G_jk s_j                        local readout; G fixed and random, (outputs, C)
    L    = 1/2 sum_k (y_k - c_k)^2               local loss, c the one-hot label
    dL/dW_ij = sum_k G_jk (y_k - c_k) psi(u_j) P_i

Nothing crosses a layer. The paper's neurons filter their input twice, ours once, by the membrane;
its regularisers of rates are left out. It answers by the last local readout; here the network's own
readout answers and learns by the delta rule that all local rules of the lab share, so that what is
compared is the layers. G is one matrix a layer that grows with the classes.
"""

import math
from dataclasses import dataclass

from tracekws.lab.network import Fired, normal
from tracekws.lab.rule import InputTraces, Rule


@dataclass(eq=False, kw_only=True)
class Decolle(Rule):
    """DECOLLE with the squared error."""

    name = "decolle"
    paper = "Kaiser et al. 2020, Frontiers in Neuroscience 14, 424"
    summary = "DECOLLE: a fixed random readout and a loss for every layer"

    def prepare(self) -> None:
        """Draw the local readouts."""
        for k, layer in enumerate(self.network.layers):
            size = (math.prod(layer.outputs), self.network.classes)
            self.fixed[f"G{k}"] = normal(size, 1 / math.sqrt(size[0]), self.random)

    def begin(self) -> None:
        """Traces start at zero."""
        self.heard = InputTraces(self.network, self.state)

    def learn(self, fired: list[Fired]) -> None:
        """One step's local losses."""
        self.heard.step(fired)
        gradients = self.delta_rule(fired)
        for k, (layer, own) in enumerate(zip(self.network.layers, fired, strict=True)):
            outputs, g = layer.output(own.s), self.fixed[f"G{k}"]
            error = outputs.flatten(1) @ g - self.truth
            slope = layer.output_back((error @ g.T).view_as(outputs), own.s)
            gradients |= self.heard.gradients(k, slope * layer.psi(own.u))
        self.apply(gradients)
