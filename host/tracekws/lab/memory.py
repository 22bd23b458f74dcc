# SPDX-License-Identifier: Apache-2.0
"""What a rule keeps in memory and what it computes, measured on the tensors that it really has.

A rule learns from one batch of clips of random events; just before the clips end, the storages of
all its tensors are added up, each once (Rule.stored(); what autograd saves for BPTT is among them).
Weights are not counted, nor are an optimiser's moments or sums of gradients over a clip: these are
the same for every rule that is run in the same way, one or two numbers a weight.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tracekws.figure import write_figure
from tracekws.lab.network import Constants, Dense, Network
from tracekws.lab.rule import Rule
from tracekws.lab.rules import RULES

aten = torch.ops.aten
NAMES = ("add", "sub", "mul", "div", "addcmul", "addcdiv", "lerp", "pow", "sqrt", "exp")
ELEMENTWISE = {op for n in NAMES for op in (getattr(aten, n), getattr(aten, n + "_", None))}
"""Operations that count one for each number of their result."""


@dataclass(frozen=True)
class Size:
    """A network of dense layers, as wide as its input, and what it hears."""

    layers: int = 2
    width: int = 64
    classes: int = 10
    batch: int = 8
    steps: int = 50


@dataclass(frozen=True)
class Cost:
    """What a rule needs at a size."""

    rule: str
    size: Size
    state: int
    """Bytes of membranes, traces and saved tensors, the network's own state included."""
    fixed: int
    """Bytes of auxiliary matrices that stay as they are: S, feedback, local readouts."""
    operations: int
    """Multiply-adds a step for the whole batch, learning included."""

    @property
    def total(self) -> int:
        """Bytes of both."""
        return self.state + self.fixed


SWEEPS: dict[str, tuple[int, ...]] = {
    "steps": (10, 30, 100, 300, 1000, 2000),
    "layers": (1, 2, 4, 8),
    "width": (32, 64, 128, 256, 512),
    "classes": (2, 10, 50, 200, 1000),
    "batch": (2, 8, 32, 128),
}
"""What is varied, one at a time, the rest as in Size()."""
COUNTED_STEPS = 10
FORWARD = "forward"
"""The network alone, as it infers: in the place of a rule's name."""


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of the tensors' storages, each counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


class Operations(TorchDispatchMode):
    """Counts multiply-adds: of products as torch's own table has them, else one a number."""

    def __init__(self) -> None:
        """Start from zero."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            self.count += flop_registry[packet](*args, **kwargs, out_val=result) // 2
        elif packet in ELEMENTWISE:
            self.count += result.numel()
        return result


def learner(name: str, size: Size) -> Rule:
    """A rule, or a network alone (FORWARD), at a size; it keeps no sums and no moments."""
    constants = Constants(alpha=0.9, beta=0.9, v_th=1.0, weight_scale=3.0)
    network = Network([Dense(size.width)] * size.layers, (size.width,), size.classes, constants)
    kind = Rule if name == FORWARD else RULES[name]
    return kind(network=network, optimiser="sgd", update="step")


def stored_after(rule: Rule, size: Size) -> list[Tensor]:
    """Learn from a batch of clips of random events: all tensors at the end of its last step."""
    labels = torch.arange(size.batch) % size.classes
    random = torch.Generator().manual_seed(0)
    steps = (
        (torch.rand(size.batch, size.width, generator=random) < 0.3).float()
        for _ in range(size.steps)
    )
    rule.hear(size.batch, steps, None if type(rule) is Rule else labels)
    stored = list(rule.stored().values())
    rule.finish()
    return stored


def measure(name: str, size: Size) -> Cost:
    """The cost of a rule, or of the network alone (FORWARD), over one batch of clips.

    Work is the same at every step, BPTT's way back included: it is counted on a few.
    """
    rule = learner(name, size)
    fixed = bytes_of(rule.fixed.values())
    state = bytes_of(stored_after(rule, size)) - fixed
    few = min(size.steps, COUNTED_STEPS)
    again = learner(name, size)
    with Operations() as operations:
        stored_after(again, replace(size, steps=few))
    return Cost(name, size, state, fixed, operations.count // few)


def sweep(axis: str, values: Sequence[int], names: Iterable[str] = (FORWARD, *RULES)) -> list[Cost]:
    """Costs along one axis of Size, the rest as it stands there."""
    return [measure(name, replace(Size(), **{axis: value})) for name in names for value in values]


@dataclass(frozen=True)
class Claim:
    """How many classes a fixed matrix a layer must have to cost more than Traces Propagation."""

    layers: int
    batch: int
    classes: int | None
    """The smallest number at which TP needs fewer bytes than DECOLLE; None: not up to `most`."""
    most: int


def crossing(layers: int, batch: int, most: int = 4096, width: int = 128) -> Claim:
    """Put the paper's claim to the test, by bisection over the number of classes.

    The claim: Traces Propagation has the advantage over rules with an auxiliary matrix a layer
    where there are more classes than samples in a batch. Here by bytes, all that each keeps: not
    only a trace but a membrane too of the target path, and S, which is one such matrix itself. So
    it takes more: with L layers about (2 L + 1) / (L - 1) times the batch.
    """

    def wins(classes: int) -> bool:
        size = Size(layers, width, classes, batch, steps=1)
        tp, decolle = (
            bytes_of(stored_after(learner(name, size), size)) for name in ("tp", "decolle")
        )
        return tp < decolle

    if not wins(most):
        return Claim(layers, batch, None, most)
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if wins(middle) else (middle, high)
    return Claim(layers, batch, high, most)


def rows(costs: Iterable[Cost]) -> list[dict[str, int | str]]:
    """Costs as flat rows for a table or for JSON."""
    return [
        {
            "rule": cost.rule,
            **vars(cost.size),
            "state_bytes": cost.state,
            "fixed_bytes": cost.fixed,
            "operations_a_step": cost.operations,
        }
        for cost in costs
    ]


MARKERS = "osv^D*Pp<>hXd"
"""Of the rules' lines."""


def picture(sweeps: Mapping[str, Sequence[Cost]], path: Path) -> None:
    """Draw who grows with what: bytes, and under them operations a step, a column an axis."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(sweeps), 7.5), layout="constrained")
    grid = figure.subplots(2, len(sweeps), sharey="row", squeeze=False)
    lines = {}
    for column, (axis, costs) in enumerate(sweeps.items()):
        for row, what in enumerate(("total", "operations")):
            axes = grid[row][column]
            for number, name in enumerate((FORWARD, *RULES)):
                own = [cost for cost in costs if cost.rule == name]
                x = [getattr(cost.size, axis) for cost in own]
                y = [getattr(cost, what) for cost in own]
                marker, colour = MARKERS[number % len(MARKERS)], colormaps["tab20"](number % 20)
                style = "--" if name == FORWARD else "-"
                (line,) = axes.plot(x, y, style, marker=marker, markersize=4, color=colour)
                if own:
                    lines[name] = line
            axes.set_xscale("log")
            axes.set_yscale("log")
            values = sorted({getattr(cost.size, axis) for cost in costs})
            axes.set_xticks(values, [f"{value:,}" for value in values])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            axes.set_xlabel(axis)
    grid[0][0].set_ylabel("bytes beside the weights")
    grid[1][0].set_ylabel("multiply-adds a step")
    figure.legend(list(lines.values()), list(lines), loc="outside right center")
    write_figure(figure, path)
