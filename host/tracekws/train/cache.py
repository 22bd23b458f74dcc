# SPDX-License-Identifier: Apache-2.0
"""Mel energies of the clips, as they are and with changed waveforms, kept on disk.

A file holds a copy of all clips as log2 in Q10, uint16: half the size of float32, and the front
end itself looks at energies with no more digits (0.07 % of them), so that features are the same to
a rare last bit.
"""

import hashlib
import json
import os
from concurrent.futures import Executor
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tracekws.core import CHANNELS, energies
from tracekws.data import Progress
from tracekws.errors import DataError
from tracekws.train import augment
from tracekws.train.augment import FRAMES

CHUNK = 256
"""Clips of a piece of work."""
ENERGIES = np.exp2(np.arange(1 << 16) / 1024).astype(np.float32)
"""What each code stands for; 0 is also that of no energy, which the front end takes as 1."""


def encode(values: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Energies as they are kept."""
    logarithms = np.log2(np.maximum(values, 1).astype(np.float64))
    codes: NDArray[np.uint16] = np.minimum(np.rint(1024 * logarithms), 65535).astype(np.uint16)
    return codes


def decode(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Energies that are kept."""
    values: NDArray[np.float32] = ENERGIES[codes]
    return values


@cache
def front_end_version() -> str:
    """What energies depend on besides the clips: the front end's answer to a chirp."""
    t = np.arange(16000) / 16000
    chirp = (8000 * np.sin(2 * np.pi * (100 + 3000 * t) * t)).astype(np.int16)
    return hashlib.sha256(energies(chirp).tobytes()).hexdigest()[:16]


def write_chunk(
    path: Path, first: int, pcm: NDArray[np.int16], copy: int, stretch: float, seed: int
) -> None:
    """Make a part of a copy: that of the clips from `first` on. Copy 0 is the clips as they are."""
    if copy:
        rngs = [np.random.default_rng([seed, copy, first + row]) for row in range(len(pcm))]
        pcm = np.stack(
            [augment.stretched(x, stretch, rng) for x, rng in zip(pcm, rngs, strict=True)]
        )
    file = open_memmap(path, mode="r+")
    file[first : first + len(pcm)] = encode(energies(pcm))
    file.flush()


def paths(
    folder: Path, pcm: NDArray[np.int16], copies: int, stretch: float, seed: int
) -> list[Path]:
    """Files of the copies, named by all that is in them."""
    digest = hashlib.sha256(pcm.tobytes()).hexdigest()
    settings = {
        "front_end": front_end_version(),
        "clips": digest,
        "stretch": stretch,
        "seed": seed,
    }
    out = []
    for copy in range(copies):
        # the clips as they are do not depend on how others are changed
        kept = settings if copy else {**settings, "stretch": 0, "seed": 0}
        text = json.dumps({**kept, "copy": copy}, sort_keys=True)
        out.append(folder / f"energies-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy")
    return out


def make_room(path: Path, shape: tuple[int, ...]) -> None:
    """Make a file of zeros that has its room on disk: a map of one without it ends the process.

    Raises:
        DataError: there is no room.
    """
    try:
        open_memmap(path, mode="w+", dtype=np.uint16, shape=shape).flush()
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def fill(
    files: list[Path],
    pcm: NDArray[np.int16],
    stretch: float,
    seed: int,
    pool: Executor,
    progress: Progress,
) -> None:
    """Make the files of paths() that are not there; a reader never sees half of one.

    Raises:
        DataError: there is no room for one.
    """
    firsts = range(0, len(pcm), CHUNK)
    missing = [(copy, path) for copy, path in enumerate(files) if not path.exists()]
    for done, (copy, path) in enumerate(missing):
        part = path.with_suffix(f".{os.getpid()}.part")
        make_room(part, (len(pcm), FRAMES, CHANNELS))
        try:
            jobs = [
                pool.submit(
                    write_chunk, part, first, pcm[first : first + CHUNK], copy, stretch, seed
                )
                for first in firsts
            ]
            for number, job in enumerate(jobs):
                job.result()
                progress(done * len(jobs) + number + 1, len(missing) * len(jobs))
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
