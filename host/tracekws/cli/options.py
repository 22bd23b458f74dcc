# SPDX-License-Identifier: Apache-2.0
"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tracekws.bench.changed_sound import CHANGES
from tracekws.shipped import model_file


def changed_sound_of(name: str) -> str:
    """How a sound may have changed; empty for not at all.

    Raises:
        BadParameter: there is no such kind.
    """
    if name and name not in CHANGES:
        raise typer.BadParameter(f"'{name}' is none of {', '.join(CHANGES)}")
    return name


def model_option(text: str) -> Any:
    """An option for a model, a file or one of SHIPPED; `text` is its help."""
    return typer.Option(help=text, metavar="MODEL", parser=model_file)


Port = Annotated[
    str | None,
    typer.Option(
        help="Serial port, pty or socket://HOST:PORT of the device, or the name of a board that"
        " `tracekws board` runs; the one that is plugged in or runs is found by itself.",
        envvar="TRACEKWS_PORT",
    ),
]
Virtual = Annotated[
    bool,
    typer.Option(
        "--virtual", help="Use the user's virtual board, which keeps what it has learned."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeepIn = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Keep the takes that are learned as features in this profile, so that `profile load`"
        " teaches them to another model.",
        show_default=False,
    ),
]
Isolated = Annotated[
    bool | None,
    typer.Option(
        "--isolated/--connected",
        help="Hear only words that stand by themselves, with a short pause on both sides: hardly"
        " any false alarms in talk; or words in flowing speech, too. As the model says by default.",
        show_default=False,
    ),
]
ModelArgument = Annotated[
    Path,
    typer.Argument(help="Model image, or base, or small.", metavar="[MODEL]", parser=model_file),
]
DataOption = Annotated[
    Path, typer.Option("--data", help="Tree: WORD/1.wav, WORD/SPEAKER/1.wav, or Speech Commands.")
]
TalkOption = Annotated[
    Path | None,
    typer.Option(
        "--talk",
        help="Folder of sentences with a table index.tsv of file and text: words heard in them,"
        " those of the text apart.",
    ),
]
StreamSnr = Annotated[
    float,
    typer.Option(
        "--snr",
        help="Speech over background in the streams, dB; takes are as they are.",
        min=-20,
        max=100,
    ),
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
Force = Annotated[
    bool, typer.Option("--force", help="Learn takes, too, that would be refused or left out.")
]
Save = Annotated[bool, typer.Option("--save/--no-save", help="Save what was learned.")]
DeviceModel = Annotated[
    Path, model_option("The device's model, if it is none that comes with this package.")
]
Shots = Annotated[int, typer.Option(help="Takes of each word to learn from.", min=1)]
Passes = Annotated[int, typer.Option(help="Passes over them.", min=1)]
Negatives = Annotated[
    int, typer.Option(help="Takes of the speaker's other words learned as unknown.", min=0)
]
ChangedSound = Annotated[
    str,
    typer.Option(
        help="room, noise or noise-10db: the speakers are heard in another room through another "
        "microphone, or in noise of the tree, 0 to 5 or 10 dB below; all made up.",
        callback=changed_sound_of,
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
