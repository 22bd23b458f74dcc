# SPDX-License-Identifier: Apache-2.0
"""Learning against the equations of learner.h in floating point, step by step.

Each step is checked from the core's own traces, so that errors do not add up: the change of every
weight must be the exact one to within its stochastic rounding, and right on average.
"""

from typing import Any

import numpy as np
import pytest

from images import make_image
from machine import E, Machine, check, int8s, random_features
from tracekws._core import ffi, lib

READOUT, TRACES = lib.TKWS_LEARN_READOUT, lib.TKWS_LEARN_TRACES
LATENT, SEQUENCES = lib.TKWS_LEARN_LATENT, lib.TKWS_LEARN_SEQUENCES
ALL = READOUT | TRACES | LATENT | SEQUENCES
RATES = ("weights", "recurrent", "bias", "readout", "readout_bias")


LARGEST = 1 << 30


def rates(value: int) -> dict[str, int]:
    """All rates the same, as far as the input weights' may go."""
    limited = {"weights": min(value, 1 << 24)}
    return {f"rate_{kind}": limited.get(kind, value) for kind in RATES}


ONE_NEURON = {"bias": [700], "target": [[100], [400], [900], [0], [2000]]}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": {"n_neurons": 40},
    "large rates": {"n_neurons": 24, **rates(1 << 22)},
    "largest rates": {"n_neurons": 12, **rates(LARGEST), "trace_decay_q15": 8000},
    "tiny rates": {"n_neurons": 24, **rates(50)},
    "short traces": {"n_neurons": 24, "trace_decay_q15": 0, **rates(1 << 16)},
    "wide surrogate": {"n_neurons": 24, "surrogate_q": 14, **rates(1 << 16)},
    "narrow surrogate": {"n_neurons": 24, "surrogate_q": 4, **rates(1 << 16)},
    "no gain": {"n_neurons": 24, "contrast_gain_q8": 0, **rates(1 << 16)},
    "largest gain": {"n_neurons": 24, "contrast_gain_q8": 1 << 20, **rates(1 << 16)},
    "many classes": {"n_neurons": 24, "n_classes": 32, **rates(1 << 18)},
    "one neuron": {"n_neurons": 1, "arrays": ONE_NEURON, "surrogate_q": 14, **rates(1 << 20)},
}


def softmax(x: np.ndarray) -> np.ndarray:
    power = np.exp(x - x.max())
    return np.asarray(power / power.sum())


