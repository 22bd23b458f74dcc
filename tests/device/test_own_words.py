# SPDX-License-Identifier: Apache-2.0
"""Words that a device is taught: over the line, in its storage, and as the host has them."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from images import Form, Own, with_own_words, with_traces
from loopback_device import Board, Flash, connect
from recordings import write_take
from tracekws.core import Model, features
from tracekws.device import protocol
from tracekws.device.device import Device
from tracekws.device.driver import Driver
from tracekws.errors import DataError, DeviceError, StorageError
from tracekws.learner import Learner
from tracekws.recognizer import Recognizer
from tracekws.renditions import take_features

Make = Callable[..., Board]
OWN = Own(n_words=3, least_q15=3000, agreement_q15=3000, single_q15=0, rival_q15=0)


@pytest.fixture(scope="module")
def open_image(image: bytes) -> bytes:
    """The model of the other tests, with room for three words of the user's own."""
    return with_own_words(with_traces(image, Form.random(16, rank=3, seed=1)), OWN)


def teach(device: Driver, word: str, *takes: np.ndarray) -> None:
    with device.learn(1) as session:
        for take in takes:
            session.teach_pcm(word, take)


def teach_with_renditions(device: Driver, word: str, *takes: np.ndarray, model: Model) -> None:
    with device.learn(1) as session:
        for take in takes:
            session.teach_features(word, take_features(take, model.front_end, True))


def cut(pcm: np.ndarray, number: int) -> np.ndarray:
    return np.asarray(pcm[3000 * number : 3000 * number + 9001])


def test_a_device_learns_words_as_the_host_does(
    virtual: Driver, open_image: bytes, pcm: np.ndarray
) -> None:
    model = Model(open_image)
    learner = Learner(model)
    assert virtual.words() == {}
    for word, takes in (("lamp", (0, 1)), ("Fenster", (2,)), ("yes", (3,))):
        teach_with_renditions(virtual, word, *(cut(pcm, take) for take in takes), model=model)
        learner.teach(word, [cut(pcm, take) for take in takes])
    assert virtual.weights() == learner.weights
    assert virtual.words() == learner.words
    assert list(virtual.words()) == ["lamp", "Fenster"]
    assert virtual.info().changed
    assert virtual.info().labels == model.labels
    heard = list(virtual.listen([pcm]))
    assert heard == Recognizer(model, learner.weights).push(pcm)
    assert {"lamp", "Fenster"} & {event.word for event in heard}
    clip = cut(pcm, 5)
    assert (
        virtual.classify(clip)[1].tolist()
        == learner.scores(features(clip, model.front_end)).tolist()
    )


def test_words_are_stored_and_taken_back(make: Make, pcm: np.ndarray) -> None:
    flash = Flash()
    device = connect(make(flash=flash))
    teach(device, "lamp", cut(pcm, 0))
    device.save()
    teach(device, "window", cut(pcm, 1), cut(pcm, 2))
    device.save()
    device = connect(make(flash=flash))
    assert {w.word: w.takes for w in device.words().values()} == {"lamp": 1, "window": 2}
    device.undo()
    assert list(device.words()) == ["lamp"]
    device.forget()
    assert device.words() == {}


def test_a_word_that_is_forgotten_leaves_the_flash(make: Make, pcm: np.ndarray) -> None:
    flash = Flash()
    device = connect(make(flash=flash))
    teach(device, "lamp", cut(pcm, 0))
    device.save()
    teach(device, "window", cut(pcm, 1))
    device.save()
    with device.learn(1) as session:
        session.take_features("yes", np.ones((20, 80), np.int8), 32767, method=3)
    device.save()
    assert bytes(flash.data).count(b"lamp\0") == 2
    device.forget_word("lamp")
    assert b"lamp" not in bytes(flash.data)
    assert not device.info().changed
    assert sorted(device.info().slots) == ["empty", "valid"]
    assert list(device.words()) == ["window"]
    device = connect(make(flash=flash))
    assert list(device.words()) == ["window"]
    with pytest.raises(StorageError, match="no older generation"):
        device.undo()


