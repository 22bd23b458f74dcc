# SPDX-License-Identifier: Apache-2.0
"""Every sum of the core fits at the corners of what the parser accepts."""

import re
from pathlib import Path

import pytest

from fuzzbuild import CORNERS, FIRMWARE, build_corners
from toolchain import run
from tracekws.errors import MissingTool

CHECKED = re.compile(r"\btkws_fx_(add|sub|mul|to16)\(")


def checked_places() -> set[tuple[str, int]]:
    """File and line of each operator whose result is checked."""
    return {
        (path.name, number)
        for path in (FIRMWARE / "core" / "src").glob("*.[ch]")
        for number, text in enumerate(path.read_text().splitlines(), 1)
        if CHECKED.search(text)
    }


def test_every_sum_fits_at_every_corner(tmp_path: Path) -> None:
    try:
        program = build_corners(tmp_path, CORNERS)
    except MissingTool as error:
        pytest.skip(str(error))
    *lines, total = run(program).splitlines()
    largest: dict[tuple[str, int], int] = {}
    for line in lines:
        file, number, bits, value = line.split()
        assert int(value) <= 2 ** (int(bits) - 1)
        place = (Path(file).name, int(number))
        largest[place] = max(largest.get(place, 0), int(value))
    assert len(largest) > 30
    assert set(largest) == checked_places()  # each of them was reached
    # the longest sum: 65,535 readout weights of -2^15, a neuron of a step each
    assert max(largest.values()) == 65535 * 2**15
    assert int(total.split()[1]) > 700
