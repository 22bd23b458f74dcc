# SPDX-License-Identifier: Apache-2.0
"""The end of a serial line that an emulated board has: a pty, or a TCP port of this machine.

One host at a time; one that has been silent for long is let go when another one waits, who says so
on a pty (ask_for()). One that has gone acts no more: what it sent and was not received is dropped.
On TCP, where any program of this machine can connect, a browser too, nothing is received of a
client whose first frame is no HELLO, and it is disconnected (docs/protocol.md).
"""

from __future__ import annotations

import os
import select
import socket
import termios
import time
import tty
from collections.abc import Callable

from tracekws.device import protocol
from tracekws.device.transport import LET_GO_SECONDS
from tracekws.errors import ProtocolError, TraceKwsError

READ_BYTES = 4096
SEND_SECONDS = 60.0
"""A host that takes nothing for so long has its answer dropped."""
IDLE_SECONDS = 0.5
"""How often to look at who waits, while a host says nothing."""
LOOK_SECONDS = 0.02
"""How often to look at a pty that nobody has open: it is always ready."""
_GONE = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class Gate:
    """Lets the bytes of a client through from its first frame on, if that is an intact HELLO."""

    def __init__(self) -> None:
        """Start at the client's first byte."""
        self._held: bytes | None = b""

    @property
    def is_open(self) -> bool:
        """A HELLO has come."""
        return self._held is None

    def push(self, data: bytes) -> bytes:
        """Take bytes from the client; give those that go on. Raises ProtocolError for no HELLO."""
        if self._held is None:
            return data
        self._held = (self._held + data).lstrip(b"\0")
        frame, end, _ = self._held.partition(b"\0")
        if len(frame) > protocol.FrameReader.MAX_FRAME or (end and not _is_hello(frame)):
            raise ProtocolError("what connects does not begin with HELLO")
        if not end:
            return b""
        passed, self._held = self._held, None
        return passed


def _is_hello(frame: bytes) -> bool:
    message = protocol.decode(frame)
    return message is not None and message[0] == protocol.HELLO and len(message) >= 7


class TcpLine:
    """A port of 127.0.0.1."""

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Listen; port 0 is any free one. Raises TraceKwsError when that cannot be."""
        self._clock = clock
        self._heard_at = clock()
        try:
            self._listener = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise TraceKwsError(f"port {port}: {error.strerror}") from error
        self._client: socket.socket | None = None
        self._gate = Gate()
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        """What Device.open() takes."""

    @property
    def source(self) -> int:
        """File descriptor that is ready when there is something to receive, or to see."""
        return (self._client or self._listener).fileno()

    def receive(self, most: int) -> bytes | None:
        """Take what the host has sent, without waiting; None when one has gone.

        At most so many bytes (and what a new host has sent before); 0 looks only.
        """
        if self._client is None:
            self._accept()
            return b""
        events = _events(self._client.fileno())
        if not events:
            return self._let_go()
        self._heard_at = self._clock()
        if not events & _GONE and most == 0:
            return b""
        try:
            data = b"" if events & _GONE else self._client.recv(most)
            passed = self._gate.push(data) if data else None
        except (OSError, ProtocolError):
            passed = None
        if passed is None:
            self._lose()
        return passed

    def send(self, data: bytes) -> None:
        """Send to the host, if there is one; one that takes nothing is lost."""
        if self._client is None:
            return
        try:
            self._client.sendall(data)
        except OSError:
            self._lose()

    def close(self) -> None:
        """Close everything."""
        self._lose()
        self._listener.close()

    def _let_go(self) -> bytes | None:
        """Give the line to one that waits, when the host has been silent for long; None then."""
        if self._clock() - self._heard_at < LET_GO_SECONDS:
            return b""
        while _events(self._listener.fileno()):
            other, _ = self._listener.accept()
            if not _events(other.fileno()) & _GONE:
                self._lose()
                self._take(other)
                return None
            other.close()  # it has given up
        return b""

    def _accept(self) -> None:
        if _events(self._listener.fileno()):
            self._take(self._listener.accept()[0])

    def _take(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(SEND_SECONDS)
        self._client = client
        self._heard_at = self._clock()
        self._gate = Gate()

    def _lose(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


class PtyLine:
    """A pseudo terminal; one that is hung up gives way to another one."""

    def __init__(
        self,
        moved: Callable[[str], object] = lambda url: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open one; `moved` is told its `url` when that is another one.

        Raises TraceKwsError when that cannot be.
        """
        self._clock = clock
        self._heard_at = clock()
        self._ours, self.url = _open_pty()
        """What Device.open() takes."""
        self._is_there = False
        self._moved = moved

    @property
    def source(self) -> int | None:
        """File descriptor that is ready when there is something to receive; None for nobody."""
        return self._ours if self._is_there else None

    def receive(self, most: int) -> bytes | None:
        """Take what the host has sent, without waiting; None when one has gone.

        At most so many bytes; 0 looks only.
        """
        events = _events(self._ours)
        was_there, self._is_there = self._is_there, not events & _GONE
        asked = self._was_asked_for()
        if not self._is_there:
            if events & select.POLLIN:
                termios.tcflush(self._ours, termios.TCIFLUSH)
            return None if was_there or events & select.POLLIN else b""
        if events & select.POLLIN or not was_there:
            self._heard_at = self._clock()
        elif asked and self._clock() - self._heard_at >= LET_GO_SECONDS:
            return self._hang_up()
        return os.read(self._ours, most) if events & select.POLLIN else b""

    def send(self, data: bytes) -> None:
        """Send to the host, if there is one; one that takes nothing loses it."""
        while data and self._is_there:
            try:
                data = data[os.write(self._ours, data) :]
            except BlockingIOError:
                if not select.select([], [self._ours], [], SEND_SECONDS)[1]:
                    return
            except OSError:
                return

    def close(self) -> None:
        """Close it."""
        os.close(self._ours)

    def _was_asked_for(self) -> bool:
        """Whether somebody has asked since the last look (ask_for())."""
        asked = termios.tcgetwinsize(self._ours) != (0, 0)
        if asked:
            termios.tcsetwinsize(self._ours, (0, 0))
        return asked

    def _hang_up(self) -> bytes | None:
        """Have another pty, and the host none; None then. It keeps its own where there is none."""
        try:
            ours, url = _open_pty()
        except TraceKwsError:
            return b""
        os.close(self._ours)
        self._ours, self.url, self._is_there = ours, url, False
        self._moved(url)
        return None


def _open_pty() -> tuple[int, str]:
    """Our end, and the name of the other one. Raises TraceKwsError when there is none."""
    try:
        ours, theirs = os.openpty()
    except OSError as error:
        raise TraceKwsError(f"no pty: {error.strerror}") from error
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    name = os.ttyname(theirs)
    os.close(theirs)
    return ours, name


def open_line(
    tcp: int | None, moved: Callable[[str], object] = lambda url: None
) -> TcpLine | PtyLine:
    """Open a pty, as PtyLine() does, or the TCP port that is named (0 for any free one)."""
    return PtyLine(moved) if tcp is None else TcpLine(tcp)


def _events(descriptor: int) -> int:
    """What a descriptor is ready for at this moment."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | getattr(select, "POLLRDHUP", 0))
    return dict(poll.poll(0)).get(descriptor, 0)
