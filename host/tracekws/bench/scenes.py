# SPDX-License-Identifier: Apache-2.0
"""Words laid into a quiet room, under one condition at a time; docs/robust.md says it in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.stream import FRAME, Said, Sound, word_bounds
from tracekws.data import Clip, Recordings

Pcm = NDArray[np.int16]
Wave = NDArray[np.float64]

LEAD_S, TAIL_S = 3.0, 1.5
"""Of the room before the first clip, and behind the last."""
ROOM = 8.0
"""Root mean square of the room's white noise, in PCM steps."""
MARGIN = round(0.03 * SAMPLE_RATE)
"""Kept around a trimmed word."""
VOCODER = {"n_fft": 512, "hop_length": 64}
"""Of librosa's phase vocoder: 32 ms, and short hops, for speech."""


@dataclass(frozen=True)
class Spoken:
    """A clip to be laid into a scene."""

    pcm: Pcm
    word: str
    """Empty where it is no keyword, whatever it is called."""
    speaker: str
    gap_s: float = 0.0
    """From the end of the clip before."""


@dataclass(frozen=True)
class Noise:
    """White noise before the first clip, in place of the lead's last part."""

    seconds: float
    dbfs: float
    """Root mean square over that of a full-scale square wave."""
    gap_s: float
    """From its end to the start of the word."""


@dataclass(frozen=True)
class Beside:
    """Other sound through the whole scene, from the sounds one behind the other."""

    sounds: tuple[Sound, ...]
    db: float
    """Mean power of the first word over that of the sound in the scene."""


@dataclass(frozen=True)
class Scene:
    """Clips in a quiet room, from rest, and what is different about it."""

    spoken: tuple[Spoken, ...]
    seed: int
    """Of the noises."""
    voice: float = 1.0
    """Pitch and formants of the clips, over those recorded; their length stays."""
    cut_s: float = 0.0
    """What is missing of the start of each word."""
    impulse: Wave | None = field(default=None, compare=False)
    """Impulse response of a room that is louder than this one is."""
    noise: Noise | None = None
    beside: Beside | None = None

    def mix(self) -> tuple[Pcm, list[Said]]:
        """Its samples, and the words in it, at their places before the room sounds."""
        rng = np.random.default_rng(self.seed)
        lead = np.zeros(samples(LEAD_S))
        track: list[Wave] = [lead]
        said: list[Said] = []
        at = len(lead)
        if self.noise:
            pcm = self.spoken[0].pcm
            loud = rng.normal(0, from_dbfs(self.noise.dbfs), samples(self.noise.seconds))
            gap = max(0, samples(self.noise.gap_s) - word_bounds(pcm)[0])
            track += [limited(loud).astype(float), np.zeros(gap)]
            at += len(loud) + gap
        for one in self.spoken:
            pcm = cut(voiced(one.pcm, self.voice), self.cut_s)
            gap = samples(one.gap_s)
            start, end = word_bounds(pcm)
            said.append(Said(one.word, at + gap + start, at + gap + end, one.speaker))
            track += [np.zeros(gap), pcm.astype(float)]
            at += gap + len(pcm)
        wave = np.concatenate([*track, np.zeros(samples(TAIL_S))])
        first = slice(said[0].start, said[0].end)
        power = float((wave[first] ** 2).mean())
        if self.impulse is not None:
            wave = reverberated(wave, self.impulse)
        if self.beside:
            wave += beside(self.beside, len(wave), power)
        return limited(wave + rng.normal(0, ROOM, len(wave))), said


def samples(seconds: float) -> int:
    """Seconds in samples."""
    return round(seconds * SAMPLE_RATE)


def from_dbfs(level: float) -> float:
    """PCM steps of a level."""
    return 32768 * 10 ** (level / 20)


def limited(wave: Wave) -> Pcm:
    """Samples, clipped."""
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)


def trimmed(pcm: Pcm) -> Pcm:
    """A clip without what lies before and behind its word, a small margin aside."""
    start, end = word_bounds(pcm)
    return pcm[max(0, start - MARGIN) : end + MARGIN]


def cut(pcm: Pcm, seconds: float) -> Pcm:
    """A clip from some time behind its word's start on; whole for 0, and never without its end."""
    if not seconds:
        return pcm
    start, end = word_bounds(pcm)
    return pcm[min(start + samples(seconds), end - FRAME) :]


def voiced(pcm: Pcm, factor: float) -> Pcm:
    """A clip with pitch and formants times a factor, at its length; needs librosa.

    Played faster, then stretched back by a phase vocoder.
    """
    if factor == 1:
        return pcm
    import librosa

    wave = pcm.astype(np.float32) / 32768
    rate = SAMPLE_RATE / factor
    faster = librosa.resample(wave, orig_sr=SAMPLE_RATE, target_sr=rate, res_type="soxr_hq")
    slow = librosa.effects.time_stretch(faster, rate=len(faster) / len(pcm), **VOCODER)
    return limited(32768.0 * librosa.util.fix_length(slow, size=len(pcm)))


def reverberated(wave: Wave, impulse: Wave) -> Wave:
    """A sound in a room, as loud as before; the direct sound stays where it was."""
    size = len(wave) + len(impulse) - 1
    both = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(impulse, size), size)
    direct = int(np.abs(impulse).argmax())
    heard = both[direct : direct + len(wave)]
    heard = np.pad(heard, (0, len(wave) - len(heard)))
    return np.asarray(heard * math.sqrt((wave**2).sum() / max(1e-9, float((heard**2).sum()))))


def beside(other: Beside, length: int, power: float) -> Wave:
    """So many samples of other sound, at its ratio below a power."""
    sound = np.concatenate([one.read() for one in other.sounds]).astype(np.float64)
    sound = np.resize(sound, length)
    ratio = power * 10 ** (-other.db / 10) / max(1e-9, float((sound**2).mean()))
    return np.asarray(sound * math.sqrt(ratio))


def decay_seconds(impulse: Wave) -> float:
    """Time in which a room's sound falls by 60 dB, by its fall from -5 to -25 dB (T20)."""
    left = np.cumsum(impulse[::-1] ** 2)[::-1]
    level = 10 * np.log10(np.maximum(left / left[0], 1e-12))
    start, end = (int((level <= db).argmax()) for db in (-5, -25))
    return 3 * (end - start) / SAMPLE_RATE


def shortened(impulse: Wave, seconds: float) -> Wave:
    """An impulse response of which the decay is made as short as another room's.

    Args:
        impulse: of a room that sounds longer.
        seconds: wanted for 60 dB, by decay_seconds().
    """
    direct = int(np.abs(impulse).argmax())
    time = np.maximum(0, np.arange(len(impulse)) - direct) / SAMPLE_RATE
    own, wanted = decay_seconds(impulse), seconds
    for _ in range(20):  # a decay is no exact exponential: the factor is found in steps
        made = impulse * np.exp(-math.log(1000) * time * max(0.0, 1 / wanted - 1 / own))
        got = decay_seconds(made)
        if abs(got / seconds - 1) < 0.01:
            break
        wanted *= seconds / got
    return np.asarray(made)


def some_of_each(
    recordings: Recordings, keywords: Sequence[str], most: int, seed: int
) -> list[tuple[Clip, Pcm]]:
    """Clips of keywords in random order, at most so many of each word."""
    rng = np.random.default_rng(seed)
    taken = dict.fromkeys(keywords, 0)
    some = []
    for i in rng.permutation(len(recordings.clips)):
        clip = recordings.clips[i]
        if clip.word in taken and taken[clip.word] < most:
            taken[clip.word] += 1
            some.append((clip, recordings.pcm[i]))
    return some
