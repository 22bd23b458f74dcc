# SPDX-License-Identifier: Apache-2.0
"""benchmarks/learning.py: its conditions, a row, and what it does not measure again."""

import json

import pytest

from programs import load_program
from tracekws.bench.adapting import SAME_REJECTION, Experiment
from tracekws.data import read_tree


@pytest.fixture
def learning():
    return load_program("benchmarks/learning.py")


def test_every_condition_is_there_once(learning):
    assert len(learning.conditions(False, 3)) == 2 * 2 * 3
    found = learning.conditions(True, 3)
    assert len(found) == 2 * 2 * (3 + 2)
    assert len(set(found)) == len(found)


def test_a_row_has_columns_and_paired_differences_and_is_not_measured_again(
    learning, tree, tmp_path, monkeypatch
):
    file, few = tmp_path / "learning.json", Experiment(shots=2, passes=1, draws=1)
    monkeypatch.setattr(learning, "conditions", lambda foreign, draws: [("small", few)])
    speakers = ["tes00000", "tes00001"]
    learning.run({False: read_tree(tree)}, speakers, 1, file)
    (row,) = json.loads(file.read_text())
    assert row["speakers"] == 2
    assert list(row["methods"]) == ["none", *learning.METHODS["small"]]
    for method, columns in row["methods"].items():
        baseline = row["methods"][learning.BASELINE][SAME_REJECTION][0]
        mean, low, high = row["to_readout+replay"][method][SAME_REJECTION]
        assert mean == pytest.approx(columns[SAME_REJECTION][0] - baseline, abs=0.011)
        assert low <= mean <= high
    monkeypatch.setattr(learning, "measure", None)
    learning.run({False: read_tree(tree)}, speakers, 1, file)
    assert json.loads(file.read_text()) == [row]
