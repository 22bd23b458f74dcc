# SPDX-License-Identifier: Apache-2.0
"""Traces Propagation as published: each update of each layer against autograd of its loss."""

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from labnets import CONSTANTS, NETWORKS, TRIANGLE, clip, labels, network, same, steps  # noqa: E402
from tracekws.lab.network import Constants, LabError, Layer  # noqa: E402
from tracekws.lab.rules.bptt import spike_with  # noqa: E402
from tracekws.lab.rules.tp import TracesPropagation  # noqa: E402


def loss(eps: "torch.Tensor", eps_target: "torch.Tensor", upstream: "torch.Tensor") -> torch.Tensor:
    """Eq. 13-15, sample by sample, (channels, places) each: means over the places."""
    total = torch.zeros(())
    eps, eps_target, upstream = (
        traces.reshape(*traces.shape[:2], -1) for traces in (eps, eps_target, upstream)
    )
    for b in range(len(eps)):
        z = torch.stack([(eps[b] * other).sum(0).mean() for other in eps_target])
        distance = [(upstream[b] - other).norm(dim=0).mean() for other in upstream]
        y = torch.softmax(-torch.stack(distance), 0).detach()
        total = total - (y * torch.log_softmax(z, 0)).sum()
    return total


def membrane(layer: Layer, current: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return layer.alpha * v + current


@pytest.mark.parametrize("constants", [CONSTANTS, TRIANGLE], ids=["arctan", "triangle"])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_step_descends_the_loss_of_each_layer(name: str, constants: Constants) -> None:
    net = network(name, constants)
    rule = TracesPropagation(network=net)
    truth = labels(5)
    fired = torch.zeros(())
    for x, before, found in steps(rule, clip(net.inputs, 5, 6), truth):
        assert isinstance(before, TracesPropagation)
        x_target = torch.eye(4)[truth]
        upstream = constants.beta * before.code_trace + x_target
        for k, layer in enumerate(net.layers):
            old = before.state.layers[k]
            spike = spike_with(layer.surrogate)
            weights = {n: w.clone().requires_grad_() for n, w in layer.weights.items()}
            kept, layer.weights = layer.weights, weights
            current = layer.drive(x) + weights.get("b", torch.zeros(()))
            if "R" in weights:
                current = current + old.s @ weights["R"]
            u = membrane(layer, current, old.v)
            current = layer.drive(x_target) if k else (x_target @ rule.fixed["S"]).view_as(u)
            u_target = membrane(layer, current, before.target.v[k])
            layer.weights = kept
            s, s_target = spike(u - layer.v_th), spike(u_target - layer.v_th)
            eps = constants.beta * before.eps[k] + layer.output(s)
            eps_target = constants.beta * before.eps_target[k] + layer.output(s_target)
            wanted = torch.autograd.grad(
                loss(eps, eps_target, upstream), list(weights.values()), allow_unused=True
            )
            for kind, gradient in zip(weights, wanted, strict=True):
                if gradient is not None and gradient.any():
                    same(found[f"{k}.{kind}"], gradient)
                else:
                    assert not found[f"{k}.{kind}"].any()
            x, x_target = layer.output(s).detach(), layer.output(s_target).detach()
            upstream = eps_target.detach()
            fired = fired + s.sum() * s_target.sum()
        trace = eps.flatten(1)
        error = torch.softmax(rule.state.m + net.readout["c"], 1) - torch.eye(4)[truth]
        same(found["V"], torch.einsum("bi,bc->ic", trace.detach(), error))
        same(found["c"], error.sum(0))
    assert fired > 0


def test_the_target_path_s_matrix_is_standardised_with_the_weights() -> None:
    s = TracesPropagation(network=network("maxima", standardised=True)).fixed["S"]
    assert s.shape == (4, 3 * 7 * 7)
    assert s.mean(0).abs().max() < 1e-6
    assert s.norm(dim=0).tolist() == pytest.approx([1.8] * 147, rel=1e-3)
    plain = TracesPropagation(network=network("maxima")).fixed["S"]
    assert plain.std().item() == pytest.approx(1, abs=0.1)


def test_weights_change_at_every_step() -> None:
    net = network("two layers")
    rule = TracesPropagation(network=net)
    truth = labels(5)
    rule.start(5, truth)
    for x in clip(net.inputs, 5, 6):
        before = {name: weights.clone() for name, weights in net.parameters().items()}
        rule.step(x)
        changed = [
            name for name, old in before.items() if not torch.equal(old, net.parameters()[name])
        ]
        assert {"0.W", "V"} <= set(changed)


def test_one_sample_has_no_contrast() -> None:
    rule = TracesPropagation(network=network("one layer"))
    with pytest.raises(LabError, match="two or more"):
        rule.start(1, torch.zeros(1, dtype=torch.int64))
