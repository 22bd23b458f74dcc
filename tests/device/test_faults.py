# SPDX-License-Identifier: Apache-2.0
"""Lines that lose, repeat, cut and flip; other things on the port; requests out of place."""

import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_device as reference
from host_cli import HANG_SECONDS
from loopback_device import Board, Flash, VirtualClock, connect
from reference_device import Start
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.device import driver, link, protocol
from tracekws.device.driver import Driver
from tracekws.device.protocol import Message
from tracekws.device.transport import SLICE, open_transport
from tracekws.errors import DeviceError, NoDeviceError, ProtocolError, code


class Faulty:
    """A transport that treats some frames badly, in both directions; the seed says which."""

    def __init__(self, inner: Any, seed: int, share: float) -> None:
        self.inner = inner
        self.clock = getattr(inner, "clock", None)
        self.rng = np.random.default_rng(seed)
        self.share = share
        self.n_faults = 0
        self.pending = b""

    def spoil(self, frame: bytes) -> bytes:
        if self.rng.random() >= self.share:
            return frame
        self.n_faults += 1
        at = int(self.rng.integers(len(frame)))
        flipped = bytes([frame[at] ^ 1 << int(self.rng.integers(8))])
        return [
            b"",
            frame + frame,
            frame[:at],
            frame[:at] + flipped + frame[at + 1 :],
            self.rng.bytes(30) + frame,
        ][int(self.rng.integers(5))]

    def read(self) -> bytes:
        *frames, self.pending = (self.pending + self.inner.read()).split(b"\0")
        return b"".join(self.spoil(frame + b"\0") for frame in frames)

    def write(self, data: bytes) -> None:
        self.inner.write(self.spoil(data))

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_line_changes_nothing(
    board: VirtualBoard, image: bytes, pcm: np.ndarray, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "RETRIES_PER_TIMEOUT", 20 * HANG_SECONDS)
    line = Faulty(open_transport(board.port), seed, 0.1)
    pupil = reference.Pupil(image, seed)
    with Driver.over(line, board.port, HANG_SECONDS) as device:
        assert list(device.listen(np.array_split(pcm, 40))) == reference.events(image, pcm)
        assert device.classify(pcm)[1].tolist() == reference.scores(image, pcm).tolist()
        with device.learn(seed) as session:
            for label in ("yes", "no", "_unknown_"):
                session.take_pcm(label, pcm[:16000], 32767)
                pupil.take(label, pupil.features(pcm[:16000]), 32767)
        assert device.weights() == pupil.weights
        assert device.save() == 1
        with device.learn(seed) as session:
            session.take_pcm("no", pcm[16000:32000], 32767)
        assert device.weights() != pupil.weights
        assert [device.save(), device.undo()] == [2, 1]
        assert device.info().erases == 3
        assert device.weights() == pupil.weights
    assert line.n_faults > 20


class Wire:
    """Requests by hand."""

    def __init__(self, port: str) -> None:
        self.transport = open_transport(port)
        self.reader = protocol.FrameReader()
        self.inbox: list[Message] = []

    def receive(self) -> Message:
        while not self.inbox:
            for data in self.reader.push(self.transport.read()):
                message = protocol.parse(data)
                assert message is not None
                self.inbox.append(message)
        return self.inbox.pop(0)

    def ask(self, command: int, number: int, body: bytes = b"") -> Message:
        self.transport.write(protocol.request(command, number, body))
        while (message := self.receive()).kind == protocol.WORKING:
            continue
        return message


@pytest.fixture
def wire(start: Start) -> Iterator[Wire]:
    opened = Wire(start().port)
    yield opened
    opened.transport.close()


def test_a_repeated_request_is_not_done_again(wire: Wire) -> None:
    first = wire.ask(protocol.SAVE, 5)
    assert protocol.parse_generation(first.body) == 1
    assert wire.ask(protocol.SAVE, 5) == first
    assert wire.ask(protocol.SAVE, 5) == first
    assert protocol.parse_info(wire.ask(protocol.INFO, 6).body).generation == 1
    assert protocol.parse_generation(wire.ask(protocol.SAVE, 7).body) == 2


