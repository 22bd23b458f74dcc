# SPDX-License-Identifier: Apache-2.0
"""The paper's speaker adaptation (arXiv 2509.13053, 4.4): shots of a new speaker's words.

A network is trained by a rule on all other speakers, once a seed, and kept in a file. A copy of it
learns a speaker's support by a rule, with the same seed (so the same S) and new moments of Adam,
and is asked the query: both from tasks/commands.py. All numbers of shots are asked the same clips.

What repeated recordings give away: the recordings of the speakers who are held out are put there
under several names each, and split as published. The same network learns and is asked the same
words, once from these names, once from distinct recordings. At the same number of shots nothing
else differs. All shots are more recordings as well when they are split as published: 80 % of the
names of a word are nearly all of its recordings.
"""

import copy
import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import torch

from tracekws.data import Progress, Stage
from tracekws.errors import DataError
from tracekws.files import MIB, check_folder, parse_json, read_bytes, write
from tracekws.lab import experiment
from tracekws.lab.data import Clips, Config, Figure, Split
from tracekws.lab.experiment import Plan, RuleSettings
from tracekws.lab.fingerprint import fingerprint
from tracekws.lab.network import Network
from tracekws.lab.report import deviation
from tracekws.lab.rule import Rule
from tracekws.lab.rules.prototype import Prototype
from tracekws.lab.tasks.commands import PAPER_SPEAKER, Adaptation, Commands, HeldOut, Splitting

PASSES = 3
"""Over the support: the paper's."""
SHOTS: dict[Splitting, tuple[int | None, ...]] = {
    "distinct": (0, 1, 3),
    "published": (0, 1, 5, None),
}
"""Takes of a word to learn from; None is all. Distinct recordings are too few for five."""
RESULTS = "shots.jsonl"
MOST_BYTES = 1024 * MIB
"""Of a network's file."""
LEAST = 2
"""Clips that a support needs: Traces Propagation contrasts them."""


@dataclass(frozen=True)
class Case:
    """A trained network, and what of a speaker it learns."""

    config: str
    data: str
    """Digest of the training clips and of those held out."""
    rule: str
    """Of training; so are the next three."""
    settings: RuleSettings
    epochs: int
    seed: int
    """Of the draw of support and query, too."""
    adapt: str
    """Rule of the adaptation; so are the next two."""
    adapt_settings: RuleSettings
    passes: int
    split: Splitting
    repeats: int
    """Names that each recording was put there under."""
    speaker: str
    words: list[str]
    """Those asked."""
    shots: int | None
    code: str = field(default="", kw_only=True)
    """Fingerprint of code and default settings of the training; empty where it was not recorded."""
    adapt_code: str = field(default="", kw_only=True)
    """Of the adaptation."""


@dataclass(frozen=True)
class ShotsResult(Case):
    """What a case gave; a line of the file of results."""

    accuracy: float
    """Percent of the query."""
    support: int
    """Clips."""
    query: int
    repeated: int
    """Query clips whose recording was in the support."""
    seconds: float
    version: str


@dataclass(frozen=True)
class Adapt:
    """How the copies learn; the training's rule and settings if no other rule is named."""

    rule: str
    settings: RuleSettings
    passes: int


@dataclass(frozen=True)
class ShotsOutcome:
    """What all cases gave."""

    results: list[ShotsResult]
    left_out: list[str]
    """Speakers with too few takes."""
    stale: int = 0
    """Cases whose results in the file are of other code, so that they were made anew."""


def name_of(shots: int | None) -> str:
    """As the command line has it."""
    return "all" if shots is None else str(shots)


def trained(
    task: Commands, config_name: str, split: Split, plan: Plan, path: Path, progress: Progress
) -> Network:
    """The network that a plan gives: from its file, that is written after each pass.

    Raises:
        DataError: the file is damaged, is of another plan or of other data, or cannot be written.
        LabError: the rule does not fit the network.
    """
    config = task.configs[config_name]
    network = experiment.new_network(config, split, plan.seed)
    about = asdict(plan) | {"config": config_name, "data": split.digest}
    rule = experiment.rule_named(plan.rule)(network=network, seed=plan.seed, **plan.settings)
    made = load(rule, path, about) if path.exists() else 0
    experiment.train(
        rule,
        split.train,
        config,
        plan.epochs,
        plan.seed,
        progress,
        made=made,
        keep=lambda made: save(rule, path, about, made),
    )
    return network


