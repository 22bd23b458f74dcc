# SPDX-License-Identifier: Apache-2.0
"""What the commands that talk to a device share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer
from rich.table import Table

from tracekws.boards.running import kept_board, kept_board_runs, kept_flash
from tracekws.cli.console import say, talk
from tracekws.columns import CAPTIONS, Columns
from tracekws.core import Model
from tracekws.device import microphone
from tracekws.device.device import Device
from tracekws.device.discover import NothingFound, find_port
from tracekws.device.driver import DeviceInfo
from tracekws.errors import DataError, NoDeviceError, TraceKwsError
from tracekws.shipped import MODEL


def device_model(path: Path) -> Model | None:
    """The model of --model; without that option `base`, or None where it is not there."""
    return Model.load(path) if path != MODEL or path.exists() else None


@contextmanager
def open_device(
    port: str | None, virtual: bool | None = None, needs_model: bool = True
) -> Iterator[Device]:
    """Open the device at a port, or the one that is found, or the user's virtual board.

    Args:
        port: of the device, or the name of a board that runs; None to look for one.
        virtual: whether the user's virtual board is wanted; where that would do and was not asked
            for (False), it is offered at a terminal. None where it would not do.
        needs_model: as of Device.open().

    Raises:
        NoDeviceError: there is none.
    """
    if virtual and port:
        raise typer.BadParameter("give --virtual or --port (or TRACEKWS_PORT), not both")
    if not virtual and port is None:
        try:
            port = find_port()
        except NothingFound as error:
            if virtual is None:
                raise
            if not wants_virtual(error):
                raise NoDeviceError(f"{error}, or use one by --virtual") from error
    with ExitStack() as stack:
        if port is None:
            yield open_virtual(stack, needs_model)
        else:
            yield stack.enter_context(Device.open(port, needs_model=needs_model))


def open_virtual(stack: ExitStack, needs_model: bool) -> Device:
    """Open the user's virtual board, which a stack closes.

    One that another command runs ends with that, perhaps while this one waits for it.
    """
    while True:
        is_others = kept_board_runs()
        with ExitStack() as tried:
            port = tried.enter_context(kept_board())
            try:
                device = tried.enter_context(Device.open(port, needs_model=needs_model))
            except TraceKwsError:
                if is_others and not kept_board_runs():
                    continue
                raise
            stack.push(tried.pop_all())
            return device


def wants_virtual(missing: NoDeviceError) -> bool:
    """Whether somebody at a terminal takes a virtual board instead of what is missing."""
    if sys.stdin is None or not (sys.stdin.isatty() and talk.is_terminal):
        return False
    say(talk, str(missing))
    return answer(f"Use a virtual board? What it learns is kept in {kept_flash()} [Y/n]: ", "y")


def read_line() -> str:
    """The next line of standard input; empty at its end, or where it is closed."""
    return sys.stdin.readline() if sys.stdin else ""


def answer(question: str, default: str = "") -> bool:
    """Ask on standard error until there is a yes or a no; the end of the input is a no."""
    while True:
        talk.print(question, end="", markup=False, soft_wrap=True)
        line = read_line()
        if not line.endswith("\n"):
            talk.print()  # what is said next has a line of its own
        said = (line.strip() or default).lower() if line else "n"
        if said in ("y", "yes", "n", "no"):
            return said.startswith("y")


def confirm(text: str) -> None:
    """Ask before something is erased.

    Raises:
        TraceKwsError: the answer is not yes.
    """
    if not answer(f"{text} [y/N]: ", "n"):
        raise TraceKwsError("nothing was erased: answer y, or give --yes")


def check_known(words: Iterable[str], known: Sequence[str], hint: str = "") -> None:
    """See that a device has words, and say which it has.

    Raises:
        DataError: it lacks one; `hint` says what to do then.
    """
    if strange := [word for word in words if word not in known]:
        raise DataError(f"the device has no word {strange[0]!r}; it knows {', '.join(known)}{hint}")


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
        if not read_line():
            raise TraceKwsError(f"the recording ended; what was recorded is in {folder}")

    return ask


def say_saved(generation: int | None, virtual: bool = False) -> None:
    """Say what was saved and how it is taken back, or that it was not.

    `virtual` is whether --virtual was given.
    """
    command = "tracekws undo --virtual" if virtual else "tracekws undo"
    if generation is not None:
        say(talk, f"saved as generation {generation}; `{command}` takes it back")
    elif virtual:
        say(talk, "not saved: a virtual board that a command starts forgets it with its end")
    else:
        say(talk, "not saved: `tracekws save` keeps it, a restart forgets it")


def warn_before_learning(about: DeviceInfo, saves: bool) -> None:
    """Say what becomes of what is not saved, as by --no-save or a killed command, and of slots."""
    if about.changed:
        say(
            talk,
            "notice: the device has learned what is not saved: it is kept with what it learns now,"
            " and given up if that fails; `tracekws forget` erases all",
        )
    if saves:
        warn_of_slots(about)


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
