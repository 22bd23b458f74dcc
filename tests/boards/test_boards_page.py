# SPDX-License-Identifier: Apache-2.0
"""Figures of docs/boards.md that are computed from counts of instructions."""

import json
import re

import pytest

from toolchain import ROOT

PAGE = (ROOT / "docs" / "boards.md").read_text()


def clock_hz(board: str) -> int:
    """The processor's clock, as the board's own sources set it."""
    folder = ROOT / "firmware" / "boards" / board
    text = "".join(path.read_text() for path in sorted(folder.glob("*.[ch]")))
    return int(re.findall(r"#define SYSTEM_HZ (\d+)u", text)[0])


@pytest.mark.parametrize("board", ["rp2040", "stm32f405"])
def test_the_page_says_how_much_of_the_time_a_board_sleeps(board: str) -> None:
    rows = json.loads((ROOT / "benchmarks" / "cost.json").read_text())["rows"]
    (count,) = (
        row["with_own_words"] for row in rows if (row["board"], row["sound"]) == (board, "speech")
    )
    clock = clock_hz(board)
    asleep = [100 * (1 - cycles * count / clock) for cycles in (1, 2)]
    line = f"| `{board}` | {clock / 1e6:.0f} MHz | {asleep[0]:.1f} % | {asleep[1]:.1f} % |"
    assert line in PAGE
