# SPDX-License-Identifier: Apache-2.0
"""docs/robust.md says what benchmarks/robust.json has, of the models that ship."""

import json
from pathlib import Path
from typing import Any

import pytest

from tracekws.core import Model

ROOT = Path(__file__).resolve().parents[2]
REPORTS = {
    (one["model"]["name"], one["isolated"]): one
    for one in json.loads((ROOT / "benchmarks/robust.json").read_text())
}
COLUMNS = [("base", False), ("small", False), ("base", True), ("small", True)]
PAGE = (ROOT / "docs" / "robust.md").read_text()
NAMES = [row["name"] for row in REPORTS["base", False]["rows"]]


def told(row: dict[str, Any]) -> str:
    """A cell of the page."""
    if "percent" in row:
        text = "{mean:.1f} ({low:.1f} to {high:.1f})".format(**row["percent"])
        if "without" in row:
            text += ", {mean:+.1f} ({low:+.1f} to {high:+.1f})".format(**row["difference"])
        if "other_words" in row:
            false = row["false_alarms_per_100_other_words"]
            text += "; {mean:.1f} ({low:.1f} to {high:.1f})".format(**false)
        return text
    apart = row["events_of_words_said"]
    rate = "{mean:.0f} ({low:.0f} to {high:.0f})".format(**row["per_hour"])
    return f"{row['events']}{f' and {apart}' if apart else ''}; {rate}"


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_row_of_both_models(name: str) -> None:
    *_, line = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    rows = [
        next(row for row in REPORTS[column]["rows"] if row["name"] == name) for column in COLUMNS
    ]
    assert cells[-4:] == [told(row) for row in rows]


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_the_file_is_of_the_model_that_ships(column: tuple[str, bool]) -> None:
    model = Model.load(ROOT / "models" / f"{column[0]}.tkws")
    assert REPORTS[column]["model"] == model.identity
    assert REPORTS[column]["missing"] == []
    assert not model.isolated
