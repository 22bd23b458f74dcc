#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write firmware/core/src/tables.h: every constant table of the C core.

Usage: python3 scripts/make_tables.py [--check]
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

TABLES = Path(__file__).resolve().parent.parent / "firmware" / "core" / "src" / "tables.h"
RATE, WINDOW, FFT, CHANNELS = 16000, 400, 512, 40
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0


def mel(hertz: float) -> float:
    """Mel scale as HTK defines it."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def q15(value: float) -> int:
    """Nearest Q15 integer, the largest for 1.0."""
    return max(-32768, min(32767, round(value * 32768)))


def hann_q15() -> list[int]:
    """Periodic Hann window."""
    return [q15(0.5 - 0.5 * math.cos(2 * math.pi * i / WINDOW)) for i in range(WINDOW)]


def twiddle_q15() -> list[int]:
    """cos and -sin of 2 pi k / FFT in turn, k = 0 .. FFT/2 - 1."""
    table = []
    for k in range(FFT // 2):
        angle = 2 * math.pi * k / FFT
        table += [q15(math.cos(angle)), q15(-math.sin(angle))]
    return table


def bit_reverse() -> list[int]:
    """Index with its 8 bits reversed."""
    return [int(f"{i:08b}"[::-1], 2) for i in range(FFT // 2)]


def mel_bins() -> tuple[list[int], list[int]]:
    """For each FFT bin the rising channel (CHANNELS is none) and its share in Q10.

    A bin between the centres of channels c - 1 and c gives share to c and 1 - share to c - 1: the
    two triangles that overlap there.
    """
    low, high = mel(LOWEST_HZ), mel(HIGHEST_HZ)
    channel, share = [], []
    for k in range(FFT // 2):
        position = (mel(k * RATE / FFT) - low) / (high - low) * (CHANNELS + 1)
        whole = math.floor(position)
        if 0 <= whole <= CHANNELS:
            channel.append(whole)
            share.append(round((position - whole) * 1024))
        else:
            channel.append(255)
            share.append(0)
    return channel, share


def log2_q10() -> list[int]:
    """log2(1 + i / 64) in Q10."""
    return [round(1024 * math.log2(1 + i / 64)) for i in range(65)]


def exp2_q15() -> list[int]:
    """2^(-i / 64) in Q15."""
    return [q15(2 ** (-i / 64)) for i in range(65)]


def compress_q11() -> list[int]:
    """(2^d + 2)^0.5 - 2^0.5 for d = -8 .. 8 in quarters, in Q4 with 7 more bits.

    Values beyond the largest feature stay, so that the interpolation below it is exact.
    """
    return [round(((2 ** (i / 4 - 8) + 2) ** 0.5 - 2**0.5) * 16 * 128) for i in range(65)]


def c_array(kind: str, name: str, values: Sequence[int]) -> str:
    """One static const array, lines of at most 100 columns."""
    lines, line = [], "   "
    for value in values:
        word = f" {value},"
        if len(line) + len(word) > 100:
            lines.append(line)
            line = "   "
        line += word
    lines.append(line)
    return f"static const {kind} {name}[{len(values)}] = {{\n" + "\n".join(lines) + "\n};\n"


def tables() -> str:
    """The text of tables.h."""
    channel, share = mel_bins()
    head = (
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* Made by scripts/make_tables.py: do not edit. clang-format off */\n"
        "#ifndef TRACEKWS_TABLES_H\n#define TRACEKWS_TABLES_H\n\n#include <stdint.h>\n"
    )
    return "\n".join(
        [
            head,
            "#ifdef TKWS_TABLES_FRONTEND",
            c_array("int16_t", "hann_q15", hann_q15()),
            c_array("int16_t", "twiddle_q15", twiddle_q15()),
            c_array("uint8_t", "bit_reverse", bit_reverse()),
            c_array("uint8_t", "mel_channel", channel),
            c_array("uint16_t", "mel_share_q10", share),
            c_array("int16_t", "log2_q10", log2_q10()),
            c_array("int16_t", "compress_q11", compress_q11()),
            "#endif",
            "#ifdef TKWS_TABLES_SOFTMAX",
            c_array("int16_t", "exp2_q15", exp2_q15()),
            "#endif\n\n#endif\n",
        ]
    )


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if TABLES.read_text() != tables():
            sys.exit(
                f"{TABLES} is not what scripts/make_tables.py makes: run it, commit the result"
            )
    else:
        TABLES.write_text(tables())
