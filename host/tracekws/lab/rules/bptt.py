# SPDX-License-Identifier: Apache-2.0
"""Back-propagation through time (BPTT) with surrogate gradients: what the local rules approximate.

Neftci, Mostafa, Zenke, "Surrogate Gradient Learning in Spiking Neural Networks", IEEE Signal
Processing Magazine 36(6), 2019, arXiv 1901.09948 (eq. 5 unrolled; the spike's derivative is psi):

    E = sum_t cross-entropy(softmax(m_t), label)

by torch's autograd through all steps and layers; the reset counts as constant. The only rule here
that uses autograd, and so the measure for those that claim to equal it in a special case.

With psi as it is the gradient may explode backward through the recurrent weights. Bellec et al.,
"Long short-term memory and learning-to-learn in networks of spiking neurons", arXiv 1803.09574,
multiply psi by 0.3 ("damping").
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy

from tracekws.lab.network import Function
from tracekws.lab.rule import Rule


class Spike(torch.autograd.Function):
    """A spike at z = u - v_th with a surrogate derivative."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, surrogate: Function) -> Tensor:
        """1 where z is positive."""
        ctx.save_for_backward(z)
        ctx.surrogate = surrogate
        return (z > 0).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """psi times the gradient."""
        (z,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate(z), None


def spike_with(surrogate: Function) -> Function:
    """The spike function with a surrogate derivative, for Network.step()."""

    def spike(z: Tensor) -> Tensor:
        fired: Tensor = Spike.apply(z, surrogate)  # type: ignore[no-untyped-call]
        return fired

    return spike


@dataclass(eq=False, kw_only=True)
class Bptt(Rule):
    """BPTT over the whole clip; `saved` is what autograd keeps until the end of it."""

    name = "bptt"
    paper = "Neftci et al. 2019, arXiv 1901.09948"
    summary = "back-propagation through time, surrogate gradients, the whole clip"

    update: str = "clip"
    damping: float = 1.0
    """What psi is multiplied by."""

    def begin(self) -> None:
        """The weights become leaves of a graph."""
        self.saved: list[Tensor] = []
        self.loss = torch.zeros(())
        surrogate = self.network.layers[0].surrogate
        self.spike = spike_with(lambda z: self.damping * surrogate(z))
        for weights in self.network.parameters().values():
            weights.requires_grad_(True)

    def step(self, x: Tensor) -> None:
        """One more step of the graph."""
        if self.labels is None:
            super().step(x)
            return
        with torch.enable_grad(), saved_tensors_hooks(self.keep, lambda saved: saved):
            self.network.step(x, self.state, self.spike)
            self.loss = self.loss + cross_entropy(self.logits(), self.labels, reduction="sum")

    def keep(self, tensor: Tensor) -> Tensor:
        """Take note of what autograd saves; weights are not counted as saved."""
        if not (tensor.is_leaf and tensor.requires_grad):
            self.saved.append(tensor.detach())
        return tensor.detach()

    def end(self) -> None:
        """The gradients of all weights, back through the graph."""
        weights = self.network.parameters()
        found = torch.autograd.grad(self.loss, list(weights.values()), allow_unused=True)
        for values in weights.values():
            values.requires_grad_(False)
        self.saved, self.loss = [], self.loss.detach()
        self.apply({n: g for n, g in zip(weights, found, strict=True) if g is not None})


@dataclass(eq=False, kw_only=True)
class BpttDamped(Bptt):
    """BPTT with a damped surrogate."""

    name = "bptt-damped"
    paper = "Bellec et al. 2018, arXiv 1803.09574"
    summary = "back-propagation through time, surrogate damped by 0.3"

    damping: float = 0.3
