# SPDX-License-Identifier: Apache-2.0
"""What a tree of recordings lacks, made: noise, and speech that is none of its words.

Both are written as files, so that they are read and held out like recordings. Other words are those
of the voices that come with the package, and pieces of the tree's own words: backwards, with their
halves exchanged between words, and cut. A voice is held out like a speaker, and a piece with the
clips that it is made of. A babble is of training clips; where parts are held out in turn, which
have the noise in common, it is of them all.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tracekws import files
from tracekws.audio import SAMPLE_RATE
from tracekws.bench.stream import word_bounds
from tracekws.data import CLIP_SAMPLES, READ, SPLITS, Clip, Recordings, Tree, read_recordings
from tracekws.errors import DataError
from tracekws.shipped import SPEECH

NOISE_SECONDS = 30
LEVEL = 300.0
"""RMS of made noise."""
TALKERS = 8
"""Clips that sound at once in a babble."""
PIECES = "_pieces"
"""The word of what is made of clips."""
MOST_PIECES = 240
MARGIN = SAMPLE_RATE // 20
"""Samples around a word that stay with it."""
VOICES = (SPLITS[1], SPLITS[2], SPLITS[0], SPLITS[0], SPLITS[0], SPLITS[0])
"""Splits of the package's voices, in turn."""


