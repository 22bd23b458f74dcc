# SPDX-License-Identifier: Apache-2.0
"""How a command ends: its exit status, and what it says of an error to a program."""

from __future__ import annotations

import sys
from contextlib import suppress

from tracekws.cli.console import check_output, json_text, printing, say, talk
from tracekws.errors import (
    BusyError,
    DataError,
    DeviceError,
    MissingTool,
    ModelError,
    NoDeviceError,
    ProtocolError,
    StorageError,
    TraceKwsError,
    VersionError,
)

EXITS = {
    0: "done",
    1: "failed: the error says why; or a check found something wrong",
    2: "wrong usage",
    3: "no device, or another program has it",
    4: "the device refused, or its line failed",
    130: "ended by Ctrl-C",
}
"""Exit statuses, and what they mean."""


class UsageError(TraceKwsError):
    """The command was typed wrongly."""


NAMES: tuple[tuple[type[Exception], str], ...] = (
    (UsageError, "USAGE"),
    (BusyError, "BUSY_LINE"),
    (NoDeviceError, "NO_DEVICE"),
    (VersionError, "VERSION"),
    (ProtocolError, "PROTOCOL"),
    (MissingTool, "MISSING_TOOL"),
    (ModelError, "MODEL"),
    (DataError, "DATA"),
    (OSError, "FILE"),
)
"""Names of errors, the more particular kinds first; those of a device have the device's names."""
FAILED = "FAILED"


def exit_code(error: Exception) -> int:
    """Exit status of an error."""
    if isinstance(error, UsageError):
        return 2
    if isinstance(error, NoDeviceError):
        return 3
    if isinstance(error, DeviceError | ProtocolError | StorageError):
        return 4
    return 1


def name_of(error: Exception) -> str:
    """Name of an error, for programs."""
    if isinstance(error, DeviceError):
        return error.name
    return next((name for kind, name in NAMES if isinstance(error, kind)), FAILED)


def error_object(code: int, name: str, text: str) -> dict[str, object]:
    """What a program is told of an error: exit status, name, text."""
    return {"error": {"code": code, "name": name, "text": text}}


def wants_json() -> bool:
    """Whether the command line asks for JSON, even one that cannot be parsed."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def tell_error(code: int, name: str, text: str) -> None:
    """Print an error as one line of JSON, where JSON is wanted and standard output takes it."""
    if wants_json():
        line = json_text(error_object(code, name, text))
        with suppress(TraceKwsError):
            check_output(len(line) + 1)
            with printing():
                print(line)


def say_error(error: Exception, text: str, told: bool = False) -> int:
    """Print an error as the one line that it is; names of files may have ends of lines in them.

    Args:
        error: what happened.
        text: what is said of it.
        told: whether a program has been told already, in the object of the command.

    Returns:
        Its exit status.
    """
    code = exit_code(error)
    if not told:
        tell_error(code, name_of(error), text)
    say(talk, "error: " + text.replace("\n", "\\n"))
    return code
