# SPDX-License-Identifier: Apache-2.0
"""A firmware file: which board it is for, and the model image inside it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

from tracekws.core import Model
from tracekws.device import uf2
from tracekws.errors import DataError, ModelError

MAGIC = b"TKFW"
SEARCHED_BYTES = 1024
"""The identity is after the vectors, and after the RP2040's boot loader."""
_IDENTITY = struct.Struct("<4sI16sII")
"""Magic, version, board, addresses of the model image's start and end."""


@dataclass(frozen=True)
class Place:
    """Where in a part's flash the firmware is; its linker script says the same."""

    start: int
    n_bytes: int


PLACES = {
    "stm32f405": Place(0x08000000, 256 << 10),
    "rp2040": Place(0x10000000, 1280 << 10),
}
"""The boards that are flashed."""


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
        # the last thing in the file is replaced; what lies elsewhere stays, out of use
        kept = self.data[:start] if end == len(self.data) else self.data
        start = -len(kept) % 4 + len(kept)
        data = bytearray(kept.ljust(start, b"\xff") + model.image)
        addresses = (self.place.start + start, self.place.start + len(data))
        at = self._identity + _IDENTITY.size - 8
        data[at : at + 8] = struct.pack("<II", *addresses)
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
    try:
        data = path.read_bytes() if is_raw else uf2.check(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: not built; build it with: make firmware BOARD={board}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if data[:4] == b"\x7fELF":
        raise DataError(f"{path}: give the raw binary beside it, {path.with_suffix('.bin').name}")
    at = data.find(MAGIC, 0, SEARCHED_BYTES)
    if at < 0 or len(data) < at + _IDENTITY.size:
        raise DataError(f"{path}: this is no TraceKWS firmware")
    _, version, name, *addresses = _IDENTITY.unpack_from(data, at)
    found = name.rstrip(b"\0").decode("ascii", "replace")
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
