# SPDX-License-Identifier: Apache-2.0
"""The device protocol in bytes: frames, requests and answers. docs/protocol.md says it in words.

Numbers are the firmware's (protocol.h, requests.def).

The parsers raise ProtocolError for an answer of the wrong length: another protocol.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

from cobs import cobs

from tracekws._core import lib as _untyped_lib
from tracekws.errors import ProtocolError
from tracekws.names import NAME_BYTES, is_name, normalised
from tracekws.sensitivity import odds_q8

_lib: Any = _untyped_lib

PROTOCOL_VERSION: int = _lib.TKWS_APP_PROTOCOL

HELLO: int = _lib.TKWS_APP_HELLO
INFO: int = _lib.TKWS_APP_INFO
HEALTH: int = _lib.TKWS_APP_HEALTH
LABELS: int = _lib.TKWS_APP_LABELS
WORDS: int = _lib.TKWS_APP_WORDS
LISTEN: int = _lib.TKWS_APP_LISTEN
CLASSIFY: int = _lib.TKWS_APP_CLASSIFY
LEARN: int = _lib.TKWS_APP_LEARN
TAKE: int = _lib.TKWS_APP_TAKE
DATA: int = _lib.TKWS_APP_DATA
TAKE_END: int = _lib.TKWS_APP_TAKE_END
END: int = _lib.TKWS_APP_END
ABORT: int = _lib.TKWS_APP_ABORT
LIVE: int = _lib.TKWS_APP_LIVE
POLL: int = _lib.TKWS_APP_POLL
RECORD: int = _lib.TKWS_APP_RECORD
READ_PCM: int = _lib.TKWS_APP_READ_PCM
TEACH: int = _lib.TKWS_APP_TEACH
CORRECT: int = _lib.TKWS_APP_CORRECT
WEIGHTS: int = _lib.TKWS_APP_WEIGHTS
SAVE: int = _lib.TKWS_APP_SAVE
UNDO: int = _lib.TKWS_APP_UNDO
FORGET: int = _lib.TKWS_APP_FORGET
LOAD: int = _lib.TKWS_APP_LOAD
FORGET_WORD: int = _lib.TKWS_APP_FORGET_WORD

CAN_TEACH: int = _lib.TKWS_APP_CAN_TEACH
"""Capability: the device knows WORDS, TEACH and FORGET_WORD."""
CAN_CORRECT: int = _lib.TKWS_APP_CAN_CORRECT
"""Capability: the device knows CORRECT, WORDS of sounds that are no word, and guarded takes."""
ANSWER: int = _lib.TKWS_APP_ANSWER
"""Set in the first byte of an answer."""
DAMAGED: int = _lib.TKWS_APP_DAMAGED
"""First byte of the notice that a damaged frame came."""
WORKING: int = _lib.TKWS_APP_WORKING
"""First byte of the notice that a request was taken and needs time."""

PCM: int = _lib.TKWS_APP_PCM
FEATURES: int = _lib.TKWS_APP_FEATURES
CAN_HEAR: int = _lib.TKWS_APP_CAN_HEAR
"""Capability of HELLO: the board has a microphone."""
MODEL_METHOD: int = _lib.TKWS_APP_MODEL_METHOD
FEATURE_BYTES: int = _lib.TKWS_FEATURES
LOAD_BYTES: int = _lib.TKWS_APP_LOAD_BYTES
"""Bytes of a model image in one data message; the last may have fewer."""
MAX_MESSAGE: int = _lib.TKWS_APP_MAX_MESSAGE
EVENTS: int = _lib.TKWS_APP_EVENTS
"""Events that a device keeps, and sends at once, at most."""
SLOT_STATES = ("empty", "valid", "corrupt", "other-model", "newer-format")
RESET_REASONS = ("unknown", "power-on", "pin", "watchdog", "software", "brown-out")

_HEAD = struct.Struct("<BI")
_STATUS = struct.Struct("<h")
_CRC = struct.Struct("<I")
_HELLO_START = struct.Struct("<HI")
_HELLO = struct.Struct("<HIIHHHIh16s")
_INFO = struct.Struct(f"<{NAME_BYTES}sIIHHHHHHIBBI")
_SLOT = struct.Struct("<BII")
_HEALTH = struct.Struct("<BIIBHH")
_BROWN_OUT_UNKNOWN = 0xFFFF
_CORRECTION = struct.Struct("<HBH")
_WORDS = struct.Struct("<H")
_WORD = struct.Struct("<HBhB")
_TAKE = struct.Struct("<BHH")
_DATA = struct.Struct("<II")
_POSITION = struct.Struct("<IHIB")
_EVENT = struct.Struct("<HhQQ")
_WEIGHTS = struct.Struct("<IH")
_LOAD = struct.Struct("<II")
ANSWER_HEAD_BYTES = _HEAD.size + _STATUS.size
DATA_HEAD_BYTES = _DATA.size
_POLLED = struct.Struct("<QIIB")
_READ = struct.Struct("<II")
_PCM_HEAD = struct.Struct("<II")


class Message(NamedTuple):
    """An answer or a notice from the device."""

    kind: int
    request: int
    """Id of the request that it answers."""
    status: int
    """0, or a negative number of the firmware's error table."""
    body: bytes


