# SPDX-License-Identifier: Apache-2.0
"""Getting Speech Commands: by torchaudio's data set where torchaudio imports, else by pooch.

What pooch has fetched stays when it breaks off, and the next time goes on from there; torchaudio
begins anew. Either way the archive's checksum is compared, and the tree is where torchaudio puts
it, FOLDER/SpeechCommands/speech_commands_v0.02, so that its data set finds it.
"""

import hashlib
import importlib
import os
import shutil
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from tracekws.data import Progress, Stage
from tracekws.errors import DataError, MissingTool
from tracekws.files import MIB, check_folder
from tracekws.shipped import install_command

BLOCK = 4 * MIB
CHUNK = MIB // 16
TIMEOUT_S = 60
"""Without a byte, after which a download has broken off."""
SET_FOLDER = "SpeechCommands"
"""Of torchaudio's data set."""


@dataclass(frozen=True)
class Archive:
    """An archive of a data set, and what it needs."""

    name: str
    """Of the tree in it, which torchaudio's data set knows it by."""
    url: str
    sha256: str
    n_bytes: int
    tree_bytes: int
    """What the unpacked tree takes on a disk."""


SPEECH_COMMANDS = Archive(
    "speech_commands_v0.02",
    "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    2_428_923_189,
    3_600_000_000,
)
"""The checksum is the one that torchaudio publishes."""


@dataclass(frozen=True)
class Fetched:
    """A data set that is there."""

    tree: Path
    by: str
    """What fetched it: torchaudio or pooch; empty if it was there before."""


def get(
    folder: Path,
    archive: Archive = SPEECH_COMMANDS,
    stage: Stage = lambda name: lambda done, total: None,
) -> Fetched:
    """Fetch and unpack a data set; what is there already is not fetched again.

    Args:
        folder: where the archive is stored meanwhile, and the tree in SpeechCommands.
        archive: what is fetched.
        stage: gives, for the name of a stage, what its progress is reported to, in MiB.

    Raises:
        DataError: the folder cannot be written or its disk has too little room, the download broke
            off, or what came is not what it should be.
        MissingTool: neither torchaudio nor pooch is installed.
    """
    tree = folder / SET_FOLDER / archive.name
    if tree.is_dir():
        return Fetched(tree, "")
    torchaudio = _torchaudio()
    pooch = None if torchaudio else _pooch()
    check_folder(folder)
    part = folder / f"{archive.name}.tar.gz.part"
    _check_room(folder, archive, part.stat().st_size if part.is_file() else 0)
    if torchaudio:
        _by_torchaudio(torchaudio, folder, archive)
        if not tree.is_dir():
            raise DataError(f"{tree}: torchaudio did not make it; unpack the archive there")
        return Fetched(tree, "torchaudio")
    _by_pooch(pooch, part, archive, stage("downloading, MiB"))
    _check_sum(part, archive, stage("checking, MiB"))
    _unpack(part, tree, archive, stage("unpacking, MiB"))
    part.unlink()
    return Fetched(tree, "pooch")


def _torchaudio() -> ModuleType | None:
    """Import torchaudio, if it is there and fits the torch that is beside it."""
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError, AttributeError):
        return None


def _pooch() -> ModuleType:
    try:
        return importlib.import_module("pooch")
    except ImportError as error:
        raise MissingTool(
            f"getting data needs pooch; install it with: {install_command('data')}"
        ) from error


def _check_room(folder: Path, archive: Archive, there: int) -> None:
    """See that the archive and the tree have room, as a DataError if not."""
    needed = max(0, archive.n_bytes - there) + archive.tree_bytes
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {needed / 1e9:.1f} GB are needed for the archive and what is in it, and"
            f" {free / 1e9:.1f} GB are free; make room, or name a folder on another disk"
        )


