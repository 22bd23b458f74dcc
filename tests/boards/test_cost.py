# SPDX-License-Identifier: Apache-2.0
"""Exact instruction counts on the boards' processors."""

from pathlib import Path

import pytest

from host_cli import tracekws, tracekws_json
from images import make_image, write_image

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = make_image(seed=5, n_neurons=24, n_classes=12, window_steps=50)
    return write_image(tmp_path_factory.mktemp("cost"), image)


def count(board: str, model: Path) -> dict[str, dict[str, int]]:
    done = tracekws("bench", "cost", str(model), "--board", board, "--json")
    if "apt-get install" in done.stderr:
        pytest.skip(done.stderr.strip())
    rows = tracekws_json("bench", "cost", str(model), "--board", board)["rows"]
    return {row["sound"]: row for row in rows}


@pytest.mark.parametrize("board", ["stm32f405", "riscv-virt"])
def test_counts_are_exact_and_add_up(board: str, model: Path) -> None:
    rows = count(board, model)
    assert rows == count(board, model)
    assert set(rows) == {"speech", "noise", "silence"}
    for row in rows.values():
        parts = [row[part] for part in ("front_end", "network", "detector")]
        assert row["total"] == sum(parts)
        assert min(parts) > 10_000
        # a step of learning has the network's own step in it, but not its scores
        assert min(row["traces_step"], row["learning_step"]) > 0.9 * row["network"] / 50


def test_plain_c_takes_more_than_the_dsp_instructions(model: Path) -> None:
    fast, plain = count("stm32f405", model), count("stm32f405, no DSP", model)
    assert all(fast[sound]["total"] < plain[sound]["total"] for sound in fast)


def test_unknown_board_is_one_line(model: Path) -> None:
    done = tracekws("bench", "cost", str(model), "--board", "toaster")
    assert done.returncode == 2
    assert "'toaster' is none of" in done.stderr.replace("\n", " ")
