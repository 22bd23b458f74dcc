# SPDX-License-Identifier: Apache-2.0
"""What the commands that talk to a device share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from tracekws.cli.console import say, talk
from tracekws.columns import CAPTIONS, Columns
from tracekws.device import microphone
from tracekws.device.device import Device
from tracekws.device.driver import DeviceInfo
from tracekws.errors import TraceKwsError


def open_device(port: str | None) -> Device:
    """Open the device at a port, or the one that is found."""
    return Device.open(port) if port else Device.find()


def columns_table(before: Columns, after: Columns) -> Table:
    """The columns before and after as a table."""
    table = Table("right", "clips", "before", "after", "change")
    for (name, old), (_, new) in zip(before.items(), after.items(), strict=True):
        table.add_row(
            CAPTIONS[name],
            str(old.clips),
            f"{old.percent:.1f} %",
            f"{new.percent:.1f} %",
            f"{new.percent - old.percent:+.1f}",
        )
    return table


def prompt(folder: Path) -> Callable[[str], None]:
    """Make what asks for a take that goes to a folder, and waits for Enter."""
    seconds = microphone.RECORD_SECONDS

    def ask(text: str) -> None:
        talk.print(f"{text}: press Enter, then speak within {seconds:.0f} seconds ", end="")
        if not sys.stdin.readline():
            raise TraceKwsError(f"the recording ended; what was recorded is in {folder}")

    return ask


def warn_of_slots(about: DeviceInfo) -> None:
    """Say that saving will erase what another model has learned, or will be refused."""
    slots = set(about.slots)
    if slots == {"other-model"}:
        say(talk, "warning: both slots hold weights of another model; saving erases one of them")
    elif slots in ({"other-model", "valid"}, {"other-model", "newer-format"}):
        say(talk, "warning: a slot holds weights of another model; saving erases them")
    elif slots in ({"newer-format"}, {"newer-format", "valid"}):
        say(
            talk,
            "warning: a slot holds weights of a newer firmware, and no other is left to save in:"
            " update the firmware, or `tracekws forget`",
        )
