# SPDX-License-Identifier: Apache-2.0
"""Running and comparing rules: a task that can be learned, files of results, budgets, refusals."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from host_cli import tracekws  # noqa: E402
from labtask import CONSTANTS, DENSE, FILE, TASK, Lines, compared  # noqa: E402
from tracekws.errors import DataError  # noqa: E402
from tracekws.lab import experiment, report  # noqa: E402
from tracekws.lab import forecast as forecasting  # noqa: E402
from tracekws.lab.data import Clips, Config, Split, split_of_three  # noqa: E402
from tracekws.lab.experiment import Plan, compare, with_rates  # noqa: E402
from tracekws.lab.forecast import (  # noqa: E402
    Forecast,
    compare_within,
    foresee,
    seconds_of_run,
)
from tracekws.lab.network import Conv, Network  # noqa: E402
from tracekws.lab.rules import RULES  # noqa: E402
from tracekws.lab.rules.readout import ReadoutOnly  # noqa: E402


def test_a_task_that_can_be_learned_is_learned() -> None:
    split = TASK.load(None, 0)
    learned = experiment.run(TASK, None, split, Plan("bptt", {"rate": 3e-3}, 1, 20))
    assert learned is not None
    assert learned.test is not None
    assert learned.test > 70  # chance is 33
    assert learned.data == split.digest
    again = experiment.run(TASK, None, split, Plan("bptt", {"rate": 3e-3}, 1, 20))
    assert again is not None
    assert replace(again, seconds=learned.seconds) == learned
    still = experiment.run(
        TASK, None, split, Plan("bptt", {"rate": 0.0, "readout_rate": 0.0}, 1, 1)
    )
    assert still is not None
    assert still.test is not None
    assert still.test < learned.test - 15


def test_rates_fall_and_are_scaled_alike_for_every_rule() -> None:
    assert experiment.falling(0) == 1
    assert experiment.falling(1) == pytest.approx(experiment.LAST_RATE)
    for rule, rate, readout_rate in (("tp", 1e-3, 1e-3), ("device", 2.8e-4, 1.0)):
        first, *others = experiment.trials(rule, DENSE, 3, 4)
        assert first.settings == {"rate": rate, "readout_rate": readout_rate}
        factors = [
            (p.settings["rate"] / rate, p.settings["readout_rate"] / readout_rate) for p in others
        ]
        assert all(0.1 <= f <= 10 for pair in factors for f in pair)
        assert len(set(factors)) == 3


def test_a_config_s_rate_is_that_of_all_weights_unless_one_is_set() -> None:
    config = replace(DENSE, rate=5e-4)
    assert with_rates("tp", config, {}) == {"rate": 5e-4, "readout_rate": 5e-4}
    given = with_rates("tp", config, experiment.settings_of("tp", ["rate=1e-2", "gain=2"]))
    assert given == {"rate": 1e-2, "readout_rate": 5e-4, "gain": 2.0}
    # It is Adam's: a rule that descends in another way has rates of its own.
    assert with_rates("device", config, {})["readout_rate"] == 1.0
    plain = with_rates("bptt", config, {"optimiser": "sgd"})
    assert plain == {"rate": 1e-3, "readout_rate": 1e-3, "optimiser": "sgd"}


class Listener(ReadoutOnly):
    """The readout's rule, which writes down what it hears."""

    def step(self, x: torch.Tensor) -> None:
        """Keep the input."""
        self.heard = [*getattr(self, "heard", []), x]
        super().step(x)


