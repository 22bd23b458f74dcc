# SPDX-License-Identifier: Apache-2.0
"""The network against the equations of network.h in floating point."""

from typing import Any

import numpy as np
import pytest

from images import make_image
from machine import E, Machine, Memory, parse, random_features
from tracekws._core import ffi, lib

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": {"n_neurons": 40},
    "one neuron": {"n_neurons": 1, "arrays": {"bias": [700]}},
    "odd sizes": {"n_neurons": 37, "n_classes": 7, "window_steps": 3},
    "a window of one step": {"n_neurons": 20, "window_steps": 1},
    "most classes": {"n_neurons": 20, "n_classes": 32},
    "fine membrane": {"n_neurons": 30, "weight_q": 15, "recurrent_q": 15, "membrane_q": 14}
    | {"threshold": 16383},
    "coarse membrane": {"n_neurons": 30, "weight_q": 15, "recurrent_q": 15, "membrane_q": 4}
    | {"threshold": 16},
    "no shift at all": {"n_neurons": 30, "weight_q": 4, "recurrent_q": 8, "membrane_q": 8}
    | {"threshold": 256},
    "one tap": {"n_taps": 1},
    "most taps": {"n_taps": 16},
    "taps that saturate": {"n_taps": 2, "arrays": {"taps": np.tile([127, -128], 80)}},
    "many neurons": {"n_neurons": 1024, "window_steps": 60},
}


class Reference:
    """One step from the core's own state, in floating point; results in units of the last bit."""

    def __init__(self, machine: Machine) -> None:
        h = machine.header
        self.h = h
        one = 2.0**h.membrane_q
        self.w = machine.w["weights"] / 2.0**h.weight_q * one
        self.r = machine.w["recurrent"] / 2.0**h.recurrent_q * one
        self.b = machine.w["bias"].astype(float)
        self.decay = machine.array(machine.network.decay, h.n_neurons) / 32768

        stored = ffi.buffer(machine.network.model.taps, h.n_taps * h.n_inputs)
        self.taps = np.frombuffer(stored, np.int8).reshape(h.n_taps, h.n_inputs) / 64.0
        self.heard = np.zeros((h.n_taps, h.n_inputs))

    def filter(self, features: np.ndarray) -> np.ndarray:
        """Inputs, in units of a feature's last bit, from this step's features and those before."""
        self.heard = np.vstack([features, self.heard[:-1]])
        inputs: np.ndarray = np.clip((self.taps * self.heard).sum(0), -128, 127)
        return inputs

    def potential(self, membrane: np.ndarray, fired: np.ndarray, inputs: np.ndarray) -> Any:
        u = self.decay * membrane + self.w @ (inputs / 16.0) + fired @ self.r + self.b
        return np.clip(u, -32768, 32767)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_step_follows_the_equations(name: str) -> None:
    machine = Machine(make_image(seed=3, **CONFIGURATIONS[name]))
    h, net = machine.header, machine.network
    reference = Reference(machine)
    readouts: list[np.ndarray] = []
    membrane, fired = np.zeros(h.n_neurons), np.zeros(h.n_neurons)
    n_fired = 0.0
    for row in random_features(5, 3 * h.window_steps + 20):
        machine.step(row)
        inputs = machine.array(net.inputs, h.n_inputs)
        assert np.abs(inputs - reference.filter(row)).max() <= 0.5
        u = machine.array(net.potential, h.n_neurons).astype(float)
        # three roundings of half a bit
        assert np.abs(u - reference.potential(membrane, fired, inputs)).max() <= 1.5 + 1e-9
        fired = (u > h.threshold).astype(float)
        n_fired += fired.mean()
        assert (machine.spikes() == fired).all()
        membrane = machine.array(net.membrane, h.n_neurons).astype(float)
        assert (membrane == u - h.threshold * fired).all()
        readouts.append(fired @ machine.w["readout"])
        window = readouts[-h.window_steps :]
        scores = np.mean(window, axis=0) + machine.w["readout_bias"]
        assert np.abs(machine.scores() - scores).max() < 1  # the mean is cut off
    assert n_fired > 0
    assert machine.is_intact()


def test_a_run_of_its_own_stays_with_the_float_network() -> None:
    machine = Machine(make_image(seed=1, n_neurons=64))
    h, reference = machine.header, Reference(machine)
    membrane, fired = np.zeros(h.n_neurons), np.zeros(h.n_neurons)
    agreed, n_steps = 0, 200
    for row in random_features(2, n_steps):
        machine.step(row)
        u = reference.potential(membrane, fired, np.floor(reference.filter(row) + 0.5))
        fired = (u > h.threshold).astype(float)
        membrane = u - h.threshold * fired
        agreed += int((machine.spikes() == fired).sum())
    assert agreed / (n_steps * h.n_neurons) > 0.99


