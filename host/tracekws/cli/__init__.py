# SPDX-License-Identifier: Apache-2.0
"""The command line: each command parses, calls one function of the library, renders."""

import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from io import TextIOWrapper, UnsupportedOperation
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tracekws.cli import (
    adapt,
    bench,
    boards,
    correct,
    data,
    demo,
    evaluate,
    lab,
    listen,
    profile,
    record,
    storage,
    teach,
    train,
)
from tracekws.cli.console import check_output, conversions_told, printing
from tracekws.cli.exits import EXITS, UsageError, say_error
from tracekws.errors import TraceKwsError

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end the program: `kill`, and a terminal that is closed."""


def command_of(group: Any, words: Sequence[str]) -> str:
    """The command that a line names, as far as its words are commands."""
    path = "tracekws"
    for word in words:
        group = getattr(group, "commands", {}).get(word)
        if group is None:
            break
        path += f" {word}"
    return path


@contextmanager
def usage_told(group: Any, words: Sequence[str]) -> Iterator[None]:
    """Make what typer says of a wrong command line, in a box, an error like any other.

    Args:
        group: of commands.
        words: of the line, behind the group's own name.

    Raises:
        UsageError: it was typed wrongly.
    """
    try:
        yield
    except Exception as error:
        whole = getattr(error, "format_message", None)  # with the option that it is of
        said = whole() if whole else ""
        if not said:  # another error, or help that was printed for want of arguments
            raise
        line = re.sub(r"\s*\n\s*", " ", said.removeprefix("Invalid value: ")).rstrip(".")
        raise UsageError(f"{line}; `{command_of(group, words)} --help` shows how") from error


class Commands(TyperGroup):
    """The commands, and what is said of a wrong one."""

    def make_context(self, info_name: Any, args: list[str], *words: Any, **options: Any) -> Any:
        """See typer."""
        with usage_told(self, [*args]):
            return super().make_context(info_name, args, *words, **options)

    def invoke(self, ctx: Any) -> Any:
        """See typer."""
        with usage_told(self, [*ctx._protected_args, *ctx.args]):
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands,
    name="tracekws",
    help="Keyword spotting that learns its user's voice on the microcontroller.",
    epilog=f"Exit status: {'; '.join(f'{code} {what}' for code, what in EXITS.items())}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"tracekws {version('tracekws')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Keyword spotting that learns its user's voice on the microcontroller."""


for command in (
    evaluate.evaluate,
    train.train,
    boards.board,
    listen.listen,
    adapt.adapt,
    teach.teach,
    teach.words,
    correct.correct,
    record.record,
    storage.save,
    storage.undo,
    storage.forget,
    storage.load,
    storage.info,
    record.microphone,
    boards.flash,
    boards.doctor,
    demo.demo,
):
    app.command()(command)
for name, group in (
    ("profile", profile.app),
    ("data", data.app),
    ("bench", bench.app),
    ("lab", lab.app),
):
    app.add_typer(group, name=name)


class Ended(SystemExit):
    """A signal that ends the program, which is to leave nothing behind."""

    def __init__(self, number: int) -> None:
        """Of a signal."""
        super().__init__(128 + number)
        self.number = number


def end_by_signal(number: int, frame: FrameType | None) -> None:
    """Unwind, so that what was begun is ended; once."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise Ended(number)


def main() -> None:
    """Entry point: errors become one line and an exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # in whatever encoding, a name stops no command
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, TextIOWrapper):  # nor does what is typed
        with suppress(UnsupportedOperation):  # where a program has read of it
            sys.stdin.reconfigure(errors="backslashreplace")
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, end_by_signal)
    try:
        run()
    except Ended as end:  # by then all is tidy: whoever waits for the program is to see the signal
        signal.signal(end.number, signal.SIG_DFL)
        os.kill(os.getpid(), end.number)


def run() -> None:
    """Run the command; see main()."""
    try:
        check_output()
        try:
            with conversions_told():
                app()
        finally:
            with printing():
                pass  # what Python has kept back
    except TraceKwsError as error:
        sys.exit(say_error(error, str(error)))
    except OSError as error:
        named = [str(part) for part in (error.filename, error.strerror) if part]
        sys.exit(say_error(error, ": ".join(named) or str(error)))
    except KeyboardInterrupt:
        sys.exit(130)
