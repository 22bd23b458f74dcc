# SPDX-License-Identifier: Apache-2.0
"""Networks of leaky integrate-and-fire (LIF) neurons, float32, and what a rule needs of them.

    u_t = alpha v_{t-1} + W x_t (+ R s_{t-1}) (+ b)     integrate
    s_t = 1 where u_t > v_th, else 0                     fire
    v_t = u_t - v_th s_t                                 soft reset

(Pes, Yin, Stuijk, Corradi, arXiv 2509.13053, eq. 1-2, in the order that works.) The readout is an
integrator without leak, m_t = m_{t-1} + V s_t. Nothing here needs autograd: the rules say what a
layer's delta = dE/du is, and a layer turns it into gradients of its weights. Under autograd
(rules/bptt.py) the reset counts as constant.

Weights may be standardised a neuron (Qiao et al., arXiv 1903.10520; scaled as by Brock, De,
Smith, arXiv 2101.08692): a neuron hears through w = g (r - mean r) / |r - mean r|, and what learns
is r. Layers and rules see w alone; where a gradient of w is descended, `change` makes it that of r.

Shapes: B samples, C classes; a layer's neurons (H,) or (channels, height, width).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from tracekws.errors import TraceKwsError

Shape = tuple[int, ...]
Function = Callable[[Tensor], Tensor]


class LabError(TraceKwsError):
    """A network, a rule or a setting that cannot be; the message says which and what can."""


@dataclass(frozen=True)
class Dense:
    """Every neuron hears every input and, where recurrent, every neuron's last spike."""

    size: int
    recurrent: bool = False
    bias: bool = False


@dataclass(frozen=True)
class Conv:
    """A convolution with zeros around it, that passes on one value for pool x pool neurons."""

    channels: int
    kernel: int = 3
    stride: int = 1
    pool: int = 1
    pooling: str = "mean"
    """That value: the "mean" of their spikes, or their "max"."""
    bias: bool = False


LayerSpec = Dense | Conv


@dataclass(frozen=True)
class Constants:
    """Numbers of the neurons that a task shares among all rules."""

    alpha: float
    """What a membrane keeps each step."""
    beta: float
    """What an eligibility trace keeps each step."""
    v_th: float
    surrogate: str = "arctan"
    weight_scale: float = 1.0
    """Standard deviation of the first weights, to be divided by the root of the inputs' number.

    Where weights are standardised it is the root of 2, as by He et al. (arXiv 1502.01852).
    """


def arctan(z: Tensor) -> Tensor:
    """Surrogate derivative of a spike at z = u - v_th: that of arctan(pi z) / pi."""
    return 1 / (1 + (math.pi * z) ** 2)


def triangle(z: Tensor) -> Tensor:
    """Surrogate derivative of a spike at z = u - v_th: a triangle of height and half width 1."""
    return (1 - z.abs()).clamp(min=0)


SURROGATES: dict[str, Function] = {"arctan": arctan, "triangle": triangle}


def heaviside(z: Tensor) -> Tensor:
    """A spike where z = u - v_th is positive."""
    return (z > 0).to(z.dtype)


class Fired(NamedTuple):
    """What a layer did in one step; all of it but s is gone after the step."""

    x: Tensor
    """Its input, (B, *inputs)."""
    before: Tensor
    """Its spikes of the step before, (B, *shape)."""
    u: Tensor
    """Potential before the reset, (B, *shape)."""
    s: Tensor
    """Spikes, (B, *shape)."""


@dataclass
class LayerState:
    """What a layer keeps from step to step."""

    v: Tensor
    """Membrane after the reset, (B, *shape)."""
    s: Tensor
    """Spikes of the last step, (B, *shape)."""