def test_data_by_number(wire: Wire) -> None:
    def send(number: int, request: int) -> tuple[int, int]:
        answer = wire.ask(protocol.DATA, request, protocol.pack_data(number, 0, b"\1\0" * 320))
        return answer.status, protocol.parse_position(answer.body).next

    credit = protocol.parse_credit(wire.ask(protocol.LISTEN, 1).body)
    assert send(0, 2) == (0, 1)
    assert send(0, 2) == (0, 1)
    assert send(0, 3) == (0, 1)
    assert send(2, 4) == (code("SEQUENCE"), 1)
    assert send(credit, 5) == (code("SEQUENCE"), 1)
    assert send(1 + credit, 6) == (code("CREDIT"), 1)
    assert send(0xFFFFFFFF, 7) == (code("CREDIT"), 1)
    assert send(1, 8) == (0, 2)


@pytest.mark.parametrize(
    ("opening", "command", "body", "error"),
    [
        ([], 0x63, b"", "REQUEST"),
        ([], protocol.INFO, b"x", "LENGTH"),
        ([], protocol.HELLO, b"\1", "LENGTH"),
        ([], protocol.DATA, bytes(10), "STATE"),
        ([], protocol.END, b"", "STATE"),
        ([], protocol.TAKE, protocol.pack_take(1, 1, 1, "yes"), "STATE"),
        ([], protocol.TAKE_END, b"", "STATE"),
        ([], protocol.WEIGHTS, protocol.pack_weights(0, 642), "ARGUMENT"),
        ([], protocol.WEIGHTS, protocol.pack_weights(1, 2), "ARGUMENT"),
        ([], protocol.WEIGHTS, protocol.pack_weights(0xFFFFFFFE, 2), "ARGUMENT"),
        ([protocol.LISTEN], protocol.LISTEN, b"", "BUSY"),
        ([protocol.LISTEN], protocol.LEARN, bytes(4), "BUSY"),
        ([protocol.LISTEN], protocol.SAVE, b"", "BUSY"),
        ([protocol.CLASSIFY], protocol.FORGET, b"", "BUSY"),
        ([protocol.LISTEN], protocol.DATA, bytes(7), "LENGTH"),
        ([protocol.LISTEN], protocol.DATA, bytes(8), "LENGTH"),
        ([protocol.LISTEN], protocol.DATA, bytes(8 + 3), "LENGTH"),
        ([protocol.LISTEN], protocol.DATA, bytes(8 + 642), "LENGTH"),
        ([protocol.LISTEN], protocol.DATA, protocol.pack_data(0, 1, bytes(2)), "ARGUMENT"),
        ([protocol.LISTEN], protocol.TAKE, protocol.pack_take(1, 1, 1, "yes"), "STATE"),
        ([protocol.LEARN], protocol.DATA, bytes(10), "STATE"),
        ([protocol.LEARN], protocol.TAKE, protocol.pack_take(3, 1, 1, "yes"), "ARGUMENT"),
        ([protocol.LEARN], protocol.TAKE, protocol.pack_take(1, 32, 1, "yes"), "ARGUMENT"),
        ([protocol.LEARN], protocol.TAKE, protocol.pack_take(1, 1, 32768, "yes"), "ARGUMENT"),
        ([protocol.LEARN], protocol.TAKE, protocol.pack_take(1, 1, 1, "maybe"), "LABEL"),
        ([protocol.LEARN, protocol.TAKE], protocol.END, b"", "STATE"),
        ([protocol.LEARN, protocol.TAKE], protocol.DATA, bytes(8 + 81), "LENGTH"),
        ([protocol.LEARN, protocol.TAKE], protocol.TAKE, bytes(17), "STATE"),
        ([protocol.LEARN], protocol.TAKE, bytes(4), "LENGTH"),
    ],
)
def test_refusals(wire: Wire, opening: list[int], command: int, body: bytes, error: str) -> None:
    bodies = {protocol.LEARN: bytes(4), protocol.TAKE: protocol.pack_take(2, 3, 9, "yes")}
    for number, opener in enumerate(opening):
        assert wire.ask(opener, number, bodies.get(opener, b"")).status == 0
    before = wire.ask(protocol.INFO, 97)
    assert wire.ask(command, 98, body).status == code(error)
    assert wire.ask(protocol.INFO, 99)._replace(request=97) == before


