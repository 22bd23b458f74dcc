# SPDX-License-Identifier: Apache-2.0
"""What a client on TCP may say first that is no host: nothing of it may count."""

import socket

from host_cli import HANG_SECONDS
from tracekws.device import protocol

HELLO = protocol.request(protocol.HELLO, 1, protocol.pack_hello(protocol.PROTOCOL_VERSION))
SAVE = protocol.request(protocol.SAVE, 2)
FORGET = protocol.request(protocol.FORGET, 3)
_POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n"

FIRST = {
    "http": _POST + b"\0" + HELLO + FORGET,
    "http that ends with a hello": _POST + HELLO + FORGET,
    "no hello": FORGET,
    "no hello behind empty frames": bytes(3000) + FORGET + HELLO,
    "an answer to hello": protocol.encode(b"\x81" + bytes(6)) + FORGET,
    "hello without a version": protocol.request(protocol.HELLO, 1) + FORGET,
    "damaged hello": HELLO[:3] + bytes([HELLO[3] ^ 1]) + HELLO[4:] + HELLO + FORGET,
    "half a hello": HELLO[:5] + b"\0" + HELLO + FORGET,
    "too long": b"\x55" * 708,
    "long": protocol.request(protocol.HELLO, 1, bytes(696)) + FORGET,
}


def connect(url: str) -> socket.socket:
    """A connection to socket://127.0.0.1:PORT."""
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), HANG_SECONDS)


def send(client: socket.socket, data: bytes, size: int = 1 << 20) -> None:
    """Send in pieces, until it is closed."""
    try:
        for at in range(0, len(data), size):
            client.sendall(data[at : at + size])
    except (BrokenPipeError, ConnectionResetError):
        return


def until_closed(client: socket.socket) -> bytes:
    """What comes before the other end closes the connection."""
    data = b""
    try:
        while more := client.recv(4096):
            data += more
    except ConnectionResetError:
        pass
    return data
