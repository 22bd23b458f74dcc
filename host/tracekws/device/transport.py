# SPDX-License-Identifier: Apache-2.0
"""A byte stream to a device: serial port, pty or TCP, by pySerial's URLs."""

from __future__ import annotations

import os
from typing import Any, Protocol

import serial

from tracekws.errors import NoDeviceError

BAUD_RATE = 921_600
SLICE = 0.05
"""Seconds that a read waits at most; whoever reads keeps the time."""
READ_BYTES = 4096
WRITE_TIMEOUT = 5.0


class Transport(Protocol):
    """A byte stream in both directions."""

    def read(self) -> bytes:
        """Take what has arrived; waits a moment when there is nothing. Raises NoDeviceError."""

    def write(self, data: bytes) -> None:
        """Send all of data. Raises NoDeviceError."""

    def close(self) -> None:
        """Close the stream; again is harmless."""


class SerialTransport:
    """A pySerial port."""

    def __init__(self, port: str) -> None:
        """Open `port`: a device name, a pty, or a URL such as ``socket://127.0.0.1:4000``.

        Raises NoDeviceError when there is no such port, or it is in use.
        """
        self.port = port
        self._is_socket = port.startswith("socket://")
        try:
            self._serial: Any = serial.serial_for_url(port, do_not_open=True)
            self._serial.baudrate = BAUD_RATE
            self._serial.timeout = SLICE
            self._serial.write_timeout = WRITE_TIMEOUT
            if not self._is_socket and hasattr(self._serial, "exclusive"):
                self._serial.exclusive = True
            self._serial.open()
        except (serial.SerialException, OSError, ValueError) as error:
            raise NoDeviceError(f"{port}: cannot be opened ({_reason(error)})") from error

    def read(self) -> bytes:
        """Take what has arrived; waits a moment when there is nothing. Raises NoDeviceError."""
        try:
            first = self._serial.read(1)
            return bytes(first + self._rest()) if first else b""
        except (serial.SerialException, OSError, TypeError) as error:
            raise NoDeviceError(f"{self.port}: the device is gone") from error

    def _rest(self) -> bytes:
        if not self._is_socket:
            return bytes(self._serial.read(self._serial.in_waiting))
        # a socket does not say how much is waiting
        self._serial.timeout = 0
        try:
            return bytes(self._serial.read(READ_BYTES))
        finally:
            self._serial.timeout = SLICE

    def write(self, data: bytes) -> None:
        """Send all of data. Raises NoDeviceError."""
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise NoDeviceError(f"{self.port}: the device takes nothing any more") from error
        except (serial.SerialException, OSError) as error:
            raise NoDeviceError(f"{self.port}: the device is gone") from error

    def close(self) -> None:
        """Close the port; again is harmless."""
        self._serial.close()


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return str(error) if number is None else os.strerror(number)
