# SPDX-License-Identifier: Apache-2.0
"""Every board's stack holds the deepest call and every interrupt on top of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import boardstack
from boardstack import Stack
from firmware import build_firmware, need_emulator
from tracekws.boards.parts import MACHINES

pytestmark = pytest.mark.toolchain

LEAST_SPARE = 480
ALONE = ("rp2040", "stm32f405")
"""Boards with a microphone, whose firmware that listens without a host is looked at, too."""


@dataclass(frozen=True)
class Built:
    """A firmware with a model in it, and its computed stack."""

    name: str
    folder: Path
    stack: Stack
    alone: str
    """Its setting of this name."""


@pytest.fixture(
    scope="module",
    params=[(name, "") for name in boardstack.BOARDS] + [(name, "1") for name in ALONE],
    ids=lambda param: f"{param[0]} alone" if param[1] else param[0],
)
def built(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Built:
    name, alone = request.param
    folder = tmp_path_factory.mktemp("stack")
    build_firmware(name, folder, MODEL=model, BOARD_FLAGS="-fcallgraph-info=su", ALONE=alone)
    return Built(name, folder, boardstack.read_stack(name, folder), alone)


def test_frames_are_known_and_nothing_recurses(built: Built) -> None:
    graph = built.stack.graph
    assert graph.kinds == {"static"}
    assert graph.cycles() == []
    assert graph.outside() == set()


def test_what_is_called_through_pointers_is_found(built: Built) -> None:
    """Else the graph would end where a table of functions begins."""
    kinds = boardstack.session_functions()
    tables = boardstack.request_handlers() | boardstack.storage_functions()
    tables |= {name for functions in kinds.values() for name in functions}
    assert {"hello", "tkws_app_take", "tkws_app_storage_save", "tkws_app_learn_data"} <= tables
    assert set(kinds) == {
        member for called in boardstack.SESSION_CALLS.values() for member in called
    }
    of_board = boardstack.board_functions(built.name, built.stack.graph)
    assert {"serial_read", "serial_write", "flash_program"} <= of_board
    reached = {name.rpartition(":")[2] for name in built.stack.graph.reached("main")}
    assert tables | {"serial_write", "flash_program", "tkws_learner_end"} <= reached
    assert ("tkws_app_alone_poll" in reached) == bool(built.alone)
    if built.alone:
        assert {"led_set", "pulse_set", "button_pressed"} <= of_board & reached


def test_the_stack_holds_the_deepest_call_and_all_interrupts(built: Built) -> None:
    assert "main" in built.stack.way
    assert len(built.stack.way) > 4
    assert built.stack.worst + LEAST_SPARE <= built.stack.reserved, built.stack.way


def test_the_painted_stack_is_within_the_computed_one(built: Built) -> None:
    """After hearing, learning and storing in emulation."""
    if built.alone:
        pytest.skip("a host's session is the same on it")
    if built.name in MACHINES:
        need_emulator(built.name)
    else:
        pytest.importorskip("rp2040py", reason="the emulated Pico needs rp2040py: make setup-test")
    assert 400 < boardstack.painted(built.name, built.folder) <= built.stack.worst
