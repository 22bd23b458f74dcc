# SPDX-License-Identifier: Apache-2.0
"""Sessions on the virtual board, over its serial line, against the same C on the host."""

from itertools import pairwise

import numpy as np
import pytest

import reference_device as reference
from tracekws.boards.virtual import VirtualBoard
from tracekws.core import Model
from tracekws.device import protocol
from tracekws.device.driver import Driver
from tracekws.errors import DataError, DeviceError, NoDeviceError


def pieces(pcm: np.ndarray, seed: int, longest: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    cuts = [0]
    while cuts[-1] < len(pcm):
        cuts.append(min(cuts[-1] + int(rng.integers(0, longest + 1)), len(pcm)))
    return [pcm[a:b] for a, b in pairwise(cuts)]


def test_info(device: Driver, image: bytes) -> None:
    model = Model(image)
    info = device.info()
    assert (info.board, info.protocol, info.model_name) == ("virtual", 2, model.name)
    assert (info.model_crc, info.labels) == (model.crc, model.labels)
    assert (info.unknown, info.silence) == ("_unknown_", "_silence_")
    assert (info.method, info.passes) == (model.header.method, model.header.passes)
    assert (info.generation, info.slots, info.erases) == (0, ("empty", "empty"), 0)
    assert (info.trainable_bytes, info.ram_bytes) == (model.trainable_bytes, 192 * 1024)
    assert not info.changed
    assert info.max_pcm_credit >= 2


def test_factory_weights(device: Driver, image: bytes) -> None:
    assert device.weights() == reference.Pupil(image, 1).weights


@pytest.mark.parametrize("longest", [1000, 320, 5000, 48000])
def test_events_for_any_chunks(device: Driver, image: bytes, pcm: np.ndarray, longest: int) -> None:
    expected = reference.events(image, pcm)
    assert len(expected) > 5
    assert len({event.word for event in expected}) > 1
    assert list(device.listen(pieces(pcm, longest, longest))) == expected


def test_events_for_single_samples(pty_device: Driver, image: bytes, pcm: np.ndarray) -> None:
    start = pcm[:8000]
    assert list(pty_device.listen(list(start[:, None]))) == reference.events(image, start)


def test_events_come_while_streaming(pty_device: Driver, image: bytes, pcm: np.ndarray) -> None:
    taken = 0

    def chunks():
        nonlocal taken
        for chunk in np.split(pcm, 300):
            taken += 1
            yield chunk

    first = next(stream := pty_device.listen(chunks()))
    assert first == reference.events(image, pcm)[0]
    assert taken * 160 / 16000 < first.end + 0.3
    stream.close()
    assert list(pty_device.listen([pcm])) == reference.events(image, pcm)


def test_listen_stops_when_the_source_fails(pty_device: Driver, pcm: np.ndarray) -> None:
    def broken():
        yield pcm[:5000]
        raise RuntimeError("the microphone is gone")

    with pytest.raises(RuntimeError, match="microphone"):
        list(pty_device.listen(broken()))
    pty_device.classify(pcm)


def test_listen_to_nothing(device: Driver) -> None:
    assert list(device.listen([])) == []


@pytest.mark.parametrize("n_samples", [560, 561, 16000, 16001])
def test_classify(device: Driver, image: bytes, pcm: np.ndarray, n_samples: int) -> None:
    label, scores = device.classify(pcm[:n_samples])
    expected = reference.scores(image, pcm[:n_samples])
    assert scores.tolist() == expected.tolist()
    assert label == Model(image).labels[int(np.argmax(expected))]


@pytest.mark.parametrize("n_samples", [0, 1, 559])
def test_classify_too_short(pty_device: Driver, pcm: np.ndarray, n_samples: int) -> None:
    with pytest.raises(DeviceError, match="shorter than one network step"):
        pty_device.classify(pcm[:n_samples])
    pty_device.classify(pcm)


def test_learn_equals_the_host(device: Driver, image: bytes, pcm: np.ndarray) -> None:
    pupil = reference.Pupil(image, 77)
    factory = pupil.weights
    with device.learn(77) as session:
        for i, label in enumerate(("yes", "no", "_unknown_", "up", "_silence_")):
            take = pcm[i * 4000 : i * 4000 + 9001]
            heard = pupil.features(take)
            scale = 32767 - 5000 * i
            method = None if i % 2 else 3
            session.take_pcm(label, take, scale, method)
            pupil.take(label, heard, scale, method)
            session.take_features(label, heard, scale // 2)
            pupil.take(label, heard, scale // 2)
    assert pupil.weights != factory
    assert device.weights() == pupil.weights
    assert device.info().changed
    # the next session goes on from there, with a generator of its own
    pupil.learner.__init__(pupil.model, 5)
    pupil.learner.weights = device.weights()
    with device.learn(5) as session:
        session.take_pcm("no", pcm[:20000], 32767)
    pupil.take("no", pupil.features(pcm[:20000]), 32767)
    assert device.weights() == pupil.weights


class Interrupted(Exception):
    pass


def leave_by_exception(device: Driver, pcm: np.ndarray) -> None:
    with device.learn(1) as session:
        session.take_pcm("yes", pcm, 32767)
        raise Interrupted


def test_aborted_learning_goes_back(device: Driver, pcm: np.ndarray) -> None:
    factory = device.weights()
    with pytest.raises(Interrupted):
        leave_by_exception(device, pcm)
    assert device.weights() == factory
    with device.learn(1) as session:
        session.take_pcm("no", pcm, 32767)
    saved = device.weights()
    device.save()
    with pytest.raises(Interrupted):
        leave_by_exception(device, pcm)
    assert device.weights() == saved != factory


def test_lost_host_aborts_learning(board: VirtualBoard, pcm: np.ndarray) -> None:
    with Driver.open(board.port) as device:
        factory = device.weights()
        session = device.learn(1)
        session.__enter__().take_pcm("yes", pcm, 32767)
        assert device.weights() != factory
    with Driver.open(board.port) as device:
        assert device.weights() == factory


@pytest.mark.parametrize("label", ["maybe", "", "a label that is much too long", "ja\N{SNOWMAN}"])
def test_unknown_word_changes_nothing(pty_device: Driver, pcm: np.ndarray, label: str) -> None:
    factory = pty_device.weights()
    with pty_device.learn(1) as session:
        with pytest.raises(DeviceError, match="no class of the model") as refused:
            session.take_pcm(label, pcm, 32767)
        assert refused.value.name == "LABEL"
        assert pty_device.weights() == factory
        session.take_pcm("yes", pcm, 32767)


def test_too_short_a_take(pty_device: Driver, image: bytes, pcm: np.ndarray) -> None:
    pupil = reference.Pupil(image, 3)
    with pty_device.learn(3) as session:
        with pytest.raises(DeviceError, match="shorter than one network step"):
            session.take_pcm("yes", pcm[:559], 32767)
        session.take_pcm("yes", pcm, 32767)
    pupil.take("yes", pupil.features(pcm), 32767)
    assert pty_device.weights() == pupil.weights


def test_too_long_a_take(pty_device: Driver) -> None:
    features = np.zeros((65536, 80), np.int8)
    with pty_device.learn(3) as session:
        session.take_features("yes", features[:100], 0, method=0)
        with pytest.raises(DeviceError, match="longer than the device can learn from"):
            session.take_features("yes", features, 0, method=0)
        # what came before stays; the take can still be closed
        pty_device._link.request(protocol.TAKE_END)


def test_bad_arguments(pty_device: Driver, pcm: np.ndarray) -> None:
    with pytest.raises(DataError):
        pty_device.classify(pcm.astype(np.float32))
    with pytest.raises(DataError):
        pty_device.classify(np.stack([pcm, pcm]))
    with pty_device.learn(1) as session:
        with pytest.raises(ValueError, match="scale"):
            session.take_pcm("yes", pcm, 32768)
        with pytest.raises(DeviceError, match="out of its range"):
            session.take_pcm("yes", pcm, 1, method=32)
        with pytest.raises(DataError):
            session.take_features("yes", np.zeros((3, 40), np.int8), 1)
        with pytest.raises(DeviceError, match="another session"):
            list(pty_device.listen([pcm]))


def test_what_this_program_has_closed_is_told_so(device: Driver) -> None:
    device.close()
    with pytest.raises(NoDeviceError, match="this program has closed the line: open it again"):
        device.info()
    device.close()
