# SPDX-License-Identifier: Apache-2.0
"""docs/results.md says what benchmarks/peers.json has, of the model that ships."""

import json
from pathlib import Path
from typing import Any

import pytest

from tracekws.core import Model

ROOT = Path(__file__).resolve().parents[2]
REPORT = json.loads((ROOT / "benchmarks/peers.json").read_text())
PAGE = (ROOT / "docs" / "results.md").read_text()
SECTION = PAGE.split("## Beside other recognizers")[1].split("\n## ")[0]


def keywords(row: dict[str, Any]) -> str:
    """Cells of the first table."""
    if "bytes" not in row:
        return "| | | | | {clean:.1f}; {clean_false:.1f} | | |".format(**row)
    return (
        "| {bytes:,} | {clean_at_1:.1f} | {noisy_at_1:.1f} | {talk_at_1:.0f} |"
        " {clean:.1f}; {clean_false:.1f} | {noisy:.1f}; {noisy_false:.1f} | {talk:.0f} |"
    ).format(**row)


CELLS = {
    "keywords": keywords,
    "wake_words": "| {heard:.1f} | {false_an_hour:.1f} |".format_map,
    "own_words": "| {takes} | {choice:.1f} | {clips_at_90:.1f} | {clips_at_99:.1f} |".format_map,
    "processor": "| {ms_a_second:.2f} |".format_map,
}


@pytest.mark.parametrize("part", CELLS)
def test_the_page_has_the_rows(part: str) -> None:
    for row in REPORT[part]:
        assert f"| {row['what']} {CELLS[part](row)}" in SECTION.splitlines()


def test_the_file_is_of_the_model_that_ships() -> None:
    assert REPORT["model"] == Model.load(ROOT / "models" / "base.tkws").identity
