# SPDX-License-Identifier: Apache-2.0
"""OTTT, S-TLLR, DECOLLE, ETLP: against autograd with the paths cut that they cut, and by hand."""

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from torch.nn.functional import cross_entropy  # noqa: E402

from labnets import NETWORKS, clip, gradients, labels, network, same  # noqa: E402
from tracekws.lab.network import Fired, LabError, Network  # noqa: E402
from tracekws.lab.rule import Rule  # noqa: E402
from tracekws.lab.rules.bptt import spike_with  # noqa: E402
from tracekws.lab.rules.decolle import Decolle  # noqa: E402
from tracekws.lab.rules.etlp import Etlp  # noqa: E402
from tracekws.lab.rules.ottt import Ottt  # noqa: E402
from tracekws.lab.rules.stllr import Stllr  # noqa: E402

Loss = Callable[[list["torch.Tensor"], "torch.Tensor"], "torch.Tensor"]
"""Of a step: the layers' spikes, and m of the step before, as a constant."""


def cut(net: Network, events: "torch.Tensor", lowest: int, loss: Loss) -> dict[str, "torch.Tensor"]:
    """Gradients of the sum of a loss in layer `lowest`, by autograd.

    Spikes of the step before are constants, and so are the membranes of the layers above: what
    remains is time within the layer and space above it.
    """
    weights = net.layers[lowest].weights
    for values in weights.values():
        values.requires_grad_(True)
    state, total = net.rest(events.shape[1]), torch.zeros(())
    for x in events:
        m = state.m.detach()
        for k, own in enumerate(state.layers):
            own.s = own.s.detach()
            if k > lowest:
                own.v = own.v.detach()
        fired = net.step(x, state, spike_with(net.layers[0].surrogate))
        total = total + loss([own.s for own in fired], m)
    found = torch.autograd.grad(total, list(weights.values()))
    for values in weights.values():
        values.requires_grad_(False)
    return {f"{lowest}.{name}": g for name, g in zip(weights, found, strict=True)}


@pytest.mark.parametrize("name", NETWORKS)
def test_ottt_is_autograd_through_a_layer_s_time_and_the_space_above_it(name: str) -> None:
    net = network(name)
    events, truth = clip(net.inputs, 4, 8), labels(4)
    found = gradients(Ottt(network=net), events, truth)

    def loss(spikes: list[torch.Tensor], m: torch.Tensor) -> torch.Tensor:
        now = net.biased(net.read(net.layers[-1].output(spikes[-1])))
        return cross_entropy(now, truth, reduction="sum")

    for k in range(len(net.layers)):
        for kind, wanted in cut(net, events, k, loss).items():
            same(found[kind], wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_s_tllr_without_its_own_terms_is_that_too_of_the_integrated_readout(name: str) -> None:
    net = network(name)
    events, truth = clip(net.inputs, 4, 8), labels(4)
    rule = Stllr(network=net, alpha_post=0, lambda_pre=net.constants.alpha)
    found = gradients(rule, events, truth)

    def loss(spikes: list[torch.Tensor], m: torch.Tensor) -> torch.Tensor:
        now = net.biased(m + net.read(net.layers[-1].output(spikes[-1])))
        return cross_entropy(now, truth, reduction="sum")

    for k in range(len(net.layers)):
        for kind, wanted in cut(net, events, k, loss).items():
            same(found[kind], wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_decolle_descends_each_layer_s_own_loss(name: str) -> None:
    net = network(name)
    events, truth = clip(net.inputs, 4, 8), labels(4)
    rule = Decolle(network=net)
    found = gradients(rule, events, truth)
    for k, layer in enumerate(net.layers):

        def loss(spikes: list[torch.Tensor], m: torch.Tensor) -> torch.Tensor:
            y = layer.output(spikes[k]).flatten(1) @ rule.fixed[f"G{k}"]  # noqa: B023
            return 0.5 * ((y - torch.eye(4)[truth]) ** 2).sum()

        for kind, wanted in cut(net, events, k, loss).items():
            same(found[kind], wanted)


def run(
    rule: Rule, events: "torch.Tensor", truth: "torch.Tensor"
) -> list[tuple[Fired, torch.Tensor]]:
    """What the only layer did at each step, and softmax(m) - c after it."""
    net, seen = rule.network, []
    state = net.rest(len(truth))
    for x in events:
        (fired,) = net.step(x, state)
        error = torch.softmax(net.biased(state.m), 1) - torch.eye(net.classes)[truth]
        seen.append((fired, error))
    return seen


@pytest.mark.parametrize("first", [0, 3])
def test_s_tllr_is_its_double_sum(first: int) -> None:
    net = network("recurrent")
    events, truth = clip(net.inputs, 4, 8), labels(4)
    settings = {"alpha_pre": 0.7, "alpha_post": -0.4, "lambda_pre": 0.6, "lambda_post": 0.3}
    rule = Stllr(network=net, first=first, **settings)
    found = gradients(rule, events, truth)
    seen = run(rule, events, truth)
    psi = [net.layers[0].psi(fired.u) for fired, _ in seen]
    for kind, heard in (
        ("0.W", [own.x for own, _ in seen]),
        ("0.R", [own.before for own, _ in seen]),
    ):
        total = torch.zeros(())
        for t in range(first, len(events)):
            e = torch.zeros(())
            for past in range(t + 1):
                product = torch.einsum("bi,bj->bij", heard[past], psi[t])
                e = e + 0.7 * 0.6 ** (t - past) * product
            for past in range(t):
                product = torch.einsum("bi,bj->bij", heard[t], psi[past])
                e = e - 0.4 * 0.3 ** (t - past) * product
            slope = seen[t][1] @ net.readout["V"].T
            total = total + torch.einsum("bj,bij->ij", slope, e)
        same(found[kind], total)


@pytest.mark.parametrize(("period", "voltage"), [(1, 0.0), (3, 0.0), (2, 0.5)])
def test_etlp_is_its_three_factors_at_its_events(period: int, voltage: float) -> None:
    net = network("recurrent")
    layer, alpha = net.layers[0], net.constants.alpha
    events, truth = clip(net.inputs, 4, 8), labels(4)
    rule = Etlp(network=net, period=period, voltage=voltage)
    found = gradients(rule, events, truth)
    seen = run(rule, events, truth)
    w, r, v = torch.zeros(()), torch.zeros(()), torch.zeros(())
    for t in range(period - 1, len(events), period):
        fired, error = seen[t]
        for b, label in enumerate(truth.tolist()):
            third = -rule.fixed["B0"][label]
            u = fired.u[b]
            for j in range(len(u)):
                if abs(u[j]) > layer.v_th:
                    third = third + voltage * u[j] * torch.eye(len(u))[j]
            factor = third * layer.psi(u)
            for past in range(t + 1):
                kept = alpha ** (t - past)
                w = w + kept * torch.outer(seen[past][0].x[b], factor)
                r = r + kept * torch.outer(seen[past][0].before[b], factor)
                s = net.constants.beta ** (t - past) * seen[past][0].s[b]
                v = v + torch.outer(s, error[b])
    same(found["0.W"], w)
    same(found["0.R"], r)
    same(found["V"], v)


@pytest.mark.parametrize("rule", [Ottt, Decolle, Etlp])
def test_one_trace_for_all_neurons_needs_one_alpha(rule: type[Rule]) -> None:
    net = network("one layer")
    net.layers[0].alpha = torch.linspace(0.5, 0.9, 9)
    with pytest.raises(LabError, match="one alpha"):
        rule(network=net).start(2, labels(2))
