# SPDX-License-Identifier: Apache-2.0
"""Requests over a line that may lose, repeat or damage what it carries."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from tracekws.audio import SAMPLE_RATE
from tracekws.device import limits, protocol
from tracekws.device.protocol import Message, Position
from tracekws.device.transport import Transport
from tracekws.errors import NoDeviceError, ProtocolError, code, device_error

RETRIES_PER_TIMEOUT = 5
"""A request is sent again after this share of the timeout without an answer."""
MAX_DAMAGED = 20
"""Damaged frames in a row, without progress between, after which the line is given up."""
WORKING_TIMEOUTS = {
    protocol.TAKE_END: 24,
    protocol.SAVE: 60,
    protocol.UNDO: 60,
    protocol.FORGET: 60,
    protocol.LOAD: 60,
    protocol.END: 60,
}
"""Timeouts that a request may take in all, once the device says that it is working.

An emulated part, many times slower than a real one, learns the end of a take in seconds; flash is
erased in tens of seconds at the most, a sector or a whole area, and END of a load erases both
slots. Any other request is answered at once, whatever the device says: one timeout.
"""
WORKING_INTERVAL = 5
"""After the notice the request is repeated so many times more seldom."""


class Clock:
    """The time that a host waits by, in seconds; a test has one of its own."""

    def now(self) -> float:
        """Give the time since some start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        time.sleep(seconds)


class Link:
    """One request at a time, or one stream of data messages; every wait ends.

    The timeout is that of a request, but for those of WORKING_TIMEOUTS, and of data without
    progress. What does not answer the request is no progress, however much of it comes. No more
    is held than one read of the transport brings.
    """

    def __init__(
        self, transport: Transport, name: str, timeout: float, clock: Clock | None = None
    ) -> None:
        """Take over an open transport. `timeout` in seconds of the clock; `name` is for messages.

        The clock is this machine's by default.
        """
        self.transport = transport
        self.name = name
        self.timeout = timeout
        self.clock = clock or Clock()
        self.reader = protocol.FrameReader()
        self.inbox: deque[Message] = deque()
        self._next_id = secrets.randbits(32)
        self._is_closed = False

    def close(self) -> None:
        """Close the transport; there are no requests any more."""
        self._is_closed = True
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
        if self._is_closed:
            raise NoDeviceError(f"{self.name}: this program has closed the line: open it again")
        number = self.new_id()
        frame = protocol.request(command, number, body)
        wait = _Wait(self, lambda: self.transport.write(frame))
        self.transport.write(frame)
        while True:
            message = self.receive(wait.until)
            if message and message.request == number and message.kind == command | protocol.ANSWER:
                return message
            if message and message.request == number and message.kind == protocol.WORKING:
                wait.allow(WORKING_TIMEOUTS.get(command, 1))
            wait.idle(message)

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
        wait = _Wait(self, waiting.clear)
        is_dry = False  # the device has answered that there are no samples
        while len(pcm) < 2 * n_samples:
            if is_dry and wait.is_over:
                raise device_error(code("MICROPHONE"))
            have = len(pcm) // 2
            for number in range(len(waiting), ahead):
                request = self.new_id()
                waiting[request] = have + number * size
                body = protocol.pack_read_pcm(have, waiting[request])
                self.transport.write(protocol.request(protocol.READ_PCM, request, body))
            message = self.receive(wait.until)
            answers = message is not None and message.kind == protocol.READ_PCM | protocol.ANSWER
            position = waiting.pop(message.request, None) if message and answers else None
            if message is None or position is None:
                wait.idle(message)
                continue
            if message.status < 0:
                raise device_error(message.status)
            overruns, start, data = protocol.parse_pcm(message.body)
            limits.check_pcm(start, position, len(data), 2 * size)
            new = data[2 * (have - position) :] if position <= have else b""
            if new:
                pcm += new
                wait.progress()
            elif len(data) == 2 * size:
                wait.idle(message)
            if len(data) < 2 * size:  # that is all there is: what was asked ahead brings nothing
                waiting.clear()
                is_dry = not new
                self.clock.sleep(size / SAMPLE_RATE / 2)
        return bytes(pcm[: 2 * n_samples]), overruns

    def new_id(self) -> int:
        """Give an id that no request of late has had."""
        self._next_id = (self._next_id + 1) % (1 << 32)
        return self._next_id

    def receive(self, until: float) -> Message | None:
        """Give the next answer or notice, None when there is none by `until` (of the clock).

        The line is looked at once more after that: this machine may have been busy, not the device.
        """
        while not self.inbox:
            late = self.clock.now() >= until
            self._read()
            if late and not self.inbox:
                return None
        return self.inbox.popleft()

    def _read(self) -> None:
        for data in self.reader.push(self.transport.read()):
            message = protocol.parse(data)
            if message is not None:
                self.inbox.append(message)


