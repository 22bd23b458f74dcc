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
    out,
    print_json,
    say,
    stages,
)
from tracekws.cli.devices import open_device, warn_of_slots
from tracekws.cli.options import Json, Port, Virtual
from tracekws.core import Model
from tracekws.device.driver import DeviceInfo
from tracekws.errors import ModelError


def save(port: Port = None, as_json: Json = False) -> None:
    """Save the weights that the device runs with now.

    Example: `tracekws save`
    """
    with open_device(port) as device:
        warn_of_slots(device.info())
        generation = device.save()
    show_generation(generation, "saved as generation {}", as_json)


def undo(port: Port = None, virtual: Virtual = False, as_json: Json = False) -> None:
    """Go back to the weights that were saved before the last ones: one step.

    Example: `tracekws undo`
    """
    with open_device(port, virtual) as device:
        generation = device.undo()
    show_generation(generation, "back at generation {}", as_json)


def show_generation(generation: int, text: str, as_json: bool) -> None:
    """Print the generation that the device is at."""
    if as_json:
        print_json({"generation": generation})
    else:
        out.print(text.format(generation) if generation else "back at the model as it came")


def forget(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Erase everything that was learned and go back to the model as it came.

    Example: `tracekws forget --yes`
    """
    with open_device(port, virtual) as device:
        if not yes and not typer.confirm("Erase everything that was learned?", err=True):
            raise typer.Exit(1)
        device.forget()
    show_generation(0, "", as_json)


def load(
    model: Annotated[Path, typer.Argument(help="Model image to load.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Load another model into the device's flash, and run it; what was learned is erased.

    A load that fails, or loses power, leaves the old model and what it learned. A firmware that
    comes with another model runs that one.

    Example: `tracekws load models/base.tkws`
    """
    checked = Model.load(model)
    with open_device(port, virtual, needs_model=False) as device:
        before = device.info() if device.has_model else None
        if before and 0 < before.image_bytes < len(checked.image):
            raise ModelError(
                f"{model}: the image has {len(checked.image)} bytes, the device has room for"
                f" {before.image_bytes}"
            )
        others = {"other-model", "newer-format"}
        learned = before and (before.generation or before.changed or others & {*before.slots})
        if learned and not yes and not typer.confirm("Erase everything learned?", err=True):
            raise typer.Exit(1)
        with stages() as stage:
            device.load(checked.image, stage("loading"))
        about = device.info()
    if as_json:
        print_json(asdict(about))
    else:
        words = " ".join(about.keywords)
        say(out, f"{about.model_name}, CRC {about.model_crc:08x}, runs now; it hears: {words}")


def info(port: Port = None, virtual: Virtual = False, as_json: Json = False) -> None:
    """Show what the device is, runs and has learned.

    Example: `tracekws info --json`
    """
    with open_device(port, virtual) as device:
        about = device.info()
    if as_json:
        print_json(asdict(about))
    else:
        out.print(info_table(about))


def _brown_out(level_mv: int | None) -> str:
    if level_mv is None:
        return "not known"
    return f"{level_mv} mV" if level_mv else "none"


def info_table(about: DeviceInfo) -> Table:
    """What a device says of itself, as a table."""
    table = Table.grid(padding=(0, 2))
    source = "loaded" if about.loaded else "the factory's"
    for name, value in (
        ("firmware", about.firmware),
        ("board", about.board),
        ("protocol", about.protocol),
        ("model", f"{about.model_name}, CRC {about.model_crc:08x}, {source}"),
        ("words", " ".join(about.keywords)),
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
