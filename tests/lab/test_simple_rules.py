# SPDX-License-Identifier: Apache-2.0
"""Readout only and nearest prototype, by hand; what holds for every rule."""

import math
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from labnets import CONSTANTS, clip, labels, network  # noqa: E402
from tracekws.lab.network import Constants, Dense, Fired, LabError, Network  # noqa: E402
from tracekws.lab.rule import Rule, numbered  # noqa: E402
from tracekws.lab.rules import RULES  # noqa: E402
from tracekws.lab.rules.prototype import Prototype  # noqa: E402
from tracekws.lab.rules.readout import ReadoutOnly  # noqa: E402


def follower(size: int, classes: int = 2) -> Network:
    """A network whose neurons repeat their input: u = 2 x, threshold 1, no memory to speak of."""
    net = Network((Dense(size),), (size,), classes, Constants(0.0, 0.5, 1.0))
    net.layers[0].weights["W"][:] = 2 * torch.eye(size)
    net.readout["V"].zero_()
    return net


def test_the_readout_learns_by_the_delta_rule() -> None:
    net = follower(1)
    rule = ReadoutOnly(network=net, optimiser="sgd", readout_rate=0.8)
    rule.start(1, torch.tensor([0]))
    rule.step(torch.ones(1, 1))
    # m = 0: p = 1/2, 1/2; trace 1
    assert net.readout["V"].tolist() == [[pytest.approx(0.4), pytest.approx(-0.4)]]
    rule.step(torch.ones(1, 1))
    # m = 0 + (0.4, -0.4): p = 1 / (1 + e^-0.8); trace 0.5 + 1
    p = 1 / (1 + math.exp(-0.8))
    step = 0.8 * 1.5 * (1 - p)
    assert net.readout["V"][0].tolist() == [pytest.approx(0.4 + step), pytest.approx(-0.4 - step)]
    assert rule.finish()[0].tolist() == [pytest.approx(0.4), pytest.approx(-0.4)]


def test_a_prototype_is_the_mean_rate_of_its_clips() -> None:
    rule = Prototype(network=follower(3))
    events = torch.tensor([[[1.0, 1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0, 0], [1, 1, 0], [0, 0, 1]]])
    truth = torch.tensor([0, 0, 1])
    for _ in range(2):  # the same clips again do not move a mean
        rule.start(3, truth)
        for x in events:
            rule.step(x)
        rule.finish()
        assert rule.rates.tolist() == [[1.0, 0.5, 0], [0, 0, 1]]
    rule.start(1, None)
    rule.step(torch.tensor([[1.0, 0, 1]]))
    cosines = [1 / math.sqrt(1.25 * 2), 1 / math.sqrt(2)]
    assert rule.finish()[0].tolist() == pytest.approx(cosines, abs=1e-6)
    assert rule.clips.flatten().tolist() == [4, 2]


@pytest.mark.parametrize("name", RULES)
def test_hearing_without_labels_changes_nothing_and_learning_something(name: str) -> None:
    net = network("two layers")
    rule = RULES[name](network=net)
    events, truth = clip(net.inputs, 5, 8), labels(5)

    def hear(labels: "torch.Tensor | None") -> torch.Tensor:
        rule.start(5, labels)
        for x in events:
            rule.step(x)
        return rule.finish()

    def state() -> dict[str, torch.Tensor]:
        kept = rule.stored() if name == "prototype" else {}
        return {n: w.clone() for n, w in {**net.parameters(), **kept}.items()}

    before = state()
    first = hear(None)
    assert first.shape == (5, 4)
    assert all(torch.equal(values, before[n]) for n, values in net.parameters().items())
    assert torch.equal(hear(None), first)
    hear(truth)
    changed = {
        n for n, values in state().items() if n in before and not torch.equal(values, before[n])
    }
    expected = {"readout": {"V", "c"}, "prototype": {"rates", "clips"}}
    assert changed == expected.get(name, set(net.parameters()))
    assert not torch.equal(hear(None), first)