class _Wait:
    """When to repeat what was sent, and when to give up."""

    def __init__(self, link: Link, send: Callable[[], None]) -> None:
        self._link = link
        self._send = send
        self.progress()

    def progress(self) -> None:
        """The device has done what was asked for: start again."""
        self._start = self._link.clock.now()
        self._n_damaged = 0
        self._heard = False
        self._set(1, 1)

    def allow(self, timeouts: int) -> None:
        """The device says that it is working: it may take so many timeouts in all."""
        if timeouts > 1:
            self._set(timeouts, WORKING_INTERVAL)

    @property
    def is_over(self) -> bool:
        """It is time to give up."""
        return self._link.clock.now() >= self._give_up

    def idle(self, message: Message | None) -> None:
        """Nothing has come, or nothing that helps: repeat where it is time, or give up."""
        damaged = message is not None and message.kind == protocol.DAMAGED
        self._heard = self._heard or message is not None
        # what is wanted may be behind it, however late it is
        early = bool(self._link.inbox) or self._link.clock.now() < self.until
        if message is None or damaged or not early:
            self.repeat(damaged)

    def repeat(self, damaged: bool = False, send: Callable[[], None] | None = None) -> None:
        """Send again; raise when it is time to give up."""
        self._n_damaged += damaged
        if self._n_damaged > MAX_DAMAGED:
            raise ProtocolError(f"{self._link.name}: the line damages every frame")
        if self.is_over:
            self._end()
        self._restart()
        (send or self._send)()

    def _set(self, timeouts: int, interval: int) -> None:
        self._give_up = self._start + timeouts * self._link.timeout
        self._interval = interval * self._link.timeout / RETRIES_PER_TIMEOUT
        self._restart()

    def _restart(self) -> None:
        self.until = min(self._link.clock.now() + self._interval, self._give_up)

    def _end(self) -> None:
        if not self._heard:
            raise NoDeviceError(f"{self._link.name}: the device does not answer")
        seconds = self._link.clock.now() - self._start
        raise ProtocolError(
            f"{self._link.name}: the device sends something, but has not done what it was asked"
            f" for in {seconds:.0f} s"
        )


class _Sender:
    """Data messages on their way: sent, kept until they are acknowledged, sent again if lost."""

    def __init__(self, link: Link, credit: int, position: Callable[[Position], None]) -> None:
        self._link = link
        self._position = position
        self._next = 0
        self._limit = credit
        self._n_events = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._ids: dict[int, int] = {}
        """Number of the message that was sent with each id, where it is not acknowledged."""
        self._wait = _Wait(link, self._send_oldest)

    def is_full(self) -> bool:
        return self._next >= self._limit

    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def send(self, chunk: bytes) -> None:
        if not self._waiting:
            self._wait.progress()
        self._waiting.append((self._next, chunk))
        self._write(self._next, chunk)
        self._next += 1

    def look(self) -> None:
        """Take the answers that are there, without waiting."""
        while self._link.inbox:
            self._take(self._link.inbox.popleft())

    def wait(self) -> None:
        """Take one answer; send again what seems lost."""
        message = self._link.receive(self._wait.until)
        if message is None or not self._take(message):
            self._wait.idle(message)

    def _write(self, number: int, chunk: bytes) -> None:
        request = self._link.new_id()
        self._ids[request] = number
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

    def _take(self, message: Message) -> bool:
        """Take an answer. Tells whether the device has gone on by it."""
        if message.kind != protocol.DATA | protocol.ANSWER or message.request not in self._ids:
            return False
        del self._ids[message.request]
        if message.status < 0 and message.status != code("SEQUENCE"):
            raise device_error(message.status)
        position = protocol.parse_position(message.body)
        limits.check_position(position, self._next, self._n_events)
        has_gone_on = bool(self._waiting) and position.next > self._waiting[0][0]
        if has_gone_on:
            self._wait.progress()
        while self._waiting and self._waiting[0][0] < position.next:
            self._waiting.popleft()
        self._ids = {name: at for name, at in self._ids.items() if at >= position.next}
        self._limit = max(self._limit, position.next + position.credit)
        new = position.events[max(self._n_events - position.first_event, 0) :]
        self._n_events = max(self._n_events, position.first_event + len(position.events))
        self._position(position._replace(events=new))
        if message.status == code("SEQUENCE"):
            self._wait.repeat(send=self._send_all)
            return True
        return has_gone_on
