# SPDX-License-Identifier: Apache-2.0
"""A byte stream to a device: a serial port, a pty, or TCP."""

from __future__ import annotations

import errno
import os
import select
import socket
import termios
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import serial

from tracekws.device.holders import holder
from tracekws.errors import BusyError, NoDeviceError

BAUD_RATE = 921_600
SLICE = 0.05
"""Seconds that a read waits at most; whoever reads keeps the time."""
READ_BYTES = 4096
PATIENCE = 5.0
"""Seconds to connect, or to wait for room on the line."""
LET_GO_SECONDS = 60
"""A board without hardware lets a silent host go after so long, when another one waits."""
END_IT = "; end that first"
LET_GO = f"a board lets it go when it has been silent for {LET_GO_SECONDS} s: end it, or try again"


class Transport(Protocol):
    """A byte stream in both directions."""

    def read(self) -> bytes:
        """Take what has arrived; waits a moment when there is nothing. Raises NoDeviceError."""

    def write(self, data: bytes) -> None:
        """Send all of data. Raises NoDeviceError."""

    def close(self) -> None:
        """Close the stream; again is harmless."""


def open_transport(port: str) -> Transport:
    """Open a serial port by its name or a pySerial URL, or TCP by ``socket://HOST:PORT``.

    Raises BusyError when another program has it open, NoDeviceError when there is no such port.
    """
    try:
        kind = SocketTransport if port.startswith("socket://") else SerialTransport
        return kind(port)
    except (serial.SerialException, OSError, ValueError) as error:
        if _number(error) in (errno.EAGAIN, errno.EBUSY):
            who = f": {named}" if (named := holder(port)) else ""
            raise BusyError(f"{port}: another program has it open{who}{END_IT}") from error
        raise NoDeviceError(f"{port}: cannot be opened ({_reason(error)})") from error


def ask_for(port: str) -> None:
    """Ask a board on a pty for its line, which another program has; at once, and once.

    The board looks at the size of the window, which a serial line has no use for: any but none is
    such a request (docs/protocol.md). What cannot be asked is not.
    """
    with suppress(OSError, termios.error):
        file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            termios.tcsetwinsize(file, (1, 1))
        finally:
            os.close(file)


class SerialTransport:
    """A serial port or a pty, through pySerial; open_transport() makes it."""

    def __init__(self, port: str) -> None:
        """Open the port for this process alone."""
        self.port = port
        self._serial: Any = serial.serial_for_url(port, do_not_open=True)
        self._serial.baudrate = BAUD_RATE
        self._serial.timeout = SLICE
        self._serial.write_timeout = PATIENCE
        self._serial.exclusive = True
        self._serial.open()

    def read(self) -> bytes:
        """Take what has arrived; waits a moment when there is nothing. Raises NoDeviceError."""
        try:
            first = self._serial.read(1)
            more = min(self._serial.in_waiting, READ_BYTES - 1) if first else 0
            return bytes(first + self._serial.read(more))
        except (serial.SerialException, OSError) as error:
            raise _gone(self.port) from error

    def write(self, data: bytes) -> None:
        """Send all of data. Raises NoDeviceError."""
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise _stuck(self.port) from error
        except (serial.SerialException, OSError) as error:
            raise _gone(self.port) from error

    def close(self) -> None:
        """Close the port; again is harmless. What has not been sent is dropped, not waited for."""
        try:
            if self._serial.is_open:
                self._serial.reset_output_buffer()
        except (serial.SerialException, OSError, termios.error):
            pass  # it has gone
        self._serial.close()


class SocketTransport:
    """A TCP connection; open_transport() makes it.

    (pySerial's own sleeps when it is closed, and stays open when the other end went first.)
    """

    def __init__(self, port: str) -> None:
        """Connect to ``socket://HOST:PORT``."""
        self.port = port
        url = urlsplit(port)
        if url.hostname is None or url.port is None:
            raise ValueError("the form is socket://HOST:PORT")
        self._socket = socket.create_connection((url.hostname, url.port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> bytes:
        """Take what has arrived; waits a moment when there is nothing. Raises NoDeviceError."""
        try:
            ready, _, _ = select.select([self._socket], [], [], SLICE)
            data = self._socket.recv(READ_BYTES) if ready else b""
        except (OSError, ValueError) as error:
            raise _gone(self.port) from error
        if ready and not data:
            raise _gone(self.port)
        return data

    def write(self, data: bytes) -> None:
        """Send all of data. Raises NoDeviceError."""
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            raise _stuck(self.port) from error
        except OSError as error:
            raise _gone(self.port) from error

    def close(self) -> None:
        """Close the connection; again is harmless."""
        self._socket.close()


def _gone(port: str) -> NoDeviceError:
    if not port.startswith(("socket://", "/dev/pts/")):
        return NoDeviceError(f"{port}: the device is gone (unplugged, or switched off)")
    return NoDeviceError(
        f"{port}: the board has closed the line: it has ended, or this program was silent for"
        f" {LET_GO_SECONDS} s and another one waited"
    )


def _stuck(port: str) -> NoDeviceError:
    return NoDeviceError(f"{port}: the device takes nothing any more")


_REASONS = {
    errno.EACCES: "no permission; on Linux: sudo usermod -aG dialout $USER, then log in again",
    errno.ENOENT: "there is no such port",
    errno.ECONNREFUSED: "nothing listens there",
    errno.ENOTTY: "it is not a serial port; `tracekws doctor` lists those that are there",
}


def _number(error: Exception) -> int | None:
    number = getattr(error, "errno", None)
    if number is None and isinstance(error.__context__, termios.error):
        number = error.__context__.args[0]  # pySerial puts it into its text only
    return number


def _reason(error: Exception) -> str:
    number = _number(error)
    return str(error) if number is None else _REASONS.get(number, os.strerror(number))
