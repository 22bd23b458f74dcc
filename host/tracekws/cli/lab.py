# SPDX-License-Identifier: Apache-2.0
"""`tracekws lab`: parses, calls one function, renders; torch is imported when it is needed."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tracekws import files
from tracekws.bench import adapting, cards
from tracekws.bench.streams import CLEAN_DB
from tracekws.cli.adapting import methods_of, show_adaptation
from tracekws.cli.console import out, picture_file, print_json, say, stages, talk
from tracekws.cli.options import (
    ChangedSound,
    DataOption,
    Draws,
    Json,
    Methods,
    ModelArgument,
    Negatives,
    NewWords,
    Others,
    OutsideOption,
    Passes,
    Seed,
    Shots,
    Speakers,
    StreamSnr,
    TalkOption,
    Workers,
)
from tracekws.core import TAKES, Model
from tracekws.data import read_names, read_tree
from tracekws.errors import DataError, MissingTool, TraceKwsError
from tracekws.names import normalised
from tracekws.shipped import MODEL, install_command

if TYPE_CHECKING:
    from tracekws.lab.forecast import Forecast
    from tracekws.lab.report import RuleRow
    from tracekws.lab.shots import ShotsRow
    from tracekws.lab.tasks.commands import Splitting

app = typer.Typer(
    help="Traces Propagation as published, beside its rivals, on tasks of its own.",
    no_args_is_help=True,
)

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the task's data, where it needs one.")
]
Config = Annotated[
    str | None, typer.Option(help="Network and settings of the task; `lab list` has them.")
]
Epochs = Annotated[int | None, typer.Option(help="Passes, not the config's.", min=1)]
Output = Annotated[
    Path, typer.Option(help="File of results, a JSON line each; what it has is not run again.")
]
Picture = Annotated[
    Path | None,
    typer.Option(callback=picture_file, help="Draw accuracy and memory: .png, .svg, .pdf."),
]


def finite(param: typer.CallbackParam, settings: list[str] | None) -> list[str] | None:
    """Refuse values that are no finite numbers; what else is wrong with one, the rule says."""
    for setting in settings or ():
        try:
            value = float(setting.rpartition("=")[2])
        except ValueError:
            continue
        if not math.isfinite(value):
            raise DataError(f"{param.opts[0]} {setting}: not a finite number")
    return settings


@contextmanager
def torch_there() -> Iterator[None]:
    """Say how to install what the lab needs, where it is missing."""
    try:
        yield
    except ImportError as error:
        raise MissingTool(
            f"the lab needs {error.name}; install it with: {install_command('lab')}"
        ) from error


def say_stale(path: Path, count: int) -> None:
    """Say how many runs have only results that are not returned."""
    if count:
        say(
            talk,
            f"{path}: results of {count} runs are of other code or default settings, or do not say"
            " of which: they stay there, and are made anew",
        )


def show(rows: Sequence["RuleRow"]) -> None:
    """Print rows, a table a task; of what code they are where it is not all the present one."""
    from tracekws.lab.report import PRESENT, by_task

    for title, of_task in by_task(rows).items():
        columns = ["rule", "seeds", "validation %", "testing %", "bytes kept", "s a run"]
        mixed = any(row.standing != PRESENT for row in of_task)
        table = Table(*columns, title=title)
        if mixed:
            table.add_column("code", no_wrap=True)
        for row in of_task:
            spread = "" if row.deviation is None else f" ± {row.deviation:.1f}"
            table.add_row(
                row.rule,
                str(row.seeds),
                f"{row.validation:.1f}",
                f"{row.test:.1f}{spread}",
                f"{row.state_bytes:,}",
                f"{row.seconds:.0f}",
                *([row.standing] if mixed else []),
            )
        out.print(table)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List tasks, with their configs, and rules, with their settings.

    Example: `tracekws lab list`
    """
    with torch_there():
        from tracekws.lab.rules import RULES
        from tracekws.lab.tasks import TASKS
    if as_json:
        print_json(
            {
                "tasks": [
                    {
                        "name": task.name,
                        "summary": task.summary,
                        "needs": task.needs,
                        "configs": {name: asdict(c) for name, c in task.configs.items()},
                    }
                    for task in TASKS
                ],
                "rules": [
                    {
                        "name": rule.name,
                        "summary": rule.summary,
                        "paper": rule.paper,
                        "settings": rule.settings(),
                    }
                    for rule in RULES.values()
                ],
            }
        )
        return
    tasks = Table("task", "what it is", "configs", "data")
    for task in TASKS:
        tasks.add_row(task.name, task.summary, ", ".join(task.configs), task.needs or "made here")
    rules = Table("rule", "what it is", "paper")
    for rule in RULES.values():
        rules.add_row(rule.name, rule.summary, rule.paper)
    out.print(tasks)
    out.print(rules)