class Layer:
    """LIF neurons with the weights that drive them.

    `weights` holds W, R where the layer is recurrent, and b where it has a bias: inputs first in a
    dense layer's W (I, H), presynaptic neurons first in R (H, H), as torch has it in a
    convolution's W. They are changed in place only.
    """

    shape: Shape
    summed: tuple[int, ...] = (0,)
    """Dimensions of delta that share a bias."""

    def __init__(self, constants: Constants) -> None:
        """Take the neurons' numbers; a subclass draws the weights."""
        if constants.surrogate not in SURROGATES:
            raise LabError(f"surrogate '{constants.surrogate}': one of {', '.join(SURROGATES)}")
        self.alpha: float | Tensor = constants.alpha
        self.v_th = constants.v_th
        self.surrogate = SURROGATES[constants.surrogate]
        self.weights: dict[str, Tensor] = {}

    def drive(self, x: Tensor) -> Tensor:
        """W x, (B, *shape)."""
        raise NotImplementedError

    def fire(self, current: Tensor, v: Tensor, spike: Function) -> tuple[Tensor, Tensor, Tensor]:
        """u, s and the new v of neurons that a current drives."""
        u = self.alpha * v + current
        s = spike(u - self.v_th)
        return u, s, u - self.v_th * s.detach()

    def step(self, x: Tensor, state: LayerState, spike: Function = heaviside) -> Fired:
        """One time step."""
        before = state.s
        current = self.drive(x)
        if "R" in self.weights:
            current = current + before @ self.weights["R"]
        if "b" in self.weights:
            current = current + self.weights["b"]
        u, state.s, state.v = self.fire(current, state.v, spike)
        return Fired(x, before, u, state.s)

    def psi(self, u: Tensor) -> Tensor:
        """Surrogate ds/du."""
        return self.surrogate(u - self.v_th)

    def output(self, s: Tensor) -> Tensor:
        """What the next layer hears of spikes, (B, *outputs)."""
        return s

    def output_back(self, gradient: Tensor, s: Tensor) -> Tensor:
        """dE/ds of dE/d output(s)."""
        return gradient

    def drive_back(self, delta: Tensor) -> Tensor:
        """dE/dx of delta = dE/du, (B, *inputs)."""
        raise NotImplementedError

    def gradient(self, x: Tensor, delta: Tensor) -> Tensor:
        """dE/dW of delta = dE/du, summed over the batch; x is the input or a trace of it."""
        raise NotImplementedError

    def gradients(
        self, x: Tensor, before: Tensor, delta: Tensor, one: float = 1.0
    ) -> dict[str, Tensor]:
        """Gradients of all weights, of the input, last spikes and the bias's 1, or their traces."""
        found = {"W": self.gradient(x, delta)}
        if "R" in self.weights:
            found["R"] = before.T @ delta
        if "b" in self.weights:
            found["b"] = one * delta.sum(self.summed).view_as(self.weights["b"])
        return found


class DenseLayer(Layer):
    """Every neuron hears every input."""

    def __init__(
        self, spec: Dense, inputs: Shape, constants: Constants, random: torch.Generator
    ) -> None:
        """Draw the weights."""
        super().__init__(constants)
        n, h = math.prod(inputs), spec.size
        self.inputs, self.shape, self.outputs = inputs, (h,), (h,)
        self.weights["W"] = normal((n, h), constants.weight_scale / math.sqrt(n), random)
        if spec.recurrent:
            self.weights["R"] = normal((h, h), constants.weight_scale / math.sqrt(h), random)
        if spec.bias:
            self.weights["b"] = torch.zeros(h)

    def drive(self, x: Tensor) -> Tensor:
        """W x, (B, H)."""
        return x.flatten(1) @ self.weights["W"]

    def drive_back(self, delta: Tensor) -> Tensor:
        """dE/dx, (B, *inputs)."""
        return (delta @ self.weights["W"].T).view(-1, *self.inputs)

    def gradient(self, x: Tensor, delta: Tensor) -> Tensor:
        """dE/dW, (I, H)."""
        return x.flatten(1).T @ delta