class Checker:
    """Collects differences between changes made and changes due, in units of the last bit."""

    def __init__(self) -> None:
        self.surplus: list[np.ndarray] = []
        self.variance: list[np.ndarray] = []
        self.sign: list[np.ndarray] = []
        self.largest = 0.0

    def compare(
        self, before: np.ndarray, after: np.ndarray, due: np.ndarray, slack: np.ndarray | float
    ) -> None:
        wanted = np.clip(before.astype(float) + due, -32768, 32767)
        difference = after - wanted
        assert (np.abs(difference) <= 1 + slack).all()
        inside = np.abs(before.astype(float) + due) < 32000
        part = due - np.floor(due)
        self.surplus.append(difference[inside].ravel())
        self.variance.append((part * (1 - part))[inside].ravel())
        self.sign.append(np.sign(due)[inside].ravel())
        self.largest = max(self.largest, float(np.abs(due).max()))

    def check_mean(self, bias: float = 0.0) -> None:
        """Rounding is right on average, and neither shrinks nor stretches the changes.

        The sums of the differences, as they are and along the change due, are within 5
        standard errors.
        """
        surplus, variance = np.concatenate(self.surplus), np.concatenate(self.variance)
        assert self.largest > 0
        allowed = 5 * np.sqrt(variance.sum()) + 1 + bias * len(surplus)
        assert abs(surplus.sum()) <= allowed
        assert abs((surplus * np.concatenate(self.sign)).sum()) <= allowed


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("scale_q15", [32767, 9000])
def test_every_step_changes_the_weights_as_the_rule_says(name: str, scale_q15: int) -> None:
    machine = Machine(make_image(seed=4, **CONFIGURATIONS[name]), seed=77)
    h, net, learner = machine.header, machine.network, machine.learner
    n, c = h.n_neurons, h.n_classes
    beta, gain, label = h.trace_decay_q15 / 32768, h.contrast_gain_q8 / 256, 1
    scale = scale_q15 / 32768
    decay = machine.array(net.decay, n) / 32768
    stored = ffi.buffer(net.model.target, 2 * c * n)
    target = np.frombuffer(stored, "<i2").reshape(c, n).astype(float)
    trace, bank, membrane = np.zeros(n), np.zeros((c, n)), np.zeros((c, n))
    checker, fired = Checker(), np.zeros(n)
    check(lib.tkws_learner_begin(learner, TRACES, label, scale_q15))
    for row in random_features(6, 40):
        before, previous = machine.state(), fired
        check(lib.tkws_learner_step(learner, int8s(row)))
        u = machine.array(net.potential, n).astype(float)
        inputs = machine.array(net.inputs, h.n_inputs).astype(float)
        fired = machine.spikes().astype(float)

        # eq. 12: the bank is driven by S alone
        target_u = decay * membrane + target
        membrane = machine.array(learner.bank_membrane, c, n).astype(float)
        near = np.abs(target_u - h.threshold) <= 1
        target_fired = (target_u > h.threshold).astype(float)
        off = np.abs(membrane - (target_u - h.threshold * target_fired))
        assert (off[~near] <= 0.51).all()
        # so near to the threshold, take the core's decision
        target_fired[near] = (target_u[near] - membrane[near] > h.threshold / 2).astype(float)

        # eq. 11 and 12: traces, one rounding a step
        for mine, theirs, spikes in (
            (trace, learner.trace, fired),
            (bank, learner.bank_trace, target_fired),
        ):
            expected = beta * mine + (1 - beta) * spikes
            mine[:] = machine.array(theirs, *mine.shape) / 32768
            assert np.abs(mine - expected).max() <= 1.6 / 32768

        # eq. 14 and the learning signal
        error = softmax(gain * bank @ trace)
        error[label] -= 1
        signal = error @ bank
        psi = np.maximum(0, 1 - np.abs(u - h.threshold) / 2**h.surrogate_q)
        gradient = signal * psi
        # what rounding can do to the gradient: products in Q15, and a softmax good to 0.001 whose
        # logits are off by half a bit a neuron
        off_p = 0.001 + 0.5 * gain * n * 0.5 / 32768
        off_gradient = (min(off_p, 1) * bank.sum(0) + (c + 4) / 32768) * (psi > 0)

        for kind, due, slack in (
            ("weights", np.outer(gradient, inputs), np.abs(np.outer(off_gradient, inputs))),
            ("recurrent", np.outer(previous, gradient), np.outer(previous, off_gradient)),
            ("bias", gradient, off_gradient),
        ):
            unit = getattr(h, f"rate_{kind}") * scale / 65536
            checker.compare(before[kind], machine.w[kind], -due * unit, slack * unit + 1e-3)
        assert (machine.w["readout"] == before["readout"]).all()
        assert (machine.w["readout_bias"] == before["readout_bias"]).all()
        off_mean = off_gradient.mean() * h.rate_weights * scale / 65536 * 25
    checker.check_mean(bias=min(off_mean, 0.02) + 0.003)
    assert machine.is_intact()


def integral_of_triangle(z: np.ndarray) -> np.ndarray:
    """A smooth step whose derivative is the triangle surrogate of half width 1."""
    z = np.clip(z, -1, 1)
    return np.where(z < 0, (1 + z) ** 2 / 2, 1 - (1 - z) ** 2 / 2)


