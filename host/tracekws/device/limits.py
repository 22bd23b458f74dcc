# SPDX-License-Identifier: Apache-2.0
"""What a device may say of itself and of a stream; docs/protocol.md has the ranges.

A device that is damaged, or lies, is refused before anything relies on its numbers: each function
raises ProtocolError, one line that names the number, and gives nothing else back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracekws._core import lib
from tracekws.core import LATENT, READOUT, SEQUENCES, STEP_SAMPLES, TAKES, TRACES
from tracekws.device import protocol
from tracekws.device.protocol import Hello, Info, Polled, Position, RawEvent, RawWord
from tracekws.errors import ProtocolError
from tracekws.learner import MOST_PASSES

MAX_CREDIT = 64
MIN_MESSAGE = protocol.ANSWER_HEAD_BYTES + protocol.DATA_HEAD_BYTES + protocol.FEATURE_BYTES
MAX_SAMPLES = 1 << 48
"""Of a stream: five hundred years."""
_METHODS = READOUT | TRACES | LATENT | SEQUENCES | TAKES


def _within(what: str, number: int, low: int, high: int, step: int = 1) -> None:
    if not low <= number <= high or number % step:
        even = " and even" if step == 2 else ""
        raise ProtocolError(
            f"the device says {what} {number}, which must be within {low}..{high}{even}: it is"
            " damaged, or no TraceKWS device"
        )


def check_hello(hello: Hello) -> None:
    """Check what a device says first."""
    _within("protocol version", hello.protocol, *(protocol.PROTOCOL_VERSION,) * 2)
    _within("bytes of a message", hello.max_message, MIN_MESSAGE, protocol.MAX_MESSAGE)
    most = hello.max_message - protocol.ANSWER_HEAD_BYTES - protocol.DATA_HEAD_BYTES
    _within("bytes of data", hello.max_data, protocol.FEATURE_BYTES, most, 2)
    _within("credit", hello.credit, 1, MAX_CREDIT)
    _within("bytes of RAM", hello.ram_bytes, 1, 0xFFFFFFFF)
    _within("model error", hello.model_error, -0x8000, 0)


def check_info(info: Info, hello: Hello) -> None:
    """Check what a device says of its model."""
    classes, neurons = info.n_classes, info.n_neurons
    _within("classes", classes, 3, lib.TKWS_MAX_CLASSES)
    _within("class for no speech", info.silence, 0, classes - 1)
    _within("class for other words", info.unknown, 0, classes - 1)
    if info.silence == info.unknown:
        raise ProtocolError("the device says one class for no speech and for other words")
    _within("neurons", neurons, 1, lib.TKWS_MAX_NEURONS)
    takes = (classes + lib.TKWS_MAX_OWN) * (neurons // 2 + 1)
    names = lib.TKWS_MAX_OWN * lib.TKWS_OWN_BYTES // 2
    most = 2 * (neurons * (lib.TKWS_FEATURES + neurons + 1 + classes) + classes + takes + names)
    _within("trainable bytes", info.trainable_bytes, 2, min(most, hello.ram_bytes), 2)
    _within("method", info.method, 0, _METHODS)
    _within("passes", info.passes, 1, MOST_PASSES)


def check_credit(credit: int) -> None:
    """Check the data messages that a device wants ahead."""
    _within("credit", credit, 1, MAX_CREDIT)


def check_position(position: Position, n_sent: int, n_seen: int) -> None:
    """Check where a device says that a stream stands.

    `n_sent` data messages were sent, and `n_seen` of its events have come.
    """
    _within("next data message", position.next, 0, n_sent)
    check_credit(position.credit)
    _within("first event", position.first_event, 0, n_seen)
    _within("events at once", len(position.events), 0, protocol.EVENTS)


def check_no_events(position: Position) -> None:
    """Check the same of a stream that is not listened to."""
    _within("events of what it does not listen to", len(position.events), 0, 0)


def check_polled(polled: Polled, n_seen: int, n_samples: int) -> None:
    """Check what a device has heard by its own microphone.

    `n_seen` of its events have come, and `n_samples` were heard at the last look.
    """
    _within("samples heard", polled.n_samples, n_samples, MAX_SAMPLES)
    n_events = polled.first_event + len(polled.events)
    _within("events heard", n_events, n_seen, polled.n_samples // STEP_SAMPLES)
    _within("first event", polled.first_event, n_seen, n_events)
    _within("events at once", len(polled.events), 0, protocol.EVENTS)


def check_words(room: int, words: Sequence[RawWord], labels: Sequence[str]) -> None:
    """Check the words of the user's own, beside the labels of a model."""
    _within("words that it has room for", room, 0, lib.TKWS_MAX_OWN)
    for word in words:
        _within("number of a word", word.number, len(labels), len(labels) + room - 1)
        _within("takes of a word", word.takes, 0, 0xFF)
    names = [*labels, *(word.name for word in words if word.name)]
    if len(set(names)) < len(names) or len({word.number for word in words}) < len(words):
        raise ProtocolError("the device has a word twice")


def check_kept(counts: bytes, labels: Sequence[str]) -> None:
    """Check the takes of each of a model's words."""
    _within("words with takes", len(counts), len(labels), len(labels))
    for count in counts:
        _within("takes of a word", count, 0, lib.TKWS_TAKES_COUNTED)


def check_correction(number: int, takes: int, pause_ms: int, n_labels: int) -> None:
    """Check how a word stands after a correction."""
    _within("number of a word", number, 0, n_labels + lib.TKWS_MAX_OWN - 1)
    _within("takes of a word", takes, 1, 0xFF)
    _within("pause of listening", pause_ms, 0, 0xFFFF)


def check_event(event: RawEvent, words: Mapping[int, str], n_samples: int) -> None:
    """Check an event of a stream of which the device has had `n_samples`.

    `words` are those that it may hear, by their numbers.
    """
    if event.word not in words:
        raise ProtocolError(
            f"the device has heard word {event.word}, which it does not have: it is damaged, or no"
            " TraceKWS device"
        )
    _within("score", event.score_q15, 0, 0x7FFF)
    _within("end of a word", event.end_sample, 0, n_samples)
    _within("start of a word", event.first_sample, 0, event.end_sample)


def check_pcm(start: int, asked: int, n_bytes: int, most: int) -> None:
    """Check recorded samples: their position (modulo 2^32), the one asked for, how many bytes."""
    _within("position of samples", start, *(asked % (1 << 32),) * 2)
    _within("bytes of samples", n_bytes, 0, most)


def check_generation(generation: int, low: int, high: int = 0xFFFFFFFF) -> None:
    """Check the generation that a device has saved, or gone back to."""
    _within("generation", generation, low, high)
