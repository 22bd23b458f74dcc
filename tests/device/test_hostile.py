# SPDX-License-Identifier: Apache-2.0
"""Devices that lie, never end, or never get on: each request ends, in an error of one line.

A liar is the real application whose answers are changed on their way; its time is made up.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference_device as reference
from loopback_device import Board, Flash, VirtualClock, connect
from tracekws.device import link, protocol
from tracekws.device.driver import Driver
from tracekws.errors import DeviceError, NoDeviceError, ProtocolError, TraceKwsError, code

TIMEOUT = 5
FLOOD_SECONDS = 0.1
"""How long a read takes that brings something nobody asked for."""

Change = Callable[[bytes], bytes]
"""What a lie makes of an answer's body."""


class Liar:
    """A transport to a board that changes the bodies of answers, by command."""

    def __init__(self, board: Board, lies: dict[int, Change] | None = None) -> None:
        self.board = board
        self.clock: VirtualClock = board.clock
        self.lies = lies or {}
        self.reader = protocol.FrameReader()

    def answer(self, message: protocol.Message) -> bytes:
        lie = self.lies.get(message.kind & 0x7F)
        body = lie(message.body) if lie and message.kind != protocol.WORKING else message.body
        head = struct.pack("<BIh", message.kind, message.request, message.status)
        return protocol.encode(head + body)

    def read(self) -> bytes:
        messages = [protocol.parse(data) for data in self.reader.push(self.board.read())]
        return b"".join(self.answer(message) for message in messages if message)

    def write(self, data: bytes) -> None:
        self.board.write(data)

    def close(self) -> None:
        return


def at(offset: int, form: str, value: int) -> Change:
    """A number of another value."""

    def change(body: bytes) -> bytes:
        changed = bytearray(body)
        struct.pack_into(f"<{form}", changed, offset, value)
        return bytes(changed)

    return change


Use = Callable[[Driver], Any]


@pytest.fixture
def make(folder: Path, image: bytes, pcm: np.ndarray) -> Callable[..., Board]:
    def board(**options: Any) -> Board:
        return Board(folder, image, Flash(area=16384), sound=np.tile(pcm, 40), **options)

    return board


def learn(device: Driver) -> None:
    with device.learn(1) as session:
        session.take_features("yes", np.ones((40, 80), np.int8), 32767)


def hear(device: Driver) -> None:
    with closing(device.listen_live()) as live:
        for _ in range(300):
            next(live)


PCM = np.random.default_rng(1).integers(-3000, 3000, 16000).astype(np.int16)
USES: dict[str, Use] = {
    "info": lambda device: device.info(),
    "listen": lambda device: list(device.listen([PCM])),
    "classify": lambda device: device.classify(PCM),
    "learn": learn,
    "weights": lambda device: device.weights(),
    "save": lambda device: device.save(),
    "undo": lambda device: device.undo(),
    "forget": lambda device: device.forget(),
    "load": lambda device: device.load(bytes(3000)),
    "record": lambda device: device.record(3),
    "live": hear,
}

HELLO_LIES = {
    "another protocol": (0, "H", 77),
    "no message": (10, "H", 0),
    "message too short": (10, "H", 94),
    "message too long": (10, "H", 701),
    "largest message": (10, "H", 65535),
    "no data": (12, "H", 0),
    "one byte of data": (12, "H", 1),
    "less than a step": (12, "H", 78),
    "odd data": (12, "H", 641),
    "data larger than a message": (12, "H", 686),
    "most data": (12, "H", 65534),
    "no credit": (14, "H", 0),
    "too much credit": (14, "H", 65),
    "most credit": (14, "H", 65535),
    "no RAM": (16, "I", 0),
    "an error that is none": (20, "h", 1),
}


def refused(line: Liar, use: Use | None = None) -> str:
    """The error that a use of a device ends with: one line."""
    with pytest.raises(ProtocolError) as error:  # noqa: PT012
        device = connect(line, TIMEOUT)
        assert use is not None
        use(device)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 200
    return text