def _by_torchaudio(torchaudio: Any, folder: Path, archive: Archive) -> None:
    """Let torchaudio's data set fetch, check and unpack the archive."""
    try:
        torchaudio.datasets.SPEECHCOMMANDS(
            str(folder), url=archive.name, folder_in_archive=SET_FOLDER, download=True
        )
    except (OSError, RuntimeError) as error:
        raise DataError(f"{archive.name}: torchaudio could not fetch it ({error})") from error


class _Meter:
    """What pooch tells how much has come."""

    def __init__(self, before: int, total: int, progress: Progress) -> None:
        self.total = total  # pooch writes what the server says here
        self._progress = progress
        self._wanted = total
        self._before = before
        self._done = 0

    def update(self, count: int) -> None:
        self._done += count
        done = min(self._wanted, self._before + self._done)
        self._progress(done // MIB, self._wanted // MIB)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _by_pooch(pooch: Any, part: Path, archive: Archive, progress: Progress) -> None:
    """Fetch what is not there yet.

    Raises:
        DataError: it broke off; what has come stays in the file.
    """
    try:
        with part.open("ab") as file, ExitStack() as answers:
            there = file.tell()
            if there >= archive.n_bytes:
                return

            def look(response: Any, *rest: Any, **more: Any) -> None:
                """A server that sends all of it does not go on where it broke off."""
                answers.callback(response.close)
                if response.status_code == 200:
                    file.truncate(0)

            meter = _Meter(there, archive.n_bytes, progress)
            headers = {"Range": f"bytes={there}-"} if there else {}
            fetch = pooch.HTTPDownloader(
                progressbar=meter,
                chunk_size=CHUNK,
                timeout=TIMEOUT_S,
                headers=headers | {"Accept-Encoding": "identity"},
                hooks={"response": look},
            )
            fetch(archive.url, file, None)
    except (OSError, ValueError) as error:  # those of requests are of the former kind
        raise _broke_off(part, archive, _reason(error)) from error
    if part.stat().st_size < archive.n_bytes:
        raise _broke_off(part, archive, "the server sent less than it should")


def _reason(error: BaseException) -> str:
    """What is at the bottom of an error, without what was tried around it."""
    while below := error.__cause__ or error.__context__:
        error = below
    return str(error)


def _broke_off(part: Path, archive: Archive, why: str) -> DataError:
    there = part.stat().st_size if part.is_file() else 0
    return DataError(
        f"{archive.url}: broke off after {there / MIB:.0f} of {archive.n_bytes / MIB:.0f} MiB"
        f" ({why}); the same command goes on from there"
    )


def _check_sum(part: Path, archive: Archive, progress: Progress) -> None:
    """Compare the checksum; what is wrong is removed.

    Raises:
        DataError: it is another one.
    """
    sha = hashlib.sha256()
    done = 0
    with part.open("rb") as file:
        while block := file.read(BLOCK):
            sha.update(block)
            done += len(block)
            progress(done // MIB, archive.n_bytes // MIB)
    if sha.hexdigest() != archive.sha256:
        part.unlink()
        raise DataError(
            f"{archive.url}: what came has another checksum, and was removed: start the same"
            " command again; if it ends so again, something on the way changes it"
        )


def _unpack(part: Path, tree: Path, archive: Archive, progress: Progress) -> None:
    """Unpack the archive: the tree appears complete, or not at all.

    Raises:
        DataError: it cannot be written, or the archive holds what it must not.
    """
    unfinished = tree.with_name(f".{tree.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with part.open("rb") as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
            for member in tar:
                _unpack_one(tar, member, unfinished)
                progress(file.tell() // MIB, archive.n_bytes // MIB)
        os.replace(unfinished, tree)
    except (OSError, tarfile.TarError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise DataError(
            f"{tree}: the archive could not be unpacked ({error}); it is kept: the same command"
            " tries again"
        ) from error


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one file of an archive into a folder; folders are made for files, links are left out.

    Raises:
        TarError: its name leads out of the folder.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise tarfile.TarError(f"it names {member.name!r}, which is outside")
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        return
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
