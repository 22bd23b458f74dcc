# SPDX-License-Identifier: Apache-2.0
"""What a fuzzer starts from, what it has kept, and what once failed: run without one."""

from pathlib import Path

import pytest

from fuzzbuild import CORPUS, FAULTS, PLAIN, TARGETS, build_targets
from fuzzseeds import seeds
from toolchain import run
from tracekws.errors import MissingTool


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    try:
        return build_targets(list(TARGETS), tmp_path_factory.mktemp("fuzz"), PLAIN)
    except MissingTool as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_run_again(programs: dict[str, Path], tmp_path: Path, target: str) -> None:
    # on failure the last line of the output names the input
    inputs = sorted([*(CORPUS / target).iterdir(), *(FAULTS / target).glob("*")])
    for number, seed in enumerate(seeds(target)):
        inputs.append(tmp_path / f"seed{number:03}")
        inputs[-1].write_bytes(seed)
    assert len(inputs) > 10
    assert run(programs[target], *inputs) == f"{len(inputs)} inputs\n"
