#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make examples/speech/: synthesiser voices saying the ten keywords and some other words.

Needs espeak-ng, flite and sox (Debian packages of these names). The same versions of them make the
same samples. Every take of a word differs in speed, pitch, emphasis and level.

    examples/speech/VOICE/WORD/N.flac       takes of a keyword, one second each
    examples/speech/VOICE/_other/WORD.flac  words that are not keywords
    examples/speech/WORD-N.flac             takes by one voice of a word that no model has
    examples/speech/stream.flac             that voice, words with pauses and a little noise
    examples/speech/stream.tsv              what it says: start and end in seconds, word

Example:
    python scripts/make_speech.py
"""

import shutil
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tracekws.audio import read_clip

RATE = 16000
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
OTHERS = ("bird", "cat", "happy", "house", "seven", "tree", "one", "wow", "five", "dog")
# Words that Speech Commands does not have.
FOREIGN = ("coffee", "window", "music", "lamp", "water", "table")
STREAM_VOICE = "scot"
STREAM_OTHERS = ("winter", "paper", "yellow", "market")
TAUGHT, TAUGHT_TAKES = "yellow", 3
STREAM_NOISE_RMS = 12.0  # PCM steps; the words peak at several thousand


@dataclass(frozen=True)
class Voice:
    """A synthesiser's voice; speed in words a minute or as a stretch, pitch in its own units."""

    program: str
    name: str
    speed: float
    pitch: float
    takes: int


VOICES = {
    "brit": Voice("espeak-ng", "en-gb+f2", 150, 55, 2),
    "slt": Voice("flite", "slt", 1.15, 175, 2),
    "carib": Voice("espeak-ng", "en-029+m3", 150, 45, 2),
    "scot": Voice("espeak-ng", "en-gb-scotland+f4", 150, 60, 6),
    "awb": Voice("flite", "awb", 1.15, 125, 2),
    "rms": Voice("flite", "rms", 1.1, 100, 2),
}


def run(*command: str) -> None:
    """Run a program; its errors end the script."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def say(voice: Voice, word: str, rng: np.random.Generator, folder: Path) -> NDArray[np.float64]:
    """One take of a word at 16 kHz, without the silence around it; PCM steps as float."""
    raw, clean = folder / "raw.wav", folder / "clean.wav"
    speed = voice.speed * rng.uniform(0.82, 1.2)
    pitch = voice.pitch * rng.uniform(0.85, 1.18)
    text = word + rng.choice([".", "!", "?", ","])
    if voice.program == "espeak-ng":
        run("espeak-ng", "-v", voice.name, "-s", f"{speed:.0f}", "-p", f"{pitch:.0f}",
            "-w", str(raw), text)  # fmt: skip
    else:
        run("flite", "-voice", voice.name, "--setf", f"duration_stretch={speed:.3f}",
            "--setf", f"int_f0_target_mean={pitch:.1f}", "-t", text, "-o", str(raw))  # fmt: skip
    run("sox", "-D", "-R", str(raw), "-r", str(RATE), "-c", "1", str(clean))
    pcm = read_clip(clean).astype(float)
    loud = np.flatnonzero(np.abs(pcm) > 0.01 * np.abs(pcm).max())
    pcm = pcm[max(loud[0] - 320, 0) : loud[-1] + 480]
    if len(pcm) > RATE:
        raise SystemExit(f"{voice.name} takes more than a second to say {word}")
    return pcm * (rng.uniform(4000, 9000) / np.abs(pcm).max())


def clip(voice: Voice, word: str, rng: np.random.Generator, folder: Path) -> NDArray[np.int16]:
    """A take within one second of silence, near its middle."""
    pcm = say(voice, word, rng, folder)
    spare = RATE - len(pcm)
    at = int(spare * rng.uniform(0.35, 0.65))
    out = np.zeros(RATE)
    out[at : at + len(pcm)] = pcm
    return np.round(out).astype(np.int16)


def stream(
    voice: Voice, rng: np.random.Generator, folder: Path
) -> tuple[NDArray[np.int16], list[tuple[float, float, str]]]:
    """Each keyword once and some other words, in a mixed order, 0.9 to 1.4 s of pause between."""
    words = [*KEYWORDS, *STREAM_OTHERS]
    rng.shuffle(words)
    parts: list[NDArray[np.float64]] = [np.zeros(RATE)]
    said, at = [], RATE
    for word in words:
        pcm = say(voice, word, rng, folder)
        said.append((at / RATE, (at + len(pcm)) / RATE, word))
        pause = np.zeros(int(RATE * rng.uniform(0.9, 1.4)))
        parts += [pcm, pause]
        at += len(pcm) + len(pause)
    out = np.concatenate(parts)
    out += rng.normal(0, STREAM_NOISE_RMS, len(out))
    return np.round(out).astype(np.int16), said


def main(target: Path) -> None:
    """Write all voices and the stream below target, replacing those that are there."""
    for program, option in (
        ("espeak-ng", "--version"),
        ("flite", "--version"),
        ("sox", "--version"),
    ):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing: apt install espeak-ng flite sox")
        print(subprocess.run([program, option], capture_output=True, text=True).stdout.strip())
    for name in VOICES:
        shutil.rmtree(target / name, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, voice in VOICES.items():
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            files = [f"{word}/{take}" for word in KEYWORDS for take in range(voice.takes)]
            others = (*OTHERS, *FOREIGN) if voice.takes > 2 else (*OTHERS[:4], *FOREIGN[:2])
            files += [f"_other/{word}" for word in others]
            for file in files:
                folder, _, stem = file.partition("/")
                path = target / name / f"{file}.flac"
                path.parent.mkdir(parents=True, exist_ok=True)
                word = stem if folder == "_other" else folder
                pcm = clip(voice, word, rng, Path(scratch))
                soundfile.write(path, pcm, RATE, subtype="PCM_16", compression_level=1.0)
        rng = np.random.default_rng(zlib.crc32(b"stream"))
        pcm, said = stream(VOICES[STREAM_VOICE], rng, Path(scratch))
        soundfile.write(target / "stream.flac", pcm, RATE, subtype="PCM_16", compression_level=1.0)
        lines = [f"{start:.3f}\t{end:.3f}\t{word}\n" for start, end, word in said]
        (target / "stream.tsv").write_text("".join(lines))
        rng = np.random.default_rng(zlib.crc32(b"taught"))
        for take in range(1, TAUGHT_TAKES + 1):
            pcm = clip(VOICES[STREAM_VOICE], TAUGHT, rng, Path(scratch))
            path = target / f"{TAUGHT}-{take}.flac"
            soundfile.write(path, pcm, RATE, subtype="PCM_16", compression_level=1.0)
    size = sum(path.stat().st_size for path in target.rglob("*.flac"))
    print(f"{len(list(target.rglob('*.flac')))} files, {size / 1e6:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    main(Path(__file__).resolve().parent.parent / "examples" / "speech")
