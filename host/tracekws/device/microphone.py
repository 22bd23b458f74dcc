# SPDX-License-Identifier: Apache-2.0
"""The microphone: a stream for listening, guided recording of takes, and how good its sound is.

sounddevice is imported when it is needed, since it is optional and wants a system library.
"""

from __future__ import annotations

import io
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from tracekws.audio import FULL_SCALE, SAMPLE_RATE, loudest_second
from tracekws.errors import DataError, DeviceError, MissingTool, TraceKwsError
from tracekws.files import write
from tracekws.inspection import KINDS, faults, is_steady
from tracekws.names import OTHER, normalised, path_of
from tracekws.shipped import pip_command

TAKES = 3
OTHER_TAKES = 5
OTHER_WORDS = ("coffee", "window", "seven", "happy", "table")
"""What the guided recording asks for in `_other`; anything that is no keyword would do."""
RECORD_SECONDS = 2.0
QUIET_RMS = 60.0
"""Of a take, its offset aside: below it it is asked for again."""
LOUDEST = 32700

CLIPPED_SHARE = 0.001
"""Share of samples at the limit from which a microphone is too loud."""
LARGE_DC = 0.05
"""Offset, as a share of full scale, from which something is wrong with the microphone."""
QUIET_DBFS = -40.0
"""Loudness below which speech is further away than it should be."""
VERY_QUIET_DBFS = -60.0
FLOOR_DBFS = -120.0
"""Stands for no sound at all."""
EMPTY_SHARE = 0.05
"""Of the other samples' deviation: every second one that has less is of an empty channel."""
DOUBLED_SHARE = 0.95
"""Share of pairs from which samples are doubled."""
WRAP = 3 * FULL_SCALE // 2
"""A step that only an overflow makes: the highest bits are lost..."""
WRAPPED_SHARE = 0.0005
"""...if it comes so often..."""
SATURATED_SHARE = 0.05
"""...and what is at the limit is less than this."""
FEW_BITS = 3
"""Lowest bits that are always zero: an 18-bit microphone has two here."""

Recorder = Callable[[float], NDArray[np.int16]]
"""Records that many seconds: int16 at 16 kHz. A DeviceError OVERRUN asks for another try."""


def sounddevice() -> Any:
    """Import sounddevice, or raise MissingTool, which says what to install."""
    try:
        import sounddevice as module
    except ImportError as error:
        raise MissingTool(
            f"the microphone needs the package sounddevice: {pip_command('sounddevice')}"
        ) from error
    except OSError as error:
        raise MissingTool(
            "the microphone needs the PortAudio library: sudo apt install libportaudio2"
        ) from error
    return module


def name() -> str:
    """Give the name of the microphone.  Raises TraceKwsError, with what to do, without one."""
    module = sounddevice()
    try:
        return str(module.query_devices(kind="input")["name"])
    except module.PortAudioError as error:
        raise TraceKwsError(f"no microphone is there ({error}): plug one in") from error


def stream(chunk: int = 1600) -> Iterator[NDArray[np.int16]]:
    """Yield what the microphone hears, int16 at 16 kHz, `chunk` samples at a time, without end.

    Raises TraceKwsError when there is no microphone, or it goes away.
    """
    module = sounddevice()
    chunks: queue.Queue[NDArray[np.int16] | None] = queue.Queue()

    def take(data: NDArray[np.int16], frames: int, time: object, status: object) -> None:
        chunks.put(data[:, 0].copy())

    try:
        with module.InputStream(
            samplerate=SAMPLE_RATE,
            channels=1,
            dtype="int16",
            blocksize=chunk,
            callback=take,
            finished_callback=lambda: chunks.put(None),
        ):
            while (heard := chunks.get()) is not None:
                yield heard
        raise TraceKwsError("the microphone has gone: plug it in, and start again")
    except module.PortAudioError as error:
        raise TraceKwsError(f"no microphone that records 16 kHz mono: {error}") from error


