# SPDX-License-Identifier: Apache-2.0
"""That a port is right: a board does over its serial line what the host's core does, bit for bit.

By itself this tests the virtual board. To test another one, emulated or on the desk, name its port,
and, where its learned weights may be lost, say so:

    TRACEKWS_TEST_PORT=/dev/ttyACM0 TRACEKWS_TEST_ERASES=yes .venv/bin/python -m pytest \
        tests/boards/test_port.py
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import reference_device as reference
from toolchain import ROOT
from tracekws import modelfile
from tracekws._core import ffi, lib
from tracekws.audio import read_clip
from tracekws.core import Model
from tracekws.device.board import virtual_board
from tracekws.device.driver import Device
from tracekws.errors import StorageError, TraceKwsError

PORT = os.environ.get("TRACEKWS_TEST_PORT")
MAY_ERASE = PORT is None or os.environ.get("TRACEKWS_TEST_ERASES") == "yes"
MODEL = ROOT / "models" / "base.tkws"
TAKES = sorted((ROOT / "examples" / "speech" / "scot").glob("*/*.*"))[::6]
SEED = 7


def check_hearing(device: Device, image: bytes) -> None:
    """Scores and word of a few takes."""
    labels = Model(image).labels
    for path in TAKES:
        pcm = read_clip(path)
        word, scores = device.classify(pcm)
        expected = reference.scores(image, pcm)
        assert (scores == expected).all(), path
        assert word == labels[int(expected.argmax())]


def check_learning(device: Device, image: bytes) -> None:
    """Weights after a take with everything that the core learns by, then as they were."""
    pupil = reference.Pupil(image, SEED)
    before = device.weights()
    assert before == pupil.weights, "the board has learned already: tracekws forget"
    pcm = read_clip(TAKES[0])
    with suppress(InterruptedError), device.learn(SEED) as session:
        session.take_pcm("yes", pcm, 32767, 7)
        pupil.take("yes", pupil.features(pcm), 32767, 7)
        raise InterruptedError  # an aborted session gives back what was saved last
    assert device.weights() == before
    with device.learn(SEED) as session:
        session.take_pcm("yes", pcm, 32767, 7)
    after = device.weights()
    assert after == pupil.weights
    assert after != before


def check_storage(device: Device) -> None:
    """What was learned is saved, survives a session that is aborted, and is forgotten."""
    learned = device.weights()
    assert device.save() == device.info().generation
    assert device.weights() == learned
    device.forget()
    assert device.info().generation == 0
    assert device.weights() != learned


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The port of the board to test."""
    if PORT:
        yield PORT
        return
    try:
        with virtual_board(MODEL, tmp_path_factory.mktemp("port") / "flash") as running:
            yield running.port
    except TraceKwsError as error:
        pytest.skip(str(error))


def test_the_port_hears_and_learns_as_the_host_does(board: str) -> None:
    image = MODEL.read_bytes()
    with Device.open(board) as device:
        assert device.info().model_crc == Model(image).crc, "flash it with models/base.tkws"
        check_hearing(device, image)
        if not MAY_ERASE:
            pytest.skip("learning and storage only with TRACEKWS_TEST_ERASES=yes")
        check_learning(device, image)
        try:
            check_storage(device)
        except StorageError as error:
            pytest.skip(f"the board has no storage: {error}")


def test_a_wrong_port_is_found(tmp_path: Path) -> None:
    """One constant of the front end is another on the board: a slower running mean."""
    model = Model.load(MODEL)
    header = ffi.new("tkws_model_header *", model.header)
    header.mean_shift += 1
    wrong = tmp_path / "wrong.tkws"
    wrong.write_bytes(modelfile.seal(header, model.image[lib.TKWS_MODEL_HEADER_BYTES : -4]))
    with (
        virtual_board(wrong, tmp_path / "flash") as running,
        Device.open(running.port) as device,
    ):
        with pytest.raises(AssertionError):
            check_hearing(device, model.image)
        with pytest.raises(AssertionError):
            check_learning(device, model.image)


def test_the_takes_differ() -> None:
    heard = [tuple(reference.scores(MODEL.read_bytes(), read_clip(path))) for path in TAKES]
    assert len(TAKES) >= 4
    assert len(set(heard)) == len(heard)
    assert np.ptp(np.array(heard), axis=0).max() > 0
