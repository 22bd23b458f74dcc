# SPDX-License-Identifier: Apache-2.0
"""The stack of a board's firmware: what the deepest call needs, and what a session was seen to use.

A folder is what firmware.mk built with BOARD_FLAGS=-fcallgraph-info=su.
"""

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from callgraph import INDIRECT, CallGraph, disassembled, plain, read_graph
from host_cli import HANG_SECONDS
from toolchain import ROOT, run
from tracekws.boards.emulator import emulated_board
from tracekws.boards.parts import MACHINES
from tracekws.device.device import Device

sys.path.append(str(ROOT / "tests" / "boards"))
from pico import Pico

APP = ROOT / "firmware" / "app"
PAINT = b"\xa5"
SRAM = 0x20000000
"""Where the RP2040 has its RAM."""
CORTEX_M = 36
"""What the processor puts on the stack for an interrupt, aligned to 8."""
BOOT_ROM_BYTES = 256
"""For the RP2040's ROM, whose code is not ours to read; the painted stack has it in."""
STORAGE_HANDLERS = ("save", "undo", "forget", "forget_word")
"""Those that store() may have been put into."""


@dataclass(frozen=True)
class Board:
    """What only this board has."""

    prefix: str
    """Of the names of its tools."""
    start: str
    handlers: tuple[str, ...]
    """Each interrupts the others at most once: their priorities differ or they wait."""
    exception_bytes: int
    rom_callers: tuple[str, ...] = ()


ARM, RISCV = "arm-none-eabi-", "riscv64-unknown-elf-"
BOARDS = {
    "mps2-an386": Board(
        ARM, "tkws_reset_handler", ("mps2_uart_handler", "mps2_tick_handler"), CORTEX_M
    ),
    "riscv-virt": Board(RISCV, "main", ("tkws_trap_handler",), 0),
    "rp2040": Board(
        ARM,
        "tkws_reset_handler",
        ("serial_interrupt", "microphone_interrupt", "board_tick"),
        CORTEX_M,
        ("write_chip", "flash_start", "look_up"),
    ),
    "stm32f405": Board(
        ARM,
        "tkws_reset_handler",
        ("usart3_handler", "microphone_dma_handler", "tick_handler"),
        CORTEX_M,
    ),
}


@dataclass(frozen=True)
class Stack:
    """A firmware's graph, with calls through pointers replaced, and where its stack lies."""

    board: Board
    graph: CallGraph
    bottom: int
    reserved: int
    """Bytes."""

    @property
    def way(self) -> list[str]:
        """Of the deepest call."""
        return self.graph.deepest(self.board.start, 0)[1]

    @property
    def worst(self) -> int:
        """Bytes of the deepest call of main, and of all interrupts on top of it."""
        main, _ = self.graph.deepest(self.board.start, 0)
        return main + sum(
            self.graph.deepest(name, 0)[0] + self.board.exception_bytes
            for name in self.board.handlers
        )


def request_handlers() -> set[str]:
    """The functions in the application's table of requests."""
    rows = (APP / "requests.def").read_text()
    return set(re.findall(r"^TKWS_REQUEST\(.*, (\w+)\)$", rows, re.MULTILINE))


def session_functions() -> dict[str, set[str]]:
    """What each member of a row in the table of sessions' kinds may be."""
    table = (APP / "session.c").read_text().partition("kinds[] = {")[2].partition("\n};")[0]
    found: dict[str, set[str]] = {}
    for member, function in re.findall(r"\.(\w+) = (\w+)", table):
        found.setdefault(member, set()).add(function)
    return found


def storage_functions() -> set[str]:
    """What store() may call."""
    return set(re.findall(r"store\(app, (\w+)", (APP / "app.c").read_text()))


SESSION_CALLS = {
    "tkws_app_data": ("check", "data"),
    "tkws_app_end": ("end",),
    "tkws_app_session_abort": ("abort",),
    "tkws_app_abort": ("abort",),  # that one may have been put into it
    "tkws_app_session_hear": ("hear",),
}
"""The members that functions of session.c call."""


def app_functions(caller: str) -> set[str]:
    """What a function of the application may call through pointers, those of the board aside."""
    if caller in {"dispatch", "serve", "tkws_app_poll"}:  # the first may be in the others
        return request_handlers()
    if caller in {"store", *STORAGE_HANDLERS}:
        return storage_functions()
    kinds = session_functions()
    return {name for member in SESSION_CALLS.get(caller, ()) for name in kinds[member]}


