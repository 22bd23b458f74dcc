# SPDX-License-Identifier: Apache-2.0
"""A rule on a task: training passes, accuracy, time and memory; and rules compared fairly.

All rules of a comparison get the same starting weights, passes, batches and number of trials to
choose their rates. A trial is a run with seed 0 whose rates are the defaults (`with_rates`) times
two random factors (Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 13,
2012); the one that is best on validation then runs with every seed, and is tested.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray

from tracekws.data import Progress
from tracekws.errors import DataError
from tracekws.files import MIB, check_writable, parse_json, read_text
from tracekws.lab.data import Clips, Config, Split, Task, augmented
from tracekws.lab.fingerprint import fingerprint
from tracekws.lab.memory import bytes_of
from tracekws.lab.network import LabError, Network
from tracekws.lab.rule import Rule
from tracekws.lab.rules import RULES
from tracekws.parallel import spread

TRIAL_SEED = 0
FACTOR = 10.0
"""Rates of a trial lie within this factor of the defaults, either way."""
MOST_BYTES = 64 * MIB
"""Of a file of results."""
MOST_NUMBER = 1e15
"""In it."""
LAST_RATE = 0.25
"""What is left of the rates where a cosine ends: after the last pass, whose own are higher."""

RuleSettings = dict[str, Any]
Line = TypeVar("Line")


@dataclass(frozen=True)
class Plan:
    """What to run."""

    rule: str
    settings: RuleSettings
    seed: int
    epochs: int
    trial: bool = False
    """Whether it only chooses rates: then it is not tested."""
    code: str = ""
    """Fingerprint of the code and default settings that run it (fingerprint.py)."""


@dataclass(frozen=True)
class RunResult:
    """What a plan gave; a line of the file of results."""

    task: str
    config: str
    rule: str
    settings: RuleSettings
    seed: int
    epochs: int
    trial: bool
    data: str
    """Digest of the split."""
    version: str
    validation: float
    """Accuracy in percent."""
    test: float | None
    """In percent; None for a trial."""
    seconds: float
    state_bytes: int
    """What the rule kept at the end of the last training batch, weights aside.

    Adam's moments and sums of gradients are among it, which memory.py leaves out.
    """
    fixed_bytes: int
    """Of it, matrices that never change."""
    code: str = ""
    """The plan's; empty in lines from before it was recorded."""


def results_of(
    results: Sequence[RunResult], plan: Plan, task: Task, config: str, split: Split
) -> list[RunResult]:
    """The results of a plan, of whatever code."""
    wanted = asdict(plan) | {"task": task.name, "config": config, "data": split.digest}
    del wanted["code"]
    return [
        result
        for result in results
        if all(getattr(result, key) == value for key, value in wanted.items())
    ]


def found(
    results: Sequence[RunResult], plan: Plan, task: Task, config: str, split: Split
) -> RunResult | None:
    """The result that a plan would give again; none if only other code has given one."""
    own = results_of(results, plan, task, config, split)
    return next((result for result in own if result.code == plan.code), None)


def stale(
    results: Sequence[RunResult], plans: Iterable[Plan], task: Task, config: str, split: Split
) -> int:
    """How many plans have results, but of other code or of code that is not known."""
    return sum(
        bool(results_of(results, plan, task, config, split))
        and found(results, plan, task, config, split) is None
        for plan in plans
    )


def rule_named(name: str) -> type[Rule]:
    """The rule of this name.

    Raises:
        DataError: there is none.
    """
    if name not in RULES:
        raise DataError(f"no rule '{name}'; there are: {', '.join(RULES)}")
    return RULES[name]


def config_of(task: Task, name: str | None) -> tuple[str, Config]:
    """A task's config and its name; the first one by default.

    Raises:
        DataError: there is none of this name.
    """
    if name is None:
        name = next(iter(task.configs))
    if name not in task.configs:
        raise DataError(
            f"task {task.name} has no config '{name}'; there are: {', '.join(task.configs)}"
        )
    return name, task.configs[name]


def with_rates(rule: str, config: Config, settings: RuleSettings) -> RuleSettings:
    """Settings and the rates that they lack: the config's, or, but for Adam, the rule's own."""
    known = rule_named(rule).settings() | settings
    adam = known["optimiser"] == "adam"
    rates = {name: config.rate if adam else known[name] for name in ("rate", "readout_rate")}
    return rates | settings


def settings_of(rule: str, given: Iterable[str]) -> RuleSettings:
    """A rule's settings from texts key=value.

    Raises:
        DataError: a key that the rule does not have, or a value of another kind.
    """
    known = {k: v for k, v in rule_named(rule).settings().items() if k != "seed"}
    settings: RuleSettings = {}
    for text in given:
        key, equals, value = text.partition("=")
        if key not in known or not equals:
            raise DataError(f"--set {text}: key=value, and {rule} has {', '.join(known)}")
        kind: Callable[[str], Any] = type(known[key])
        try:
            settings[key] = kind(value)
        except ValueError as error:
            raise DataError(f"--set {text}: {key} is a number") from error
    return settings


