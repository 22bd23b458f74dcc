# SPDX-License-Identifier: Apache-2.0
"""Budgets of the two classes of device, by benchmarks/sizes.json, and that the file is true."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from programs import load_program
from toolchain import ROOT, find
from tracekws.errors import MissingTool

measure = load_program("benchmarks/sizes.py").measure
BENCHMARKS = ROOT / "benchmarks"
FILE = BENCHMARKS / "sizes.json"
KIB = 1024
BOARDS = ("mps2-an386", "riscv-virt", "rp2040", "stm32f405")
SMALL_BOARDS = ("mps2-an386", "riscv-virt", "stm32f405")
"""On the RP2040 the core's code is in RAM, too, for speed; that part has 264 KiB."""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(FILE.read_text())
    return read


def sizes(found: dict[str, Any], board: str, model: str) -> dict[str, Any]:
    return dict(found["boards"][board][model])


@pytest.mark.parametrize("board", BOARDS)
def test_base_fits_its_class(board: str, found: dict[str, Any]) -> None:
    base = sizes(found, board, "base")
    assert base["ram"] <= 192 * KIB
    assert base["weights"] <= 112 * KIB
    assert base["image"] <= 192 * KIB
    assert base["slot"] <= 128 * KIB
    assert base["learning adds"] <= 16 * KIB


@pytest.mark.parametrize("board", BOARDS)
def test_small_fits_its_class(board: str, found: dict[str, Any]) -> None:
    small = sizes(found, board, "small")
    assert small["weights"] <= 40 * KIB
    assert small["flash"] <= 256 * KIB
    assert small["learning adds"] <= 16 * KIB
    if board in SMALL_BOARDS:
        assert small["ram"] <= 64 * KIB


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("model", ["base", "small"])
def test_the_stack_is_large_enough(board: str, model: str, found: dict[str, Any]) -> None:
    row = sizes(found, board, model)
    assert row["stack, worst"] < row["stack"]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("model", ["base", "small"])
def test_the_parts_are_the_whole(board: str, model: str, found: dict[str, Any]) -> None:
    """But for alignment, nothing of the file is left out of the parts read from the map."""
    row = sizes(found, board, model)
    parts = [n for key, n in row.items() if key.startswith(("code, ", "constants, "))]
    rest = row["flash"] - row["image"] - sum(parts)
    assert rest == row["flash, alignment and initial values"]
    assert 0 <= rest < (768 if board == "rp2040" else 64)
    in_ram = row["code and constants in RAM, alignment"]
    held = sum(row["variables"].values()) + in_ram + row["stack"]
    assert row["ram"] == held + sum(row[k] for k in ("weights", "takes", "network", "learner"))
    assert in_ram == 0 or board == "rp2040"


@pytest.mark.toolchain
@pytest.mark.parametrize("board", BOARDS)
def test_the_file_is_what_the_sources_give(
    board: str, found: dict[str, Any], tmp_path: Path
) -> None:
    prefix = "riscv64-unknown-elf-" if board == "riscv-virt" else "arm-none-eabi-"
    version = subprocess.run(
        [find(f"{prefix}gcc"), "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    recorded = found["compilers"][board]
    if version != recorded:
        pytest.skip(f"{FILE.name} was made with {recorded}, here is {version}")
    try:
        measured = measure(board, ROOT / "models" / "small.tkws", tmp_path)
    except MissingTool as reason:
        pytest.skip(str(reason))
    assert measured == sizes(found, board, "small"), "run make sizes"


def test_the_page_has_the_file(found: dict[str, Any]) -> None:
    page = (BENCHMARKS / "README.md").read_text()
    for board in BOARDS:
        for model in ("base", "small"):
            row = sizes(found, board, model)
            assert f"| {board} | {model} | {row['flash']:,} | {row['image']:,} |" in page
            assert f"| {row['ram']:,} |" in page
