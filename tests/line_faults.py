# SPDX-License-Identifier: Apache-2.0
"""One fault at any place of a session between host and device, and what must hold afterwards.

The session is the same to the byte each time: a host asks what the device is, teaches it three
takes, saves twice, takes one back, listens, forgets, loads another model and reads its weights. A
case puts one fault into one of the two ways of the line, at one byte or one frame. All time is made
up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from images import make_image
from loopback_device import Board, Flash, connect
from recordings import changing_noise
from tracekws.device import driver, link, protocol
from tracekws.device.driver import Driver, Event
from tracekws.errors import TraceKwsError

WAYS = ("up", "down")
"""From the host to the device, and back."""
FIRST_ID = 0x01020304
SLOTS = 2 * 4096
AREA = 4096


@dataclass(frozen=True)
class Case:
    """One fault; its name is all that is needed to run it again."""

    way: str
    kind: str
    """One of BYTES or FRAMES."""
    place: int

    def __str__(self) -> str:
        """The name."""
        return f"{self.way}-{self.kind}-{self.place}"


def named(name: str) -> Case:
    """The case of a name."""
    way, _, rest = name.partition("-")
    kind, _, place = rest.rpartition("-")
    return Case(way, kind, int(place))


# --- faults


def flip(at: int, byte: int) -> bytes:
    return bytes([byte ^ 1 << (5 * at + 3) % 8])


BYTES: dict[str, Callable[[int, int], bytes]] = {
    "byte-lost": lambda at, byte: b"",
    "byte-doubled": lambda at, byte: bytes([byte, byte]),
    "bit-flipped": flip,
    "byte-zero": lambda at, byte: b"\0",
    "zero-inserted": lambda at, byte: bytes([0, byte]),
}
"""What comes instead of the byte at a place."""


class ByteFault:
    """Passes bytes on, but for one."""

    def __init__(self, case: Case | None) -> None:
        self.case = case
        self.seen = 0
        self.did_something = False

    def carry(self, data: bytes) -> bytes:
        start, self.seen = self.seen, self.seen + len(data)
        if self.case is None or not start <= self.case.place < self.seen:
            return data
        at = self.case.place - start
        instead = BYTES[self.case.kind](self.case.place, data[at])
        self.did_something = instead != data[at : at + 1]
        return data[:at] + instead + data[at + 1 :]


FRAMES: dict[str, tuple[bool, int]] = {
    "frame-lost": (False, -1),
    "frame-repeated": (True, 0),
    "frame-swapped": (False, 1),
    "frame-late": (False, 2),
    "frame-again": (True, 2),
}
"""Whether the frame at a place comes in its time, and behind how many others it comes (again)."""


class FrameFault:
    """Passes frames on, but for one; empty ones do not count."""

    def __init__(self, case: Case | None) -> None:
        self.case = case
        self.seen = 0
        self.did_something = False
        self.rest = b""
        self.held = b""

    def carry(self, data: bytes) -> bytes:
        *frames, self.rest = (self.rest + data).split(b"\0")
        return b"".join(self._one(frame + b"\0") if frame else b"\0" for frame in frames)

    def _one(self, frame: bytes) -> bytes:
        number, self.seen = self.seen, self.seen + 1
        if self.case is None:
            return frame
        in_time, behind = FRAMES[self.case.kind]
        out = frame
        if number == self.case.place:
            self.did_something = True
            self.held = frame if behind >= 0 else b""
            out = frame if in_time else b""
        if self.held and number == self.case.place + behind:
            out += self.held
            self.held = b""
        return out


Fault = ByteFault | FrameFault


class Line:
    """A transport to a board, with one fault on the way."""

    def __init__(self, board: Board, case: Case | None, make: type[Fault]) -> None:
        self.board = board
        self.clock = board.clock
        self.ways = {
            way: make(case if case is not None and case.way == way else None) for way in WAYS
        }

    def write(self, data: bytes) -> None:
        self.board.write(self.ways["up"].carry(data))

    def read(self) -> bytes:
        return self.ways["down"].carry(self.board.read())

    def close(self) -> None:
        return


# --- the session


@dataclass(frozen=True)
class State:
    """All of a device that a session may change."""

    model_crc: int
    weights: bytes
    """In RAM."""
    changed: bool
    generation: int
    slots: tuple[str, ...]
    wear: tuple[int, ...]
    session: int
    saved: tuple[int, bytes, int]
    """Model, weights and generation after a start."""
    flash: bytes


@dataclass(frozen=True)
class SessionEnd:
    """How a session ended: what each step gave, and the error of the step that failed."""

    results: tuple[Any, ...]
    error: str
    state: State
    seconds: float
    """Of the made-up time."""


@dataclass(frozen=True)
class Verdict:
    """What became of a case."""

    case: Case
    what: str
    """recovered: all is as without a fault; error: the host said so, and the device is as before or
    after the step that failed; wrong: anything else; nothing: the fault changed no byte."""
    why: str
    seconds: float
    """How long the session took, of the made-up time."""


class Session:
    """What is done over the line, and the device that it is done to."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for the library with the application in it."""
        self.folder = folder
        self.image = make_image(
            seed=24,
            n_neurons=16,
            arrays={"word_threshold": np.zeros(5)},
            smoothing_shift=0,
            refractory_steps=0,
            window_steps=2,
            n_latent=0,
            n_sequences=0,
        )
        self.other = make_image(
            seed=25, n_neurons=1, n_classes=3, n_latent=0, n_sequences=0, n_taps=1
        )
        self.pcm = changing_noise(30, 1600)[:3200]
        self.features = np.random.default_rng(2).integers(0, 50, (6, 80)).astype(np.int8)
        self.steps: tuple[Callable[[Driver], Any], ...] = (
            lambda device: device.info(),
            self.learn,
            lambda device: device.save(),
            lambda device: device.save(),
            lambda device: device.undo(),
            self.listen,
            lambda device: device.forget(),
            lambda device: device.load(self.other),
            lambda device: device.weights(),
        )
        self.clean, self.places = self.record()

    def learn(self, device: Driver) -> None:
        with device.learn(7) as session:
            session.take_pcm("yes", self.pcm[:960], 32767)
            session.take_features("no", self.features, 30000)
            session.take_features("_unknown_", self.features[:2], 32767)

    def listen(self, device: Driver) -> list[Event]:
        return list(device.listen([self.pcm]))

    def board(self) -> Board:
        return Board(self.folder, self.image, Flash(SLOTS, area=AREA))

    def record(self) -> tuple[list[SessionEnd], dict[tuple[str, type[Fault]], int]]:
        """The clean session up to each step, and how many bytes and frames it takes each way."""
        parts = range(len(self.steps) + 1)
        clean = [self.run(Line(self.board(), None, ByteFault), n_steps) for n_steps in parts]
        places = {}
        for make in (ByteFault, FrameFault):
            line = Line(self.board(), None, make)
            self.run(line)
            places |= {(way, make): line.ways[way].seen for way in WAYS}
        return clean, places

    def cases(self) -> Iterator[Case]:
        """One fault of every kind at every place."""
        for way in WAYS:
            for kinds, make in ((BYTES, ByteFault), (FRAMES, FrameFault)):
                for kind in kinds:
                    for place in range(self.places[way, make]):
                        yield Case(way, kind, place)

    def run(self, line: Line, n_steps: int | None = None) -> SessionEnd:
        """The session over a line, up to a step or an error."""
        results: list[Any] = []
        error = ""
        try:
            with open_device(line) as device:
                for step in self.steps[:n_steps]:
                    results.append(step(device))
        except TraceKwsError as why:
            error = f"{type(why).__name__}: {why}"
        seconds = line.clock.now()
        return SessionEnd(tuple(results), error, self.look(line.board), seconds)

    def look(self, board: Board) -> State:
        """The state of a board, as a host sees it that has nothing to do with the fault."""
        board.to_device.clear()
        board.to_host.clear()
        with connect(board) as device:
            info, weights = device.info(), device.weights()
            session = protocol.parse_info(device._link.request(protocol.INFO)).session
        assert board.flash is not None
        flash = bytes(board.flash.data)
        again = Board(self.folder, self.image, Flash(SLOTS, area=AREA, data=bytearray(flash)))
        with connect(again) as device:
            saved = device.info()
            return State(
                model_crc=info.model_crc,
                weights=weights,
                changed=info.changed,
                generation=info.generation,
                slots=info.slots,
                wear=info.wear,
                session=session,
                saved=(saved.model_crc, device.weights(), saved.generation),
                flash=flash,
            )

    def judge(self, case: Case) -> Verdict:
        """Run a case, and compare what became of it with the clean session."""
        make: type[Fault] = ByteFault if case.kind in BYTES else FrameFault
        line = Line(self.board(), case, make)
        outcome = self.run(line)
        what, why = self.compare(outcome)
        changed = line.ways[case.way].did_something
        return Verdict(case, what if changed else "nothing", why, outcome.seconds)

    def compare(self, outcome: SessionEnd) -> tuple[str, str]:
        """What became of a session, and why it is wrong if it is."""
        n_done = len(outcome.results)
        if outcome.results != self.clean[-1].results[:n_done]:
            return "wrong", "a step gave something else"
        if not outcome.error:
            alike = outcome.state == self.clean[-1].state
            return ("recovered", "") if alike else ("wrong", "the device is in another state")
        whole = (self.clean[n_done], self.clean[min(n_done + 1, len(self.steps))])
        if any(same(outcome.state, clean.state) for clean in whole):
            return "error", outcome.error
        return "wrong", f"neither before nor after the step that ended in {outcome.error}"


def open_device(line: Line) -> Driver:
    """A device over a line, with the same request ids each time."""
    opened = link.Link(line, "line", 5, line.clock)
    opened._next_id = FIRST_ID
    return Driver(opened, driver._say_hello(opened, needs_model=True))


def same(one: State, other: State) -> bool:
    """Whether two states are one, but for what a broken load leaves in its spare area."""
    return one.__dict__ | {"flash": one.flash[:SLOTS]} == other.__dict__ | {
        "flash": other.flash[:SLOTS]
    }
