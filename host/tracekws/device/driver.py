# SPDX-License-Identifier: Apache-2.0
"""The requests of the protocol as calls: what programs use of it is Device, in device.py."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.core import OwnWord, check_pcm
from tracekws.device import limits, protocol
from tracekws.device.holders import holder
from tracekws.device.link import Clock, Link
from tracekws.device.protocol import Health, Hello, Position, RawEvent, RawWord
from tracekws.device.transport import LET_GO, Transport, open_transport
from tracekws.errors import (
    BusyError,
    DataError,
    DeviceError,
    ModelError,
    NoDeviceError,
    ProtocolError,
    TraceKwsError,
    VersionError,
    device_error,
)
from tracekws.errors import code as error_code
from tracekws.learner import FULL_SCALE
from tracekws.names import OTHER, is_name, normalised
from tracekws.recognizer import Event

NO_MICROPHONE = (
    "this board has no microphone: wire one to it (docs/boards.md), or give a virtual one a"
    " recording by `tracekws board --microphone FILE`; `listen --mic` and `adapt --record` use this"
    " machine's"
)


@dataclass(frozen=True)
class DeviceInfo:
    """What a device is and holds."""

    firmware: str
    """Version of the firmware."""
    board: str
    protocol: int
    model_name: str
    model_crc: int
    loaded: bool
    """The model was loaded into the board's flash; else it is the firmware's own."""
    labels: tuple[str, ...]
    unknown: str
    """Label of the class for other words."""
    silence: str
    """Label of the class for no speech."""
    method: int
    """TKWS_LEARN_* flags that the model adapts with by default."""
    passes: int
    """Passes over the takes by default."""
    generation: int
    """Of the weights that were restored or saved last; 0 is the factory's."""
    changed: bool
    """The weights in RAM were learned since, and are not saved."""
    slots: tuple[str, ...]
    """A word a storage slot: empty, valid, corrupt, other-model, newer-format."""
    erases: int
    """Times that a slot was erased, over all slots."""
    wear: tuple[int, ...]
    """The same for each slot."""
    trainable_bytes: int
    ram_bytes: int
    """Memory of the device's application."""
    image_bytes: int
    """Room for a model that is loaded; 0 when the board cannot load any."""
    reset_reason: str
    """Why the board started: unknown, power-on, pin, watchdog, software, brown-out."""
    watchdog_ms: int
    """Of the watchdog; 0 when none runs."""
    brown_out_mv: int | None
    """Supply below which the board resets; 0 when nothing watches it, None when not known."""
    n_neurons: int
    max_data_bytes: int
    """Bytes of PCM or features in one message, at most."""
    max_pcm_credit: int
    """Data messages that may be on their way unanswered."""

    @property
    def keywords(self) -> tuple[str, ...]:
        """Labels that are words."""
        return tuple(label for label in self.labels if label not in (self.unknown, self.silence))


@dataclass(frozen=True)
class Taught:
    """What a device holds of its user's own."""

    words: dict[str, OwnWord]
    """Words that teaching made, by name, in the order of their numbers."""
    sounds: int
    """That are no word: correct() takes events back. Each takes the room of a word."""
    room: int
    """Words that there may be, those that there are with them; 0 where the model has none."""


@dataclass(frozen=True)
class LiveReport:
    """What the board's own microphone has brought since the last look."""

    events: tuple[Event, ...]
    seconds: float
    """Length of the stream so far."""
    overruns: int
    """Times so far that samples were lost, since the device was too slow to take them."""
    missed: int
    """Events that the device kept no longer when they were asked for."""


@dataclass(frozen=True)
class Correction:
    """How a word stands that correct() was told."""

    word: str | None
    """None for a sound that is no word."""
    takes: int
    """Of the word, or of the sound, that are kept as one; at most 16 are counted."""
    pause_seconds: float
    """In which an open stream hears nothing after it; 0 where there is none."""


@dataclass(frozen=True)
class Recording:
    """What the board's own microphone recorded."""

    pcm: NDArray[np.int16]
    overruns: int
    """Times that samples were lost in it."""


