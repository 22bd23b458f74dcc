# SPDX-License-Identifier: Apache-2.0
"""Listening on the host: samples in, words out, by the C core, bit for bit as on a device."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracekws._core import ffi, lib
from tracekws.audio import SAMPLE_RATE
from tracekws.core import Model, Templates, Weights, check_pcm, network_memory, own_words
from tracekws.errors import DataError, TraceKwsError, check
from tracekws.names import word_of
from tracekws.sensitivity import odds_q8


@dataclass(frozen=True)
class Event:
    """A word that was heard.

    Example:
        >>> from tracekws import Event
        >>> Event("yes", 0.91, 2.04, 3.06).word
        'yes'
    """

    word: str
    score: float
    """Smoothed posterior, 0 to 1; of a word of the user's own, the cosine with its takes."""
    start: float
    """Seconds of the stream at which the window behind the score begins."""
    end: float
    """Seconds of the stream at which it ends."""


class Recognizer:
    """Hears words in a stream of samples.

    An object belongs to one thread at a time. Two share a model.

    Example:
        >>> from tracekws import Model, Recognizer
        >>> ear = Recognizer(Model.load("base"))
        >>> for event in ear.push(pcm):
        ...     print(event.word, event.start, event.end)

    Args:
        model: the image.
        weights: what was learned, as Learner.weights or Device.weights() give it; the model's own
            by default.
        sensitivity: one of sensitivity.LEVELS: more hears more words and more false alarms.
        isolated: whether only words that stand by themselves are heard, or words in flowing
            speech, too; as the model says by default.

    Raises:
        TraceKwsError: the weights are of another model, or there is no such sensitivity.
    """

    def __init__(
        self,
        model: Model,
        weights: bytes | None = None,
        sensitivity: int = 0,
        isolated: bool | None = None,
    ) -> None:
        """Start at silence."""
        self.model = model
        self._odds = odds_q8(sensitivity)
        self._isolated = isolated
        self._weights = Weights(model, weights)
        self._memory = network_memory(model)
        self._recognizer = ffi.new("tkws_recognizer *")
        n_bytes = ffi.sizeof(self._memory)
        check(
            lib.tkws_recognizer_init(
                self._recognizer, model.c, self._weights.c, self._memory, n_bytes
            )
        )
        self._templates: Templates | None = None
        if model.keeps_takes:
            self._templates = Templates(model, self._weights)
            lib.tkws_recognizer_set_templates(self._recognizer, self._templates.c)
        self._words = self._names()
        self._event = ffi.new("tkws_event *")
        self._used = ffi.new("size_t *")
        self.reset()

    def reset(self) -> None:
        """Back to silence: time starts at 0 again."""
        lib.tkws_recognizer_reset(self._recognizer)
        detector = ffi.addressof(self._recognizer, "detector")
        lib.tkws_detector_set_odds(detector, self._odds)
        if self._isolated is not None:
            lib.tkws_detector_set_isolated(detector, self._isolated)

    def push(self, pcm: NDArray[np.int16]) -> list[Event]:
        """Hear samples; give the words that were heard in them.

        The events are the same however a stream is divided into calls.

        Args:
            pcm: int16 (samples,), 16 kHz, mono; any number, none too.

        Returns:
            The words in their order; times are seconds since reset().

        Raises:
            DataError: the samples are no int16 of one channel.
        """
        source = ffi.from_buffer("int16_t[]", check_pcm(pcm))
        events = []
        at = 0
        while at < len(pcm):
            heard = lib.tkws_recognizer_push(
                self._recognizer, source + at, len(pcm) - at, self._used, self._event
            )
            at += self._used[0]
            if check(heard):
                events.append(self._heard())
        return events

    def correct(self, word: str | None) -> None:
        """Say what it was that was heard last: see Driver.correct(). No event comes in a second.

        Args:
            word: that it was; None for none.

        Raises:
            TraceKwsError: nothing was heard since the start or the last correction; there is no
                room; the model keeps no takes.
            DataError: it is no word, or has no one sound.
        """
        if self._templates is None:
            raise TraceKwsError(f"{self.model.name} keeps no takes: nothing can be corrected")
        name = b"" if word is None else word_of(word).encode()
        if word is not None and not self.model.has_sound(word):
            raise DataError(f"{word!r} has no one sound: nothing is heard as it")
        check(lib.tkws_templates_correct(self._templates.c, self._weights.c, name, len(name)))
        self._templates = Templates(self.model, self._weights)
        lib.tkws_recognizer_change_templates(self._recognizer, self._templates.c)
        self._words = self._names()

    @property
    def weights(self) -> bytes:
        """What was learned, with corrections: as Learner.weights has it."""
        return self._weights.state

    def _names(self) -> dict[int, str]:
        own = own_words(self.model, self._weights.state)
        return dict(enumerate(self.model.labels)) | {n: one.word for n, one in own.items()}

    def _heard(self) -> Event:
        event = self._event
        return Event(
            self._words[event.word],
            event.score_q15 / 32768,
            event.first_sample / SAMPLE_RATE,
            event.end_sample / SAMPLE_RATE,
        )
