# SPDX-License-Identifier: Apache-2.0
"""The shipped model on streams that are no clean speech: no storm of alarms, and no deafness."""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from listening import detections
from tracekws.bench.stream import Counts, Said, judge
from tracekws.core import Model, Network

MODEL = Path(__file__).resolve().parents[2] / "models" / "base.tkws"
SECOND = 16000
GAP = 3 * SECOND // 2
VOICES = ("en-us", "en-gb", "en-us+f3", "en-us+m3")
LOUDEST = 8000.0
RECOVERY = 2
"""Seconds after which the model hears again as before."""

Pcm = NDArray[np.float64]

pytestmark = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"
)


class Listener:
    """The shipped model and what it is told."""

    def __init__(self) -> None:
        self.model = Model.load(MODEL)
        self.learner = Network(self.model)
        self.words: list[tuple[str, Pcm]] = []
        for voice in VOICES:
            for word in self.model.keywords:
                sound = speak(word, voice)
                alone = np.concatenate([hiss(2 * SECOND), sound, hiss(GAP)])
                if [heard for heard, _ in self.events(alone)] == [word]:
                    self.words.append((word, sound))

    def events(self, pcm: Pcm) -> list[tuple[str, int]]:
        """Words and end samples; what is beyond int16 is clipped."""
        clipped = np.clip(np.rint(pcm), -32768, 32767).astype(np.int16)
        return detections(self.learner, clipped)

    def speech(self, lead: int) -> tuple[Pcm, list[Said]]:
        """Background for lead samples, then all words, a second and a half of it behind each."""
        parts, said, at = [hiss(lead)], [], lead
        for word, sound in self.words:
            said.append(Said(word, at, at + len(sound)))
            parts += [sound, hiss(GAP)]
            at += len(sound) + GAP
        return np.concatenate(parts), said

    def judge(self, pcm: Pcm, said: list[Said]) -> Counts:
        """What is heard of the words."""
        return judge(self.events(pcm), said, self.model.keywords, len(pcm))


def speak(word: str, voice: str) -> Pcm:
    """A word by the synthesiser, at 16 kHz."""
    done = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", "150", "--stdout", word], capture_output=True, check=True
    )
    pcm, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float64")
    n = len(pcm) * SECOND // rate
    pcm = np.interp(np.arange(n) * rate / SECOND, np.arange(len(pcm)), pcm)
    return np.asarray(pcm / np.abs(pcm).max() * LOUDEST)


def hiss(n_samples: int, level: float = 10, seed: int = 1) -> Pcm:
    """Background."""
    return np.random.default_rng([seed, n_samples]).normal(0, level, n_samples)


def tone(hertz: float, level: float, seconds: int = 10) -> Pcm:
    """A tone."""
    return np.asarray(level * np.sin(2 * np.pi * hertz * np.arange(seconds * SECOND) / SECOND))


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def plain(listener: Listener) -> Counts:
    """What is heard when nothing is wrong."""
    counts = listener.judge(*listener.speech(2 * SECOND))
    assert len(listener.words) >= 8
    assert counts.hit >= 0.7 * len(listener.words)
    return counts


DISTURBANCES: dict[str, Pcm] = {
    "digital silence": np.zeros(30 * SECOND),
    "silence": hiss(30 * SECOND, 3),
    "tone": tone(1000, 8000),
    "loud low tone": tone(440, 30000),
    "clipped tone": tone(200, 1e6),
    "loud noise": hiss(10 * SECOND, 8000),
    "clipped noise": hiss(10 * SECOND, 1e6),
    "offset": hiss(10 * SECOND) + 12000,
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_after_a_disturbance_words_are_heard_again(
    name: str, listener: Listener, plain: Counts
) -> None:
    disturbance = np.concatenate([hiss(2 * SECOND), DISTURBANCES[name]])
    speech, said = listener.speech(RECOVERY * SECOND)
    start = len(disturbance) + RECOVERY * SECOND
    moved = [
        Said(one.word, one.start + len(disturbance), one.end + len(disturbance)) for one in said
    ]
    pcm = np.concatenate([disturbance, speech])
    events = listener.events(pcm)
    assert len([end for _, end in events if end < start]) <= 2, "no storm of false alarms"
    after = [(word, end) for word, end in events if end >= start]
    counts = judge(after, moved, listener.model.keywords, len(pcm))
    assert counts.hit >= 0.8 * plain.hit
    assert counts.false <= plain.false + 0.2 * len(said)
    soon = judge(after, moved[:3], listener.model.keywords, len(pcm))
    assert soon.hit >= 1, "of the first three words at least one"


CHANGES: dict[str, Callable[[Pcm], Pcm]] = {
    "clipped": lambda pcm: 8 * pcm,
    "very loud": lambda pcm: 4 * pcm,
    "quiet": lambda pcm: pcm / 10,
    "very quiet": lambda pcm: pcm / 40,
    "offset": lambda pcm: pcm + 3000,
    "noise begins": lambda pcm: pcm + hiss(len(pcm), 300) * (np.arange(len(pcm)) > 8 * SECOND),
    "noise ends": lambda pcm: pcm + hiss(len(pcm), 300) * (np.arange(len(pcm)) < 8 * SECOND),
    "a jump up": lambda pcm: pcm * np.where(np.arange(len(pcm)) < 20 * SECOND, 0.1, 3),
    "a jump down": lambda pcm: pcm * np.where(np.arange(len(pcm)) < 20 * SECOND, 3, 0.1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_words_are_heard_at_other_levels(name: str, listener: Listener, plain: Counts) -> None:
    pcm, said = listener.speech(2 * SECOND)
    counts = listener.judge(CHANGES[name](pcm), said)
    assert counts.hit >= 0.5 * plain.hit, "no deafness"
    assert counts.false <= plain.false + 0.4 * len(said), "no storm of false alarms"
