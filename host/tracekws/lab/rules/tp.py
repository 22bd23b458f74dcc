# SPDX-License-Identifier: Apache-2.0
"""Traces Propagation (TP) as published: contrast within a batch.

Pes, Yin, Stuijk, Corradi, "Traces Propagation: Memory-Efficient and Scalable Forward-Only Learning
in Spiking Neural Networks", arXiv 2509.13053. Its equations, b and b' samples of the batch, `~` the
target path:

    eps_t  = beta eps_{t-1} + s_t,   eps~_t = beta eps~_{t-1} + s~_t             (11, 12)
    z[b,b'] = eps_l[b] . eps~_l[b']
    y[b,b'] = softmax_b'( -|| eps~_{l-1}[b] - eps~_{l-1}[b'] ||_2 )
    E_l     = - sum_b' y[b,b'] log softmax_b'(z[b,b'])                       (13-15)
    dE/dW   = (softmax(z) - y)[b,b'] ( eps~_l[b'] psi(u[b]) x[b]
                                     + eps_l[b] psi(u~[b']) x~[b'] )             (18)

Nothing crosses a layer or a step. The one-hot label drives the first layer's neurons of the target
path through S, a fixed random matrix; deeper layers have the same W on both paths, hence the second
term. The target path has neither R nor b; those learn by the first term. The readout learns by the
delta rule (softmax(m) - c) eps_L, which is in the paper's experiments and not in its Algorithm 1.
All weights change after every step of the whole network.

Of a convolution, as in the authors' released program: s is what a pool passes on, and z and the
distance are means over the places of the plane, each of its channels alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softmax

from tracekws.lab.network import Fired, LabError, Network, heaviside, normal, standardised_weights
from tracekws.lab.rule import Gradients, Rule, numbered


class TargetPath:
    """The network as one-hot vectors drive it: the first layer by their rows of S, (N, H_1)."""

    def __init__(self, network: Network, rows: Tensor) -> None:
        """Start from rest."""
        self.layers = network.layers
        self.v = [torch.zeros(len(rows), *layer.shape) for layer in self.layers]
        self.current = rows.view_as(self.v[0])

    def step(self) -> list[Fired]:
        """One time step; the first layer has no x."""
        fired: list[Fired] = []
        x = torch.empty(0)
        for k, layer in enumerate(self.layers):
            current = layer.drive(x) if k else self.current
            u, s, self.v[k] = layer.fire(current, self.v[k], heaviside)
            fired.append(Fired(x, x, u, s))
            x = layer.output(s)
        return fired


def target_matrix(network: Network, scale: float, random: torch.Generator) -> Tensor:
    """S, (C, H_1): random of deviation `scale`, or standardised a neuron times `scale`.

    The latter where the network's weights are.
    """
    size = (network.classes, math.prod(network.layers[0].shape))
    drawn = normal(size, 1.0, random)
    return scale * (standardised_weights(drawn) if network.standardised else drawn)


@dataclass(eq=False, kw_only=True)
class TracesPropagation(Rule):
    """TP with the batch as its contrast: it needs two samples or more."""

    name = "tp"
    paper = "Pes et al. 2025, arXiv 2509.13053, eq. 11-18"
    summary = "Traces Propagation as published: contrast within the batch, every step"

    rate: float = 1e-4
    readout_rate: float = 1e-4
    gain: float = 1.0
    """Of the contrast's logits z; 1 as published."""
    target_scale: float = 1.0
    """Of S: see target_matrix."""

    def prepare(self) -> None:
        """Draw S."""
        self.fixed["S"] = target_matrix(self.network, self.target_scale, self.random)

    def begin(self) -> None:
        """Traces of both paths start at zero; that of the one-hot is the target path's layer 0."""
        if len(self.truth) < 2:
            raise LabError("tp contrasts the samples of a batch: it needs two or more (see device)")
        self.target = TargetPath(self.network, self.fixed["S"][self.labels])
        self.code_trace = torch.zeros_like(self.truth)
        shapes = [(len(self.truth), *layer.outputs) for layer in self.network.layers]
        self.eps = [torch.zeros(shape) for shape in shapes]
        self.eps_target = [torch.zeros(shape) for shape in shapes]

    def learn(self, fired: list[Fired]) -> None:
        """Eq. 11 to 18 in each layer, and the readout's delta rule."""
        beta = self.network.constants.beta
        target_fired = self.target.step()
        self.code_trace = beta * self.code_trace + self.truth
        upstream = self.code_trace
        gradients: Gradients = {}
        for k, layer in enumerate(self.network.layers):
            heard, target = fired[k], target_fired[k]
            self.eps[k] = beta * self.eps[k] + layer.output(heard.s)
            self.eps_target[k] = beta * self.eps_target[k] + layer.output(target.s)
            eps, eps_target = self.eps[k].flatten(1), self.eps_target[k].flatten(1)
            gain = self.gain / math.prod(layer.outputs[1:])
            error = gain * contrast_error(gain * eps @ eps_target.T, upstream)
            signal = layer.output_back((error @ eps_target).view_as(self.eps[k]), heard.s)
            own = layer.gradients(heard.x, heard.before, signal * layer.psi(heard.u))
            if k > 0:
                signal = layer.output_back((error.T @ eps).view_as(self.eps[k]), target.s)
                own["W"] += layer.gradient(target.x, signal * layer.psi(target.u))
            gradients |= numbered(k, own)
            upstream = self.eps_target[k]
        self.apply(gradients | self.readout_gradients(self.eps[-1], self.error()))


def contrast_error(z: Tensor, upstream: Tensor) -> Tensor:
    """softmax(z) - y, (B, B), of the contrast's logits and the target traces one layer below.

    Those are (B, H), or (B, channels, height, width).
    """
    places = upstream.view(*upstream.shape[:2], -1).permute(2, 0, 1).contiguous()
    distance = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist").mean(0)
    return softmax(z, 1) - softmax(-distance, 1)
