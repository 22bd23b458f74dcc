# SPDX-License-Identifier: Apache-2.0
"""Words of the user's own, against the rule of own.h in floating point.

The reference takes the cosines as given, which test_templates.py checks, and knows nothing else of
the C: which word is heard, when it is an event, and how takes agree.
"""

import struct
from typing import Any

import numpy as np
import pytest

from images import Form, Own, join, make_image, sections, with_own_words, with_traces
from machine import E, Machine, check, int8s, parse, random_features
from tracekws._core import ffi, lib
from tracekws.audio import loudest_second
from tracekws.core import READOUT, TAKES, TRACES, Model, Network, features_and_loudness, own_words
from tracekws.errors import DataError, ModelError, TraceKwsError
from tracekws.learner import Learner
from tracekws.recognizer import Recognizer

FORM = Form.random(24, rank=4, seed=6)
KEEPS_TAKES = with_traces(make_image(seed=8, n_neurons=24, window_steps=20), FORM)
OWN = Own()
IMAGE = with_own_words(KEEPS_TAKES, OWN)
N_CLASSES = 5


def pcm_of(seed: int, n_samples: int = 9000) -> np.ndarray:
    """A sound of its own: tones that come and go, in a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / 16000
    sound = 60 * rng.normal(size=n_samples)
    for tone in rng.uniform(200, 3500, 4):
        sound += rng.uniform(500, 3000) * np.sin(2 * np.pi * tone * time + rng.uniform(0, 6))
    beat = np.abs(np.sin(np.pi * time * rng.uniform(1, 4)))
    return np.asarray(np.clip(sound * beat, -32768, 32767)).astype(np.int16)


def taught(words: dict[str, int], image: bytes = IMAGE) -> Learner:
    """A learner that was taught words, each by so many takes."""
    learner = Learner(Model(image))
    for i, (word, takes) in enumerate(words.items()):
        learner.teach(word, [pcm_of(100 * i + take) for take in range(takes)], force=True)
    return learner


class Words:
    """The words among a machine's takes, as C callers use them."""

    def __init__(self, image: bytes = IMAGE) -> None:
        self.machine = Machine(image)
        self.model = self.machine.model.pointer

    def add(self, word: str | bytes) -> int:
        raw = word if isinstance(word, bytes) else word.encode()
        return int(lib.tkws_own_add(self.model, self.machine.weights, raw, len(raw)))

    def find(self, word: str) -> int:
        raw = word.encode()
        return int(lib.tkws_own_find(self.model, self.machine.weights, raw, len(raw)))

    def forget(self, number: int) -> None:
        lib.tkws_own_forget(self.model, self.machine.weights, number)

    def name(self, number: int) -> str | None:
        cell = lib.tkws_own_name(self.model, self.machine.weights, number)
        return None if cell == ffi.NULL else ffi.string(ffi.cast("char *", cell)).decode()


def test_words_are_added_found_and_forgotten() -> None:
    words = Words()
    labels = Model(IMAGE).labels
    assert [words.find(label) for label in labels] == list(range(N_CLASSES))
    assert words.find("lamp") == E["LABEL"]
    assert [words.add(w) for w in ("lamp", "Fenster", "مصباح", "lamp")] == [5, 6, 7, 5]
    assert [words.name(n) for n in range(5, 9)] == ["lamp", "Fenster", "مصباح", None]
    assert words.add(labels[1]) == 1
    assert [words.add(label) for label in labels[3:]] == [E["LABEL"]] * 2
    assert words.add("fourth") == 8
    assert words.add("fifth") == E["NO_ROOM"]
    assert words.add("Fenster") == 6
    words.forget(6)
    assert words.find("Fenster") == E["LABEL"]
    assert words.add("fifth") == 6
    assert words.find("مصباح") == 7
    assert words.machine.is_intact()


@pytest.mark.parametrize(
    "name",
    [b"", b"a b", b".x", b"\xff", b"x" * 32, b"a/b"],
    ids=["none", "space", "dot", "no text", "long", "path"],
)
def test_what_is_no_name_is_no_word(name: bytes) -> None:
    words = Words()
    before = bytes(words.machine.takes)
    assert words.add(name) == E["NAME"]
    assert bytes(words.machine.takes) == before


def test_a_model_without_the_section_has_no_room() -> None:
    words = Words(KEEPS_TAKES)
    assert words.add("lamp") == E["NO_ROOM"]
    assert words.add("yes") == words.find("yes") >= 0
    assert Model(KEEPS_TAKES).own_words == 0
    with pytest.raises(TraceKwsError, match="no room"):
        Learner(Model(KEEPS_TAKES)).teach("lamp", [pcm_of(1)])


