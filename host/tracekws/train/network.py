# SPDX-License-Identifier: Apache-2.0
"""The float reference of the core's network, and its training by back-propagation through time."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracekws._core import lib
from tracekws.modelfile import CONTRAST_GAIN, TRACE_DECAY
from tracekws.train.augment import STEPS
from tracekws.train.config import ConvolutionConfig

SURROGATE_DAMPING = 0.4
READOUT_GAIN = 10.0


def surrogate(u: Tensor) -> Tensor:
    """Surrogate derivative of the spike at membrane u before reset: a damped triangle around 1."""
    return SURROGATE_DAMPING * torch.clamp(1 - (u - 1).abs(), min=0)


class LifLayer(torch.autograd.Function):
    """Spikes of a recurrent LIF layer with threshold 1 and soft reset (arXiv 2509.13053, eq. 1-2).

    Forward takes the input current (T, B, H), the recurrent weights (H, H), a row a presynaptic
    neuron, and the decay (H,), and gives spikes (T, B, H). Backward is back-propagation through
    time with the reset taken as constant.
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, recurrent: Tensor, decay: Tensor) -> Tensor:
        """Run the layer from rest."""
        membranes = torch.empty_like(current)
        spikes = torch.empty_like(current)
        v = torch.zeros_like(current[0])
        s = torch.zeros_like(v)
        for t in range(len(current)):
            u = torch.addcmul(current[t], v, decay, out=membranes[t]).addmm_(s, recurrent)
            s = torch.gt(u, 1, out=spikes[t])
            torch.sub(u, s, out=v)
        ctx.save_for_backward(membranes, spikes, recurrent, decay)
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of current, recurrent weights and decay."""
        membranes, spikes, recurrent, decay = ctx.saved_tensors
        (grad_spikes,) = grads
        psi = surrogate(membranes)
        grad_u = torch.empty_like(membranes)
        later = torch.zeros_like(membranes[0])
        for t in reversed(range(len(membranes))):
            from_recurrent = torch.addmm(grad_spikes[t], later, recurrent.T)
            later = torch.addcmul(decay * later, from_recurrent, psi[t], out=grad_u[t])
        size = membranes.shape[-1]
        following = grad_u[1:].reshape(-1, size)
        grad_recurrent = spikes[:-1].reshape(-1, size).T @ following
        after_reset = (membranes[:-1] - spikes[:-1]).reshape(-1, size)
        grad_decay = (after_reset * following).sum(0)
        return grad_u, grad_recurrent, grad_decay


@dataclass(frozen=True)
class Outputs:
    """What a batch of clips gives."""

    scores: Tensor
    """(B, C) logits of the readout, over the whole clip."""
    contrast: Tensor
    """(B, K, C) contrast logits at K steps (eq. 14, against the bank of class traces)."""
    rates: Tensor
    """(B, H) mean spikes a step."""
    window: Tensor | None
    """(B, C) logits of the readout over another second, if one was named."""


def lif_layer(current: Tensor, recurrent: Tensor, decay: Tensor) -> Tensor:
    """Spikes of a recurrent LIF layer; arguments and result as LifLayer.forward()."""
    spikes: Tensor = LifLayer.apply(current, recurrent, decay)  # type: ignore[no-untyped-call]
    return spikes


def as_int8(values: Tensor, bits: int) -> Tensor:
    """The nearest numbers that int8 of so many fraction bits holds; the gradient ignores it.

    Halves go to the even one, where the core's go up: of what the taps give, 1 % is one lower.
    """
    one = float(1 << bits)
    held = torch.clamp(values, -128 / one, 127 / one)
    return held + (torch.round(held * one) / one - held).detach()


def drawn_layer(inputs: int, neurons: int, scale: float) -> tuple[nn.Parameter, ...]:
    """First weights (inputs, neurons), recurrent weights, bias and decays' logits of a LIF layer.

    From torch's generator; `scale` is of the weights, to be divided by the root of the inputs'
    number.
    """
    return (
        nn.Parameter(torch.randn(inputs, neurons) * (scale / math.sqrt(inputs))),
        nn.Parameter(torch.randn(neurons, neurons) * (0.5 / math.sqrt(neurons))),
        nn.Parameter(torch.zeros(neurons)),
        nn.Parameter(torch.logit(torch.empty(neurons).uniform_(0.6, 0.95))),
    )


class Convolution(nn.Module):
    """Small filters over frames and channels, the same ones in every band, with a rectifier.

    Args:
        shape: what base.toml says of it; its kernels and bands give the features of a step.
    """

    def __init__(self, shape: ConvolutionConfig) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        self.shape = shape
        scale = math.sqrt(2 / (shape.frames * shape.width))
        self.weights = nn.Parameter(
            torch.randn(shape.kernels, 1, shape.frames, shape.width) * scale
        )
        self.bias = nn.Parameter(torch.zeros(shape.kernels))

    def forward(self, features: Tensor) -> Tensor:
        """From features (T, B, 80) as many numbers, as of the core (convolution.h) but for halves.

        See as_int8().
        """
        steps, batch, inputs = features.shape
        frames = features.transpose(0, 1).reshape(batch, 1, -1, lib.TKWS_CHANNELS)
        margin = self.shape.margin
        before = self.shape.frames - lib.TKWS_STACK
        heard = functional.pad(frames, (margin, margin, before, 0))
        stride = (lib.TKWS_STACK, self.shape.stride)
        out = functional.conv2d(heard, self.weights, self.bias, stride=stride)
        by_step = torch.relu(out).permute(2, 0, 1, 3).reshape(steps, batch, inputs)
        return as_int8(by_step, lib.TKWS_FEATURE_Q)


class SpikingNetwork(nn.Module):
    """Filters in time, one recurrent LIF layer, a linear readout, and the target path's matrix S.

    Args:
        inputs: features a step.
        taps: steps that the filter of each input spans.
        neurons: hidden neurons H.
        classes: C.
        convolution: what comes before the filters; none if it has no kernels.
    """

    def __init__(
        self,
        inputs: int,
        taps: int,
        neurons: int,
        classes: int,
        convolution: ConvolutionConfig | None = None,
    ) -> None:
        """Draw the weights from torch's generator; the filters let through what they hear."""
        super().__init__()
        self.convolution = Convolution(convolution) if convolution and convolution.kernels else None
        self.taps = nn.Parameter(torch.zeros(taps, inputs))
        self.taps.data[0] = 1
        layer = drawn_layer(inputs, neurons, 1.0)
        self.weights, self.recurrent, self.bias, self.decay_logit = layer
        self.readout = nn.Parameter(torch.randn(neurons, classes) / math.sqrt(neurons))
        self.readout_bias = nn.Parameter(torch.zeros(classes))
        self.target = nn.Parameter(torch.randn(classes, neurons) * 0.5)

    @property
    def decay(self) -> Tensor:
        """What a membrane keeps each step, (H,)."""
        return torch.sigmoid(self.decay_logit)

    def filter(self, features: Tensor) -> Tensor:
        """Inputs of the layer from features, both (T, B, inputs), as of the core but for halves.

        See as_int8().
        """
        if self.convolution:
            features = self.convolution(features)
        taps = as_int8(self.taps, lib.TKWS_TAP_Q)
        count, steps = len(taps), len(features)
        heard = functional.pad(features, (0, 0, 0, 0, count - 1, 0))
        out = taps[0] * features
        for k in range(1, count):
            out = torch.addcmul(out, taps[k], heard[count - 1 - k : count - 1 - k + steps])
        return as_int8(out, lib.TKWS_FEATURE_Q)

    def averages(self, steps: int) -> Tensor:
        """(1 + K, T) weights of spikes: the mean over the clip, then the trace at K steps."""
        device = self.bias.device
        at = torch.tensor([steps * k // 4 - 1 for k in (2, 3, 4)], device=device)
        age = at[:, None] - torch.arange(steps, device=device)[None, :]
        traces = torch.where(age >= 0, (1 - TRACE_DECAY) * TRACE_DECAY ** age.clamp(min=0), 0.0)
        return torch.cat([torch.full((1, steps), 1 / steps, device=device), traces])

    def readout_of(self, rates: Tensor) -> Tensor:
        """Logits (B, C) of mean spikes (B, H)."""
        return READOUT_GAIN * rates @ self.readout + self.readout_bias

    def forward(self, features: Tensor, window: int | None = None) -> Outputs:
        """Run a batch of features (B, T, inputs), float, from rest; answer for the last second.

        Args:
            features: of a second, or more.
            window: step behind the last of another second to answer for.
        """
        steps = min(features.shape[1], STEPS)
        current = self.filter(features.transpose(0, 1)) @ self.weights + self.bias
        spikes = lif_layer(current, self.recurrent, self.decay)
        silent = torch.zeros_like(self.recurrent)
        target = self.target.expand(steps, *self.target.shape)
        return self.outputs(spikes, lif_layer(target, silent, self.decay), window)

    def outputs(self, spikes: Tensor, target_spikes: Tensor, window: int | None) -> Outputs:
        """Outputs of spikes (T, B, H), for the last second, and of the target path's in a second.

        Args:
            spikes: of the layer that the readout hears.
            target_spikes: (steps, C, H) of the same layer.
            window: as in forward().
        """
        steps, _, neurons = target_spikes.shape
        averages = self.averages(steps)
        heard = torch.einsum("kt,tbh->bkh", averages, spikes[-steps:])
        bank = torch.einsum("kt,tch->ckh", averages, target_spikes)
        gain = CONTRAST_GAIN / math.sqrt(neurons)
        contrast = gain * torch.einsum("bkh,ckh->bkc", heard[:, 1:], bank[:, 1:])
        rates = heard[:, 0]
        other = None
        if window is not None:
            other = self.readout_of(spikes[window - steps : window].mean(0))
        return Outputs(self.readout_of(rates), contrast, rates, other)
