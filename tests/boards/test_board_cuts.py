# SPDX-License-Identifier: Apache-2.0
"""Power cuts on the emulated boards that have flash: a few places; `make cuts` takes thirty."""

from pathlib import Path

import pytest
from boardcuts import BOARDS, CutBoard, cut_everywhere

from tracekws.errors import MissingTool

pytestmark = pytest.mark.toolchain

CUTS = 2


@pytest.mark.thorough
@pytest.mark.parametrize("name", BOARDS)
def test_a_cut_leaves_the_old_state_or_the_new(name: str, tmp_path: Path) -> None:
    try:
        board = CutBoard(name, tmp_path)
    except MissingTool as reason:
        pytest.skip(str(reason))
    assert cut_everywhere(board, CUTS) == (CUTS, [])