@pytest.mark.parametrize(("sign", "limit"), [(1, 32767), (-1, -32768)])
def test_membranes_saturate(sign: int, limit: int) -> None:
    extreme = np.int64(32767 if sign > 0 else -32768)
    arrays = {name: extreme for name in ("weights", "recurrent", "bias", "readout")}
    full = {
        name: np.full(shape, v)
        for (name, v), shape in zip(arrays.items(), [(9, 80), (9, 9), (9,), (9, 5)], strict=True)
    }
    machine = Machine(make_image(n_neurons=9, weight_q=6, membrane_q=10, arrays=full))
    for _ in range(30):
        machine.step(np.full(80, 127, np.int8))
        u = machine.array(machine.network.potential, 9)
        assert (u == limit).all()
        assert machine.spikes().all() == (sign > 0)
        expected = limit - (machine.header.threshold if sign > 0 else 0)
        assert (machine.array(machine.network.membrane, 9) == expected).all()


def test_the_largest_window_of_the_largest_readout_fits() -> None:
    n, steps = 1024, 63  # window_steps * n_neurons at most 65,535
    arrays = {"bias": np.full(n, 32767), "readout": np.full((n, 5), -32768)}
    machine = Machine(make_image(n_neurons=n, window_steps=steps, arrays=arrays))
    machine.w["recurrent"][:] = 0
    machine.w["weights"][:] = 0
    machine.w["readout_bias"][:] = 0
    for _ in range(steps + 3):
        machine.step(np.zeros(80, np.int8))
    assert machine.spikes().all()
    assert (machine.scores() == -32768 * n).all()


def test_reset_is_as_a_fresh_start() -> None:
    image = make_image(seed=8, n_neurons=24)
    machine, fresh = Machine(image), Machine(image)
    for row in random_features(1, 17):
        machine.step(row)
    lib.tkws_network_reset(machine.network)
    assert (machine.scores() == machine.w["readout_bias"]).all()
    for row in random_features(2, 17):
        machine.step(row)
        fresh.step(row)
        assert (machine.scores() == fresh.scores()).all()


@pytest.mark.parametrize("features", [-128, -1, 0, 127])
def test_features_of_any_int8_are_taken(features: int) -> None:
    machine = Machine(make_image(n_neurons=16))
    reference = Reference(machine)
    row = np.full(80, features, np.int8)
    machine.step(row)
    u = machine.array(machine.network.potential, 16)
    inputs = machine.array(machine.network.inputs, 80)
    assert np.abs(inputs - reference.filter(row)).max() <= 0.5
    zeros = np.zeros(16)
    assert np.abs(u - reference.potential(zeros, zeros, inputs)).max() <= 1.5


@pytest.mark.parametrize("what", ["network", "learner", "recognizer"])
@pytest.mark.parametrize("wrong", ["too small by one", "misaligned", "null", "nothing"])
def test_bad_memory_is_refused_and_nothing_touched(what: str, wrong: str) -> None:
    machine = Machine(make_image(n_neurons=7, n_classes=3))
    model = machine.model.pointer
    sizes = {
        "network": lib.tkws_network_memory_bytes(model),
        "learner": lib.tkws_learner_memory_bytes(model),
        "recognizer": lib.tkws_network_memory_bytes(model),
    }
    state = ffi.new(f"tkws_{what} *")
    ffi.memmove(state, b"\x5a" * ffi.sizeof(state[0]), ffi.sizeof(state[0]))
    memory = Memory(sizes[what] + 4)
    before = memory.bytes.copy()
    pointer, n_bytes = {
        "too small by one": (memory.pointer, sizes[what] - 1),
        "misaligned": (memory.pointer + 2, sizes[what]),
        "null": (ffi.NULL, sizes[what]),
        "nothing": (memory.pointer, 0),
    }[wrong]
    if what == "learner":
        result = lib.tkws_learner_init(state, machine.network, pointer, n_bytes, 1)
    else:
        init = getattr(lib, f"tkws_{what}_init")
        result = init(state, model, machine.weights, pointer, n_bytes)
    assert result == E["MEMORY"]
    assert set(bytes(ffi.buffer(state))) == {0x5A}
    assert (memory.bytes == before).all()


def test_memory_sizes_grow_with_the_model_as_stated() -> None:
    def sizes(**fields: int) -> tuple[int, int]:
        owner = parse(make_image(**fields))
        model = owner.pointer
        return lib.tkws_network_memory_bytes(model), lib.tkws_learner_memory_bytes(model)

    small = sizes(n_neurons=10, n_classes=4, window_steps=10, n_taps=3)
    # an int8 a tap and an int16, of each input; five int16 and one int32 a neuron; an int32 a class
    # and step, and one a class
    assert small[0] == 80 * (3 + 2) + 10 * (5 * 2 + 4) + 4 * 4 * 10 + 4 * 4
    # trace and count, and the bank's trace and membrane
    assert small[1] == 10 * 2 * 2 + 2 * 4 * 10 * 2
