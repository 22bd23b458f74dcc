# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from host_cli import tracekws, tracekws_json
from tracekws.adaptbench import COLUMNS, METHODS, SAME_REJECTION, Outcome, same_rejection_right
from tracekws.core import pass_scales


def bench(model_file, tree, *more):
    arguments = ("bench", "adapt", str(model_file), "--data", str(tree), "--shots", "2")
    return tracekws_json(*arguments, "--draws", "2", *more)


def test_every_method_has_a_row_with_every_column(model_file, tree):
    report = bench(model_file, tree)
    assert [row["method"] for row in report["rows"]] == list(METHODS)
    assert report["speakers"] == 2
    for row in report["rows"]:
        for name in (*COLUMNS, SAME_REJECTION):
            interval = row["intervals"][name]
            assert 0 <= interval["low"] <= row[name] <= interval["high"] <= 100
            assert row["gain"][name]["mean"] == pytest.approx(
                row[name] - report["rows"][0][name], abs=1e-9
            )
    none = report["rows"][0]
    assert none["keywords_self"] == none[SAME_REJECTION]


def test_the_same_seed_gives_the_same_table_on_any_number_of_cores(model_file, tree):
    tables = [
        bench(model_file, tree, "--workers", workers, "--seed", seed)["rows"]
        for workers, seed in (("1", "5"), ("2", "5"), ("2", "6"))
    ]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


def test_negatives_leave_the_rejection_query(model_file, tree):
    few = bench(model_file, tree, "--method", "readout")
    many = bench(model_file, tree, "--method", "readout", "--negatives", "5")
    assert few["unknown_self_clips"] - many["unknown_self_clips"] == 2 * 5
    assert [row["method"] for row in few["rows"]] == ["none", "readout"]


def test_too_many_shots_is_one_line(model_file, tree):
    done = tracekws("bench", "adapt", str(model_file), "--data", str(tree), "--shots", "4")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: no speaker has 5 takes")


def outcome(keyword: list[int], unknown: list[int]) -> Outcome:
    nothing = np.zeros(4, dtype=np.int64)
    return Outcome(nothing, nothing, np.array(keyword), np.array(unknown))


def test_keywords_at_the_unadapted_rejection_by_hand():
    # Unadapted, 3 of 4 other words are rejected (margin <= 0). Adapted, all margins moved up by 10:
    # the threshold moves to 9, the third margin, and three keywords are above it.
    none = [[outcome([1, 2, 3, -4], [-3, -2, -1, 5])]]
    adapted = [[outcome([11, 12, 13, 6], [7, 8, 9, 15])]]
    assert same_rejection_right(none, none).tolist() == [[3]]
    assert same_rejection_right(adapted, none).tolist() == [[3]]


def test_rates_fall_linearly():
    assert pass_scales(5) == [32767, 26214, 19660, 13107, 6553]
    assert pass_scales(1) == [32767]
