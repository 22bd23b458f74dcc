# SPDX-License-Identifier: Apache-2.0
"""Tables and pictures of results."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tracekws.errors import DataError
from tracekws.figure import write_figure
from tracekws.lab.experiment import (
    Plan,
    RuleSettings,
    RunResult,
    config_of,
    read_results,
    rule_named,
)
from tracekws.lab.fingerprint import fingerprint
from tracekws.lab.tasks import task_of


@dataclass(frozen=True)
class RuleRow:
    """A rule on a task: what its seeds gave together."""

    task: str
    config: str
    rule: str
    settings: RuleSettings
    epochs: int
    data: str
    seeds: int
    validation: float
    """Mean accuracy in percent."""
    test: float
    deviation: float | None
    """Standard deviation of the tests over seeds; None for a single one."""
    seconds: float
    """Mean of a run."""
    state_bytes: int
    """The most of a run, with Adam's moments and sums of gradients."""
    fixed_bytes: int
    code: str
    """Fingerprint of code and default settings; empty where it was not recorded."""
    standing: str
    """What that is to what is here: PRESENT, OTHER or NOT_RECORDED."""


PRESENT, OTHER, NOT_RECORDED = "present", "other", "not recorded"


def standing_of(result: RunResult) -> str:
    """Whether a result is of the code and default settings that are here."""
    if not result.code:
        return NOT_RECORDED
    try:
        _, config = config_of(task_of(result.task), result.config)
        here = fingerprint(rule_named(result.rule), config)
    except DataError:
        return OTHER
    return PRESENT if result.code == here else OTHER


def deviation(values: ArrayLike) -> float | None:
    """Standard deviation of a sample (N,); None of a single value."""
    sample = np.asarray(values)
    return float(sample.std(ddof=1)) if len(sample) > 1 else None


def rows_of(results: Sequence[RunResult]) -> list[RuleRow]:
    """Rows of all results that are no trials, the best test of each task first.

    A run that is there twice counts once.

    Raises:
        DataError: the same run has two different accuracies.
    """
    groups: dict[tuple[str, ...], dict[int, RunResult]] = {}
    for result in results:
        if not result.trial:
            about = (result.task, result.config, result.data, result.rule, result.epochs)
            key = (*map(str, about), str(result.settings), result.code)
            there = groups.setdefault(key, {}).setdefault(result.seed, result)
            one, other = ((run.validation, run.test) for run in (there, result))
            if one != other:
                raise DataError(
                    f"{result.task}, {result.rule}, seed {result.seed}: two results of one run, "
                    f"validation and testing {one} and {other} %; leave one of them out"
                )
    rows = []
    for group in (list(seeds.values()) for seeds in groups.values()):
        tests = [float(result.test or 0) for result in group]
        first = group[0]
        rows.append(
            RuleRow(
                task=first.task,
                config=first.config,
                rule=first.rule,
                settings=first.settings,
                epochs=first.epochs,
                data=first.data,
                seeds=len(group),
                validation=float(np.mean([result.validation for result in group])),
                test=float(np.mean(tests)),
                deviation=deviation(tests),
                seconds=float(np.mean([result.seconds for result in group])),
                state_bytes=max(result.state_bytes for result in group),
                fixed_bytes=max(result.fixed_bytes for result in group),
                code=first.code,
                standing=standing_of(first),
            )
        )
    return sorted(rows, key=lambda row: (row.task, row.config, row.data, -row.test))


def read_rows(paths: Sequence[Path]) -> list[RuleRow]:
    """Rows of the results in files.

    Raises:
        DataError: there is no such file, it is none of results, or it has none but trials; or the
            same run has two different accuracies.
    """
    results: list[RunResult] = []
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file; `tracekws lab compare` writes one")
        results += read_results(path, RunResult)
    rows = rows_of(results)
    if not rows:
        raise DataError(f"{', '.join(map(str, paths))}: no results but trials yet")
    return rows


def by_task(rows: Sequence[RuleRow]) -> dict[str, list[RuleRow]]:
    """Rows of each task, config and data, by a title."""
    tasks: dict[str, list[RuleRow]] = {}
    for row in rows:
        tasks.setdefault(f"{row.task}, {row.config}, data {row.data[:8]}", []).append(row)
    return tasks


def summary(rows: Sequence[RuleRow]) -> list[dict[str, object]]:
    """Plain data for --json."""
    return [asdict(row) for row in rows]


def left_out(plans: Sequence[Plan]) -> list[dict[str, str | int]]:
    """Rules of runs that were left out, each with the number of its trials and of its seeds."""
    counts: dict[str, dict[str, str | int]] = {}
    for rule in dict.fromkeys(plan.rule for plan in plans):
        own = [plan.trial for plan in plans if plan.rule == rule]
        counts[rule] = {"rule": rule, "trials": sum(own), "seeds": len(own) - sum(own)}
    return list(counts.values())


def picture(rows: Sequence[RuleRow], path: Path) -> None:
    """Draw accuracy with its spread, and beside it the bytes of state; a line a rule.

    Raises:
        DataError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    tasks = by_task(rows)
    height = 1.2 * len(tasks) + 0.35 * len(rows)
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    for (left, right), (title, best_first) in zip(axes, tasks.items(), strict=True):
        of_task = best_first[::-1]
        rules = [row.rule for row in of_task]
        names = [
            row.rule if rules.count(row.rule) == 1 else f"{row.rule} {row.code[:6]}"
            for row in of_task
        ]
        spread = [row.deviation or 0 for row in of_task]
        left.errorbar([row.test for row in of_task], names, xerr=spread, fmt="o", capsize=3)
        left.set_xlabel("accuracy on testing, %, and its standard deviation over seeds")
        left.set_title(title)
        right.barh(names, [max(1, row.state_bytes) for row in of_task])
        right.set_xscale("log")
        right.set_xlabel("bytes that rule and optimiser keep for a batch")
        for one in (left, right):
            one.grid(alpha=0.3)
    write_figure(figure, path)