def test_teaching_changes_nothing_for_any_other_word() -> None:
    """No weight, and no score of any class, whatever is heard."""
    model = Model(IMAGE)
    learner = taught({"lamp": 3, "window": 1})
    plain = Network(model)
    n = model.weight_bytes
    assert learner.weights[:n] == plain.weights[:n]
    assert learner.weights[n:] != plain.weights[n:]
    for seed in range(5):
        heard = random_features(seed, 60)
        assert (learner.stream(heard) == plain.stream(heard)).all()
        assert (learner.scores(heard) == plain.scores(heard)).all()


def agreement(model: Model, rates: list[np.ndarray]) -> float:
    """Mean cosine of each take with the mean of those before it (templates.h)."""
    mean = FORM.mean / 32768

    def product(a: np.ndarray, b: np.ndarray) -> float:
        along = FORM.along / 2.0**FORM.along_q
        return float(a @ b - ((a @ along) * (b @ along)) @ (FORM.shrink / 32768))

    found = []
    for i in range(1, len(rates)):
        a, b = rates[i] - mean, np.mean(rates[:i], 0) - mean
        found.append(product(a, b) / np.sqrt(product(a, a) * product(b, b)))
    return float(np.mean(found))


@pytest.mark.parametrize("takes", [2, 3, 5])
def test_how_takes_agree(takes: int) -> None:
    model = Model(IMAGE)
    learner = Learner(model)
    clips = [random_features(seed, 30) for seed in range(takes)]
    learner.teach("lamp", [pcm_of(1)])
    learner.forget("lamp")
    words = Words()
    number = words.add("lamp")
    for clip in clips:
        words.machine.take(clip, number, TAKES)
    wanted = agreement(model, [Network(model).rates(clip) for clip in clips])
    found = lib.tkws_own_agreement(words.model, words.machine.weights, number) / 32768
    assert found == pytest.approx(wanted, abs=0.02)
    assert words.machine.takes[number, 0] == takes


def test_the_words_that_there_are_can_be_read() -> None:
    learner = taught({"lamp": 3, "window": 1})
    found = own_words(learner.model, learner.weights)
    assert list(found) == [5, 6]
    assert [(one.word, one.takes) for one in found.values()] == [("lamp", 3), ("window", 1)]
    assert found[6].agreement is None
    assert -1 <= (found[5].agreement or -2) <= 1
    assert learner.words == {one.word: one for one in found.values()}
    learner.forget("lamp")
    assert list(learner.words) == ["window"]
    with pytest.raises(DataError, match="lamp"):
        learner.forget("lamp")


def test_takes_of_a_word_of_the_model_are_forgotten_alone() -> None:
    learner = taught({"yes": 2, "lamp": 1})
    heard = random_features(3, 60)
    assert learner.words["lamp"].takes == 1
    learner.forget("yes")
    assert learner.weights != Network(learner.model).weights
    assert (learner.stream(heard) == Network(learner.model).stream(heard)).all()
    learner.forget("lamp")
    assert learner.weights == Network(learner.model).weights


class Reference:
    """Which word is heard, by the rule of own.h in float64, and when that is an event."""

    def __init__(self, own: Own, words: dict[int, float]) -> None:
        """`words`: numbers of the user's own, and what their cosines are to be above."""
        self.rival = own.rival_q15 / 32768
        self.words = words

    def heard(self, cosines: np.ndarray, raised: float = 0.0) -> tuple[int, float]:
        """The word of a step, or -1; and how far the rule is from the other answer."""
        order = np.argsort(-cosines, kind="stable")
        best, following = (float(max(0, cosines[i])) for i in order[:2])
        if int(order[0]) not in self.words or best <= 0:
            return -1, best
        above = best - self.rival * following - self.words[int(order[0])] - raised
        return (int(order[0]) if above > 0 else -1), abs(above)


@pytest.mark.parametrize("raised", [0, 2048, -3000])
def test_the_word_that_is_heard_is_that_of_the_rule(raised: int) -> None:
    learner = taught({"lamp": 3, "window": 2, "radio": 1, "yes": 2})
    model, own = learner.model, learner.words
    shares = {5: own["lamp"].agreement, 6: own["window"].agreement, 7: OWN.single_q15 / 32768}
    least = {
        n: (OWN.least_q15 + OWN.agreement_q15 * float(share or 0)) / 32768 - 0.1
        for n, share in shares.items()
    }
    reference = Reference(OWN, least)
    network = Network(model, learner.weights)
    stream = random_features(11, 400)
    cosines = network.cosines(stream)
    templates, core = templates_of(learner)
    heard, told = [], 0
    at = ffi.new("int32_t *")
    for step, row in zip(stream, cosines, strict=True):
        lib.tkws_network_step(core.network, int8s(step))
        lib.tkws_templates_step(templates, core.network)
        word = lib.tkws_templates_own(templates, raised - round(0.1 * 32768), at)
        wanted, distance = reference.heard(row / 32768, raised / 32768)
        if distance > 0.002:
            assert word == wanted
            told += 1
        if word >= 0:
            assert at[0] == row[word]
            length, templates.length = templates.length, 0
            assert lib.tkws_templates_own(templates, 0, at) == -1  # as no cosine is above 0
            templates.length = length
        heard.append(word)
    assert told > 350
    assert len(set(heard)) > 1


