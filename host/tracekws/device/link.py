# SPDX-License-Identifier: Apache-2.0
"""Requests over a line that may lose, repeat or damage what it carries."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from tracekws.audio import SAMPLE_RATE
from tracekws.device import protocol
from tracekws.device.protocol import Message, Position
from tracekws.device.transport import Transport
from tracekws.errors import NoDeviceError, ProtocolError, code, device_error

RETRIES_PER_TIMEOUT = 5
"""A request is sent again after this share of the timeout without an answer."""
MAX_DAMAGED = 20
"""Damaged frames in a row, without progress between, after which the line is given up."""
WORKING_PATIENCE = 60
"""Timeouts that a device may stay silent after it has said that it is working."""
WORKING_INTERVAL = 5
"""After that the request is repeated so many times more seldom."""


class Link:
    """One request at a time, or one stream of data messages; every wait ends.

    The timeout is of no progress: each answer, and each notice that the device is working, starts
    it again.
    """

    def __init__(self, transport: Transport, name: str, timeout: float) -> None:
        """Take over an open transport. `timeout` in seconds; `name` is for messages."""
        self.transport = transport
        self.name = name
        self.timeout = timeout
        self.reader = protocol.FrameReader()
        self.inbox: deque[Message] = deque()
        self._next_id = secrets.randbits(32)

    def close(self) -> None:
        """Close the transport."""
        self.transport.close()

    def request(self, command: int, body: bytes = b"") -> bytes:
        """Send a request, again where needed, and give the answer's body.

        Raises DeviceError when the device refuses, NoDeviceError when it is silent or gone,
        ProtocolError when the line damages everything.
        """
        answer = self.ask(command, body)
        if answer.status < 0:
            raise device_error(answer.status)
        return answer.body

    def ask(self, command: int, body: bytes = b"") -> Message:
        """Send a request and give the answer, refusals too."""
        number = self.new_id()
        frame = protocol.request(command, number, body)
        clock = _Clock(self, lambda: self.transport.write(frame))
        self.transport.write(frame)
        while True:
            message = self.receive(clock.wait_until)
            if message is None or message.kind == protocol.DAMAGED:
                clock.repeat(damaged=message is not None)
            elif message.request != number:
                continue
            elif message.kind == protocol.WORKING:
                clock.progress(WORKING_PATIENCE, WORKING_INTERVAL)
            elif message.kind == command | protocol.ANSWER:
                return message

    def stream(
        self, chunks: Iterable[bytes], credit: int, position: Callable[[Position], None]
    ) -> Iterator[None]:
        """Send chunks as data messages 0, 1, ... within the credit that the device grants.

        `position` gets each answer; the iterator yields after each chunk that was sent, and after
        each answer that had to be waited for. Raises as request() does.
        """
        sender = _Sender(self, credit, position)
        for chunk in chunks:
            while sender.is_full():
                sender.wait()
                yield
            sender.send(chunk)
            sender.look()
            yield
        while sender.is_waiting():
            sender.wait()
            yield

    def record(self, n_samples: int, ahead: int, size: int) -> tuple[bytes, int]:
        """Read the first samples of a RECORD session; give them and the times that some were lost.

        `ahead` requests are on their way at a time, each for `size` samples. Raises DeviceError
        MICROPHONE when no sample comes for the length of the timeout, else as request() does.
        """
        pcm = bytearray()
        overruns = 0
        waiting: dict[int, int] = {}
        clock = _Clock(self, waiting.clear)
        patience = time.monotonic() + self.timeout
        while len(pcm) < 2 * n_samples:
            have = len(pcm) // 2
            for number in range(len(waiting), ahead):
                request = self.new_id()
                waiting[request] = have + number * size
                body = protocol.pack_read_pcm(have, waiting[request])
                self.transport.write(protocol.request(protocol.READ_PCM, request, body))
            message = self.receive(clock.wait_until)
            if message is None or message.kind == protocol.DAMAGED:
                clock.repeat(damaged=message is not None)
                continue
            position = waiting.pop(message.request, None)
            if position is None:
                continue
            if message.status < 0:
                raise device_error(message.status)
            overruns, _, data = protocol.parse_pcm(message.body)
            if position <= have and (new := data[2 * (have - position) :]):
                pcm += new
                clock.progress()
                patience = time.monotonic() + self.timeout
            if len(data) < 2 * size:  # that is all there is: what was asked ahead brings nothing
                waiting.clear()
                if time.monotonic() > patience:
                    raise device_error(code("MICROPHONE"))
                time.sleep(size / SAMPLE_RATE / 2)
        return bytes(pcm[: 2 * n_samples]), overruns

    def new_id(self) -> int:
        """Give an id that no request of late has had."""
        self._next_id = (self._next_id + 1) % (1 << 32)
        return self._next_id

    def receive(self, until: float) -> Message | None:
        """Give the next answer or notice, None when there is none by `until` (time.monotonic)."""
        while not self.inbox:
            self._read()
            if not self.inbox and time.monotonic() >= until:
                return None
        return self.inbox.popleft()

    def _read(self) -> None:
        for data in self.reader.push(self.transport.read()):
            message = protocol.parse(data)
            if message is not None:
                self.inbox.append(message)


class _Clock:
    """When to repeat what was sent, and when to give up."""

    def __init__(self, link: Link, send: Callable[[], None]) -> None:
        self._link = link
        self._send = send
        self.progress()

    def progress(self, patience: int = 1, interval: int = 1) -> None:
        """The device has done something: start again, with so many times the usual waits."""
        now = time.monotonic()
        self._give_up = now + patience * self._link.timeout
        self._interval = interval * self._link.timeout / RETRIES_PER_TIMEOUT
        self._n_damaged = 0
        self.wait_until = now + self._interval

    def repeat(self, damaged: bool = False, send: Callable[[], None] | None = None) -> None:
        """Send again; raise when it is time to give up."""
        now = time.monotonic()
        self._n_damaged += damaged
        if self._n_damaged > MAX_DAMAGED:
            raise ProtocolError(f"{self._link.name}: the line damages every frame")
        if now >= self._give_up:
            raise NoDeviceError(f"{self._link.name}: the device does not answer")
        self.wait_until = min(now + self._interval, self._give_up)
        (send or self._send)()


class _Sender:
    """Data messages on their way: sent, kept until they are acknowledged, sent again if lost."""

    def __init__(self, link: Link, credit: int, position: Callable[[Position], None]) -> None:
        self._link = link
        self._position = position
        self._next = 0
        self._limit = max(credit, 1)
        self._n_events = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._ids: set[int] = set()
        self._clock = _Clock(link, self._send_oldest)

    def is_full(self) -> bool:
        return self._next >= self._limit

    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def send(self, chunk: bytes) -> None:
        if not self._waiting:
            self._clock.progress()
        self._waiting.append((self._next, chunk))
        self._write(self._next, chunk)
        self._next += 1

    def look(self) -> None:
        """Take the answers that are there, without waiting."""
        while self._link.inbox:
            self._take(self._link.inbox.popleft())

    def wait(self) -> None:
        """Take one answer; send again what seems lost."""
        message = self._link.receive(self._clock.wait_until)
        if message is None or message.kind == protocol.DAMAGED:
            self._clock.repeat(damaged=message is not None)
        else:
            self._take(message)

    def _write(self, number: int, chunk: bytes) -> None:
        request = self._link.new_id()
        self._ids.add(request)
        body = protocol.pack_data(number, self._n_events, chunk)
        self._link.transport.write(protocol.request(protocol.DATA, request, body))

    def _send_oldest(self) -> None:
        if self._waiting:
            self._write(*self._waiting[0])

    def _send_all(self) -> None:
        """Go back to the oldest; answers to what was sent before do not count any more."""
        self._ids.clear()
        for number, chunk in self._waiting:
            self._write(number, chunk)

    def _take(self, message: Message) -> None:
        if message.kind != protocol.DATA | protocol.ANSWER or message.request not in self._ids:
            return
        self._ids.discard(message.request)
        if message.status < 0 and message.status != code("SEQUENCE"):
            raise device_error(message.status)
        position = protocol.parse_position(message.body)
        if self._waiting and position.next > self._waiting[0][0]:
            self._clock.progress()
        while self._waiting and self._waiting[0][0] < position.next:
            self._waiting.popleft()
        self._limit = max(self._limit, position.next + position.credit)
        new = position.events[max(self._n_events - position.first_event, 0) :]
        self._n_events = max(self._n_events, position.first_event + len(position.events))
        self._position(position._replace(events=new))
        if message.status == code("SEQUENCE"):
            self._clock.repeat(send=self._send_all)
