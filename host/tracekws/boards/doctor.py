# SPDX-License-Identifier: Apache-2.0
"""What this machine has and lacks for TraceKWS, and how to get it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tracekws.boards import rp2040
from tracekws.boards.emulator import built_firmware
from tracekws.boards.flash import TOOLS, find_tool, how_to_get
from tracekws.boards.parts import BOARDS, MACHINES
from tracekws.boards.virtual import board_program
from tracekws.device import microphone
from tracekws.device.announce import running_boards
from tracekws.device.discover import candidates
from tracekws.errors import TraceKwsError
from tracekws.shipped import find_checkout, install_command, make_command, pip_command

OLDEST_PYTHON = (3, 11)
CROSS = ("arm-none-eabi", "riscv64-unknown-elf")
"""Targets of the compilers that make firmware."""
IMPORT_SECONDS = 120.0


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
        _torchaudio(),
        _sounddevice(),
        _microphone(),
        *(check for target in CROSS if _builds() for check in _cross(target)),
        *map(_qemu, dict.fromkeys(machine.program for machine in MACHINES.values())),
        _pico(),
        *(_firmware(board) for board in BOARDS if _builds()),
        *_serial(),
        _running(),
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
    return make_command(target) if _builds() else "install the package again"


def _attempt(name: str, required: bool, look: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, True, required, look(), advice)
    except (TraceKwsError, ImportError, OSError) as error:
        return Check(name, False, required, str(error), advice)


def _optional(name: str, found: str | None, purpose: str, advice: str) -> Check:
    """Something that one purpose needs; it is absent where it was not found."""
    return Check(name, found is not None, False, found or f"absent; {purpose}", advice)


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


def _version(package: str) -> str | None:
    """Of a package that is installed; it is not imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _torch() -> Check:
    found = _version("torch")
    return _optional("torch", found, "only training and the lab need it", install_command("train"))


def _torchaudio() -> Check:
    """Whether it imports beside the torch that there is, asked of a process of its own."""
    needless = "`data get` does without it, and nothing else needs it"
    if (found := _version("torchaudio")) is None:
        return _optional("torchaudio", None, needless, "leave it as it is")
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import torch, torchaudio"],
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
            check=False,
        )
        why = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it ends"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    beside = f"{found}, beside torch {_version('torch') or 'that is absent'}"
    said = f"{beside}, does not import: {why}; {needless}" if why else beside
    return Check("torchaudio", not why, False, said, "leave it as it is")


def _sounddevice() -> Check:
    """The package, and the library that it wants."""

    def look() -> str:
        microphone.sounddevice()
        return _version("sounddevice") or "present"

    library = "sudo apt install libportaudio2"
    advice = library if _version("sounddevice") else pip_command("sounddevice")
    return _attempt("sounddevice", False, look, advice)


def _microphone() -> Check:
    try:
        return Check("microphone", True, False, microphone.name())
    except TraceKwsError as error:
        return Check("microphone", False, False, "not usable", str(error))


def _cross(target: str) -> list[Check]:
    """A compiler for microcontrollers, and its C library, which it is asked for."""
    gcc, libc = f"{target}-gcc", f"picolibc-{target}"
    path, specs = shutil.which(gcc), ""
    if path:
        asked = [path, "-print-file-name=picolibc.specs"]
        with suppress(OSError):
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            specs = done.stdout.strip()
    # one that it does not have is named without a folder
    there = specs if "/" in specs else None
    purpose = "only `make firmware` needs it"
    return [
        _optional(gcc, path, purpose, f"sudo apt install gcc-{target}"),
        _optional(libc, there, purpose, f"sudo apt install {libc}"),
    ]


def _qemu(program: str) -> Check:
    package = next(m.package for m in MACHINES.values() if m.program == program)
    purpose = "only emulated boards need it"
    return _optional(program, shutil.which(program), purpose, f"sudo apt install {package}")


def _pico() -> Check:
    package = rp2040.PACKAGE.partition("==")[0]
    purpose = "only the emulated Pico needs it"
    return _optional(package, _version(package), purpose, pip_command(rp2040.PACKAGE))


def _firmware(board: str) -> Check:
    found = None
    with suppress(TraceKwsError):
        found = str(built_firmware(board))
    purpose = "only flashing and emulating that board need it"
    return _optional(f"firmware {board}", found, purpose, make_command(f"firmware BOARD={board}"))


def _serial() -> list[Check]:
    ports = candidates()
    advice = "plug a board in"
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


def _running() -> Check:
    boards = [f"{board.name} at {board.port}" for board in running_boards()]
    return _optional(
        "boards that run", ", ".join(boards) or None, "none is needed", "tracekws board &"
    )


def _flash_tools() -> list[Check]:
    purpose = "only `tracekws flash` needs it"
    return [_optional(name, find_tool(name), purpose, how_to_get(name)) for name in TOOLS]
