# SPDX-License-Identifier: Apache-2.0
"""`tracekws record` and `tracekws microphone`: the board's own microphone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from tracekws.cli.console import (
    out,
    print_json,
    say,
    talk,
)
from tracekws.cli.devices import open_device, prompt
from tracekws.cli.options import Json, Port
from tracekws.device.microphone import level, record_word
from tracekws.errors import code, device_error
from tracekws.files import check_folder
from tracekws.names import OTHER, word_of


def record(
    word: Annotated[
        str, typer.Argument(help=f"The word, of any model or none; {OTHER} for any other words.")
    ],
    takes: Annotated[int, typer.Option(help="Takes to record.", min=1, max=1000)] = 3,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of takes, as `adapt` and `train` read it.")
    ] = Path("takes"),
    speaker: Annotated[str, typer.Option(help="Who speaks: takes go to FOLDER/WORD/SPEAKER.")] = "",
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Record takes of a word through the board's own microphone, with prompts.

    They go beside those that the folder has: FOLDER/WORD/1.wav and so on, the loudest second of
    each; `train`, `adapt` and `teach` read them. A take that is too quiet, too loud, noise alone or
    has lost samples is asked for again.

    Example: `tracekws record yes --takes 3 --out my-takes`
    """
    word = word_of(word)
    check_folder(folder)
    with open_device(port) as device:
        device.check_microphone()

        def recorder(seconds: float) -> NDArray[np.int16]:
            recording = device.record(seconds)
            if recording.overruns:
                raise device_error(code("OVERRUN"))
            return recording.pcm

        made = record_word(
            folder,
            word,
            takes,
            speaker=speaker,
            ask=prompt(folder),
            complain=lambda problem: say(talk, problem),
            recorder=recorder,
        )
    if as_json:
        print_json({"files": [str(path) for path in made]})
    else:
        for path in made:
            say(out, str(path))


def microphone(
    seconds: Annotated[float, typer.Option(help="Length of the test.", min=0.1, max=60)] = 1.0,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Test the board's own microphone: loudness, clipping, offset, lost samples, wrong frames.

    The board records, this machine computes. Speak meanwhile, as loud as you will to the device.

    Example: `tracekws microphone --seconds 2`
    """
    with open_device(port) as device:
        recording = device.record(seconds)
    found = level(recording.pcm, recording.overruns)
    if as_json:
        print_json(asdict(found))
    else:
        table = Table.grid(padding=(0, 2))
        for name, value in (
            ("loudness", f"{found.rms_dbfs:.1f} dBFS"),
            ("peak", f"{found.peak_dbfs:.1f} dBFS"),
            ("clipped", f"{100 * found.clipped:.2f} % of the samples"),
            ("offset", f"{100 * found.dc:.2f} % of full scale"),
            ("samples lost", f"{found.overruns} times"),
            ("verdict", found.verdict),
        ):
            table.add_row(name, Text(value, overflow="fold"))
        out.print(table)
    if not found.ok:
        raise typer.Exit(1)