def write_wav(path: Path, pcm: NDArray[np.float64]) -> None:
    """Write a recording of 16 kHz, held to 16 bits.

    Raises:
        DataError: it cannot be written.
    """
    content = io.BytesIO()
    held = np.clip(np.rint(pcm), -32768, 32767).astype(np.int16)
    soundfile.write(content, held, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    files.write(path, content.getvalue())


def pink(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Noise whose power falls with the frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, samples)


def hum(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Mains, a fan: overtones of one tone that slowly changes, amid a little hiss."""
    wander = np.cumsum(rng.standard_normal(samples)) / np.sqrt(samples)
    turns = np.cumsum(rng.uniform(45, 130) * (1 + 0.01 * wander)) / SAMPLE_RATE
    tones = [rng.uniform(0.2, 1) / n * np.sin(2 * np.pi * n * turns) for n in range(1, 21)]
    out: NDArray[np.float64] = np.sum(tones, axis=0) + 0.05 * rng.standard_normal(samples)
    return out


def babble(rng: np.random.Generator, samples: int, clips: NDArray[np.int16]) -> NDArray[np.float64]:
    """Many voices at once, backwards, so that no word is in them: of clips (n, 16000)."""
    out = np.zeros(samples + CLIP_SAMPLES)
    for at in range(0, samples, CLIP_SAMPLES // TALKERS):
        clip = clips[int(rng.integers(len(clips)))][::-1].astype(np.float64)
        out[at : at + CLIP_SAMPLES] += clip / max(1.0, float(clip.std()))
    return out[:samples]


def with_noise(tree: Tree, clips: NDArray[np.int16], folder: Path, seed: int) -> Tree:
    """The tree with noise recordings that are made and written to a folder.

    Args:
        tree: without any.
        clips: (n, 16000), of the babble.
        folder: where they are written.
        seed: of what is drawn.

    Raises:
        DataError: they cannot be written.
    """
    rng = np.random.default_rng([seed, 3])
    samples = NOISE_SECONDS * SAMPLE_RATE
    made = {
        "pink": pink(rng, samples),
        "hum": hum(rng, samples),
        "babble": babble(rng, samples, clips),
    }
    files.check_folder(folder)
    for name, pcm in made.items():
        write_wav(folder / f"{name}.wav", LEVEL * pcm / pcm.std())
    return replace(tree, noises=tuple(folder / f"{name}.wav" for name in made))


def voices(words: Sequence[str], splits: Sequence[str]) -> list[Clip]:
    """What the package's voices say that is none of these words; each has one of the splits."""
    clips = []
    folders = sorted(path for path in SPEECH.iterdir() if path.is_dir())
    for number, voice in enumerate(folders):
        for path in sorted(voice.glob("*/*")):
            word = path.parent.name
            if path.suffix in READ and word not in words:
                clips.append(Clip(path, word, voice.name, splits[number % len(splits)]))
    return clips


def word_in(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    """The word of a clip, with a little around it."""
    first, last = word_bounds(pcm)
    return pcm[max(0, first - MARGIN) : last + MARGIN].astype(np.float64)


def piece(
    kind: int, one: NDArray[np.int16], other: NDArray[np.int16], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A second in which no word is whole.

    Args:
        kind: a number; what is made comes in turn.
        one: a clip (16000,).
        other: one of another word.
        rng: draws.
    """
    word = word_in(one)
    half = len(word) // 2
    if kind % 3 == 0:
        part = word[::-1]
    elif kind % 3 == 1:
        then = word_in(other)
        then *= np.sqrt(np.mean(word**2) / max(1.0, float(np.mean(then**2))))
        part = np.concatenate([word[half:], then[: len(then) // 2]])
    else:
        kept = round(half * rng.uniform(0.6, 1.0))
        part = word[:kept] if rng.random() < 0.5 else word[len(word) - kept :]
    part = part[:CLIP_SAMPLES]
    second = rng.normal(0, 10 ** rng.uniform(-0.5, 1.5), CLIP_SAMPLES)
    at = int(rng.integers(CLIP_SAMPLES - len(part) + 1))
    second[at : at + len(part)] += part
    return second


def pieces(recordings: Recordings, words: Sequence[str], folder: Path, seed: int) -> list[Clip]:
    """Pieces of the words' clips, each in the split of the clips that it is of.

    Raises:
        DataError: they cannot be written.
    """
    rng = np.random.default_rng([seed, 4])
    rows_of: dict[str, list[int]] = {}
    for row, clip in enumerate(recordings.clips):
        if clip.word in words:
            rows_of.setdefault(clip.split, []).append(row)
    files.check_folder(folder)
    made: list[Clip] = []
    for split, rows in sorted(rows_of.items()):
        share = max(3, MOST_PIECES * len(rows) // sum(map(len, rows_of.values())))
        for number in range(min(share, 2 * len(rows))):
            row = rows[int(rng.integers(len(rows)))]
            clip = recordings.clips[row]
            strange = [other for other in rows if recordings.clips[other].word != clip.word]
            other = strange[int(rng.integers(len(strange)))] if strange else row
            path = folder / f"{split}-{number}.wav"
            write_wav(path, piece(number, recordings.pcm[row], recordings.pcm[other], rng))
            made.append(replace(clip, path=path, word=PIECES))
    return made


def completed(
    tree: Tree,
    words: Sequence[str],
    folder: Path,
    seed: int,
    splits: Sequence[str] = VOICES,
    always: bool = False,
) -> tuple[Tree, list[str]]:
    """A tree with noise and other words, made where it has none, and what to say of that.

    Args:
        tree: its splits are those of its clips; what is made is of any of these.
        words: to be learned.
        folder: where what is made is written.
        seed: of what is made.
        splits: of the package's voices, in turn.
        always: whether other words are also made where there are some.

    Raises:
        DataError: what is made cannot be written.
    """
    told: list[str] = []
    has_others = any(clip.word not in words for clip in tree.clips)
    if tree.noises and has_others and not always:
        return tree, told
    own = read_recordings([clip for clip in tree.clips if clip.word in words])
    not_held = np.array([clip.split not in SPLITS[1:] for clip in own.clips], dtype=bool)
    if not not_held.any():
        raise DataError(f"{tree.root}: no readable clips to train on of {', '.join(words)}")
    if not tree.noises:
        tree = with_noise(tree, own.pcm[not_held], folder / "noise", seed)
        told.append(
            "no _background_noise_: noise is made (white, brown, pink, hum, babble); recordings of"
            " your rooms there are better"
        )
    if always or not has_others:
        made = (*voices(words, splits), *pieces(own, words, folder / "pieces", seed))
        tree = replace(tree, clips=(*tree.clips, *made))
    if not has_others:
        told.append(
            "no other words: what is no word is learned from a synthesiser's voices and pieces of"
            " your words; record other words in _other, and false alarms fall"
        )
    return tree, told
