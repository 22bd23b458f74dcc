# SPDX-License-Identifier: Apache-2.0
"""How long a comparison will take, before it begins."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tracekws.data import Progress
from tracekws.files import check_writable
from tracekws.lab.data import Config, Split, Task, augmented
from tracekws.lab.experiment import (
    TRIAL_SEED,
    Comparison,
    Plan,
    RunResult,
    batches,
    best_of,
    compare,
    config_of,
    found,
    new_network,
    read_results,
    rule_named,
    trials,
    with_rates,
)
from tracekws.lab.network import Constants, LabError, LayerSpec


@dataclass(frozen=True)
class RuleForecast:
    """What one rule takes; a rule that does not fit the network takes nothing."""

    rule: str
    run_minutes: float
    """Of one run."""
    runs: int
    """That are to be made."""
    least: int
    """Of them, those before the rule has a result: its trials, and a seed."""


@dataclass(frozen=True)
class Forecast:
    """What a comparison takes."""

    rules: tuple[RuleForecast, ...]
    processes: int

    @property
    def round_minutes(self) -> float:
        """Of one run of each rule."""
        return sum(rule.run_minutes for rule in self.rules) / self.processes

    @property
    def minutes(self) -> float:
        """Of all that is to be made."""
        return sum(rule.run_minutes * rule.runs for rule in self.rules) / self.processes

    def fitting(self, minutes: float) -> list[str]:
        """Rules that have a result after so many minutes, as many as can be: the quickest first."""
        names, spent = [], 0.0
        for rule in sorted(self.rules, key=lambda rule: rule.run_minutes * rule.least):
            spent += rule.run_minutes * rule.least / self.processes
            # a seed waits for the trials
            alone = rule.run_minutes * min(rule.least, 2)
            if max(spent, alone) <= minutes:
                names.append(rule.rule)
        return names


def foresee(
    known: Mapping[str, float],
    runs: Mapping[str, tuple[int, int]],
    measure: Callable[[str], float],
    processes: int,
    progress: Progress,
) -> Forecast:
    """What a comparison takes.

    Args:
        known: seconds of a run by rule, where some were made before.
        runs: by rule: those to be made, and those of them before it has a result.
        measure: seconds of a run of a rule that is not known.
        processes: that make the runs.
        progress: over rules.
    """
    rules: list[RuleForecast] = []
    for number, (rule, (count, least)) in enumerate(runs.items(), 1):
        seconds = known[rule] if rule in known else measure(rule) if count else 0.0
        rules.append(RuleForecast(rule, seconds / 60, count, least))
        progress(number, len(runs))
    return Forecast(tuple(rules), processes)


def seconds_of_run(
    rule: str,
    config: Config,
    split: Split,
    epochs: int,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Time that a run takes, from two batches of learning and one of hearing.

    Args:
        rule: its name.
        config: of the task.
        split: its data.
        epochs: passes of the run.
        clock: time in seconds.

    Returns:
        Seconds; 0 for a rule that does not fit the network, whose run ends at once.
    """
    network = new_network(config, split, TRIAL_SEED)
    parts = batches(split.train, config.batch)
    tests = [*batches(split.validation, config.batch), *batches(split.test, config.batch)]
    learning = 0.0
    try:
        settings = with_rates(rule, config, {})
        learner = rule_named(rule)(network=network, seed=TRIAL_SEED, **settings)
        for part in parts[:2]:  # the first one allocates
            start = clock()
            batch = augmented(split.train.take(part), config, np.random.default_rng(TRIAL_SEED))
            learner.hear(len(batch), batch.steps(), batch.labels)
            learner.finish()
            learning = clock() - start
        start = clock()
        batch = split.validation.take(tests[0])
        learner.hear(len(batch), batch.steps(), None)
        learner.finish()
        hearing = clock() - start
    except LabError:
        return 0.0
    return learning * len(parts) * epochs + hearing * len(tests)