def batches(
    clips: Clips, size: int, rng: np.random.Generator | None = None
) -> list[NDArray[np.int64]]:
    """Indices of clips in batches, shuffled if asked; a last batch of one joins that before it."""
    order = np.arange(len(clips)) if rng is None else rng.permutation(len(clips))
    return np.split(order, range(size, len(order) - 1, size))


def accuracy(rule: Rule, clips: Clips, size: int) -> float:
    """Percent of clips heard right."""
    right = 0
    for part in batches(clips, size):
        batch = clips.take(part)
        rule.hear(len(batch), batch.steps(), None)
        right += int((rule.finish().argmax(1) == batch.labels).sum())
    return 100 * right / len(clips)


def falling(progress: float) -> float:
    """Share of the rates after a share of the passes."""
    cosine = (1 + np.cos(np.pi * progress)) / 2
    return float(LAST_RATE + (1 - LAST_RATE) * cosine)


def train(
    rule: Rule,
    clips: Clips,
    config: Config,
    epochs: int,
    seed: int,
    progress: Progress,
    deadline: float = float("inf"),
    made: int = 0,
    keep: Callable[[int], None] = lambda made: None,
) -> int | None:
    """Passes over clips; bytes kept in the last batch, or None when the deadline comes first.

    Args:
        rule: learns.
        clips: in batches, shuffled anew each pass.
        config: size of a batch, and what is done to its clips.
        epochs: passes.
        seed: of the batches and of that.
        progress: over batches.
        deadline: monotonic time.
        made: passes that the rule has learned from before; the others are as if it had not stopped.
        keep: called after each pass with the number made.
    """
    rates = {
        name: value
        for name, value in vars(rule).items()
        if name == "rate" or name.endswith("_rate")
    }
    rng = np.random.default_rng(seed)
    start = time.monotonic()
    kept = 0
    count = len(batches(clips, config.batch))
    before, done, total = made * count, made * count, epochs * count
    for epoch in range(epochs):
        parts = batches(clips, config.batch, rng)
        if epoch < made:
            continue
        change = np.random.default_rng((seed, 1, epoch))
        for name, value in rates.items():
            setattr(rule, name, value * falling(epoch / epochs))
        for part in parts:
            batch = augmented(clips.take(part), config, change)
            rule.hear(len(batch), batch.steps(), batch.labels)
            done += 1
            if done == total:
                kept = bytes_of(rule.stored().values())
            rule.finish()
            progress(done, total)
            now = time.monotonic()
            if now + (now - start) * (total - done) / (done - before) > deadline:
                return None
        keep(epoch + 1)
    return kept


def new_network(config: Config, split: Split, seed: int) -> Network:
    """A config's network for the data of a split, not trained yet."""
    return Network(
        config.network,
        tuple(split.train.events.shape[2:]),
        len(split.classes),
        config.constants,
        seed=seed,
        standardised=config.standardised,
    )


def run(
    task: Task,
    config_name: str | None,
    split: Split,
    plan: Plan,
    progress: Progress = lambda done, total: None,
    deadline: float = float("inf"),
) -> RunResult | None:
    """Train by a rule and measure; None where it would not be done by the deadline (monotonic).

    The same seed gives every rule the same starting weights, batches, crops and flips.

    Raises:
        LabError: the rule does not fit the network.
    """
    name, config = config_of(task, config_name)
    start = time.monotonic()
    network = new_network(config, split, plan.seed)
    rule = rule_named(plan.rule)(network=network, seed=plan.seed, **plan.settings)
    kept = train(rule, split.train, config, plan.epochs, plan.seed, progress, deadline)
    if kept is None:
        return None
    return RunResult(
        task=task.name,
        config=name,
        **asdict(plan),
        data=split.digest,
        version=version("tracekws"),
        validation=accuracy(rule, split.validation, config.batch),
        test=None if plan.trial else accuracy(rule, split.test, config.batch),
        seconds=time.monotonic() - start,
        state_bytes=kept,
        fixed_bytes=bytes_of(rule.fixed.values()),
    )


def read_results(path: Path, form: type[Line]) -> list[Line]:
    """Results in a file, a line each; none where there is no file.

    Raises:
        DataError: a line is no result of this version's form.
    """
    results: list[Line] = []
    if not path.exists():
        return results
    hints = get_type_hints(form)
    for number, line in enumerate(read_text(path, MOST_BYTES).splitlines(), 1):
        try:
            values = parse_json(line)
            result = form(**values)
            fitting = all(fits(value, hints[name]) for name, value in values.items())
        except (ValueError, TypeError) as error:
            raise no_result(path, number) from error
        if not fitting:
            raise no_result(path, number)
        results.append(result)
    return results


def no_result(path: Path, number: int) -> DataError:
    """What to say of a line that is none."""
    return DataError(f"{path}: line {number} is no result; remove it, or name another file")