def save(rule: Rule, path: Path, about: RuleSettings, made: int) -> None:
    """Write what a rule has learned in the passes made, completely or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    content = io.BytesIO()
    state = {
        "about": json.dumps(about),
        "made": made,
        "weights": rule.network.parameters(),
        "raw": rule.network.raw,
        "moments": rule.descent.moments,
        "steps": rule.descent.steps,
    }
    torch.save(state, content)
    write(path, content.getvalue())


def load(rule: Rule, path: Path, about: RuleSettings) -> int:
    """Set a rule to what save() wrote for the same plan, code and data; the passes made.

    Raises:
        DataError: it is damaged, or of another plan, other code or other data.
    """
    content = read_bytes(path, MOST_BYTES)
    try:
        state = torch.load(io.BytesIO(content), weights_only=True)
        found = {"code": ""} | parse_json(state["about"])  # which was not recorded always
        for key, value in about.items():
            if found[key] != value:
                was, asked = (str(v)[:16] or "unknown" for v in (found[key], value))
                raise DataError(
                    f"{path}: a network of {key} {was}, not {asked}; remove it or choose another "
                    "--run"
                )
        for name, weights in rule.network.parameters().items():
            weights.copy_(state["weights"][name])
        for name, raw in rule.network.raw.items():
            raw.copy_(state["raw"][name])
        rule.descent.moments, rule.descent.steps = state["moments"], state["steps"]
        return int(state["made"])
    except DataError:
        raise
    except Exception as error:  # whatever torch's reader raises
        raise DataError(f"{path}: damaged; remove it to train again") from error


def adapted(network: Network, adapt: Adapt, seed: int, support: Clips, config: Config) -> Rule:
    """A rule with a copy of a network, after its passes over a support; none if that is empty."""
    rule = experiment.rule_named(adapt.rule)(
        network=copy.deepcopy(network), seed=seed, **adapt.settings
    )
    if len(support):
        experiment.train(rule, support, config, adapt.passes, seed, lambda done, total: None)
    return rule


def words_of(held: HeldOut, speaker: str, shots: Sequence[int | None]) -> list[str]:
    """Words to ask: as published all, else those with enough takes for the most shots."""
    every = {name.word for name in held.names if name.speaker == speaker}
    if held.splitting == "distinct":
        most = max(number or 0 for number in shots)
        every -= set(held.draw(speaker, most, seed=0).left_out)
    return sorted(every)


def suffices(drawn: Adaptation) -> bool:
    """Whether it can be learned and asked."""
    return len(drawn.query) > 0 and (drawn.shots == 0 or len(drawn.support) >= LEAST)


def run(
    task: Commands,
    config_name: str | None,
    data: Path | None,
    plans: Sequence[Plan],
    adapt: Adapt,
    shots: Sequence[int | None],
    repeats: int | None,
    folder: Path,
    stage: Stage,
) -> ShotsOutcome:
    """Train, adapt and ask; what the folder has by now is not done again.

    Args:
        task: says the split, and who is held out.
        config_name: of the task; its first one by default.
        data: the tree.
        plans: trainings, that differ in the seed.
        adapt: how copies of the networks learn a speaker.
        shots: takes of a word to learn from, None for all.
        repeats: names of each recording that is also split as published; None for not at all.
        folder: of the networks' files and of the file of results.
        stage: gives the progress of a training or of the adaptations, by its name.

    Raises:
        DataError: data that is not usable, nobody with enough takes, or files of other settings.
        LabError: a rule does not fit the network.
    """
    for rule in {adapt.rule, *(plan.rule for plan in plans)}:
        if rule == Prototype.name:
            raise DataError(f"{rule} learns beside the network's weights, which are adapted here")
    if any(plan.settings.get("codes") == "fitting" for plan in plans):
        raise DataError("--set codes=fitting: a network's file does not keep codes; leave it out")
    check_folder(folder)
    name, config = experiment.config_of(task, config_name)
    adapt_code = fingerprint(
        experiment.rule_named(adapt.rule), config, (__name__, Commands.__module__)
    )
    known = experiment.read_results(folder / RESULTS, ShotsResult)
    split, held = task.prepare(data, experiment.TRIAL_SEED)
    digest = hashlib.sha256((split.digest + held.digest).encode()).hexdigest()
    views = [(1, held)] + ([(repeats, held.published(repeats))] if repeats else [])
    words = {speaker: words_of(held, speaker, shots) for speaker in held.speakers}
    speakers = [
        speaker
        for speaker in held.speakers
        if all(suffices(held.draw(speaker, number, 0, words[speaker])) for number in shots)
    ]
    if not speakers:
        raise DataError(
            f"no speaker has enough takes of two words for {max(n or 1 for n in shots)} shots: "
            "ask for fewer by --shots, or name other speakers by --speakers"
        )
    nothing = held.clips.take(np.arange(0))
    adapted(experiment.new_network(config, split, 0), adapt, 0, nothing, config)  # or says why
    out = ShotsOutcome([], [speaker for speaker in held.speakers if speaker not in speakers])
    old = 0
    for plan in plans:
        path = folder / f"{plan.rule}-{plan.seed}.pt"
        network = trained(task, name, split, plan, path, stage(f"{plan.rule}, seed {plan.seed}"))
        progress = stage(f"speakers, seed {plan.seed}")
        draws = list(product(views, speakers, shots))
        for done, ((times, view), speaker, number) in enumerate(draws, 1):
            case = Case(
                config=name,
                data=digest,
                rule=plan.rule,
                settings=plan.settings,
                epochs=plan.epochs,
                seed=plan.seed,
                adapt=adapt.rule,
                adapt_settings=adapt.settings,
                passes=adapt.passes,
                split=view.splitting,
                repeats=times,
                speaker=speaker,
                words=words[speaker],
                shots=number,
                code=plan.code,
                adapt_code=adapt_code,
            )
            there = next((result for result in known if case_of(result) == case), None)
            if there is None:
                old += any(coded(case_of(result)) == coded(case) for result in known)
                there = ask(network, config, view, case)
                experiment.write_result(folder / RESULTS, there)
            out.results.append(there)
            progress(done, len(draws))
    return replace(out, stale=old)


def case_of(result: ShotsResult) -> Case:
    """What gave a result."""
    return Case(**{field.name: getattr(result, field.name) for field in fields(Case)})


def coded(case: Case) -> Case:
    """A case of whatever code."""
    return replace(case, code="", adapt_code="")


def ask(network: Network, config: Config, held: HeldOut, case: Case) -> ShotsResult:
    """Adapt a copy of a network to a case's speaker, and test it."""
    start = time.monotonic()
    drawn = held.draw(case.speaker, case.shots, case.seed, case.words)
    adapt = Adapt(case.adapt, case.adapt_settings, case.passes)
    rule = adapted(network, adapt, case.seed, drawn.support, config)
    return ShotsResult(
        **asdict(case),
        accuracy=experiment.accuracy(rule, drawn.query, config.batch),
        support=len(drawn.support),
        query=len(drawn.query),
        repeated=drawn.repeated,
        seconds=time.monotonic() - start,
        version=version("tracekws"),
    )


