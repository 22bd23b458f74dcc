# SPDX-License-Identifier: Apache-2.0
"""What this machine has and lacks for TraceKWS, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracekws.boards.emulator import built_firmware
from tracekws.boards.flash import INSTALL, find_tool
from tracekws.boards.parts import MACHINES
from tracekws.boards.virtual import board_program
from tracekws.device import microphone
from tracekws.device.discover import candidates
from tracekws.errors import TraceKwsError
from tracekws.shipped import find_checkout, install_command

OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Check:
    """One thing that was looked for; `advice` says what to do where it is missing."""

    name: str
    ok: bool
    required: bool
    found: str
    advice: str = ""


def checks(model: Path) -> list[Check]:
    """Look for everything; `model` is the image to parse.  Never raises TraceKwsError."""
    return [
        _python(),
        _compiler(),
        _make(),
        _core(),
        _board(),
        _model(model),
        _torch(),
        _microphone(),
        *map(_emulated, MACHINES),
        *_serial(),
        *_flash_tools(),
    ]


def _python() -> Check:
    version = ".".join(str(n) for n in sys.version_info[:3])
    return Check(
        "Python",
        sys.version_info >= OLDEST_PYTHON,
        True,
        version,
        f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or newer",
    )


def _compiler() -> Check:
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    return _builder("C compiler", found, "sudo apt install build-essential")


def _make() -> Check:
    return _builder("make", shutil.which("make"), "sudo apt install make")


def _builder(name: str, found: str | None, advice: str) -> Check:
    none = "none" if _builds() else "none; only a checkout needs it"
    return Check(name, found is not None, _builds(), found or none, advice)


def _builds() -> bool:
    """Whether the C is compiled here: an installed package has it compiled."""
    return find_checkout() is not None


def _again(target: str) -> str:
    return f"make {target}" if _builds() else "install the package again"


def _attempt(name: str, required: bool, look: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, True, required, look(), advice)
    except (TraceKwsError, ImportError, OSError) as error:
        return Check(name, False, required, str(error), advice)


def _core() -> Check:
    def look() -> str:
        from tracekws._core import lib

        version = (lib.TKWS_VERSION_MAJOR, lib.TKWS_VERSION_MINOR, lib.TKWS_VERSION_PATCH)
        return ".".join(str(n) for n in version)

    return _attempt("C core", True, look, _again("setup"))


def _board() -> Check:
    return _attempt("virtual board", True, lambda: str(board_program()), _again("board"))


def _model(path: Path) -> Check:
    def look() -> str:
        from tracekws.core import Model

        model = Model.load(path)
        return f"{path} ({model.name}, CRC {model.crc:08x})"

    return _attempt("model", True, look, "name a model image with --model")


def _torch() -> Check:
    found = importlib.util.find_spec("torch") is not None
    return Check(
        "torch",
        found,
        False,
        "present" if found else "absent; only training needs it",
        install_command("train"),
    )


def _microphone() -> Check:
    try:
        return Check("microphone", True, False, microphone.name())
    except TraceKwsError as error:
        return Check("microphone", False, False, "not usable", str(error))


def _emulated(name: str) -> Check:
    def look() -> str:
        firmware = built_firmware(name)
        MACHINES[name].command(firmware, firmware)
        return str(firmware)

    advice = f"apt-get install {MACHINES[name].package}, then make firmware BOARD={name}"
    return _attempt(f"board {name}", False, look, advice)


def _serial() -> list[Check]:
    ports = candidates()
    advice = "plug the board in; or start a virtual one with: tracekws board"
    result = [Check("serial ports", bool(ports), False, ", ".join(ports) or "none", advice)]
    if locked := [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]:
        result.append(
            Check(
                "serial permission",
                False,
                False,
                f"no access to {', '.join(locked)}",
                "sudo usermod -aG dialout $USER, then log in again",
            )
        )
    return result


def _flash_tools() -> list[Check]:
    found = {name: find_tool(name) for name in INSTALL}
    what = "none; only `tracekws flash` needs it"
    return [
        Check(name, path is not None, False, path or what, INSTALL[name])
        for name, path in found.items()
    ]
