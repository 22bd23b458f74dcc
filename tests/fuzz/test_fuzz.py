# SPDX-License-Identifier: Apache-2.0
"""What fuzzers have found is run again, and the core's sums are tried at every corner."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from fuzzbuild import CORPUS, FAULTS, FIRMWARE, PLAIN, TARGETS, Build, build_corners, build_targets
from fuzzseeds import seeds
from toolchain import run
from tracekws.errors import MissingTool

Built = TypeVar("Built")
CHECKED = re.compile(r"\btkws_fx_(add|sub|mul|to16)\(")


def built(make: Callable[[], Built]) -> Built:
    """What a build gives; the test is skipped without a compiler."""
    try:
        return make()
    except MissingTool as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return built(lambda: build_targets(list(TARGETS), tmp_path_factory.mktemp("fuzz"), PLAIN))


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_runs_again(programs: dict[str, Path], tmp_path: Path, target: str) -> None:
    # on failure the last line of the output names the input
    inputs = sorted([*(CORPUS / target).iterdir(), *(FAULTS / target).glob("*")])
    for number, seed in enumerate(seeds(target)):
        inputs.append(tmp_path / f"seed{number:03}")
        inputs[-1].write_bytes(seed)
    assert len(inputs) > 10
    assert run(programs[target], *inputs) == f"{len(inputs)} inputs\n"


def test_every_sum_fits_at_every_corner(tmp_path: Path) -> None:
    how = Build("cc", ["-O2", "-g", *PLAIN.flags[2:]])
    *lines, total = run(built(lambda: build_corners(tmp_path, how))).splitlines()
    largest: dict[tuple[str, int], int] = {}
    for line in lines:
        file, number, bits, value = line.split()
        assert int(value) <= 2 ** (int(bits) - 1)
        place = (Path(file).name, int(number))
        largest[place] = max(largest.get(place, 0), int(value))
    checked = {
        (path.name, number)
        for path in (FIRMWARE / "core" / "src").glob("*.[ch]")
        for number, text in enumerate(path.read_text().splitlines(), 1)
        if CHECKED.search(text)
    }
    assert len(checked) > 30
    assert set(largest) == checked  # each of them was reached
    # the longest sum: 65,535 readout weights of -2^15, a neuron of a step each
    assert max(largest.values()) == 65535 * 2**15
    assert int(total.split()[1]) > 700
