# SPDX-License-Identifier: Apache-2.0
"""What a device keeps: save, undo, forget, load, info."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tracekws.cli.console import (
    count,
    out,
    print_json,
    say,
    stages,
)
from tracekws.cli.devices import check_known, confirm, open_device, warn_of_slots
from tracekws.cli.options import Json, Port, Virtual
from tracekws.cli.teach import room_taken, taught_as_json
from tracekws.core import Model
from tracekws.device.device import Device
from tracekws.device.driver import DeviceInfo, Taught
from tracekws.errors import DataError, ModelError, StorageError
from tracekws.names import normalised
from tracekws.shipped import model_file


def save(port: Port = None, as_json: Json = False) -> None:
    """Save the weights that the device runs with now, where they are not saved already.

    Example: `tracekws save`
    """
    with open_device(port) as device:
        about = device.info()
        generation = about.generation
        if about.changed:
            warn_of_slots(about)
            generation = device.save()
    if as_json:
        print_json({"generation": generation, "saved": about.changed})
    elif about.changed:
        say(out, f"saved as generation {generation}")
    else:
        kept = f"generation {generation} is kept" if generation else "nothing was learned"
        say(out, f"nothing new to save: {kept}")


def undo(port: Port = None, virtual: Virtual = False, as_json: Json = False) -> None:
    """Go back by one save, of takes or weights; again for the one before it.

    Example: `tracekws undo`
    """
    with open_device(port, virtual) as device:
        about = device.info()
        generation = device.undo()
    show_standing(about, generation, as_json)


def show_standing(about: DeviceInfo, generation: int, as_json: bool) -> None:
    """Print what the device is back at: a generation, or its model without anything learned."""
    if as_json:
        standing = {"generation": generation, "model": about.model_name}
        print_json({**standing, "loaded": about.loaded})
    elif generation:
        say(out, f"back at generation {generation}")
    elif about.loaded:
        say(
            out,
            f"back at {about.model_name}, the model that was loaded, as it came; the firmware's"
            " own is back with: tracekws load --factory",
        )
    else:
        say(out, f"back at {about.model_name}, the firmware's own model, as it came")


def forget(
    word: Annotated[
        str | None,
        typer.Argument(help="Forget what was said of this word alone.", show_default=False),
    ] = None,
    sounds: Annotated[
        bool, typer.Option("--sounds", help="Forget the sounds that were taken back.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Erase everything that was learned and go back to the model as it came; or a word, or sounds.

    A word of your own goes with its takes; of one of the model's the takes go that were kept. It
    cannot be taken back, nor can what was learned before it: nothing of the word stays in the
    device.

    A model that was loaded stays; `load --factory` goes back to the firmware's own.

    Example: `tracekws forget --yes`, or `tracekws forget lamp`
    """
    if sounds and word is not None:
        raise typer.BadParameter("give a word, or --sounds")
    with open_device(port, virtual) as device:
        about = device.info()
        if sounds:
            forget_sounds(device, about, yes, as_json)
            return
        if word is not None:
            forget_word(device, normalised(word), about, yes, as_json)
            return
        if not yes:
            confirm("Erase everything that was learned?")
        device.forget()
    show_standing(about, 0, as_json)


def forget_word(device: Device, word: str, about: DeviceInfo, yes: bool, as_json: bool) -> None:
    """Forget one word, and say so."""
    own = device.words()
    check_known([word], [*about.keywords, *own])
    if about.changed and not yes:
        confirm(f"Forget {word!r}? What was learned and not saved is saved with it.")
    forget_label(device, word, f"tracekws forget {word}")
    if as_json:
        print_json({"forgot": word, "generation": device.info().generation})
    else:
        what = "it and its takes" if word in own else "the takes of it that were kept"
        say(out, f"forgot {word}: {what}")


def forget_sounds(device: Device, about: DeviceInfo, yes: bool, as_json: bool) -> None:
    """Forget the sounds that are no word, and say so."""
    kept = device.taken_back()
    if not kept:
        raise DataError("no sound was taken back: there is none to forget")
    if about.changed and not yes:
        confirm("Forget them? What was learned and not saved is saved with it.")
    forget_label(device, about.unknown, "tracekws forget --sounds")
    if as_json:
        print_json({"forgot_sounds": kept, "generation": device.info().generation})
    else:
        say(out, f"forgot {kept} {'sound' if kept == 1 else 'sounds'} taken back")


