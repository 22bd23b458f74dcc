# SPDX-License-Identifier: Apache-2.0
"""Spoken digits of a Speech Commands tree through a small cochlea, as SHD was made.

Cramer, Stradmann, Schemmel, Zenke, *The Heidelberg Spiking Data Sets*, IEEE TNNLS 33(7), 2022: the
program Lauscher passes a recording through a hydrodynamic basilar membrane of 700 channels, a pool
of hair cells with transmitter release for each, and bushy cells (leaky integrate and fire) that
gather them. The same stages here, smaller and simpler:

- 64 gammatone filters (order 4, equal steps of the ERB scale, 80 Hz to 7 kHz; Glasberg and Moore
  1990) in place of the membrane; only the envelope is kept, so that no spike locks to the phase of
  low tones, and the widest bands are cut off 500 Hz from their centre;
- a hair cell compresses (power 0.3) and has one store of transmitter that release empties and time
  fills again (Meddis 1986 has three), without randomness;
- one leaky integrate-and-fire neuron a channel, in steps of 1 ms, reset to 0.

Clips are brought to one loudness first. SHD's speakers are 12 in two languages in a studio, its
classes 20; these are many speakers, English, on their own microphones, 10 classes, and the tree's
own lists split them, so that no speaker is on two sides. Nothing is random: the seed has no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracekws.audio import SAMPLE_RATE
from tracekws.data import CLIP_SAMPLES, SPLITS, Recordings, read_all, read_tree
from tracekws.errors import DataError
from tracekws.lab.data import (
    SPEECH_COMMANDS,
    Clips,
    Config,
    Configured,
    Split,
    need_folder,
    split_of_three,
)
from tracekws.lab.network import Constants, Dense

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CHANNELS = 64
LOWEST_HZ, HIGHEST_HZ = 80.0, 7000.0
BAND = 1000
"""Width of the spectrum that a channel keeps, Hz: the envelope comes in steps of 1 ms."""
STEP_MS = 10
STEPS = CLIP_SAMPLES * 1000 // SAMPLE_RATE // STEP_MS
POWER = 0.3
REFILL_MS = 60.0
RELEASE = 0.05
"""Share of the store that full drive (1) releases a millisecond."""
MEMBRANE_MS = 5.0
GAIN = 24.0
"""Membrane that a full store under full drive gains a millisecond, per share released."""
LOUDNESS = 0.1
"""Root mean square of a clip whose full scale is 1."""
BATCH = 64


def erb(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equivalent rectangular bandwidth, Hz (Glasberg and Moore 1990)."""
    return 24.7 * (4.37e-3 * hz + 1)


def centres() -> NDArray[np.float64]:
    """Centre frequencies, Hz (CHANNELS,), in equal steps of the ERB scale."""
    low, high = np.log(4.37e-3 * np.array([LOWEST_HZ, HIGHEST_HZ]) + 1)
    return (np.exp(np.linspace(low, high, CHANNELS)) - 1) / 4.37e-3


