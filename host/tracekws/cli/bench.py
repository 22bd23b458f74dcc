# SPDX-License-Identifier: Apache-2.0
"""`tracekws bench`: measure adapting, streams, what is heard outside of single words, cost."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tracekws import data
from tracekws.bench import adapting, cards, correcting, cost, poisoning, robust, streams, teaching
from tracekws.bench.streams import CLEAN_DB
from tracekws.cli.adapting import methods_of, show_adaptation
from tracekws.cli.console import (
    count,
    out,
    picture_file,
    print_json,
    say,
    say_left_out,
    stages,
    talk,
)
from tracekws.cli.devices import open_device
from tracekws.cli.options import (
    Against,
    ChangedSound,
    DataOption,
    Draws,
    Isolated,
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
from tracekws.core import Model
from tracekws.errors import ModelError
from tracekws.sensitivity import LEVELS
from tracekws.shipped import MODEL, model_file

app = typer.Typer(help="Measure.", no_args_is_help=True)


def load_other(path: Path, model: Model) -> Model:
    """Read the model to compare with.

    Raises:
        ModelError: it is no model, or it has other words.
    """
    other = Model.load(path)
    if set(other.keywords) != set(model.keywords):
        raise ModelError(
            f"{path}: it knows {' '.join(other.keywords)}, and '{model.name}' knows "
            f"{' '.join(model.keywords)}: compare models of the same words"
        )
    return other


@app.command("adapt")
def bench_adapt(
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
    sensitivity: Annotated[
        int,
        typer.Option(
            help="Of the detector as it ships, as listen has it.", min=LEVELS[0], max=LEVELS[-1]
        ),
    ] = 0,
    draws: Draws = 10,
    seed: Seed = 1,
    method: Methods = None,
    against: Against = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure what adapting to a speaker gains and costs in clips and streams, method by method.

    Example: `tracekws bench adapt --data speech_commands --shots 3`
    """
    model = Model.load(model_path)
    other = load_other(against, model) if against else None
    settings = adapting.Experiment(
        shots, passes, negatives, draws, seed, changed_sound, new_words, snr, sensitivity
    )
    sources = adapting.read_sources(folder, others, speakers, outside, sentences)
    wanted = methods_of(method, adapting.METHODS, adapting.methods_for(model))
    with stages() as stage:
        report = adapting.measure(model, sources, settings, wanted, other, workers, stage)
    show_adaptation(report, model, settings, as_json, other)