@settings(deadline=None, derandomize=True, max_examples=10)
@given(st.data())
def test_any_request_is_answered(model: Path, tmp_path_factory, data: st.DataObject) -> None:
    often = [
        0x12,
        0x13,
        0x14,
        0x15,
        protocol.LOAD,
        protocol.LIVE,
        protocol.RECORD,
        protocol.READ_PCM,
    ]
    commands = st.one_of(st.integers(1, 0x24), st.sampled_from(often))
    body = st.one_of(
        st.binary(max_size=40),
        st.binary(max_size=690),
        st.binary(min_size=8, max_size=8),
        st.just(protocol.pack_take(1, 15, 32767, "yes")),
        st.builds(protocol.pack_load, st.integers(1, 2000), st.integers(0, 1)),
        st.builds(protocol.pack_read_pcm, st.integers(0, 3000), st.integers(0, 3000)),
        st.builds(protocol.pack_data, st.integers(0, 3), st.just(0), st.just(bytes(512))),
        st.builds(
            protocol.pack_data, st.integers(0, 5), st.integers(0, 2), st.just(b"\x12\x80" * 320)
        ),
    )
    requests = data.draw(st.lists(st.tuples(commands, body), min_size=5, max_size=40))
    flash = tmp_path_factory.mktemp("fuzz") / "flash"
    sound = flash.with_name("sound")
    sound.write_bytes(bytes(range(256)) * 100)
    with virtual_board(model, flash, extra=["--microphone", str(sound)]) as board:
        wire = Wire(board.port)
        for number, (command, content) in enumerate(requests):
            answer = wire.ask(command, number, content)
            assert (answer.kind, answer.request) == (command | protocol.ANSWER, number)
            assert answer.status == 0 or -95 <= answer.status < 0
        wire.transport.close()
        Driver.open(board.port).close()
        assert board.process.poll() is None


@pytest.mark.parametrize("seed", range(3))
def test_rubbish_on_the_line(start: Start, seed: int) -> None:
    board = start()
    rubbish = np.random.default_rng(seed).bytes(2000)
    transport = open_transport(board.port)
    transport.write(rubbish)
    with Driver.over(transport, board.port) as device:
        assert device.info().board == "virtual"


