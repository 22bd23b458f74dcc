# SPDX-License-Identifier: Apache-2.0
"""Firmware of the RP2040 board, run in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tracekws.boards.rp2040 import Emulator, FlashFile, PowerCut, read_firmware
from tracekws.errors import NoDeviceError


class Pico:
    """A running board, and a transport to it."""

    def __init__(self, firmware: Path, flash: Path, devices: Sequence[Any] = (), cut: int = 0):
        self.flash = FlashFile(flash, cut)
        self.emulator = Emulator(read_firmware(firmware), self.flash, devices)
        self.emulator.boot()

    def run_until(self, condition: Callable[[bytes], bool]) -> bytes:
        """What the board has sent when the condition on it holds."""
        while not condition(bytes(self.emulator.sent)):
            assert not self.emulator.is_idle, bytes(self.emulator.sent)
            self.emulator.run()
        data = bytes(self.emulator.sent)
        self.emulator.sent.clear()
        return data

    def ask(self, request: bytes, n_bytes: int) -> bytes:
        """The first n_bytes that are sent after a request."""
        self.emulator.send(request)
        return self.run_until(lambda sent: len(sent) >= n_bytes)[:n_bytes]

    # --- the transport

    def read(self) -> bytes:
        try:
            while not self.emulator.sent and not self.emulator.is_idle:
                self.emulator.run()
        except PowerCut as error:
            raise NoDeviceError("the power was cut") from error
        data = bytes(self.emulator.sent)
        self.emulator.sent.clear()
        return data

    def write(self, data: bytes) -> None:
        self.emulator.send(data)

    def close(self) -> None:
        self.flash.close()
