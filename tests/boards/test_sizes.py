# SPDX-License-Identifier: Apache-2.0
"""Budgets of the two classes of device, by benchmarks/sizes.json, and that the file is true."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toolchain import ROOT, find

FILE = ROOT / "benchmarks" / "sizes.json"
KIB = 1024
BOARDS = ("mps2-an386", "riscv-virt", "rp2040", "stm32f405")
BARE_BOARDS = ("mps2-an386", "riscv-virt")
"""Without microphone buffers, and with all code in flash."""


@pytest.fixture(scope="module")
def sizes() -> dict[str, dict[str, dict[str, int]]]:
    boards: dict[str, dict[str, dict[str, int]]] = json.loads(FILE.read_text())["boards"]
    return boards


@pytest.mark.parametrize("board", BOARDS)
def test_base_fits_its_class(board: str, sizes: dict[str, Any]) -> None:
    base = sizes[board]["base"]
    assert base["ram"] <= 192 * KIB
    assert base["weights"] <= 112 * KIB
    assert base["image"] <= 192 * KIB
    assert base["slot"] <= 128 * KIB
    assert base["learning_adds"] <= 16 * KIB


@pytest.mark.parametrize("board", BOARDS)
def test_small_fits_its_class(board: str, sizes: dict[str, Any]) -> None:
    small = sizes[board]["small"]
    assert small["weights"] <= 40 * KIB
    assert small["flash"] <= 256 * KIB
    assert small["learning_adds"] <= 16 * KIB
    if board in BARE_BOARDS:
        assert small["ram"] <= 64 * KIB


@pytest.mark.toolchain
def test_the_file_is_what_the_sources_give(sizes: dict[str, Any], tmp_path: Path) -> None:
    version = subprocess.run(
        [find("arm-none-eabi-gcc"), "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    recorded = json.loads(FILE.read_text())["compilers"]["mps2-an386"]
    if version != recorded:
        pytest.skip(f"{FILE.name} was made with {recorded}, here is {version}")
    program = (
        "import json, sizes; from pathlib import Path;"
        f"print(json.dumps(sizes.measure('mps2-an386', Path({str(ROOT)!r}) / 'models/small.tkws')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=FILE.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == sizes["mps2-an386"]["small"], "run make sizes"