def test_other_protocol_version(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PROTOCOL_VERSION", 1)
    with pytest.raises(ProtocolError, match=r"speaks protocol 2, this program 1.*update"):
        Driver.open(start().port)


def test_other_protocol_version_keeps_the_session(wire: Wire) -> None:
    wire.ask(protocol.LISTEN, 1)
    answer = wire.ask(protocol.HELLO, 2, protocol.pack_hello(9))
    assert answer.status == code("VERSION")
    assert protocol.parse_version(answer.body)[0] == 2
    assert protocol.parse_info(wire.ask(protocol.INFO, 3).body).session == 1


class Other:
    """Something else on a port: it does what a function of the bytes says, in time of its own."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.clock = VirtualClock()
        self.pending = b""

    def write(self, data: bytes) -> None:
        self.pending += self.answer(data)

    def read(self) -> bytes:
        data, self.pending = self.pending, b""
        if not data:
            self.clock.sleep(SLICE)
        return data

    def close(self) -> None:
        return


@pytest.mark.parametrize(
    "answer",
    [
        lambda data: data,
        lambda data: b"login: ",
        lambda data: b"\x55" * 500,
        lambda data: b"\0" + data,
        lambda data: protocol.encode(b"\x81short"),
    ],
)
def test_something_else_on_the_port(answer: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ProtocolError, match="not a TraceKWS device"):
        connect(Other(answer))


def test_a_silent_port() -> None:
    silent = Other(lambda data: b"")
    with pytest.raises(NoDeviceError, match="does not answer"):
        connect(silent, timeout=7)
    assert 7 <= silent.clock.now() < 8


def test_answers_of_another_shape() -> None:
    def answer(data: bytes) -> bytes:
        asked = [protocol.decode(frame) for frame in data.split(b"\0") if frame]
        replies = [m[:1].replace(b"\1", b"\x81") + m[1:5] + bytes(5) for m in asked if m]
        return b"".join(protocol.encode(reply) for reply in replies)

    with pytest.raises(ProtocolError, match="wrong length"):
        connect(Other(answer))


def test_a_line_that_damages_everything() -> None:
    notice = protocol.encode(struct.pack("<BIh", protocol.DAMAGED, 0, code("FRAME")))
    with pytest.raises(ProtocolError, match="damages every frame"):
        connect(Other(lambda data: notice))


@pytest.mark.parametrize(
    ("port", "text"),
    [
        ("/dev/no-such-port", "there is no such port"),
        ("socket://127.0.0.1:1", "nothing listens there"),
        ("socket://127.0.0.1", "socket://HOST:PORT"),
        ("nonsense://x", "nonsense"),
        ("/dev/null", "it is not a serial port"),
    ],
)
def test_no_such_port(port: str, text: str) -> None:
    with pytest.raises(NoDeviceError, match="cannot be opened") as refused:
        Driver.open(port)
    assert text in str(refused.value)


def unplugged(board: VirtualBoard, pcm: np.ndarray) -> Iterator[np.ndarray]:
    for number, chunk in enumerate(np.array_split(pcm, 50)):
        if number == 25:
            board.kill()
        yield chunk


def test_unplugged_while_listening(board: VirtualBoard, pcm: np.ndarray) -> None:
    with Driver.open(board.port) as device, pytest.raises(NoDeviceError):
        list(device.listen(unplugged(board, pcm)))


def test_unplugged_while_learning(board: VirtualBoard, pcm: np.ndarray) -> None:
    with Driver.open(board.port) as device:

        def lesson() -> None:
            with device.learn(1) as session:
                for _ in itertools.count():
                    session.take_pcm("yes", pcm, 32767)
                    board.kill()

        with pytest.raises(NoDeviceError):
            lesson()


@pytest.fixture
def deaf(folder: Path, image: bytes) -> Faulty:
    """A line that does nothing to frames, until it is told to."""
    return Faulty(Board(folder, image, Flash()), 0, 0.0)


def test_a_device_that_stops_answering(deaf: Faulty, pcm: np.ndarray) -> None:
    """The line stays, nothing comes back: an error after the timeout, not a hang."""
    with connect(deaf) as device:
        device.info()
        deaf.spoil = lambda frame: b""  # type: ignore[method-assign]
        with pytest.raises(NoDeviceError, match="does not answer"):
            device.classify(pcm)
        with pytest.raises(NoDeviceError, match="does not answer"):
            list(device.listen([pcm]))


def test_a_device_that_stops_in_a_stream(deaf: Faulty, pcm: np.ndarray) -> None:
    def chunks() -> Iterator[np.ndarray]:
        yield pcm[:16000]
        deaf.spoil = lambda frame: b""  # type: ignore[method-assign]
        yield pcm

    with connect(deaf) as device, pytest.raises(NoDeviceError, match="does not answer"):
        list(device.listen(chunks()))


def test_refused_by_a_device_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    hello = protocol.Hello(2, "0.1.0", 15, 700, 640, 4, 1024, code("NO_MODEL"), "bare")
    monkeypatch.setattr(protocol, "parse_hello", lambda body: hello)

    class Still:
        def write(self, data: bytes) -> None:
            frame = next((f for f in data.split(b"\0") if f), None)
            message = protocol.decode(frame) if frame else None
            self.answer = b""
            if message:
                self.answer = protocol.encode(b"\x81" + message[1:5] + bytes(2))

        def read(self) -> bytes:
            return self.answer

        def close(self) -> None:
            pass

    with pytest.raises(DeviceError, match="no usable model"):
        Driver.over(Still(), "still")
    assert driver.protocol is protocol
