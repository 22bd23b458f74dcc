# SPDX-License-Identifier: Apache-2.0
"""What is measured later on a model's card: put there, put anew, never that of another model."""

import json
import shutil
from dataclasses import replace

import pytest

from tracekws.bench import cards
from tracekws.bench.cost import Cost
from tracekws.core import Model
from tracekws.errors import DataError

CORTEX = Cost("stm32f405", "Cortex-M4", "mps2-an386", "speech", 1000, 200, 30, *range(4, 12))
COSTS = [
    CORTEX,
    replace(CORTEX, sound="noise", network=99),
    replace(CORTEX, board="riscv-virt", processor="RV32IMAC", front_end=2000),
]
LINE = f"| {cards.WHAT} | 1,230 on Cortex-M4; 2,230 on RV32IMAC |"


@pytest.fixture
def model(model_file, tmp_path):
    """An image with a card as training writes it, in what matters here."""
    path = tmp_path / "tiny.tkws"
    shutil.copy(model_file, path)
    identity = Model.load(path).identity
    path.with_suffix(".json").write_text(json.dumps({**identity, "neurons": 24}))
    rows = [
        f"| Image | 1 bytes, CRC {identity['crc']} |",
        f"| {cards.WHAT} | {cards.not_counted('tiny')} |",
        "| Accuracy, validation, C core | 90.00 % |",
        "| Accuracy, testing, C core | 80.00 % |",
        "| Made by | `tracekws train` |",
    ]
    path.with_suffix(".md").write_text("\n".join(["# tiny", "", *rows, "", "The end."]) + "\n")
    return path


@pytest.mark.parametrize("has_row", [True, False], ids=["as written", "of an older version"])
def test_a_card_gets_its_instructions_once(model, has_row):
    as_text = model.with_suffix(".md")
    before = as_text.read_text().splitlines()
    if not has_row:
        as_text.write_text("\n".join(before[:3] + before[4:]) + "\n")
    stale = [replace(cost, network=7) for cost in COSTS]
    for costs in (stale, COSTS, COSTS):
        cards.complete(model, costs)
    assert as_text.read_text().splitlines() == [*before[:3], LINE, *before[4:]]
    facts = json.loads(model.with_suffix(".json").read_text())
    assert facts["cost"] == [cost.summary() for cost in COSTS]
    assert facts["neurons"] == 24


def test_a_card_gets_what_is_heard_once(model):
    interval = {"mean": 61.75, "low": 55.6, "high": 68.1}
    share = {"name": "stream, 40 dB", "percent": interval, "of": 1400, "other_words": 50}
    share["false_alarms_per_100_other_words"] = {"mean": 1.56}
    events = {"name": "talk", "events": 4, "hours": 0.619}
    as_text = model.with_suffix(".md")
    before = as_text.read_text().splitlines()
    for rows in ([events], [share, events], [share, events]):
        cards.complete_heard(model, {"rows": rows})
    assert as_text.read_text().splitlines() == [
        *before[:6],
        f"| {cards.HEARD}, stream, 40 dB | 61.8 % (55.6 to 68.1) of 1,400, 1.6 false alarms in 100"
        " other words |",
        f"| {cards.HEARD}, talk | 4 false alarms in 0.62 hours |",
        *before[6:],
    ]
    assert json.loads(model.with_suffix(".json").read_text())["robust"] == [share, events]
    cards.complete(model, COSTS)
    assert json.loads(model.with_suffix(".json").read_text())["robust"] == [share, events]


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".json", '{"crc": "00000000"}', "another model"),
        (".md", "# tiny\n\n| Image | CRC 00000000 |\n| Accuracy | 1 % |\n", "another model"),
        (".json", "[]", "no card of a model"),
        (".json", "{", "no card of a model"),
        (".json", None, "no card to complete"),
        (".md", None, "no card to complete"),
    ],
)
def test_what_is_not_the_model_s_card_is_refused_and_left_alone(model, suffix, content, said):
    model.with_suffix(suffix).unlink()
    if content is not None:
        model.with_suffix(suffix).write_text(content)
    before = {path: path.read_bytes() for path in model.parent.iterdir()}
    with pytest.raises(DataError, match=said):
        cards.complete(model, COSTS)
    assert {path: path.read_bytes() for path in model.parent.iterdir()} == before


def test_a_card_without_a_place_for_what_is_heard_is_refused(model):
    as_text = model.with_suffix(".md")
    as_text.write_text(as_text.read_text().replace("| Made by |", "| By |"))
    cards.read(model, cards.COST_ROWS)
    with pytest.raises(DataError, match="no card of a model"):
        cards.read(model, cards.HEARD_ROWS)
