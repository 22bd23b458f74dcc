# SPDX-License-Identifier: Apache-2.0
"""The STM32F405's stack holds the deepest call and every interrupt on top of it."""

import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from callgraph import INDIRECT, CallGraph, disassembled, plain, read_graph
from firmware import build_firmware, need_emulator
from toolchain import ROOT, find, run
from tracekws.device.driver import Device
from tracekws.device.emulator import emulated_board

pytestmark = pytest.mark.toolchain

APP = ROOT / "firmware" / "app"
BOARD = ROOT / "firmware" / "boards" / "stm32f405"
HANDLERS = ["usart3_handler", "microphone_dma_handler", "tick_handler"]
"""Each interrupts the others at most once: their priorities differ or they wait."""
EXCEPTION_BYTES = 36
"""What the processor puts on the stack for an interrupt, aligned to 8."""
LEAST_SPARE = 512


@dataclass(frozen=True)
class Stack:
    """The firmware's graph, with calls through pointers replaced, and the stack that it has."""

    graph: CallGraph
    n_bytes: int


def names_in(path: Path, pattern: str) -> set[str]:
    return set(re.findall(pattern, path.read_text()))


def handlers() -> set[str]:
    """The functions in the application's table of requests."""
    table = (APP / "app.c").read_text().partition("requests[] = {")[2].partition("};")[0]
    return set(re.findall(r"(\w+)\},", table))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("stack")
    build_firmware("stm32f405", folder, BOARD_FLAGS="-fcallgraph-info=su")
    graph = read_graph(folder.rglob("*.ci"))
    elf = folder / "stm32f405.elf"
    code = disassembled(run(find("arm-none-eabi-objdump"), "-d", "--no-show-raw-insn", elf))
    at = {
        words[2]: words[0]
        for words in map(str.split, run(find("arm-none-eabi-nm"), elf).splitlines())
    }
    listed = {at[name]: name for name in code.stack}
    for name in graph.outside() - {INDIRECT}:  # of picolibc and libgcc; several may be one function
        graph.calls[name] = {listed[at[name]]} - {name}
        graph.stack[name] = 0
        for title in {listed[at[name]], *code.reached(listed[at[name]])}:
            graph.stack[title] = code.stack[title]
            graph.calls[title] = code.calls[title]
    board = names_in(BOARD / "board.c", r"board->\w+ = (\w+);")
    board = {name for name in board if name in {plain(title) for title in graph.stack}}
    assert {"serial_read", "serial_write", "flash_program", "erase", "microphone_start"} <= board
    storage = names_in(APP / "app.c", r"store\(app, (\w+)")
    assert "tkws_app_storage_save" in storage
    assert {"hello", "info", "tkws_app_take"} <= handlers()
    callers = {plain(title) for title, called in graph.calls.items() if INDIRECT in called}
    # the compiler may have put dispatch() into those that call it
    dispatchers = {"dispatch", "serve", "tkws_app_poll"}
    targets = {
        name: board
        | (handlers() if name in dispatchers else set())
        | (storage if name in {"store", *storage_handlers()} else set())
        for name in callers
    }
    graph.resolve(targets)
    n_bytes = int(at["tkws_stack_top"], 16) - int(at["tkws_stack_bottom"], 16)
    return Stack(graph, n_bytes)


def storage_handlers() -> Iterable[str]:
    """Those that store() may have been put into."""
    return ("save", "undo", "forget")


def test_frames_are_known_and_nothing_recurses(stack: Stack) -> None:
    assert stack.graph.kinds == {"static"}
    assert stack.graph.cycles() == []
    assert stack.graph.outside() == set()


def needed(stack: Stack) -> int:
    """The deepest call of main, and all interrupts on top of it."""
    main, way = stack.graph.deepest("tkws_reset_handler", 0)
    assert way[1] == "main"
    assert len(way) > 4
    interrupts = sum(stack.graph.deepest(name, 0)[0] + EXCEPTION_BYTES for name in HANDLERS)
    assert interrupts > 3 * EXCEPTION_BYTES
    return main + interrupts


def test_the_stack_holds_the_deepest_call_and_all_interrupts(stack: Stack) -> None:
    assert needed(stack) + LEAST_SPARE <= stack.n_bytes


def read_memory(monitor: Path, address: int, n_bytes: int, copy: Path) -> bytes:
    """Memory of the emulated board, by QEMU's monitor."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(monitor))
        line.sendall(f'pmemsave {address} {n_bytes} "{copy}"\n'.encode())
        give_up = time.monotonic() + 30
        while not copy.is_file() or copy.stat().st_size < n_bytes:
            assert time.monotonic() < give_up
            time.sleep(0.05)
    return copy.read_bytes()


def test_the_painted_stack_is_within_the_computed_one(stack: Stack, tmp_path: Path) -> None:
    """After hearing and learning in QEMU; what was never used is still painted."""
    need_emulator("stm32f405")
    build_firmware("stm32f405", tmp_path)
    elf = tmp_path / "stm32f405-qemu.elf"
    symbols = [line.split() for line in run(find("arm-none-eabi-nm"), elf).splitlines()]
    at = {words[2]: int(words[0], 16) for words in symbols if len(words) == 3}
    pcm = np.random.default_rng(3).normal(0, 3000, 8000).astype(np.int16)
    monitor = tmp_path / "monitor"
    extra = ("-monitor", f"unix:{monitor},server=on,wait=off")
    with (
        emulated_board(elf, tmp_path / "flash", extra=extra) as board,
        Device.open(board.port) as device,
    ):
        device.classify(pcm)
        list(device.listen([pcm]))
        with device.learn(1) as session:
            session.take_pcm("yes", pcm, 32767, 15)
        device.info()
        memory = read_memory(monitor, at["tkws_stack_bottom"], stack.n_bytes, tmp_path / "stack")
    unused = len(memory) - len(memory.lstrip(b"\xa5"))
    used = stack.n_bytes - unused
    assert used > 400
    assert used <= needed(stack)
