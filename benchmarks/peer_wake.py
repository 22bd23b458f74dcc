# SPDX-License-Identifier: Apache-2.0
"""Wake words that others ship, and pocketsphinx, on our recordings."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pocketsphinx
import pymicro_wakeword
import pyopen_wakeword
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.sets import Recording
from tracekws.bench.stream import Minute, judge

WORD = "alexa"
LEAD = SAMPLE_RATE
"""Silence before and behind each recording."""
CUTOFF = 0.5
"""Of openWakeWord, as its documentation has it."""
REFRACTORY = SAMPLE_RATE
CHUNK = 1280

Wake = Callable[[NDArray[np.int16]], int]
"""How often a wake word is heard in samples, from rest."""


def events(over: Iterator[tuple[int, bool]]) -> int:
    """Count rises over a cutoff that are a second apart, of places and whether it is over there."""
    total, last, before = 0, -REFRACTORY, False
    for at, is_over in over:
        if is_over and not before and at - last >= REFRACTORY:
            total, last = total + 1, at
        before = is_over
    return total


def micro_wake_word(pcm: NDArray[np.int16]) -> int:
    """microWakeWord's alexa, at the cutoff that it ships with."""
    net = pymicro_wakeword.MicroWakeWord.from_builtin(pymicro_wakeword.Model.ALEXA)
    front_end = pymicro_wakeword.MicroWakeWordFeatures()

    def over() -> Iterator[tuple[int, bool]]:
        for at in range(0, len(pcm), CHUNK):
            for step in front_end.process_streaming(pcm[at : at + CHUNK].tobytes()):
                yield at, bool(net.process_streaming(step))

    return events(over())


def open_wake_word(pcm: NDArray[np.int16]) -> int:
    """openWakeWord's alexa."""
    net = pyopen_wakeword.OpenWakeWord.from_builtin(pyopen_wakeword.Model.ALEXA)
    front_end = pyopen_wakeword.OpenWakeWordFeatures.from_builtin()

    def over() -> Iterator[tuple[int, bool]]:
        for at in range(0, len(pcm), CHUNK):
            for step in front_end.process_streaming(pcm[at : at + CHUNK].tobytes()):
                for probability in net.process_streaming(step):
                    yield at, probability > CUTOFF

    return events(over())


WAKE_WORDS: dict[str, Wake] = {
    "microWakeWord's alexa": micro_wake_word,
    "openWakeWord's alexa": open_wake_word,
}


def read(one: Recording) -> NDArray[np.int16]:
    """A recording between two seconds of silence."""
    silence = np.zeros(LEAD, dtype=np.int16)
    return np.concatenate([silence, one.sound.read(), silence])


def wake_columns(
    wake: Wake, said: Sequence[Recording], other: Sequence[Recording]
) -> dict[str, float]:
    """Percent of recordings of the word in which it is heard; events an hour in others.

    Args:
        wake: what listens.
        said: recordings of the word.
        other: recordings without it.
    """
    heard = sum(wake(read(one)) > 0 for one in said)
    false = sum(wake(read(one)) for one in other)
    hours = sum(one.sound.samples for one in other) / SAMPLE_RATE / 3600
    return {"heard": 100 * heard / len(said), "false_an_hour": false / hours}


class Sphinx:
    """pocketsphinx, told to spot our keywords, with its own English model."""

    def __init__(self, words: Sequence[str], threshold: float) -> None:
        """Load it; the threshold is the same for all words."""
        with TemporaryDirectory() as folder:
            listed = Path(folder) / "words"
            listed.write_text("".join(f"{word} /{threshold:g}/\n" for word in words))
            self.decoder = pocketsphinx.Decoder(
                kws=str(listed), lm=None, samprate=SAMPLE_RATE, loglevel="FATAL"
            )

    def hear(self, pcm: NDArray[np.int16]) -> list[tuple[str, int]]:
        """Words heard, and the sample at which each was known."""
        heard = []
        self.decoder.start_utt()
        for at in range(0, len(pcm), CHUNK):
            self.decoder.process_raw(pcm[at : at + CHUNK].tobytes(), False, False)
            if (found := self.decoder.hyp()) is not None:
                heard.append((found.hypstr.split()[0], at + CHUNK))
                self.decoder.end_utt()
                self.decoder.start_utt()
        self.decoder.end_utt()
        return heard


def sphinx_columns(
    words: Sequence[str], threshold: float, minutes: Sequence[Minute]
) -> dict[str, float]:
    """Percent of keywords heard in a stream, and false alarms in 100 other words."""
    sphinx = Sphinx(words, threshold)
    hits = said = false = others = 0
    for minute in minutes:
        pcm, spoken = minute.mix()
        one = judge(sphinx.hear(pcm), spoken, words, len(pcm))
        hits, said = hits + one.hit, said + one.total
        false, others = false + one.false, others + one.other_words
    return {"heard": 100 * hits / said, "false_per_100": 100 * false / others}