def times_of(
    known: Sequence[RunResult],
    plans: Mapping[str, Sequence[Plan]],
    task: Task,
    config: str,
    split: Split,
) -> dict[str, float]:
    """Seconds that a run of a rule took on average, where there are results of its trials."""
    times = {}
    for rule, of_rule in plans.items():
        there = [result for plan in of_rule if (result := found(known, plan, task, config, split))]
        if there:
            times[rule] = sum(result.seconds for result in there) / len(there)
    return times


def runs_left(
    known: Sequence[RunResult],
    plans: Mapping[str, Sequence[Plan]],
    trial_count: int,
    task: Task,
    config: str,
    split: Split,
) -> dict[str, tuple[int, int]]:
    """By rule: runs that are not in the file, and those of them before the rule has a result.

    Settings of the seeds are those of the best trial: while trials are missing, so are the seeds.
    """
    left = {}
    for rule, of_rule in plans.items():
        tries = [found(known, plan, task, config, split) for plan in of_rule[:trial_count]]
        missing = sum(result is None for result in tries)
        chosen = best_of([result for result in tries if result]) if not missing else {}
        seeds = [replace(plan, settings=chosen) for plan in of_rule[trial_count:]]
        unmade = sum(
            bool(missing) or found(known, plan, task, config, split) is None for plan in seeds
        )
        # the first seed that is to be made gives a result, where none is there yet
        first = min(unmade, 1) if unmade == len(seeds) else 0
        left[rule] = (missing + unmade, missing + first)
    return left


@dataclass(frozen=True)
class Loaded:
    """A task whose data is there, so that it is not read again."""

    name: str
    summary: str
    needs: str
    configs: Mapping[str, Config]
    network: tuple[LayerSpec, ...]
    constants: Constants
    split: Split

    def load(self, data: Path | None, seed: int) -> Split:
        """What was loaded."""
        return self.split


def compare_within(
    minutes: float,
    task: Task,
    config: str | None,
    data: Path | None,
    rules: Sequence[str],
    seeds: int,
    trial_count: int,
    epochs: int | None,
    path: Path,
    workers: int | None,
    progress: Progress,
    foreseen: Callable[[Forecast], None],
    foreseeing: Progress = lambda done, total: None,
) -> Comparison:
    """Compare the rules that have a result within a time; the others are left out from the start.

    Args:
        minutes: the time.
        task: as of experiment.compare(), and so the others.
        config: of the task.
        data: folder of the user's copy.
        rules: names.
        seeds: runs of each rule.
        trial_count: runs that choose its rates.
        epochs: passes.
        path: file of results.
        workers: processes.
        progress: over runs.
        foreseen: given what all of it will take, before the first run.
        foreseeing: over rules, whose time is measured.

    Raises:
        DataError: as of experiment.compare().
    """
    start = time.monotonic()
    check_writable(path)
    torch.set_num_threads(1)  # as compare() does, and for the same reason
    name, settings = config_of(task, config)
    passes = epochs or settings.epochs
    everything = {
        rule: [
            *(tries := trials(rule, settings, passes, trial_count)),
            *(replace(tries[0], seed=seed, trial=False) for seed in range(1, seeds + 1)),
        ]
        for rule in rules
    }
    known = read_results(path, RunResult)
    split = task.load(data, TRIAL_SEED)
    forecast = foresee(
        times_of(known, everything, task, name, split),
        runs_left(known, everything, trial_count, task, name, split),
        lambda rule: seconds_of_run(rule, settings, split, passes),
        workers or os.cpu_count() or 1,
        foreseeing,
    )
    foreseen(forecast)
    there = forecast.fitting(minutes)
    left_out = [plan for rule in rules if rule not in there for plan in everything[rule]]
    if not there:
        return Comparison([], left_out, {})
    spent = (time.monotonic() - start) / 60
    about = (task.name, task.summary, task.needs, task.configs, task.network, task.constants)
    done = compare(
        Loaded(*about, split),
        *(name, data, [rule for rule in rules if rule in there], seeds, trial_count, epochs, path),
        *(max(minutes - spent, 0), workers, progress),
    )
    return replace(done, left_out=[*left_out, *done.left_out])