class Driver:
    """What speaks to a device over a line; a context manager that closes the line.

    Every method that asks the device raises DeviceError (StorageError for storage) when the device
    refuses, NoDeviceError when it is silent or was unplugged, ProtocolError when the line or the
    other end is not what it should be. Below "Raises" stands what is particular to a method.
    """

    def __init__(self, link: Link, hello: Hello) -> None:
        """Take over a link on which the device has said hello; open() makes both.

        Args:
            link: closed by close().
            hello: what the device said.
        """
        self._link = link
        self._hello = hello
        self._labels: tuple[str, ...] | None = None

    @classmethod
    def open(cls, port: str, timeout: float = 5.0, needs_model: bool = True) -> Self:
        """Open a serial port, a pty or a URL such as ``socket://127.0.0.1:4000``.

        A session that another host left open is aborted.

        Args:
            port: its name.
            timeout: seconds: of a request, and of a stream without progress.
            needs_model: whether a device without a usable model is refused; load() works without.

        Returns:
            The device, which is closed by close() or at the end of a `with`.

        Raises:
            NoDeviceError: the port cannot be opened, or is silent.
            BusyError: another program has it.
            ProtocolError: what answers is something else.
            VersionError: it speaks another version of the protocol.
            DeviceError: it has no usable model, and needs one.
        """
        try:
            return cls.over(open_transport(port), port, timeout, needs_model)
        except NoDeviceError as error:
            # on TCP one waits for the one before to go; there is one host at a time
            who = holder(port) if port.startswith("socket://") else ""
            if not who:
                raise
            raise BusyError(f"{port}: another program has the line: {who}; {LET_GO}") from error

    @classmethod
    def over(
        cls,
        transport: Transport,
        name: str,
        timeout: float = 5.0,
        needs_model: bool = True,
        clock: Clock | None = None,
    ) -> Self:
        """Like open(), over a transport that is open; it is closed when this fails.

        Args:
            transport: open.
            name: of it, for what errors say.
            timeout: seconds, as of open().
            needs_model: as of open().
            clock: what all waiting goes by; this machine's by default.

        Returns:
            As of open().

        Raises:
            NoDeviceError, ProtocolError, VersionError, DeviceError: as of open().
        """
        link = Link(transport, name, timeout, clock)
        try:
            return cls(link, _say_hello(link, needs_model))
        except BaseException:
            link.close()
            raise

    def close(self) -> None:
        """Close the line; what is not saved stays in the device until it is restarted."""
        self._link.close()

    def __enter__(self) -> Self:
        """Give the device itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the line."""
        self.close()

    def info(self) -> DeviceInfo:
        """Ask what the device is and holds.

        Returns:
            The same as `tracekws info` shows; units are with each field.

        Raises:
            ProtocolError: what it says of itself cannot be.
        """
        info = protocol.parse_info(self._link.request(protocol.INFO))
        limits.check_info(info, self._hello)
        health = self._health()
        labels = self._read_labels(info.n_classes)
        self._labels = labels
        return DeviceInfo(
            firmware=self._hello.firmware,
            board=self._hello.board,
            protocol=self._hello.protocol,
            model_name=info.model_name,
            model_crc=info.model_crc,
            loaded=health.loaded,
            labels=labels,
            unknown=labels[info.unknown],
            silence=labels[info.silence],
            method=info.method,
            passes=info.passes,
            generation=info.generation,
            changed=info.changed,
            slots=tuple(slot.state for slot in info.slots),
            erases=sum(slot.erases for slot in info.slots),
            wear=tuple(slot.erases for slot in info.slots),
            trainable_bytes=info.trainable_bytes,
            ram_bytes=self._hello.ram_bytes,
            image_bytes=health.image_bytes,
            reset_reason=health.reset_reason,
            watchdog_ms=health.watchdog_ms,
            brown_out_mv=health.brown_out_mv,
            n_neurons=info.n_neurons,
            max_data_bytes=self._hello.max_data,
            max_pcm_credit=self._hello.credit,
        )

    @property
    def guards(self) -> bool:
        """Whether it refuses takes that sound like another word, where that is asked for."""
        return bool(self._hello.capabilities & protocol.CAN_CORRECT)

    def listen(
        self,
        chunks: Iterable[NDArray[np.int16]],
        sensitivity: int = 0,
        isolated: bool | None = None,
    ) -> Iterator[Event]:
        """Stream sound; give the words as they are heard.

        The stream starts at silence with the first event that is asked for, and ends with the
        chunks or when the iterator is closed.

        Args:
            chunks: int16 (samples,) each, 16 kHz, mono, of any size.
            sensitivity: one of sensitivity.LEVELS, for this stream; 0 is the model's own.
            isolated: whether only words that stand by themselves are heard, or words in flowing
                speech, too; for this stream, as the model says by default.

        Yields:
            Words in their order; times are seconds of the stream.

        Raises:
            DataError: a chunk is no int16 of one channel; the stream ends with it.
        """
        words = self._heard_words()
        heard: list[Event] = []

        def take(position: Position) -> None:
            n_samples = position.next * self._data_bytes // 2
            heard.extend(_event(event, words, n_samples) for event in position.events)

        credit = self._open_stream(protocol.LISTEN, protocol.pack_listen(sensitivity, isolated))
        ended = False
        try:
            for _ in self._link.stream(self._pcm_data(chunks), credit, take):
                yield from heard
                heard.clear()
            self._link.request(protocol.END)
            ended = True
        finally:
            if not ended:
                self._abort()

    def listen_live(
        self, interval: float = 0.05, sensitivity: int = 0, isolated: bool | None = None
    ) -> Generator[LiveReport, None, None]:
        """Let the device hear through its own microphone; no sound leaves it.

        The stream starts at silence, and goes on until the iterator is closed.

        Args:
            interval: seconds between two looks.
            sensitivity: as of listen().
            isolated: as of listen().

        Yields:
            What was heard since the last look, at every look.

        Raises:
            DeviceError: UNSUPPORTED, the board has no microphone.
        """
        self.check_microphone()
        words = self._heard_words()
        self._link.request(protocol.LIVE, protocol.pack_listen(sensitivity, isolated))
        n_seen = n_samples = 0
        try:
            while True:
                answer = self._link.request(protocol.POLL, protocol.pack_poll(n_seen))
                polled = protocol.parse_polled(answer)
                limits.check_polled(polled, n_seen, n_samples)
                n_samples = polled.n_samples
                if any(event.word not in words for event in polled.events):
                    words = self._heard_words()  # one was taught by correct()
                events = tuple(_event(event, words, n_samples) for event in polled.events)
                missed = polled.first_event - n_seen
                n_seen = polled.first_event + len(events)
                yield LiveReport(events, n_samples / SAMPLE_RATE, polled.overruns, missed)
                self._link.clock.sleep(interval)
        finally:
            self._abort()

    def record(self, seconds: float) -> Recording:
        """Record what the board's own microphone hears.

        Args:
            seconds: how long.

        Returns:
            int16 (samples,), 16 kHz, mono, and how often samples were lost in it.

        Raises:
            DeviceError: UNSUPPORTED, the board has no microphone; MICROPHONE, it gives nothing.
        """
        self.check_microphone()
        n_samples = round(seconds * SAMPLE_RATE)
        self._link.request(protocol.RECORD)
        try:
            pcm, overruns = self._link.record(n_samples, self._hello.credit, self._data_bytes // 2)
            self._link.request(protocol.END)
        except BaseException:
            self._abort()
            raise
        return Recording(np.frombuffer(pcm, "<i2").astype(np.int16), overruns)

    def classify(self, pcm: NDArray[np.int16]) -> tuple[str, NDArray[np.int32]]:
        """Let the device hear one clip from reset.

        Args:
            pcm: int16 (samples,), 16 kHz, mono.

        Returns:
            Label of the largest score, and all scores: int32 (classes,), Q10.

        Raises:
            DataError: the samples are no int16 of one channel.
            DeviceError: TOO_SHORT, the clip is less than a step of the network, 560 samples.
        """
        labels = self._known_labels()
        credit = self._open_stream(protocol.CLASSIFY)
        try:
            self._send(self._pcm_data([pcm]), credit)
            best, scores = protocol.parse_scores(self._link.request(protocol.END))
        except BaseException:
            self._abort()
            raise
        if len(scores) != len(labels):
            raise ProtocolError("the device gives another number of scores than it has classes")
        return labels[best], np.array(scores, np.int32)

    @contextmanager
    def learn(self, seed: int) -> Iterator[LearnSession]:
        """Open a session in which the device learns; to be used in a `with`.

        Left normally, the learned weights stay in the device's RAM: save() keeps them. Left by an
        exception, the device goes back to the weights saved last.

        Args:
            seed: of the device's generator behind rounding and replay, 0 to 2^32 - 1.

        Yields:
            What takes are given to.

        Raises:
            ValueError: the seed is out of its range.
        """
        if not 0 <= seed < 1 << 32:
            raise ValueError("seed must be within 0..2^32-1")
        self._link.request(protocol.LEARN, protocol.pack_learn(seed))
        try:
            yield LearnSession(self)
            self._link.request(protocol.END)
        except BaseException:
            self._abort()
            raise

    def taught(self) -> Taught:
        """Ask at once for what words(), taken_back() and room() give.

        Returns:
            What the device holds of its user's own.
        """
        room, raw = self._raw_words()
        words = {
            word.name: OwnWord.of(word.name, word.takes, word.agreement_q15)
            for word in raw
            if word.name
        }
        return Taught(words, sum(not word.name for word in raw), room)

    def words(self) -> dict[str, OwnWord]:
        """Ask for the words of the user's own, that teaching made.

        Returns:
            They by name, in the order of their numbers.
        """
        return self.taught().words

    def kept(self, about: DeviceInfo | None = None) -> dict[str, int]:
        """Ask how many takes are kept of the model's words: adapt() and correct() keep them.

        Args:
            about: what info() gave already.

        Returns:
            Takes by word, at most 16 are counted; words without any are left out. None of
            firmware that does not tell.
        """
        if not self._hello.capabilities & protocol.CAN_CORRECT:
            return {}
        try:
            counts = self._link.request(protocol.WORDS, protocol.pack_takes())
        except DeviceError as error:
            if error.name != "ARGUMENT":
                raise
            return {}  # firmware of before this could be asked
        labels = self._known_labels()
        limits.check_kept(counts, labels)
        keywords = (about or self.info()).keywords
        return {w: n for w, n in zip(labels, counts, strict=True) if n and w in keywords}

    def taken_back(self) -> int:
        """Ask how many sounds are kept that are no word: correct() takes events back.

        Returns:
            How many; each takes the room of a word of the user's own.
        """
        return self.taught().sounds

    def room(self) -> int:
        """Ask how many words of the user's own there may be.

        Returns:
            Those that there are with them; 0 where the model, or the firmware, has none.
        """
        return self.taught().room

    def correct(self, word: str | None) -> Correction:
        """Say what it was that the device heard last.

        A word makes the last sound a take of it, so that its score grows where a sound is like it:
        for one that was missed, or was heard as another. It may take more than one.
        None makes the sound of the last event one that is no word: nothing is heard any more where
        a sound is like it. Nothing is saved. In a stream of listen_live() the device goes on after
        a short pause; no other stream may be open.

        Args:
            word: that it was, of the model or of the user's own, a new one too; None for none.

        Returns:
            How the word stands.

        Raises:
            DeviceError: NO_SOUND, nothing was heard since listening began, or the last correction;
                NO_ROOM, as of LearnSession.teach_pcm(); NAME, it is no word; LABEL, it has no one
                sound.
        """
        if word is not None and not is_name(normalised(word)):
            raise device_error(error_code("NAME"))
        if not self._hello.capabilities & protocol.CAN_CORRECT:
            number = error_code("REQUEST")
            raise DeviceError(number, "REQUEST", "this firmware takes nothing back: update it")
        body = b"" if word is None else protocol.pack_word(word)
        if word is not None and normalised(word) == OTHER:
            raise _soundless(word)
        try:
            answer = protocol.parse_correction(self._link.request(protocol.CORRECT, body))
        except DeviceError as error:
            if error.name != "LABEL" or word is None:
                raise
            raise _soundless(word) from error
        limits.check_correction(*answer, len(self._known_labels()))
        _, takes, pause_ms = answer
        return Correction(word and normalised(word), takes, pause_ms / 1000)

    def forget_word(self, word: str) -> None:
        """Forget what was said of a word, and the word, where it is the user's own; save that.

        Nothing of it stays in the storage, so that there is nothing to go back to with undo().

        Args:
            word: of the user's own, or of the model: then its takes alone, not weights.

        Raises:
            DeviceError: LABEL, there is no such word; REQUEST, the firmware is older.
            StorageError: the flash refused.
        """
        if not is_name(normalised(word)):
            raise device_error(error_code("LABEL"))
        self._link.request(protocol.FORGET_WORD, protocol.pack_word(word))

    def weights(self) -> bytes:
        """Read the trainable state in RAM, as Learner.weights and Recognizer have it.

        Returns:
            int16, little endian, in the order of the model's image.
        """
        n_bytes = self.info().trainable_bytes
        parts = []
        for offset in range(0, n_bytes, self._data_bytes):
            n = min(self._data_bytes, n_bytes - offset)
            part = self._link.request(protocol.WEIGHTS, protocol.pack_weights(offset, n))
            if len(part) != n:
                raise ProtocolError("the device's answer to WEIGHTS has the wrong length")
            parts.append(part)
        return b"".join(parts)

    def save(self) -> int:
        """Keep the weights in RAM as a new generation, over a restart.

        Returns:
            The generation's number, 1 or more.

        Raises:
            StorageError: the flash refused; the weights in RAM and those saved last are as before.
        """
        return self._generation(protocol.SAVE, 1)

    def undo(self) -> int:
        """Go back to the generation before the newest, which need not leave the storage.

        Returns:
            Its number; 0 is the factory's.

        Raises:
            StorageError: there is nothing to take back, or the flash refused.
        """
        return self._generation(protocol.UNDO, 0)

    def forget(self) -> None:
        """Erase all that was learned and go back to the model as it came.

        Raises:
            StorageError: the flash refused.
        """
        self._generation(protocol.FORGET, 0, 0)

    def load(
        self, image: bytes, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Load a model image into the device's flash and run it; all that was learned is erased.

        Args:
            image: bytes of a file NAME.tkws.
            progress: told the bytes that are done, and of how many.

        Raises:
            ModelError: there is nothing in the image.
            DeviceError: the image is no model, or has no room; the board loads none. A load that is
                refused or broken leaves the model that runs, what it learned, and what is saved.
        """
        if not image:
            raise ModelError("the model image is empty")
        self._load(image, progress)

    def load_factory(self) -> None:
        """Go back to the model that the firmware came with; all that was learned is erased.

        Raises:
            DeviceError: the firmware has no model, or does not know how to go back. What ran runs
                on then, with what it learned; but for STORAGE, where the flash refused.
        """
        try:
            self._load(b"", lambda done, total: None)
        except DeviceError as error:
            if error.name != "ARGUMENT":
                raise
            text = "this firmware does not know how to go back to its own model: update it"
            raise DeviceError(error.code, error.name, text) from error

    def _load(self, image: bytes, progress: Callable[[int, int], None]) -> None:
        """Load an image; of no bytes, the firmware's own."""
        size = protocol.LOAD_BYTES

        def told(position: Position) -> None:
            limits.check_no_events(position)
            progress(min(position.next * size, len(image)), len(image))

        parts = (image[at : at + size] for at in range(0, len(image), size))
        credit = self._open_stream(protocol.LOAD, protocol.pack_load(len(image), zlib.crc32(image)))
        try:
            for _ in self._link.stream(parts, credit, told):
                pass
            self._link.request(protocol.END)
        except BaseException:
            self._abort()
            raise
        self._labels = None

    @property
    def has_model(self) -> bool:
        """Whether the device had a model to run when it was opened."""
        return self._hello.model_error == 0

    def check_microphone(self) -> None:
        """See that the board has a microphone of its own.

        Raises:
            DeviceError: UNSUPPORTED, it has none; the text says what there is instead.
        """
        if not self._hello.capabilities & protocol.CAN_HEAR:
            number = error_code("UNSUPPORTED")
            raise DeviceError(number, "UNSUPPORTED", NO_MICROPHONE)

    def _health(self) -> Health:
        return protocol.parse_health(self._link.request(protocol.HEALTH))

    def _read_labels(self, n_classes: int) -> tuple[str, ...]:
        labels: tuple[str, ...] = ()
        while len(labels) < n_classes:
            answer = self._link.request(protocol.LABELS, protocol.pack_labels(len(labels)))
            labels += protocol.parse_labels(answer)
        if len(labels) > n_classes or len(set(labels)) < len(labels):
            raise ProtocolError("the device has other labels than classes, or one twice")
        return labels

    @property
    def _data_bytes(self) -> int:
        return self._hello.max_data

    def _known_labels(self) -> tuple[str, ...]:
        return self._labels or self.info().labels

    def _raw_words(self) -> tuple[int, tuple[RawWord, ...]]:
        """Room for words of the user's own, and those that there are."""
        if not self._hello.capabilities & protocol.CAN_TEACH:
            return 0, ()
        knows = self._hello.capabilities & protocol.CAN_CORRECT
        body = protocol.pack_words() if knows else b""
        room, words = protocol.parse_words(self._link.request(protocol.WORDS, body))
        limits.check_words(room, words, self._known_labels())
        return room, words

    def _heard_words(self) -> dict[int, str]:
        """What the device may hear, by its number in events."""
        _, own = self._raw_words()
        named = {word.number: word.name for word in own if word.name}
        return dict(enumerate(self._known_labels())) | named

    def _pcm_data(self, chunks: Iterable[NDArray[np.int16]]) -> Iterator[bytes]:
        """Cut PCM into messages: full ones, but for the last."""
        size = self._data_bytes // 2 * 2
        pending = bytearray()
        for chunk in chunks:
            pending += check_pcm(chunk).astype("<i2", copy=False).tobytes()
            while len(pending) >= size:
                yield bytes(pending[:size])
                del pending[:size]
        if pending:
            yield bytes(pending)

    def _open_stream(self, command: int, body: bytes = b"") -> int:
        """Open a stream; give the data messages that may be sent ahead."""
        credit = protocol.parse_credit(self._link.request(command, body))
        limits.check_credit(credit)
        return credit

    def _generation(self, command: int, low: int, high: int = 0xFFFFFFFF) -> int:
        """Have the storage changed; give the generation that runs then."""
        generation = protocol.parse_generation(self._link.request(command))
        limits.check_generation(generation, low, high)
        return generation

    def _send(self, data: Iterable[bytes], credit: int) -> None:
        for _ in self._link.stream(data, credit, limits.check_no_events):
            pass

    def _take(self, kind: int, method: int | None, scale: int, label: str) -> int:
        if not 0 <= scale <= FULL_SCALE:
            raise ValueError(f"scale must be within 0..{FULL_SCALE}")
        flags = protocol.MODEL_METHOD if method is None else method
        body = protocol.pack_take(kind, flags, scale, label)
        return self._open_stream(protocol.TAKE, body)

    def _teach(self, kind: int, word: str) -> int:
        return self._open_stream(protocol.TEACH, protocol.pack_teach(kind, word))

    def _abort(self) -> None:
        """Leave a session; a device that is gone leaves it by itself."""
        try:
            self._link.request(protocol.ABORT)
        except TraceKwsError:
            return


class LearnSession:
    """Takes for a device to learn from, in the order given."""

    def __init__(self, device: Driver) -> None:
        """Take over a device whose session is open; learn() makes one."""
        self._device = device

    def take_pcm(
        self, label: str, pcm: NDArray[np.int16], scale: int, method: int | None = None
    ) -> None:
        """Learn from a take that the front end hears from reset.

        Args:
            label: the word, as the model has it; its class for other words takes any other speech.
            pcm: int16 (samples,), 16 kHz, mono.
            scale: share of the model's learning rates, Q15, 0 to 32767.
            method: TKWS_LEARN_* flags; the model's own by default.

        Raises:
            ValueError: the scale is out of its range.
            DataError: the samples are no int16 of one channel.
            DeviceError: LABEL, the model does not have the word; nothing has changed then.
                TOO_SHORT, there are less than 560 samples. UNLIKE, the method is guarded, and the
                take sounds like another word, or none: it was not kept.
        """
        sound = check_pcm(pcm)  # before a take is opened
        self._learn(protocol.PCM, label, self._device._pcm_data([sound]), scale, method)

    def take_features(
        self, label: str, features: NDArray[np.int8], scale: int, method: int | None = None
    ) -> None:
        """Learn from a take as features, an eighth of the bytes of its sound.

        Args:
            label: as of take_pcm().
            features: int8 (steps, 80), Q4.
            scale: as of take_pcm().
            method: as of take_pcm().

        Raises:
            ValueError, DeviceError: as of take_pcm().
            DataError: the features are of another type or shape.
        """
        self._learn(protocol.FEATURES, label, self._parts(features), scale, method)

    def teach_pcm(self, word: str, pcm: NDArray[np.int16]) -> None:
        """Keep a take of a word, which need not be known: no weight changes.

        Args:
            word: a name of 1 to 31 bytes.
            pcm: int16 (samples,), 16 kHz, mono.

        Raises:
            DataError: the samples are no int16 of one channel.
            DeviceError: NO_ROOM, there are as many words as it has room for; NAME, it is none;
                nothing has changed then. TOO_SHORT, there are less than 560 samples. REQUEST, the
                firmware is older.
        """
        if not is_name(normalised(word)):
            raise device_error(error_code("NAME"))
        sound = check_pcm(pcm)
        credit = self._device._teach(protocol.PCM, word)
        self._device._send(self._device._pcm_data([sound]), credit)
        self._device._link.request(protocol.TAKE_END)

    def teach_features(self, word: str, features: NDArray[np.int8]) -> None:
        """Keep a take of a word as features.

        Args:
            word: as of teach_pcm().
            features: int8 (steps, 80), Q4.

        Raises:
            DataError: the features are of another type or shape.
            DeviceError: as of teach_pcm().
        """
        if not is_name(normalised(word)):
            raise device_error(error_code("NAME"))
        parts = self._parts(features)
        credit = self._device._teach(protocol.FEATURES, word)
        self._device._send(parts, credit)
        self._device._link.request(protocol.TAKE_END)

    def _parts(self, features: NDArray[np.int8]) -> Iterator[bytes]:
        """Cut features into messages of whole steps."""
        if features.dtype != np.int8 or features.shape != (len(features), protocol.FEATURE_BYTES):
            raise DataError(f"features must be int8 of shape (steps, {protocol.FEATURE_BYTES})")
        size = self._device._data_bytes // protocol.FEATURE_BYTES * protocol.FEATURE_BYTES
        data = features.tobytes()
        return (data[at : at + size] for at in range(0, len(data), size))

    def _learn(
        self, kind: int, label: str, data: Iterable[bytes], scale: int, method: int | None
    ) -> None:
        credit = self._device._take(kind, method, scale, label)
        self._device._send(data, credit)
        self._device._link.request(protocol.TAKE_END)


def _soundless(word: str) -> DeviceError:
    return DeviceError(
        error_code("LABEL"),
        "LABEL",
        f"{word!r} is no word, and has no one sound: to say that nothing was to be heard, use"
        " `tracekws correct --nothing`, or type - while it listens",
    )


def _event(event: RawEvent, words: Mapping[int, str], n_samples: int) -> Event:
    limits.check_event(event, words, n_samples)
    return Event(
        words[event.word],
        event.score_q15 / 32768,
        event.first_sample / SAMPLE_RATE,
        event.end_sample / SAMPLE_RATE,
    )


def _say_hello(link: Link, needs_model: bool) -> Hello:
    # whatever came before on this line, the next byte starts a frame
    link.transport.write(b"\0")
    try:
        answer = link.ask(protocol.HELLO, protocol.pack_hello(protocol.PROTOCOL_VERSION))
    except NoDeviceError as error:
        if link.reader.n_bytes > 0:
            raise ProtocolError(f"{link.name}: what answers is not a TraceKWS device") from error
        raise
    if answer.status == error_code("VERSION"):
        version, firmware = protocol.parse_version(answer.body)
        raise VersionError(
            f"{link.name}: the device (firmware {firmware}) speaks protocol {version}, this"
            f" program {protocol.PROTOCOL_VERSION}: update the older of them"
        )
    if answer.status < 0:
        raise device_error(answer.status)
    hello = protocol.parse_hello(answer.body)
    limits.check_hello(hello)
    if needs_model and hello.model_error < 0:
        raise device_error(hello.model_error)
    return hello
