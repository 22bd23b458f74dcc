# SPDX-License-Identifier: Apache-2.0
"""What every command shares: where results and talk go, and progress."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tracekws import data

out = Console()
"""Results."""
talk = Console(stderr=True)
"""Everything else."""


PICTURES = (".png", ".svg", ".pdf")


def picture_file(path: Path | None) -> Path | None:
    """The value of an option --picture, refused where no picture can be written."""
    if path is None:
        return None
    if path.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"a picture is a file that ends in {', '.join(PICTURES)}")
    if not path.resolve().parent.is_dir() or path.is_dir():
        raise typer.BadParameter(f"{path}: there is no such folder to write a picture into")
    return path


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, indent=2))


class Stages:
    """A progress bar for each stage of a job, there until the stage is done."""

    def __init__(self, bars: Progress) -> None:
        """Draw on these bars."""
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def report(self, name: str, done: int, total: int) -> None:
        """Show how much of a stage is done; its name makes a new one known."""
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name)
        self.bars.update(self.tasks[name], completed=done, total=total, visible=done < total)

    def __call__(self, name: str) -> data.Progress:
        """What takes the number done and the number in all of one stage."""
        return partial(self.report, name)


@contextmanager
def stages() -> Iterator[Stages]:
    """Progress bars, with the time left, where standard error is a terminal."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=talk,
        transient=True,
        disable=not talk.is_terminal,
    )
    with bars:
        yield Stages(bars)
