# SPDX-License-Identifier: Apache-2.0
"""Sensitivity: how readily words are heard, and what the factory measured at each level."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracekws.core import ODDS_ONE
from tracekws.errors import DataError, TraceKwsError
from tracekws.files import parse_json, read_text

MOST = 6
LEVELS = tuple(range(-MOST, MOST + 1))
"""Each level more halves the odds of every word's threshold; 0 is the model's own."""


def odds_q8(level: int) -> int:
    """What a level multiplies the thresholds' odds by, Q8.

    Raises:
        TraceKwsError: it is none of LEVELS.
    """
    if level not in LEVELS:
        raise TraceKwsError(f"sensitivity {level} is none of {LEVELS[0]} to {LEVELS[-1]}")
    return round(ODDS_ONE * 2.0**-level)


@dataclass(frozen=True)
class Expected:
    """What the factory measured at a level: in clean speech, and with noise where it did."""

    split: str
    rows: tuple[tuple[float, float, float], ...]
    """Signal to noise in dB, percent of the keywords heard, false alarms in 100 other words."""


def expected(card: Path, crc: int, level: int) -> Expected | None:
    """Read what a model's card NAME.json says of a level; None where it does not say.

    Args:
        card: the file.
        crc: of the model that runs: the card of another one says nothing of it.
        level: one of LEVELS.
    """
    try:
        facts: dict[str, Any] = parse_json(read_text(card))
        if facts["crc"] != f"{crc:08x}":
            return None
        streams = facts["stream"]
        split = "testing" if "testing" in streams else "validation"
        rows = tuple(
            (
                float(speech["snr_db"]),
                float(row["hit_percent"]),
                float(row["false_alarms_per_100_other_words"]),
            )
            for speech in streams[split]
            for row in speech["roc"]
            if row["sensitivity"] == level
        )
    except (DataError, ValueError, LookupError, TypeError, ArithmeticError):
        return None
    return Expected(split, rows) if rows else None
