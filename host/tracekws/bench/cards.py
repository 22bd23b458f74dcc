# SPDX-License-Identifier: Apache-2.0
"""The instructions of a second of speech on a model's card, NAME.md and NAME.json.

Training writes the card, where no emulator may be installed; who has one completes it.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekws.core import Model
from tracekws.errors import DataError
from tracekws.files import check_writable, parse_json, read_text, write_all

if TYPE_CHECKING:  # training writes a card, and knows no board
    from tracekws.bench.cost import Cost

WHAT = "Instructions, a second of speech"
_ROW = re.compile(rf"^\| {WHAT} \|.*\n", re.MULTILINE)
_NEXT = re.compile(r"^\| Accuracy", re.MULTILINE)


def not_counted(name: str) -> str:
    """What the card of a model says before its instructions are counted."""
    return f"not counted; `tracekws bench cost {name}.tkws --card` does it"


def counted(costs: Sequence["Cost"]) -> str:
    """What the card says then: the recognizer, on each processor."""
    parts = {cost.processor: cost.total for cost in costs if cost.sound == "speech"}
    return "; ".join(f"{total:,} on {processor}" for processor, total in parts.items())


def read(model_path: Path) -> tuple[dict[str, Any], str, int]:
    """The card beside a model's image: what NAME.json says, NAME.md, and where its row goes there.

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
    text = _ROW.sub("", text)
    place = _NEXT.search(text)
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
    facts, text, place = read(model_path)
    row = f"| {WHAT} | {counted(costs)} |\n"
    facts["cost"] = [cost.summary() for cost in costs]
    write_all(
        {
            model_path.with_suffix(".json"): (json.dumps(facts, indent=2) + "\n").encode(),
            model_path.with_suffix(".md"): (text[:place] + row + text[place:]).encode(),
        }
    )
