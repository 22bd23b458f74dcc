# SPDX-License-Identifier: Apache-2.0
"""The command line: parses, calls one function, renders."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from tracekws import adaptbench, data, demo
from tracekws.audio import read_clip
from tracekws.console import (
    check_output,
    out,
    picture_file,
    print_json,
    printing,
    stages,
    talk,
    visible,
)
from tracekws.core import Model
from tracekws.datacommand import (
    Against,
    DataOption,
    Draws,
    Methods,
    ModelArgument,
    Negatives,
    NewWords,
    Others,
    OutsideOption,
    Passes,
    Seed,
    Shift,
    Shots,
    Speakers,
    Workers,
    gather,
    load_other,
    methods_of,
    say_left_out,
    show_adaptation,
)
from tracekws.device import commands
from tracekws.errors import (
    DataError,
    DeviceError,
    MissingTool,
    NoDeviceError,
    ProtocolError,
    StorageError,
    TraceKwsError,
)
from tracekws.lab import command as lab
from tracekws.shipped import MODEL, install_command


@contextmanager
def visible_usage() -> Iterator[None]:
    """What was typed wrongly is printed by typer: let it be visible text, too."""
    try:
        yield
    except Exception as error:
        if isinstance(getattr(error, "message", None), str):
            error.message = visible(error.message)  # type: ignore[attr-defined]
        raise


class Commands(TyperGroup):
    """The commands, and what may be said of a wrong one."""

    def make_context(self, *words: Any, **options: Any) -> Any:
        """See typer."""
        with visible_usage():
            return super().make_context(*words, **options)

    def invoke(self, ctx: Any) -> Any:
        """See typer."""
        with visible_usage():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands,
    name="tracekws",
    help="Keyword spotting that learns its user's voice on the microcontroller.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Look at data sets.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"tracekws {version('tracekws')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Keyword spotting that learns its user's voice on the microcontroller."""


@data_app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Speech Commands tree.")],
    as_json: commands.Json = False,
) -> None:
    """Say what a data set holds: words, speakers, splits, repeats, and what is wrong with files.

    Example: `tracekws data check speech_commands`
    """
    tree = data.scan_tree(folder)
    with stages() as stage:
        recordings = data.read_recordings(tree.clips, stage("reading"))
    bad = [reason for _, reason in recordings.bad]
    for path in tree.noises:
        try:
            read_clip(path)
        except DataError as error:
            bad.append(str(error))
    words: dict[str, list[int]] = {}
    for word in sorted({clip.word for clip in tree.clips}):
        mine = [clip for clip in recordings.clips if clip.word == word]
        repeats = sum(clip.word == word for clip in recordings.repeats)
        lost = sum(clip.word == word for clip, _ in recordings.bad)
        words[word] = [len(mine), len({clip.speaker for clip in mine}), repeats, lost]
    splits = {split: sum(clip.split == split for clip in recordings.clips) for split in data.SPLITS}
    summary = {
        "clips": len(recordings.clips),
        "speakers": len({clip.speaker for clip in recordings.clips}),
        "words": {
            word: dict(zip(("clips", "speakers", "repeats", "bad"), counts, strict=True))
            for word, counts in words.items()
        },
        "splits": splits if tree.has_lists else None,
        "repeats": [str(clip.path) for clip in recordings.repeats],
        "bad": bad,
        "long_clips": len(recordings.long),
        "silent_clips": [str(clip.path) for clip in recordings.silent],
        "hidden_files": tree.hidden,
        "listed_without_file": list(tree.absent),
        "unknown_names": [str(path) for path in tree.strangers],
        "noise_recordings": len(tree.noises),
        "data": recordings.digest,
    }
    if as_json:
        print_json(summary)
        tree.check_lists()
        return
    table = Table("word", "clips", "speakers", "repeats", "bad files")
    for word, counts in words.items():
        table.add_row(word, *map(str, counts))
    out.print(table)
    out.print(f"{summary['clips']} distinct clips of {summary['speakers']} speakers")
    out.print(
        ", ".join(f"{split} {count}" for split, count in splits.items())
        if tree.has_lists
        else "no list files: there is only the split 'all'"
    )
    out.print(
        f"{len(recordings.repeats)} repeated recordings, {len(bad)} bad files, "
        f"{len(tree.strangers)} files with other names, {len(tree.noises)} noise recordings"
    )
    out.print(
        f"{len(recordings.long)} clips longer than a second, whose loudest second counts, "
        f"{len(recordings.silent)} silent ones"
    )
    out.print(f"{tree.hidden} hidden files left out, {len(tree.absent)} list entries without file")
    for reason in bad:
        commands.say(talk, f"bad: {reason}")
    for clip in recordings.silent:
        commands.say(talk, f"silent: {clip.path}")
    tree.check_lists()


