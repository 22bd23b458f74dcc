# SPDX-License-Identifier: Apache-2.0
"""The microphone: a stream for listening, and guided recording of takes.

sounddevice is imported when it is needed, since it is optional and wants a system library.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE
from tracekws.device.takes import OTHER, loudest_second
from tracekws.errors import DataError, TraceKwsError

TAKES = 3
OTHER_TAKES = 5
OTHER_WORDS = ("coffee", "window", "seven", "happy", "table")
"""What the guided recording asks for in `_other`; anything that is no keyword would do."""
RECORD_SECONDS = 2.0
QUIET_RMS = 60.0
LOUDEST = 32700

Recorder = Callable[[float], NDArray[np.int16]]
"""Records that many seconds: int16 at 16 kHz."""


def sounddevice() -> Any:
    """Import sounddevice, or raise TraceKwsError that says what to install."""
    try:
        import sounddevice as module
    except ImportError as error:
        raise TraceKwsError(
            "the microphone needs the package sounddevice: pip install sounddevice"
        ) from error
    except OSError as error:
        raise TraceKwsError(
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

    Raises TraceKwsError when there is no microphone.
    """
    module = sounddevice()
    chunks: queue.Queue[NDArray[np.int16]] = queue.Queue()

    def take(data: NDArray[np.int16], frames: int, time: object, status: object) -> None:
        chunks.put(data[:, 0].copy())

    try:
        with module.InputStream(
            samplerate=SAMPLE_RATE, channels=1, dtype="int16", blocksize=chunk, callback=take
        ):
            while True:
                yield chunks.get()
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
    """Say what is wrong with a take: too quiet or too loud; None when it is good."""
    if np.sqrt(np.mean(pcm.astype(np.float64) ** 2)) < QUIET_RMS:
        return "nothing was heard: speak louder, or check the microphone"
    if np.count_nonzero(np.abs(pcm.astype(np.int32)) >= LOUDEST) > 8:
        return "too loud, the recording is clipped: speak softer, or move away"
    return None


def record_takes(
    folder: Path,
    words: Sequence[str],
    *,
    ask: Callable[[str], None],
    complain: Callable[[str], None],
    recorder: Recorder,
) -> int:
    """Record takes of words, and of other words, into a folder as `read_takes` reads it.

    Each take is on disk before the next is asked for.  Takes that the folder has already count, so
    that an interrupted recording goes on where it stopped.  `ask` prompts and waits until the
    speaker is ready; `complain` says why a take is asked for again.

    Returns the number of new takes.  Raises TraceKwsError without a microphone, DataError when the
    folder cannot be written.
    """
    wanted = [(word, word, number) for word in words for number in range(1, TAKES + 1)]
    wanted += [(OTHER, OTHER_WORDS[n - 1], n) for n in range(1, OTHER_TAKES + 1)]
    missing = [take for take in wanted if not (folder / take[0] / f"{take[2]}.wav").exists()]
    for done, (name, word, number) in enumerate(missing):
        path = folder / name / f"{number}.wav"
        ask(f"{done + 1} of {len(missing)}: say {word!r}")
        while problem := fault(pcm := loudest_second(recorder(RECORD_SECONDS))):
            complain(problem)
            ask(f"again: say {word!r}")
        scratch = path.with_name(f".{number}.part")  # hidden: read_takes leaves it out
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(scratch, pcm, SAMPLE_RATE, subtype="PCM_16", format="WAV")
            scratch.replace(path)
        except (OSError, soundfile.SoundFileError) as error:
            with suppress(OSError):
                scratch.unlink()
            raise DataError(f"{path}: cannot be written ({error})") from error
    return len(missing)
