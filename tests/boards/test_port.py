# SPDX-License-Identifier: Apache-2.0
"""That a port is right: a board does over its serial line what the host's core does, bit for bit.

By itself this tests the virtual board and an emulated one. To test another one, emulated or on the
desk, name its port, and, where its learned weights may be lost, say so:

    TRACEKWS_TEST_PORT=/dev/ttyACM0 TRACEKWS_TEST_ERASES=yes .venv/bin/python -m pytest \
        tests/boards/test_port.py
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import reference_device as reference
from firmware import build_firmware, need_emulator, need_virtual_board
from toolchain import ROOT, find, run
from tracekws.audio import read_clip
from tracekws.boards.emulator import emulated_board
from tracekws.boards.virtual import VARIABLE, virtual_board
from tracekws.core import LATENT, READOUT, TRACES, Model
from tracekws.device.device import Device
from tracekws.errors import DeviceError, TraceKwsError

PORT = os.environ.get("TRACEKWS_TEST_PORT")
MAY_ERASE = PORT is None or os.environ.get("TRACEKWS_TEST_ERASES") == "yes"
MODEL = ROOT / "models" / "base.tkws"
TAKES = sorted((ROOT / "examples" / "speech" / "scot").glob("*/*.*"))[::6]
SEED = 7
METHOD = READOUT | TRACES | LATENT
"""All that the base model can learn by."""


def check_hearing(device: Device, image: bytes) -> None:
    """Scores and word of a few takes, and the words of the stream that they make."""
    labels = Model(image).labels
    heard = [read_clip(path) for path in TAKES]
    for path, pcm in zip(TAKES, heard, strict=True):
        word, scores = device.classify(pcm)
        expected = reference.scores(image, pcm)
        assert (scores == expected).all(), path
        assert word == labels[int(expected.argmax())]
    stream = np.concatenate(heard)
    words = reference.events(image, stream)
    assert words
    assert list(device.listen([stream])) == words


def abort(device: Device, pcm: np.ndarray) -> None:
    """A session that learns and is aborted: it gives back what was saved last."""
    with suppress(InterruptedError), device.learn(SEED) as session:
        session.take_pcm("no", pcm, 32767, METHOD)
        raise InterruptedError


def check_learning(device: Device, image: bytes) -> None:
    """Weights after a take, and that a session that is aborted leaves none."""
    pupil = reference.Pupil(image, SEED)
    before = device.weights()
    assert before == pupil.weights, "the board has learned already: tracekws forget"
    pcm = read_clip(TAKES[0])
    abort(device, pcm)
    assert device.weights() == before
    with device.learn(SEED) as session:
        session.take_pcm("yes", pcm, 32767, METHOD)
    pupil.take("yes", pupil.features(pcm), 32767, METHOD)
    assert device.weights() == pupil.weights != before


def has_storage(device: Device) -> bool:
    """Save, on a board that can; one that tries and fails is a failure."""
    try:
        device.save()
    except DeviceError as error:
        if error.name != "UNSUPPORTED":
            raise
        return False
    return True


def check_storage(device: Device, image: bytes) -> None:
    """What was learned is saved; a second generation on it, one step back, and all forgotten."""
    first = device.weights()
    if not has_storage(device):
        return
    generation = device.info().generation
    pcm = read_clip(TAKES[1])
    with device.learn(SEED) as session:
        session.take_pcm("no", pcm, 32767, METHOD)
    second = device.weights()
    assert second != first
    assert device.save() == generation + 1
    abort(device, pcm)
    assert device.weights() == second
    assert device.undo() == generation
    assert device.weights() == first
    device.forget()
    assert device.info().generation == 0
    assert device.weights() == reference.Pupil(image, SEED).weights


@pytest.fixture(scope="module", params=["the port"] if PORT else ["virtual", "mps2-an386"])
def board(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The port of the board to test."""
    if PORT:
        yield PORT
        return
    folder = tmp_path_factory.mktemp("port")
    if request.param == "virtual":
        need_virtual_board()
        running = virtual_board(MODEL, folder / "flash")
    else:
        need_emulator(request.param)
        firmware = build_firmware(request.param, folder, MODEL=MODEL)
        running = emulated_board(firmware, folder / "flash")
    with running as started:
        yield started.port


def test_the_port_hears_as_the_host_does(board: str) -> None:
    image = MODEL.read_bytes()
    with Device.open(board) as device:
        assert device.info().model_crc == Model(image).crc, "flash it with models/base.tkws"
        check_hearing(device, image)


@pytest.mark.skipif(not MAY_ERASE, reason="it erases: only with TRACEKWS_TEST_ERASES=yes")
def test_the_port_learns_and_stores_as_the_host_does(board: str) -> None:
    image = MODEL.read_bytes()
    with Device.open(board) as device:
        check_learning(device, image)
        check_storage(device, image)


WRONG = {
    "front end": ("core/src/frontend.c", "FIRST_PASS_BITS 14", "FIRST_PASS_BITS 13", check_hearing),
    "detector": ("core/src/detector.c", "(TKWS_WINDOW - TKWS_HOP)", "TKWS_HOP", check_hearing),
    "generator": ("core/include/tracekws/rng.h", ") << 13", ") << 12", check_learning),
    "slots": (
        "app/storage.c",
        "generation_is_newer(s->slots[i]",
        "!generation_is_newer(s->slots[i]",
        check_storage,
    ),
}
"""Firmwares with one thing wrong: where, what, instead; and the check that finds it."""
CHECKS = (check_hearing, check_learning, check_storage)


@pytest.mark.toolchain
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_port_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks before the one that finds it pass."""
    file, right, wrong, finds = WRONG[name]
    sources = tmp_path / "firmware"
    shutil.copytree(ROOT / "firmware", sources)
    text = (sources / file).read_text()
    assert text.count(right) == 1
    (sources / file).write_text(text.replace(right, wrong))
    folders = ("core/src", "app", "boards/virtual")
    code = [path for folder in folders for path in sorted((sources / folder).glob("*.c"))]
    includes = [f"-I{sources / folder}" for folder in ("core/include", "app", "boards")]
    run(find("cc"), "-std=c11", "-O2", *includes, *code, "-o", tmp_path / "board")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "board"))
    image = MODEL.read_bytes()
    with (
        virtual_board(MODEL, tmp_path / "flash") as running,
        Device.open(running.port) as device,
    ):
        for check in CHECKS[: CHECKS.index(finds)]:
            check(device, image)
        with pytest.raises((AssertionError, TraceKwsError)):
            finds(device, image)


def test_the_takes_differ() -> None:
    heard = [tuple(reference.scores(MODEL.read_bytes(), read_clip(path))) for path in TAKES]
    assert len(TAKES) >= 4
    assert len(set(heard)) == len(heard)
    assert np.ptp(np.array(heard), axis=0).max() > 0