def forget_label(device: Device, label: str, command: str) -> None:
    """Forget a word; where the flash refuses, say by which command it is done in the end."""
    try:
        device.forget_word(label)
    except StorageError as error:
        told = f"{error}: a slot may still have what was to be forgotten; give again: {command}"
        raise StorageError(error.code, error.name, told) from error


def load(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Model image to load, or base, or small.",
            metavar="[MODEL]",
            parser=model_file,
            show_default=False,
        ),
    ] = None,
    factory: Annotated[
        bool, typer.Option("--factory", help="Go back to the model that the firmware came with.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Load another model into the device's flash, and run it; what was learned is erased.

    A load that fails, or loses power, leaves the old model and what it learned. A firmware that
    comes with another model runs that one.

    Example: `tracekws load base`, or `tracekws load mine.tkws`
    """
    if (model is None) != factory:
        raise typer.BadParameter("give a model image, or --factory")
    image = Model.load(model).image if model else b""
    with open_device(port, virtual, needs_model=False) as device:
        before = device.info() if device.has_model else None
        if before and 0 < before.image_bytes < len(image):
            raise ModelError(
                f"{model}: the image has {len(image)} bytes, the device has room for"
                f" {before.image_bytes}"
            )
        others = {"other-model", "newer-format"}
        learned = before and (before.generation or before.changed or others & {*before.slots})
        is_there = factory and before is not None and not before.loaded
        if learned and not yes and not is_there:
            confirm("Erase everything learned?")
        if image:
            with stages() as stage:
                device.load(image, stage("loading"))
        elif not is_there:
            device.load_factory()
        about = device.info()
    if as_json:
        print_json(asdict(about))
    else:
        words = " ".join(about.keywords)
        source = "" if about.loaded else ", the firmware's own"
        said = f"{about.model_name}, CRC {about.model_crc:08x}{source}, runs now"
        say(out, f"{said}; it hears: {words}")


def info(port: Port = None, virtual: Virtual = False, as_json: Json = False) -> None:
    """Show what the device is, runs and has learned.

    Example: `tracekws info --json`
    """
    with open_device(port, virtual) as device:
        about = device.info()
        taught = device.taught()
    if as_json:
        print_json(asdict(about) | taught_as_json(taught))
    else:
        out.print(info_table(about, taught))


def _brown_out(level_mv: int | None) -> str:
    if level_mv is None:
        return "not known"
    return f"{level_mv} mV" if level_mv else "none"


def own_words(taught: Taught) -> str:
    """The words that a device was taught, with their takes, and the room that they take."""
    if not taught.room:
        return "none, the model has no room for any"
    words = [f"{one.word} ({count(one.takes)})" for one in taught.words.values()]
    return ", ".join([*words, room_taken(taught)])


def info_table(about: DeviceInfo, taught: Taught) -> Table:
    """What a device says of itself, as a table."""
    table = Table.grid(padding=(0, 2))
    source = "loaded" if about.loaded else "the factory's"
    for name, value in (
        ("firmware", about.firmware),
        ("board", about.board),
        ("protocol", about.protocol),
        ("model", f"{about.model_name}, CRC {about.model_crc:08x}, {source}"),
        ("words", " ".join(about.keywords)),
        ("your own words", own_words(taught)),
        ("generation", about.generation or "0, nothing learned"),
        ("unsaved changes", "yes" if about.changed else "no"),
        ("slots", ", ".join(about.slots)),
        ("erases", ", ".join(map(str, about.wear))),
        ("passes", about.passes),
        ("trainable", f"{about.trainable_bytes} bytes"),
        ("memory", f"{about.ram_bytes} bytes"),
        ("room for a model", f"{about.image_bytes} bytes" if about.image_bytes else "none"),
        ("started by", about.reset_reason),
        ("watchdog", f"{about.watchdog_ms} ms" if about.watchdog_ms else "none"),
        ("brown-out", _brown_out(about.brown_out_mv)),
    ):
        table.add_row(name, Text(str(value), overflow="fold"))
    return table
