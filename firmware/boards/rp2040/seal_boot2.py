# SPDX-License-Identifier: Apache-2.0
"""Fill a second-stage boot loader up to 252 bytes and append the CRC-32 that the boot ROM checks.

python seal_boot2.py boot2.bin          (in place)
"""

import struct
import sys
from pathlib import Path

CODE_BYTES = 252
POLYNOMIAL = 0x04C11DB7


def crc32_mpeg2(data: bytes) -> int:
    """CRC-32 from the highest bit down: starts with all ones, not inverted at the end."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (POLYNOMIAL if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def seal(code: bytes) -> bytes:
    """Give the 256 bytes for the start of flash. Raises ValueError when the code is too long."""
    if len(code) > CODE_BYTES:
        raise ValueError(f"{len(code)} bytes of code; the boot ROM loads {CODE_BYTES}")
    body = code.ljust(CODE_BYTES, b"\0")
    return body + struct.pack("<I", crc32_mpeg2(body))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python seal_boot2.py boot2.bin")
    path = Path(sys.argv[1])
    try:
        path.write_bytes(seal(path.read_bytes()))
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