@pytest.mark.parametrize("lie", HELLO_LIES)
def test_hello(make: Callable[..., Board], lie: str) -> None:
    line = Liar(make(), {protocol.HELLO: at(*HELLO_LIES[lie])})
    assert "must be within" in refused(line)
    assert line.clock.now() < TIMEOUT


@pytest.mark.parametrize("lie", [(12, "H", 80), (14, "H", 64), (14, "H", 1), (10, "H", 655)])
def test_the_ends_of_the_ranges_work(
    make: Callable[..., Board], image: bytes, lie: tuple[int, str, int]
) -> None:
    with connect(Liar(make(), {protocol.HELLO: at(*lie)})) as device:
        assert list(device.listen([PCM])) == reference.events(image, PCM)
        learn(device)


INFO_BYTES = protocol._INFO.size
"""Of the answer to INFO before the slots."""


def two_classes(body: bytes) -> bytes:
    """A model with no word."""
    changed = bytearray(body)
    struct.pack_into("<HHH", changed, INFO_BYTES - 22, 2, 0, 1)
    struct.pack_into("<I", changed, INFO_BYTES - 10, 100)
    return bytes(changed)


INFO_LIES = {
    "no word": two_classes,
    "one class for everything": at(INFO_BYTES - 18, "H", 3),
    "no neurons": at(INFO_BYTES - 16, "H", 0),
    "too many neurons": at(INFO_BYTES - 16, "H", 1025),
    "most neurons": at(INFO_BYTES - 16, "H", 65535),
    "another method": at(INFO_BYTES - 14, "H", 32),
    "every method": at(INFO_BYTES - 14, "H", 65535),
    "no passes": at(INFO_BYTES - 12, "H", 0),
    "too many passes": at(INFO_BYTES - 12, "H", 101),
    "most passes": at(INFO_BYTES - 12, "H", 65535),
    "no weights": at(INFO_BYTES - 10, "I", 0),
    "odd weights": at(INFO_BYTES - 10, "I", 1001),
    "more weights than neurons have": at(INFO_BYTES - 10, "I", 8000),
    "most weights": at(INFO_BYTES - 10, "I", 2**32 - 2),
}


@pytest.mark.parametrize("lie", INFO_LIES)
@pytest.mark.parametrize("use", ["info", "weights", "listen"])
def test_info(make: Callable[..., Board], lie: str, use: str) -> None:
    line = Liar(make(), {protocol.INFO: INFO_LIES[lie]})
    refused(line, USES[use])
    assert line.clock.now() < TIMEOUT


def test_more_weights_than_memory(make: Callable[..., Board]) -> None:
    refused(Liar(make(), {protocol.HELLO: at(16, "I", 3272)}), USES["weights"])


@pytest.mark.parametrize("credit", [0, 65, 65535])
@pytest.mark.parametrize(
    ("command", "use"),
    [
        (protocol.LISTEN, "listen"),
        (protocol.CLASSIFY, "classify"),
        (protocol.TAKE, "learn"),
        (protocol.LOAD, "load"),
    ],
)
def test_credit(make: Callable[..., Board], credit: int, command: int, use: str) -> None:
    assert "credit" in refused(Liar(make(), {command: at(0, "H", credit)}), USES[use])


def event(word: int = 0, score: int = 9, start: int = 0, end: int = 320) -> Change:
    """An answer to DATA with an event."""

    def change(body: bytes) -> bytes:
        return body[:6] + bytes(4) + b"\1" + struct.pack("<HhQQ", word, score, start, end)

    return change


