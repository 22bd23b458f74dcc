# SPDX-License-Identifier: Apache-2.0
"""Takes that a device keeps: learned, stored and heard as on the host, in memory that is shared."""

from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

import reference_device as reference
from images import Form, make_image, with_traces
from loopback_device import Board, Flash, connect
from tracekws._core import lib
from tracekws.core import READOUT, TAKES, TRACES, Model, Network
from tracekws.device import protocol
from tracekws.device.driver import Driver, Event
from tracekws.errors import DeviceError, ProtocolError, code
from tracekws.recognizer import Recognizer

Make = Callable[..., Board]


@pytest.fixture(scope="module")
def open_image(image: bytes) -> bytes:
    """The model of the other tests, which keeps takes; a word that sounds like them is heard."""
    return with_traces(image, Form.random(16, rank=3, seed=1, weight_q10=12000, floor_q15=6000))


def teach(device: Driver, pcm: np.ndarray, *words: str, method: int = TAKES) -> bytes:
    with device.learn(3) as session:
        for i, word in enumerate(words):
            session.take_pcm(word, pcm[4000 * i : 4000 * i + 9001], 32767, method)
    return device.weights()


def events(image: bytes, weights: bytes, pcm: np.ndarray) -> list[Event]:
    return list(Recognizer(Model(image), weights).push(pcm))


def live_events(device: Driver, seconds: float) -> list[Event]:
    found: list[Event] = []
    with closing(device.listen_live(interval=0)) as live:
        for heard in live:
            found += heard.events
            if heard.seconds >= seconds:
                return found
    return found


def test_takes_equal_the_hosts(virtual: Driver, open_image: bytes, pcm: np.ndarray) -> None:
    pupil = reference.Pupil(open_image, 3)
    factory = pupil.weights
    words = ("yes", "no", "yes", "_unknown_", "_silence_")
    learned = teach(virtual, pcm, *words)
    for i, word in enumerate(words):
        heard = pupil.features(pcm[4000 * i : 4000 * i + 9001])
        pupil.take(word, heard, 32767, TAKES)
    assert learned == pupil.weights != factory
    assert virtual.info().changed
    clip = pcm[:9001]
    scores = virtual.classify(clip)[1]
    network = Network(Model(open_image), learned)
    assert scores.tolist() == network.scores(pupil.features(clip)).tolist()
    assert scores.tolist() != Network(Model(open_image)).scores(pupil.features(clip)).tolist()
    expected = events(open_image, learned, pcm)
    assert expected != events(open_image, factory, pcm)
    assert list(virtual.listen([pcm])) == expected


