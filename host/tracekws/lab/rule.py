# SPDX-License-Identifier: Apache-2.0
"""The interface of every learning rule, and the few things that all rules share.

A rule is a dataclass whose fields are its settings. It hears a batch of clips of a Network:

    rule.start(batch, labels)              # labels None: inference, nothing is learned
    for x in events: rule.step(x)          # one time step, (B, *inputs)
    logits = rule.finish()                 # (B, C)

and says what it does in three methods: begin (make the traces), learn (one step) and end.
Gradients are dicts by the names of Network.parameters(), summed over the batch; `apply` takes their
mean, and every rule learns by the same few lines (Optimiser).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from tracekws.lab.network import Fired, LabError, Layer, Network, State

Gradients = dict[str, Tensor]
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass
class Optimiser:
    """Gradient descent, plain ("sgd") or by Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1)."""

    kind: str
    moments: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def descend(self, name: str, weights: Tensor, gradient: Tensor, rate: float) -> None:
        """Move weights, in place, down their gradient."""
        if self.kind == "sgd":
            weights.sub_(gradient, alpha=rate)
            return
        if name not in self.moments:
            self.moments[name] = (torch.zeros_like(weights), torch.zeros_like(weights))
        mean, square = self.moments[name]
        n = self.steps[name] = self.steps.get(name, 0) + 1
        mean.lerp_(gradient, 1 - BETA_1)
        square.lerp_(gradient * gradient, 1 - BETA_2)
        root = (square / (1 - BETA_2**n)).sqrt_().add_(EPSILON)
        weights.addcdiv_(mean, root, value=-rate / (1 - BETA_1**n))


@dataclass(eq=False, kw_only=True)
class Rule:
    """A learning rule on a network, and its settings; a subclass names itself and its paper."""

    name: ClassVar[str]
    paper: ClassVar[str]
    summary: ClassVar[str]

    network: Network
    seed: int = 0
    """Of what is fixed and random: S, feedback, local readouts."""
    rate: float = 1e-3
    """Of the layers' weights."""
    readout_rate: float = 1e-3
    """Of the readout."""
    optimiser: str = "adam"
    """"adam" or "sgd"."""
    update: str = "step"
    """When weights change: at every "step", or once a "clip", by the sum of its gradients."""

    def __post_init__(self) -> None:
        """Check the settings, and draw what is fixed."""
        choose("optimiser", self.optimiser, "adam", "sgd")
        choose("update", self.update, "step", "clip")
        self.descent = Optimiser(self.optimiser)
        self.random = torch.Generator().manual_seed(self.seed)
        self.fixed: dict[str, Tensor] = {}
        self.sums: Gradients = {}
        self.labels: Tensor | None = None
        self.prepare()

    def prepare(self) -> None:
        """Draw matrices that stay as they are into `fixed`, from `random`."""

    def begin(self) -> None:
        """Make what the rule keeps while it learns from a batch of clips; `truth` is set."""

    def learn(self, fired: list[Fired]) -> None:
        """Learn from a step that the network has just made."""

    def end(self) -> None:
        """Learn from the clips as a whole."""

    def start(self, batch: int, labels: Tensor | None) -> None:
        """Begin a batch of clips with the network at rest; labels (B,) if it shall learn."""
        self.labels, self.sums = labels, {}
        self.state: State = self.network.rest(batch)
        self.readout_trace: Tensor | None = None
        if labels is not None:
            self.truth = functional.one_hot(labels, self.network.classes).to(torch.float32)
            self.begin()

    def hear(
        self,
        batch: int,
        steps: Iterable[Tensor],
        labels: Tensor | None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """Start a batch and hear all its steps, each (B, *inputs); finish() is left to the caller.

        `after` is called after each step.
        """
        self.start(batch, labels)
        for x in steps:
            self.step(x)
            after()

    @torch.no_grad()
    def step(self, x: Tensor) -> None:
        """Hear one time step (B, *inputs), and learn from it."""
        fired = self.network.step(x, self.state)
        if self.labels is not None:
            self.learn(fired)

    @torch.no_grad()
    def finish(self) -> Tensor:
        """End the clips: what is left is learned; the logits (B, C) of before that.

        Raises:
            LabError: there was no step.
        """
        if self.state.steps == 0:
            raise LabError("a clip needs a step")
        logits = self.logits().detach()
        if self.labels is not None:
            self.end()
            self.descend(self.sums)
            self.sums = {}
        return logits

    def logits(self) -> Tensor:
        """The answer after the steps so far, (B, C)."""
        return self.network.biased(self.state.m)

    def apply(self, gradients: Mapping[str, Tensor]) -> None:
        """Use gradients, summed over the batch, when the setting `update` says."""
        if self.update == "step":
            self.descend(gradients)
            return
        for name, gradient in gradients.items():
            self.sums[name] = self.sums[name] + gradient if name in self.sums else gradient

    def descend(self, gradients: Mapping[str, Tensor]) -> None:
        """Move the weights down the mean of the batch's gradients."""
        for name, gradient in gradients.items():
            descend = partial(self.descent.descend, name, rate=self.rate_of(name))
            self.network.change(name, gradient / len(self.state.m), descend)

    def rate_of(self, name: str) -> float:
        """The learning rate of weights."""
        return self.readout_rate if name in self.network.readout else self.rate

    def error(self) -> Tensor:
        """softmax(m) - c of the readout so far, (B, C)."""
        return functional.softmax(self.logits(), 1) - self.truth

    def readout_gradients(self, trace: Tensor, error: Tensor) -> Gradients:
        """The readout's gradients: a trace of the last layer's output times an error (B, C)."""
        found = {"V": trace.flatten(1).T @ error}
        if "c" in self.network.readout:
            found["c"] = error.sum(0)
        return found

    def delta_rule(self, fired: list[Fired]) -> Gradients:
        """The local rule of the readout where a paper has no own: (softmax(m) - c) eps_L."""
        old, new = self.readout_trace, self.network.layers[-1].output(fired[-1].s)
        self.readout_trace = new if old is None else self.network.constants.beta * old + new
        return self.readout_gradients(self.readout_trace, self.error())

    def stored(self) -> dict[str, Tensor]:
        """All tensors that the rule keeps at this moment beside weights and labels, by name."""
        return {
            name: tensor
            for key, value in vars(self).items()
            if key != "labels"
            for name, tensor in tensors(key, value)
        }

    @classmethod
    def settings(cls) -> dict[str, object]:
        """What can be set, by name, with its default."""
        return {f.name: f.default for f in fields(cls) if f.name != "network"}


def choose(setting: str, value: str, *allowed: str) -> None:
    """Check a setting's value.

    Raises:
        LabError: it is none of those allowed.
    """
    if value not in allowed:
        raise LabError(f"{setting} '{value}': one of {', '.join(allowed)}")


def numbered(layer: int, gradients: Gradients) -> Gradients:
    """A layer's gradients by the network's names."""
    return {f"{layer}.{name}": gradient for name, gradient in gradients.items()}


class InputTraces:
    """What each layer has heard, as its membranes sum it up: x^ = alpha x^ + x; so the last spikes.

    Args:
        network: whose layers hear.
        state: its state, at rest.
        decay: in the place of alpha, if given.

    Raises:
        LabError: the neurons of a layer differ in alpha, so that no trace serves them all.
    """

    def __init__(self, network: Network, state: State, decay: float | None = None) -> None:
        """Start from silence."""
        self.network = network
        self.decays = []
        for layer in network.layers:
            if decay is None and isinstance(layer.alpha, Tensor):
                raise LabError("this rule needs neurons of one alpha in each layer")
            self.decays.append(float(layer.alpha if decay is None else decay))
        self.x = [torch.zeros(len(state.m), *layer.inputs) for layer in network.layers]
        self.before = {
            k: torch.zeros_like(own.v)
            for k, own in enumerate(state.layers)
            if "R" in network.layers[k].weights
        }
        self.one = [0.0] * len(self.decays)

    def step(self, fired: list[Fired]) -> None:
        """Hear one step."""
        for k, (decay, own) in enumerate(zip(self.decays, fired, strict=True)):
            self.x[k] = decay * self.x[k] + own.x.view_as(self.x[k])
            self.one[k] = decay * self.one[k] + 1
            if k in self.before:
                self.before[k] = decay * self.before[k] + own.before

    def gradients(self, k: int, delta: Tensor) -> Gradients:
        """Gradients of layer k, of delta = dE/du times these traces, by the network's names."""
        before = self.before.get(k, delta)
        return numbered(k, self.network.layers[k].gradients(self.x[k], before, delta, self.one[k]))


def tensors(name: str, value: object) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in dicts, lists, tuples and objects, with its path; networks are left out."""
    if isinstance(value, Tensor):
        yield name, value
        return
    if isinstance(value, Network | Layer):
        return
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    elif hasattr(value, "__dict__"):
        items = list(vars(value).items())
    else:
        return
    for key, part in items:
        yield from tensors(f"{name}.{key}", part)
