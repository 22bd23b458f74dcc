# SPDX-License-Identifier: Apache-2.0
"""Files that the user names: read with a bound, written completely or not at all."""

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from tracekws.errors import DataError, TraceKwsError

JsonObject = dict[str, Any]
"""Of a file of JSON: values by their names."""
MIB = 1 << 20
TEXT_BYTES = 16 * MIB
"""Most of a list, a table, settings or a card."""
ROOM = 1 << 16
"""Bytes that a folder must take before work begins whose result goes there."""
LOCK_TRIES = 200
"""How often a lock that another program has is asked for."""
LOCK_PAUSE = 0.05
"""Seconds from one time to the next."""


def state_folder() -> Path:
    """The user's folder for state, made when it is missing (XDG_STATE_HOME).

    Raises:
        TraceKwsError: it cannot be made.
    """
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not named.is_absolute():  # as the specification of these folders has it
        try:
            named = Path.home() / ".local" / "state"
        except RuntimeError as error:
            raise TraceKwsError(
                "there is no home directory; set XDG_STATE_HOME to a folder that can be written"
            ) from error
    folder = named / "tracekws"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceKwsError(
            f"{folder}: {error.strerror}; set XDG_STATE_HOME to a folder that can be written"
        ) from error
    return folder


def check_regular(path: Path) -> None:
    """See that there is a file, and that reading it comes to an end.

    Raises:
        DataError: there is none, or it is a folder, a pipe or a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{path}: this is a folder; name a file")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: this is a pipe or a device; save what it gives, name that file")


def read_bytes(path: Path, most: int) -> bytes:
    """Content of a file of at most so many bytes.

    Raises:
        DataError: it cannot be read, is larger, or is no regular file.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if len(content) > most:
        raise DataError(f"{path}: larger than {most / MIB:g} MiB, so not what is expected here")
    return content


def read_text(path: Path, most: int = TEXT_BYTES) -> str:
    """Content of a text file in UTF-8, without a byte-order mark.

    Raises:
        DataError: it cannot be read, is larger than `most` bytes, or is no UTF-8 text.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save it as UTF-8") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or nested deeper than Python follows.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def write(path: Path, content: bytes, private: bool = False) -> None:
    """Write a file: it appears complete, or what was there stays; see write_all().

    Raises:
        DataError: it cannot be written.
    """
    write_all({path: content}, private)


def write_all(contents: Mapping[Path, bytes], private: bool = False) -> None:
    """Write files that belong together: all are on disk before the first one takes its name.

    What a link points to is written, and the link stays; a file that is there keeps its mode.
    `private` files are for no other account to read.

    Raises:
        DataError: one cannot be written; what was there stays.
    """
    ends = {path: path.resolve() for path in contents}
    parts = {path: end.with_name(f".{end.name}.{os.getpid()}.part") for path, end in ends.items()}
    path = Path()
    try:
        for path, part in parts.items():
            with part.open("wb") as file:
                if private:
                    os.fchmod(file.fileno(), 0o600)
                elif ends[path].exists():
                    os.fchmod(file.fileno(), stat.S_IMODE(ends[path].stat().st_mode))
                file.write(contents[path])
                file.flush()
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(ends[path])
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()


def check_file(path: Path) -> None:
    """See that a path is of a file, or of nothing yet, before it is opened to be changed.

    Raises:
        DataError: it is a folder, a device or a pipe.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: this is not a file")


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Keep others out who lock the same file, in this process or another.

    Args:
        path: of the file, which is made when it is missing, stays empty, and is left there.
        what: it stands for, for errors.

    Raises:
        DataError: another program has it and keeps it, or it cannot be made or locked.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    try:
        _take_lock(file, path, what)
        yield
    finally:
        os.close(file)  # and the lock goes with it


def _take_lock(file: int, path: Path, what: str) -> None:
    """Lock an open file as soon as nobody else has it. Errors are those of locked()."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if not left:
                raise DataError(
                    f"{path}: another program is changing {what} and does not end: end it, or"
                    " try again"
                ) from error
        except OSError as error:
            raise DataError(f"{path}: cannot be locked ({error.strerror})") from error
        time.sleep(LOCK_PAUSE)


def check_folder(folder: Path) -> None:
    """Make a folder, and see that files can be written into it.

    Raises:
        DataError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM))
            file.flush()
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def check_writable(path: Path) -> None:
    """See, before the work begins, that its result can be written under a name.

    Raises:
        DataError: there is no such folder, it takes no file, or the name is that of something else.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise DataError(f"{path}: there is no such folder to write into; make it first")
    if path.exists():
        check_regular(path)
    check_folder(folder)