@app.command()
def run(
    task: Annotated[str, typer.Option(help="Task; see `lab list`.")],
    rule: Annotated[str, typer.Option(help="Rule; see `lab list`.")],
    data: Data = None,
    seeds: Annotated[int, typer.Option(help="Runs, with the seeds 1, 2, ...", min=1)] = 1,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", callback=finite, help="A setting of the rule, as in rate=1e-3."),
    ] = None,
    config: Config = None,
    epochs: Epochs = None,
    output: Output = Path("lab.jsonl"),
    as_json: Json = False,
) -> None:
    """Train and test by one rule.

    Example: `tracekws lab run --task digits --rule tp --set rate=3e-4`
    """
    with torch_there():
        from tracekws.lab import report, runs
        from tracekws.lab.tasks import task_of
    with stages() as stage:
        done = runs.run_seeds(
            task_of(task),
            rule,
            given=given or [],
            config=config,
            epochs=epochs,
            seeds=seeds,
            data=data,
            path=output,
            stage=stage,
        )
    say_stale(output, done.stale)
    if as_json:
        print_json({"rows": report.summary(done.rows)})
    else:
        show(done.rows)


def say_forecast(found: "Forecast", minutes: float) -> None:
    """Say how long a comparison takes, and what of it has room in so many minutes."""
    count = len(found.rules)
    say(
        talk,
        f"a round, one run of each of {count} rules, needs about {found.round_minutes:.1f}"
        f" minutes on {found.processes} processes, and all runs {found.minutes:.1f}",
    )
    fitting = found.fitting(minutes)
    said = ", ".join(
        f"{rule.rule} ({rule.run_minutes:.1f} a run)"
        for rule in found.rules
        if rule.rule not in fitting
    )
    room = ", ".join(fitting) or "no rule"
    say(talk, f"{minutes:g} minutes have room for {room}{f'; not for {said}' if said else ''}")


