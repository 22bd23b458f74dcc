# SPDX-License-Identifier: Apache-2.0
"""UF2 files for the RP2040: what is copied to the drive that a Pico in BOOTSEL mode shows.

python uf2.py FIRMWARE.bin FIRMWARE.uf2

The build of the firmware runs this file, with a Python that may have nothing installed.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

FAMILY_RP2040 = 0xE48BFF56
FLASH_START = 0x10000000
BLOCK_BYTES = 512
PAYLOAD_BYTES = 256
_HEAD = struct.Struct("<8I")
_TAIL = struct.Struct("<I")
_MAGIC = (0x0A324655, 0x9E5D5157)
_MAGIC_END = 0x0AB16F30
_FAMILY_PRESENT = 0x2000


def encode(data: bytes, address: int = FLASH_START, family: int = FAMILY_RP2040) -> bytes:
    """Give the UF2 file that writes `data` to `address`; the last payload is filled with zeros."""
    payloads = [
        data[at : at + PAYLOAD_BYTES].ljust(PAYLOAD_BYTES, b"\0")
        for at in range(0, len(data), PAYLOAD_BYTES)
    ]
    blocks = []
    for i, payload in enumerate(payloads):
        at = address + i * PAYLOAD_BYTES
        numbers = (_FAMILY_PRESENT, at, PAYLOAD_BYTES, i, len(payloads), family)
        body = _HEAD.pack(*_MAGIC, *numbers) + payload
        blocks.append(body.ljust(BLOCK_BYTES - _TAIL.size, b"\0") + _TAIL.pack(_MAGIC_END))
    return b"".join(blocks)


def decode(content: bytes, family: int = FAMILY_RP2040) -> tuple[int, bytes]:
    """Give the address and the data of a UF2 file, padding included.

    Raises ValueError when it is not whole, not without gaps, or for another family.
    """
    if not content or len(content) % BLOCK_BYTES != 0:
        raise ValueError("not a UF2 file, or one that was cut off")
    n_blocks = len(content) // BLOCK_BYTES
    start, data = 0, bytearray()
    for i in range(n_blocks):
        block = content[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES]
        *magic, flags, at, n_bytes, number, total, of_family = _HEAD.unpack_from(block)
        end = _TAIL.unpack_from(block, BLOCK_BYTES - _TAIL.size)[0]
        if tuple(magic) != _MAGIC or end != _MAGIC_END:
            raise ValueError(f"not a UF2 file (block {i} has no UF2 marks)")
        if not flags & _FAMILY_PRESENT or of_family != family:
            raise ValueError(f"this UF2 file is for another part than family {family:#010x}")
        start = start if i else at
        expected = (PAYLOAD_BYTES, i, n_blocks, start + i * PAYLOAD_BYTES)
        if (n_bytes, number, total, at) != expected:
            raise ValueError(f"this UF2 file is damaged or incomplete (block {i} is out of place)")
        data += block[_HEAD.size : _HEAD.size + PAYLOAD_BYTES]
    return start, bytes(data)


def check(path: Path) -> bytes:
    """Give what a UF2 file puts at the start of an RP2040's flash.

    Raises DataError, which names the file, when it would not do that.
    """
    from tracekws.errors import DataError
    from tracekws.files import MIB, read_bytes

    content = read_bytes(path, 64 * MIB)
    try:
        start, data = decode(content)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if start != FLASH_START:
        raise DataError(f"{path}: starts at {start:#010x}, not at the start of flash")
    return data


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python uf2.py FIRMWARE.bin FIRMWARE.uf2")
    try:
        Path(sys.argv[2]).write_bytes(encode(Path(sys.argv[1]).read_bytes()))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
