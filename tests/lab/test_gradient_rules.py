# SPDX-License-Identifier: Apache-2.0
"""Rules that claim to follow a gradient, against one found in another way."""

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from torch.nn.functional import cross_entropy  # noqa: E402

from labnets import NETWORKS, clip, gradients, labels, network, same  # noqa: E402
from tracekws.lab.network import LabError, Network  # noqa: E402
from tracekws.lab.rules.bptt import Bptt, BpttDamped, spike_with  # noqa: E402
from tracekws.lab.rules.eprop import EProp, EPropRandom  # noqa: E402

Tensors = dict[str, "torch.Tensor"]
DENSE = [name for name in NETWORKS if name != "convolutions"]


def leaves(net: Network) -> Tensors:
    """The network's weights, followed by autograd from here on."""
    return {name: weights.requires_grad_(True) for name, weights in net.parameters().items()}


def released(net: Network, loss: "torch.Tensor") -> Tensors:
    """Gradients of a loss in all weights, which are followed no longer."""
    weights = net.parameters()
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    for values in weights.values():
        values.requires_grad_(False)
    return {n: g for n, g in zip(weights, found, strict=True) if g is not None}


@pytest.mark.parametrize(("rule", "damping"), [(Bptt, 1.0), (BpttDamped, 0.3)])
@pytest.mark.parametrize("neurons_differ", [False, True])
def test_bptt_is_the_recursion_backward_in_time(
    neurons_differ: bool, rule: type[Bptt], damping: float
) -> None:
    net = network("recurrent")
    layer = net.layers[0]
    if neurons_differ:
        layer.alpha = torch.linspace(0.5, 0.95, 9)
    events, truth = clip(net.inputs, 4, 12), labels(4)
    found = gradients(rule(network=net), events, truth)

    state, m, seen = net.rest(4), torch.zeros(4, 4), []
    for x in events:
        (fired,) = net.step(x, state)
        m = m + fired.s @ net.readout["V"]
        seen.append((fired, torch.softmax(m + net.readout["c"], 1) - torch.eye(4)[truth]))
    w, r = torch.zeros_like(layer.weights["W"]), torch.zeros_like(layer.weights["R"])
    v = torch.zeros_like(net.readout["V"])
    later, errors = torch.zeros(4, 9), torch.zeros(4, 4)
    for fired, error in reversed(seen):
        errors = errors + error  # m of this step is in all later ones
        v += fired.s.T @ errors
        from_spikes = errors @ net.readout["V"].T + later @ layer.weights["R"].T
        later = layer.alpha * later + damping * layer.psi(fired.u) * from_spikes
        w += fired.x.T @ later
        r += fired.before.T @ later
    same(found["0.W"], w)
    same(found["0.R"], r)
    same(found["V"], v)
    same(found["c"], sum((error for _, error in seen), torch.zeros(4, 4)).sum(0))


@pytest.mark.parametrize("neurons_differ", [False, True])
@pytest.mark.parametrize("name", ["one layer", "recurrent"])
def test_e_prop_is_bptt_with_last_step_s_spikes_held_constant(
    name: str, neurons_differ: bool
) -> None:
    net = network(name)
    if neurons_differ:
        net.layers[0].alpha = torch.linspace(0.5, 0.95, 9)
    events, truth = clip(net.inputs, 4, 12), labels(4)
    found = gradients(EProp(network=net), events, truth)
    leaves(net)
    state, loss = net.rest(4), torch.zeros(())
    for x in events:
        for own in state.layers:
            own.s = own.s.detach()
        net.step(x, state, spike_with(net.layers[0].surrogate))
        logits = net.biased(state.m)
        loss = loss + cross_entropy(logits, truth, reduction="sum")
    wanted = released(net, loss)
    assert set(found) == set(wanted)
    for kind in wanted:
        same(found[kind], wanted[kind])
    if name == "one layer":  # where nothing is left out
        whole = gradients(Bptt(network=net), events, truth)
        for kind in whole:
            same(found[kind], whole[kind])


def test_random_feedback_stands_in_for_the_readout() -> None:
    """Every layer descends the error times what its own fixed readout B would have integrated."""
    net = network("two layers")
    events, truth = clip(net.inputs, 4, 12), labels(4)
    rule = EPropRandom(network=net)
    found = gradients(rule, events, truth)
    leaves(net)
    state, loss = net.rest(4), torch.zeros(())
    counts = [torch.zeros(4, *layer.shape) for layer in net.layers]
    x_of_layer: list[torch.Tensor]
    for x in events:
        x_of_layer = [x]
        for k, (layer, own) in enumerate(zip(net.layers, state.layers, strict=True)):
            own.s = own.s.detach()
            fired = layer.step(x_of_layer[k], own, spike_with(layer.surrogate))
            counts[k] = counts[k] + fired.s
            x_of_layer.append(fired.s.detach())
        m = net.biased(net.read(counts[-1].detach()))
        error = (torch.softmax(m, 1) - torch.eye(4)[truth]).detach()
        loss = loss + sum(((counts[k] @ rule.fixed[f"B{k}"]) * error).sum() for k in range(2))
    wanted = released(net, loss)
    for kind in ("0.W", "0.R", "0.b", "1.W", "1.R"):
        same(found[kind], wanted[kind])


def test_symmetric_feedback_is_the_readout_s_and_below_it_random() -> None:
    assert set(EProp(network=network("two layers")).fixed) == {"B0"}
    assert set(EPropRandom(network=network("two layers")).fixed) == {"B0", "B1"}


def test_e_prop_refuses_convolutions() -> None:
    with pytest.raises(LabError, match="dense layers only"):
        EProp(network=network("convolutions"))


def test_bptt_counts_what_autograd_saves_and_lets_it_go() -> None:
    net = network("recurrent")
    rule = Bptt(network=net)
    rule.start(4, labels(4))
    sizes = []
    for x in clip(net.inputs, 4, 9):
        rule.step(x)
        sizes.append(len(rule.saved))
    assert min(b - a for a, b in pairwise(sizes)) > 0
    rule.finish()
    assert rule.saved == []
    assert not any(weights.requires_grad for weights in net.parameters().values())
