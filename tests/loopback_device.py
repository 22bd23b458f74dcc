# SPDX-License-Identifier: Apache-2.0
"""The device application in this process, on a board made of Python: any geometry, any fault."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cffi import FFI

from toolchain import ROOT, SOURCES, find
from tracekws.device.driver import Driver
from tracekws.device.link import Clock
from tracekws.device.transport import SLICE, Transport
from tracekws.errors import code

APP = ROOT / "firmware" / "app"
BOARDS = ROOT / "firmware" / "boards"
CANARY = 0xA5


@cache
def library(folder: Path) -> Any:
    """The application and the core as a library; functions as its headers have them."""
    path = folder / "app.so"
    includes = [f"-I{ROOT / 'firmware/core/include'}", f"-I{APP}"]
    sources = [*sorted(APP.glob("*.c")), *SOURCES, ROOT / "tests/device/loopback.c"]
    flags = ["-std=c11", "-O1", "-shared", "-fPIC"]
    subprocess.run([find("cc"), *flags, *includes, *sources, "-o", path], check=True)
    header = re.sub(r"/\*.*?\*/", "", (APP / "board.h").read_text(), flags=re.DOTALL)
    declarations = "\n".join(line for line in header.splitlines() if not line.startswith("#"))
    ffi = FFI()
    ffi.cdef(
        declarations.replace("TKWS_BOARD_MEMORIES", "4")
        + """
        typedef struct tkws_app tkws_app;
        int tkws_app_init(tkws_app *app, const tkws_board *board);
        int tkws_app_poll(tkws_app *app);
        size_t loopback_app_bytes(void);
        typedef struct tkws_app_alone tkws_app_alone;
        void tkws_app_alone_init(tkws_app_alone *alone, tkws_app *app);
        int tkws_app_alone_poll(tkws_app_alone *alone);
        size_t loopback_alone_bytes(void);
        int loopback_flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
        """
    )
    return ffi, ffi.dlopen(str(path))


@dataclass
class Flash:
    """NOR flash: two slots of n_bytes together, two image areas, mapped into memory.

    Operation number fail_at is refused; at number lose_at a bit is programmed wrongly.
    """

    n_bytes: int = 2 * 8192
    sector: int = 4096
    unit: int = 1
    fail_at: int = 0
    lose_at: int = 0
    n_operations: int = 0
    data: bytearray = field(default_factory=bytearray)
    area: int = 0

    def __post_init__(self) -> None:
        self.data = self.data or bytearray(b"\xff" * (self.n_bytes + 2 * self.area))

    def fails(self) -> bool:
        self.n_operations += 1
        return self.n_operations == self.fail_at

    def read(self, offset: int, n_bytes: int) -> bytes:
        assert offset + n_bytes <= len(self.data)
        return bytes(self.data[offset : offset + n_bytes])

    def program(self, offset: int, data: bytes) -> bool:
        assert offset + len(data) <= len(self.data)
        assert offset % self.unit == len(data) % self.unit == 0, "not a whole program unit"
        if self.fails():
            return False
        for i, byte in enumerate(data):
            assert self.data[offset + i] & byte == byte, "programming cannot set a bit"
            self.data[offset + i] &= byte
        if self.n_operations == self.lose_at:
            self.data[offset] ^= 1
        return True

    def erase(self, offset: int) -> bool:
        assert offset % self.sector == 0
        assert offset + self.sector <= len(self.data)
        if self.fails():
            return False
        self.data[offset : offset + self.sector] = b"\xff" * self.sector
        return True


class VirtualClock(Clock):
    """Time that passes only where somebody waits: no test depends on this machine's speed."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Board:
    """A board, and a transport to the application on it, which has a clock: see connect().

    Its microphone hears `sound` once, `burst` samples with each read of the transport, and loses
    so many samples at some places: `overruns`. One that is `deaf` does not start.

    One that is `alone` listens without a host. Its button is down while the microphone hears the
    samples of `presses`; `told` has the words that it was told of, `lit` and `pulsed` where the LED
    and the output went on and off.
    """

    def __init__(
        self,
        folder: Path,
        image: bytes,
        flash: Flash | None = None,
        memories: tuple[int, ...] = (65536,),
        serial_bytes: int = 4096,
        sound: np.ndarray | None = None,
        burst: int = 1600,
        overruns: dict[int, int] | None = None,
        deaf: bool = False,
        alone: bool = False,
        presses: Iterable[tuple[int, int]] = (),
    ) -> None:
        self.ffi, self.lib = library(folder)
        self.clock = VirtualClock()
        ffi = self.ffi
        self.flash = flash
        self.sound = sound
        self.burst = burst
        self.overruns = dict(overruns or {})
        self.deaf = deaf
        self.presses = list(presses)
        self.told: list[tuple[str, int]] = []
        self.lit: list[tuple[int, bool]] = []
        self.pulsed: list[tuple[int, bool]] = []
        self.n_heard = 0
        self.n_waiting = 0
        self.runs = False
        self.to_device = bytearray()
        self.to_host = bytearray()
        self.closed = False
        self.longest_queue = 0
        self.memories = [ffi.new("uint64_t[]", (n + 7) // 8 + 8) for n in memories]
        self.sizes = memories
        for memory in self.memories:
            ffi.memmove(memory, bytes([CANARY]) * ffi.sizeof(memory), ffi.sizeof(memory))
        self.image = ffi.new("uint8_t[]", image) if image else ffi.NULL
        self.name = ffi.new("char[]", b"loopback")
        self.c = ffi.new("tkws_board *")
        self.c.name = self.name
        self.callbacks = self.make_callbacks()
        for name, function in self.callbacks.items():
            if sound is not None or "microphone" not in name:
                setattr(self.c, name, function)
        self.c.serial_bytes = serial_bytes
        if flash is not None:
            self.c.slot_bytes = flash.n_bytes // 2
            self.c.sector_bytes = flash.sector
            self.c.program_bytes = flash.unit
            self.c.image_area_bytes = flash.area
            self.c.flash_mapped = self.mapped = ffi.from_buffer("uint8_t[]", flash.data)
            if type(flash).read is Flash.read:  # no fault in it: read in C, which is faster
                self.c.context = self.c
                self.c.flash_read = ffi.addressof(self.lib, "loopback_flash_read")
        self.c.image = self.image
        self.c.image_bytes = len(image)
        for i, n_bytes in enumerate(memories):
            self.c.memory[i].start = self.memories[i]
            self.c.memory[i].n_bytes = n_bytes
        self.c.n_memories = len(memories)
        self.c.ram_bytes = sum(memories)
        self.app_memory = ffi.new("uint64_t[]", self.lib.loopback_app_bytes() // 8 + 1)
        self.app = ffi.cast("tkws_app *", self.app_memory)
        self.started = int(self.lib.tkws_app_init(self.app, self.c))
        self.alone_memory = ffi.new("uint64_t[]", self.lib.loopback_alone_bytes() // 8 + 1)
        self.alone = ffi.cast("tkws_app_alone *", self.alone_memory) if alone else None
        if alone:
            self.lib.tkws_app_alone_init(self.alone, self.app)

    def poll(self) -> int:
        """Poll the application, once."""
        if self.alone is not None:
            return int(self.lib.tkws_app_alone_poll(self.alone))
        return int(self.lib.tkws_app_poll(self.app))

    def make_callbacks(self) -> dict[str, Any]:
        ffi, refused = self.ffi, code("STORAGE")

        def serial_read(context: Any, out: Any, n: int) -> int:
            if self.closed:
                self.closed = False
                return code("LINK")
            data = bytes(self.to_device[:n])
            del self.to_device[:n]
            ffi.memmove(out, data, len(data))
            return len(data)

        def serial_write(context: Any, data: Any, n: int) -> int:
            self.to_host += ffi.buffer(data, n)
            return 0

        def flash_read(context: Any, offset: int, out: Any, n: int) -> int:
            assert self.flash is not None
            ffi.memmove(out, self.flash.read(offset, n), n)
            return 0

        def flash_program(context: Any, offset: int, data: Any, n: int) -> int:
            assert self.flash is not None
            return 0 if self.flash.program(offset, bytes(ffi.buffer(data, n))) else refused

        def flash_erase(context: Any, offset: int) -> int:
            assert self.flash is not None
            return 0 if self.flash.erase(offset) else refused

        def microphone_start(context: Any) -> int:
            assert not self.runs
            if self.deaf:
                return code("MICROPHONE")
            self.runs = True
            self.n_waiting = 0
            return 0

        def microphone_read(context: Any, out: Any, n: int) -> int:
            assert self.sound is not None
            assert self.runs
            if lost := self.overruns.pop(self.n_heard, 0):
                self.n_heard += lost
                return code("OVERRUN")
            until = min([self.n_heard + min(n, self.n_waiting), *self.overruns])
            data = self.sound[self.n_heard : until]
            self.n_heard += len(data)
            self.n_waiting -= len(data)
            ffi.memmove(out, data.tobytes(), 2 * len(data))
            return len(data)

        def microphone_stop(context: Any) -> None:
            assert self.runs
            self.runs = False

        def on_event(context: Any, word: Any, score: int) -> None:
            self.told.append((ffi.string(word).decode(), score))

        def pulse_set(context: Any, on: bool) -> None:
            self.pulsed.append((self.n_heard, on))

        def led_set(context: Any, on: bool) -> None:
            self.lit.append((self.n_heard, on))

        def button_pressed(context: Any) -> bool:
            return any(first <= self.n_heard < end for first, end in self.presses)

        def broken(kind: Any, error: Any, trace: Any) -> None:
            self.error = error

        self.error: BaseException | None = None
        bytes_in = "int(void *, uint8_t *, size_t)"
        bytes_out = "int(void *, const uint8_t *, size_t)"
        made = {
            "serial_read": (bytes_in, serial_read),
            "serial_write": (bytes_out, serial_write),
            "flash_read": ("int(void *, size_t, uint8_t *, size_t)", flash_read),
            "flash_program": ("int(void *, size_t, const uint8_t *, size_t)", flash_program),
            "flash_erase": ("int(void *, size_t)", flash_erase),
            "microphone_start": ("int(void *)", microphone_start),
            "microphone_read": ("int(void *, int16_t *, size_t)", microphone_read),
            "microphone_stop": ("void(void *)", microphone_stop),
            "on_event": ("void(void *, const char *, int16_t)", on_event),
            "pulse_set": ("void(void *, bool)", pulse_set),
            "led_set": ("void(void *, bool)", led_set),
            "button_pressed": ("bool(void *)", button_pressed),
        }
        return {
            name: ffi.callback(
                kind, function, error=refused if kind[0] == "i" else None, onerror=broken
            )
            for name, (kind, function) in made.items()
        }

    def is_intact(self) -> bool:
        """Nothing was written behind a memory."""
        return all(
            set(self.ffi.buffer(memory)[n:]) == {CANARY}
            for memory, n in zip(self.memories, self.sizes, strict=True)
        )

    def lose_host(self) -> None:
        """The line is closed, as the board can tell."""
        self.closed = True
        self.poll()

    # --- the transport

    def read(self) -> bytes:
        self.longest_queue = max(self.longest_queue, len(self.to_device))
        self.n_waiting += self.burst if self.runs else 0
        while self.poll() > 0:
            pass
        if self.error is not None:
            raise self.error
        data = bytes(self.to_host)
        self.to_host.clear()
        if not data:
            self.clock.sleep(SLICE)
        return data

    def write(self, data: bytes) -> None:
        self.to_device += data

    def close(self) -> None:
        return


class Lossy:
    """A transport that loses, repeats or damages a share of the frames, both ways."""

    def __init__(self, inner: Board, seed: int) -> None:
        self.inner = inner
        self.clock = inner.clock
        self.rng = np.random.default_rng(seed)
        self.n_faults = 0

    def spoil(self, data: bytes) -> bytes:
        frames = []
        for frame in data.split(b"\0")[:-1]:
            whole = frame + b"\0"
            if frame and self.rng.random() < 0.15:
                self.n_faults += 1
                damaged = bytes([frame[0] ^ 1]) + whole[1:]
                whole = [b"", whole + whole, damaged][int(self.rng.integers(3))]
            frames.append(whole)
        return b"".join(frames)

    def read(self) -> bytes:
        return self.spoil(self.inner.read())

    def write(self, data: bytes) -> None:
        self.inner.write(self.spoil(data))

    def close(self) -> None:
        self.inner.close()


class Timed(Transport, Protocol):
    """A transport with a clock of its own, which goes on where a read brings nothing."""

    clock: VirtualClock


def connect(line: Timed, timeout: float = 5) -> Driver:
    """A device over that line, by the line's clock."""
    return Driver.over(line, "loopback", timeout, clock=line.clock)
