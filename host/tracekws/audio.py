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


def read_clip(path: Path) -> NDArray[np.int16]:
    """Samples of a recording, int16 at 16 kHz, of any length from one network step (35 ms).

    Raises:
        DataError: the file is missing, not audio, of another rate, not mono, or too short.
    """
    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        reason = (
            f"not readable as audio ({error}): make it again, as WAV, FLAC or Ogg, or remove it"
            if path.exists()
            else "there is no such file"
        )
        raise DataError(f"{path}: {reason}") from error
    channels = samples.shape[1]
    if rate != SAMPLE_RATE or channels != 1:
        raise DataError(
            f"{path}: {rate} Hz with {channels} channel(s), but 16000 Hz mono is needed; "
            f"convert it with: sox {shlex.quote(str(path))} -r 16000 -c 1 -b 16 converted.wav"
        )
    if len(samples) < SHORTEST:
        raise DataError(
            f"{path}: {len(samples)} samples are too short, the least is {SHORTEST} (35 ms): "
            f"record it again, a second long, or remove it"
        )
    return np.ascontiguousarray(samples[:, 0])
