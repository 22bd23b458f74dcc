# SPDX-License-Identifier: Apache-2.0
"""Clients of boards without hardware that say something else first, go too early, or come again."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cffi import FFI

import strangers
from loopback_device import APP, BOARDS
from reference_device import Start, teach
from strangers import FIRST, FORGET, HELLO, SAVE, send, until_closed
from toolchain import CORE, ROOT, find
from tracekws.boards.line import READ_BYTES, Gate, PtyLine, TcpLine, open_line
from tracekws.boards.virtual import VirtualBoard
from tracekws.device import protocol
from tracekws.device.driver import Driver
from tracekws.device.transport import LET_GO_SECONDS, Transport, ask_for, open_transport
from tracekws.errors import NoDeviceError, ProtocolError, TraceKwsError, code

Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(start: Start) -> Iterator[Connect]:
    """Connect to one board with saved weights, which must be there in the end."""
    board = start(0)
    with Driver.open(board.port) as device:
        learned = teach(device, 1)
        assert device.save() == 1
    yield lambda: strangers.connect(board.port)
    with Driver.open(board.port) as device:
        assert (device.info().generation, device.info().erases) == (1, 1)
        assert device.weights() == learned


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("size", [1 << 20, 7])
def test_what_is_no_hello_closes_the_connection(connect: Connect, first: str, size: int) -> None:
    with connect() as client:
        send(client, FIRST[first], size)
        assert until_closed(client) == b""


def test_a_hello_opens_the_connection(connect: Connect) -> None:
    """In any pieces, behind empty frames, the longest too; what follows at once is done."""
    for first in (HELLO, bytes(5000) + HELLO, protocol.request(protocol.HELLO, 1, b"\1" * 695)):
        for size in (1, 13, 1 << 20):
            data = first + protocol.request(protocol.HEALTH, 4)
            with connect() as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for at in range(0, len(data), size):
                    client.sendall(data[at : at + size])
                reader, kinds = protocol.FrameReader(), []
                while len(kinds) < 2:
                    kinds += [message[0] for message in reader.push(client.recv(4096))]
            assert kinds == [protocol.HELLO | protocol.ANSWER, protocol.HEALTH | protocol.ANSWER]


def test_another_version_is_told(connect: Connect) -> None:
    with connect() as client:
        client.sendall(protocol.request(protocol.HELLO, 1, protocol.pack_hello(99)))
        (answer,) = protocol.FrameReader().push(client.recv(4096))
    assert protocol.parse_version(answer[7:])[0] == protocol.PROTOCOL_VERSION


@contextmanager
def stopped(board: VirtualBoard) -> Iterator[None]:
    """The board sees only afterwards what happens meanwhile, all of it at once."""
    board.process.send_signal(signal.SIGSTOP)
    os.waitpid(board.process.pid, os.WUNTRACED)  # until it has: a busy machine takes its time
    try:
        yield
    finally:
        board.process.send_signal(signal.SIGCONT)


def answers(transport: Transport, n: int) -> list[bytes]:
    reader = protocol.FrameReader()
    messages: list[bytes] = []
    while len(messages) < n:
        messages += reader.push(transport.read())
    return messages


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_a_client_that_has_gone_does_not_act(board: VirtualBoard, known: bool) -> None:
    """What it sent before it went, and the board had not looked at, is dropped."""
    if known:
        client = open_transport(board.port)
        client.write(HELLO)
        answers(client, 1)
    with stopped(board):
        if not known:
            client = open_transport(board.port)
            client.write(HELLO)
        client.write(SAVE + FORGET + SAVE[:-4])
        client.close()
    with Driver.open(board.port) as device:
        assert (device.info().generation, device.info().erases) == (0, 0)
        assert device.info().slots == ("empty", "empty")


def test_a_client_that_sends_no_more_has_gone(connect: Connect) -> None:
    """Half a connection is none: the board closes its side, too, and does nothing further."""
    with connect() as client:
        client.sendall(HELLO)
        assert client.recv(4096)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(4096) == b""


# --- the line by itself, looked at when the test says so


LET_GO_WAITS = 5
"""Waits of a millisecond after which a silent client is let go."""


class Line:
    """The virtual board's line without the board."""

    def __init__(self, library: Any, tcp: bool) -> None:
        self.ffi, self.lib = library
        self.memory = self.ffi.new("uint64_t[]", self.lib.virtual_line_bytes() // 8 + 1)
        self.state = self.ffi.cast("link_state *", self.memory)
        opened = (
            self.lib.link_open_tcp(self.state, 0) if tcp else self.lib.link_open_pty(self.state)
        )
        assert opened == 0

    @property
    def url(self) -> str:
        """Where it is at this moment."""
        return str(self.ffi.string(self.lib.virtual_line_url(self.state)).decode())

    def read(self, wait_ms: int = 0) -> bytes | int:
        """What the application would get; or an error."""
        out = self.ffi.new("uint8_t[]", 64)
        assert self.lib.link_wait(self.state, wait_ms) == 0
        n = self.lib.link_read(self.state, out, len(out))
        return bytes(self.ffi.buffer(out)[:n]) if n >= 0 else n

    def connect(self) -> Transport:
        """A client that has said hello."""
        client = open_transport(self.url)
        client.write(HELLO)
        while not (data := self.read()):
            continue
        assert data == HELLO
        return client


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("line") / "line.so"
    sources = [BOARDS / "virtual" / "link.c", APP / "frame.c", CORE / "src" / "crc32.c"]
    sources.append(ROOT / "tests" / "device" / "virtual_line.c")
    includes = [f"-I{folder}" for folder in (APP, BOARDS, CORE / "include")]
    flags = ["-std=c11", "-O1", "-shared", "-fPIC", f"-DLINK_LET_GO_MS={LET_GO_WAITS}u"]
    subprocess.run([find("cc"), *flags, *includes, *sources, "-o", path], check=True)
    ffi = FFI()
    ffi.cdef(
        """
        typedef struct link_state link_state;
        size_t virtual_line_bytes(void);
        const char *virtual_line_url(const link_state *link);
        int link_open_pty(link_state *link);
        int link_open_tcp(link_state *link, unsigned port);
        int link_wait(link_state *link, int most_ms);
        int link_read(void *context, uint8_t *bytes, size_t n_bytes);
        int link_write(void *context, const uint8_t *bytes, size_t n_bytes);
        void link_close(link_state *link);
        """
    )
    return ffi, ffi.dlopen(str(path))


@pytest.fixture(params=["pty", "tcp"])
def line(library: Any, request: pytest.FixtureRequest) -> Iterator[Line]:
    opened = Line(library, request.param == "tcp")
    yield opened
    opened.lib.link_close(opened.state)


def test_it_may_go_between_two_frames(line: Line) -> None:
    client = line.connect()
    client.write(SAVE + FORGET + SAVE)
    while not (data := line.read()):
        continue
    assert data == SAVE, "a frame at a time"
    client.close()
    assert line.read() == code("LINK"), "told once"
    assert line.read() == b""
    client = line.connect()
    client.write(FORGET)
    while not (data := line.read()):
        continue
    assert data == FORGET
    client.close()


def test_the_next_one_may_be_there_before_that_is_seen(line: Line) -> None:
    """What was on the line is dropped, whose it was; the next host is told to repeat."""
    client = line.connect()
    client.write(SAVE + FORGET)
    client.close()
    client = open_transport(line.url)
    client.write(HELLO)
    assert line.read() == code("LINK")
    frames = b""
    while HELLO not in frames:
        data = line.read()
        assert isinstance(data, bytes)
        frames += data
        if data == b"\1\0":  # a damaged frame, of which the application tells
            client.write(HELLO)
    assert frames.removeprefix(b"\1\0") == HELLO
    client.close()


def test_a_second_program_on_a_pty_does_not_disturb_the_first(library: Any) -> None:
    line = Line(library, tcp=False)
    client = line.connect()
    for _ in range(3):
        os.close(os.open(line.url, os.O_RDWR | os.O_NOCTTY))
        assert line.read() == b""
    client.write(SAVE)
    assert line.read() == SAVE
    client.close()
    line.lib.link_close(line.state)


def test_an_answer_to_one_that_has_gone_is_no_error_for_the_next(line: Line) -> None:
    client = line.connect()
    client.close()
    line.lib.link_write(line.state, SAVE, len(SAVE))
    assert line.read() == code("LINK")
    line.connect().close()


@pytest.fixture
def tcp_line(library: Any) -> Iterator[Line]:
    opened = Line(library, tcp=True)
    yield opened
    opened.lib.link_close(opened.state)


def test_a_silent_client_is_let_go_when_another_waits(tcp_line: Line) -> None:
    holder = tcp_line.connect()
    assert [tcp_line.read(1) for _ in range(3 * LET_GO_WAITS)] == [b""] * 3 * LET_GO_WAITS
    given_up = open_transport(tcp_line.url)
    given_up.close()
    assert [tcp_line.read(1) for _ in range(LET_GO_WAITS)] == [b""] * LET_GO_WAITS
    holder.write(SAVE)
    while not (data := tcp_line.read()):
        continue
    assert data == SAVE, "it has the line"
    other = open_transport(tcp_line.url)
    other.write(HELLO)
    silent = [tcp_line.read(1) for _ in range(LET_GO_WAITS - 1)]
    assert silent == [b""] * (LET_GO_WAITS - 1), "it has been silent from its last byte on"
    assert tcp_line.read(1) == code("LINK")
    while not (data := tcp_line.read()):
        continue
    assert data == HELLO
    with pytest.raises(NoDeviceError, match=f"silent for {LET_GO_SECONDS} s"):
        holder.read()
    holder.close()
    other.close()


def test_one_that_never_says_hello_is_let_go_too(tcp_line: Line) -> None:
    with strangers.connect(tcp_line.url):
        tcp_line.read()
        other = open_transport(tcp_line.url)
        other.write(HELLO)
        while (data := tcp_line.read(1)) != HELLO:
            assert data == b"", "the application was told of nobody"
        other.close()


def test_one_that_takes_no_answers_is_let_go_too(tcp_line: Line) -> None:
    holder = tcp_line.connect()
    other = open_transport(tcp_line.url)
    other.write(HELLO)
    answer = bytes(1 << 20)
    while tcp_line.lib.link_write(tcp_line.state, answer, len(answer)) == 0:
        continue
    assert tcp_line.read() == code("LINK")
    while not (data := tcp_line.read()):
        continue
    assert data == HELLO
    holder.close()
    other.close()


@pytest.fixture
def pty_line(library: Any) -> Iterator[Line]:
    opened = Line(library, tcp=False)
    yield opened
    opened.lib.link_close(opened.state)


def pass_silence(line: Line, waits: int) -> None:
    """So many waits in which nothing happens; those that see a program come or go are none."""
    line.read(0)
    assert [line.read(1) for _ in range(waits)] == [b""] * waits


def test_a_silent_client_of_a_pty_is_hung_up_when_another_asks(pty_line: Line) -> None:
    holder, before = pty_line.connect(), pty_line.url
    ask_for(before)
    pass_silence(pty_line, 3 * LET_GO_WAITS)
    assert pty_line.url == before, "one that asked in vain, and does not ask again, counts no more"
    holder.write(SAVE)
    while not (data := pty_line.read()):
        continue
    assert data == SAVE, "it has the line"
    pass_silence(pty_line, LET_GO_WAITS - 2)
    ask_for(before)
    pass_silence(pty_line, 1)
    assert pty_line.url == before, "it has been silent from its last byte on"
    pass_silence(pty_line, 1)
    ask_for(before)
    line_is = [pty_line.read(1) for _ in range(3)]
    assert code("LINK") in line_is
    assert pty_line.url != before
    with pytest.raises(NoDeviceError, match=f"silent for {LET_GO_SECONDS} s"):
        holder.read()
    with pytest.raises(NoDeviceError, match=f"silent for {LET_GO_SECONDS} s"):
        holder.write(SAVE)
    other = pty_line.connect()
    other.close()
    holder.close()


def test_a_client_of_a_pty_that_goes_on_is_never_hung_up(pty_line: Line) -> None:
    holder, before = pty_line.connect(), pty_line.url
    for _ in range(3 * LET_GO_WAITS):
        ask_for(before)
        pass_silence(pty_line, LET_GO_WAITS - 1)
        ask_for(before)
        holder.write(SAVE)
        while not (data := pty_line.read()):
            continue
        assert data == SAVE
    assert pty_line.url == before
    holder.close()


def test_silence_before_it_came_is_not_its_own(pty_line: Line) -> None:
    """Nor is one let go for what another was asked."""
    for _ in range(2):
        holder, before = pty_line.connect(), pty_line.url
        pass_silence(pty_line, LET_GO_WAITS - 1)
        ask_for(before)
        holder.close()
        assert pty_line.read(0) == code("LINK")
        pass_silence(pty_line, 2 * LET_GO_WAITS)
        with_another = open_transport(pty_line.url)
        pass_silence(pty_line, LET_GO_WAITS - 1)
        assert pty_line.url == before
        with_another.close()
        pty_line.read(0)


def test_one_on_a_pty_that_takes_no_answers_is_hung_up_too(pty_line: Line) -> None:
    holder, before = pty_line.connect(), pty_line.url
    answer = bytes(1 << 14)
    while pty_line.url == before:
        ask_for(before)
        sent = pty_line.lib.link_write(pty_line.state, answer, len(answer))
    assert sent == code("LINK")
    assert pty_line.read() == code("LINK")
    holder.close()
    pty_line.connect().close()


# --- the line of the emulators


def through(gate: Gate, data: bytes, size: int) -> bytes:
    return b"".join(gate.push(data[at : at + size]) for at in range(0, len(data), size))


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("size", [1 << 20, 7, 1])
def test_the_gate_is_shut_for_strangers(first: str, size: int) -> None:
    gate = Gate()
    with pytest.raises(ProtocolError):
        through(gate, FIRST[first], size)
    assert not gate.is_open


@pytest.mark.parametrize("size", [1 << 20, 7, 1])
def test_the_gate_opens_for_a_hello(size: int) -> None:
    data = HELLO + FORGET + b"anything \0 else" + bytes(3)
    assert through(Gate(), bytes(3000) + data, size) == data


def received(line: PtyLine | TcpLine) -> bytes | None:
    """What comes next; None when the client has gone."""
    while (data := line.receive(READ_BYTES)) == b"":
        continue
    return data


@pytest.fixture(params=[None, 0], ids=["pty", "tcp"])
def emulated(request: pytest.FixtureRequest) -> Iterator[PtyLine | TcpLine]:
    line = open_line(request.param)
    yield line
    line.close()


def test_an_emulator_s_clients_come_and_go(emulated: PtyLine | TcpLine) -> None:
    for _ in range(2):
        assert emulated.receive(READ_BYTES) == b""
        client = open_transport(emulated.url)
        client.write(HELLO)
        assert received(emulated) == HELLO
        client.write(SAVE)
        assert emulated.receive(0) == b"", "only looked at"
        assert received(emulated) == SAVE
        emulated.send(b"answer")
        assert client.read() == b"answer"
        client.write(SAVE + FORGET)
        client.close()
        assert emulated.receive(READ_BYTES) is None
        assert emulated.receive(READ_BYTES) == b"", "nothing of it is left"
        emulated.send(b"to nobody")


def test_an_emulator_s_client_goes_before_it_is_seen(emulated: PtyLine | TcpLine) -> None:
    client = open_transport(emulated.url)
    client.write(HELLO + SAVE)
    client.close()
    seen = [emulated.receive(READ_BYTES) for _ in range(3)]
    assert set(seen) <= {None, b""}


@pytest.mark.parametrize("first", FIRST)
def test_an_emulator_s_strangers(first: str) -> None:
    line = TcpLine(0)
    with strangers.connect(line.url) as client:
        send(client, FIRST[first])
        assert received(line) is None
        assert until_closed(client) == b""
    client = strangers.connect(line.url)
    client.sendall(HELLO)
    assert received(line) == HELLO
    client.close()
    line.close()


def test_an_emulator_lets_a_silent_client_go_when_another_waits() -> None:
    time = [0.0]
    line = TcpLine(0, lambda: time[0])
    holder = open_transport(line.url)
    holder.write(HELLO)
    assert received(line) == HELLO
    time[0] = LET_GO_SECONDS + 1
    assert line.receive(READ_BYTES) == b"", "nobody waits"
    open_transport(line.url).close()
    assert line.receive(READ_BYTES) == b"", "nobody waits any more"
    holder.write(SAVE)
    assert received(line) == SAVE
    other = open_transport(line.url)
    other.write(HELLO)
    time[0] += LET_GO_SECONDS - 1
    assert line.receive(READ_BYTES) == b""
    time[0] += 1
    assert line.receive(READ_BYTES) is None
    assert received(line) == HELLO
    with pytest.raises(NoDeviceError, match=f"silent for {LET_GO_SECONDS} s"):
        holder.read()
    holder.close()
    other.close()
    line.close()


def test_an_emulator_s_pty_is_hung_up_when_another_asks() -> None:
    time: list[float] = [0.0]
    told: list[str] = []
    line = PtyLine(told.append, lambda: time[0])
    before = line.url
    ask_for(before)
    assert line.receive(READ_BYTES) == b""
    holder = open_transport(before)
    holder.write(HELLO)
    assert received(line) == HELLO
    time[0] = LET_GO_SECONDS - 1
    ask_for(before)
    assert line.receive(READ_BYTES) == b""
    time[0] += 1
    assert line.receive(READ_BYTES) == b"", "nobody asks any more"
    ask_for(before)
    holder.write(SAVE)
    assert received(line) == SAVE
    time[0] += LET_GO_SECONDS
    assert line.receive(READ_BYTES) == b"", "asked before it spoke"
    ask_for(before)
    assert line.receive(READ_BYTES) is None
    assert told == [line.url] != [before]
    with pytest.raises(NoDeviceError, match=f"silent for {LET_GO_SECONDS} s"):
        holder.read()
    holder.close()
    other = open_transport(line.url)
    other.write(HELLO)
    assert received(line) == HELLO
    other.close()
    line.close()


def test_the_time_is_the_same_everywhere() -> None:
    header = (BOARDS / "virtual" / "link.h").read_text()
    assert f"#define LINK_LET_GO_MS {LET_GO_SECONDS}000u" in header
    assert f"silent for {LET_GO_SECONDS} s" in (ROOT / "docs" / "commands.md").read_text()


def test_an_emulator_s_port_in_use() -> None:
    line = TcpLine(0)
    port = int(line.url.rpartition(":")[2])
    with pytest.raises(TraceKwsError, match=f"port {port}: .*in use"):
        TcpLine(port)
    line.close()
