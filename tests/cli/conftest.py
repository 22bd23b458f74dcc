# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, and a virtual board with a small random model."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from images import make_image, write_image
from recordings import write_take
from tracekws import cli
from tracekws.boards.virtual import VirtualBoard, board_program, virtual_board
from tracekws.errors import TraceKwsError


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch, capsys) -> Run:
    """Run a command line as the console script does."""
    monkeypatch.delenv("TRACEKWS_PORT", raising=False)

    def call(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["tracekws", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def image() -> bytes:
    """Hears `yes` in everything, until it learns better; 12 steps are enough to hear."""
    bias = np.zeros(5)
    bias[0] = 4000
    return make_image(
        seed=7,
        n_neurons=16,
        arrays={"readout_bias": bias},
        method=3,
        passes=2,
        smoothing_shift=0,
        refractory_steps=5,
    )


@pytest.fixture(scope="session")
def model(image: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("model"), image)


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    path = tmp_path / "other.tkws"
    path.write_bytes(make_image(seed=3, n_neurons=9, n_classes=4))
    return path


@pytest.fixture(scope="session")
def built() -> None:
    try:
        board_program()
    except TraceKwsError as error:
        pytest.skip(str(error))


@pytest.fixture
def board(built: None, model: Path, tmp_path: Path) -> Iterator[VirtualBoard]:
    with virtual_board(model, tmp_path / "flash") as running:
        yield running


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """Three takes of two words and of other words."""
    folder = tmp_path / "takes"
    for seed, name in enumerate(("yes", "no", "_other")):
        for number in range(1, 4):
            write_take(folder / name / f"{number}.wav", 10 * seed + number)
    return folder


def processes_naming(path: Path) -> list[int]:
    """Numbers of the running processes that have a path in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(path).encode() in words:
            found.append(int(entry.name))
    return found


@pytest.fixture
def leftovers() -> Callable[[Path], list[int]]:
    """See processes_naming()."""
    return processes_naming