@app.command()
def evaluate(
    folder: DataOption,
    model_path: ModelArgument = MODEL,
    split: Annotated[str, typer.Option(help="testing, validation, training or all.")] = "testing",
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw the confusion matrix into this PNG, SVG or PDF.", callback=picture_file
        ),
    ] = None,
    outside: OutsideOption = None,
    workers: Workers = None,
    as_json: commands.Json = False,
) -> None:
    """Measure a model's accuracy over a data set, with the C core.

    Example: `tracekws evaluate models/base.tkws --data speech_commands --split validation`
    """
    from tracekws import evaluate as evaluation

    if split not in (*data.SPLITS, "all"):
        raise typer.BadParameter(f"'{split}' is none of testing, validation, training, all")
    model = Model.load(model_path)
    tree = data.read_tree(folder)
    foreign = data.read_tree(outside) if outside else None
    with stages() as stage:
        result = evaluation.evaluate(model, tree, split, workers, stage)
        strange = evaluation.reject(model, foreign, workers, stage) if foreign else None
    if picture is not None:
        from tracekws.pictures import confusion_picture

        confusion_picture(result, picture)
        talk.print(f"confusion matrix: {picture}")
    if strange:
        result = replace(
            result,
            repeats=result.repeats + strange.repeats,
            bad=(*result.bad, *strange.bad),
            long=result.long + strange.long,
        )
    summary = {
        **result.summary(),
        "outside_rejected": strange and strange.percent,
        "outside_clips": strange.clips if strange else 0,
        "outside_data": strange and strange.digest,
        "bad": list(result.bad),
        "split": split,
        "model": model.identity,
    }
    if as_json:
        print_json(summary)
        return
    table = Table("word", "clips", "heard right", title=f"{model.name} on {split}")
    for c, label in enumerate(model.labels):
        share = result.share(c)
        count = int(result.confusion[c].sum())
        table.add_row(label, str(count), "-" if share is None else f"{share:.1f} %")
    out.print(table)
    out.print(f"accuracy {result.accuracy:.2f} %, macro {result.macro_accuracy:.2f} %")
    for name, row in (("unknown words", result.unknown), ("silence", result.silence)):
        rejected = result.rejected(row)
        if rejected is not None:
            out.print(f"{name} rejected {rejected:.1f} %")
    if strange:
        out.print(
            f"words outside the training vocabulary rejected {strange.percent:.1f} % "
            f"of {strange.clips:,}"
        )
    say_left_out(result.repeats, result.bad, result.long)


