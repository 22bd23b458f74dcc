# SPDX-License-Identifier: Apache-2.0
"""Small networks, clips and a spy on gradients, for the tests of the lab's rules."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tracekws.lab.network import Constants, Conv, Dense, LayerSpec, Network
from tracekws.lab.rule import Gradients, Rule

CONSTANTS = Constants(alpha=0.8, beta=0.9, v_th=0.66, weight_scale=2.0)
TRIANGLE = Constants(alpha=0.8, beta=0.9, v_th=1.0, surrogate="triangle", weight_scale=2.0)
NETWORKS: dict[str, tuple[tuple[int, ...], tuple[LayerSpec, ...]]] = {
    "one layer": ((12,), (Dense(9),)),
    "recurrent": ((12,), (Dense(9, recurrent=True),)),
    "two layers": ((12,), (Dense(9, recurrent=True, bias=True), Dense(7, recurrent=True))),
    "convolutions": (
        (2, 7, 7),
        (Conv(3, pool=2, bias=True), Conv(4, kernel=2, stride=2), Dense(6, recurrent=True)),
    ),
    "maxima": ((2, 7, 7), (Conv(3, pool=2, pooling="max"), Conv(4, pool=2, pooling="max"))),
}


def network(
    name: str, constants: Constants = CONSTANTS, classes: int = 4, standardised: bool = False
) -> Network:
    """One of the networks above."""
    inputs, specs = NETWORKS[name]
    return Network(specs, inputs, classes, constants, 3, True, standardised)


def clip(shape: Sequence[int], batch: int, steps: int, seed: int = 0) -> Tensor:
    """Random events, (T, B, *shape)."""
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, *shape, generator=random) < 0.4).to(torch.float32)


def labels(batch: int, classes: int = 4) -> Tensor:
    """Labels with repeats."""
    return torch.arange(batch) * 5 // 3 % classes


def frozen(rule: Rule) -> Rule:
    """The rule with its weights held still: gradients are kept in rule.sums until finish()."""
    rule.update = "clip"
    rule.rate = rule.readout_rate = 0.0
    return rule


def gradients(rule: Rule, events: Tensor, truth: Tensor) -> Gradients:
    """The sum of a rule's gradients over a clip, at weights held still."""
    kept: Gradients = {}
    frozen(rule).descend = kept.update  # type: ignore[assignment, method-assign]
    rule.start(len(truth), truth)
    for x in events:
        rule.step(x)
    rule.finish()
    return kept


def steps(rule: Rule, events: Tensor, truth: Tensor) -> Iterator[tuple[Tensor, Rule, Gradients]]:
    """Of every step its input, the rule as it was before it, and the gradients that it gave."""
    frozen(rule).start(len(truth), truth)
    for x in events:
        rule.sums = {}
        before = copy.deepcopy(rule)
        rule.step(x)
        yield x, before, rule.sums


def same(found: Tensor, expected: Tensor) -> None:
    """Equal to within float32's rounding, and not all zero."""
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5 * scale)
