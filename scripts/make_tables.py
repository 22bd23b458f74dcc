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


def turn_q14(part: float) -> list[int]:
    """cos and -sin of a part of a turn."""
    angle = 2 * math.pi * part
    return [round(16384 * math.cos(angle)), round(-16384 * math.sin(angle))]


def twiddle_q14() -> list[int]:
    """Three quarters of a turn in 256ths."""
    return [value for k in range(192) for value in turn_q14(k / 256)]


def digit_reverse() -> list[int]:
    """Index with its three digits of base 4 reversed."""
    return [i % 4 * 16 + i // 4 % 4 * 4 + i // 16 for i in range(64)]


def mel_position(k: int) -> float:
    """Where an FFT bin lies between the centres of channels, which are at 1 .. CHANNELS."""
    low, high = mel(LOWEST_HZ), mel(HIGHEST_HZ)
    return (mel(k * RATE / FFT) - low) / (high - low) * (CHANNELS + 1)


def mel_first() -> list[int]:
    """First bin of each gap between the centres of two neighbours (c - 1 and c), and the end."""
    return [
        min(k for k in range(FFT // 2 + 1) if mel_position(k) >= c) for c in range(CHANNELS + 2)
    ]


def bins() -> list[list[int]]:
    """Of each bin, from mel_first()[0] on: its turn, and what it gives to its gap's upper channel.

    That share is in Q10; the rest goes to the lower channel: two triangles overlap there.
    """
    first = mel_first()
    return [
        [*turn_q14(k / FFT), round(mel_position(k) % 1 * 1024)] for k in range(first[0], first[-1])
    ]


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


def c_array(
    kind: str, name: str, values: Sequence[int] | Sequence[Sequence[int]], record: str = ""
) -> str:
    """One static const array, of numbers or of records; lines of at most 100 columns."""
    lines, line = [], "   "
    for value in values:
        text = str(value) if isinstance(value, int) else "{" + ", ".join(map(str, value)) + "}"
        word = f" {text},"
        if len(line) + len(word) > 100:
            lines.append(line)
            line = "   "
        line += word
    lines.append(line)
    return f"{record}static const {kind} {name}[{len(values)}] = {{\n" + "\n".join(lines) + "\n};\n"


BIN = """struct bin {
    int16_t re;
    int16_t im;
    uint16_t share_q10;
};

"""


def tables() -> str:
    """The text of tables.h."""
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
            c_array("int16_t", "twiddle_q14", twiddle_q14()),
            c_array("uint8_t", "digit_reverse", digit_reverse()),
            c_array("uint8_t", "mel_first", mel_first()),
            c_array("struct bin", "bins", bins(), BIN),
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