@app.command()
def compare(
    task: Annotated[str, typer.Option(help="Task; see `lab list`.")],
    data: Data = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Only this rule; may be given several times.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each rule, seeds 1, 2, ...", min=1)] = 5,
    trials: Annotated[int, typer.Option(help="Runs that choose each rule's rates.", min=1)] = 6,
    minutes: Annotated[
        float | None, typer.Option(help="What would last longer is left out.", min=0)
    ] = None,
    config: Config = None,
    epochs: Epochs = None,
    workers: Workers = None,
    output: Output = Path("lab.jsonl"),
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Compare rules: the same weights, passes, and trials to choose rates.

    Example: `tracekws lab compare --task digits --minutes 20`
    """
    with torch_there():
        from tracekws.lab import experiment, forecast, report
        from tracekws.lab.rules import RULES
        from tracekws.lab.tasks import task_of
    names = rule or list(RULES)
    how = (task_of(task), config, data, names, seeds, trials, epochs, output)
    with stages() as stage:
        if minutes is None:
            comparison = experiment.compare(*how, None, workers, stage("runs"))
        else:
            comparison = forecast.compare_within(
                minutes,
                *how,
                workers,
                stage("runs"),
                lambda found: say_forecast(found, minutes),
                stage("looking how long a run takes"),
            )
    say_stale(output, comparison.stale)
    rows = report.rows_of(comparison.results)
    if comparison.left_out and not rows and not comparison.unfit:
        raise TraceKwsError(
            f"nothing has a result within {minutes:g} minutes: give more --minutes, fewer --trials,"
            " fewer --epochs, or one --rule"
        )
    if picture is not None and rows:
        report.picture(rows, picture)
    left_out = report.left_out(comparison.left_out)
    if as_json:
        told = {"rows": report.summary(rows), "left_out": left_out, "unfit": comparison.unfit}
        print_json(told)
        return
    show(rows)
    for name, reason in comparison.unfit.items():
        say(talk, f"{name} left out: {reason}")
    if left_out:
        runs = "; ".join(
            f"{one['rule']} ({one['trials']} trials, {one['seeds']} seeds)" for one in left_out
        )
        say(talk, f"did not fit into {minutes:g} minutes: {runs}")


@app.command("report")
def show_report(
    files: Annotated[list[Path], typer.Argument(help="Files of results.")],
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Tables and a picture of results, those of other code and defaults among them, named so.

    Example: `tracekws lab report lab.jsonl --picture lab.png`
    """
    with torch_there():
        from tracekws.lab import report
    rows = report.read_rows(files)
    if picture is not None:
        report.picture(rows, picture)
    if as_json:
        print_json({"rows": report.summary(rows)})
    else:
        show(rows)


@app.command("memory")
def show_memory(
    axis: Annotated[
        str | None,
        typer.Option(help="Only along: steps, layers, width, classes or batch; else along all."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Only this rule; may be given several times.")
    ] = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Measure who keeps how many bytes, and who grows with what.

    Example: `tracekws lab memory --picture memory.png`
    """
    with torch_there():
        from tracekws.lab import memory
        from tracekws.lab.experiment import rule_named
        from tracekws.lab.rules import RULES
    if axis is not None and axis not in memory.SWEEPS:
        raise typer.BadParameter(f"'{axis}' is none of {', '.join(memory.SWEEPS)}")
    names = [memory.FORWARD, *[rule_named(name).name for name in rule or RULES]]
    swept = {}
    with stages() as stage:
        progress = stage("axes")
        axes = [axis] if axis else list(memory.SWEEPS)
        for number, one in enumerate(axes):
            swept[one] = memory.sweep(one, memory.SWEEPS[one], names)
            progress(number + 1, len(axes))
    if picture is not None:
        memory.picture(swept, picture)
    if as_json:
        print_json({one: memory.rows(costs) for one, costs in swept.items()})
        return
    for one, costs in swept.items():
        table = Table(f"bytes, by {one}", *map(str, memory.SWEEPS[one]), "operations a step")
        for name in names:
            own = [cost for cost in costs if cost.rule == name]
            table.add_row(name, *(f"{cost.total:,}" for cost in own), f"{own[-1].operations:,}")
        out.print(table)
    out.print(
        f"beside weights and what an optimiser keeps; else {memory.Size()}; operations: "
        "multiply-adds of a batch, at the last size"
    )


def counts_of(text: str) -> tuple[int | None, ...]:
    """Numbers of shots from a text as 0,1,5,all; None for all."""
    parts = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(part == "all" or part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--shots {text}: numbers or all, as in 0,1,5,all")
    return tuple(None if part == "all" else int(part) for part in parts)


def show_shots(rows: Sequence["ShotsRow"], title: str) -> None:
    """Print a row a number of shots; then, where repeats were put in, what they give away."""
    own = [row for row in rows if row.repeats == 1]
    paper = any(row.paper for row in own)
    columns = ("shots", "query %", "over speakers", "over seeds", "speakers", "clips")
    table = Table(*columns, *(["the paper's %"] if paper else []), title=title)
    for row in own:
        spreads = (row.over_speakers, row.over_seeds)
        table.add_row(
            row.shots,
            f"{row.accuracy:.1f}",
            *("" if spread is None else f"± {spread:.1f}" for spread in spreads),
            str(row.speakers),
            str(row.query),
            f"{row.paper.mean:.1f} ± {row.paper.deviation:.1f}" if row.paper else "",
        )
    out.print(table)
    if paper:
        about = (
            "its experiment, if this is the whole set"
            if all(row.comparable for row in own)
            else "not comparable"
        )
        say(
            out,
            "the paper's: arXiv 2509.13053, one speaker of the whole set, split as published, "
            f"10 seeds; {about}",
        )
    put = [row for row in rows if row.repeats > 1]
    if put:
        title = f"every recording under {put[0].repeats} names"
        table = Table(
            "shots", "distinct %", "repeats %", "given away", "heard before %", title=title
        )
        for distinct, row in zip(own, put, strict=True):
            table.add_row(
                row.shots,
                f"{distinct.accuracy:.1f}",
                f"{row.accuracy:.1f}",
                f"{row.accuracy - distinct.accuracy:+.1f}",
                f"{row.repeated:.0f}",
            )
        out.print(table)


@app.command()
def shots(
    data: Annotated[Path, typer.Option(help="Speech Commands tree with its two lists.")],
    rule: Annotated[str, typer.Option(help="Rule that trains the network.")] = "tp",
    given: Annotated[
        list[str] | None,
        typer.Option("--set", callback=finite, help="A setting of it, as in rate=1e-3."),
    ] = None,
    adapt: Annotated[
        str | None, typer.Option(help="Rule that adapts it; that of training by default.")
    ] = None,
    adapt_given: Annotated[
        list[str] | None, typer.Option("--adapt-set", callback=finite, help="A setting of it.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="distinct recordings, or all names as published.")
    ] = "distinct",
    counts: Annotated[
        str | None,
        typer.Option("--shots", help="Takes of a word; 0,1,3 if distinct, else 0,1,5,all."),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Split as published as well, with so many names put there for each recording.",
            min=2,
        ),
    ] = None,
    speakers: Annotated[
        Path | None,
        typer.Option(
            help="File with the speakers to hold out and adapt to; by default the tree's "
            "adaptation_speakers.txt, else the paper's."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Networks, with the seeds 1, 2, ...", min=1)] = 1,
    config: Config = None,
    epochs: Epochs = None,
    passes: Annotated[int, typer.Option(help="Over the shots.", min=1)] = 3,
    run: Annotated[
        Path, typer.Option(help="Folder of networks and results; what it has is not done again.")
    ] = Path("shots"),
    as_json: Json = False,
) -> None:
    """Adapt to new speakers by a few shots of each word: the paper's experiment.

    Example: `tracekws lab shots --data speech_commands --split published --seeds 10`
    """
    with torch_there():
        from tracekws.lab import runs
        from tracekws.lab.shots import RESULTS
        from tracekws.lab.tasks.commands import SHARES
    if split not in SHARES:
        raise typer.BadParameter(f"--split {split}: one of {', '.join(SHARES)}")
    splitting: Splitting = "published" if split == "published" else "distinct"
    if repeats and splitting == "published":
        raise typer.BadParameter("--repeats goes with --split distinct")
    adapting_rule = adapt or rule
    with stages() as stage:
        done = runs.run_shots(
            data,
            run,
            splitting=splitting,
            speakers=None if speakers is None else read_names(speakers),
            rule=rule,
            given=given or [],
            adapt=adapting_rule,
            adapt_given=adapt_given or [],
            config=config,
            epochs=epochs,
            seeds=seeds,
            passes=passes,
            counts=None if counts is None else counts_of(counts),
            repeats=repeats,
            stage=stage,
        )
    say_stale(run / RESULTS, done.stale)
    if as_json:
        print_json({"rows": [asdict(row) for row in done.rows], "left_out": done.left_out})
        return
    title = f"{rule}, {done.epochs} epochs; adapted by {adapting_rule}, {passes} passes"
    show_shots(done.rows, f"{title}; {seeds} seeds")
    if done.left_out:
        say(talk, f"left out, too few takes: {', '.join(done.left_out)}")


@app.command("learn-on-device")
def learn_on_device(
    folder: DataOption,
    model_path: ModelArgument = MODEL,
    others: Others = None,
    speakers: Speakers = None,
    outside: OutsideOption = None,
    sentences: TalkOption = None,
    shots: Shots = 3,
    passes: Passes = 5,
    negatives: Negatives = 0,
    changed_sound: ChangedSound = "",
    new_words: NewWords = False,
    snr: StreamSnr = CLEAN_DB,
    draws: Draws = 10,
    seed: Seed = 1,
    method: Methods = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set", callback=finite, help="A setting of a method, as in eprop+replay.rate=1e-3."
        ),
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Compare rules in the device's own setting, in float: the experiment of `bench adapt`.

    Example: `tracekws lab learn-on-device --data speech_commands --draws 2`
    """
    with torch_there():
        from tracekws.lab import on_device
    changed = on_device.settings_of(given or [])
    model = Model.load(model_path)
    wanted = methods_of(method, on_device.METHODS, on_device.methods_for(model))
    settings = adapting.Experiment(
        shots, passes, negatives, draws, seed, changed_sound, new_words, snr
    )
    sources = adapting.read_sources(folder, others, speakers, outside, sentences)
    learner = adapting.learner_of(model, sources.tree, settings)
    with stages() as stage:
        people = sources.read(learner, settings, stage("reading"), streams=True)
        report = on_device.compare(
            learner, people, settings, wanted, changed, workers, stage("adapting")
        )
    show_adaptation(report, model, settings, as_json)


@app.command("meta-learn")
def meta_learn(
    folder: DataOption,
    output: Annotated[Path, typer.Option(help="The image to write, NAME.tkws.")],
    model_path: ModelArgument = MODEL,
    exclude: Annotated[
        Path | None, typer.Option("--exclude-speakers", help="File with speakers to leave out.")
    ] = None,
    method: Annotated[str, typer.Option(help="How speakers learn.")] = "tp+replay",
    rounds: Annotated[
        int, typer.Option(help="Over all speakers; with 0 only replay vectors are new.", min=0)
    ] = 10,
    step: Annotated[float, typer.Option(help="Of the mean change.", min=0)] = 0.3,
    shots: Shots = 1,
    passes: Passes = 5,
    changed_sound: ChangedSound = "",
    seed: Seed = 1,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Move a model to a starting point from which training speakers learn well: first-order MAML.

    Example: `tracekws lab meta-learn --data speech_commands --output start.tkws`
    """
    with torch_there():
        from tracekws.lab import meta
    cards.check_output(output)
    able = {name: flags for name, flags in adapting.METHODS.items() if flags and not flags & TAKES}
    if method not in able:
        raise typer.BadParameter(f"'{method}' is none of {', '.join(able)}")
    flags = able[method]
    excluded = frozenset(read_names(exclude)) if exclude else frozenset()
    adaptation = adapting.Experiment(shots, passes, seed=seed, changed_sound=changed_sound)
    settings = meta.MetaSettings(flags, rounds, step, adaptation)
    model = Model.load(model_path)
    with stages() as stage:
        learned, speakers = meta.learn(
            model, read_tree(folder), excluded, settings, normalised(output.stem), stage, workers
        )
    files.write(output, learned.image)
    if as_json:
        about = {"model": learned.identity, "from": model.identity, "speakers": speakers}
        print_json(about | asdict(settings) | {"method": method})
        return
    say(
        out,
        f"{output}: {rounds} rounds over {speakers} speakers; the detector's thresholds are those "
        f"of {model.name}. Compare with --rounds 0 by: tracekws bench adapt --against",
    )
