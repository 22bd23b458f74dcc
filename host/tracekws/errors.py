# SPDX-License-Identifier: Apache-2.0
"""Every error of the package, and how a result of the C core or of a device becomes one."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from tracekws._core import ffi as _untyped_ffi
from tracekws._core import lib as _untyped_lib

_lib: Any = _untyped_lib
_ffi: Any = _untyped_ffi

_MODEL_CODES = range(-63, -31)
_DEVICE_CODES = range(-95, -63)
_STORAGE_NAMES = frozenset(
    {"STORAGE", "NO_SAVED", "NO_UNDO", "SLOT_FULL", "IMAGE_FULL", "NEWER_FORMAT"}
)


class ErrorEntry(NamedTuple):
    """One row of the firmware's error table."""

    code: int
    name: str
    text: str


class TraceKwsError(Exception):
    """Any error that this package raises on purpose; its text is one clear line."""


class DeviceError(TraceKwsError):
    """The device refused a request.

    `code` is the number, `name` the word and `text` the sentence of the firmware's error table.
    """

    def __init__(self, code: int, name: str, text: str) -> None:
        """Keep the three parts; the message is `text`."""
        super().__init__(text)
        self.code = code
        self.name = name
        self.text = text

    def __reduce__(self) -> tuple[type[DeviceError], tuple[int, str, str]]:
        """Survive pickling between processes."""
        return type(self), (self.code, self.name, self.text)


class StorageError(DeviceError):
    """The device could not save, or has nothing saved to go back to."""


class ProtocolError(TraceKwsError):
    """What answers is not a TraceKWS device of this protocol version, or the line fails."""


class VersionError(ProtocolError):
    """A device answers, but speaks another version of the protocol."""


class MissingTool(TraceKwsError):
    """A package, a compiler or an emulator is not installed; the text says how to get it."""


class NoDeviceError(TraceKwsError):
    """No device was found, or it does not answer."""


class BusyError(NoDeviceError):
    """Another program has the line; the text names it where that can be seen."""


class ModelError(TraceKwsError):
    """A model image was refused; the text names the bad field."""


class DataError(TraceKwsError):
    """Recordings or other data files are not usable."""


@cache
def table() -> dict[int, ErrorEntry]:
    """Give the firmware's error table (errors.def) by number."""
    rows = (_lib.tkws_error_table[i] for i in range(_lib.tkws_error_count))
    entries = (
        ErrorEntry(int(row.number), _ffi.string(row.name).decode(), _ffi.string(row.text).decode())
        for row in rows
    )
    return {entry.code: entry for entry in entries}


def code(name: str) -> int:
    """Give the number of an error by its name, for example ``code("LABEL")``."""
    return next(entry.code for entry in table().values() if entry.name == name)


def from_code(number: int) -> TraceKwsError:
    """Make the exception for a negative result of the core."""
    entry = table().get(number) or ErrorEntry(number, "UNKNOWN", f"unknown error {number}")
    if number in _MODEL_CODES:
        return ModelError(entry.text)
    if number in _DEVICE_CODES:
        return device_error(number)
    return TraceKwsError(entry.text)


def device_error(number: int) -> DeviceError:
    """Make the exception for an error that a device answered, of whatever range."""
    entry = table().get(number) or ErrorEntry(
        number,
        "UNKNOWN",
        f"the device answered with error {number}, which this version does not know",
    )
    kind = StorageError if entry.name in _STORAGE_NAMES else DeviceError
    return kind(*entry)


def check(result: int) -> int:
    """Give back a result of the core that is 0 or a count; raise for a negative one.

    Raises ModelError (-32..-63), DeviceError (-64..-95) or TraceKwsError.
    """
    if result < 0:
        raise from_code(result)
    return result