def encode(message: bytes) -> bytes:
    """Make a frame of a message: CRC-32 behind it, COBS, a 0x00."""
    return bytes(cobs.encode(message + _CRC.pack(zlib.crc32(message)))) + b"\0"


def decode(frame: bytes) -> bytes | None:
    """Get the message of a frame (its ending 0x00 taken off); None for a damaged or long one."""
    try:
        data: bytes = cobs.decode(frame)
    except cobs.DecodeError:
        return None
    message, crc = data[: -_CRC.size], data[-_CRC.size :]
    whole = (
        _CRC.size < len(data) <= MAX_MESSAGE + _CRC.size and _CRC.pack(zlib.crc32(message)) == crc
    )
    return message if whole else None


def request(command: int, number: int, body: bytes = b"") -> bytes:
    """Make the frame of a request with id `number`."""
    return encode(_HEAD.pack(command, number) + body)


def parse(message: bytes) -> Message | None:
    """Read an answer or a notice; None for anything else."""
    if len(message) < _HEAD.size + _STATUS.size or not message[0] & ANSWER:
        return None
    kind, number = _HEAD.unpack_from(message)
    (status,) = _STATUS.unpack_from(message, _HEAD.size)
    return Message(kind, number, status, message[_HEAD.size + _STATUS.size :])


class FrameReader:
    """Cuts a byte stream into messages; what is damaged is counted and dropped."""

    MAX_FRAME = MAX_MESSAGE + _CRC.size + (MAX_MESSAGE + _CRC.size) // 254 + 1
    """Bytes of a frame, its ending 0x00 aside; no more than that and one are kept."""

    def __init__(self) -> None:
        """Start between two frames."""
        self._pending = bytearray()
        self.n_bytes = 0
        """Bytes taken so far."""
        self.n_damaged = 0
        """Frames dropped so far."""

    def push(self, data: bytes) -> list[bytes]:
        """Take bytes from the line; give the messages that they complete."""
        self.n_bytes += len(data)
        *frames, rest = bytes(self._pending + data).split(b"\0")
        self._pending = bytearray(rest[: self.MAX_FRAME + 1])
        messages = []
        for frame in frames:
            message = decode(frame) if 0 < len(frame) <= self.MAX_FRAME else None
            if message is not None:
                messages.append(message)
            elif frame:
                self.n_damaged += 1
        return messages


class Hello(NamedTuple):
    """Answer to HELLO."""

    protocol: int
    firmware: str
    capabilities: int
    max_message: int
    max_data: int
    credit: int
    ram_bytes: int
    model_error: int
    board: str


class Slot(NamedTuple):
    """A storage slot."""

    state: str
    generation: int
    erases: int


class Info(NamedTuple):
    """Answer to INFO."""

    model_name: str
    model_crc: int
    model_version: int
    n_classes: int
    unknown: int
    silence: int
    n_neurons: int
    method: int
    passes: int
    trainable_bytes: int
    session: int
    changed: bool
    generation: int
    slots: tuple[Slot, ...]


class Health(NamedTuple):
    """Answer to HEALTH."""

    loaded: bool
    """The model that runs was loaded; else it is the factory's."""
    loads: int
    """Number of the load that it came with; 0 for the factory's."""
    image_bytes: int
    """Room for a model that is loaded; 0 when the board cannot load any."""
    reset_reason: str
    """One of RESET_REASONS."""
    watchdog_ms: int
    """0 when none runs."""
    brown_out_mv: int | None
    """0 when nothing watches the supply; None when that is not known."""


class RawWord(NamedTuple):
    """A word of the user's own, in the answer to WORDS."""

    number: int
    """In events."""
    takes: int
    agreement_q15: int
    name: str


class RawEvent(NamedTuple):
    """A word that was heard, in samples from the stream's start."""

    word: int
    score_q15: int
    first_sample: int
    end_sample: int


class Position(NamedTuple):
    """Where a stream stands: part of every answer to DATA."""

    next: int
    """Number of the next data message that the device expects."""
    credit: int
    """Data messages, from that one on, that may be on their way."""
    first_event: int
    events: tuple[RawEvent, ...]