POSITIONS = {
    "ahead of what was sent": at(0, "I", 1000),
    "far ahead": at(0, "I", 2**32 - 1),
    "no credit": at(4, "H", 0),
    "most credit": at(4, "H", 65535),
    "events that were never sent": at(6, "I", 1000),
    "far more events": at(6, "I", 2**32 - 1),
    "nine events": lambda body: body[:6] + bytes(4) + b"\x09" + bytes(9 * 20),
    "cut off": lambda body: body[:-1],
    "an event too few": lambda body: body[:10] + b"\x07",
}
EVENTS = {
    "another word": event(word=5),
    "last word": event(word=65535),
    "score": event(score=-1),
    "end": event(end=2**63),
    "end not sent yet": event(end=16001),
    "start": event(start=2**63, end=320),
    "start behind the end": event(start=321),
}


@pytest.mark.parametrize("lie", POSITIONS | EVENTS)
@pytest.mark.parametrize("use", ["listen", "classify", "learn", "load"])
def test_data(make: Callable[..., Board], lie: str, use: str) -> None:
    line = Liar(make(), {protocol.DATA: (POSITIONS | EVENTS)[lie]})
    refused(line, USES[use])
    assert line.clock.now() < TIMEOUT


def test_an_event_in_order(make: Callable[..., Board]) -> None:
    """What the lies above are made of is no lie."""
    with connect(Liar(make(), {protocol.DATA: event()})) as device:
        (heard,) = device.listen([PCM[:320]])
    assert (heard.start, heard.end) == (0, 320 / 16000)


@pytest.mark.parametrize("use", ["listen", "classify", "learn", "load"])
@pytest.mark.parametrize("status", [0, code("SEQUENCE")], ids=["done", "sequence"])
def test_data_without_progress(make: Callable[..., Board], use: str, status: int) -> None:
    """Every message is answered, and the first is never taken."""

    class Stuck(Liar):
        def answer(self, message: protocol.Message) -> bytes:
            if message.kind == protocol.DATA | protocol.ANSWER:
                self.clock.sleep(FLOOD_SECONDS)
                message = message._replace(status=status, body=bytes(4) + b"\4" + bytes(6))
            return super().answer(message)

    line = Stuck(make())
    assert "has not done what it was asked for" in refused(line, USES[use])
    assert TIMEOUT <= line.clock.now() < 2 * TIMEOUT


def again(body: bytes) -> bytes:
    """An event that the host has seen, and nothing new."""
    (first,) = struct.unpack_from("<I", body, 12)
    return at(12, "I", first - 1)(body[:16] + b"\1" + bytes(20)) if first else body


POLLED = {
    "an event again": again,
    "samples": at(0, "Q", 2**63),
    "more samples than ever": at(0, "Q", 2**48 + 1),
    "fewer samples": at(0, "Q", 0),
    "events before the sound": at(12, "I", 2**32 - 1),
    "events without sound": at(12, "I", 200),
    "events cut off": lambda body: body[:16] + b"\x09",
    "nine events": lambda body: body[:16] + b"\x09" + bytes(9 * 20),
    "event": lambda body: body[:16] + b"\1" + struct.pack("<HhQQ", 0, 9, 0, 2**63),
}


@pytest.mark.parametrize("lie", POLLED)
def test_live(make: Callable[..., Board], lie: str) -> None:
    board = make(burst=640)
    line = Liar(board, {})

    def later(body: bytes) -> bytes:
        return POLLED[lie](body) if board.n_heard > 32000 else body

    line.lies[protocol.POLL] = later
    refused(line, USES["live"])


RECORDED = {
    "another position": at(4, "I", 640),
    "more than was asked for": lambda body: body + bytes(2),
    "half a sample": lambda body: body + b"\0",
    "no head": lambda body: body[:7],
}


@pytest.mark.parametrize("lie", RECORDED)
def test_record(make: Callable[..., Board], lie: str) -> None:
    refused(Liar(make(burst=1600), {protocol.READ_PCM: RECORDED[lie]}), USES["record"])