def test_the_change_is_down_the_slope_of_the_contrast_loss() -> None:
    """Finite differences of the cross-entropy of the contrast, one layer and one step.

    With the spike replaced by a step whose slope is the surrogate, and all that came before held
    constant, dE/dW is gain (1 - beta) times the rule's gradient.
    """
    fields = {"trace_decay_q15": 16384, "contrast_gain_q8": 2 << 8, "surrogate_q": 11}
    as_heard = {"taps": np.full(80, 64)}
    machine = Machine(
        make_image(seed=2, n_taps=1, arrays=as_heard, n_neurons=16, **fields, **rates(1 << 24))
    )
    h, net, learner = machine.header, machine.network, machine.learner
    label, n_before = 2, 6
    features = random_features(3, n_before + 1)
    check(lib.tkws_learner_begin(learner, TRACES, label, 32767))
    for row in features[:n_before]:
        machine.step(row)  # network only
    rng = np.random.default_rng(0)
    for theirs, shape in ((learner.trace, (16,)), (learner.bank_trace, (5, 16))):
        memory = np.frombuffer(ffi.buffer(theirs, 2 * int(np.prod(shape))), np.int16)
        memory[:] = rng.integers(0, 32768, memory.shape)
    old_trace = machine.array(learner.trace, 16) / 32768
    fired_before = machine.spikes().astype(float)
    membrane = machine.array(net.membrane, 16) / 1024
    decay = machine.array(net.decay, 16) / 32768
    before = machine.state()
    check(lib.tkws_learner_step(learner, int8s(features[-1])))
    x = machine.array(net.inputs, 80) / 16
    bank = machine.array(learner.bank_trace, 5, 16) / 32768
    fired = machine.spikes()
    beta, gain = h.trace_decay_q15 / 32768, h.contrast_gain_q8 / 256

    def loss(w: np.ndarray, r: np.ndarray, b: np.ndarray) -> float:
        u = decay * membrane + w @ x + fired_before @ r + b
        soft = integral_of_triangle((u - 1) / (2**h.surrogate_q / 1024))
        here = integral_of_triangle((u0 - 1) / (2**h.surrogate_q / 1024))
        spikes = fired + soft - here  # the spikes as they are, with the surrogate's slope
        eps = beta * old_trace + (1 - beta) * spikes
        return float(-np.log(softmax(gain * bank @ eps)[label]))

    w, r, b = before["weights"] / 4096, before["recurrent"] / 4096, before["bias"] / 1024
    u0 = decay * membrane + w @ x + fired_before @ r + b
    psi_height = 1024 / 2**h.surrogate_q  # of the derivative in u: a triangle of area 1
    rate_lsb = (1 << 24) / 65536
    step, compared = 1e-5, 0
    for j in range(16):
        for i in range(0, 80, 9):
            up, down = w.copy(), w.copy()
            up[j, i] += step
            down[j, i] -= step
            slope = (loss(up, r, b) - loss(down, r, b)) / (2 * step)
            # dE/dW = gain (1 - beta) L psi x with x the input over 16
            due = -rate_lsb * slope * 16 / (gain * (1 - beta) * psi_height)
            got = int(machine.w["weights"][j, i]) - int(before["weights"][j, i])
            assert abs(got - due) <= 1.5 + 0.01 * abs(due)
            compared += abs(due) > 50
        for i in range(16):
            up, down = r.copy(), r.copy()
            up[i, j] += step
            down[i, j] -= step
            slope = (loss(w, up, b) - loss(w, down, b)) / (2 * step)
            due = -rate_lsb * slope / (gain * (1 - beta) * psi_height)
            got = int(machine.w["recurrent"][i, j]) - int(before["recurrent"][i, j])
            assert abs(got - due) <= 1.5 + 0.01 * abs(due)
            compared += abs(due) > 5
    assert compared > 50


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_readout_learns_by_the_delta_rule(name: str) -> None:
    checker = Checker()
    for seed in range(20):
        machine = Machine(make_image(seed=seed, **CONFIGURATIONS[name]), seed=seed + 1)
        h, label = machine.header, seed % machine.header.n_classes
        before, count = machine.state(), np.zeros(h.n_neurons)
        check(lib.tkws_learner_begin(machine.learner, READOUT, label, 32767))
        features = random_features(seed, 50)
        for row in features:
            check(lib.tkws_learner_step(machine.learner, int8s(row)))
            count += machine.spikes()
        check(lib.tkws_learner_end(machine.learner))
        compare_readout(checker, machine, before, count / len(features), label)
        for kind in ("weights", "recurrent", "bias"):
            assert (machine.w[kind] == before[kind]).all()
    # softmax cuts its results off to 15 bits
    checker.check_mean(bias=0.01 + h.rate_readout / 2**31)


def compare_readout(
    checker: Checker, machine: Machine, before: dict[str, np.ndarray], rate: np.ndarray, label: int
) -> None:
    h = machine.header
    error = softmax((rate @ before["readout"] + before["readout_bias"]) / 1024)
    error[label] -= 1
    step = h.rate_readout / 65536 * np.outer(rate, error)
    bias_step = h.rate_readout_bias / 65536 * error
    slack = 0.002 * h.rate_readout / 65536
    checker.compare(before["readout"], machine.w["readout"], -step, slack)
    bias_slack = 0.002 * h.rate_readout_bias / 65536
    checker.compare(before["readout_bias"], machine.w["readout_bias"], -bias_step, bias_slack)


