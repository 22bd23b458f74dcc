# SPDX-License-Identifier: Apache-2.0
"""Online training through time (OTTT): back-propagation through layers, traces through time.

Xiao, Meng, Zhang, He, Lin, "Online Training Through Time for Spiking Neural Networks", NeurIPS
2022, arXiv 2210.04195 (its section 4.1). Every step has a loss of its own, and each layer keeps one
trace of its input, the same for all its neurons:

    L_t        = cross-entropy(softmax(V s_t), label)
    a^_t       = alpha a^_{t-1} + x_t                    trace of the layer's input
    g_u        = psi(u) dL_t/ds                          back through the layers of this step alone
    dE/dW      = sum_t a^_t g_u

at the end of the clip (OTTT_A, as here by default) or at every step (OTTT_O: update = "step"). The
answer is the mean of V s_t. For one layer this is BPTT; with more, what a spike does to later
membranes above it is left out.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softmax

from tracekws.lab.network import Fired
from tracekws.lab.rule import InputTraces, Rule


@dataclass(eq=False, kw_only=True)
class Ottt(Rule):
    """OTTT with the loss of each step's own readout."""

    name = "ottt"
    paper = "Xiao et al. 2022, arXiv 2210.04195, section 4.1"
    summary = "online training through time: input traces, errors back through the layers"

    update: str = "clip"

    def begin(self) -> None:
        """Traces start at zero."""
        self.heard = InputTraces(self.network, self.state)

    def learn(self, fired: list[Fired]) -> None:
        """One step's loss."""
        self.heard.step(fired)
        outputs = self.network.layers[-1].output(fired[-1].s)
        now = self.network.read(outputs)
        error = softmax(self.network.biased(now), 1) - self.truth
        gradients = self.readout_gradients(outputs, error)
        for k, slope in enumerate(self.network.back(fired, error)):
            delta = slope * self.network.layers[k].psi(fired[k].u)
            gradients |= self.heard.gradients(k, delta)
        self.apply(gradients)

    def logits(self) -> Tensor:
        """The mean of the readout of each step."""
        return self.network.biased(self.state.m / self.state.steps)