def test_the_first_sample_never_comes(make: Callable[..., Board]) -> None:
    """All that is asked for ahead is answered."""

    class Ahead(Liar):
        def answer(self, message: protocol.Message) -> bytes:
            self.clock.sleep(FLOOD_SECONDS)
            if message.kind == protocol.READ_PCM | protocol.ANSWER:
                if message.body[4:8] == bytes(4):
                    return b""
                message = message._replace(body=message.body[:8] + bytes(640))
            return super().answer(message)

    line = Ahead(make())
    assert "has not done" in refused(line, USES["record"])
    assert line.clock.now() < 3 * TIMEOUT


@pytest.mark.parametrize(
    ("command", "use", "generation"),
    [(protocol.SAVE, "save", 0), (protocol.FORGET, "forget", 1), (protocol.FORGET, "forget", -1)],
)
def test_generations(make: Callable[..., Board], command: int, use: str, generation: int) -> None:
    line = Liar(make(), {command: at(0, "i", generation)})
    assert "generation" in refused(line, USES[use])


@pytest.mark.parametrize("cut", [lambda body: body[:-2], lambda body: body + bytes(2)])
def test_parts_of_weights(make: Callable[..., Board], cut: Change) -> None:
    assert "length" in refused(Liar(make(), {protocol.WEIGHTS: cut}), USES["weights"])


def test_scores(make: Callable[..., Board]) -> None:
    for cut in (lambda body: body[:-4], lambda body: body + bytes(4), at(0, "H", 5)):
        refused(Liar(make(), {protocol.END: cut}), USES["classify"])


# --- floods: what never ends, and answers nothing


def frame(kind: int, request: int, body: bytes = b"") -> bytes:
    return protocol.encode(struct.pack("<BIh", kind, request, 0) + body)


FLOODS: dict[str, Callable[[int, int], bytes]] = {
    "wrong id": lambda kind, request: 300 * frame(kind, request ^ 1),
    "wrong kind": lambda kind, request: 20 * frame(0x99, request),
    "kinds of requests": lambda kind, request: 20 * frame(kind & 0x7F, request),
    "working": lambda kind, request: 20 * frame(protocol.WORKING, request),
    "working for another": lambda kind, request: 20 * frame(protocol.WORKING, request ^ 1),
    "junk": lambda kind, request: 700 * b"\5abcd\0",
    "no end": lambda kind, request: 4096 * b"\x55",
    "empty frames": lambda kind, request: bytes(4096),
    "damaged": lambda kind, request: 20 * frame(protocol.DAMAGED, 0),
    "too long": lambda kind, request: 5 * frame(kind, request, bytes(690) + b"12345"),
}


class Flood:
    """A transport to a board that answers one command with a flood, from its first request on."""

    def __init__(self, board: Board, command: int, flood: str) -> None:
        self.board = board
        self.clock: VirtualClock = board.clock
        self.command = command
        self.flood = FLOODS[flood]
        self.pours = b""
        self.most_held = 0
        self.link: link.Link | None = None

    def write(self, data: bytes) -> None:
        asked = [protocol.decode(frame) for frame in data.split(b"\0") if frame]
        for message in asked:
            if message and message[0] == self.command:
                (request,) = struct.unpack_from("<I", message, 1)
                self.pours = self.flood(self.command | protocol.ANSWER, request)
        if not self.pours:
            self.board.write(data)

    def read(self) -> bytes:
        if self.link is not None:
            held = self.link.inbox, self.link.reader._pending
            self.most_held = max(self.most_held, *map(len, held))
        if not self.pours:
            return self.board.read()
        self.clock.sleep(FLOOD_SECONDS)
        return self.pours

    def close(self) -> None:
        return


