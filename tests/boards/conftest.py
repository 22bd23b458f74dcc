# SPDX-License-Identifier: Apache-2.0
"""Emulated boards with a small random model in their firmware."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from firmware import build_firmware, need_emulator
from images import make_image
from tracekws.boards.emulator import emulated_board
from tracekws.boards.parts import MACHINES
from tracekws.boards.virtual import VirtualBoard

Start = Callable[[], VirtualBoard]


@pytest.fixture(scope="session")
def image() -> bytes:
    """Hears often: any word above chance, however short."""
    return make_image(
        seed=24,
        n_neurons=16,
        arrays={"word_threshold": np.zeros(5)},
        method=15,
        passes=2,
        smoothing_shift=0,
        refractory_steps=0,
        window_steps=2,
    )


@pytest.fixture(scope="session")
def model(image: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.tkws"
    path.write_bytes(image)
    return path


@pytest.fixture(scope="session", params=[n for n, m in MACHINES.items() if m.flash_bytes])
def name(request: pytest.FixtureRequest) -> str:
    need_emulator(request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def firmware(name: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_firmware(name, tmp_path_factory.mktemp("firmware"), MODEL=model)


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash"


@pytest.fixture
def start(firmware: Path, flash: Path) -> Iterator[Start]:
    """Start the board; it is ended with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(emulated_board(firmware, flash))
