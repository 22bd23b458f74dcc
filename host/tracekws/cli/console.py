# SPDX-License-Identifier: Apache-2.0
"""What every command shares: where results and talk go, and progress."""

import errno
import fcntl
import json
import logging
import os
import select
import stat
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from tracekws import audio, data
from tracekws.errors import DataError, TraceKwsError
from tracekws.files import check_writable

CONTROLS = ("Cc", "Cs", "Zl", "Zp")
"""Categories of Unicode that no line has inside it."""
HIDDEN = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
"""Characters that change the order in which others are shown, or show nothing."""


def visible(text: str) -> str:
    """A text that a terminal shows and does not obey: what controls it is escaped, as in Python.

    Ends of lines stay.
    """

    def shown(character: str) -> str:
        kind = unicodedata.category(character)
        if character == "\n" or (kind not in CONTROLS and character not in HIDDEN):
            return character
        return character.encode("unicode_escape").decode("ascii")

    return text if text.isascii() and text.isprintable() else "".join(map(shown, text))


class Terminal(Console):
    """A console to which names are text, wherever they come from: no markup, no control of it."""

    def __init__(self, stderr: bool = False) -> None:
        """Write to standard output, or to standard error."""
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """See rich: what is escaped here is as wide as it is shown, so that tables fit."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """See rich: whatever is printed comes by here."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


out = Terminal()
"""Results."""
talk = Terminal(stderr=True)
"""Everything else."""


LINE_SECONDS = 8.0
"""How often a job says how far it is, where there is no terminal to draw on."""
PICTURES = (".png", ".svg", ".pdf")
SHOWN_BAD_FILES = 5


def picture_file(path: Path | None) -> Path | None:
    """The value of an option --picture, refused where no picture can be written."""
    if path is None:
        return None
    if path.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"a picture is a file that ends in {', '.join(PICTURES)}")
    try:
        check_writable(path)
    except DataError as error:
        raise typer.BadParameter(str(error)) from error
    return path


def say(console: Console, text: str) -> None:
    """Print a line without breaks in it."""
    console.print(text, soft_wrap=True)


def count(takes: int) -> str:
    """So many takes."""
    return "1 take" if takes == 1 else f"{takes} takes"


class ConversionNotice(logging.Handler):
    """Says that recordings are brought to 16 kHz mono, once, and once of those of a low rate."""

    LOW_RATE = 12000
    """Below it, words are heard less: half of it is the highest tone that there is."""

    def __init__(self) -> None:
        """Say nothing yet."""
        super().__init__()
        self.told: set[bool] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        path, form = record.args or ("", "")
        low = int(str(form).split()[0]) < self.LOW_RATE
        if low in self.told:
            return
        self.told.add(low)
        less = "; at such a rate fewer words are heard" if low else ""
        say(talk, f"notice: brought to 16 kHz mono: {path} ({form}), and others like it{less}")


@contextmanager
def conversions_told() -> Iterator[None]:
    """Have it said when recordings are brought to 16 kHz mono."""
    handler = ConversionNotice()
    level = audio.LOG.level
    audio.LOG.addHandler(handler)
    audio.LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        audio.LOG.removeHandler(handler)
        audio.LOG.setLevel(level)


def say_left_out(repeats: int, bad: Sequence[str], long: int) -> None:
    """Count the files that were left out or cut, and name the first bad ones with the reason."""
    if long:
        out.print(f"of {long} clips longer than a second the loudest second was taken")
    if repeats or bad:
        out.print(f"left out: {repeats} repeated recordings, {len(bad)} bad files")
    for reason in bad[:SHOWN_BAD_FILES]:
        say(talk, f"bad: {reason}")
    if len(bad) > SHOWN_BAD_FILES:
        say(talk, f"and {len(bad) - SHOWN_BAD_FILES} more; `tracekws data check` names all")