@app.command("teach")
def bench_teach(
    folder: DataOption,
    model_path: ModelArgument = MODEL,
    others: Others = None,
    speakers: Speakers = None,
    sentences: TalkOption = None,
    sounds: Annotated[
        Path | None,
        typer.Option(
            help="Folder of sounds with a table index.tsv of file: how often a word that is taught"
            " alone is heard in them and in --talk."
        ),
    ] = None,
    shots: Annotated[
        list[int] | None,
        typer.Option(
            help="Takes of a word; may be given several times. 1, 3 and 5 by default.", min=1
        ),
    ] = None,
    draws: Draws = 2,
    seed: Seed = 1,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure how words are heard that a model does not have, taught by a few takes each.

    Ten words of each speaker of the tree, whatever they are; the rest are other words. Background
    is that of the tree, or of --others.

    Example: `tracekws bench teach --data OTHER_WORDS --others speech_commands`
    """
    model = Model.load(model_path)
    source = teaching.read_source(folder, others, speakers, sentences, sounds)
    with stages() as stage:
        recordings = data.read_recordings(source.clips, stage("reading"))
        rows = teaching.bench_teach(
            model,
            recordings,
            source.background,
            source.talk,
            source.sounds,
            sorted(set(shots or teaching.SHOTS)),
            draws,
            seed,
            workers,
            stage("teaching"),
        )
    people = rows[0].speakers
    if as_json:
        print_json(
            {
                "model": model.identity,
                "settings": {"draws": draws, "seed": seed, "words": teaching.WORDS},
                "speakers": people,
                "data": recordings.digest,
                "rows": [row.summary() for row in rows],
            }
        )
        return
    table = Table("", *(count(row.takes) for row in rows))
    for name, caption in teaching.CAPTIONS.items():
        found = [row.columns.get(name) for row in rows]
        cells = [
            f"{one.mean:.1f} ({one.low:.1f} to {one.high:.1f})" if one else "-" for one in found
        ]
        table.add_row(caption, *cells)
    out.print(table)
    out.print(f"{people} speakers, {draws} draws; percent, in brackets 95 % over speakers")
    reasons = [reason for _, reason in recordings.bad]
    say_left_out(len(recordings.repeats), reasons, len(recordings.long))


@app.command("poison")
def bench_poison(
    folder: DataOption,
    model_path: ModelArgument = MODEL,
    speakers: Speakers = None,
    shots: Shots = 3,
    draws: Draws = 1,
    seed: Seed = 1,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure what wrong takes do: under wrong names, of others, of noise; with the guard, without.

    Example: `tracekws bench poison --data speech_commands --speakers adaptation_speakers.txt`
    """
    model = Model.load(model_path)
    settings = adapting.Experiment(shots=shots, draws=draws, seed=seed)
    sources = adapting.read_sources(folder, None, speakers, None)
    noises = [n for n in data.read_noise(sources.tree.noises, "evaluation") if len(n) >= 16000]
    with stages() as stage:
        people = sources.read(model, settings, stage("reading"), streams=True)
        rows = poisoning.bench_poison(
            model, people, noises, settings, workers, stage("adapting wrongly")
        )
    found = [row.summary() for row in rows]
    if as_json:
        told = {"shots": shots, "draws": draws, "seed": seed, "data": people.digest}
        people_told = {"speakers": len(people.speakers)}
        print_json({"model": model.identity, "settings": told, **people_told, "rows": found})
        return
    table = Table(
        "takes",
        "kept",
        "heard",
        "guarded",
        "not",
        "false in 100",
        "guarded",
        "not",
        "harmed",
        "not",
    )
    for row in found:
        cells = [row["takes_kept"], *row["heard"].values(), *row["false_per_100"].values()]
        texts = ["-" if cell is None else f"{cell:.1f}" for cell in cells]
        harmed = [f"{count} of {row['sessions']}" for count in row["harmed"].values()]
        table.add_row(poisoning.CAPTIONS[row["kind"]], *texts, *harmed)
    out.print(table)
    out.print(f"{len(people.speakers)} speakers, {draws} draws; percent, as it ships")


@app.command("correct")
def bench_correct(
    folder: DataOption,
    model_path: ModelArgument = MODEL,
    others: Annotated[
        Path | None,
        typer.Option(help="Tree of other words, whose false alarms are corrected, too."),
    ] = None,
    seed: Seed = 1,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure what corrections are worth: false alarms taken back, missed words said again.

    Clips are those of the testing speakers, and all of --others; background is that of the tree.

    Example: `tracekws bench correct --data speech_commands --others OTHER_WORDS`
    """
    model = Model.load(model_path)
    clips, sounds = correcting.read_source(folder, others)
    with stages() as stage:
        recordings = data.read_recordings(clips, stage("reading"))
        report = correcting.bench_correct(
            model, recordings, sounds, seed, workers, stage("correcting")
        )
    if as_json:
        settings = {"seed": seed, "data": recordings.digest}
        print_json({"model": model.identity, "settings": settings, **report.summary()})
        return
    table = Table("", "percent", "95 % over speakers", "change", "95 %")
    for name, caption in correcting.CAPTIONS.items():
        if one := report.rows.get(name):
            cells = [f"{one.mean:.1f}", f"{one.low:.1f} to {one.high:.1f}"]
            if change := report.change(name):
                cells += [f"{change.mean:+.1f}", f"{change.low:+.1f} to {change.high:+.1f}"]
            table.add_row(caption, *cells)
    out.print(table)
    out.print(
        f"{report.speakers} speakers, {report.false_alarms} false alarms and {report.missed}"
        " missed words corrected"
    )
    reasons = [reason for _, reason in recordings.bad]
    say_left_out(len(recordings.repeats), reasons, len(recordings.long))


@app.command("stream")
def bench_stream(
    model_path: ModelArgument = MODEL,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Tree whose words are said: WORD/SPEAKER/1.wav, or Speech Commands."
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Speakers to hear: testing, validation, training or all.")
    ] = "testing",
    background: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recordings without keywords, of any length: words are laid"
            " over them instead of the tree's noise, and they are heard by themselves."
        ),
    ] = None,
    sentences: TalkOption = None,
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
        typer.Option(
            help="Port of a device that runs MODEL: measure the model's words with what it has"
            " learned; words of one's own and sounds taken back are left out."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw hits over false alarms into this PNG, SVG or PDF.", callback=picture_file
        ),
    ] = None,
    isolated: Isolated = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure what a model hears on a stream: hits, misses, false alarms, latency.

    Give --data, --background or --talk, or several. docs/stream.md says how a stream is made and
    judged.

    Example: `tracekws bench stream --data speech_commands --split validation`
    """
    if split not in (*data.SPLITS, "all"):
        raise typer.BadParameter(f"'{split}' is none of testing, validation, training, all")
    if folder is None and background is None and sentences is None:
        raise typer.BadParameter("give --data, --background or --talk, or several")
    for option, value in (("--picture", picture), ("--hours", hours), ("--snr", snr)):
        if folder is None and value is not None:
            raise typer.BadParameter("it is for words: give --data too", param_hint=option)
    model = Model.load(model_path)
    weights = learned_weights(port, model_path, model) if port else None
    with stages() as stage:
        report = streams.measure(
            model,
            folder,
            split,
            background,
            sentences,
            hours,
            snr,
            seed,
            workers,
            stage,
            weights,
            isolated,
        )
    if picture is not None:
        from tracekws.bench.pictures import stream_picture

        stream_picture(model.name, report.speech, picture)
        talk.print(f"hits over false alarms: {picture}")
    if as_json:
        print_json({"model": model.identity, "learned_on": port, **report.summary()})
        return
    for one in report.speech:
        show_speech(model.name, split, one.summary())
    if report.background is not None:
        heard = report.background.summary()
        out.print(
            f"background alone: {heard['false_alarms']} false alarms in {heard['hours']:.2f} "
            f"hours, {hourly(heard['false_alarms_per_hour'])}"
        )
    for part in report.talk:
        heard = part.summary()
        out.print(
            f"talk, {heard['split']}: {heard['false_alarms']} false alarms in {heard['hours']:.2f} "
            f"hours, {hourly(heard['false_alarms_per_hour'])}; "
            f"{heard['events_of_words_said']} events of words in the text"
        )
    say_left_out(report.repeats, report.bad, report.long)


def learned_weights(port: str, path: Path, model: Model) -> bytes:
    """The weights that the device at a port runs with, which must be those of this model."""
    with open_device(port) as device:
        about = device.info()
        if about.model_crc != model.crc:
            raise ModelError(
                f"{path}: the device runs another model, {about.model_name} with CRC"
                f" {about.model_crc:08x}; give that one"
            )
        return device.weights()


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


@app.command("robust")
def bench_robust(
    folder: Annotated[
        Path,
        typer.Option(
            "--data",
            help="Folder with the sets gsc, asc, talk, phrases, sounds, rooms, or some of them; or "
            "a Speech Commands tree alone.",
        ),
    ],
    model_paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Model images, or base, or small.",
            metavar="[MODEL]...",
            parser=model_file,
            show_default=str(MODEL),
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw the tables into this PNG, SVG or PDF.", callback=picture_file),
    ] = None,
    isolated: Isolated = None,
    card: Annotated[
        bool, typer.Option("--card", help="Write the rows onto each model's card, beside it.")
    ] = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure what models hear in talk, noise, rooms, other voices, and words in a row.

    docs/robust.md says what each row is.

    Example: `tracekws bench robust --data SETS --picture robust.png`
    """
    paths = model_paths or [MODEL]
    models = [Model.load(path) for path in paths]
    if card and isolated is not None:
        raise typer.BadParameter(
            "a card says what is heard as the model is set", param_hint="--card"
        )
    for path in paths if card else ():
        cards.read(path, cards.HEARD_ROWS)  # before minutes of hearing
    with stages() as stage:
        reports = [
            robust.measure(model, folder, workers, stage, isolated).summary() for model in models
        ]
    if card:
        for path, report in zip(paths, reports, strict=True):
            cards.complete_heard(path, report)
    if picture is not None:
        from tracekws.bench.pictures import robust_picture

        robust_picture(reports, picture)
        talk.print(f"tables as a picture: {picture}")
    if as_json:
        print_json({"models": reports})
        return
    for report in reports:
        show_robust(report)
    for what in reports[0]["missing"]:
        say(talk, f"left out: {what}")


def ranged(interval: dict[str, float], sign: str = "") -> str:
    """A mean with its interval."""
    mean, low, high = (format(interval[key], f"{sign}.1f") for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def show_robust(report: dict[str, Any]) -> None:
    """The rows of a model: shares, and then counts."""
    setting = "words by themselves" if report["isolated"] else "words in flow, too"
    name = f"{report['model']['name']}, {setting}"
    shares = Table("row", "percent", "of", "without", "difference", "false alarms", title=name)
    events = Table("row", "false alarms", "hours", "an hour", "words said", title=name)
    for row in report["rows"]:
        if "percent" in row:
            false = row.get("false_alarms_per_100_other_words")
            shares.add_row(
                row["name"],
                ranged(row["percent"]),
                str(row["of"]),
                f"{row['without']:.1f}" if "without" in row else "",
                ranged(row["difference"], "+") if "difference" in row else "",
                f"{ranged(false)} in 100 others" if false else str(row.get("false_alarms", "")),
            )
        else:
            events.add_row(
                row["name"],
                str(row["events"]),
                f"{row['hours']:.2f}",
                ranged(row["per_hour"]),
                str(row["events_of_words_said"]),
            )
    for table in (shares, events):
        if table.row_count:
            out.print(table)
    out.print("95 %: speakers drawn anew; of counts, Poisson")


@app.command("cost")
def bench_cost(
    model_path: ModelArgument = MODEL,
    board: Annotated[
        str | None, typer.Option(help="Board whose code is counted; all by default.")
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Write the counts onto the model's card, beside it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count the instructions of a second of audio, and of a step of learning, on each board.

    The counts are exact, from an emulator; they are not cycles. Needs the cross compilers and QEMU;
    boards whose tools are missing are left out where all are wanted.

    Example: `tracekws bench cost --board stm32f405`
    """
    if board is not None and board not in cost.TARGETS:
        raise typer.BadParameter(
            f"'{board}' is none of {'; '.join(cost.TARGETS)}", param_hint="--board"
        )
    model = Model.load(model_path)
    if card:
        cards.read(model_path, cards.COST_ROWS)  # before minutes of counting
    with stages() as stage:
        rows = cost.measure_boards(
            board, model_path, stage("counting"), lambda text: say(talk, text)
        )
    if card:
        cards.complete(model_path, [row for costs in rows.values() for row in costs])
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
