# SPDX-License-Identifier: Apache-2.0
"""`tracekws correct`: mistakes taken back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from tracekws.cli.console import check_output, count, out, print_json, say
from tracekws.cli.devices import check_known, open_device, say_saved, warn_of_slots
from tracekws.cli.options import Json, Port, Save
from tracekws.device.driver import Correction, DeviceInfo
from tracekws.names import OTHER, is_name, normalised


def correct(
    word: Annotated[
        str | None,
        typer.Argument(
            help="The word that it was, of those that `words` lists.", show_default=False
        ),
    ] = None,
    nothing: Annotated[
        bool, typer.Option("--nothing", help="It was no word: nothing is to be heard there.")
    ] = False,
    keep: Save = True,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Take back what the device heard last: it was another word, or none.

    With a word, the last sound is kept as a take of it: a word that was missed, or was heard as
    another. With --nothing, the sound of the last event is kept as one that is no word; what is
    like it raises nothing any more. `words` counts such sounds, `forget --sounds` forgets them.

    Example: `tracekws correct yes`, after `tracekws listen take.wav`
    """
    if (word is None) != nothing:
        raise typer.BadParameter("give the word that it was, or --nothing")
    with open_device(port) as device:
        about = device.info()
        if keep:
            warn_of_slots(about)
        check_output()
        if word is not None:
            check_word(word, about, device.words())
        result = device.correct(word)
        generation = device.save() if keep else None
    if as_json:
        print_json({**asdict(result), "generation": generation})
        return
    say(out, standing(result))
    say_saved(generation)


def check_word(word: str, about: DeviceInfo, own: Iterable[str]) -> None:
    """See that what is corrected to a word makes no new one: a slip of the hand would.

    What can be no word is left to the device, which says why.

    Args:
        word: as it was typed.
        about: the device.
        own: words of the user's own that it has.

    Raises:
        DataError: it could be a word, and is none that the device has.
    """
    name = normalised(word)
    if is_name(name) and name not in (OTHER, about.unknown, about.silence):
        hint = f"; to teach it a new one: tracekws teach {name}"
        check_known([name], [*about.keywords, *own], hint)


def standing(result: Correction) -> str:
    """How a word, or a sound, stands, in one line."""
    takes = count(result.takes)
    if result.word is None:
        return f"kept as no word: {takes} of this sound"
    return f"kept as a take of {result.word}: {takes} of it"
