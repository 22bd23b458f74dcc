# SPDX-License-Identifier: Apache-2.0
"""What is measured after training on a model's card, NAME.md and NAME.json.

Training writes the card. It has no emulator to count instructions with, nor, perhaps, the sets that
`bench robust` hears; who has them completes it.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekws.core import Model
from tracekws.errors import DataError
from tracekws.files import check_writable, parse_json, read_text, write_all
from tracekws.names import RULE, is_name, normalised

if TYPE_CHECKING:  # training writes a card, and knows no board
    from tracekws.bench.cost import Cost

WHAT = "Instructions, a second of speech"
HEARD = "Outside of clean words"
"""How rows of `bench robust` begin."""
COST_ROWS = (rf"^\| {WHAT} \|.*\n", r"^\| Accuracy")
HEARD_ROWS = (rf"^\| {HEARD}, .*\n", r"^\| Made by \|")
"""Rows of ours, and what the first of them stands before."""


def check_output(output: Path) -> None:
    """See that an image and its card can be written under a name.

    Raises:
        DataError: there is no such folder, or the name is no name of a model.
    """
    if output.suffix != ".tkws" or not is_name(normalised(output.stem)):
        raise DataError(f"{output}: a model is a file NAME.tkws, and a name is {RULE}")
    for path in (output, *cards_of(output)):
        check_writable(path)


def cards_of(output: Path) -> tuple[Path, Path]:
    """The card of an image, as JSON and as text."""
    return output.with_suffix(".json"), output.with_suffix(".md")


def not_counted(name: str) -> str:
    """What the card of a model says before its instructions are counted."""
    return f"not counted; `tracekws bench cost {name}.tkws --card` does it"


def counted(costs: Sequence["Cost"]) -> str:
    """What the card says then: the recognizer, on each processor."""
    parts = {cost.processor: cost.total for cost in costs if cost.sound == "speech"}
    return "; ".join(f"{total:,} on {processor}" for processor, total in parts.items())


def heard_rows(report: dict[str, Any]) -> list[str]:
    """Rows of a card from RobustReport.summary() of `bench robust`."""
    rows = []
    for row in report["rows"]:
        if "percent" in row:
            what = "{mean:.1f} % ({low:.1f} to {high:.1f})".format(**row["percent"])
            what += f" of {row['of']:,}"
            if "other_words" in row:
                false = row["false_alarms_per_100_other_words"]["mean"]
                what += f", {false:.1f} false alarms in 100 other words"
        else:
            what = f"{row['events']} false alarms in {row['hours']:.2f} hours"
        rows.append(f"| {HEARD}, {row['name']} | {what} |\n")
    return rows


def read(model_path: Path, rows: tuple[str, str]) -> tuple[dict[str, Any], str, int]:
    """The card beside a model's image: what NAME.json says, NAME.md, and where rows go there.

    Args:
        model_path: image whose card is meant.
        rows: COST_ROWS or HEARD_ROWS; those that are there are taken out.

    Raises:
        DataError: there is no such card, or it is of another model, or no card of ours, or cannot
            be written again.
    """
    model = Model.load(model_path)
    as_json, as_text = model_path.with_suffix(".json"), model_path.with_suffix(".md")
    for path in (as_json, as_text):
        if not path.exists():
            raise DataError(f"{path}: no card to complete (there is no such file)")
        check_writable(path)
    text = read_text(as_text)
    try:
        facts: dict[str, Any] = parse_json(read_text(as_json))
        crc = facts["crc"]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{as_json}: no card of a model") from error
    if crc != f"{model.crc:08x}" or f"CRC {crc}" not in text:
        raise DataError(f"{as_json}, {as_text}: the card of another model than {model_path}")
    ours, following = rows
    text = re.sub(ours, "", text, flags=re.MULTILINE)
    place = re.search(following, text, re.MULTILINE)
    if place is None:
        raise DataError(f"{as_text}: no card of a model")
    return facts, text, place.start()


def complete(model_path: Path, costs: Sequence["Cost"]) -> None:
    """Put instructions onto the card beside a model's image, in place of any that are there.

    Args:
        model_path: image whose card is meant.
        costs: counted with that image.

    Raises:
        DataError: as of read(), or the card cannot be written.
    """
    row = f"| {WHAT} | {counted(costs)} |\n"
    put(model_path, "cost", [cost.summary() for cost in costs], row, COST_ROWS)


def complete_heard(model_path: Path, report: dict[str, Any]) -> None:
    """Put onto the card what `bench robust` says, in place of what is there.

    Args:
        model_path: image whose card is meant.
        report: RobustReport.summary() of that image.

    Raises:
        DataError: as of complete().
    """
    put(model_path, "robust", report["rows"], "".join(heard_rows(report)), HEARD_ROWS)


def put(model_path: Path, key: str, value: Any, text: str, rows: tuple[str, str]) -> None:
    """Write facts and rows onto a card."""
    facts, card, place = read(model_path, rows)
    facts[key] = value
    write_all(
        {
            model_path.with_suffix(".json"): (json.dumps(facts, indent=2) + "\n").encode(),
            model_path.with_suffix(".md"): (card[:place] + text + card[place:]).encode(),
        }
    )
