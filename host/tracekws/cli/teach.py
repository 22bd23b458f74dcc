# SPDX-License-Identifier: Apache-2.0
"""`tracekws teach` and `tracekws words`: words of the user's own."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tracekws.cli.console import (
    check_json,
    count,
    out,
    print_json,
    printing,
    say,
    stages,
    talk,
)
from tracekws.cli.devices import (
    device_model,
    open_device,
    prompt,
    say_saved,
    warn_before_learning,
)
from tracekws.cli.options import DeviceModel, Force, Json, KeepIn, Port, Save, Virtual
from tracekws.device import microphone
from tracekws.device.driver import Taught
from tracekws.device.relearn import check_profile
from tracekws.device.teach import Teaching, check_room
from tracekws.errors import TraceKwsError
from tracekws.files import check_folder
from tracekws.names import word_of
from tracekws.shipped import MODEL


def teach(
    word: Annotated[str, typer.Argument(help="The word; the model need not know it.")],
    takes: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Recordings of it, or folders of recordings; without, three are recorded.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--out", help="Where takes go that are recorded: FOLDER/WORD/1.wav.")
    ] = Path("takes"),
    force: Force = False,
    keep: Save = True,
    model: DeviceModel = MODEL,
    profile: KeepIn = None,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Teach the device a word of your own by a few takes; it is heard from then on.

    One take will do, three to five are far better, and others can be taught later. No score of
    another word changes; where your word is heard, others are held back for 0.2 s. `words` lists
    what the device was taught, `forget WORD` takes it away.

    Example: `tracekws teach lamp my-takes/lamp`
    """
    word = word_of(word)
    known = device_model(model)

    def show(result: Teaching) -> None:
        """Give all that can fail, so that nothing is saved when it does."""
        if as_json:
            longest = asdict(replace(result, generation=2**32 - 1))
            check_json(longest)
            return
        for warning in result.warnings:
            say(talk, f"warning: {warning}")
        with printing():
            say(out, standing(result))

    with open_device(port, virtual) as device:
        about = device.info()
        warn_before_learning(about, keep)
        check_profile(profile, about, known)
        if not takes:
            check_room(device, [word], about)
        paths = takes or record_takes(folder, word)
        with stages() as stage:
            result = device.teach(
                word,
                paths,
                model=known,
                save=keep,
                force=force,
                profile=profile,
                about=about,
                progress=stage.report,
                before_save=stage.aside(show),
            )
    say_saved(result.generation, virtual)
    if profile is not None:
        say(talk, f"takes kept in the profile {profile}")
    if as_json:
        print_json(asdict(result))


def taught_as_json(taught: Taught) -> dict[str, object]:
    """What a device holds of its user's own, as plain data."""
    own = [asdict(one) for one in taught.words.values()]
    return {"own": own, "sounds": taught.sounds, "room": taught.room}


def room_taken(taught: Taught) -> str:
    """How much of the room for own words is taken, in one line."""
    n = taught.sounds
    also = f", {n} {'sound' if n == 1 else 'sounds'} taken back" if n else ""
    return f"{len(taught.words)} of {taught.room} words of your own{also}"


def standing(result: Teaching) -> str:
    """How a word stands, in one line."""
    more = "" if result.learned == result.takes else f", {result.takes} in all"
    learned = f"{result.word}: {count(result.learned)} learned{more}"
    if not result.own:
        return f"{learned}; the model knows the word, and hears it better as you say it"
    if result.agreement is None:
        return learned
    return f"{learned}; they agree by {result.agreement:.2f}"


def record_takes(folder: Path, word: str) -> list[Path]:
    """Record three takes by this machine's microphone, with prompts on the terminal."""
    if not talk.is_terminal:
        raise TraceKwsError(
            f"give takes of {word!r}, as in: tracekws teach {word} FOLDER; without, they are"
            " recorded at a terminal"
        )
    microphone.sounddevice()  # say at once what is missing
    check_folder(folder)
    return microphone.record_word(
        folder,
        word,
        microphone.TAKES,
        ask=prompt(folder),
        complain=lambda problem: say(talk, problem),
        recorder=microphone.record,
    )


def words(port: Port = None, virtual: Virtual = False, as_json: Json = False) -> None:
    """List the words that the device hears, the model's and your own, and the takes it has of them.

    Example: `tracekws words`
    """
    with open_device(port, virtual) as device:
        about = device.info()
        taught = device.taught()
        kept = device.kept(about)
    known = about.keywords
    if as_json:
        print_json({"model": list(known), "takes": kept, **taught_as_json(taught)})
        return
    table = Table("word", "from", "takes", "agreement")
    for word in known:
        table.add_row(word, "the model", str(kept.get(word, "")), "")
    for one in taught.words.values():
        agreement = "" if one.agreement is None else f"{one.agreement:.2f}"
        table.add_row(one.word, "you", str(one.takes), agreement)
    out.print(table)
    if taught.room:
        say(out, f"{room_taken(taught)}; `tracekws teach WORD` adds one")
    else:
        say(out, "this model has no room for words of your own")