def json_text(value: object, indent: int | None = None) -> str:
    """JSON of printable ASCII characters alone."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def has_room(descriptor: int, room: int) -> bool:
    """Whether so many bytes can be written behind an open file; raises OSError where it says so.

    One that is appended to may be others', too, and is not touched: only the disk is asked.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        disk = os.fstatvfs(descriptor)
        return disk.f_bavail * disk.f_frsize >= room
    end = os.fstat(descriptor).st_size
    try:
        return os.pwrite(descriptor, b" " * room, end) == room
    finally:
        os.ftruncate(descriptor, end)


def check_output(room: int = 0) -> None:
    """See, before the work begins, that standard output takes what it will give.

    Args:
        room: bytes that a file needs room for; it is as long afterwards as before.

    Raises:
        TraceKwsError: it is closed, nobody reads it, or its disk is full.
    """
    if sys.stdout is None:
        raise TraceKwsError("standard output is closed; give it a file, or /dev/null")
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a test's, in memory
        return
    watch = select.poll()
    watch.register(descriptor, 0)
    if any(found & (select.POLLERR | select.POLLNVAL) for _, found in watch.poll(0)):
        raise TraceKwsError("nobody reads standard output")
    try:
        os.write(descriptor, b"")
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if room and is_file and not has_room(descriptor, room):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise TraceKwsError(f"standard output: {error.strerror}") from error


@contextmanager
def printing() -> Iterator[None]:
    """Have what is printed within it written before it ends.

    Raises:
        TraceKwsError: standard output does not take it.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # what is left goes nowhere: Python would complain of it at its end
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise TraceKwsError(f"standard output cannot be written ({error.strerror})") from error
    except SystemExit as end:  # Rich's answer to a pipe that nobody reads
        raise TraceKwsError("standard output cannot be written (nobody reads it)") from end


def check_json(value: Mapping[str, object]) -> None:
    """See, before anything changes, that print_json() can give an object of this length.

    Raises:
        TraceKwsError: as check_output() does.
    """
    check_output(len(json_text(value, 2)) + 1)


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on standard output.

    Raises:
        TraceKwsError: it cannot be written.
    """
    with printing():
        print(json_text(value, 2))


def print_line(value: Any) -> None:
    """Print one JSON value on a line of its own, at once.

    Raises:
        TraceKwsError: it cannot be written.
    """
    with printing():
        print(json_text(value))


T = TypeVar("T")


class Stages:
    """How far the stages of a job are: each has a progress bar until it is done."""

    def __init__(self, bars: Progress) -> None:
        """Draw on these bars."""
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}
        self.standing = ""
        """What is being done at this moment, and how much of it is."""

    def report(self, name: str, done: int, total: int) -> None:
        """Show how much of a stage is done; its name makes a new one known."""
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name)
        self.bars.update(self.tasks[name], completed=done, total=total, visible=done < total)
        self.standing = f"{name}: {done} of {total}" if done < total else ""

    def __call__(self, name: str) -> data.Progress:
        """What takes the number done and the number in all of one stage."""
        return partial(self.report, name)

    def aside(self, show: Callable[[T], None]) -> Callable[[T], None]:
        """What prints a result, with no bar on the terminal meanwhile."""

        def shown(result: T) -> None:
            self.bars.stop()
            show(result)
            self.bars.start()

        return shown


def keep_saying(stage: Stages, ends: Callable[[float], bool]) -> None:
    """Say how far a job is, in a line now and then, until it ends.

    Args:
        stage: of the job.
        ends: waits at most so many seconds; tells whether the job has ended.
    """
    start = time.monotonic()
    while not ends(LINE_SECONDS):
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        say(talk, f"{stage.standing or 'working'}, {minutes}:{seconds:02d}")


@contextmanager
def stages() -> Iterator[Stages]:
    """Progress bars, with the time left, where standard error is a terminal; else lines."""
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=talk,
        redirect_stdout=False,
        transient=True,
        disable=not talk.is_terminal,
    )
    stage = Stages(bars)
    if talk.is_terminal:
        with bars:
            yield stage
        return
    ended = Event()
    speaker = Thread(target=keep_saying, args=(stage, ended.wait), daemon=True)
    speaker.start()
    try:
        yield stage
    finally:
        ended.set()
        speaker.join()
