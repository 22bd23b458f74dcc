# SPDX-License-Identifier: Apache-2.0
"""Power cuts at a sample of all flash operations; `make cuts` takes them all.

A case that fails is named. `make cuts` builds the program, and `build/cuts/cuts CASE` runs one.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from powercuts import GEOMETRIES, build_cuts, run_cuts
from toolchain import ROOT

pytestmark = pytest.mark.toolchain

EVERY = {"virtual": 400, "rp2040": 10, "stm32f405": 100, "riscv-virt": 100, "small": 40}
"""One case in so many: a smaller unit has more of them."""
CASE = "rp2040:forget:ss:6:8"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_cuts(tmp_path_factory.mktemp("cuts"))


def said(program: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_cut_leaves_the_old_state_or_the_new(program: Path, geometry: str) -> None:
    found, failed = run_cuts(program, geometry, EVERY[geometry])
    assert failed == []
    assert found["failures"] == 0
    assert found["cuts"] > 200
    assert found["second_cuts"] > 30


def test_a_case_runs_alone(program: Path) -> None:
    assert said(program, CASE) == (0, "geometry rp2040 cuts 1 second_cuts 0 failures 0\n")
    status, text = said(program, CASE.replace(":6:", ":6+2:"))
    assert (status, text) == (0, "geometry rp2040 cuts 1 second_cuts 1 failures 0\n")


@pytest.mark.parametrize("name", ["toaster", "rp2040:eat", "rp2040:forget:ss:99999:3"])
def test_a_case_that_there_is_not(program: Path, name: str) -> None:
    status, text = said(program, name)
    assert (status, "usage" in text) == (2, True)


def test_all_geometries_are_tested() -> None:
    source = (ROOT / "tests" / "cuts" / "cuts.c").read_text()
    table = source.partition("geometries[] = {")[2].partition("};")[0]
    assert tuple(re.findall(r'\{"(\S+)"', table)) == GEOMETRIES


def test_all_cuts_were_made_once() -> None:
    """By `make cuts`, which wrote the file."""
    found = json.loads((ROOT / "benchmarks" / "reliability.json").read_text())["power_cuts"]
    assert found["cuts"] >= 200_000
    assert set(found["geometries"]) == set(GEOMETRIES)
    assert all(counts["cuts"] >= 30 for counts in found["boards"].values())
    assert found["failures"] == sum(c["failures"] for c in found["boards"].values()) == 0