def board_functions(name: str, graph: CallGraph) -> set[str]:
    """What a board puts into its tkws_board."""
    source = (ROOT / "firmware" / "boards" / name / "board.c").read_text()
    known = {plain(title) for title in graph.stack}
    return {name for name in re.findall(r"(?:board->|\.)\w+ = (\w+)[;,]", source) if name in known}


def symbols(board: Board, elf: Path) -> dict[str, int]:
    """Addresses of a firmware's symbols."""
    lines = map(str.split, run(f"{board.prefix}nm", elf).splitlines())
    return {words[2]: int(words[0], 16) for words in lines if len(words) == 3}


def read_stack(name: str, folder: Path) -> Stack:
    """The stack of the firmware in a folder."""
    board = BOARDS[name]
    elf = folder / f"{name}.elf"
    graph = read_graph((folder / name).rglob("*.ci"))
    code = disassembled(run(f"{board.prefix}objdump", "-d", "--no-show-raw-insn", elf))
    at = symbols(board, elf)
    listed = {at[title]: title for title in code.stack}
    for title in graph.outside() - {INDIRECT}:  # of picolibc and libgcc; some share their code
        graph.calls[title] = {listed[at[title]]} - {title}
        graph.stack[title] = 0
        for below in {listed[at[title]], *code.reached(listed[at[title]])}:
            graph.stack[below] = code.stack[below]
            graph.calls[below] = code.calls[below]
    if board.rom_callers:
        graph.stack["rom"], graph.calls["rom"] = BOOT_ROM_BYTES, set()
    of_board = board_functions(name, graph)
    callers = {plain(title) for title, called in graph.calls.items() if INDIRECT in called}
    targets = {caller: of_board | app_functions(caller) for caller in callers}
    targets |= {caller: {"rom"} for caller in board.rom_callers if caller in callers}
    graph.resolve(targets)
    bottom = at["tkws_stack_bottom"]
    return Stack(board, graph, bottom, at["tkws_stack_top"] - bottom)


Memory = Callable[[int, int], bytes]
"""Reads a running board's memory: address and bytes."""


@contextmanager
def running(name: str, elf: Path, folder: Path) -> Iterator[tuple[Device, Memory]]:
    """A board with new flash, and its memory."""
    if name == "rp2040":
        flash = folder / "rp2040.flash"
        flash.unlink(missing_ok=True)
        with Device.over(Pico(elf, flash), name, timeout=HANG_SECONDS) as device:
            pico: Any = device._link.transport
            sram = pico.emulator.chip.sram
            yield device, lambda address, n: bytes(sram[address - SRAM : address - SRAM + n])
        return
    flash, monitor, copy = (folder / f"{name}.{what}" for what in ("flash", "monitor", "copy"))
    for path in (flash, monitor, copy):
        path.unlink(missing_ok=True)

    def read(address: int, n_bytes: int) -> bytes:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(HANG_SECONDS)
            line.connect(str(monitor))
            line.sendall(f'pmemsave {address} {n_bytes} "{copy}"\n'.encode())
            said = b""
            while said.count(b"(qemu) ") < 2:  # it asks for a command, and for the next one
                said += line.recv(4096)
        return copy.read_bytes()

    extra = ("-monitor", f"unix:{monitor},server=on,wait=off")
    with (
        emulated_board(elf, flash, extra=extra) as board,
        Device.open(board.port) as device,
    ):
        yield device, read


def painted(name: str, folder: Path, n_samples: int = 4000) -> int:
    """Bytes of stack used on the emulated board by hearing, learning and storing.

    What was never used is still painted.
    """
    machine = MACHINES.get(name)
    elf = folder / f"{name}{machine.suffix if machine else ''}.elf"
    at = symbols(BOARDS[name], elf)
    bottom, n_bytes = at["tkws_stack_bottom"], at["tkws_stack_top"] - at["tkws_stack_bottom"]
    pcm = np.random.default_rng(3).normal(0, 3000, n_samples).astype(np.int16)
    with running(name, elf, folder) as (device, memory):
        device.classify(pcm)
        list(device.listen([pcm]))
        with device.learn(1) as session:
            session.take_pcm("yes", pcm, 32767, 15)
        if machine is None or machine.flash_bytes > 0:
            device.save()
            device.undo()
            device.forget()
        stack = memory(bottom, n_bytes)
    return n_bytes - (len(stack) - len(stack.lstrip(PAINT)))
