# SPDX-License-Identifier: Apache-2.0
"""The lab's layers: dynamics by hand, gradients against autograd, Adam by its paper."""

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from labnets import CONSTANTS, NETWORKS, clip, labels, network, same  # noqa: E402
from tracekws.lab.network import (  # noqa: E402
    Constants,
    Conv,
    Dense,
    LabError,
    Network,
)
from tracekws.lab.rule import Optimiser  # noqa: E402
from tracekws.lab.rules.bptt import Bptt, spike_with  # noqa: E402


def test_a_neuron_integrates_fires_and_resets_in_this_order() -> None:
    net = Network((Dense(1, recurrent=True),), (1,), 2, Constants(alpha=0.5, beta=0.9, v_th=1.0))
    layer = net.layers[0]
    layer.weights["W"].fill_(0.8)
    layer.weights["R"].fill_(-0.25)
    net.readout["V"][:] = torch.tensor([[1.0, -2.0]])
    state = net.rest(1)
    seen = []
    for _ in range(4):
        (fired,) = net.step(torch.ones(1, 1), state)
        seen.append((fired.u.item(), fired.s.item(), state.layers[0].v.item()))
    # u: 0.8; 0.4 + 0.8; 0.5 * 0.2 + 0.8 - 0.25; 0.5 * 0.65 + 0.8
    expected = [(0.8, 0, 0.8), (1.2, 1, 0.2), (0.65, 0, 0.65), (1.125, 1, 0.125)]
    assert seen == [pytest.approx(row, abs=1e-6) for row in expected]
    assert state.m.tolist() == [[2.0, -4.0]]


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_a_layer_are_those_of_autograd(name: str) -> None:
    net = network(name)
    for layer in net.layers:
        x = torch.randn(3, *layer.inputs, requires_grad=True)
        s = torch.randn(3, *layer.shape, requires_grad=True)
        state = net.rest(3).layers[net.layers.index(layer)]
        state.s = before = torch.randn(3, *layer.shape)
        for weights in layer.weights.values():
            weights.requires_grad_(True)
        delta = torch.randn(3, *layer.shape)
        u = layer.step(x, state).u
        wanted = torch.autograd.grad((u * delta).sum(), [x, *layer.weights.values()])
        found = layer.gradients(x, before, delta)
        same(layer.drive_back(delta), wanted[0])
        for weights, gradient in zip(layer.weights, wanted[1:], strict=True):
            same(found[weights], gradient)
        outputs = layer.output(s)
        above = torch.randn_like(outputs)
        (wanted_s,) = torch.autograd.grad((outputs * above).sum(), s)
        same(layer.output_back(above, s.detach()), wanted_s)


@pytest.mark.parametrize("name", ["convolutions", "maxima"])
def test_gradients_back_through_the_layers_are_those_of_autograd(name: str) -> None:
    net = network(name)
    state = net.rest(2)
    for x in clip(net.inputs, 2, 4):
        net.step(x, state)
    x = torch.rand(2, *net.inputs, requires_grad=True)
    fired = net.step(x, state, spike_with(net.layers[0].surrogate))
    error = torch.randn(2, net.classes)
    logits = net.read(net.layers[-1].output(fired[-1].s))
    wanted = torch.autograd.grad((logits * error).sum(), [own.s for own in fired])
    for found, expected in zip(net.back(fired, error), wanted, strict=True):
        same(found, expected)


def test_a_pool_passes_on_the_mean_or_the_maximum() -> None:
    s = torch.tensor([[[[1.0, 0, 0, 0, 1], [1, 0, 0, 0, 1]]]])
    above = torch.tensor([[[[8.0, 4.0]]]])
    # The fifth column is in no pool; the first of equal spikes has the maximum.
    expected = {
        "mean": ([0.5, 0.0], [[2.0, 2, 1, 1, 0], [2, 2, 1, 1, 0]]),
        "max": ([1.0, 0.0], [[8.0, 0, 4, 0, 0], [0, 0, 0, 0, 0]]),
    }
    for pooling, (passed, back) in expected.items():
        conv = Conv(1, pool=2, pooling=pooling)
        layer = Network((conv,), (1, 2, 5), 2, CONSTANTS).layers[0]
        assert layer.output(s).flatten().tolist() == passed
        assert layer.output_back(above, s)[0, 0].tolist() == back


def standard(raw: "torch.Tensor") -> "torch.Tensor":
    """1.8 (w - mean) / root(variance x inputs + 1e-5) of each neuron."""
    inputs = (0,) if raw.ndim == 2 else (1, 2, 3)
    variance, mean = torch.var_mean(raw, inputs, correction=0, keepdim=True)
    fan_in = raw.shape[0] if raw.ndim == 2 else raw[0].numel()
    return 1.8 * (raw - mean) / (variance * fan_in + 1e-5).sqrt()