class Polled(NamedTuple):
    """Answer to POLL."""

    n_samples: int
    """Heard by the board's microphone in this session."""
    overruns: int
    """Times that it lost samples."""
    first_event: int
    events: tuple[RawEvent, ...]


def _malformed(what: str) -> ProtocolError:
    return ProtocolError(f"the device's answer to {what} has the wrong length")


def _name(data: bytes, what: str) -> str:
    """A name that the device gives, which must be one."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not is_name(text):
        raise ProtocolError(f"the device's {what} is no name: {ascii(data)[1:]}")
    return text


def _version(number: int) -> str:
    return f"{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


def pack_hello(version: int) -> bytes:
    """Body of HELLO."""
    return struct.pack("<H", version)


def parse_version(body: bytes) -> tuple[int, str]:
    """Protocol and firmware version in the answer to HELLO of any protocol version."""
    if len(body) < _HELLO_START.size:
        raise _malformed("HELLO")
    protocol, firmware = _HELLO_START.unpack_from(body)
    return protocol, _version(firmware)


def parse_hello(body: bytes) -> Hello:
    """Read the answer to HELLO."""
    if len(body) != _HELLO.size:
        raise _malformed("HELLO")
    protocol, firmware, can, message, data, credit, ram, error, board = _HELLO.unpack(body)
    name = _name(board.rstrip(b"\0"), "board")
    return Hello(protocol, _version(firmware), can, message, data, credit, ram, error, name)


def parse_info(body: bytes) -> Info:
    """Read the answer to INFO."""
    if len(body) != _INFO.size + 2 * _SLOT.size:
        raise _malformed("INFO")
    name, crc, version, n_classes, unknown, silence, *rest = _INFO.unpack_from(body)
    n_neurons, method, passes, trainable, session, changed, generation = rest
    slots = []
    for state, slot_generation, erases in _SLOT.iter_unpack(body[_INFO.size :]):
        word = SLOT_STATES[state] if state < len(SLOT_STATES) else f"state {state}"
        slots.append(Slot(word, slot_generation, erases))
    return Info(
        _name(name.rstrip(b"\0"), "model"),
        crc,
        version,
        n_classes,
        unknown,
        silence,
        n_neurons,
        method,
        passes,
        trainable,
        session,
        bool(changed),
        generation,
        tuple(slots),
    )


def pack_words() -> bytes:
    """Body of WORDS to a device that knows CORRECT: sounds that are no word are told, too."""
    return b"\x01"


def pack_takes() -> bytes:
    """Body of WORDS that asks for the takes of the model's words."""
    return b"\x02"


def parse_words(body: bytes) -> tuple[int, tuple[RawWord, ...]]:
    """Read the answer to WORDS: how many there is room for, and those that there are.

    A sound that is no word has no name.
    """
    if len(body) < _WORDS.size:
        raise _malformed("WORDS")
    (room,) = _WORDS.unpack_from(body)
    words = []
    at = _WORDS.size
    while at < len(body):
        if at + _WORD.size > len(body):
            raise _malformed("WORDS")
        number, takes, agreement, n_bytes = _WORD.unpack_from(body, at)
        at += _WORD.size + n_bytes
        if at > len(body):
            raise _malformed("WORDS")
        name = _name(body[at - n_bytes : at], "word") if n_bytes else ""
        words.append(RawWord(number, takes, agreement, name))
    return room, tuple(words)


def pack_word(word: str) -> bytes:
    """Body of FORGET_WORD, and of CORRECT: a word in UTF-8."""
    return normalised(word).encode("utf-8", "surrogatepass")


def parse_correction(body: bytes) -> tuple[int, int, int]:
    """Read the answer to CORRECT: number and takes of the word, and the pause that follows, ms."""
    if len(body) != _CORRECTION.size:
        raise _malformed("CORRECT")
    number, takes, pause_ms = _CORRECTION.unpack(body)
    return number, takes, pause_ms


def pack_teach(kind: int, word: str) -> bytes:
    """Body of TEACH: what its data will be, and the word."""
    return bytes([kind]) + pack_word(word)


def pack_labels(first: int) -> bytes:
    """Body of LABELS: the first class whose label is wanted."""
    return struct.pack("<H", first)


def parse_labels(body: bytes) -> tuple[str, ...]:
    """Read the answer to LABELS: at least one label."""
    labels = []
    at = 0
    while at < len(body):
        end = at + 1 + body[at]
        if end > len(body):
            raise _malformed("LABELS")
        labels.append(_name(body[at + 1 : end], "label"))
        at = end
    if not labels:
        raise _malformed("LABELS")
    return tuple(labels)


