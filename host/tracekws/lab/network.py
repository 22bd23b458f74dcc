# SPDX-License-Identifier: Apache-2.0
"""Layers of a spiking network, as a task names them, and the constants of its neurons."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Dense:
    """A layer whose neurons each see the whole layer below."""

    size: int
    recurrent: bool = False


@dataclass(frozen=True)
class Conv:
    """A convolution with spiking neurons, then a pool of `pool` by `pool` spikes."""

    channels: int
    kernel: int = 3
    stride: int = 1
    pool: int = 1


LayerSpec = Dense | Conv


@dataclass(frozen=True)
class Constants:
    """Decay of membrane (alpha) and trace (beta) a step, threshold, surrogate derivative."""

    alpha: float
    beta: float
    v_th: float
    surrogate: Literal["arctan", "triangle"] = "arctan"
