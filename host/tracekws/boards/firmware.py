# SPDX-License-Identifier: Apache-2.0
"""Firmware: how it is built, which board a file is for, and the model image inside it."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tracekws.boards import uf2
from tracekws.boards.parts import PLACES, Place
from tracekws.core import Model
from tracekws.errors import DataError, MissingTool, ModelError, TraceKwsError
from tracekws.files import MIB, read_bytes
from tracekws.shipped import find_checkout, make_command

NO_CHECKOUT = (
    "firmware is built in a checkout of TraceKWS, and this package was installed without one"
)
MOST_BYTES = 64 * MIB
"""Of a file with a firmware, debugging tables and all."""
SEARCHED_BYTES = 1024
"""The identity is after the vectors, and after the RP2040's boot loader."""
_MAGIC = b"TKFW"
_IDENTITY = struct.Struct("<4sI16s")
"""Magic, version, board; behind it the addresses of the model image's start and end."""
_ADDRESSES = struct.Struct("<II")


def built_path(name: str) -> Path:
    """Where `make firmware` puts a file. Raises TraceKwsError where there is no checkout."""
    root = find_checkout()
    if root is None:
        raise TraceKwsError(f"{name}: {NO_CHECKOUT}; name a file")
    return root / "build" / "firmware" / name


def make_firmware(
    settings: Mapping[str, object], root: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run firmware.mk in a checkout, by default the package's own.

    The settings are BOARD, OUT, MODEL, MAIN, BOARD_FLAGS. Raises TraceKwsError where there is no
    checkout.
    """
    root = root or find_checkout()
    if root is None:
        raise TraceKwsError(NO_CHECKOUT)
    words = [f"{name}={value}" for name, value in settings.items()]
    return subprocess.run(
        ["make", "-s", "-C", str(root), "-f", "firmware/firmware.mk", *words],
        capture_output=True,
        text=True,
    )


def build_firmware(
    board: str, out: Path, settings: Mapping[str, object], root: Path | None = None
) -> Path:
    """Build a board's firmware, or another program for it, into a folder; give the ELF file.

    Raises MissingTool when there is no compiler, TraceKwsError with the line that says why not, or
    where there is no checkout.
    """
    done = make_firmware({"BOARD": board, "OUT": out, **settings}, root)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        missing = next((line for line in lines if "apt-get install" in line), None)
        if missing is not None:
            raise MissingTool(missing.partition("*** ")[2].removesuffix(".  Stop."))
        telling = [line for line in lines if "error" in line]
        raise TraceKwsError(f"{board}: {(telling or lines or ['make failed'])[0]}")
    return out / f"{board}.elf"


def find_identity(data: bytes, searched: int | None = None) -> tuple[int, int, str] | None:
    """Offset of a firmware's identity, its version and board; `searched` bytes are looked at."""
    at = data.find(_MAGIC, 0, searched)
    if at < 0 or len(data) < at + _IDENTITY.size:
        return None
    _, version, name = _IDENTITY.unpack_from(data, at)
    return at, version, name.rstrip(b"\0").decode("ascii", "replace")


@dataclass(frozen=True)
class Firmware:
    """The bytes of a firmware from the start of flash, checked."""

    path: Path
    board: str
    version: str
    data: bytes
    model: Model
    is_raw: bool
    """`path` holds `data` as it is."""
    _image: tuple[int, int]
    """Offsets of the model image."""
    _identity: int

    @property
    def place(self) -> Place:
        """Where it goes."""
        return PLACES[self.board]

    def with_model(self, path: Path) -> Firmware:
        """Give this firmware with another model image; the file is not written.

        Raises ModelError for a bad image, DataError when there is no room for it.
        """
        model = Model.load(path)
        start, end = self._image
        # what is last in the file, but for the rest of a block of UF2, is replaced; else it stays
        behind = self.data[end:]
        is_last = len(behind) < uf2.PAYLOAD_BYTES and not any(behind)
        kept = self.data[:start] if is_last else self.data
        start = -len(kept) % 4 + len(kept)
        data = bytearray(kept.ljust(start, b"\xff") + model.image)
        addresses = (self.place.start + start, self.place.start + len(data))
        _ADDRESSES.pack_into(data, self._identity + _IDENTITY.size, *addresses)
        made = replace(
            self,
            path=self.path.with_name(f"{self.path.stem}-{path.stem}.bin"),
            data=bytes(data),
            model=model,
            is_raw=False,
            _image=(start, len(data)),
        )
        _check_size(made, f"{self.path} with {path}")
        return made


def read_firmware(path: Path, board: str) -> Firmware:
    """Read the firmware for a board of PLACES, a raw binary or a UF2 file.

    Raises DataError when it is not one, is for another board, is cut short or too large, ModelError
    when the model image in it is bad.
    """
    is_raw = path.suffix != ".uf2"
    if not path.exists():
        how = make_command(f"firmware BOARD={board}")
        raise DataError(f"{path}: not built; build it with: {how}")
    data = read_bytes(path, MOST_BYTES) if is_raw else uf2.check(path)
    if data[:4] == b"\x7fELF":
        raise DataError(f"{path}: give the raw binary beside it, {path.with_suffix('.bin').name}")
    identity = find_identity(data, SEARCHED_BYTES)
    if identity is None or len(data) < identity[0] + _IDENTITY.size + _ADDRESSES.size:
        raise DataError(f"{path}: this is no TraceKWS firmware")
    at, version, found = identity
    addresses = _ADDRESSES.unpack_from(data, at + _IDENTITY.size)
    if found != board:
        raise DataError(f"{path}: this firmware is for the board {found}, not for {board}")
    start, end = (address - PLACES[board].start for address in addresses)
    if not 0 < start < end <= len(data):
        raise DataError(f"{path}: this firmware is cut short")
    try:
        model = Model(data[start:end])
    except ModelError as error:
        raise ModelError(f"{path}: the model in it: {error}") from error
    text = ".".join(str(version >> shift & 255) for shift in (16, 8, 0))
    firmware = Firmware(path, board, text, data, model, is_raw, (start, end), at)
    _check_size(firmware, str(path))
    return firmware


def _check_size(firmware: Firmware, what: str) -> None:
    room = firmware.place.n_bytes
    if len(firmware.data) > room:
        raise DataError(
            f"{what}: {len(firmware.data)} bytes, but a {firmware.board} has room for {room}"
        )
