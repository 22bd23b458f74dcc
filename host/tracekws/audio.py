# SPDX-License-Identifier: Apache-2.0
"""Reading of audio files: 16 kHz mono, whatever they are; what is sound in them, and where.

Every form that libsndfile reads goes the same way: floats (1 is full scale), the mean of the
channels, brought to 16 kHz by soxr where the rate is another one, times 32768, rounded to the
nearest integer and held to int16. Samples of 16 bits and less at 16 kHz are exact, longer ones are
rounded. What is brought to 16 kHz mono is logged: CONVERTED, with path and form.
"""

import logging
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.errors import DataError
from tracekws.files import check_regular

LOG = logging.getLogger(__name__)
CONVERTED = "%s: %s"
"""The message that says of a file what form it had."""
SAMPLE_RATE: int = lib.TKWS_SAMPLE_RATE
SHORTEST: int = lib.TKWS_WINDOW + lib.TKWS_HOP
LONGEST = 3600 * SAMPLE_RATE
"""Samples of a recording that is read at once."""
RATES = (4000, 768000)
"""Least and largest rate that sound has; others are of headers that are damaged."""
FULL_SCALE = 32768
OVER_SCALE = 100.0
"""Full scales from which floats are no loud sound, but numbers of another unit."""
FRAME = SAMPLE_RATE // 50
FAINTEST_RMS = 5.0
"""Of the loudest 20 ms: below it nobody speaks (docs/training.md)."""
UNKNOWN_LENGTH = 0x7FFF0000
"""From here on a header's length only says that its writer could not go back to fill it in."""
ENDLESS = 1 << 62
"""Frames from which libsndfile says that a header names no length."""
BLOCK = 1 << 18
"""Numbers that are read at once, of all channels together."""
MARGIN_S = 1
"""Seconds on both sides of a part that the resampling filter hears, many times its length."""
CUT_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.M)
"""What libsndfile notes of a header that promises more bytes than there are."""
OGG_CUT_SHORT = re.compile(r"^Ogg ?: (?:Last page lacks|Junk after the last page)", re.M)
"""What it notes of an Ogg file without the page that is marked as the last, and reads on."""
OTHER_FORMS = {
    "M4A, MP4 or 3GP": re.compile(rb".{4}ftyp", re.S),
    "AAC": re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"),
    "WMA": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "WebM or Matroska": re.compile(rb"\x1a\x45\xdf\xa3"),
    "AMR": re.compile(rb"#!AMR"),
}
"""How files begin that telephones write and libsndfile does not read."""
HEADERLESS = (".raw", ".pcm")


class Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A recording that is read forward only: soundfile seeks after each read, which not all can."""

    def seekable(self) -> bool:
        """No: see the class."""
        return False


class Recording:
    """A recording that is open, as 16 kHz mono.

    Args:
        path: of the file.
        file: the same, open and checked.
    """

    def __init__(self, path: Path, file: Forward) -> None:
        """Nothing is read yet."""
        self._path = path
        self._file = file
        self._frames = int(file.frames)
        self._rate = int(file.samplerate)
        self.samples = (2 * self._frames * SAMPLE_RATE + self._rate) // (2 * self._rate)

    @property
    def form(self) -> str:
        """What it is in its file; empty for what needs no conversion."""
        channels = int(self._file.channels)
        if self._rate == SAMPLE_RATE and channels == 1:
            return ""
        return f"{self._rate} Hz, {channels} channel{'s' if channels > 1 else ''}"

    def floats(self, start: int, count: int) -> NDArray[np.float64]:
        """So many samples from `start` on, 1 being full scale.

        Raises:
            DataError: there are fewer, or some are no numbers, or floats of another unit.
        """
        if self._rate == SAMPLE_RATE:
            pieces, at = self._mono(start, start + count), 0
        elif start + count > self.samples:
            raise DataError(f"{self._path}: {self.samples} samples, and {start + count} are needed")
        else:  # whole seconds, at which both rates have a sample
            first = max(0, start // SAMPLE_RATE - MARGIN_S)
            last = (start + count) // SAMPLE_RATE + 1 + MARGIN_S
            pieces = self._resampled(first * self._rate, min(self._frames, last * self._rate))
            at = first * SAMPLE_RATE - start
        out = np.zeros(count)
        for piece in pieces:
            skipped = max(0, -at)
            wanted = piece[skipped : max(skipped, count - at)]
            out[at + skipped : at + skipped + len(wanted)] = wanted
            at += len(piece)
        return out

    def pcm(self, start: int, count: int) -> NDArray[np.int16]:
        """So many samples from `start` on, int16; the module says how they are made.

        Errors are those of floats().
        """
        samples = self.floats(start, count)
        samples *= FULL_SCALE
        np.rint(samples, out=samples)
        np.clip(samples, -FULL_SCALE, FULL_SCALE - 1, out=samples)
        pcm: NDArray[np.int16] = samples.astype(np.int16)
        return pcm

    def _resampled(self, first: int, last: int) -> Iterator[NDArray[np.float64]]:
        """Frames of the file from first to last at 16 kHz, in pieces."""
        to_16k = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float64", quality="VHQ")
        left = last - first
        for piece in self._mono(first, last):
            left -= len(piece)
            yield to_16k.resample_chunk(piece, last=left == 0)

    def _mono(self, first: int, last: int) -> Iterator[NDArray[np.float64]]:
        """Frames of the file from first to last, the mean of the channels, in pieces."""
        if first:
            self._file.seek(first)
        most = max(1, BLOCK // int(self._file.channels))
        for at in range(first, last, most):
            wanted = min(most, last - at)
            piece = self._file.read(wanted, dtype="float64", always_2d=True)
            if len(piece) < wanted:
                raise DataError(
                    f"{self._path}: its header promises {self._frames} samples, but they end after "
                    f"{at + len(piece)}; record or copy it again, or remove it"
                )
            check_floats(self._path, piece)
            yield piece[:, 0] if piece.shape[1] == 1 else piece.mean(1)


def check_floats(path: Path, samples: NDArray[np.float64]) -> None:
    """Refuse what is no number, or a number of another unit, as a DataError."""
    if not np.isfinite(samples).all():
        raise DataError(
            f"{path}: some samples are no numbers (NaN or infinite); make it again, or remove it"
        )
    if (peak := float(np.abs(samples).max(initial=0))) > OVER_SCALE:
        raise DataError(
            f"{path}: float samples of up to {peak:g}, but 1 is full scale: divide them (by 32768,"
            " if they were 16-bit numbers), or write the file as 16-bit PCM"
        )


def convert_by(path: Path, options: str = "") -> str:
    """The command that makes a WAV file of another form."""
    target = path.with_suffix(".wav")
    if target == path:
        target = path.with_name(f"{path.stem}_converted.wav")
    given, made = shlex.quote(str(path)), shlex.quote(str(target))
    return f"ffmpeg {options}-i {given} -ac 1 -ar 16000 {made}"


def check_readable(path: Path) -> None:
    """Refuse what is sound in a form that libsndfile does not read, as a DataError."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    for name, begin in OTHER_FORMS.items():
        if begin.match(head):
            raise DataError(f"{path}: {name} is not read; convert it with: {convert_by(path)}")
    if path.suffix.lower() in HEADERLESS:
        raise DataError(
            f"{path}: samples without a header, of unknown form; if they are 16-bit, 16 kHz mono, "
            f"convert it with: {convert_by(path, '-f s16le -ar 16000 -ac 1 ')}"
        )