def test_a_latent_vector_is_learned_as_a_mean_rate() -> None:
    checker = Checker()
    for seed in range(30):
        # one vector in the image, so the draw is known; readout and rates are off for the take
        image = make_image(seed=seed, n_neurons=30, n_latent=1, latent_per_take=1)
        machine = Machine(image, seed=seed + 1)
        before = machine.state()
        vector = np.frombuffer(ffi.buffer(machine.model.latent, 31), np.uint8)
        machine.take(random_features(seed, 5), 0, LATENT)
        compare_readout(checker, machine, before, vector[1:] / 256, int(vector[0]))
    checker.check_mean(bias=0.01)


def test_latent_draws_reach_every_vector_and_follow_the_seed() -> None:
    seen = set()
    for seed in range(40):
        arrays = {"latent": np.eye(6, 31, 1) * 255, "readout": np.zeros((30, 5))}
        fields = {"n_neurons": 30, "n_latent": 6, "latent_per_take": 1}
        machine = Machine(make_image(arrays=arrays, **fields), seed=seed + 1)
        machine.take(random_features(0, 2), 0, LATENT)
        seen.add(int(np.abs(machine.w["readout"]).sum(1).argmax()))
    assert seen == set(range(6))


@pytest.mark.parametrize("method", [TRACES | READOUT, TRACES, READOUT])
def test_a_replayed_sequence_is_a_take_like_any_other(method: int) -> None:
    fields = {"n_neurons": 20, "n_sequences": 1, "sequences_per_take": 1, "sequence_steps": 12}
    image = make_image(seed=5, **fields, **rates(1 << 16))
    replayed, by_hand = Machine(image, seed=9), Machine(image, seed=9)
    features = random_features(7, 20)
    replayed.take(features, 1, method | SEQUENCES, 20000)
    by_hand.take(features, 1, method, 20000)
    x = by_hand.learner.rng.state  # one draw chose the sequence
    x ^= (x << 13) & 0xFFFFFFFF
    x ^= x >> 17
    x ^= (x << 5) & 0xFFFFFFFF
    by_hand.learner.rng.state = x
    sequence = np.frombuffer(ffi.buffer(by_hand.model.sequences, 1 + 12 * 80), np.uint8)
    by_hand.take(sequence[1:].reshape(12, 80).astype(np.int8), int(sequence[0]), method, 20000)
    for kind in RATES:
        assert (replayed.w[kind] == by_hand.w[kind]).all()
    assert replayed.learner.rng.state == by_hand.learner.rng.state


def learn(machine: Machine, method: int = ALL, scale_q15: int = 32767, seed: int = 0) -> None:
    for label in range(3):
        machine.take(random_features(seed + label, 15), label, method, scale_q15)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all((a[kind] == b[kind]).all() for kind in RATES)


@pytest.mark.parametrize(
    ("method", "scale_q15", "fields"),
    [(0, 32767, {}), (ALL, 0, {}), (ALL, 32767, rates(0)), (SEQUENCES, 32767, {})],
    ids=["no method", "scale 0", "rates 0", "sequences without a rule"],
)
def test_nothing_is_learned(method: int, scale_q15: int, fields: dict[str, int]) -> None:
    machine = Machine(make_image(seed=1, n_neurons=20, **fields))
    before = machine.state()
    learn(machine, method, scale_q15)
    assert same(machine.w, before)


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        (READOUT, {"readout", "readout_bias"}),
        (TRACES, {"weights", "recurrent", "bias"}),
        (LATENT, {"readout", "readout_bias"}),
        (READOUT | TRACES, set(RATES)),
        (TRACES | SEQUENCES, {"weights", "recurrent", "bias"}),
        (ALL, set(RATES)),
    ],
)
def test_each_method_changes_its_own_weights(method: int, changed: set[str]) -> None:
    machine = Machine(make_image(seed=1, n_neurons=20, **rates(1 << 20)))
    before = machine.state()
    learn(machine, method)
    assert {kind for kind in RATES if (machine.w[kind] != before[kind]).any()} == changed


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    image = make_image(seed=6, n_neurons=32)
    first, again, other = Machine(image, seed=5), Machine(image, seed=5), Machine(image, seed=6)
    for machine in (first, again, other):
        learn(machine)
    assert same(first.w, again.w)
    assert first.learner.rng.state == again.learner.rng.state
    assert not same(first.w, other.w)


