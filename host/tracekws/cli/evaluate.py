# SPDX-License-Identifier: Apache-2.0
"""`tracekws evaluate`: accuracy over clips."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tracekws import data
from tracekws.bench import clips
from tracekws.cli.console import out, picture_file, print_json, say_left_out, stages, talk
from tracekws.cli.options import (
    DataOption,
    Json,
    ModelArgument,
    OutsideOption,
    Workers,
)
from tracekws.core import Model
from tracekws.shipped import MODEL


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
    as_json: Json = False,
) -> None:
    """Measure a model's accuracy over a data set, with the C core.

    Example: `tracekws evaluate models/base.tkws --data speech_commands --split validation`
    """
    if split not in (*data.SPLITS, "all"):
        raise typer.BadParameter(f"'{split}' is none of testing, validation, training, all")
    model = Model.load(model_path)
    tree = data.read_tree(folder)
    foreign = data.read_tree(outside) if outside else None
    with stages() as stage:
        measured = clips.measure(model, tree, split, foreign, workers, stage)
    result, strange = measured.result, measured.outside
    if picture is not None:
        from tracekws.bench.pictures import confusion_picture

        confusion_picture(result, picture)
        talk.print(f"confusion matrix: {picture}")
    if as_json:
        print_json(measured.summary())
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
