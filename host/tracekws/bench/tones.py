# SPDX-License-Identifier: Apache-2.0
"""Sounds of devices: beeps, sweeps, sirens, hum. Every event in them is a false alarm."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.stream import Said

Wave = NDArray[np.float64]

BEEP_HZ = (800, 1500, 1900, 2000, 2100, 2500, 3100, 4000)
BEEP_SECONDS = (0.25, 0.5, 0.8)
BEEP_LEVELS = (600, 9000)
BEEP_LENGTH = 30
SWEEP_LENGTH = 60
"""Seconds of each case; all repeat themselves every few seconds at most."""
HISS = 10
"""Largest sample of the noise under a beep."""
LOUD = 9000.0


def sine(hertz: Wave | float, t: Wave) -> Wave:
    """A tone of a frequency that may change with time."""
    turns = np.cumsum(np.broadcast_to(hertz, t.shape)) / SAMPLE_RATE
    return np.asarray(np.sin(2 * math.pi * turns))


def harmonics(hertz: Wave | float, count: int, t: Wave) -> Wave:
    """A tone with overtones that fall by their number, at most 1 each."""
    turns = np.cumsum(np.broadcast_to(hertz, t.shape)) / SAMPLE_RATE
    return np.asarray(sum(np.sin(2 * math.pi * n * turns) / n for n in range(1, count + 1)))


def octaves(t: Wave, period: float) -> Wave:
    """Hertz of a sweep from 50 to 4000, again and again."""
    return np.asarray(50 * 80 ** (t % period / period))


def square_sweep(t: Wave) -> Wave:
    """A square wave from 50 Hz to 7050 Hz in half a second, again and again."""
    return np.sign(sine(50 + 7000 * (t % 0.5) / 0.5, t))


def doorbell(t: Wave) -> Wave:
    """Two struck notes, then two seconds of nothing."""
    note = sine(np.where(t % 3 < 0.5, 660.0, 520.0), t) * np.exp(-3 * (t % 0.5))
    return np.where(t % 3 < 1, note, 0)


def voice(t: Wave) -> Wave:
    """A hum of 200 Hz with vibrato, louder and softer twice a second."""
    tone = harmonics(200 + 20 * np.sin(2 * math.pi * 5 * t), 11, t)
    return np.asarray(tone * (0.6 + 0.4 * np.sin(2 * math.pi * 2 * t)))


def bursts(t: Wave) -> Wave:
    """Noise for 0.3 s of each second."""
    noise = np.random.default_rng(5).uniform(-1, 1, len(t))
    return np.where(t % 1 < 0.3, noise, 0)


SWEEPS: dict[str, Callable[[Wave], Wave]] = {
    "square sweep 0.5 s": lambda t: 12000 * square_sweep(t),
    "square sweep 0.5 s, quiet": lambda t: 300 * square_sweep(t),
    "sine sweep 50 to 4000 Hz, 0.5 s": lambda t: LOUD * sine(octaves(t, 0.5), t),
    "sine sweep 50 to 4000 Hz, 1 s": lambda t: LOUD * sine(octaves(t, 1), t),
    "siren 400 to 1200 Hz": lambda t: LOUD * sine(800 + 400 * np.sin(2 * math.pi * t / 1.3), t),
    "beep 1 kHz, 0.2 s of each second": lambda t: np.where(t % 1 < 0.2, LOUD * sine(1000.0, t), 0),
    "beep 2 kHz, 0.5 s of each second": lambda t: np.where(t % 1 < 0.5, LOUD * sine(2000.0, t), 0),
    "hum 50 Hz with overtones": lambda t: 3000 * harmonics(50.0, 19, t),
    "doorbell": lambda t: 7000 * doorbell(t),
    "noise 0.3 s of each second": lambda t: 6000 * bursts(t),
    "clock ticks": lambda t: np.where(t % 1 < 0.004, 20000 * sine(3000.0, t), 0),
    "vibrato 200 Hz": lambda t: 2500 * voice(t),
}


def as_pcm(wave: Wave) -> NDArray[np.int16]:
    """Samples, clipped."""
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)


def seconds(length: int) -> Wave:
    """The times of samples."""
    return np.arange(length * SAMPLE_RATE) / SAMPLE_RATE


@dataclass(frozen=True)
class Beep:
    """A tone that is on and off for the same time, over faint noise."""

    hertz: float
    on_seconds: float
    level: float

    @property
    def name(self) -> str:
        """In words."""
        return f"beep {self.hertz:g} Hz, {self.on_seconds:g} s on and off, level {self.level:g}"

    def mix(self) -> tuple[NDArray[np.int16], list[Said]]:
        """Its samples; nothing is said."""
        t = seconds(BEEP_LENGTH)
        hiss = np.random.default_rng(9).integers(-HISS, HISS + 1, len(t))
        on = t % (2 * self.on_seconds) < self.on_seconds
        return as_pcm(np.where(on, self.level * np.sin(2 * math.pi * self.hertz * t), 0) + hiss), []


@dataclass(frozen=True)
class Sweep:
    """One of SWEEPS."""

    name: str

    def mix(self) -> tuple[NDArray[np.int16], list[Said]]:
        """Its samples; nothing is said."""
        return as_pcm(SWEEPS[self.name](seconds(SWEEP_LENGTH))), []


def beeps() -> list[Beep]:
    """All cases."""
    return [
        Beep(hertz, on, level) for hertz in BEEP_HZ for on in BEEP_SECONDS for level in BEEP_LEVELS
    ]


def sweeps() -> list[Sweep]:
    """All cases."""
    return [Sweep(name) for name in SWEEPS]
