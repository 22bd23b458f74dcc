# SPDX-License-Identifier: Apache-2.0
"""`tracekws data`: get data sets, and look at them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tracekws import data, download
from tracekws.cli.console import out, print_json, say, stages, talk
from tracekws.cli.exits import error_object, exit_code, name_of, say_error
from tracekws.cli.options import (
    Json,
)
from tracekws.errors import DataError

app = typer.Typer(help="Get data sets, and look at them.", no_args_is_help=True)


@app.command()
def get(
    folder: Annotated[
        Path, typer.Argument(help="Where it goes: the tree is in SpeechCommands below it.")
    ],
    as_json: Json = False,
) -> None:
    """Download Speech Commands v0.02, 2.4 GB, check it and unpack it.

    The disk must have room for 6.1 GB; the archive is removed at the end. A download that broke off
    goes on with the same command (with torchaudio, which is used where it imports, it begins anew).
    The data are Google's, under CC BY 4.0.

    Example: `tracekws data get downloads`
    """
    with stages() as stage:
        fetched = download.get(folder, stage=stage)
    if as_json:
        print_json({"tree": str(fetched.tree), "by": fetched.by or None})
        return
    if not fetched.by:
        say(talk, "it was there already; remove the folder to fetch it again")
    say(out, str(fetched.tree))


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Tree: WORD/1.wav, or WORD/SPEAKER/1.wav.")],
    as_json: Json = False,
) -> None:
    """Say what a data set holds: words, speakers, splits, repeats, and what is wrong with files.

    Example: `tracekws data check speech_commands`
    """
    tree = data.scan_tree(folder)
    with stages() as stage:
        found = data.survey(tree, stage("reading"))
    if as_json:
        try:
            tree.check_lists()
        except DataError as error:
            told = error_object(exit_code(error), name_of(error), str(error))
            print_json(found.summary() | told)
            raise typer.Exit(say_error(error, str(error), told=True)) from error
        print_json(found.summary())
        return
    recordings = found.recordings
    table = Table("word", "clips", "speakers", "repeats", "bad files")
    for word, counts in found.words.items():
        table.add_row(word, *map(str, counts.values()))
    out.print(table)
    nobody = f", {found.without_speaker} that name none" if found.without_speaker else ""
    out.print(f"{len(recordings.clips)} distinct clips of {found.speakers} speakers{nobody}")
    out.print(
        ", ".join(f"{split} {count}" for split, count in found.splits.items())
        if tree.has_lists
        else "no list files: there is only the split 'all'"
    )
    out.print(
        f"{len(recordings.repeats)} repeated recordings, {len(found.bad)} bad files, "
        f"{len(tree.noises)} noise recordings"
    )
    out.print(
        f"{len(recordings.long)} clips longer than a second, whose loudest second counts, "
        f"{len(recordings.silent)} silent ones"
    )
    if found.converted:
        forms = ", ".join(f"{count} of {form}" for form, count in found.converted.items())
        out.print(f"brought to 16 kHz mono: {forms}")
    out.print(f"{tree.hidden} hidden files left out, {len(tree.absent)} list entries without file")
    for reason in found.bad:
        say(talk, f"bad: {reason}")
    for clip in recordings.silent:
        say(talk, f"silent: {clip.path}")
    tree.check_lists()
