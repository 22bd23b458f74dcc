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
Shots = Annotated[int, typer.Option(help="Takes of each word to learn from.", min=1)]
Passes = Annotated[int, typer.Option(help="Passes over them.", min=1)]
Negatives = Annotated[
    int, typer.Option(help="Takes of the speaker's other words learned as unknown.", min=0)
]
Draws = Annotated[int, typer.Option(help="Random divisions of each speaker.", min=1)]
Seed = Annotated[int, typer.Option(help="Of divisions, order and rounding.", min=0)]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="Only this method; may be given several times."),
]
Workers = Annotated[int | None, typer.Option(help="Processes; all cores by default.", min=1)]
SHOWN_BAD_FILES = 5


def say_left_out(repeats: int, bad: Sequence[str]) -> None:
    """Count the files that were left out, and name the first bad ones with the reason."""
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


def gather(
    model: Model,
    folder: Path,
    others: Path | None,
    speakers: Path | None,
    outside: Path | None,
    settings: adaptbench.Settings,
    progress: data.Progress,
) -> adaptbench.Cast:
    """Read what an adaptation experiment needs of the trees and the list that the options name."""
    return adaptbench.gather(
        model,
        data.read_tree(folder),
        data.read_tree(others) if others else None,
        data.read_names(speakers) if speakers else None,
        settings,
        progress,
        data.read_tree(outside) if outside else None,
    )


def show_adaptation(
    report: adaptbench.Report, model: Model, settings: adaptbench.Settings, as_json: bool
) -> None:
    """Print an adaptation experiment: a row a method, a column a question."""
    cast = report.cast
    if as_json:
        print_json(
            {
                "rows": [row.summary() for row in report.rows],
                "model": model.identity,
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
                "data": cast.digest,
            }
        )
        return
    columns = [*adaptbench.COLUMNS, adaptbench.SAME_REJECTION]
    if not len(cast.outside):
        columns.remove("unknown_outside")
    table = Table("method", *(name.replace("_", " ") for name in columns))
    for row in report.rows:
        cells = []
        for name in columns:
            value, gain = row.columns[name], row.differences[name]
            if value is None or gain is None:
                cells.append("-")
            elif row.method == "none":
                cells.append(f"{value.mean:.1f} ({value.low:.1f} to {value.high:.1f})")
            else:
                cells.append(
                    f"{value.mean:.1f}, {gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})"
                )
        table.add_row(row.method, *cells)
    out.print(table)
    out.print(
        f"{len(cast.speakers)} speakers, {settings.draws} draws, {settings.shots} takes a word; "
        f"percent, then the paired difference to 'none', in brackets 95 % over speakers"
    )
    if cast.speakers_left_out:
        say(out, f"too few takes: {', '.join(cast.speakers_left_out)}")
    say_left_out(cast.repeats, cast.bad)
