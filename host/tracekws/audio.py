# SPDX-License-Identifier: Apache-2.0
"""Reading of audio files: 16 kHz mono, or a clear refusal."""

import shlex
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.errors import DataError

SAMPLE_RATE: int = lib.TKWS_SAMPLE_RATE
SHORTEST: int = lib.TKWS_WINDOW + lib.TKWS_HOP


def check_format(path: Path) -> int:
    """Samples of a recording that is 16 kHz mono and at least one network step long.

    Raises:
        DataError: the file is missing, not audio, of another rate, not mono, or too short.
    """
    try:
        about = soundfile.info(path)
    except (OSError, UnicodeEncodeError, soundfile.SoundFileError) as error:
        raise unreadable(path, error) from error
    check_numbers(path, about.samplerate, about.channels, about.frames)
    return int(about.frames)


def unreadable(path: Path, error: Exception) -> DataError:
    """What to say of a file that could not be read."""
    reason = (
        f"not readable as audio ({error}): make it again, as WAV, FLAC or Ogg, or remove it"
        if path.exists()
        else "there is no such file"
    )
    return DataError(f"{path}: {reason}")


def check_numbers(path: Path, rate: int, channels: int, samples: int) -> None:
    """Refuse another rate, several channels, and what is too short, as a DataError."""
    if rate != SAMPLE_RATE or channels != 1:
        raise DataError(
            f"{path}: {rate} Hz with {channels} channel(s), but 16000 Hz mono is needed; "
            f"convert it with: sox {shlex.quote(str(path))} -r 16000 -c 1 -b 16 converted.wav"
        )
    if samples < SHORTEST:
        raise DataError(
            f"{path}: {samples} samples are too short, the least is {SHORTEST} (35 ms): "
            f"record it again, a second long, or remove it"
        )


def read_clip(path: Path) -> NDArray[np.int16]:
    """Samples of a recording, int16 at 16 kHz, of any length from one network step (35 ms).

    Raises:
        DataError: the file is missing, not audio, of another rate, not mono, or too short.
    """
    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (OSError, UnicodeEncodeError, soundfile.SoundFileError) as error:
        raise unreadable(path, error) from error
    check_numbers(path, rate, samples.shape[1], len(samples))
    return np.ascontiguousarray(samples[:, 0])
