# SPDX-License-Identifier: Apache-2.0
"""A virtual board with a small random model, behind a pty and behind TCP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images import make_image, write_image
from loopback_device import Board
from recordings import changing_noise
from reference_device import Start
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.device.driver import Driver

# Events are frequent: any word above chance, however short.
EVENTFUL = {"smoothing_shift": 0, "refractory_steps": 0, "window_steps": 2}


@pytest.fixture(scope="session")
def image() -> bytes:
    return make_image(
        seed=24,
        n_neurons=16,
        arrays={"word_threshold": np.zeros(5)},
        method=15,
        **EVENTFUL,
    )


@pytest.fixture(scope="session")
def model(image: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("model"), image)


@pytest.fixture(scope="session")
def pcm() -> np.ndarray:
    """Three seconds of noise whose level changes, as speech's does."""
    return changing_noise(30, 1600)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the library with the application in it."""
    return tmp_path_factory.mktemp("loopback")


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash"


@pytest.fixture
def start(model: Path, flash: Path) -> Iterator[Start]:
    """Start a board, on a pty unless told; it is ended with the test."""
    with ExitStack() as stack:

        def run(tcp: int | None = None, **options: Any) -> VirtualBoard:
            name = options.pop("model", model)
            file = options.pop("flash", flash)
            return stack.enter_context(virtual_board(name, file, tcp=tcp, **options))

        yield run


@pytest.fixture(params=["pty", "tcp"])
def board(request: pytest.FixtureRequest, start: Start) -> VirtualBoard:
    return start(None if request.param == "pty" else 0)


@pytest.fixture
def device(board: VirtualBoard) -> Iterator[Driver]:
    """A device over each kind of line in turn."""
    with Driver.open(board.port) as opened:
        yield opened


@pytest.fixture
def pty_device(start: Start) -> Iterator[Driver]:
    with Driver.open(start().port) as opened:
        yield opened


@pytest.fixture
def make(folder: Path, open_image: bytes, pcm: np.ndarray) -> Callable[..., Board]:
    """Boards in this process; open_image is the model that a module gives them."""

    def board(**options: Any) -> Board:
        options.setdefault("sound", pcm)
        return Board(folder, options.pop("image", open_image), **options)

    return board


@pytest.fixture
def virtual(start: Start, open_image: bytes, tmp_path: Path) -> Iterator[Driver]:
    """The driver of a virtual board with that model."""
    model = tmp_path / "open.tkws"
    model.write_bytes(open_image)
    with Driver.open(start(model=model).port) as device:
        yield device