def test_every_rule_hears_the_same_crops_and_flips() -> None:
    plane = Config((Conv(2),), CONSTANTS, 4, 2, 1e-3, "of this test", crop=2, flip=True)
    events = (torch.rand(6, 3, 1, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.5).byte()
    train = Clips(events, torch.arange(6) % 2)

    def heard(seed: int, network_seed: int) -> list[torch.Tensor]:
        network = Network(plane.network, (1, 5, 6), 2, CONSTANTS, seed=network_seed)
        listener = Listener(network=network)
        experiment.train(listener, train, plane, 2, seed, lambda done, total: None, float("inf"))
        return listener.heard

    one = heard(1, 1)
    assert all(torch.equal(x, y) for x, y in zip(one, heard(1, 2), strict=True))
    assert any(not torch.equal(x, y) for x, y in zip(one, heard(2, 1), strict=True))
    first, second = torch.cat(one[:3]).sum(), torch.cat(one[-3:]).sum()
    assert first != second  # drawn anew in each pass


def test_a_comparison_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = compared(tmp_path, "readout", "tp")
    lines = (tmp_path / FILE).read_text().splitlines()
    assert len(lines) == 8  # 2 rules, 2 trials and 2 seeds
    assert {json.loads(line)["trial"] for line in lines} == {True, False}
    rows = report.rows_of(whole.results)
    assert [row.seeds for row in rows] == [2, 2]
    assert {row.rule for row in rows} == {"readout", "tp"}

    (tmp_path / FILE).write_text("\n".join(lines[:5]) + "\n")
    resumed = compared(tmp_path, "readout", "tp")
    assert (tmp_path / FILE).read_text().splitlines()[:5] == lines[:5]

    def of(comparison: experiment.Comparison) -> list[tuple[str, int, float]]:
        return sorted((r.rule, r.seed, r.validation) for r in comparison.results)

    assert of(resumed) == of(whole)
    assert report.rows_of(
        experiment.read_results(tmp_path / FILE, experiment.RunResult)
    ) == report.rows_of(resumed.results)


def test_rates_are_those_that_are_best_on_validation(tmp_path: Path) -> None:
    done = compared(tmp_path, "bptt")
    tried = [r for r in experiment.read_results(tmp_path / FILE, experiment.RunResult) if r.trial]
    best = max(tried, key=lambda result: result.validation)
    assert {str(result.settings) for result in done.results} == {str(best.settings)}
    assert all(result.test is None for result in tried)


def test_what_does_not_fit_into_the_time_is_named(tmp_path: Path) -> None:
    done = compared(tmp_path, "readout", "tp", minutes=0)
    assert done.results == []
    assert {(plan.rule, plan.trial) for plan in done.left_out} == {
        (rule, trial) for rule in ("readout", "tp") for trial in (True, False)
    }


def forecast(left: dict[str, tuple[int, int]], seconds: dict[str, float]) -> Forecast:
    """Of two processes; all is measured."""
    return foresee({}, left, lambda rule: seconds[rule], 2, lambda done, total: None)


def test_a_forecast_adds_up() -> None:
    found = forecast({"a": (11, 7), "b": (11, 7)}, {"a": 60, "b": 240})
    assert (found.round_minutes, found.minutes) == (2.5, 27.5)
    assert found.fitting(3.4) == []
    assert found.fitting(3.5) == ["a"]
    assert found.fitting(17.4) == ["a"]
    assert found.fitting(17.5) == ["a", "b"]


@pytest.mark.parametrize(
    ("left", "minutes", "fits"),
    [((0, 0), 0, True), ((1, 1), 1, True), ((2, 2), 1.9, False), ((4, 0), 0, True)],
    ids=["all there", "a seed", "a seed behind a trial", "more seeds of a result that is there"],
)
def test_a_rule_fits_when_it_has_a_result(
    left: tuple[int, int], minutes: float, fits: bool
) -> None:
    assert (forecast({"a": left}, {"a": 60}).fitting(minutes) == ["a"]) == fits


def test_what_was_run_before_is_not_measured() -> None:
    found = foresee({"a": 30}, {"a": (2, 1)}, lambda rule: 1 / 0, 1, lambda done, total: None)
    assert found.round_minutes == 0.5


def test_a_run_is_measured_on_its_batches() -> None:
    """Of a clock that a second passes at with each look."""
    ticks = iter(range(100))
    split = TASK.load(None, 0)
    seconds = seconds_of_run("bptt", DENSE, split, 6, lambda: float(next(ticks)))
    train, tests = 90 // 16 + 1, 45 // 16 + 1 + 60 // 16 + 1
    assert seconds == train * 6 + tests
    assert next(ticks) == 6, "two batches and one of hearing"


def test_rules_that_have_no_time_are_left_out_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    known = {"readout": 0.001, "tp": 1e6}
    monkeypatch.setattr(
        forecasting, "seconds_of_run", lambda rule, config, split, epochs: known[rule]
    )
    told: list[Forecast] = []
    how = (60.0, TASK, None, None, ["tp", "readout"], 2, 2, None, tmp_path / FILE, 1)
    done = compare_within(*how, lambda done, total: None, told.append)
    assert {result.rule for result in done.results} == {"readout"}
    assert [forecast.fitting(60) for forecast in told] == [["readout"]]
    assert report.left_out(done.left_out) == [{"rule": "tp", "trials": 2, "seeds": 2}]
    again: list[Forecast] = []
    compare_within(*how, lambda done, total: None, again.append)
    (tp, readout) = again[0].rules
    assert (tp.runs, tp.least, readout.runs, readout.least) == (4, 3, 0, 0)


def test_a_comparison_says_at_once_what_has_room(tmp_path: Path) -> None:
    words = ("lab", "compare", "--task", "digits", "--output", str(tmp_path / FILE))
    done = tracekws(*words, "--minutes", "0.0001", "--json")
    assert done.returncode == 1
    *said, last = done.stderr.splitlines()
    assert re.match(
        r"a round, one run of each of 12 rules, needs about \d+\.\d minutes on ", said[-2]
    )
    assert re.match(
        r"0.0001 minutes have room for no rule; not for tp \(\d+\.\d a run\), ", said[-1]
    )
    assert last.startswith("error: nothing has a result within 0.0001 minutes: ")
    assert json.loads(done.stdout)["error"]["code"] == 1
    for name in RULES:
        assert len(re.findall(rf"\b{name} \(", done.stderr)) == 1
    assert not (tmp_path / FILE).exists()


def test_a_rule_that_does_not_fit_the_network_is_named(tmp_path: Path) -> None:
    plane = Config((Conv(2),), CONSTANTS, 16, 1, 1e-3, "of this test")

    class Planes(Lines):
        """The same spikes on a plane."""

        def load(self, data: Path | None, seed: int) -> Split:
            """As a picture of 3 x 4."""
            split = super().load(data, seed)
            parts = (split.train, split.validation, split.test)
            return split_of_three(
                *(replace(c, events=c.events.view(len(c), 15, 1, 3, 4)) for c in parts),  # type: ignore[call-arg, arg-type]
                split.classes,
            )

    task = Planes(configs={"plane": plane})
    done = compare(
        task, None, None, ["eprop", "tp"], 1, 1, None, tmp_path / FILE, None, 1, lambda a, b: None
    )
    assert set(done.unfit) == {"eprop"}
    assert "dense" in done.unfit["eprop"]
    assert [result.rule for result in done.results] == ["tp"]
    assert done.left_out == []


def test_damaged_results_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text('{"task": "lines"}\n')
    with pytest.raises(DataError, match="line 1 is no result"):
        experiment.read_results(path, experiment.RunResult)
    path.write_text("no JSON\n")
    with pytest.raises(DataError, match="line 1 is no result"):
        experiment.read_results(path, experiment.RunResult)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--task", "nothing", "--rule", "tp"), "no task 'nothing'"),
        (("run", "--task", "digits", "--rule", "magic"), "no rule 'magic'"),
        (("run", "--task", "digits", "--rule", "tp", "--set", "rate=fast"), "rate is a number"),
        (("run", "--task", "digits", "--rule", "tp", "--set", "speed=1"), "tp has"),
        (("run", "--task", "digits", "--rule", "tp", "--set", "rate=nan"), "not a finite number"),
        (("run", "--task", "digits", "--rule", "tp", "--set", "rate=1e999"), "not a finite number"),
        (("run", "--task", "digits", "--rule", "tp", "--config", "huge"), "no config 'huge'"),
        (("run", "--task", "digits", "--rule", "etlp", "--set", "period=0"), "period=0: steps"),
        (("shots", "--data", "none", "--adapt", "etlp", "--adapt-set", "period=0"), "period=0: "),
        (("shots", "--data", "none", "--adapt-set", "rate=inf"), "--adapt-set rate=inf: not a fi"),
        (("report", "missing.jsonl"), "no such file"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    done = tracekws("lab", *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_report_draws(tmp_path: Path) -> None:
    compared(tmp_path, "readout", "prototype")
    done = tracekws("lab", "report", str(tmp_path / FILE), "--picture", str(tmp_path / "a.png"))
    assert done.returncode == 0, done.stderr
    assert "prototype" in done.stdout
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_a_run_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    results = compared(tmp_path, "readout").results
    repeats = [replace(result, seconds=2 * result.seconds) for result in results]
    (row,) = report.rows_of([*results, *repeats])
    assert row.seeds == 2
    assert [row] == report.read_rows([tmp_path / FILE]) == report.read_rows(2 * [tmp_path / FILE])
    other = replace(results[1], test=0.0)
    with pytest.raises(DataError, match=r"lines, readout, seed 2: two .* and \(.*, 0.0\) %; leave"):
        report.rows_of([*results, other])


def test_memory_is_shown_along_an_axis() -> None:
    done = tracekws("lab", "memory", "--axis", "batch", "--rule", "tp", "--json")
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout)["batch"] if row["rule"] == "tp"]
    kept = [row["state_bytes"] for row in rows]
    assert kept == sorted(set(kept))
    assert tracekws("lab", "memory", "--axis", "colour").returncode == 2
