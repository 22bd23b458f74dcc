# SPDX-License-Identifier: Apache-2.0
"""Reading of audio files: 16 kHz mono, or a clear refusal; what is sound in them, and where.

Every form that libsndfile reads goes the same way: floats (1 is full scale) times 32768, rounded to
the nearest integer and held to int16. Samples of 16 bits and less are exact, longer ones are
rounded.
"""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.errors import DataError
from tracekws.files import check_regular

SAMPLE_RATE: int = lib.TKWS_SAMPLE_RATE
SHORTEST: int = lib.TKWS_WINDOW + lib.TKWS_HOP
LONGEST = 3600 * SAMPLE_RATE
"""Samples of a recording that is read at once."""
FULL_SCALE = 32768
OVER_SCALE = 100.0
"""Full scales from which floats are no loud sound, but numbers of another unit."""
FRAME = SAMPLE_RATE // 50
FAINTEST_RMS = 5.0
"""Of the loudest 20 ms: below it nobody speaks (docs/training.md)."""
UNKNOWN_LENGTH = 0x7FFF0000
"""From here on a header's length only says that its writer could not go back to fill it in."""
CUT_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.M)
"""What libsndfile notes of a header that promises more bytes than there are."""
OGG_CUT_SHORT = re.compile(r"^Ogg ?: (?:Last page lacks|Junk after the last page)", re.M)
"""What it notes of an Ogg file without the page that is marked as the last, and reads on."""


class Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A recording that is read forward only: soundfile seeks after each read, which not all can."""

    def seekable(self) -> bool:
        """No: see the class."""
        return False


@contextmanager
def recording(path: Path) -> Iterator[Forward]:
    """Open a recording that is 16 kHz mono and at least one network step long.

    Raises:
        DataError: also for what is not readable within the `with`: the file is missing, not audio,
            of another rate, not mono, too short, or its header does not fit what follows.
    """
    if not os.path.exists(path):
        raise DataError(f"{path}: there is no such file")
    check_regular(path)
    try:
        with Forward(os.fsencode(path)) as file:
            if cut := CUT_SHORT.search(file.extra_info):
                promised, there = map(int, cut.groups())
                if there < promised < UNKNOWN_LENGTH:
                    raise DataError(
                        f"{path}: cut short: its header promises {promised} bytes of sound, "
                        f"{there} are there; record or copy it again, or remove it"
                    )
            if OGG_CUT_SHORT.search(file.extra_info):
                raise DataError(
                    f"{path}: cut short: its last page is missing or not whole; "
                    "record or copy it again, or remove it"
                )
            check_numbers(path, file.samplerate, file.channels, file.frames)
            yield file
    except (OSError, TypeError, ValueError, soundfile.SoundFileError) as error:
        raise DataError(
            f"{path}: not readable as audio ({error}): make it again, as WAV, FLAC or Ogg, or "
            "remove it"
        ) from error


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


def read_floats(path: Path, file: Forward, count: int) -> NDArray[np.float64]:
    """The next samples of an open recording, 1 being full scale.

    Raises:
        DataError: there are fewer, or some are no numbers, or floats of another unit.
    """
    samples: NDArray[np.float64] = file.read(count, dtype="float64")
    if len(samples) < count:
        raise DataError(
            f"{path}: its header promises {file.frames} samples, but they end after "
            f"{file.frames - count + len(samples)}; record or copy it again, or remove it"
        )
    if not np.isfinite(samples).all():
        raise DataError(
            f"{path}: some samples are no numbers (NaN or infinite); make it again, or remove it"
        )
    if (peak := float(np.abs(samples).max(initial=0))) > OVER_SCALE:
        raise DataError(
            f"{path}: float samples of up to {peak:g}, but 1 is full scale: divide them (by 32768,"
            " if they were 16-bit numbers), or write the file as 16-bit PCM"
        )
    return samples


def read_samples(path: Path, file: Forward, count: int) -> NDArray[np.int16]:
    """The next samples of an open recording, int16; the module says how they are made.

    Errors are those of read_floats().
    """
    samples = read_floats(path, file, count)
    samples *= FULL_SCALE
    np.rint(samples, out=samples)
    np.clip(samples, -FULL_SCALE, FULL_SCALE - 1, out=samples)
    pcm: NDArray[np.int16] = samples.astype(np.int16)
    return pcm


def check_format(path: Path) -> int:
    """Samples of a recording, as its header says; see recording() for errors."""
    with recording(path) as file:
        return int(file.frames)


def read_part(path: Path, start: int, count: int) -> NDArray[np.int16]:
    """So many samples of a recording of any length from `start` on, int16 at 16 kHz.

    Raises:
        DataError: they are not there, or as for recording().
    """
    with recording(path) as file:
        file.seek(start)
        return read_samples(path, file, count)


def read_clip(path: Path) -> NDArray[np.int16]:
    """Samples of a recording, int16 at 16 kHz, of any length from one network step (35 ms).

    Raises:
        DataError: it is longer than an hour, or as for recording().
    """
    with recording(path) as file:
        if file.frames > LONGEST:
            raise DataError(f"{path}: longer than an hour; cut it into pieces")
        return read_samples(path, file, file.frames)


def is_silent(pcm: NDArray[np.int16]) -> bool:
    """Whether nobody speaks in a recording: its loudest 20 ms, its mean aside, are below a level.

    Args:
        pcm: int16, at least 20 ms, without zeros that were added.
    """
    sound = pcm - pcm.mean(dtype=np.float64)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return bool(np.square(frames).mean(1).max() < FAINTEST_RMS**2)


def loudest_second(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """Cut the second with the most energy out of a recording; a shorter one stays as it is."""
    if len(pcm) <= SAMPLE_RATE:
        return pcm
    energy = np.concatenate([[0.0], np.cumsum(pcm.astype(np.float64) ** 2)])
    at = int(np.argmax(energy[SAMPLE_RATE:] - energy[:-SAMPLE_RATE]))
    return pcm[at : at + SAMPLE_RATE]


def one_second(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """A clip as models hear it: the loudest second, or zeros behind a shorter recording."""
    return np.pad(loudest_second(pcm), (0, max(0, SAMPLE_RATE - len(pcm))))