FLOODED = {
    "info": protocol.INFO,
    "weights": protocol.WEIGHTS,
    "listen": protocol.DATA,
    "classify": protocol.END,
    "learn": protocol.TAKE_END,
    "save": protocol.SAVE,
    "forget": protocol.FORGET,
    "load": protocol.LOAD,
    "record": protocol.READ_PCM,
    "live": protocol.POLL,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("use", ["hello", *FLOODED])
def test_floods(make: Callable[..., Board], use: str, flood: str) -> None:
    """Each ends, at the latest when its bound is over, and little is held meanwhile."""
    line = Flood(make(), FLOODED.get(use, protocol.HELLO), flood)
    with pytest.raises((ProtocolError, NoDeviceError)) as error:  # noqa: PT012
        device = connect(line, TIMEOUT)
        line.link = device._link
        USES[use](device)
    assert "\n" not in str(error.value)
    bound = link.WORKING_TIMEOUTS.get(line.command, 1) if flood == "working" else 1
    assert line.clock.now() < (bound + 2) * TIMEOUT, "a request, and the abort behind it"
    assert line.most_held <= 1500


@pytest.mark.parametrize("command", link.WORKING_TIMEOUTS)
@pytest.mark.parametrize("early", [True, False])
def test_a_device_that_works_long(command: int, early: bool) -> None:
    """Each notice is one of progress, until the bound of the request; silence between is none."""
    clock = VirtualClock()
    bound = link.WORKING_TIMEOUTS[command] * TIMEOUT

    class Slow:
        def write(self, data: bytes) -> None:
            self.request = struct.unpack_from("<I", protocol.decode(data[:-1]) or b"", 1)[0]

        def read(self) -> bytes:
            clock.sleep(bound / 10 - 0.5)
            if early and clock.now() > 0.9 * bound:
                return frame(command | protocol.ANSWER, self.request)
            return frame(protocol.WORKING, self.request)

        def close(self) -> None:
            return

    patient = link.Link(Slow(), "slow", TIMEOUT, clock)
    if early:
        assert patient.request(command) == b""
    else:
        with pytest.raises(ProtocolError, match="has not done"):
            patient.request(command)
        assert bound <= clock.now() <= 1.2 * bound


def test_a_busy_host_reads_what_came_late() -> None:
    """This machine was busy for long, and the answer is there: it is no error."""
    clock = VirtualClock()

    class Late:
        def write(self, data: bytes) -> None:
            self.request = struct.unpack_from("<I", protocol.decode(data[:-1]) or b"", 1)[0]
            self.answers = [b"", frame(0x99, 1) + frame(protocol.INFO | 0x80, self.request, b"it")]

        def read(self) -> bytes:
            clock.sleep(100)
            return self.answers.pop(0)

        def close(self) -> None:
            return

    assert link.Link(Late(), "late", TIMEOUT, clock).request(protocol.INFO) == b"it"


def test_ids_of_lost_answers_are_forgotten(make: Callable[..., Board]) -> None:
    """A stream may go on for days over a line that loses every second answer."""

    class Forgetful(Liar):
        n = 0

        def answer(self, message: protocol.Message) -> bytes:
            self.n += 1
            lost = message.kind == protocol.DATA | protocol.ANSWER and self.n % 2
            return b"" if lost else super().answer(message)

    line = Forgetful(make())
    device = connect(line)
    credit = device._open_stream(protocol.LISTEN)
    sender = link._Sender(device._link, credit, lambda position: None)
    most = 0
    for _ in range(200):
        while sender.is_full():
            sender.wait()
        sender.send(bytes(640))
        most = max(most, len(sender._ids))
    assert most < 20


def test_errors_of_a_device_are_still_its_own(make: Callable[..., Board]) -> None:
    device = connect(Liar(make()))
    with pytest.raises(DeviceError) as refusal:
        device.undo()
    assert isinstance(refusal.value, TraceKwsError)
    assert refusal.value.name == "NO_SAVED"


def chunks() -> Iterator[np.ndarray]:
    while True:
        yield PCM


def test_a_stream_has_no_bound(make: Callable[..., Board]) -> None:
    """It goes on for as long as its source, here for an hour of the device's time."""
    line = Liar(make())
    original = line.read

    def slow() -> bytes:
        line.clock.sleep(4)
        return original()

    line.read = slow  # type: ignore[method-assign]
    with connect(line) as device, closing(device.listen(chunks())) as stream:
        for _ in stream:
            if line.clock.now() > 3600:
                break
    assert line.clock.now() > 3600