def templates_of(learner: Learner) -> tuple[Any, Machine]:
    """Templates of what a learner has learned, and a machine whose spikes they hear."""
    machine = Machine(learner.model.image)
    state = ffi.from_buffer("uint8_t[]", learner.weights)
    check(lib.tkws_weights_write(machine.model.pointer, machine.weights, 0, state, len(state)))
    templates = ffi.new("tkws_templates *")
    memory = machine.memory(lib.tkws_templates_memory_bytes(machine.model.pointer))
    check(
        lib.tkws_templates_init(
            templates, machine.model.pointer, machine.weights, memory.pointer, memory.n_bytes
        )
    )
    return templates, machine


def detector_of(model: Any) -> Any:
    detector = ffi.new("tkws_detector *")
    lib.tkws_detector_init(detector, model)
    return detector


def run_detector(image: bytes, heard: list[int], isolated: bool = False) -> list[tuple[int, int]]:
    """Words and steps of the events of a detector that is told one word a step, and no class."""
    model = parse(image)
    detector = detector_of(model.pointer)
    lib.tkws_detector_set_isolated(detector, isolated)
    scores = ffi.new("int32_t[]", [0] * (N_CLASSES - 2) + [9000, 0])
    event = ffi.new("tkws_event *")
    events = []
    for step, word in enumerate(heard, 1):
        assert lib.tkws_detector_step(detector, scores, 30000, event) == 0
        if lib.tkws_detector_own(detector, word, 20000, event):
            assert event.score_q15 == 20000
            assert event.end_sample - event.first_sample == 320 * model.header.window_steps + 240
            events.append((event.word, step))
    return events


def test_a_word_is_one_event_until_it_has_faded() -> None:
    image = with_own_words(
        with_traces(
            make_image(seed=8, n_neurons=24, window_steps=20, refractory_steps=30, gap_steps=4),
            FORM,
        ),
        OWN,
    )
    quiet = [-1] * 25
    assert run_detector(image, [5] * 25) == [(5, 20)], "not before the window is full"
    assert run_detector(image, quiet + [5] * 60) == [(5, 26)], "it has not faded"
    again = quiet + [5, -1] * 30
    assert run_detector(image, again) == [(5, 26), (5, 58)], "none within refractory_steps"
    assert run_detector(image, [*quiet, 5, 6, 6, 6, 6, 6, 6]) == [(5, 26), (6, 31)], "gap_steps"
    assert run_detector(image, quiet + [5] * 9, isolated=True) == []


def test_events_of_classes_and_of_own_words_keep_apart() -> None:
    """One sound is not heard as both at once; what is heard later is heard."""
    bare = make_image(seed=8, n_neurons=24, window_steps=5, gap_steps=6, smoothing_shift=0)
    model = parse(with_own_words(with_traces(bare, FORM), OWN))
    silent = ffi.new("int32_t[]", [0, 0, 0, 20000, 0])
    loud = ffi.new("int32_t[]", [20000, 0, 0, 0, 0])
    event = ffi.new("tkws_event *")
    detector = detector_of(model.pointer)
    for _ in range(8):
        assert lib.tkws_detector_step(detector, silent, 0, event) == 0
        assert lib.tkws_detector_own(detector, -1, 0, event) == 0
    assert lib.tkws_detector_step(detector, loud, 0, event) == 1
    heard = []
    for step in range(10):
        lib.tkws_detector_step(detector, silent, 0, event)
        if lib.tkws_detector_own(detector, 5, 9000, event):
            heard.append((step, event.word))
    assert heard == [(6, 5)]
    waits = [lib.tkws_detector_step(detector, loud, 0, event) for _ in range(4)]
    assert sum(waits) <= 1


@pytest.mark.parametrize(
    ("odds", "raised"), [(256, 0), (512, 1024), (128, -1024), (2048, 3072), (384, 512), (1, -8192)]
)
def test_sensitivity_moves_what_a_cosine_is_to_be_above(odds: int, raised: int) -> None:
    model = parse(IMAGE)
    detector = detector_of(model.pointer)
    lib.tkws_detector_set_odds(detector, odds)
    assert lib.tkws_detector_raised(detector) == raised