@bench_app.command("adapt")
def bench_adapt(
    folder: DataOption,
    model_path: ModelArgument = MODEL,
    others: Others = None,
    speakers: Speakers = None,
    outside: OutsideOption = None,
    shots: Shots = 3,
    passes: Passes = 5,
    negatives: Negatives = 0,
    shift: Shift = "",
    new_words: NewWords = False,
    draws: Draws = 10,
    seed: Seed = 1,
    method: Methods = None,
    against: Against = None,
    workers: Workers = None,
    as_json: commands.Json = False,
) -> None:
    """Measure what adapting to a speaker gains and costs, method by method.

    Example: `tracekws bench adapt --data speech_commands --shots 3`
    """
    wanted = methods_of(method, adaptbench.METHODS)
    model = Model.load(model_path)
    other = load_other(against, model) if against else None
    settings = adaptbench.Settings(shots, passes, negatives, draws, seed, shift, new_words)
    tree = data.read_tree(folder)
    learner = adaptbench.learner_of(model, tree, settings)
    with stages() as stage:

        def measure(model: Model, which: str) -> adaptbench.Report:
            reading, adapting = stage(f"reading{which}"), stage(f"adapting{which}")
            cast = gather(model, tree, others, speakers, outside, settings, reading)
            return adaptbench.bench_adapt(model, cast, settings, wanted, workers, adapting)

        report = measure(learner, "")
        if other:
            theirs = measure(adaptbench.learner_of(other, tree, settings), " the other model")
            report = report.compared(theirs)
    show_adaptation(report, model, learner.keywords, settings, as_json, other)