def test_forgetting_that_the_flash_refused_is_done_the_next_time(
    make: Make, pcm: np.ndarray
) -> None:
    """Whichever operation it refused; some are not needed."""

    def board() -> tuple[Driver, Flash]:
        flash = Flash()
        device = connect(make(flash=flash))
        teach(device, "lamp", cut(pcm, 0))
        device.save()
        teach(device, "lamp", cut(pcm, 1))
        device.save()
        return device, flash

    device, flash = board()
    n_before = flash.n_operations
    device.forget_word("lamp")
    n_operations = flash.n_operations - n_before
    n_refused = 0
    for fails_at in range(1, n_operations + 1):
        device, flash = board()
        flash.fail_at = flash.n_operations + fails_at
        try:
            device.forget_word("lamp")
        except StorageError:
            n_refused += 1
            flash.fail_at = 0
            device.forget_word("lamp")
        assert b"lamp" not in bytes(flash.data)
        assert not device.info().changed
        with pytest.raises(DeviceError, match="no class of the model"):
            device.forget_word("lamp")
    assert n_refused == n_operations - 3, "but the log's last two, and a header"


@pytest.mark.parametrize("saves", [False, True], ids=["at once", "after a save"])
def test_forgetting_that_the_flash_refused_is_done_after_a_restart(
    make: Make, pcm: np.ndarray, saves: bool
) -> None:
    """By the start itself, or by the same request: whichever operation the flash refused.

    What is saved before that is saved without the word.
    """

    def board() -> tuple[Driver, Flash]:
        flash = Flash()
        device = connect(make(flash=flash))
        teach(device, "lamp", cut(pcm, 0))
        device.save()
        device.save()
        return device, flash

    device, flash = board()
    before = flash.n_operations
    device.forget_word("lamp")
    n_operations = flash.n_operations - before
    by_request = 0
    for fails_at in range(1, n_operations + 1):
        device, flash = board()
        flash.fail_at = flash.n_operations + fails_at
        with suppress(StorageError):
            device.forget_word("lamp")
        flash.fail_at = 0
        if saves:
            teach(device, "yes", cut(pcm, 1))
            device.save()
        device = connect(make(flash=flash))
        if device.words():
            by_request += 1
            device.forget_word("lamp")
        assert (device.words(), b"lamp" in bytes(flash.data)) == ({}, False), fails_at
    assert by_request == 0 if saves else 0 < by_request < n_operations