@pytest.mark.parametrize("name", ["two layers", "convolutions"])
def test_weights_are_standardised_a_neuron(name: str) -> None:
    net = network(name, standardised=True)
    assert {n for n in net.parameters() if n.endswith("W") or n == "V"} == set(net.raw)
    for weights, raw in ((net.parameters()[n], raw) for n, raw in net.raw.items()):
        torch.testing.assert_close(weights, standard(raw))
        a_neuron = weights.T if weights.ndim == 2 else weights.flatten(1)
        assert a_neuron.mean(1).abs().max() < 1e-6
        assert a_neuron.norm(dim=1).tolist() == pytest.approx([1.8] * len(a_neuron), rel=1e-4)


@pytest.mark.parametrize("name", ["two layers", "convolutions", "maxima"])
def test_standardised_weights_descend_by_the_gradient_of_the_raw_ones(name: str) -> None:
    """BPTT on the network, against autograd through the standardisation as well."""
    net, other = (network(name, standardised=True) for _ in range(2))
    events, truth = clip(net.inputs, 4, 6), labels(4)
    raw = {n: values.clone().requires_grad_() for n, values in net.raw.items()}
    for k, layer in enumerate(other.layers):
        layer.weights["W"] = standard(raw[f"{k}.W"])
    other.readout["V"] = standard(raw["V"])
    state, loss = other.rest(4), torch.zeros(())
    for x in events:
        other.step(x, state, spike_with(other.layers[0].surrogate))
        logits = other.biased(state.m)
        loss = loss + torch.nn.functional.cross_entropy(logits, truth, reduction="mean")
    wanted = torch.autograd.grad(loss, list(raw.values()))
    before = {n: values.clone() for n, values in net.raw.items()}
    rule = Bptt(network=net, optimiser="sgd", rate=0.1, readout_rate=0.1)
    rule.start(4, truth)
    for x in events:
        rule.step(x)
    rule.finish()
    for n, gradient in zip(raw, wanted, strict=True):
        same((before[n] - net.raw[n]) / 0.1, gradient)
        torch.testing.assert_close(net.parameters()[n], standard(net.raw[n]))


@pytest.mark.parametrize("name", ["arctan", "triangle"])
def test_a_surrogate_is_the_slope_of_a_step_from_0_to_1(name: str) -> None:
    layer = Network((Dense(1),), (1,), 2, Constants(0.5, 0.9, 1.0, name)).layers[0]
    u = torch.linspace(-999, 1001, 2_000_001, dtype=torch.float64)
    assert layer.psi(torch.tensor(1.0)).item() == 1
    assert torch.trapezoid(layer.psi(u), u).item() == pytest.approx(1, abs=1e-3)


def test_vgg_9_runs() -> None:
    specs = [Conv(c, pool=p) for c, p in ((4, 1), (8, 2), (8, 1), (8, 2), (8, 1), (8, 2))]
    net = Network((*specs, Conv(8), Conv(8, pool=2)), (2, 32, 32), 10, CONSTANTS)
    state = net.rest(2)
    for x in clip(net.inputs, 2, 3):
        net.step(x, state)
    assert net.layers[-1].outputs == (8, 2, 2)
    assert state.m.shape == (2, 10)


@pytest.mark.parametrize(
    ("specs", "inputs", "constants", "message"),
    [
        ((), (3,), CONSTANTS, "needs a layer"),
        ((Dense(3), Conv(2)), (3,), CONSTANTS, "3 dimensions, not 1"),
        ((Conv(2, pool=9),), (1, 8, 8), CONSTANTS, "leaves nothing of an input of 8 x 8"),
        ((Conv(2, pooling="sum"),), (1, 8, 8), CONSTANTS, "pooling 'sum': mean or max"),
        ((Dense(3),), (3,), Constants(0.5, 0.5, 1.0, "step"), "'step': one of arctan, triangle"),
    ],
)
def test_an_impossible_network_is_refused(
    specs: tuple[Dense | Conv, ...], inputs: tuple[int, ...], constants: Constants, message: str
) -> None:
    with pytest.raises(LabError, match=message):
        Network(specs, inputs, 2, constants)


def test_the_optimisers_are_the_textbook_s() -> None:
    """Adam by the lines of its paper's algorithm 1, with its constants, in float64."""
    plain, adam = torch.ones(5), torch.ones(5)
    expected_plain = torch.ones(5, dtype=torch.float64)
    expected, m, v = (torch.full((5,), x, dtype=torch.float64) for x in (1.0, 0.0, 0.0))
    sgd, optimiser = Optimiser("sgd"), Optimiser("adam")
    for t in range(1, 21):
        g = torch.randn(5, generator=torch.Generator().manual_seed(t))
        sgd.descend("w", plain, g, 0.1)
        optimiser.descend("w", adam, g, 0.1)
        expected_plain = expected_plain - 0.1 * g.double()
        m = 0.9 * m + (1 - 0.9) * g.double()
        v = 0.999 * v + (1 - 0.999) * g.double() ** 2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        expected = expected - 0.1 * m_hat / (v_hat.sqrt() + 1e-8)
    torch.testing.assert_close(plain.double(), expected_plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(adam.double(), expected, rtol=1e-5, atol=1e-5)