@bench_app.command("stream")
def bench_stream(
    model_path: ModelArgument = MODEL,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Speech Commands tree, whose words are said: word/speaker_nohash_n.wav."
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Speakers to hear: testing, validation, training or all.")
    ] = "testing",
    background: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recordings without keywords, 16 kHz mono, of any length: words are laid"
            " over them instead of the tree's noise, and they are heard by themselves."
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            help="Length of the stream of words; by default each other word comes about once.",
            min=0.05,
            max=1000,
        ),
    ] = None,
    snr: Annotated[
        list[float] | None,
        typer.Option(
            help="Speech over background in dB; may be given several times, 40 and 10 by default.",
            min=-20,
            max=100,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the stream.", min=0)] = 1,
    port: Annotated[
        str | None,
        typer.Option(help="Port of a device that runs MODEL: measure what it has learned."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw hits over false alarms into this PNG, SVG or PDF.", callback=picture_file
        ),
    ] = None,
    workers: Workers = None,
    as_json: commands.Json = False,
) -> None:
    """Measure what a model hears on a stream: hits, misses, false alarms, latency.

    Give --data, or --background, or both. docs/stream.md says how a stream is made and judged.

    Example: `tracekws bench stream --data speech_commands --split validation`
    """
    from tracekws import streambench
    from tracekws.evaluate import read_some
    from tracekws.stream import held_back, read_background

    if split not in (*data.SPLITS, "all"):
        raise typer.BadParameter(f"'{split}' is none of testing, validation, training, all")
    if folder is None and background is None:
        raise typer.BadParameter("give --data, or --background, or both")
    for option, value in (("--picture", picture), ("--hours", hours), ("--snr", snr)):
        if folder is None and value is not None:
            raise typer.BadParameter("it is for words: give --data too", param_hint=option)
    model = Model.load(model_path)
    weights = commands.learned_weights(port, model_path, model) if port else None
    alone = None
    speech: list[streambench.Speech] = []
    digest, repeats, long = None, 0, 0
    sounds, bad = read_background(background) if background else ([], [])
    with stages() as stage:
        if folder is not None:
            tree = data.read_tree(folder)
            recordings, unread = read_some(tree, split, stage("reading"))
            digest, repeats, bad = recordings.digest, len(recordings.repeats), [*bad, *unread]
            long = len(recordings.long)
            once = streambench.minutes_of(recordings, model)
            minutes = once if hours is None else max(1, round(60 * hours))
            for ratio in snr or (streambench.CLEAN_DB, streambench.NOISY_DB):
                speech.append(
                    streambench.bench_speech(
                        model,
                        recordings,
                        sounds or held_back(tree.noises),
                        minutes,
                        ratio,
                        seed,
                        workers,
                        stage(f"hearing words at {ratio:g} dB"),
                        weights,
                    )
                )
        if background is not None:
            progress = stage("hearing the background alone")
            alone = streambench.bench_background(model, sounds, workers, progress, weights)
    if picture is not None:
        from tracekws.pictures import stream_picture

        stream_picture(model.name, speech, picture)
        talk.print(f"hits over false alarms: {picture}")
    if as_json:
        print_json(
            {
                "model": model.identity,
                "learned_on": port,
                "split": split if folder else None,
                "seed": seed,
                "speech": [one.summary() for one in speech],
                "background": alone and alone.summary(),
                "repeats_dropped": repeats,
                "bad": list(bad),
                "long_clips": long,
                "data": digest,
            }
        )
        return
    for one in speech:
        show_speech(model.name, split, one.summary())
    if alone is not None:
        heard = alone.summary()
        out.print(
            f"background alone: {heard['false_alarms']} false alarms in {heard['hours']:.2f} "
            f"hours, {hourly(heard['false_alarms_per_hour'])}"
        )
    say_left_out(repeats, bad, long)


def hourly(rate: dict[str, float]) -> str:
    """A rate an hour with its interval."""
    return f"{rate['mean']:.1f} an hour ({rate['low']:.1f} to {rate['high']:.1f})"


def show_speech(name: str, split: str, heard: dict[str, Any]) -> None:
    """What was heard of words at one ratio of speech to background, as a table and lines."""
    table = Table(
        "word",
        "said",
        "heard",
        "missed",
        "false alarms",
        title=f"{name} on {split} speakers, background {heard['snr_db']:g} dB below",
    )
    for row in heard["rows"]:
        table.add_row(*map(str, row.values()))
    out.print(table)
    false = heard["false_alarms_per_100_other_words"]
    out.print(
        f"heard {heard['hits']} of {heard['keywords']} keywords, {heard['hit_percent']:.1f} %; "
        f"{heard['false_alarms']} false alarms over {heard['other_words']} other words "
        f"({heard['distinct_other_words']} of them before a clip came again)"
    )
    out.print(
        f"false alarms: {false['mean']:.2f} in 100 other words ({false['low']:.2f} to "
        f"{false['high']:.2f}); {hourly(heard['false_alarms_per_hour'])} of this stream; "
        f"{hourly(heard['false_alarms_per_distinct_hour'])} of distinct other words; 95 %, Poisson"
    )
    if heard["latency_seconds"]:
        out.print(
            f"latency from the word's end: median {heard['latency_seconds']['median']:.2f} s, "
            f"95 % below {heard['latency_seconds']['p95']:.2f} s"
        )


@bench_app.command("cost")
def bench_cost(
    model_path: ModelArgument = MODEL,
    board: Annotated[
        str | None, typer.Option(help="Board whose code is counted; all by default.")
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Write the counts onto the model's card, beside it.")
    ] = False,
    as_json: commands.Json = False,
) -> None:
    """Count the instructions of a second of audio, and of a step of learning, on each board.

    The counts are exact, from an emulator; they are not cycles. Needs the cross compilers and QEMU;
    boards whose tools are missing are left out where all are wanted.

    Example: `tracekws bench cost --board stm32f405`
    """
    from tracekws import card as model_card
    from tracekws import cost

    if board is not None and board not in cost.TARGETS:
        raise typer.BadParameter(
            f"'{board}' is none of {'; '.join(cost.TARGETS)}", param_hint="--board"
        )
    model = Model.load(model_path)
    if card:
        model_card.read(model_path)  # before minutes of counting
    names = [board] if board else list(cost.TARGETS)
    rows: dict[str, list[cost.Cost]] = {}
    with stages() as stage:
        for done, name in enumerate(names):
            stage.report("counting", done, len(names))
            try:
                rows[name] = cost.measure(name, model_path)
            except MissingTool as error:
                if board:
                    raise
                commands.say(talk, f"{name} left out: {error}")
    if not rows:
        raise TraceKwsError("no board's code could be counted")
    if card:
        model_card.complete(model_path, [row for costs in rows.values() for row in costs])
    methods = cost.method_names(model)
    if as_json:
        print_json(
            {
                "model": model.identity,
                "methods": methods,
                "goals": cost.GOALS,
                "rows": [row.summary() for costs in rows.values() for row in costs],
            }
        )
        return
    for name, costs in rows.items():
        target = cost.TARGETS[name]
        table = Table(title=f"{name}: {target.processor}, on the machine {target.machine}")
        for heading in ("instructions", *(row.sound for row in costs), "goal"):
            table.add_column(heading, justify="left" if heading == "instructions" else "right")
        for key, what in cost.describe(methods).items():
            values = [int(row.summary()[key]) for row in costs]
            verdict = cost.verdict(name, key, max(values))
            table.add_row(what, *(f"{value:,}" for value in values), verdict)
        out.print(table)
    out.print("instructions, not cycles; of a second of audio, but for steps and frames")
    out.print(f"published, of another task and network: {cost.PEER}")


@app.command()
def train(
    folder: DataOption,
    run: Annotated[Path, typer.Option(help="Folder of checkpoints; training resumes from it.")],
    output: Annotated[Path, typer.Option(help="Model image to write; its card goes beside it.")],
    config: Annotated[
        str, typer.Option(help="Settings: base, small, or a TOML file that says what differs.")
    ] = "base",
    words: Annotated[
        str | None, typer.Option(help="Other keywords, as in a,b,c; folders of the tree.")
    ] = None,
    neurons: Annotated[
        int | None, typer.Option(help="Hidden neurons, not the configuration's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, not the configuration's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, not the configuration's.")] = None,
    exclude_speakers: Annotated[
        Path | None, typer.Option(help="File with speakers not to train on, a name a line.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that augment.", min=1)] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of torch; all cores by default.", min=1)
    ] = None,
    as_json: commands.Json = False,
) -> None:
    """Train a model and write its image; needs `make setup-train`.

    Example: `tracekws train --data speech_commands --run runs/mine --output mine.tkws`
    """
    excluded = frozenset(data.read_names(exclude_speakers) if exclude_speakers else [])
    from tracekws.train.config import load_config, shipped
    from tracekws.train.defaults import DETECTOR, LEARNING

    listed = None if words is None else [word.strip() for word in words.split(",")]
    given = {"words": listed, "neurons": neurons, "epochs": epochs, "seed": seed}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = load_config(config, **changes)
    try:
        from tracekws.train import command
    except ImportError as error:
        raise TraceKwsError(
            f"training needs {error.name}; install it with: {install_command('train')}"
        ) from error
    said = {k: ",".join(v) if isinstance(v, list) else str(v) for k, v in changes.items()}
    job = command.Job(
        folder,
        run,
        output,
        excluded,
        workers,
        threads or command.free_cores(),
        config if config in shipped() else Path(config).name,
        said,
    )
    with stages() as stage:
        model = command.train(
            job,
            settings,
            LEARNING,
            DETECTOR,
            stage,
            lambda epoch: talk.print(command.epoch_text(epoch)),
            lambda text: commands.say(talk, text),
        )
    if model is None:
        return  # torchrun's first process says it
    if as_json:
        print_json({"model": str(output), **model.identity})
    else:
        out.print(f"{output} and its card {output.with_suffix('.md')}")


commands.register(app)
demo.register(app)
app.add_typer(lab.app, name="lab")


def exit_code(error: TraceKwsError) -> int:
    """Exit code of an error: 3 no device, 4 device error, else 1."""
    if isinstance(error, NoDeviceError):
        return 3
    if isinstance(error, DeviceError | ProtocolError | StorageError):
        return 4
    return 1


def say_error(text: str) -> None:
    """Print an error as the one line that it is; names of files may have ends of lines in them."""
    commands.say(talk, "error: " + text.replace("\n", "\\n"))


def main() -> None:
    """Entry point: errors become one line and an exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # in whatever encoding, a name stops no command
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        check_output()
        try:
            app()
        finally:
            with printing():
                pass  # what Python has kept back
    except TraceKwsError as error:
        say_error(str(error))
        sys.exit(exit_code(error))
    except OSError as error:
        named = [str(part) for part in (error.filename, error.strerror) if part]
        say_error(": ".join(named) or str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