def parse_health(body: bytes) -> Health:
    """Read the answer to HEALTH."""
    if len(body) != _HEALTH.size:
        raise _malformed("HEALTH")
    loaded, loads, image_bytes, reason, watchdog_ms, brown_out = _HEALTH.unpack(body)
    word = RESET_REASONS[reason] if reason < len(RESET_REASONS) else f"reason {reason}"
    brown_out_mv = None if brown_out == _BROWN_OUT_UNKNOWN else brown_out
    return Health(bool(loaded), loads, image_bytes, word, watchdog_ms, brown_out_mv)


def pack_load(n_bytes: int, crc: int) -> bytes:
    """Body of LOAD: bytes of the image, CRC-32 of all of them."""
    return _LOAD.pack(n_bytes, crc)


def pack_learn(seed: int) -> bytes:
    """Body of LEARN."""
    return struct.pack("<I", seed)


def pack_take(kind: int, method: int, scale_q15: int, label: str) -> bytes:
    """Body of TAKE; a label that no device can have goes as an empty one, which it refuses."""
    text = normalised(label)
    return _TAKE.pack(kind, method, scale_q15) + (text.encode() if is_name(text) else b"")


def pack_data(number: int, n_seen: int, data: bytes) -> bytes:
    """Body of DATA: number of the message, events seen so far, PCM or features."""
    return _DATA.pack(number, n_seen) + data


def parse_credit(body: bytes) -> int:
    """Read the answer that opens a stream."""
    if len(body) != 2:
        raise _malformed("session")
    return int.from_bytes(body, "little")


def parse_position(body: bytes) -> Position:
    """Read the answer to DATA."""
    if len(body) < _POSITION.size:
        raise _malformed("DATA")
    number, credit, first, n_events = _POSITION.unpack_from(body)
    return Position(number, credit, first, _events(body, _POSITION.size, n_events, "DATA"))


def _events(body: bytes, at: int, n_events: int, what: str) -> tuple[RawEvent, ...]:
    """Events that fill the rest of an answer to `what` exactly."""
    if len(body) != at + n_events * _EVENT.size:
        raise _malformed(what)
    return tuple(RawEvent(*event) for event in _EVENT.iter_unpack(body[at:]))


def pack_listen(sensitivity: int, isolated: bool | None = None) -> bytes:
    """Body of LISTEN and LIVE; none for the model's own settings.

    Raises:
        TraceKwsError: there is no such sensitivity.
    """
    if isolated is not None:
        words = _lib.TKWS_APP_WORDS_ISOLATED if isolated else _lib.TKWS_APP_WORDS_CONNECTED
        return struct.pack("<HB", odds_q8(sensitivity), words)
    return struct.pack("<H", odds_q8(sensitivity)) if sensitivity else b""


def pack_poll(n_seen: int) -> bytes:
    """Body of POLL: events seen so far."""
    return n_seen.to_bytes(4, "little")


def parse_polled(body: bytes) -> Polled:
    """Read the answer to POLL."""
    if len(body) < _POLLED.size:
        raise _malformed("POLL")
    n_samples, overruns, first, n_events = _POLLED.unpack_from(body)
    return Polled(n_samples, overruns, first, _events(body, _POLLED.size, n_events, "POLL"))


def pack_read_pcm(received: int, position: int) -> bytes:
    """Body of READ_PCM: samples received, all from the start, and the first that is wanted."""
    return _READ.pack(received % (1 << 32), position % (1 << 32))


def parse_pcm(body: bytes) -> tuple[int, int, bytes]:
    """Read the answer to READ_PCM: overruns, position modulo 2^32 of the first sample, samples."""
    if len(body) < _PCM_HEAD.size or len(body) % 2:
        raise _malformed("READ_PCM")
    overruns, position = _PCM_HEAD.unpack_from(body)
    return overruns, position, body[_PCM_HEAD.size :]


def parse_scores(body: bytes) -> tuple[int, tuple[int, ...]]:
    """Read the answer to END of a classification: the class, and the scores in Q10."""
    if len(body) < 2 or (len(body) - 2) % 4:
        raise _malformed("END")
    best = int.from_bytes(body[:2], "little")
    scores = struct.unpack(f"<{(len(body) - 2) // 4}i", body[2:])
    if best >= len(scores):
        raise _malformed("END")
    return best, scores


def pack_weights(offset: int, n_bytes: int) -> bytes:
    """Body of WEIGHTS."""
    return _WEIGHTS.pack(offset, n_bytes)


def parse_generation(body: bytes) -> int:
    """Read the answer to SAVE, UNDO and FORGET."""
    if len(body) != 4:
        raise _malformed("storage")
    return int.from_bytes(body, "little")