def filters() -> tuple[Tensor, Tensor]:
    """Where a channel's band lies in a clip's spectrum (bins of 1 Hz), and its response there.

    Returns:
        bins, int64, and response, complex64 with 0 below 0 Hz: both (CHANNELS, BAND), the lowest
        offset from the centre first.
    """
    centre = centres()
    offset = np.arange(-BAND // 2, BAND // 2)
    bins = np.round(centre)[:, None].astype(np.int64) + offset
    inside = (bins > 0) & (bins < CLIP_SAMPLES // 2)
    spread = 1.019 * erb(centre)[:, None]
    response = inside / (1 + 1j * (bins - centre[:, None]) / spread) ** 4
    bins = np.clip(bins, 0, CLIP_SAMPLES // 2)
    return torch.from_numpy(bins), torch.from_numpy(response.astype(np.complex64))


def envelopes(pcm: Tensor) -> Tensor:
    """Envelope of each gammatone channel: (N, samples of a second) to (N, 1000 ms, CHANNELS)."""
    bins, response = filters()
    spectrum = torch.fft.rfft(pcm)
    bands = torch.fft.ifftshift(spectrum[:, bins] * response, dim=-1)
    level: Tensor = torch.fft.ifft(bands).abs() * (2 * BAND / CLIP_SAMPLES)
    return level.transpose(1, 2)


def spikes_of(envelope: Tensor) -> Tensor:
    """Hair cells and neurons: envelope (N, ms, CHANNELS), 1 for full drive, to spikes, uint8."""
    drive = envelope.clamp(max=1.0) ** POWER
    store = torch.ones_like(drive[:, 0])
    membrane = torch.zeros_like(store)
    spikes = torch.zeros(drive.shape, dtype=torch.uint8)
    keep = float(np.exp(-1 / MEMBRANE_MS))
    for ms in range(drive.shape[1]):
        released = RELEASE * drive[:, ms] * store
        store = store - released + (1 - store) / REFILL_MS
        membrane = keep * membrane + GAIN * released
        fired = membrane > 1
        spikes[:, ms] = fired
        membrane = torch.where(fired, 0.0, membrane)
    return spikes


def encode(pcm: NDArray[np.int16]) -> Tensor:
    """Recordings of a second, int16 (N, 16000), as counts of spikes: uint8 (N, STEPS, CHANNELS)."""
    coded = []
    for start in range(0, len(pcm), BATCH):
        sound = torch.from_numpy(pcm[start : start + BATCH].astype(np.float32) / 32768)
        level = sound.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-4)
        spikes = spikes_of(envelopes(sound * (LOUDNESS / level)))
        coded.append(spikes.reshape(-1, STEPS, STEP_MS, CHANNELS).sum(2, dtype=torch.uint8))
    return torch.cat([*coded, torch.zeros((0, STEPS, CHANNELS), dtype=torch.uint8)])


def clips_of(recordings: Recordings, split: str, speakers: Mapping[str, int]) -> Clips:
    """The recordings of one split, encoded."""
    chosen = [i for i, clip in enumerate(recordings.clips) if clip.split == split]
    said = [recordings.clips[i] for i in chosen]
    return Clips(
        encode(recordings.pcm[chosen]),
        torch.tensor([WORDS.index(clip.word) for clip in said], dtype=torch.int64),
        torch.tensor([speakers[clip.speaker] for clip in said], dtype=torch.int64),
    )


CONFIGS = {
    "recurrent": Config(
        network=(Dense(128, recurrent=True),),
        constants=Constants(alpha=0.9, beta=0.9, v_th=1.0),
        batch=64,
        epochs=20,
        rate=1e-3,
        origin="ours, untuned",
    )
}


@dataclass(frozen=True)
class SpokenDigits(Configured):
    """The task."""

    name: str = "spoken-digits"
    summary: str = "zero to nine of Speech Commands through a small cochlea; 10 classes"
    needs: str = SPEECH_COMMANDS
    configs: Mapping[str, Config] = field(default_factory=lambda: CONFIGS)

    def load(self, data: Path | None, seed: int) -> Split:
        """Read and encode the digits, each distinct recording once.

        Raises:
            DataError: no tree, no lists, a split has no digits, or a clip is not readable.
        """
        tree = read_tree(need_folder(data, self.name, self.needs))
        tree.of(SPLITS[0])  # says what is wrong where there are no lists
        found = [clip for clip in tree.clips if clip.word in WORDS]
        if not found:
            raise DataError(f"{tree.root}: none of the words zero to nine is there")
        recordings = read_all(found)
        names = sorted({clip.speaker for clip in recordings.clips})
        speakers = {name: i for i, name in enumerate(names)}
        train, validation, test = (clips_of(recordings, split, speakers) for split in SPLITS)
        return split_of_three(train, validation, test, WORDS)
