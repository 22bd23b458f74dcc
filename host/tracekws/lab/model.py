# SPDX-License-Identifier: Apache-2.0
"""The device's models in the lab: an image's numbers as a float network, a rule and its input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracekws._core import ffi, lib
from tracekws.core import Model, Weights
from tracekws.lab.network import Constants, Dense, LabError, Network
from tracekws.lab.rules.device import DeviceRule
from tracekws.modelfile import Convolution, convolution_of

FEATURE: float = 2.0**lib.TKWS_FEATURE_Q


@dataclass(frozen=True)
class Second:
    """A second layer over an image's own, which no image has yet, and what follows from it."""

    weights: dict[str, Tensor]
    """W (H, H_2), R (H_2, H_2) and b (H_2,)."""
    alpha: Tensor
    """(H_2,) decays of its membranes."""
    readout: dict[str, Tensor]
    """V (H_2, C) and c (C,), of its mean rates: in the place of the image's."""
    latent: tuple[Tensor, Tensor]
    """Its mean rates (n, H_2) and their classes (n,): in the place of the image's."""


def numbers(part: Any, name: str, shape: tuple[int, ...], bits: int, kind: str = "<i2") -> Tensor:
    """An array of an image, as numbers: of model.c or a struct in it; int16, or another kind."""
    n_bytes = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.frombuffer(bytes(ffi.buffer(getattr(part, name), n_bytes)), kind)
    return torch.from_numpy(raw.astype(np.float32)).view(shape) / 2.0**bits


def float_network(model: Model, second: Second | None = None) -> Network:
    """The network of an image: 80 filtered features in, one recurrent layer, decays of its own.

    With a second layer on its own, if there is one.

    Raises:
        LabError: the image's surrogate is not the lab's triangle.
    """
    h = model.header
    if h.surrogate_q != h.membrane_q:
        raise LabError(f"{model.name}: its surrogate is not as wide as the membrane's unit")
    constants = Constants(
        alpha=0.0,  # replaced by each neuron's own
        beta=h.trace_decay_q15 / 32768,
        v_th=h.threshold / 2.0**h.membrane_q,
        surrogate="triangle",
    )
    n, c = h.n_neurons, h.n_classes
    layer = Dense(n, recurrent=True, bias=True)
    network = Network((layer,), (h.n_inputs,), c, constants, readout_bias=True)
    network.layers[0].alpha = numbers(model.c, "decay", (n,), 15)
    set_trainable(network, model, Weights(model).state)
    return with_second(network, second) if second else network


def with_second(network: Network, second: Second) -> Network:
    """The network of an image with a second layer on its own."""
    (first,) = network.layers
    specs = [
        Dense(len(layer["b"]), recurrent=True, bias=True)
        for layer in (first.weights, second.weights)
    ]
    stacked = Network(specs, network.inputs, network.classes, network.constants, readout_bias=True)
    stacked.layers[0] = first
    stacked.layers[1].alpha = second.alpha
    for name, values in second.weights.items():
        stacked.layers[1].weights[name].copy_(values)
    for name, values in second.readout.items():
        stacked.readout[name].copy_(values)
    return stacked


def set_trainable(network: Network, model: Model, state: bytes) -> None:
    """Set a model's network to trainable weights as the device sends them."""
    h = model.header
    weights = network.parameters()
    bits = {"0.W": h.weight_q, "0.R": h.recurrent_q, "0.b": h.membrane_q}
    at = 0
    raw = np.frombuffer(state, "<i2").astype(np.float32)
    for name in ("0.W", "0.R", "0.b", "V", "c"):
        part = torch.from_numpy(raw[at : at + weights[name].numel()])
        at += len(part)
        # the image has a row of W a neuron
        rows = part.view(weights[name].T.shape).T if name == "0.W" else part.view_as(weights[name])
        weights[name].copy_(rows / 2.0 ** bits.get(name, lib.TKWS_LOGIT_Q))


def device_rule(model: Model) -> DeviceRule:
    """The device's rule with a model's network, target path and rates."""
    h = model.header
    rule = DeviceRule(
        network=float_network(model),
        rate=h.rate_bias / 2.0 ** (16 + h.membrane_q),
        readout_rate=h.rate_readout / 2.0 ** (16 + lib.TKWS_LOGIT_Q),
        readout_bias_rate=h.rate_readout_bias / 2.0 ** (16 + lib.TKWS_LOGIT_Q),
        gain=h.contrast_gain_q8 / 256 * h.n_neurons**0.5,
    )
    rule.fixed["S"] = numbers(model.c, "target", (h.n_classes, h.n_neurons), h.membrane_q)
    return rule


def latent_of(model: Model, second: Second | None = None) -> tuple[Tensor, Tensor]:
    """The image's latent replay, or the second layer's: mean rates (n, H), and classes (n,)."""
    if second:
        return second.latent
    h = model.header
    size = h.n_latent * (1 + h.n_neurons)
    raw = np.frombuffer(bytes(ffi.buffer(model.c.latent, size)), np.uint8)
    rows = torch.from_numpy(raw.reshape(h.n_latent, 1 + h.n_neurons).astype(np.float32))
    return rows[:, 1:] / 256, rows[:, 0].to(torch.int64)


def convolved(convolution: Convolution, features: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the core's convolution makes of features (..., T, 80): (..., T, 80), exact."""
    *others, steps, inputs = features.shape
    _, n_frames, width = convolution.weights.shape
    margin, before = convolution.margin, n_frames - lib.TKWS_STACK
    frames = features.reshape(-1, lib.TKWS_STACK * steps, lib.TKWS_CHANNELS).astype(np.float64)
    heard = np.pad(frames / FEATURE, ((0, 0), (before, 0), (margin, margin)))
    patches = np.lib.stride_tricks.sliding_window_view(heard, (n_frames, width), axis=(1, 2))
    patches = patches[:, :: lib.TKWS_STACK, :: convolution.stride]
    sums = np.einsum("nsbfw,kfw->nskb", patches, convolution.weights)
    sums += convolution.bias[:, None]
    out: NDArray[np.int8] = np.clip(np.floor(sums * FEATURE + 0.5), 0, 127).astype(np.int8)
    return out.reshape(*others, steps, inputs)


def filtered(model: Model, features: NDArray[np.int8]) -> Tensor:
    """What the core's inputs are of features (..., T, 80): (..., T, 80), exact."""
    h = model.header
    if convolution := convolution_of(model):
        features = convolved(convolution, features)
    size = h.n_taps * h.n_inputs
    taps = np.frombuffer(bytes(ffi.buffer(model.c.taps, size)), np.int8).reshape(h.n_taps, -1)
    before = np.zeros((*features.shape[:-2], h.n_taps - 1, h.n_inputs), np.int32)
    heard = np.concatenate([before, features], axis=-2)
    steps = features.shape[-2]
    sums = sum(
        taps[k].astype(np.int32) * heard[..., h.n_taps - 1 - k : h.n_taps - 1 - k + steps, :]
        for k in range(h.n_taps)
    )
    half = 1 << (lib.TKWS_TAP_Q - 1)
    inputs = np.clip((sums + half) >> lib.TKWS_TAP_Q, -128, 127)
    return torch.from_numpy(inputs.astype(np.float32)) / FEATURE