@dataclass(frozen=True)
class ShotsRow:
    """A number of shots: what all speakers and seeds gave together."""

    split: Splitting
    repeats: int
    shots: str
    accuracy: float
    """Mean of the speakers' accuracies, percent."""
    over_speakers: float | None
    """Standard deviation over speakers of their means over seeds; None for one speaker."""
    over_seeds: float | None
    """Standard deviation over seeds of the means over speakers; None for one seed."""
    speakers: int
    seeds: int
    support: int
    """Clips of all speakers in a seed."""
    query: int
    repeated: float
    """Percent of the query whose recording was in the support."""
    paper: Figure | None
    """The paper's for this number of shots."""
    comparable: bool
    """Whether the run is the paper's: its config, passes, rule, speaker and split."""


def rows_of(results: Sequence[ShotsResult], task: Commands) -> list[ShotsRow]:
    """Rows of one run's results, in their order."""
    groups: dict[tuple[Splitting, int, int | None], list[ShotsResult]] = {}
    for result in results:
        groups.setdefault((result.split, result.repeats, result.shots), []).append(result)
    rows: list[ShotsRow] = []
    for (splitting, repeats, number), group in groups.items():
        shots = name_of(number)
        seeds = list(dict.fromkeys(result.seed for result in group))
        table = np.array(
            [[result.accuracy for result in group if result.seed == seed] for seed in seeds]
        )
        asked = sum(result.query for result in group)
        rows.append(
            ShotsRow(
                split=splitting,
                repeats=repeats,
                shots=shots,
                accuracy=float(table.mean()),
                over_speakers=deviation(table.mean(0)),
                over_seeds=deviation(table.mean(1)),
                speakers=table.shape[1],
                seeds=len(seeds),
                support=sum(result.support for result in group) // len(seeds),
                query=asked // len(seeds),
                repeated=100 * sum(result.repeated for result in group) / asked,
                paper=paper_of(group[0], task, shots),
                comparable=all(is_paper(result, task) for result in group),
            )
        )
    return rows


def paper_of(result: ShotsResult, task: Commands, shots: str) -> Figure | None:
    """What the paper has for the rules of a result and a number of shots."""
    if result.rule != result.adapt:
        return None
    return next(
        (
            figure
            for figure in task.configs[result.config].figures
            if figure.rule == result.rule and figure.note == f"{shots} shots"
        ),
        None,
    )


def is_paper(result: ShotsResult, task: Commands) -> bool:
    """Whether a result is of the paper's experiment, if the data are the whole set."""
    config = task.configs[result.config]
    return (
        any(figure.rule == result.rule == result.adapt for figure in config.figures)
        and result.settings == result.adapt_settings
        and result.settings == experiment.with_rates(result.rule, config, {})
        and (result.epochs, result.passes) == (config.epochs, PASSES)
        and (result.split, result.repeats) == ("published", 1)
        and result.speaker == PAPER_SPEAKER
    )