class ConvLayer(Layer):
    """Neurons in channels of a plane, and the mean or maximum of pool x pool of them as output."""

    summed = (0, 2, 3)

    def __init__(
        self, spec: Conv, inputs: Shape, constants: Constants, random: torch.Generator
    ) -> None:
        """Draw the weights."""
        super().__init__(constants)
        if len(inputs) != 3:
            raise LabError(f"a Conv layer needs input of 3 dimensions, not {len(inputs)}")
        if spec.pooling not in ("mean", "max"):
            raise LabError(f"pooling '{spec.pooling}': mean or max")
        n = inputs[0] * spec.kernel**2
        size = (spec.channels, inputs[0], spec.kernel, spec.kernel)
        height, width = (
            (side + 2 * (spec.kernel // 2) - spec.kernel) // spec.stride + 1 for side in inputs[1:]
        )
        self.inputs, self.stride = inputs, spec.stride
        self.padding, self.pool, self.pooling = spec.kernel // 2, spec.pool, spec.pooling
        self.shape = (spec.channels, height, width)
        self.outputs = (spec.channels, height // spec.pool, width // spec.pool)
        if min(self.outputs) < 1:
            raise LabError(f"{spec} leaves nothing of an input of {inputs[1]} x {inputs[2]}")
        self.weights["W"] = normal(size, constants.weight_scale / math.sqrt(n), random)
        if spec.bias:
            self.weights["b"] = torch.zeros(spec.channels, 1, 1)

    def drive(self, x: Tensor) -> Tensor:
        """W * x, (B, channels, height, width)."""
        return functional.conv2d(x, self.weights["W"], stride=self.stride, padding=self.padding)

    def output(self, s: Tensor) -> Tensor:
        """Means or maxima over pool x pool neurons."""
        if self.pool == 1:
            return s
        pooled = functional.max_pool2d if self.pooling == "max" else functional.avg_pool2d
        return pooled(s, self.pool)

    def output_back(self, gradient: Tensor, s: Tensor) -> Tensor:
        """A mean's gradient shared among its neurons, a maximum's to the first that has it.

        Neurons at the edge may be in no pool.
        """
        if self.pool == 1:
            return gradient
        if self.pooling == "max":
            _, first = functional.max_pool2d(s, self.pool, return_indices=True)
            size = (self.pool, self.pool)
            return functional.max_unpool2d(gradient, first, size, output_size=s.shape)
        spread = gradient.repeat_interleave(self.pool, -1).repeat_interleave(self.pool, -2)
        _, height, width = self.shape
        edge = (0, width - spread.shape[-1], 0, height - spread.shape[-2])
        return functional.pad(spread / self.pool**2, edge)

    def drive_back(self, delta: Tensor) -> Tensor:
        """dE/dx, (B, *inputs)."""
        size = (len(delta), *self.inputs)
        gradient: Tensor = conv2d_input(  # type: ignore[no-untyped-call]
            size, self.weights["W"], delta, self.stride, self.padding
        )
        return gradient

    def gradient(self, x: Tensor, delta: Tensor) -> Tensor:
        """dE/dW, (channels, inputs, kernel, kernel)."""
        size = self.weights["W"].shape
        gradient: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            x, size, delta, self.stride, self.padding
        )
        return gradient


def normal(shape: Shape, deviation: float, random: torch.Generator) -> Tensor:
    """Random numbers around zero."""
    return torch.randn(shape, generator=random) * deviation


STANDARD_NORM = 1.8
"""Norm of a neuron's standardised weights: that of the authors' released program."""
STANDARD_EPSILON = 1e-5


def centred(raw: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Raw weights less their mean a neuron, their squared norm, and the inputs' dimensions."""
    inputs = (0,) if raw.ndim == 2 else (1, 2, 3)
    shifted = raw - raw.mean(inputs, keepdim=True)
    return shifted, shifted.square().sum(inputs, keepdim=True) + STANDARD_EPSILON, inputs


def standardised_weights(raw: Tensor) -> Tensor:
    """Weights of mean 0 and norm STANDARD_NORM a neuron: (I, H), or as a convolution has them."""
    shifted, square, _ = centred(raw)
    return STANDARD_NORM * shifted / square.sqrt()


def raw_gradient(raw: Tensor, gradient: Tensor) -> Tensor:
    """dE/draw of dE/d standardised_weights(raw)."""
    shifted, square, inputs = centred(raw)
    along = (gradient * shifted).sum(inputs, keepdim=True) / square * shifted
    across = gradient - gradient.mean(inputs, keepdim=True) - along
    return STANDARD_NORM * across / square.sqrt()


@dataclass
class State:
    """What a network keeps from step to step while it hears a batch of clips."""

    layers: list[LayerState]
    m: Tensor
    """The readout's integrators, (B, C)."""
    steps: int = 0


class Network:
    """Layers in a row and a readout: V (outputs of the last layer, C), and a bias c (C,) if asked.

    Args:
        specs: the layers.
        inputs: shape of a step's input.
        classes: C.
        constants: of the neurons.
        seed: of the weights.
        readout_bias: the readout has c, zero at first.
        standardised: the layers' W and the readout's V are, a neuron.
    """

    def __init__(
        self,
        specs: Sequence[LayerSpec],
        inputs: Shape,
        classes: int,
        constants: Constants,
        seed: int = 0,
        readout_bias: bool = False,
        standardised: bool = False,
    ) -> None:
        """Draw the weights."""
        if not specs:
            raise LabError("a network needs a layer")
        random = torch.Generator().manual_seed(seed)
        self.inputs, self.classes, self.constants = inputs, classes, constants
        self.layers: list[DenseLayer | ConvLayer] = []
        for spec in specs:
            self.layers.append(
                DenseLayer(spec, inputs, constants, random)
                if isinstance(spec, Dense)
                else ConvLayer(spec, inputs, constants, random)
            )
            inputs = self.layers[-1].outputs
        width = math.prod(inputs)
        self.readout = {"V": normal((width, classes), 1 / math.sqrt(width), random)}
        if readout_bias:
            self.readout["c"] = torch.zeros(classes)
        self.standardised = standardised
        self.raw: dict[str, Tensor] = {}
        if standardised:
            self.standardise(random)

    def standardise(self, random: torch.Generator) -> None:
        """Draw the raw weights, and put their standardised form into the places of W and V."""
        for name, weights in self.parameters().items():
            if name == "V" or name.endswith(".W"):
                neurons = weights.shape[1 if weights.ndim == 2 else 0]
                deviation = math.sqrt(2 * neurons / weights.numel())
                self.raw[name] = normal(tuple(weights.shape), deviation, random)
                weights.copy_(standardised_weights(self.raw[name]))

    def change(
        self, name: str, gradient: Tensor, descend: Callable[[Tensor, Tensor], None]
    ) -> None:
        """Let descend(weights, gradient) change weights in place: the raw ones where there are."""
        weights = self.parameters()[name]
        if name not in self.raw:
            descend(weights, gradient)
            return
        raw = self.raw[name]
        descend(raw, raw_gradient(raw, gradient))
        weights.copy_(standardised_weights(raw))

    def parameters(self) -> dict[str, Tensor]:
        """All weights by name: '0.W', '0.R', '0.b', ..., 'V', 'c'."""
        layers = {
            f"{k}.{name}": values
            for k, layer in enumerate(self.layers)
            for name, values in layer.weights.items()
        }
        return layers | self.readout

    def rest(self, batch: int) -> State:
        """The state of a network that has heard nothing."""
        layers = []
        for layer in self.layers:
            shape = (batch, *layer.shape)
            layers.append(LayerState(torch.zeros(shape), torch.zeros(shape)))
        return State(layers, torch.zeros(batch, self.classes))

    def step(self, x: Tensor, state: State, spike: Function = heaviside) -> list[Fired]:
        """One time step of input (B, *inputs): what each layer did."""
        fired = []
        for layer, own in zip(self.layers, state.layers, strict=True):
            fired.append(layer.step(x, own, spike))
            x = layer.output(own.s)
        state.m = state.m + self.read(x)
        state.steps += 1
        return fired

    def read(self, outputs: Tensor) -> Tensor:
        """The readout V of the last layer's outputs (or of their traces), (B, C)."""
        return outputs.flatten(1) @ self.readout["V"]

    def biased(self, logits: Tensor) -> Tensor:
        """Logits with the readout's bias, if it has one."""
        return logits + self.readout["c"] if "c" in self.readout else logits

    def back(self, fired: list[Fired], error: Tensor) -> list[Tensor]:
        """dE/ds of every layer, of an error dE/d read(s) (B, C): through the layers, not time."""
        last = self.layers[-1]
        above = (error @ self.readout["V"].T).view(-1, *last.outputs)
        found = [last.output_back(above, fired[-1].s)]
        for k in range(len(self.layers) - 1, 0, -1):
            delta = found[0] * self.layers[k].psi(fired[k].u)
            below = self.layers[k].drive_back(delta).view(-1, *self.layers[k - 1].outputs)
            found.insert(0, self.layers[k - 1].output_back(below, fired[k - 1].s))
        return found
