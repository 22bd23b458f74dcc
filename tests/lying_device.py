# SPDX-License-Identifier: Apache-2.0
"""A device that says what it is told to say, true or not, on a TCP port.

with lying_device(Lies(labels=(b"\x1b[31mred", b"no", b"_unknown_", b"_silence_"))) as port:
    run("info", "--port", port)

It answers every request of docs/protocol.md so that a host goes on: it hears its first word in all
that is streamed, takes every take, saves, and records a tone that comes and goes. The page is all
that it is made from; nothing of the package's own codec is in it.
"""

import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cobs import cobs

LISTEN, CLASSIFY = 0x10, 0x11
CREDIT = struct.pack("<H", 4)
TONES = tuple(
    struct.pack("<320h", *((level, -level)[k // 8 % 2] for k in range(320))) for level in (3000, 90)
)
EVENT = struct.pack("<HhQQ", 0, 32000, 0, 320)


@dataclass(frozen=True)
class Lies:
    """What the device says of itself."""

    labels: tuple[bytes, ...] = (b"yes", b"no", b"_unknown_", b"_silence_")
    name: bytes = b"model"
    board: bytes = b"board"
    own: bytes = b"lamp"
    """A word that it says it was taught."""


def framed(message: bytes) -> bytes:
    """A frame of a message."""
    return bytes(cobs.encode(message + struct.pack("<I", zlib.crc32(message)))) + b"\0"


class Session:
    """One host's connection: requests in, answers out."""

    def __init__(self, lies: Lies) -> None:
        self.lies = lies
        self.session = 0

    def info(self) -> bytes:
        """See the page."""
        n = len(self.lies.labels)
        numbers = (0xDEADBEEF, 256, n, n - 2, n - 1, 100, 5, 1, 4000, 0, 0, 3)
        slots = struct.pack("<BII", 1, 3, 7) * 2
        return struct.pack("<32sIIHHHHHHIBBI", self.lies.name, *numbers) + slots

    def answer(self, command: int, body: bytes) -> bytes:
        """The body of an answer that says all is well."""
        labels = self.lies.labels
        match command:
            case 0x01:
                numbers = (2, 256, 255, 700, 640, 4, 196608, 0)
                return struct.pack("<HIIHHHIh16s", *numbers, self.lies.board)
            case 0x02:
                return self.info()
            case 0x03:
                return struct.pack("<BIIBHH", 0, 0, 1 << 20, 1, 0, 0)
            case 0x04:
                (first,) = struct.unpack("<H", body)
                return b"".join(bytes([len(label)]) + label for label in labels[first:])
            case 0x05 if body == b"\x02":
                return bytes([2] * len(labels))
            case 0x05:
                word = struct.pack("<HBhB", len(labels), 3, 20000, len(self.lies.own))
                return struct.pack("<H", 16) + word + self.lies.own
            case 0x10 | 0x11 | 0x12 | 0x13 | 0x1C | 0x24:
                self.session = command
                return CREDIT
            case 0x14:
                number, seen = struct.unpack_from("<II", body)
                events = EVENT if seen == 0 and self.session == LISTEN else b""
                head = struct.pack("<IHIB", number + 1, 4, 0, len(events) // len(EVENT))
                return head + events
            case 0x16:
                scores = struct.pack(f"<H{len(labels)}i", 0, *range(len(labels)))
                return scores if self.session == CLASSIFY else b""
            case 0x19:
                (seen,) = struct.unpack("<I", body)
                events = EVENT if seen == 0 else b""
                return struct.pack("<QIIB", 1 << 20, 0, 0, len(events) // len(EVENT)) + events
            case 0x1B:
                (position,) = struct.unpack_from("<I", body, 4)
                return bytes(4) + body[4:] + TONES[position // 1600 % 2]
            case 0x1D:
                return struct.pack("<HBH", 0, 1, 0)
            case 0x20:
                return bytes(struct.unpack("<IH", body)[1])
            case 0x21 | 0x22 | 0x25:
                return struct.pack("<I", 4)
            case 0x23:
                return struct.pack("<I", 0)
        return b""

    def serve(self, line: socket.socket) -> None:
        """Answer until the host goes."""
        pending = b""
        while data := line.recv(4096):
            *frames, pending = (pending + data).split(b"\0")
            for frame in filter(None, frames):
                command, number = struct.unpack_from("<BI", message := cobs.decode(frame)[:-4])
                body = self.answer(command, message[5:])
                line.sendall(framed(struct.pack("<BIh", command | 0x80, number, 0) + body))


@contextmanager
def lying_device(lies: Lies) -> Iterator[str]:
    """Run one; gives its port, which any number of hosts may open, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    line, _ = server.accept()
                    with line:
                        Session(lies).serve(line)
                except ConnectionError:
                    continue  # the host went first
                except OSError:
                    return  # the test is over

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