@pytest.mark.parametrize("name", [name for name in RULES if name != "prototype"])
def test_learning_makes_a_clip_more_likely(name: str) -> None:
    net = Network((Dense(40, recurrent=True),), (20,), 3, CONSTANTS, seed=1)
    rule = RULES[name](network=net, **({} if name == "device" else {"readout_rate": 1e-2}))
    events, truth = clip((20,), 6, 10), labels(6, 3)

    def loss(labels: "torch.Tensor | None") -> float:
        rule.start(6, labels)
        for x in events:
            rule.step(x)
        return float(torch.nn.functional.cross_entropy(rule.finish(), truth))

    before = loss(None)
    for _ in range(15):
        loss(truth)
    assert loss(None) < 0.85 * before


@pytest.mark.parametrize("name", RULES)
def test_every_rule_says_what_it_is(name: str) -> None:
    rule = RULES[name]
    assert rule.name == name
    assert rule.paper
    assert rule.summary
    assert {"rate", "readout_rate", "optimiser", "update", "seed"} <= set(rule.settings())
    assert rule.__doc__


@dataclass(eq=False, kw_only=True)
class Feedback(Rule):
    """A rule of one's own: the error, sent back by fixed random weights, times the input."""

    name = "feedback"
    paper = "Nokland 2016, arXiv 1609.01596, without traces"
    summary = "direct feedback alignment of each step"
    scale: float = 0.1

    def prepare(self) -> None:
        for k, layer in enumerate(self.network.layers):
            size = (self.network.classes, math.prod(layer.shape))
            self.fixed[f"B{k}"] = self.scale * torch.randn(size, generator=self.random)

    def learn(self, fired: list[Fired]) -> None:
        gradients = self.delta_rule(fired)
        for k, (layer, own) in enumerate(zip(self.network.layers, fired, strict=True)):
            signal = (self.error() @ self.fixed[f"B{k}"]).view_as(own.u) * layer.psi(own.u)
            gradients |= numbered(k, layer.gradients(own.x, own.before, signal))
        self.apply(gradients)


@pytest.mark.parametrize("name", ["two layers", "convolutions"])
def test_a_rule_of_one_s_own_is_a_screen_of_code(name: str) -> None:
    net = network(name)
    rule = Feedback(network=net)
    assert rule.settings()["scale"] == 0.1
    before = {n: w.clone() for n, w in net.parameters().items()}
    rule.start(3, labels(3))
    for x in clip(net.inputs, 3, 8):
        rule.step(x)
    rule.finish()
    assert all(not torch.equal(w, before[n]) for n, w in net.parameters().items())


@pytest.mark.parametrize("name", [name for name in RULES if name != "prototype"])
def test_every_rule_learns_with_standardised_weights(name: str) -> None:
    net = network("two layers" if name.startswith("eprop") else "maxima", standardised=True)
    rule = RULES[name](network=net)
    before = {n: w.clone() for n, w in net.parameters().items()}
    for _ in range(2):
        rule.start(5, labels(5))
        for x in clip(net.inputs, 5, 8):
            rule.step(x)
        rule.finish()
    for n, weights in net.parameters().items():
        assert torch.equal(weights, before[n]) == (name == "readout" and n not in ("V", "c"))
    for n in net.raw:
        weights = net.parameters()[n]
        a_neuron = weights.T if weights.ndim == 2 else weights.flatten(1)
        assert a_neuron.norm(dim=1).tolist() == pytest.approx([1.8] * len(a_neuron), rel=1e-4)


@pytest.mark.parametrize("name", RULES)
def test_a_clip_without_a_step_is_refused(name: str) -> None:
    rule = RULES[name](network=network("one layer"))
    rule.start(2, labels(2))
    with pytest.raises(LabError, match="needs a step"):
        rule.finish()


def test_a_setting_that_does_not_exist_is_refused() -> None:
    net = network("one layer")
    with pytest.raises(LabError, match="optimiser 'lion': one of adam, sgd"):
        Rule(network=net, optimiser="lion")
    with pytest.raises(LabError, match="update 'never': one of step, clip"):
        Rule(network=net, update="never")