def test_what_a_recognizer_hears_of_taught_words() -> None:
    """Templates, the rule and the detector together give what they give one by one."""
    own = Own(least_q15=3000, agreement_q15=0, single_q15=0, rival_q15=3000)
    image = with_own_words(KEEPS_TAKES, own)
    learner = taught({"lamp": 2, "window": 1}, image)
    sound = np.concatenate([pcm_of(seed, 12000) for seed in (0, 5, 100, 6, 1)])
    steps, loudness = features_and_loudness(sound, learner.model.front_end)
    cosines, scores = learner.cosines(steps), learner.stream(steps)
    detector = detector_of(learner.model.c)
    reference = Reference(own, {5: 3000 / 32768, 6: 3000 / 32768})
    event = ffi.new("tkws_event *")
    wanted = []
    for row, logits, loud in zip(cosines, scores, loudness, strict=True):
        at = ffi.from_buffer("int32_t[]", np.ascontiguousarray(logits))
        word, _ = reference.heard(row / 32768)
        if lib.tkws_detector_step(detector, at, int(loud), event) or lib.tkws_detector_own(
            detector, word, int(row[word]), event
        ):
            wanted.append((event.word, event.score_q15 / 32768, event.end_sample / 16000))
    numbers = {word: n for n, word in enumerate([*learner.model.labels, "lamp", "window"])}
    heard = Recognizer(learner.model, learner.weights).push(sound)
    assert [(numbers[e.word], e.score, e.end) for e in heard] == wanted
    assert {"lamp", "window"} & {e.word for e in heard}
    before = Recognizer(learner.model).push(sound)
    assert all(e.word in learner.model.labels for e in before)


def test_own_words_have_no_weights_to_learn() -> None:
    words = Words()
    number = words.add("lamp")
    for method in (READOUT, TRACES, READOUT | TAKES, 0):
        assert lib.tkws_learner_begin(words.machine.learner, method, number, 0) == E["ARGUMENT"]
    beyond = lib.tkws_model_words(words.model)
    assert lib.tkws_learner_begin(words.machine.learner, TAKES, beyond, 0) == E["ARGUMENT"]


def test_what_is_taught_is_saved_and_loaded(tmp_path: Any) -> None:
    learner = taught({"lamp": 2})
    learner.save(tmp_path / "taught")
    other = Learner(learner.model)
    other.load(tmp_path / "taught")
    assert other.words == learner.words
    stream = random_features(3, 60)
    assert (other.cosines(stream) == learner.cosines(stream)).all()


def test_words_that_cannot_be_taught() -> None:
    learner = Learner(Model(IMAGE))
    before = learner.weights
    silence = np.zeros(9000, np.int16)
    for word, takes in (
        ("two words", [pcm_of(1)]),
        ("_unknown_", [pcm_of(1)]),
        ("lamp", []),
        ("lamp", [pcm_of(1, 300)]),
        ("lamp", [pcm_of(1), silence]),
    ):
        with pytest.raises(DataError):
            learner.teach(word, takes)
    assert learner.weights == before
    for word in ("a", "b", "c", "d"):
        assert learner.teach(word, [pcm_of(1)]) is not None
    with pytest.raises(TraceKwsError, match="no room"):
        learner.teach("e", [pcm_of(1)])


BAD: dict[str, bytes] = {
    "no word": Own(n_words=0).payload(),
    "too many": Own(n_words=17).payload(),
    "negative": Own(rival_q15=-1).payload(),
    "short": OWN.payload()[:-1],
    "long": OWN.payload() + b"\0",
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_a_section_that_is_not_right_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="ownw"):
        Model(join([*sections(KEEPS_TAKES), ("ownw", BAD[name])]))


def test_the_section_needs_traces_and_comes_once() -> None:
    with pytest.raises(ModelError, match="ownw"):
        Model(with_own_words(make_image(), OWN))
    with pytest.raises(ModelError, match="ownw"):
        Model(with_own_words(IMAGE, OWN))
    assert struct.unpack("<5H", OWN.payload())[0] == Model(IMAGE).own_words == 4


def test_of_a_longer_recording_the_loudest_second_is_the_take() -> None:
    clip = pcm_of(3, 16000)
    long = np.concatenate([np.zeros(20000, np.int16), clip, np.zeros(24000, np.int16)])
    short, cut = Learner(Model(IMAGE)), Learner(Model(IMAGE))
    short.teach("lamp", [loudest_second(long)])
    cut.teach("lamp", [long])
    assert cut.weights == short.weights
    for learner, pcm in ((short, loudest_second(long)), (cut, long)):
        learner.learn([("yes", pcm)], force=True)
    assert cut.weights == short.weights
