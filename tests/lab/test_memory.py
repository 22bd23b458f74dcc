# SPDX-License-Identifier: Apache-2.0
"""Who grows with what: bytes as the rules really keep them, against the orders of the papers."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from tracekws.lab.memory import (  # noqa: E402
    FORWARD,
    Operations,
    Size,
    bytes_of,
    crossing,
    learner,
    measure,
    picture,
    rows,
    stored_after,
    sweep,
)
from tracekws.lab.rules import RULES  # noqa: E402
from tracekws.lab.rules.bptt import Bptt  # noqa: E402

SMALL = Size(layers=2, width=32, classes=5, batch=4, steps=4)
ONLINE = [name for name, rule in RULES.items() if not issubclass(rule, Bptt)]


def state(name: str, **changed: int) -> int:
    """Bytes of a rule's state at a size, those of the network alone taken off."""
    size = replace(SMALL, **changed)
    own, alone = (bytes_of(stored_after(learner(kind, size), size)) for kind in (name, FORWARD))
    return own - alone - fixed(name, **changed)


def fixed(name: str, **changed: int) -> int:
    return bytes_of(learner(name, replace(SMALL, **changed)).fixed.values())


@pytest.mark.parametrize("name", ONLINE)
def test_what_a_rule_says_that_it_stores_is_all_that_is_alive(name: str) -> None:
    rule = learner(name, SMALL)

    def alive() -> list[torch.Tensor]:
        gc.collect()
        return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]

    before = {tensor.untyped_storage().data_ptr() for tensor in alive()}
    before -= {tensor.untyped_storage().data_ptr() for tensor in rule.stored().values()}
    labels = torch.arange(4)
    before.add(labels.untyped_storage().data_ptr())
    rule.start(4, labels)
    for _ in range(3):
        rule.step(torch.ones(4, 32))
    now = [t for t in alive() if t.untyped_storage().data_ptr() not in before]
    assert bytes_of(now) == bytes_of(rule.stored().values())


@pytest.mark.parametrize("name", ONLINE)
def test_an_online_rule_does_not_grow_with_time(name: str) -> None:
    assert state(name, steps=12) == state(name, steps=4)


def test_bptt_grows_with_time_layers_and_width() -> None:
    times = [state("bptt", steps=steps) for steps in (4, 8, 12)]
    assert times[2] - times[1] == times[1] - times[0]
    # at least u and the spikes of each neuron, and the input, at each of 4 steps
    assert times[1] - times[0] >= 4 * 4 * 4 * (2 * 2 * 32 + 32)
    assert state("bptt", width=64) == pytest.approx(2 * state("bptt"), rel=0.1)


@pytest.mark.parametrize("name", ["tp", "device", "ottt", "stllr", "decolle", "etlp"])
def test_traces_of_neurons_grow_with_the_width(name: str) -> None:
    wide, wider = state(name, width=64), state(name, width=128)
    assert wider == pytest.approx(2 * wide, rel=0.05)


@pytest.mark.parametrize("name", ["eprop", "eprop-random"])
def test_traces_of_synapses_grow_with_its_square(name: str) -> None:
    assert state(name, width=256) == pytest.approx(4 * state(name, width=128), rel=0.05)


@pytest.mark.parametrize("name", RULES)
def test_state_grows_with_the_layers(name: str) -> None:
    two, four, six = (state(name, layers=layers) for layers in (2, 4, 6))
    assert six - four == four - two


def test_traces_propagation_has_no_auxiliary_matrix_but_s() -> None:
    for layers in (1, 2, 4):
        assert fixed("tp", layers=layers) == 4 * 5 * 32
        # eps, eps~ and the target path's membrane; S x and the label's one-hot and trace
        assert state("tp", layers=layers) == 4 * 4 * (3 * layers * 32 + 32 + 2 * 5)
    assert state("tp", batch=8) == 2 * state("tp", batch=4)


def test_decolle_has_a_matrix_a_layer_that_grows_with_the_classes() -> None:
    for layers, classes in ((1, 5), (2, 5), (2, 50), (4, 50)):
        assert fixed("decolle", layers=layers, classes=classes) == 4 * layers * 32 * classes


def test_the_device_s_bank_is_a_trace_and_a_membrane_a_class_and_neuron() -> None:
    more = state("device", classes=9) - state("device", classes=5)
    one_hot = 4 * 4
    assert more == 4 * 4 * (2 * 2 * 32) + 4 * one_hot
    assert state("device", batch=1, classes=9) > state("device", batch=1, classes=5)


def test_more_classes_than_samples_is_not_enough_by_bytes() -> None:
    """The paper's claim counts one trace; the target path keeps a membrane too, and S is a matrix.

    A rule with a matrix a layer needs more than Traces Propagation from about 5 B classes with two
    layers and 3 B with four; with one layer never, since S is as large as the only matrix.
    """
    assert crossing(1, 2, most=64, width=64).classes is None
    two, four = crossing(2, 4, most=64, width=64), crossing(4, 4, most=64, width=64)
    assert two.classes is not None
    assert four.classes is not None
    assert 2 * 4 < four.classes < 4 * 4 < two.classes < 6 * 4


def test_work_is_counted() -> None:
    with Operations() as operations:
        product = torch.ones(3, 4) @ torch.ones(4, 5)
        product.mul_(2)
        product.view(-1)
    assert operations.count == 3 * 4 * 5 + 15
    size = Size(layers=1, width=256, classes=2, batch=2, steps=2)
    forward = measure(FORWARD, size).operations
    # W x and V s; alpha v, u, u - v_th, v_th s, v of each neuron; m
    assert forward == 2 * (256 * 256 + 256 * 2) + 5 * 2 * 256 + 2 * 2
    # DECOLLE: a gradient, its mean and a change of each weight beside it
    changing = 2 * 256 * 256 + 256 * 256 + 256 * 256
    assert measure("decolle", size).operations == pytest.approx(forward + changing, rel=0.05)


def test_costs_become_rows_and_a_picture(tmp_path: Path) -> None:
    costs = sweep("batch", (2, 3), ("tp", FORWARD))
    table = rows(costs)
    assert [(row["rule"], row["batch"]) for row in table] == [
        ("tp", 2),
        ("tp", 3),
        (FORWARD, 2),
        (FORWARD, 3),
    ]
    assert all(int(row["operations_a_step"]) > 0 for row in table)
    picture({"batch": costs, "steps": costs}, tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
