# SPDX-License-Identifier: Apache-2.0
"""Mistakes taken back over the line: as the host does, in every session, and in the storage."""

from collections.abc import Callable

import numpy as np
import pytest

from images import Form, Own, with_own_words, with_traces
from loopback_device import Board, Flash, connect
from tracekws.core import Model
from tracekws.device.driver import Driver
from tracekws.errors import DeviceError, StorageError
from tracekws.recognizer import Recognizer

Make = Callable[..., Board]
OWN = Own(n_words=3, least_q15=32767, agreement_q15=0, single_q15=32767, rival_q15=0)


@pytest.fixture(scope="module")
def open_image(image: bytes) -> bytes:
    """The model of the other tests, with room for three words of the user's own."""
    return with_own_words(with_traces(image, Form.random(16, rank=3, seed=1)), OWN)


@pytest.mark.parametrize("word", [None, "lamp", "yes"], ids=["none", "own", "of the model"])
def test_a_device_corrects_as_the_host_does(
    virtual: Driver, open_image: bytes, pcm: np.ndarray, word: str | None
) -> None:
    ear = Recognizer(Model(open_image))
    assert list(virtual.listen([pcm])) == ear.push(pcm)
    ear.correct(word)
    result = virtual.correct(word)
    assert (result.word, result.takes, result.pause_seconds) == (word, 1, 0)
    assert virtual.weights() == ear.weights
    assert virtual.info().changed
    assert list(virtual.words()) == ["lamp"] * (word == "lamp")
    assert virtual.taken_back() == (word is None)
    assert virtual.room() == 3
    after = Recognizer(Model(open_image), ear.weights)
    assert list(virtual.listen([pcm])) == after.push(pcm)


def test_a_correction_is_stored_taken_back_and_forgotten(make: Make, pcm: np.ndarray) -> None:
    flash = Flash()
    device = connect(make(flash=flash))
    before = list(device.listen([pcm]))
    device.correct(None)
    device.save()
    after = list(device.listen([pcm]))
    assert after != before
    device = connect(make(flash=flash))
    assert device.taken_back() == 1
    assert list(device.listen([pcm])) == after
    device.correct("lamp")
    device.save()
    device.forget_word(device.info().unknown)
    assert (device.taken_back(), list(device.words())) == (0, ["lamp"])
    with pytest.raises(StorageError, match="no older generation"):
        device.undo()
    device.forget()
    assert list(device.listen([pcm])) == before


def test_corrections_while_the_board_hears_by_itself(make: Make, open_image: bytes) -> None:
    device = connect(make())
    live = device.listen_live()
    while not next(live).events:
        pass
    first = device.correct("lamp")
    assert first.pause_seconds == pytest.approx(0.02 * Model(open_image).header.window_steps)
    while not next(live).events:
        pass
    assert device.correct(None).word is None
    live.close()
    assert (device.taken_back(), list(device.words())) == (1, ["lamp"])


def test_nothing_heard_is_nothing_to_correct(make: Make, pcm: np.ndarray) -> None:
    device = connect(make(flash=Flash()))
    device.save()

    def refused(word: str | None) -> str:
        with pytest.raises(DeviceError) as error:
            device.correct(word)
        return error.value.name

    assert refused(None) == refused("yes") == "NO_SOUND"
    list(device.listen([pcm]))
    with device.learn(1):
        assert refused("yes") == "BUSY"
    assert refused("yes") == "NO_SOUND", "learning takes the memory"
    list(device.listen([pcm]))
    device.classify(pcm[:9000])
    assert refused("yes") == "NO_SOUND"
    list(device.listen([pcm]))
    assert refused("two words") == refused("") == "NAME"
    assert refused("_unknown_") == refused("_silence_") == "LABEL"
    for word in ("a", "b", "c"):
        device.correct(word)
        list(device.listen([pcm]))
    assert refused("d") == refused(None) == "NO_ROOM"
    assert not device.taken_back()
    assert device.info().changed


def test_what_was_heard_is_gone_with_a_recording(make: Make, pcm: np.ndarray) -> None:
    device = connect(make())
    list(device.listen([pcm]))
    device.record(0.2)
    with pytest.raises(DeviceError) as refused:
        device.correct(None)
    assert refused.value.name == "NO_SOUND"


def test_what_was_heard_is_gone_with_what_is_forgotten(make: Make, pcm: np.ndarray) -> None:
    device = connect(make(flash=Flash()))
    for forget in (device.forget, lambda: device.forget_word("lamp")):
        list(device.listen([pcm]))
        device.correct("lamp")
        list(device.listen([pcm]))
        forget()
        with pytest.raises(DeviceError) as refused:
            device.correct("lamp")
        assert refused.value.name == "NO_SOUND"
        assert not device.words()


def test_a_model_that_keeps_no_takes_corrects_nothing(
    make: Make, image: bytes, pcm: np.ndarray
) -> None:
    device = connect(make(image=image))
    list(device.listen([pcm]))
    for word in (None, "yes"):
        with pytest.raises(DeviceError) as refused:
            device.correct(word)
        assert refused.value.name == "NO_TRACES"


def test_a_device_that_knows_no_corrections_is_told_apart(make: Make) -> None:
    device = connect(make())
    device._hello = device._hello._replace(capabilities=device._hello.capabilities & 127)
    with pytest.raises(DeviceError) as refused:
        device.correct(None)
    assert refused.value.name == "REQUEST"
    assert device.taken_back() == 0
