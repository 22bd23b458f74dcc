# SPDX-License-Identifier: Apache-2.0
"""What the commands on a tree of speech share: options, and what they show of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tracekws import adaptbench, data
from tracekws.console import out, print_json, talk
from tracekws.core import Model
from tracekws.device.commands import say
from tracekws.errors import ModelError
from tracekws.shift import SHIFTS


def shift_of(name: str) -> str:
    """A kind of shift; empty for none.

    Raises:
        BadParameter: there is no such kind.
    """
    if name and name not in SHIFTS:
        raise typer.BadParameter(f"'{name}' is none of {', '.join(SHIFTS)}")
    return name


ModelArgument = Annotated[Path, typer.Argument(help="Model image.", metavar="[MODEL]")]
DataOption = Annotated[
    Path, typer.Option("--data", help="Speech Commands tree: word/speaker_nohash_n.wav.")
]
OutsideOption = Annotated[
    Path | None,
    typer.Option(
        help="Tree of words that the model was not trained on, whatever their names, as of "
        "another language: how many are rejected."
    ),
]
Others = Annotated[
    Path | None, typer.Option(help="Tree of the other speakers; the same tree by default.")
]
Speakers = Annotated[
    Path | None,
    typer.Option(help="File with the speakers to adapt to; by default those with enough takes."),
]
Against = Annotated[
    Path | None,
    typer.Option(help="Another image of the same words: the difference to it, in every column."),
]
Shots = Annotated[int, typer.Option(help="Takes of each word to learn from.", min=1)]
Passes = Annotated[int, typer.Option(help="Passes over them.", min=1)]
Negatives = Annotated[
    int, typer.Option(help="Takes of the speaker's other words learned as unknown.", min=0)
]
Shift = Annotated[
    str,
    typer.Option(
        help="room or noise: the speakers are heard in another room through another microphone, "
        "or in noise of the tree; both made up.",
        callback=shift_of,
        show_default=False,
    ),
]
NewWords = Annotated[
    bool,
    typer.Option(
        "--new-words", help="Learn other words, drawn from the tree, in the place of the model's."
    ),
]
Draws = Annotated[int, typer.Option(help="Random divisions of each speaker.", min=1)]
Seed = Annotated[
    int, typer.Option(help="Of divisions, order, rounding, rooms, noise and new words.", min=0)
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="Only this method; may be given several times."),
]
Workers = Annotated[int | None, typer.Option(help="Processes; all cores by default.", min=1)]
SHOWN_BAD_FILES = 5


def say_left_out(repeats: int, bad: Sequence[str], long: int) -> None:
    """Count the files that were left out or cut, and name the first bad ones with the reason."""
    if long:
        out.print(f"of {long} clips longer than a second the loudest second was taken")
    if repeats or bad:
        out.print(f"left out: {repeats} repeated recordings, {len(bad)} bad files")
    for reason in bad[:SHOWN_BAD_FILES]:
        say(talk, f"bad: {reason}")
    if len(bad) > SHOWN_BAD_FILES:
        say(talk, f"and {len(bad) - SHOWN_BAD_FILES} more; `tracekws data check` names all")


def methods_of(wanted: list[str] | None, known: Iterable[str]) -> list[str]:
    """The methods to compare; all, if none is named.

    Raises:
        BadParameter: there is no such method.
    """
    strange = sorted(set(wanted or ()) - set(known))
    if strange:
        raise typer.BadParameter(f"'{strange[0]}' is none of {', '.join(known)}")
    return wanted or list(known)


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


def gather(
    model: Model,
    tree: data.Tree,
    others: Path | None,
    speakers: Path | None,
    outside: Path | None,
    settings: adaptbench.Settings,
    progress: data.Progress,
) -> adaptbench.Cast:
    """Read what an adaptation experiment needs of the trees and the list that the options name."""
    return adaptbench.gather(
        model,
        tree,
        data.read_tree(others) if others else None,
        data.read_names(speakers) if speakers else None,
        settings,
        progress,
        data.read_tree(outside) if outside else None,
    )


def difference(estimate: adaptbench.Estimate) -> str:
    """A paired difference with its interval."""
    return f"{estimate.mean:+.1f} ({estimate.low:+.1f} to {estimate.high:+.1f})"


def show_adaptation(
    report: adaptbench.Report,
    model: Model,
    words: Sequence[str],
    settings: adaptbench.Settings,
    as_json: bool,
    other: Model | None = None,
) -> None:
    """Print an adaptation experiment: a row a method, a column a question.

    Args:
        report: of the model.
        model: what adapted, as its file has it.
        words: that it learned.
        settings: the experiment.
        as_json: instead of a table.
        other: the model that the report was compared with.
    """
    cast = report.cast
    if as_json:
        print_json(
            {
                "rows": [row.summary() for row in report.rows],
                "model": model.identity,
                "words": list(words),
                "against": other and other.identity,
                "settings": settings.__dict__,
                "speakers": len(cast.speakers),
                "speakers_left_out": list(cast.speakers_left_out),
                "words_left_out": cast.words_left_out,
                "unknown_self_clips": report.unknown_self_clips,
                "others_clips": len(cast.others),
                "outside_clips": len(cast.outside),
                "replay_sequences": int(model.header.n_sequences),
                "repeats_dropped": cast.repeats,
                "bad_files": len(cast.bad),
                "bad": list(cast.bad),
                "long_clips": cast.long,
                "data": cast.digest,
            }
        )
        return
    columns = [*adaptbench.COLUMNS, adaptbench.SAME_REJECTION]
    if not len(cast.outside):
        columns.remove("unknown_outside")
    headings = ("method", *(name.replace("_", " ") for name in columns))
    table = Table(*headings)
    for row in report.rows:
        cells = []
        for name in columns:
            value, gain = row.columns[name], row.gain[name]
            if value is None or gain is None:
                cells.append("-")
            elif row.method == "none":
                cells.append(f"{value.mean:.1f} ({value.low:.1f} to {value.high:.1f})")
            else:
                cells.append(f"{value.mean:.1f}, {difference(gain)}")
        table.add_row(row.method, *cells)
    out.print(table)
    out.print(
        f"{len(cast.speakers)} speakers, {settings.draws} draws, {settings.shots} takes a word; "
        f"percent, then the paired difference to 'none', in brackets 95 % over speakers"
    )
    if settings.rejection is not None:
        share = f"{100 * settings.rejection:.0f} %"
        out.print(f"the new words: {' '.join(words)}; same rejection: {share}")
    if other:
        names = [" ".join(each.identity.values()) for each in (model, other)]
        table = Table(*headings, title=" - ".join(names))
        for row in report.rows:
            found = [row.against and row.against[name] for name in columns]
            table.add_row(row.method, *(difference(one) if one else "-" for one in found))
        out.print(table)
        out.print("the paired difference to the other model after the same takes")
    if cast.speakers_left_out:
        say(out, f"too few takes: {', '.join(cast.speakers_left_out)}")
    say_left_out(cast.repeats, cast.bad, cast.long)