def test_a_device_is_asked_once_what_it_is(
    make: Make, pcm: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word, seed in (("yes", 1), ("yes", 2), ("no", 3), ("no", 4)):
        write_take(tmp_path / word / f"{seed}.wav", seed)
    board, asked = make(flash=Flash()), Counter[int]()
    write = board.write

    def note(data: bytes) -> None:
        asked.update(message[0] for message in protocol.FrameReader().push(data))
        write(data)

    monkeypatch.setattr(board, "write", note)
    with Device.over(board, "loopback", clock=board.clock) as device:
        device.adapt(tmp_path)
        assert asked[protocol.INFO] == 1
        asked.clear()
        device.teach("lamp", tmp_path / "yes", force=True)
        assert (asked[protocol.INFO], asked[protocol.WORDS]) == (1, 2), "before it and after it"
        asked.clear()
        taught = device.taught()
        assert asked[protocol.WORDS] == 1
        assert (list(taught.words), taught.sounds, taught.room) == (["lamp"], 0, 3)


def test_takes_of_a_word_of_the_model_are_forgotten(make: Make, pcm: np.ndarray) -> None:
    device = connect(make())
    factory = device.weights()
    teach(device, "yes", cut(pcm, 0))
    assert device.weights() != factory
    device.forget_word("yes")
    assert device.weights() == factory


def test_a_session_that_breaks_off_teaches_nothing(make: Make, pcm: np.ndarray) -> None:
    device = connect(make())
    with suppress(KeyboardInterrupt), device.learn(1) as session:
        session.teach_pcm("lamp", cut(pcm, 0))
        assert list(device.words()) == ["lamp"]
        raise KeyboardInterrupt
    assert device.words() == {}


@pytest.mark.parametrize(
    ("word", "name"), [("two words", "NAME"), ("", "NAME"), ("fourth", "NO_ROOM")]
)
def test_words_that_are_refused(make: Make, pcm: np.ndarray, word: str, name: str) -> None:
    device = connect(make())
    for number, taught in enumerate(("a", "b", "c")):
        teach(device, taught, cut(pcm, number))
    before = device.weights()
    with device.learn(1) as session:
        with pytest.raises(DeviceError) as refused:
            session.teach_pcm(word, cut(pcm, 0))
        assert refused.value.name == name
        assert device.weights() == before
        session.teach_pcm("b", cut(pcm, 4))
    assert device.words()["b"].takes == 2


def test_a_model_that_keeps_no_takes_is_taught_nothing(
    make: Make, image: bytes, pcm: np.ndarray
) -> None:
    device = connect(make(image=image))
    assert device.words() == {}
    with device.learn(1) as session, pytest.raises(DeviceError, match="no section trac"):
        session.teach_pcm("lamp", cut(pcm, 0))


@pytest.mark.parametrize("word", ["_unknown_", "_silence_"])
def test_what_has_no_one_sound_is_not_taught(make: Make, pcm: np.ndarray, word: str) -> None:
    device = connect(make())
    before = device.weights()
    with device.learn(1) as session, pytest.raises(DeviceError) as refused:
        session.teach_pcm(word, cut(pcm, 0))
    assert refused.value.name == "LABEL"
    assert device.weights() == before


def test_a_take_that_is_too_short_makes_no_word(make: Make, pcm: np.ndarray) -> None:
    device = connect(make())
    teach(device, "lamp", cut(pcm, 0))
    before = device.weights()
    with device.learn(1) as session:
        for word in ("window", "lamp"):
            with pytest.raises(DeviceError) as refused:
                session.teach_pcm(word, pcm[:100])
            assert refused.value.name == "TOO_SHORT"
        with pytest.raises(DataError):
            session.teach_pcm("window", pcm.astype(np.float32))
        with pytest.raises(DataError):
            session.take_pcm("yes", pcm.astype(np.float32), 0)
    assert list(device.words()) == ["lamp"]
    assert device.weights() == before


def test_words_that_are_too_long_for_a_name(make: Make, pcm: np.ndarray) -> None:
    device = connect(make())
    with pytest.raises(DeviceError) as refused:
        device.forget_word("x" * 900)
    assert refused.value.name == "LABEL"
    with device.learn(1) as session, pytest.raises(DeviceError) as refused:
        session.teach_pcm("x" * 900, cut(pcm, 0))
    assert refused.value.name == "NAME"


def test_forgetting_what_there_is_not(make: Make, pcm: np.ndarray) -> None:
    device = connect(make())
    with pytest.raises(DeviceError) as refused:
        device.forget_word("lamp")
    assert refused.value.name == "LABEL"
    with device.learn(1), pytest.raises(DeviceError) as refused:
        device.forget_word("yes")
    assert refused.value.name == "BUSY"


@pytest.mark.parametrize("fails_at", range(1, 12))
def test_flash_that_fails_while_a_word_is_forgotten(
    make: Make, pcm: np.ndarray, fails_at: int
) -> None:
    """What is saved stays whole: the word is there after a restart, or it is not."""
    flash = Flash()
    device = connect(make(flash=flash))
    teach(device, "lamp", cut(pcm, 0))
    teach(device, "window", cut(pcm, 1))
    device.save()
    flash.fail_at = flash.n_operations + fails_at
    with suppress(DeviceError):
        device.forget_word("lamp")
    flash.fail_at = 0
    again = connect(make(flash=flash))
    assert list(again.words()) in (["lamp", "window"], ["window"], [])
    assert again.words() != {} or again.info().generation == 0
