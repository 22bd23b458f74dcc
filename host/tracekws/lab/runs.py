# SPDX-License-Identifier: Apache-2.0
"""What `lab run` and `lab shots` do: plans of what was asked for, carried out, and their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracekws.data import Stage
from tracekws.errors import DataError
from tracekws.files import check_writable
from tracekws.lab import experiment, report, shots
from tracekws.lab.data import Config, Task
from tracekws.lab.experiment import Plan, RuleSettings
from tracekws.lab.fingerprint import fingerprint
from tracekws.lab.tasks.commands import Commands, Splitting


def settings_of(rule: str, given: Sequence[str]) -> RuleSettings:
    """A rule's settings from texts key=value.

    Raises:
        DataError: no such rule or setting, or a value that it cannot have.
    """
    settings = experiment.settings_of(rule, given)
    if settings.get("period", 1) < 1:
        raise DataError(f"--set period={settings['period']}: steps between events, 1 or more")
    return settings


def plans_of(
    rule: str, settings: RuleSettings, config: Config, epochs: int | None, seeds: int
) -> list[Plan]:
    """Runs of a rule with the seeds 1, 2, ...; passes are the config's by default."""
    code = fingerprint(experiment.rule_named(rule), config)
    passes = epochs or config.epochs
    return [Plan(rule, settings, seed, passes, code=code) for seed in range(1, seeds + 1)]


@dataclass(frozen=True)
class SeedRuns:
    """What a rule's seeds gave."""

    rows: list[report.RuleRow]
    stale: int
    """Runs whose results in the file are of other code, so that they were made anew."""


def run_seeds(
    task: Task,
    rule: str,
    *,
    given: Sequence[str],
    config: str | None,
    epochs: int | None,
    seeds: int,
    data: Path | None,
    path: Path,
    stage: Stage,
) -> SeedRuns:
    """Train and test by one rule; what the file has of the same code is not run again.

    Args:
        task: what is learned.
        rule: its name.
        given: settings of it, as texts key=value.
        config: of the task; its first one by default.
        epochs: passes; the config's by default.
        seeds: runs, with the seeds 1, 2, ...
        data: folder of the user's copy, for tasks that need one.
        path: file of results.
        stage: over the batches of a run.

    Raises:
        DataError: no such rule, setting or config, data that is not usable, or a file that is no
            file of results or cannot be written.
        LabError: the rule does not fit the network.
    """
    name, chosen = experiment.config_of(task, config)
    settings = experiment.with_rates(rule, chosen, settings_of(rule, given))
    plans = plans_of(rule, settings, chosen, epochs, seeds)
    check_writable(path)
    known = experiment.read_results(path, experiment.RunResult)
    split = task.load(data, experiment.TRIAL_SEED)
    results = []
    for plan in plans:
        there = experiment.found(known, plan, task, name, split)
        if there is None:
            progress = stage(f"{rule}, seed {plan.seed}")
            there = experiment.run(task, name, split, plan, progress)
            assert there is not None  # there is no deadline
            experiment.write_result(path, there)
        results.append(there)
    stale = experiment.stale(known, plans, task, name, split)
    return SeedRuns(report.rows_of(results), stale)


@dataclass(frozen=True)
class ShotRuns:
    """What shots of new speakers gave."""

    rows: list[shots.ShotsRow]
    left_out: list[str]
    """Speakers with too few takes."""
    stale: int
    """Cases whose results in the file are of other code, so that they were made anew."""
    epochs: int
    """Passes of the training."""


def run_shots(
    data: Path,
    folder: Path,
    *,
    splitting: Splitting,
    speakers: Sequence[str] | None,
    rule: str,
    given: Sequence[str],
    adapt: str,
    adapt_given: Sequence[str],
    config: str | None,
    epochs: int | None,
    seeds: int,
    passes: int,
    counts: Sequence[int | None] | None,
    repeats: int | None,
    stage: Stage,
) -> ShotRuns:
    """Train networks, and adapt copies of them to new speakers; what the folder has stays.

    Args:
        data: Speech Commands tree.
        folder: of the networks' files and of the file of results.
        splitting: how the recordings of who is held out are divided.
        speakers: who is held out; the tree's list by default, else the paper's speaker.
        rule: trains the networks.
        given: settings of it, as texts key=value.
        adapt: the rule of the copies; where it is that of training, so are its settings.
        adapt_given: settings of it, as texts, before those of the training.
        config: of the task; its first one by default.
        epochs: passes of the training; the config's by default.
        seeds: networks, with the seeds 1, 2, ...
        passes: over the shots.
        counts: takes of a word to learn from, None for all; those of the splitting by default.
        repeats: names of each recording that is also split as published; None for not at all.
        stage: over the batches of a training, and over the adaptations.

    Raises:
        DataError: see shots.run(); or no such rule, setting or config.
        LabError: a rule does not fit the network.
    """
    task = Commands(splitting, None if speakers is None else tuple(speakers))
    name, chosen = experiment.config_of(task, config)
    settings, own = settings_of(rule, given), settings_of(adapt, adapt_given)
    if adapt == rule:
        own = settings | own
    how = shots.Adapt(adapt, experiment.with_rates(adapt, chosen, own), passes)
    plans = plans_of(rule, experiment.with_rates(rule, chosen, settings), chosen, epochs, seeds)
    asked = shots.SHOTS[splitting] if counts is None else counts
    outcome = shots.run(task, name, data, plans, how, asked, repeats, folder, stage)
    rows = shots.rows_of(outcome.results, task)
    return ShotRuns(rows, outcome.left_out, outcome.stale, plans[0].epochs)