def record(seconds: float) -> NDArray[np.int16]:
    """Record from the microphone: int16 at 16 kHz.  Raises TraceKwsError when there is none."""
    module = sounddevice()
    try:
        data = module.rec(
            int(seconds * SAMPLE_RATE), samplerate=SAMPLE_RATE, channels=1, dtype="int16"
        )
        module.wait()
    except module.PortAudioError as error:
        raise TraceKwsError(f"no microphone that records 16 kHz mono: {error}") from error
    pcm: NDArray[np.int16] = data[:, 0]
    return pcm


def fault(pcm: NDArray[np.int16]) -> str | None:
    """Say what is wrong with a take that `adapt` would refuse, or that is clipped; else None."""
    if pcm.std(dtype=np.float64) < QUIET_RMS:
        return "nothing was heard: speak louder, or check the microphone"
    if np.count_nonzero(np.abs(pcm.astype(np.int32)) >= LOUDEST) > 8:
        return "too loud, the recording is clipped: speak softer, or move away"
    refused = next((KINDS[name] for name in faults(pcm) if KINDS[name].severe), None)
    return f"{refused.what} it: {refused.advice}" if refused else None


def record_takes(
    folder: Path,
    words: Sequence[str],
    *,
    ask: Callable[[str], None],
    complain: Callable[[str], None],
    recorder: Recorder,
    others: bool = True,
) -> int:
    """Record takes of words, and of other words, into a folder as `read_takes` reads it.

    Each take is on disk before the next is asked for.  Takes that the folder has already count, so
    that an interrupted recording goes on where it stopped.  `ask` prompts and waits until the
    speaker is ready; `complain` says why a take is asked for again.  Without `others` no other
    words are asked for.

    Returns the number of new takes.  Raises TraceKwsError without a microphone, DataError when the
    folder cannot be written.
    """
    wanted = [(word, word, number) for word in words for number in range(1, TAKES + 1)]
    if others:
        wanted += [(OTHER, OTHER_WORDS[n - 1], n) for n in range(1, OTHER_TAKES + 1)]
    missing = [(_take(folder, name, number), word) for name, word, number in wanted]
    missing = [(path, word) for path, word in missing if not path.exists()]
    for done, (path, word) in enumerate(missing):
        say = f"say {word!r}"
        pcm = _good_take(f"{done + 1} of {len(missing)}: {say}", say, ask, complain, recorder)
        _write_take(path, pcm)
    return len(missing)


def record_word(
    folder: Path,
    word: str,
    takes: int,
    *,
    ask: Callable[[str], None],
    complain: Callable[[str], None],
    recorder: Recorder,
    speaker: str = "",
) -> list[Path]:
    """Record takes of one word, or of other words (OTHER), beside those that the folder has.

    The layout is the one that `read_takes` reads, with a folder for the speaker if one is named;
    the rest is as for record_takes().  Returns the new files.
    """
    made: list[Path] = []
    where = path_of(folder, word)
    if speaker:
        where = path_of(where, normalised(speaker))
    number = 0
    for done in range(takes):
        number = next(n for n in range(number + 1, 1 << 31) if not (where / f"{n}.wav").exists())
        say = f"say {OTHER_WORDS[done % len(OTHER_WORDS)] if word == OTHER else word!r}"
        pcm = _good_take(f"{done + 1} of {takes}: {say}", say, ask, complain, recorder)
        _write_take(where / f"{number}.wav", pcm)
        made.append(where / f"{number}.wav")
    return made


def _take(folder: Path, word: str, number: int) -> Path:
    return path_of(folder, word) / f"{number}.wav"


def _good_take(
    first: str,
    say: str,
    ask: Callable[[str], None],
    complain: Callable[[str], None],
    recorder: Recorder,
) -> NDArray[np.int16]:
    """Record until a take is good: the second with the word."""
    prompt = first
    while True:
        ask(prompt)
        try:
            pcm = loudest_second(recorder(RECORD_SECONDS))
            problem = fault(pcm)
        except DeviceError as error:
            if error.name != "OVERRUN":
                raise
            problem = error.text
        if not problem:
            return pcm
        complain(problem)
        prompt = f"again: {say}"