def fits(value: object, hint: Any) -> bool:
    """Whether a value of JSON is of a field's type."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if kind is Literal:
        return value in inner
    if kind is list:
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value)
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and abs(value) < MOST_NUMBER
    return isinstance(value, kind or hint)


def write_result(path: Path, result: Any) -> None:
    """Add a line, or nothing at all.

    Raises:
        DataError: the file cannot be written.
    """
    there = path.stat().st_size if path.exists() else None
    try:
        with path.open("ab") as file:
            file.write((json.dumps(asdict(result)) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, there or 0)
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def trials(rule: str, config: Config, epochs: int, count: int) -> list[Plan]:
    """Runs that choose a rule's rates; the first has the defaults."""
    rng = np.random.default_rng(TRIAL_SEED)
    code = fingerprint(rule_named(rule), config)
    defaults = with_rates(rule, config, {})
    plans = []
    for number in range(count):
        factors = FACTOR ** rng.uniform(-1, 1, 2) if number else np.ones(2)
        pairs = zip(defaults.items(), factors, strict=True)
        rates = {name: float(f"{rate * factor:.3g}") for (name, rate), factor in pairs}
        plans.append(Plan(rule, rates, TRIAL_SEED, epochs, trial=True, code=code))
    return plans


def best_of(results: Sequence[RunResult]) -> RuleSettings:
    """Settings of the result that is best on validation; the first of equals."""
    return max(results, key=lambda result: result.validation).settings


@dataclass(frozen=True)
class Lab:
    """A process's copy of a task with its data."""

    task: Task
    config: str | None
    split: Split
    deadline: float

    def carry_out(self, plan: Plan) -> RunResult | str | None:
        """Work of one process on one plan; text where the rule does not fit the network."""
        torch.set_num_threads(1)
        try:
            return run(self.task, self.config, self.split, plan, deadline=self.deadline)
        except LabError as error:
            return str(error)


@dataclass(frozen=True)
class Comparison:
    """What a comparison gave."""

    results: list[RunResult]
    """Of the seeds, not of the trials."""
    left_out: list[Plan]
    """What did not fit into the time."""
    unfit: dict[str, str]
    """Rules that do not fit the network, and why."""
    stale: int = 0
    """Runs whose results in the file are of other code, so that they were made anew."""


def compare(
    task: Task,
    config: str | None,
    data: Path | None,
    rules: Sequence[str],
    seeds: int,
    trial_count: int,
    epochs: int | None,
    path: Path,
    minutes: float | None,
    workers: int | None,
    progress: Progress,
) -> Comparison:
    """Compare rules on a task; what the file has of the same code and defaults is not run again.

    Args:
        task: what is learned.
        config: of the task; its first one by default.
        data: folder of the user's copy, for tasks that need one.
        rules: names.
        seeds: runs of each rule, with the seeds 1, 2, ...
        trial_count: runs that choose each rule's rates.
        epochs: passes of every run; the config's by default.
        path: file of results.
        minutes: what would last longer is left out.
        workers: processes; all cores by default.
        progress: over runs.

    Raises:
        DataError: no such rule or config, data that is not usable, or a file that is no file of
            results or cannot be written.
    """
    check_writable(path)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    torch.set_num_threads(1)  # a pool of threads would not survive into the processes
    name, settings = config_of(task, config)
    passes = epochs or settings.epochs
    rounds = [trials(rule, settings, passes, trial_count) for rule in rules]
    known = read_results(path, RunResult)
    split = task.load(data, TRIAL_SEED)
    make = partial(Lab, task, name, split, deadline)
    total, done, old = len(rules) * (trial_count + seeds), 0, 0
    out = Comparison([], [], {})

    def carry_out(plans: Sequence[Plan]) -> list[RunResult]:
        """Results of plans, those that the file has first."""
        nonlocal done, old
        old += stale(known, plans, task, name, split)
        there, missing = [], []
        for plan in plans:
            if result := found(known, plan, task, name, split):
                there.append(result)
            else:
                missing.append(plan)
        done += len(there)
        for plan, outcome in zip(
            missing, spread(Lab.carry_out, missing, workers, make), strict=True
        ):
            done += 1
            progress(done, total)
            if isinstance(outcome, RunResult):
                write_result(path, outcome)
                there.append(outcome)
            elif outcome is None:
                out.left_out.append(plan)
            else:
                out.unfit[plan.rule] = outcome
        return there

    tried = carry_out([plan for one_of_each in zip(*rounds, strict=True) for plan in one_of_each])
    chosen = {}
    for rule in rules:
        of_rule = [result for result in tried if result.rule == rule]
        if len(of_rule) == trial_count:
            chosen[rule] = best_of(of_rule)
    plans = [
        Plan(rule, chosen.get(rule, {}), seed, passes, code=tries[0].code)
        for seed in range(1, seeds + 1)
        for rule, tries in zip(rules, rounds, strict=True)
        if rule not in out.unfit
    ]
    out.left_out.extend(plan for plan in plans if plan.rule not in chosen)
    out.results.extend(carry_out([plan for plan in plans if plan.rule in chosen]))
    return replace(out, stale=old)