def test_what_is_kept_of_the_models_words_is_told(
    virtual: Driver, pcm: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of other words and of silence aside, which count for nothing."""
    assert virtual.kept() == {}
    teach(virtual, pcm, "yes", "no", "yes", "_unknown_", "_silence_")
    assert virtual.kept() == {"yes": 2, "no": 1}
    for _ in range(20):
        teach(virtual, pcm, "no")
    assert virtual.kept() == {"yes": 2, "no": 16}, "as many as are counted"
    with pytest.raises(DeviceError, match="argument"):
        virtual._link.request(protocol.WORDS, b"\x03")
    monkeypatch.setattr(protocol, "pack_takes", lambda: b"\x03")
    assert virtual.kept() == {}, "as firmware answers that does not know it"
    for counts in (bytes(4), bytes(6), b"\x11" + bytes(4)):
        monkeypatch.setattr(virtual._link, "request", lambda command, body, given=counts: given)
        with pytest.raises(ProtocolError):
            virtual.kept()


def test_takes_are_stored(make: Make, open_image: bytes, pcm: np.ndarray) -> None:
    flash = Flash()
    device = connect(make(flash=flash))
    factory = device.weights()
    first = teach(device, pcm, "yes")
    device.save()
    second = teach(device, pcm, "no", "yes")
    device.save()
    assert len({factory, first, second}) == 3
    device = connect(make(flash=flash))
    assert device.weights() == second
    assert list(device.listen([pcm])) == events(open_image, second, pcm)
    device.undo()
    assert device.weights() == first
    assert list(device.listen([pcm])) == events(open_image, first, pcm)
    assert connect(make(flash=flash)).weights() == first
    device.forget()
    assert device.weights() == factory
    assert list(device.listen([pcm])) == events(open_image, factory, pcm)


class Interrupted(Exception):
    pass


def test_takes_that_are_given_up_are_gone(make: Make, open_image: bytes, pcm: np.ndarray) -> None:
    def leave(device: Driver) -> None:
        with device.learn(3) as session:
            session.take_pcm("no", pcm[:9001], 32767, TAKES)
            assert device.weights() != kept
            raise Interrupted

    device = connect(make(flash=Flash()))
    kept = device.weights()
    with pytest.raises(Interrupted):
        leave(device)
    assert device.weights() == kept
    kept = teach(device, pcm, "yes")
    device.save()
    with pytest.raises(Interrupted):
        leave(device)
    assert device.weights() == kept
    assert list(device.listen([pcm])) == events(open_image, kept, pcm)


BEFORE: dict[str, Callable[[Driver, np.ndarray], object]] = {
    "listen": lambda device, pcm: list(device.listen([pcm])),
    "classify": lambda device, pcm: device.classify(pcm),
    "hear": lambda device, pcm: live_events(device, 1),
    "record": lambda device, pcm: device.record(1),
}


@pytest.mark.parametrize("method", [TAKES, TAKES | READOUT | TRACES])
@pytest.mark.parametrize("before", BEFORE)
def test_learning_does_not_see_what_was_in_its_memory(
    make: Make, pcm: np.ndarray, before: str, method: int
) -> None:
    """It holds templates, or a recording, before."""
    device, fresh = connect(make()), connect(make())
    for one in (device, fresh):
        teach(one, pcm, "yes")
    BEFORE[before](device, pcm)
    words = ("no", "up", "yes")
    assert teach(device, pcm, *words, method=method) == teach(fresh, pcm, *words, method=method)


@pytest.mark.parametrize("between", ["listen", "classify", "hear", "record", "learn", "nothing"])
def test_hearing_does_not_see_what_was_in_its_memory(
    make: Make, open_image: bytes, pcm: np.ndarray, between: str
) -> None:
    """And hears the takes of the last learning, not those before it."""
    device = connect(make())
    learned = teach(device, pcm, "yes")
    assert list(device.listen([pcm])) == events(open_image, learned, pcm)
    if between == "learn":
        learned = teach(device, pcm, "no", "no")
    elif between != "nothing":
        BEFORE[between](device, pcm)
    assert device.weights() == learned
    assert list(device.listen([pcm])) == events(open_image, learned, pcm)
    features = reference.Pupil(open_image, 1).features(pcm[:8000])
    scores = Network(Model(open_image), learned).scores(features)
    assert device.classify(pcm[:8000])[1].tolist() == scores.tolist()


def test_the_boards_own_microphone_is_heard_with_takes(
    make: Make, open_image: bytes, pcm: np.ndarray
) -> None:
    device = connect(make(burst=160))
    learned = teach(device, pcm, "yes")
    expected = events(open_image, learned, pcm)
    assert expected != events(open_image, Network(Model(open_image)).weights, pcm)
    assert live_events(device, 3) == expected


def test_a_recording_after_listening_is_what_was_heard(make: Make, pcm: np.ndarray) -> None:
    device = connect(make())
    learned = teach(device, pcm, "yes")
    list(device.listen([pcm]))
    assert device.record(1).pcm.tolist() == pcm[:16000].tolist()
    assert device.weights() == learned


@pytest.mark.parametrize("method", [TAKES, TAKES | READOUT])
def test_a_model_that_keeps_no_takes_says_so(
    make: Make, image: bytes, pcm: np.ndarray, method: int
) -> None:
    device = connect(make(image=image))
    factory = device.weights()
    with device.learn(3) as session:
        with pytest.raises(DeviceError, match="no section trac"):
            session.take_pcm("yes", pcm[:9001], 32767, method)
        assert device.weights() == factory
        session.take_pcm("yes", pcm[:9001], 32767, READOUT)
    assert device.weights() != factory


def test_templates_that_are_larger_than_the_learner_have_room(make: Make, pcm: np.ndarray) -> None:
    plain = make_image(seed=2, n_neurons=40, n_classes=3, window_steps=200)
    image = with_traces(plain, Form.random(40, rank=8, seed=1))
    model = Model(image)
    n_templates = lib.tkws_templates_memory_bytes(model.c)
    assert n_templates > lib.tkws_learner_memory_bytes(model.c)
    counts = lib.tkws_model_weight_counts(model.c)
    names = ("weights", "recurrent", "bias", "readout", "readout_bias")
    arrays = [2 * int(getattr(counts, name)) for name in names]
    arrays += [int(lib.tkws_model_takes_bytes(model.c))]
    rest = lib.tkws_network_memory_bytes(model.c) + n_templates
    room = sum((n + 3) // 4 * 4 for n in arrays) + rest
    board = make(image=image, sound=None, memories=(room,))
    device = connect(board)
    learned = teach(device, pcm, "yes")
    assert list(device.listen([pcm])) == events(image, learned, pcm)
    assert board.is_intact()
    assert make(image=image, sound=None, memories=(room - 4,)).started == code("MODEL_TOO_LARGE")
