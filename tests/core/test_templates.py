# SPDX-License-Identifier: Apache-2.0
"""Takes and what they add to scores, against the equations of templates.h in floating point.

The reference works on spikes and on the numbers of section trac; it knows nothing of the C. Beside
it stands a bound of what the fixed point may be off by: a template's numbers have 7 bits, a
window's length has 4 bits behind the point, all else is far finer.
"""

import struct
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images import Form, join, make_image, sections, with_traces
from machine import E, Machine, Memory, check, int8s, parse, random_features
from tracekws._core import ffi, lib
from tracekws.core import LATENT, READOUT, SEQUENCES, TAKES, TRACES, Model, Network
from tracekws.errors import TraceKwsError
from tracekws.learner import FULL_SCALE, Learner
from tracekws.recognizer import Recognizer

ALL = READOUT | TRACES | LATENT | SEQUENCES | TAKES


class Reference:
    """The equations of templates.h in float64."""

    def __init__(self, form: Form, window: int, takes: np.ndarray) -> None:
        self.mean = form.mean / 32768
        self.shrink = form.shrink / 32768
        self.along = form.along / 2.0**form.along_q
        self.weight = form.weight_q10 / 1024
        self.floor = form.floor_q15 / 32768
        self.window = window
        self.takes = takes / 256 - self.mean

    def dual(self, x: np.ndarray) -> np.ndarray:
        """What another trace is multiplied with for the product."""
        return np.asarray(x - (x @ self.along * self.shrink) @ self.along.T)

    def cosines(self, spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosines of each step (steps, classes), and what the core may be off by."""
        found, bounds = [], []
        for end in range(1, len(spikes) + 1):
            heard = spikes[max(0, end - self.window) : end]
            row = [self.compare(heard.mean(0) - self.mean, t, len(heard)) for t in self.takes]
            found.append([cosine for cosine, _ in row])
            bounds.append([bound for _, bound in row])
        return np.array(found), np.array(bounds)

    def compare(self, x: np.ndarray, take: np.ndarray, n: int) -> tuple[float, float]:
        square, take_square = self.dual(x) @ x, self.dual(take) @ take
        if square <= 1e-6 or take_square <= 1e-6:
            return 0.0, 1.0
        cosine = self.dual(x) @ take / np.sqrt(square * take_square)
        template = self.dual(take) / np.sqrt(take_square)
        rows = 0.5 * np.abs(template).max() / 127 * np.abs(x).sum() / np.sqrt(square)
        along = np.abs(x @ self.along) * n
        length = n * np.sqrt(square)
        off = ((along / 8 + 0.02) * self.shrink).sum() / (2 * length) + 0.1
        bound = rows + off / length + 0.002
        return float(np.clip(cosine, -1, 1)), float(bound)

    def added(self, cosines: np.ndarray) -> np.ndarray:
        """What scores grow by, Q10."""
        return np.asarray(1024 * self.weight * np.maximum(0, cosines - self.floor))


class Ear:
    """Templates of a model with the takes given, which hear any spikes."""

    def __init__(self, image: bytes, takes: np.ndarray) -> None:
        self.machine = machine = Machine(image)
        machine.takes[:, 1 : 1 + takes.shape[1]] = takes
        machine.takes[:, 0] = 1
        self.c = ffi.new("tkws_templates *")
        self.open()
        self.network = ffi.new("tkws_network *")
        self.spikes = ffi.new("uint16_t[]", int(machine.header.n_neurons))
        self.network.spikes = self.spikes

    def open(self) -> None:
        machine = self.machine
        model = machine.model.pointer
        memory = machine.memory(lib.tkws_templates_memory_bytes(model))
        check(
            lib.tkws_templates_init(self.c, model, machine.weights, memory.pointer, memory.n_bytes)
        )

    def hear(self, fired: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosines in Q15, and what is added to scores, after a step."""
        n_classes = self.machine.header.n_classes
        which = np.flatnonzero(fired)
        self.network.n_spikes = len(which)
        self.spikes[0 : len(which)] = which.tolist()
        lib.tkws_templates_step(self.c, self.network)
        scores = ffi.new("int32_t[]", n_classes)
        lib.tkws_templates_add(self.c, scores)
        cosines = [lib.tkws_templates_cosine(self.c, c) for c in range(n_classes)]
        return np.array(cosines), np.array(list(scores))

    def stream(self, spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of all steps."""
        heard = [self.hear(step) for step in spikes]
        return np.array([c for c, _ in heard]), np.array([s for _, s in heard])


def some_spikes(seed: int, n_steps: int, n_neurons: int) -> np.ndarray:
    """Neurons with rates of their own, which change at times."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(0.7, 2, (-(-n_steps // 25), n_neurons)).repeat(25, 0)[:n_steps]
    return np.asarray(rng.random((n_steps, n_neurons)) < rates)


def some_takes(seed: int, n_classes: int, n_neurons: int) -> np.ndarray:
    """Rates of takes, one after the other alike to what some_spikes() of the same seed gives."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(0.7, 2, (n_classes, n_neurons))
    return np.minimum(255, np.round(256 * rates)).astype(np.uint8)


CASES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "as shipped": ({"n_neurons": 196, "window_steps": 50, "n_classes": 12}, {"rank": 32}),
    "one direction": ({"n_neurons": 40, "window_steps": 30}, {"rank": 1}),
    "most directions": ({"n_neurons": 150, "window_steps": 40}, {"rank": 64}),
    "fine directions": ({"n_neurons": 64, "window_steps": 30}, {"rank": 8, "along_q": 8}),
    "odd sizes": ({"n_neurons": 33, "window_steps": 7, "n_classes": 3}, {"rank": 5}),
    "most neurons": ({"n_neurons": 1024, "window_steps": 63}, {"rank": 64}),
    "longest window": ({"n_neurons": 320, "window_steps": 200}, {"rank": 16}),
    "heaviest": ({"n_neurons": 40, "window_steps": 30}, {"rank": 2, "weight_q10": 65535}),
    "no floor": ({"n_neurons": 40, "window_steps": 30}, {"rank": 2, "floor_q15": 0}),
    "highest floor": ({"n_neurons": 40, "window_steps": 30}, {"rank": 2, "floor_q15": 32767}),
}


@pytest.mark.parametrize("name", CASES)
def test_cosines_and_scores_are_those_of_the_equations(name: str) -> None:
    fields, numbers = CASES[name]
    form = Form.random(fields["n_neurons"], seed=5, **numbers)
    image = with_traces(make_image(seed=1, **fields), form)
    model = parse(image)
    header = model.header
    takes = some_takes(7, header.n_classes, header.n_neurons)
    ear = Ear(image, takes)
    spikes = some_spikes(7, 2 * header.window_steps + 9, header.n_neurons)
    reference = Reference(form, header.window_steps, takes)
    wanted, bounds = reference.cosines(spikes)
    found, added = ear.stream(spikes)
    words = [c for c in range(header.n_classes) if c < header.n_classes - 2]
    others = [header.unknown_class, header.silence_class]
    assert (found[:, others] == 0).all()
    assert (added[:, others] == 0).all()
    off = np.abs(found[:, words] / 32768 - wanted[:, words])
    assert (off <= bounds[:, words]).all()
    assert off[header.window_steps :].max() < 0.02
    due = reference.added(wanted)[:, words]
    slack = 1024 * reference.weight * bounds[:, words] + 2
    assert (np.abs(added[:, words] - due) <= slack).all()
    if name not in ("highest floor",):
        assert (due > 0).any()
    assert ear.machine.is_intact()


def test_a_word_that_sounds_as_its_take_has_a_cosine_of_one() -> None:
    """And the score grows by all of the weight above the floor."""
    form = Form.random(64, rank=8, seed=2)
    spikes = some_spikes(3, 32, 64)[:16].repeat(2, 0)
    takes = np.zeros((5, 64))
    takes[0] = np.minimum(255, 256 * spikes.mean(0))
    ear = Ear(with_traces(make_image(n_neurons=64, window_steps=32), form), takes)
    cosines, added = ear.stream(spikes)
    assert cosines[-1, 0] > 0.995 * 32768
    assert abs(added[-1, 0] - 1024 * 8 * (1 - form.floor_q15 / 32768)) < 60


def test_reset_forgets_what_was_heard() -> None:
    ear = Ear(
        with_traces(make_image(n_neurons=20), Form.random(20, 3, seed=1)), some_takes(1, 5, 20)
    )
    spikes = some_spikes(2, 40, 20)
    first = ear.stream(spikes)
    again = ear.stream(spikes[:5])
    assert (again[0] != first[0][:5]).any()
    lib.tkws_templates_reset(ear.c)
    assert all((a == b).all() for a, b in zip(ear.stream(spikes), first, strict=True))
    lib.tkws_templates_reset(ear.c)
    assert [lib.tkws_templates_cosine(ear.c, c) for c in range(5)] == [0] * 5


@pytest.mark.parametrize("rate", [0, 255])
@pytest.mark.parametrize("fires", [False, True], ids=["silent", "firing"])
def test_rates_at_the_ends_of_their_range(rate: int, fires: bool) -> None:
    form = Form.random(30, rank=4, seed=9)
    takes = np.full((5, 30), rate)
    ear = Ear(with_traces(make_image(n_neurons=30), form), takes)
    spikes = np.full((25, 30), fires)
    wanted, bounds = Reference(form, 10, takes).cosines(spikes)
    found, _ = ear.stream(spikes)
    assert (np.abs(found / 32768 - wanted)[:, :3] <= bounds[:, :3]).all()
    assert (np.sign(wanted[:, :3]) == (1 if fires == (rate > 0) else -1)).all()


def test_a_take_of_the_mean_of_speech_makes_no_template() -> None:
    form = Form.random(16, rank=2, seed=3)
    takes = some_takes(1, 5, 16)
    mean = np.asarray(form.mean) // 128 * 128
    takes[1] = mean // 128
    form = Form(mean, form.shrink, form.along)
    found, added = Ear(with_traces(make_image(n_neurons=16), form), takes).stream(
        some_spikes(1, 30, 16)
    )
    assert (found[:, 1] == 0).all()
    assert (added[:, 1] == 0).all()
    assert (found[:, 0] != 0).all()


FORMS = {
    "the same direction twice": Form(
        np.full(4, 9830), np.full(2, 32767), np.array([[127, 127], [0, 0], [0, 0], [0, 0]])
    ),
    "long directions": Form(np.full(4, 3000), np.full(3, 30000), np.full((4, 3), 127)),
    "all of one end": Form(np.zeros(4), np.full(2, 32767), np.full((4, 2), -128)),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("seed", range(4))
def test_no_form_lowers_a_score(name: str, seed: int) -> None:
    """Even directions that leave a trace no length."""
    takes = some_takes(seed, 5, 4)
    takes[0] = (0, 255, 0, 0)
    rng = np.random.default_rng(seed)
    spikes = np.vstack([np.eye(4)[:1].repeat(12, 0), rng.integers(0, 2, (40, 4))]).astype(bool)
    ear = Ear(with_traces(make_image(n_neurons=4), FORMS[name]), takes)
    cosines, added = ear.stream(spikes)
    assert (added >= 0).all()
    assert (np.abs(cosines) <= 32767).all()
    assert ear.machine.is_intact()


def kept(image: bytes, label: int, *clips: np.ndarray) -> Learner:
    learner = Learner(Model(image))
    for clip in clips:
        learner.take(clip, label, TAKES, FULL_SCALE)
    return learner


IMAGE = with_traces(make_image(seed=8, n_neurons=24), Form.random(24, rank=4, seed=6))


def rows(state: bytes, n_neurons: int = 24) -> np.ndarray:
    """The takes at the end of what is learned: (classes, row)."""
    n = (1 + n_neurons + 1) // 2 * 2
    return np.frombuffer(state[-5 * n :], np.uint8).reshape(5, n)


def test_a_take_is_kept_as_its_mean_rates() -> None:
    clip = random_features(1, 30)
    learner = kept(IMAGE, 2, clip)
    row = rows(learner.weights)[2]
    rates = Network(Model(IMAGE)).rates(clip)
    assert row[0] == 1
    assert np.abs(row[1:25] - np.minimum(255, 256 * rates)).max() <= 0.5
    assert row[25] == 0
    assert (np.delete(rows(learner.weights), 2, 0) == 0).all()


def test_several_takes_are_kept_as_their_mean_in_any_order() -> None:
    clips = [random_features(seed, 20) for seed in range(3)]
    rates = np.mean([Network(Model(IMAGE)).rates(clip) for clip in clips], axis=0)
    for order in permutations(clips):
        row = rows(kept(IMAGE, 1, *order).weights)[1]
        assert row[0] == 3
        assert np.abs(row[1:25] - np.minimum(255, 256 * rates)).max() <= 1.5


def test_no_more_takes_are_told_than_are_counted() -> None:
    """Though weights from elsewhere may say so."""
    machine = Machine(IMAGE)
    machine.takes[0, 0] = 200
    told = lib.tkws_takes_count(machine.model.pointer, machine.weights, 0)
    assert told == lib.TKWS_TAKES_COUNTED


def test_older_takes_fade_behind_so_many_and_later_ones_go_on_to_count() -> None:
    """However often a voice was learned, another one that is learned as often takes its place."""
    machine = Machine(IMAGE)
    loud, quiet = random_features(1, 4, 120), np.zeros((4, 80), np.int8)
    for _ in range(300):
        machine.take(quiet, 0, TAKES)
    assert machine.takes[0, 0] == lib.TKWS_TAKES_COUNTED
    before = machine.takes[0, 1:25].astype(int)
    rates = np.minimum(255, np.rint(256 * Network(Model(IMAGE)).rates(loud))).astype(int)
    last = np.abs(rates - before)
    assert last.max() > 100
    for _ in range(200):
        machine.take(loud, 0, TAKES)
        now = np.abs(rates - machine.takes[0, 1:25])
        assert (now < last)[last > 1].all()
        last = now
    assert machine.takes[0, 0] == lib.TKWS_TAKES_COUNTED
    assert last.max() <= 1
    assert machine.is_intact()


def test_nothing_else_is_learned_from_takes_alone() -> None:
    """Not a bit of a weight, nor of another word's or a class's score, is another."""
    model = Model(IMAGE)
    learner = kept(IMAGE, 1, random_features(1, 30), random_features(2, 30))
    plain = Network(model)
    n_takes = rows(learner.weights).size
    assert learner.weights[:-n_takes] == plain.weights[:-n_takes]
    stream = random_features(3, 120)
    before, after = plain.stream(stream), learner.stream(stream)
    others = [0, 2, 3, 4]
    assert (before[:, others] == after[:, others]).all()
    assert (after[:, 1] >= before[:, 1]).all()
    assert (after[:, 1] > before[:, 1]).any()


@pytest.mark.parametrize("label", [3, 4], ids=["unknown", "silence"])
def test_takes_of_other_speech_and_of_silence_change_no_score(label: int) -> None:
    stream = random_features(3, 60)
    learner = kept(IMAGE, label, stream[:30])
    assert rows(learner.weights)[label, 0] == 1
    assert (learner.stream(stream) == Network(Model(IMAGE)).stream(stream)).all()
    assert (learner.cosines(stream) == 0).all()


def test_scores_of_a_stream_are_the_networks_and_what_takes_add() -> None:
    """The window of the network's own spikes is compared, from the first step on."""
    model = Model(IMAGE)
    clip, stream = random_features(1, 25), random_features(4, 50)
    learner = kept(IMAGE, 0, clip)
    takes = rows(learner.weights)[:, 1:25]
    form = Form.random(24, rank=4, seed=6)
    reference = Reference(form, model.header.window_steps, takes[:1])
    wanted, bounds = reference.cosines(learner.spikes(stream))
    plain = Network(model)
    off = learner.cosines(stream)[:, :1] / 32768 - wanted
    assert (np.abs(off) <= bounds).all()
    grown = (learner.stream(stream) - plain.stream(stream))[:, :1]
    assert (np.abs(grown - reference.added(wanted)) <= 8 * 1024 * bounds + 2).all()
    assert (learner.scores(stream) == learner.stream(stream)[-1]).all()


def test_learned_takes_are_saved_and_heard_again(tmp_path: Path) -> None:
    model = Model(IMAGE)
    rng = np.random.default_rng(1)
    pcm = (3000 * rng.normal(size=32000)).astype(np.int16)
    learner = Learner(model)
    learner.take(random_features(1, 30), 1, TAKES, FULL_SCALE)
    learner.save(tmp_path / "learned")
    other = Learner(model)
    other.load(tmp_path / "learned")
    stream = random_features(3, 60)
    assert other.weights == learner.weights
    assert (other.stream(stream) == learner.stream(stream)).all()
    assert (Network(model, other.weights).cosines(stream) == learner.cosines(stream)).all()
    ears = [Recognizer(model, learner.weights), Recognizer(model, other.weights)]
    assert len({str(list(ear.push(pcm))) for ear in ears}) == 1
    other.weights = Network(model).weights
    assert (other.stream(stream) == Network(model).stream(stream)).all()
    with pytest.raises(TraceKwsError, match="no takes"):
        other.cosines(stream)


def test_a_take_that_is_given_up_is_not_kept() -> None:
    machine = Machine(IMAGE)
    check(lib.tkws_learner_begin(machine.learner, TAKES, 1, FULL_SCALE))
    check(lib.tkws_learner_step(machine.learner, int8s(random_features(1, 1)[0])))
    lib.tkws_learner_abort(machine.learner)
    check(lib.tkws_learner_begin(machine.learner, TAKES, 1, FULL_SCALE))
    assert lib.tkws_learner_end(machine.learner) == E["TOO_SHORT"]
    assert (machine.takes == 0).all()


def test_takes_go_with_all_other_methods() -> None:
    """What is kept is the take that was heard, not what is replayed behind it."""
    with_all, alone = Machine(IMAGE), Machine(IMAGE)
    clip = random_features(1, 30)
    with_all.take(clip, 1, ALL & ~TRACES)
    alone.take(clip, 1, TAKES)
    assert (with_all.takes == alone.takes).all()
    assert (with_all.w["readout"] != alone.w["readout"]).any()


def test_an_image_without_the_section_keeps_no_takes() -> None:
    machine = Machine(make_image())
    model = machine.model.pointer
    assert lib.tkws_model_take_bytes(model) == lib.tkws_model_takes_bytes(model) == 0
    assert lib.tkws_templates_memory_bytes(model) == 0
    assert not lib.tkws_templates_wanted(model, machine.weights)
    rates = ffi.new("uint8_t[]", [9] * 64)
    assert lib.tkws_templates_agreement(model, rates, rates) == 0
    before = Network(Model(make_image())).weights
    assert (
        len(before)
        == lib.tkws_model_trainable_bytes(model)
        == sum(w.nbytes for w in machine.w.values())
    )
    for method in (TAKES, ALL):
        assert lib.tkws_learner_begin(machine.learner, method, 0, 0) == E["NO_TRACES"]
    assert lib.tkws_learner_end(machine.learner) == E["STATE"]
    templates = ffi.new("tkws_templates *")
    memory = Memory(64)
    result = lib.tkws_templates_init(templates, model, machine.weights, memory.pointer, 64)
    assert result == E["NO_TRACES"]
    assert not any(bytes(ffi.buffer(templates)))


@pytest.mark.parametrize("case", ["short", "crooked", "none"])
def test_memory_that_does_not_do_is_refused(case: str) -> None:
    machine = Machine(IMAGE)
    model = machine.model.pointer
    n_bytes = lib.tkws_templates_memory_bytes(model)
    memory = Memory(n_bytes + 4)
    templates = ffi.new("tkws_templates *")
    at = {"short": memory.pointer, "crooked": memory.pointer + 2, "none": ffi.NULL}[case]
    room = n_bytes - (case == "short")
    assert lib.tkws_templates_init(templates, model, machine.weights, at, room) == E["MEMORY"]
    assert not any(bytes(ffi.buffer(templates)))
    assert (memory.bytes == 0xA5).all()


FORM = Form.random(24, rank=4, seed=6)
PAYLOAD = FORM.payload()


def changed(at: int, kind: str, value: int) -> bytes:
    payload = bytearray(PAYLOAD)
    struct.pack_into(f"<{kind}", payload, at, value)
    return bytes(payload)


WRONG: dict[str, Any] = {
    "rank 0": changed(0, "H", 0),
    "rank 65": changed(0, "H", 65),
    "rank 65 at its length": Form.random(100, rank=65, seed=1).payload(),
    "rank 0 at its length": PAYLOAD[:2] * 0 + struct.pack("<HHHh", 0, 7, 1, 1) + bytes(48),
    "another rank": changed(0, "H", 5),
    "highest rank": changed(0, "H", 65535),
    "along_q 6": changed(2, "H", 6),
    "along_q 16": changed(2, "H", 16),
    "floor below 0": changed(6, "h", -1),
    "mean below 0": changed(8, "h", -1),
    "last mean below 0": changed(8 + 2 * 23, "h", -32768),
    "shrink below 0": changed(8 + 48, "h", -1),
    "last shrink below 0": changed(8 + 48 + 2 * 3, "h", -1),
    "empty": b"",
    "half a head": PAYLOAD[:7],
    "a head": PAYLOAD[:8],
    "a byte short": PAYLOAD[:-1],
    "a byte long": PAYLOAD + b"\0",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_malformed_section_is_refused(case: str) -> None:
    n_neurons = 100 if "65 at" in case else 24
    image = make_image(seed=8, n_neurons=n_neurons)
    bad = join([*sections(image), ("trac", WRONG[case])])
    model = ffi.new("tkws_model *")
    assert lib.tkws_model_parse(model, ffi.from_buffer(bad), len(bad)) == E["MODEL_TRACES"]
    assert not any(bytes(ffi.buffer(model)))


def test_a_repeated_section_is_refused() -> None:
    bad = join([*sections(IMAGE), ("trac", PAYLOAD)])
    model = ffi.new("tkws_model *")
    assert lib.tkws_model_parse(model, ffi.from_buffer(bad), len(bad)) == E["MODEL_TRACES"]


@pytest.mark.parametrize("at", range(11))
def test_the_section_may_stand_anywhere(at: int) -> None:
    parts = sections(make_image(seed=8, n_neurons=24))
    image = join([*parts[:at], ("trac", PAYLOAD), *parts[at:]])
    traces = parse(image).traces
    assert (traces.rank, traces.along_q) == (4, 7)
    assert (traces.weight_q10, traces.floor_q15) == (8 << 10, 13107)
    stored = bytes(ffi.buffer(traces.along, 24 * 4))
    assert stored == FORM.along.astype(np.int8).tobytes()