def test_a_seed_of_zero_is_replaced() -> None:
    assert Machine(make_image(), seed=0).learner.rng.state != 0


@pytest.mark.parametrize("limit", [-32768, 32767])
def test_weights_stop_at_the_limits_of_int16(limit: int) -> None:
    fields = {"n_neurons": 12, "n_latent": 0, "n_sequences": 0, "surrogate_q": 14}
    arrays = {"decay": np.zeros(12), "target": np.full((5, 12), 2000)}
    machine = Machine(make_image(arrays=arrays, **fields, **rates(1 << 24)))
    for kind in ("readout", "readout_bias", "bias"):
        machine.w[kind][:] = limit
    machine.w["weights"][:] = 0
    machine.w["recurrent"][:] = limit
    for label in range(5):
        before = machine.state()
        machine.take(random_features(label, 10), label, READOUT | TRACES)
        for kind in ("readout", "readout_bias"):
            moved = machine.w[kind].astype(int) - before[kind]
            # one take moves a weight by 256 at most: more would be a wrap-around
            assert np.abs(moved).max() <= 257
    assert machine.is_intact()


def test_learning_makes_the_takes_more_likely() -> None:
    machine = Machine(make_image(seed=3, n_neurons=48, **rates(1 << 22)))
    takes = [random_features(100 + label, 50) for label in range(3)]

    def log_likelihood() -> float:
        total = 0.0
        for label, take in enumerate(takes):
            lib.tkws_network_reset(machine.network)
            for row in take:
                machine.step(row)
            total += float(np.log(softmax(machine.scores() / 1024)[label]))
        return total

    before = log_likelihood()
    for _ in range(20):
        for label, take in enumerate(takes):
            machine.take(take, label, READOUT)
    assert log_likelihood() > before + 1


def test_calls_out_of_order_are_refused() -> None:
    machine = Machine(make_image(n_neurons=4))
    learner, row = machine.learner, int8s(random_features(0, 1)[0])
    assert lib.tkws_learner_step(learner, row) == E["STATE"]
    assert lib.tkws_learner_end(learner) == E["STATE"]
    for arguments in ((32, 0, 0), (0, 5, 0), (0, 0, 32768), (2**32 - 1, 0, 0), (0, 2**32 - 1, 0)):
        held = bytes(ffi.buffer(learner))
        assert lib.tkws_learner_begin(learner, *arguments) == E["ARGUMENT"]
        assert bytes(ffi.buffer(learner)) == held
    assert lib.tkws_learner_begin(learner, ALL, 1, 5) == 0
    held = bytes(ffi.buffer(learner))
    assert lib.tkws_learner_begin(learner, ALL, 2, 6) == E["STATE"]
    assert bytes(ffi.buffer(learner)) == held
    assert lib.tkws_learner_end(learner) == E["TOO_SHORT"]
    assert lib.tkws_learner_end(learner) == E["STATE"]
    assert lib.tkws_learner_begin(learner, READOUT, 1, 5) == 0
    assert lib.tkws_learner_step(learner, row) == 0
    lib.tkws_learner_abort(learner)
    assert lib.tkws_learner_step(learner, row) == E["STATE"]


def test_an_aborted_take_does_not_teach_the_readout() -> None:
    machine = Machine(make_image(n_neurons=20))
    before = machine.state()
    check(lib.tkws_learner_begin(machine.learner, READOUT | LATENT | SEQUENCES, 1, 32767))
    for row in random_features(0, 10):
        check(lib.tkws_learner_step(machine.learner, int8s(row)))
    lib.tkws_learner_abort(machine.learner)
    assert same(machine.w, before)
    assert (machine.scores() == machine.w["readout_bias"]).all()


def test_a_take_has_at_most_65535_steps() -> None:
    machine = Machine(make_image(n_neurons=1, n_classes=3, arrays={"bias": np.full(1, 32767)}))
    row = int8s(np.zeros(80))
    check(lib.tkws_learner_begin(machine.learner, READOUT, 1, 32767))
    for _ in range(65535):
        check(lib.tkws_learner_step(machine.learner, row))
    assert lib.tkws_learner_step(machine.learner, row) == E["ARGUMENT"]
    before = machine.state()
    check(lib.tkws_learner_end(machine.learner))
    checker = Checker()
    compare_readout(checker, machine, before, np.ones(1), 1)
