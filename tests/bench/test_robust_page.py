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
SEEDS = [
    REPORTS["base", False],
    *json.loads((ROOT / "benchmarks/robust_seeds.json").read_text()),
]
PAGE = (ROOT / "docs" / "robust.md").read_text()
SHIPPED, OF_SEEDS = PAGE.split("## The shipped models")[1].split("### Three seeds")
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


def cells_of(text: str, name: str) -> list[list[str]]:
    """The rows of that name in all tables of a text."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_row_of_three_seeds(name: str) -> None:
    first, *_ = cells_of(OF_SEEDS, name)
    rows = [next(row for row in seed["rows"] if row["name"] == name) for seed in SEEDS]
    values = [row["percent"]["mean"] if "percent" in row else row["events"] for row in rows]
    heard = [cell.split(";")[0] for cell in first[1:]]
    assert [float(cell) for cell in heard] == pytest.approx(
        [*values, sum(values) / len(values)], abs=0.051
    )
    if "other_words" in rows[0]:
        false = [row["false_alarms_per_100_other_words"]["mean"] for row in rows]
        told_false = [float(cell.split(";")[1]) for cell in first[1:]]
        assert told_false == pytest.approx([*false, sum(false) / len(false)], abs=0.051)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_row_of_both_models(name: str) -> None:
    *_, cells = cells_of(SHIPPED, name)
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
