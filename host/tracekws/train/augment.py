# SPDX-License-Identifier: Apache-2.0
"""Augmentation: of the waveform, of the mel energies before their normalisation, of the features.

What needs the waveform is done once for a few copies of each clip. All else is done on energies,
which take a thousandth of the time, and is fresh in every epoch. That adds powers: that speech and
noise also interfere within a channel is left out.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.bench.stream import WORD_RANGE_DB
from tracekws.core import CHANNELS, energies
from tracekws.data import CLIP_SAMPLES
from tracekws.train.config import AugmentConfig

FRAMES: int = (CLIP_SAMPLES - lib.TKWS_WINDOW) // lib.TKWS_HOP + 1
"""Frames of a clip."""
FRAME_MS: float = 1000 * lib.TKWS_HOP / lib.TKWS_SAMPLE_RATE
STEPS = FRAMES // lib.TKWS_STACK
SYNTHETIC_SECONDS = 30
RECORDED_SHARE = 0.7
"""Of the noises, where there are recordings; the rest is white or brown."""
WAVES = 4
"""Smooth components of a microphone's response: cosines with 0.5, 1, 1.5 and 2 periods."""


def fit(x: NDArray[np.float32], lead: int) -> NDArray[np.float32]:
    """One second of samples that begins lead samples before x; gaps are filled by reflection."""
    return np.pad(x, (lead, CLIP_SAMPLES), mode="reflect")[:CLIP_SAMPLES]


