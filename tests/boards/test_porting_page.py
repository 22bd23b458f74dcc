# SPDX-License-Identifier: Apache-2.0
"""Commands of docs/porting.md: they run as they stand, with a virtual board as the port."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from firmware import need_virtual_board
from given_commands import given_commands, see_make_target
from host_cli import HANG_SECONDS
from toolchain import ROOT
from tracekws import cli
from tracekws.boards.virtual import virtual_board

PAGE = (ROOT / "docs" / "porting.md").read_text()
BLOCKS = re.findall(r"(?:^    .+\n)+", PAGE, re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
"""Commands of the blocks, as a shell takes them."""
GIVEN = given_commands(PAGE)
OURS = [words for program, *words in GIVEN if program == "tracekws"]
MAKES = [words for program, *words in GIVEN if program == "make" and "BOARD=mine" not in words]
"""Those of the board that the page makes are run in their order, with it."""
SETUP = "make setup-test"
PORT = "/dev/ttyACM0"
NOT_RUN = {
    "flash": "tests/cli/test_flash.py runs it",
    "microphone": "tests/cli/test_microphone_commands.py runs it",
}
EXTRA = {"forget": ["--yes"]}
NEEDED = ("Makefile", "pyproject.toml", "firmware", "tests", "models", "examples", ".venv")
"""Of a checkout, by the page's commands."""
COPIED = ("firmware", "tests")
"""What they write into, or find their place by."""


def sh(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as a user types it; one that has not ended by then hangs."""
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "MAKEFLAGS"},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout to write into."""
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip(".venv is not there: make setup-test")
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in NEEDED:
        if name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__*"))
        else:
            (folder / name).symlink_to(ROOT / name)
    return folder


def test_the_page_says_what_its_test_needs() -> None:
    lines = [line.partition("#")[0].strip() for line in LINES]
    tests = [number for number, line in enumerate(lines) if "pytest" in line]
    assert tests
    assert lines.index(SETUP) < min(tests)


@pytest.mark.toolchain
def test_the_lines_of_the_page_run_as_they_stand(checkout: Path, tmp_path: Path) -> None:
    """In their order; only what installs the environment that this test runs in is left out."""
    need_virtual_board()
    model = ROOT / "models" / "base.tkws"
    with virtual_board(model, tmp_path / "flash") as board:
        for line in LINES:
            if line.strip().startswith(SETUP):
                continue
            done = sh(line.replace(PORT, board.port), checkout)
            if "is not installed" in done.stderr:
                pytest.skip(done.stderr.partition("*** ")[2].strip())
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            if "pytest" in line:
                assert PORT in line
                assert re.search(r"\d passed", done.stdout)
                for test in ("hears", "learns_and_stores"):
                    assert not re.search(rf"SKIPPED.*{test}", done.stdout), done.stdout
    assert list((checkout / "build").rglob("*mine*"))


@pytest.mark.parametrize("words", MAKES, ids=" ".join)
def test_make_targets_of_the_page_exist(words: list[str]) -> None:
    see_make_target(words)


def test_cheap_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need_virtual_board()
    ran = set()
    with virtual_board(ROOT / "models" / "base.tkws", tmp_path / "flash") as board:
        monkeypatch.setenv("TRACEKWS_PORT", board.port)
        for words in OURS:
            if words[0] in NOT_RUN:
                continue
            given = [board.port if word == "..." else word for word in words]
            monkeypatch.setattr("sys.argv", ["tracekws", *given, *EXTRA.get(words[0], [])])
            with pytest.raises(SystemExit) as end:
                cli.main()
            assert not end.value.code, (words, capsys.readouterr().err)
            ran.add(words[0])
    assert ran == {"info", "save", "forget"}
