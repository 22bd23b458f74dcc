# SPDX-License-Identifier: Apache-2.0
"""`tracekws demo`: the whole product on a virtual board."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tracekws.audio import read_clip
from tracekws.bench.demo import demonstrate, picture, read_said
from tracekws.cli.console import out, picture_file, print_json, say, stages, talk
from tracekws.cli.devices import columns_table
from tracekws.cli.options import Json, model_option
from tracekws.errors import DataError
from tracekws.shipped import MODEL, SPEECH


def demo(
    model: Annotated[Path, model_option("Model image that the board starts with.")] = MODEL,
    speech: Annotated[Path, typer.Option(help="Folder that scripts/make_speech.py made.")] = SPEECH,
    image: Annotated[
        Path, typer.Option("--picture", help="Where to draw it.", callback=picture_file)
    ] = Path("demo.png"),
    as_json: Json = False,
) -> None:
    """Show it all on a virtual board: it hears a voice, learns it, and is restarted.

    The voices are a synthesiser's; what is printed is what was measured.

    Example: `tracekws demo --picture demo.png`
    """
    if not speech.is_dir():
        raise DataError(f"{speech}: no such folder; name one with --speech")
    with tempfile.TemporaryDirectory() as folder, stages() as stage:
        result = demonstrate(
            model,
            speech,
            Path(folder) / "flash",
            tell=lambda text: say(talk, text),
            progress=stage.report,
        )
    picture(image, result, read_clip(speech / "stream.flac"), read_said(speech / "stream.tsv"))
    if as_json:
        print_json(result.as_json() | {"picture": str(image)})
        return
    table = columns_table(result.before, result.after)
    before, after = result.stream_before, result.stream_after
    table.add_row(
        "keywords heard in the stream", str(before.keywords), str(before.right), str(after.right),
        f"{after.right - before.right:+d}",
    )  # fmt: skip
    table.add_row(
        "false alarms in the stream", "", str(before.false), str(after.false),
        f"{after.false - before.false:+d}",
    )  # fmt: skip
    if result.own_word:
        table.add_row(
            f"'{result.own_word}', a word that it was taught", "1", "0",
            str(result.own_word_heard), f"{result.own_word_heard:+d}",
        )  # fmt: skip
    out.print(table)
    say(out, f"picture: {image.resolve()}")