def stretched(pcm: NDArray[np.int16], limit: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """A clip played faster or slower, pitch included, its frames begun at another sample."""
    x = pcm.astype(np.float32)
    at = np.arange(0, len(x) - 1, rng.uniform(1 - limit, 1 + limit), dtype=np.float32)
    x = np.interp(at, np.arange(len(x)), x).astype(np.float32)
    out: NDArray[np.int16] = fit(x, int(rng.integers(lib.TKWS_HOP))).astype(np.int16)
    return out


def synthetic_noises(rng: np.random.Generator) -> list[NDArray[np.int16]]:
    """White and brown noise."""
    white = rng.standard_normal(SYNTHETIC_SECONDS * CLIP_SAMPLES)
    brown = np.cumsum(white)
    brown -= np.convolve(brown, np.ones(801) / 801, mode="same")
    return [(1000 * x / x.std()).clip(-32767, 32767).astype(np.int16) for x in (white, brown)]


@dataclass(frozen=True)
class Noises:
    """Energies of everything that can be heard beside speech."""

    energies: NDArray[np.float32]
    """(frames, 40), one recording behind the other; white and brown noise are the last."""
    borders: NDArray[np.int64]
    """(recordings, 2): first frame, and the last one that a clip can begin at."""
    unit: float
    """Mean energy of a frame, all channels, of white noise of one squared PCM step."""

    @classmethod
    def of(cls, recordings: list[NDArray[np.int16]], seed: int) -> "Noises":
        """Measure recordings, each longer than a clip, and made-up noises."""
        synthetic = synthetic_noises(np.random.default_rng([seed, 0]))
        parts = [energies(x).astype(np.float32) for x in (*recordings, *synthetic)]
        ends = np.cumsum([len(part) for part in parts])
        firsts = ends - [len(part) for part in parts]
        white = synthetic[0].astype(float)
        unit = float(parts[-2].sum(1).mean() / np.mean(white**2))
        return cls(np.concatenate(parts), np.stack([firsts, ends - FRAMES], axis=1), unit)

    def starts(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Frames to begin at."""
        recorded = len(self.borders) - 2
        which = rng.integers(0, max(1, recorded), count)
        made = recorded + rng.integers(0, 2, count)
        synthetic = (rng.random(count) >= RECORDED_SHARE) | (recorded == 0)
        first, last = self.borders[np.where(synthetic, made, which)].T
        starts: NDArray[np.int64] = rng.integers(first, last + 1)
        return starts

    def at(self, starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Clips of noise of mean energy 1 a frame: (clips, frames, 40)."""
        clips = self.energies[starts[:, None] + np.arange(FRAMES)]
        mean = mean_energy(clips)
        unit: NDArray[np.float32] = clips / np.maximum(mean, 1)[:, None, None]
        return unit


def ratio(decibels: NDArray[np.float64]) -> NDArray[np.float32]:
    """Decibels as a ratio of energies."""
    return (10 ** (decibels / 10)).astype(np.float32)


def responses(count: int, spread: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth responses over the channels, as of microphones: (count, 40) factors of energy."""
    channel = (np.arange(CHANNELS) + 0.5) / CHANNELS
    waves = np.cos(np.pi * np.arange(1, WAVES + 1)[:, None] * channel)
    return ratio(rng.normal(0, spread, (count, WAVES)) @ waves)


@dataclass(frozen=True)
class Changes:
    """What happens to each clip of a batch: arrays of its length, drawn before any work is done.

    Processes that share a batch draw all of it and take their part, so that the batch is the same
    for any number of them.
    """

    copies: NDArray[np.int64]
    """Which of the clip's copies."""
    frames: NDArray[np.int64]
    """(clips, frames) where each frame comes from: shift and tempo."""
    room_decay: NDArray[np.float32]
    """What is left of the reverberation after a frame."""
    room_level: NDArray[np.float32]
    """Energy of the reverberation over that of the speech; 0 without a room."""
    response: NDArray[np.float32]
    talkers: NDArray[np.int64]
    """Clips of other talkers."""
    talker_level: NDArray[np.float32]
    """Energy of the other talker over that of the speech; mostly 0."""
    noise_starts: NDArray[np.int64]
    noise_response: NDArray[np.float32]
    noise_level: NDArray[np.float32]
    """Energy of the noise over that of the speech; 0 without."""
    gain: NDArray[np.float32]
    silence: NDArray[np.float32]
    """Squared PCM steps of the noise, where the clip is one of silence."""
    before: NDArray[np.int64]
    """Clips that are said before, where the batch has a context."""
    before_level: NDArray[np.float32]
    """Factor of their energy."""
    warp: NDArray[np.float32]
    """Factor of the clips' frequencies; 1 as they are."""
    cut: NDArray[np.int64]
    """Frames that are missing of the word's start."""
    mask_steps: NDArray[np.int64]
    """(clips, 2): first and behind the last."""
    mask_channels: NDArray[np.int64]

    def part(self, part: slice) -> "Changes":
        """Those of a part of the clips."""
        return Changes(**{f.name: getattr(self, f.name)[part] for f in fields(self)})


def draw_frames(count: int, config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Where frames come from, by shift and tempo; behind the ends the clip is reflected."""
    limit = config.shift_ms / FRAME_MS
    shift = rng.uniform(-limit, limit, (count, 1))
    tempo = rng.uniform(1 - config.tempo, 1 + config.tempo, (count, 1))
    tempo[rng.random(count) < 0.5] = 1
    middle = (FRAMES - 1) / 2
    at = np.rint((np.arange(FRAMES) - middle) * tempo + middle - shift).astype(np.int64)
    at = np.abs(at) % (2 * (FRAMES - 1))
    return np.minimum(at, 2 * (FRAMES - 1) - at)


def draw_mask(
    count: int, most: int, size: int, share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Where masks begin and end: (count, 2)."""
    width = rng.integers(1, most + 1, count) if most else np.zeros(count, np.int64)
    width[rng.random(count) >= share] = 0
    start = rng.integers(0, size - width)
    return np.stack([start, start + width], axis=1)


def draw_warp(count: int, config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """Factors of frequencies, even in their logarithm."""
    if not config.warp_share:
        return np.ones(count, dtype=np.float32)
    low, high = np.log(config.warp)
    factor = np.exp(rng.uniform(low, high, count))
    factor[rng.random(count) >= config.warp_share] = 1
    return factor.astype(np.float32)


def draw_cut(count: int, config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Frames that are missing of words' starts."""
    most = round(config.cut_ms / FRAME_MS)
    if not (config.cut_share and most):
        return np.zeros(count, dtype=np.int64)
    frames = rng.integers(1, most + 1, count)
    frames[rng.random(count) >= config.cut_share] = 0
    return frames


def draw(
    count: int, clips: int, noises: Noises, config: AugmentConfig, rng: np.random.Generator
) -> Changes:
    """Draw what happens to a batch.

    Args:
        count: clips of the batch.
        clips: clips there are, for other talkers.
        noises: what to choose noise from.
        config: shares and ranges.
        rng: of the batch.
    """

    def sometimes(share: float, level: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(rng.random(count) < share, level, 0).astype(np.float32)

    def below(decibels: tuple[float, float]) -> NDArray[np.float32]:
        return ratio(-rng.uniform(*decibels, count))

    reverberation_s = rng.uniform(0.15, 0.8, count)  # until it is 60 dB down
    silence = ratio(rng.uniform(6, 70, count))
    silence[rng.random(count) < 0.05] = 0  # now and then nothing at all
    return Changes(
        copies=rng.integers(0, config.copies, count),
        frames=draw_frames(count, config, rng),
        room_decay=ratio(-60 * FRAME_MS / 1000 / reverberation_s),
        room_level=sometimes(config.room_share, below((0, 12))),
        response=responses(count, config.equaliser_db, rng),
        talkers=rng.integers(0, clips, count),
        talker_level=sometimes(config.talker_share, below(config.talker_db)),
        noise_starts=noises.starts(count, rng),
        noise_response=responses(count, config.equaliser_db, rng),
        noise_level=sometimes(config.noise_share, below(config.noise_db)),
        gain=ratio(rng.uniform(*config.gain_db, count)),
        silence=silence,
        mask_steps=draw_mask(count, config.mask_steps, STEPS, config.mask_share, rng),
        mask_channels=draw_mask(count, config.mask_channels, CHANNELS, config.mask_share, rng),
        before=rng.integers(0, clips, count),
        before_level=ratio(rng.uniform(-6, 6, count)),
        warp=draw_warp(count, config, rng),
        cut=draw_cut(count, config, rng),
    )


def centres() -> NDArray[np.float64]:
    """Hertz of the channels' middles: even on the mel scale, from 60 Hz to 7600 Hz."""
    edges = np.linspace(mel(60.0), mel(7600.0), CHANNELS + 2)[1:-1]
    return np.asarray(700 * (10 ** (edges / 2595) - 1))


def mel(hertz: float) -> float:
    """The mel scale."""
    return float(2595 * np.log10(1 + hertz / 700))


def warp(clips: NDArray[np.float32], factors: NDArray[np.float32]) -> None:
    """Move, in place, the frequencies of clips: what was heard at f comes at f times the factor."""
    middles = centres()
    for clip in np.flatnonzero(factors != 1) if clips.size else ():
        at = np.interp(middles / factors[clip], middles, np.arange(CHANNELS))
        low = np.minimum(at.astype(int), CHANNELS - 2)
        part = (at - low).astype(np.float32)
        logs = np.log2(np.maximum(clips[clip], 1))
        clips[clip] = np.exp2(logs[:, low] * (1 - part) + logs[:, low + 1] * part)


def bounds(energies: NDArray[np.float32]) -> NDArray[np.int64]:
    """Where words begin and end in clips: (clips, 2), first frame and that behind the last.

    Args:
        energies: (clips, frames) over all channels.
    """
    loud = energies >= 10 ** (-WORD_RANGE_DB / 10) * energies.max(1, keepdims=True)
    return np.stack([loud.argmax(1), FRAMES - loud[:, ::-1].argmax(1)], axis=1)


def cut_onsets(clips: NDArray[np.float32], frames: NDArray[np.int64]) -> None:
    """Take away, in place, what is heard before some frames behind the word's start."""
    for clip in np.flatnonzero(frames):
        energy = clips[clip].sum(1)
        start = bounds(energy[None])[0, 0]
        quiet = clips[clip][energy.argmin()]
        clips[clip, : min(start + frames[clip], FRAMES)] = quiet


def mean_energy(clips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean energy of a frame, all channels, of each clip."""
    mean: NDArray[np.float32] = clips.sum(2).mean(1)
    return mean


def moved(clips: NDArray[np.float32], frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """Clips (clips, frames, ...) with their frames where Changes.frames has them."""
    out: NDArray[np.float32] = clips[np.arange(len(clips))[:, None], frames]
    return out


def reverberate(
    clips: NDArray[np.float32], decay: NDArray[np.float32], level: NDArray[np.float32]
) -> None:
    """Add, in place, what a room goes on sounding with: an exponential decay over the frames."""
    (rooms,) = np.nonzero(level)
    keep = decay[rooms, None]
    gain = (level[rooms] * (1 - decay[rooms]))[:, None]
    tail = np.zeros((len(rooms), CHANNELS), dtype=np.float32)
    for frame in range(FRAMES):
        dry = clips[rooms, frame]
        clips[rooms, frame] = dry + gain * tail
        tail = keep * (tail + dry)


def add(clips: NDArray[np.float32], other: NDArray[np.float32], level: NDArray[np.float32]) -> None:
    """Add, in place, other sounds at energies of level times the clips' own."""
    (where,) = np.nonzero(level)
    scale = level[where] * mean_energy(clips[where]) / (mean_energy(other[where]) + 1e-9)
    clips[where] += other[where] * scale[:, None, None]


def changed(
    speech: NDArray[np.float32],
    talkers: NDArray[np.float32],
    before: NDArray[np.float32],
    is_silence: NDArray[np.bool_],
    noises: Noises,
    changes: Changes,
) -> NDArray[np.uint64]:
    """Energies of a batch as other rooms, microphones and moments might have given them.

    Args:
        speech: (clips, frames, 40) of the clips; not looked at where there is silence.
        talkers: the same of the other talkers.
        before: (clips, any frames, 40) of what is said before, perhaps none.
        is_silence: which clips are silence.
        noises: where noise is taken from.
        changes: what happens.

    Returns:
        (clips, frames before and of the clip, 40).
    """
    clips = moved(speech, changes.frames)
    warp(clips, changes.warp)
    warp(before, changes.warp)
    cut_onsets(clips, changes.cut)
    reverberate(clips, changes.room_decay, changes.room_level)
    add(clips, talkers, changes.talker_level)
    clips *= changes.response[:, None, :]
    noise = noises.at(changes.noise_starts) * changes.noise_response[:, None, :]
    level = changes.noise_level * mean_energy(clips) / (mean_energy(noise) + 1e-9)
    unit = np.float32(noises.unit)
    energy = np.maximum(mean_energy(noise[is_silence]), 1e-9)  # of digital silence none: it stays
    level[is_silence] = unit * changes.silence[is_silence] / energy
    clips[is_silence] = 0
    gain = np.where(is_silence, np.float32(1), changes.gain)
    earlier = before * (changes.before_level[:, None] * changes.response)[:, None, :]
    clips = np.concatenate([earlier, clips], axis=1)
    noise = np.concatenate([noise[:, FRAMES - before.shape[1] :], noise], axis=1)
    clips += noise * level[:, None, None]
    clips *= gain[:, None, None]
    out: NDArray[np.uint64] = clips.astype(np.uint64)
    return out


def mask(features: NDArray[np.int8], changes: Changes) -> None:
    """Blank, in place, some of a clip's steps and some channels: (clips, steps, 2 x 40)."""
    clips = features[:, -STEPS:]

    def kept(size: int, borders: NDArray[np.int64]) -> NDArray[np.bool_]:
        at = np.arange(size)
        inside: NDArray[np.bool_] = (at >= borders[:, :1]) & (at < borders[:, 1:])
        return ~inside

    clips *= kept(clips.shape[1], changes.mask_steps)[:, :, None]
    channels = kept(CHANNELS, changes.mask_channels)
    features *= np.tile(channels, lib.TKWS_STACK)[:, None, :]
