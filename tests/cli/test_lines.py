# SPDX-License-Identifier: Apache-2.0
"""Long work without a terminal: a line now and then says how far it is."""

import os
import re
import threading
from contextlib import suppress

import pytest

from tones import write_tree
from tracekws.cli import console
from tracekws.cli.console import LINE_SECONDS, Stages, keep_saying, stages

LINE = r"(working|[^\n]+: \d+ of \d+), \d+:\d\d\n"


class Impatient(threading.Event):
    """An event whose first wait is over at once, as if the job had lasted."""

    def __init__(self) -> None:
        super().__init__()
        self.first = True

    def wait(self, timeout: float | None = None) -> bool:
        if self.first:
            self.first = False
            return False
        return super().wait()


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job lasts as long as a line takes to be due."""
    monkeypatch.setattr(console, "Event", Impatient)


def test_a_line_comes_at_least_every_ten_seconds() -> None:
    waited: list[float] = []

    class Bars:
        def add_task(self, name: str) -> int:
            return 0

        def update(self, task: int, **state: object) -> None:
            return

    stage = Stages(Bars())  # type: ignore[arg-type]

    def ends(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) > 2

    keep_saying(stage, ends)
    assert len(waited) == 3
    assert LINE_SECONDS <= 9


def test_the_line_says_how_far_the_job_is(capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as stage:
        said: list[str] = []

        def ends(seconds: float) -> bool:
            said.append(capsys.readouterr().err)
            steps = [(1, 4), (3, 4), (4, 4)]
            if len(said) > len(steps):
                return True
            stage.report("reading", *steps[len(said) - 1])
            return False

        keep_saying(stage, ends)
    assert [re.sub(r"\d+:\d\d", "TIME", line) for line in said[1:]] == [
        "reading: 1 of 4, TIME\n",
        "reading: 3 of 4, TIME\n",
        "working, TIME\n",
    ]


def test_nothing_is_said_of_a_short_job(capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as stage:
        stage.report("reading", 1, 2)
    assert capsys.readouterr().err == ""


@pytest.fixture
def words(request: pytest.FixtureRequest, tmp_path, takes, model) -> list[str]:
    """The words of a command, with what it reads."""
    named = {"TREE": str(write_tree(tmp_path)), "TAKES": str(takes), "MODEL": str(model)}
    if "PORT" in request.param:
        named["PORT"] = request.getfixturevalue("board").port
    return [named.get(word, word) for word in request.param.split()]


@pytest.mark.parametrize(
    "words",
    [
        "data check TREE",
        "evaluate MODEL --data TREE --workers 1",
        "adapt TAKES --port PORT",
        "load MODEL --port PORT",
        "bench stream MODEL --data TREE --hours 0.05 --snr 20 --workers 1",
    ],
    indirect=True,
    ids=lambda words: words,
)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["table", "json"])
def test_long_work_says_how_far_it_is(words, more, run, lasting) -> None:
    ran = run(*words, *more)
    assert ran.code == 0, ran.err
    assert re.search(f"^{LINE}", ran.err, re.MULTILINE)
    assert not re.search(f"^{LINE}", ran.out, re.MULTILINE)


def test_at_a_terminal_there_are_bars_instead(monkeypatch, capsys, lasting) -> None:
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(console, "talk", console.Console(file=terminal, force_terminal=True))
        with stages() as stage:
            stage.report("reading", 1, 2)
    said = b""
    with suppress(OSError):  # a terminal whose other side is closed has an end
        while part := os.read(ours, 1 << 16):
            said += part
    os.close(ours)
    assert "reading" in said.decode()
    assert not re.search(LINE, said.decode().replace("\r", ""))