def _write_take(path: Path, pcm: NDArray[np.int16]) -> None:
    content = io.BytesIO()
    soundfile.write(content, pcm, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    write(path, content.getvalue())


@dataclass(frozen=True)
class Level:
    """How good a microphone's sound is."""

    seconds: float
    rms_dbfs: float
    """Loudness without the offset, in dB of full scale; FLOOR_DBFS for none."""
    peak_dbfs: float
    """Largest sample without the offset, likewise."""
    clipped: float
    """Share of samples at the limit, 0..1."""
    dc: float
    """Mean, as a share of full scale, -1..1."""
    overruns: int
    """Times that samples were lost."""
    ok: bool
    verdict: str


def level(pcm: NDArray[np.int16], overruns: int = 0) -> Level:
    """Judge what a microphone recorded: at least one sample, int16."""
    samples = pcm.astype(np.float64)
    dc = float(samples.mean())
    around = samples - dc
    clipped = float(np.mean(np.abs(samples) >= LOUDEST))
    rms = _dbfs(float(np.sqrt(np.mean(around**2))))
    wrong = wiring(pcm)
    ok = False
    if np.ptp(samples) == 0:
        verdict = "silent: every sample is the same; check how the microphone is connected"
    elif overruns:
        verdict = f"samples were lost, {overruns} times: the board is too slow, or the line"
    elif wrong:
        verdict = wrong
    elif clipped >= CLIPPED_SHARE:
        verdict = "too loud: the sound is clipped; move away, or lower the gain"
    elif abs(dc) >= LARGE_DC * FULL_SCALE:
        verdict = "a large constant offset: check how the microphone is connected"
    elif rms >= QUIET_DBFS and is_steady(pcm):
        verdict = (
            "steady noise, no speech: speak while it is tested; if you did, the microphone only"
            " hisses or hums: check its supply and its clock"
        )
    else:
        ok = True
        verdict = "good"
        if rms < VERY_QUIET_DBFS:
            verdict = "very quiet: fine for a quiet room, else speak while it is tested"
        elif rms < QUIET_DBFS:
            verdict = (
                f"quiet, below {QUIET_DBFS:.0f} dBFS: if you spoke, come closer, or turn the level"
                " up"
            )
        elif (bits := empty_bits(pcm)) >= FEW_BITS:
            verdict = (
                f"good, but the lowest {bits} bits are always 0: a converter of few bits, or"
                " samples that are shifted to the left"
            )
    return Level(
        len(pcm) / SAMPLE_RATE,
        round(rms, 1),
        round(_dbfs(float(np.abs(around).max())), 1),
        round(clipped, 6),
        round(dc / FULL_SCALE, 6),
        overruns,
        ok,
        verdict,
    )


def wiring(pcm: NDArray[np.int16]) -> str | None:
    """What is wrong with the frames of a microphone, by how its samples follow each other."""
    even, odd = pcm[: len(pcm) // 2 * 2].reshape(-1, 2).astype(np.float64).T
    if len(even) < 2:
        return None
    quieter, louder = sorted((float(even.std()), float(odd.std())))
    if quieter < EMPTY_SHARE * louder:
        return (
            "every other sample is empty: an empty channel is read between the samples; take one of"
            " the two channels, and see which one the microphone is set to"
        )
    steps = np.abs(np.diff(pcm.astype(np.int32)))
    same = steps == 0
    first, second = sorted((float(same[::2].mean()), float(same[1::2].mean())))
    if second >= DOUBLED_SHARE and first < DOUBLED_SHARE / 2:
        return (
            "every sample comes twice: both channels are read as one, or at twice the rate; take"
            " one of the two channels"
        )
    at_limit = float(np.mean(np.abs(pcm.astype(np.int32)) >= LOUDEST))
    if float(np.mean(steps >= WRAP)) >= WRAPPED_SHARE and at_limit < SATURATED_SHARE:
        return (
            "loud samples jump to the other end of the scale: bits are shifted, and the highest are"
            " lost; check the word length and where in the frame a sample begins"
        )
    return None


def empty_bits(pcm: NDArray[np.int16]) -> int:
    """How many of the lowest bits are 0 in every sample; 0 if all samples are."""
    used = int(np.bitwise_or.reduce(pcm.astype(np.int32)))
    return (used & -used).bit_length() - 1 if used else 0


def _dbfs(amplitude: float) -> float:
    return max(20 * float(np.log10(max(amplitude, 1e-9) / FULL_SCALE)), FLOOR_DBFS)
