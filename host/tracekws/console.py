# SPDX-License-Identifier: Apache-2.0
"""What every command shares: where results and talk go, progress, exit codes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tracekws import data

out = Console()
"""Results."""
talk = Console(stderr=True)
"""Everything else."""


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, indent=2))


class Stages:
    """A progress bar for each stage of a job."""

    def __init__(self, bars: Progress) -> None:
        """Draw on these bars."""
        self.bars = bars

    def __call__(self, name: str) -> data.Progress:
        """A new stage; what is returned takes the number done and the number in all."""
        task = self.bars.add_task(name, total=None)

        def report(done: int, total: int) -> None:
            self.bars.update(task, completed=done, total=total)

        return report


@contextmanager
def stages() -> Iterator[Stages]:
    """Progress bars on standard error, with the time left."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=talk,
    )
    with bars:
        yield Stages(bars)