@contextmanager
def recording(path: Path) -> Iterator[Recording]:
    """Open a recording of any rate and any number of channels, one network step long or longer.

    Raises:
        DataError: also for what is not readable within the `with`: the file is missing, not audio,
            of no possible rate, too short, or its header does not fit what follows.
    """
    check_regular(path)
    check_readable(path)
    try:
        with Forward(os.fsencode(path)) as file:
            check_header(path, file)
            opened = Recording(path, file)
            if opened.samples < SHORTEST:
                raise DataError(
                    f"{path}: {opened.samples} samples are too short, the least is {SHORTEST} (35 "
                    "ms): record it again, a second long, or remove it"
                )
            if opened.form:
                LOG.info(CONVERTED, path, opened.form)
            yield opened
    except (OSError, TypeError, ValueError, soundfile.SoundFileError) as error:
        why = error.error_string if isinstance(error, soundfile.LibsndfileError) else error
        raise DataError(
            f"{path}: not readable as audio ({why}): make it again, as WAV, FLAC or Ogg, or "
            "remove it"
        ) from error


def check_header(path: Path, file: Forward) -> None:
    """Refuse a header that does not fit what follows it, as a DataError."""
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
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise DataError(
            f"{path}: its header says {file.samplerate} Hz, and sound has {RATES[0]} to {RATES[1]};"
            " make it again, or remove it"
        )
    n_bytes = path.stat().st_size
    if file.frames >= ENDLESS or (not file.frames and n_bytes > 2 * SHORTEST):
        length = "no length" if file.frames else "a length of 0"
        options = "-ignore_length 1 " if file.format.startswith("WAV") else ""
        raise DataError(
            f"{path}: its header has {length}, and the file {n_bytes} bytes: what wrote it was "
            f"stopped, or wrote into a pipe; mend it with: {convert_by(path, options)}"
        )


def form_of(path: Path) -> str:
    """What a recording is in its file, as "44100 Hz, 2 channels"; empty for 16 kHz mono.

    See recording() for errors.
    """
    with recording(path) as file:
        return file.form


def check_format(path: Path) -> int:
    """Samples of a recording at 16 kHz, as its header says; see recording() for errors."""
    with recording(path) as file:
        return file.samples


def read_part(path: Path, start: int, count: int) -> NDArray[np.int16]:
    """So many samples of a recording of any length from `start` on, int16 at 16 kHz.

    Raises:
        DataError: they are not there, or as for recording().
    """
    with recording(path) as file:
        return file.pcm(start, count)


def read_clip(path: Path | str) -> NDArray[np.int16]:
    """Samples of a recording of any form, any rate and any number of channels.

    Example:
        >>> from tracekws import Model, Recognizer, read_clip
        >>> events = Recognizer(Model.load("base")).push(read_clip("take.wav"))

    Args:
        path: of the file, 35 ms to an hour long.

    Returns:
        int16 (samples,), 16 kHz; samples of a 16-bit file that is 16 kHz mono as they are.

    Raises:
        DataError: it is longer than an hour, or as for recording().
    """
    path = Path(path)
    with recording(path) as file:
        if file.samples > LONGEST:
            raise DataError(f"{path}: longer than an hour; cut it into pieces")
        return file.pcm(0, file.samples)


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
