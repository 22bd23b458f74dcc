# SPDX-License-Identifier: Apache-2.0
"""Commands that the pages of docs/ and beside README.md give: they exist, with their options."""

import re
from pathlib import Path

import pytest

from given_commands import given_commands, parse
from toolchain import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TARGETS = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()


def check(program: str, words: list[str]) -> None:
    """See that a command is there; a text may name it, or an option of it, without the rest."""
    if program == "make":
        options = [word for word in words if "=" not in word]
        assert options[0] in (*TARGETS, "-f"), words
        return
    said = ""
    try:
        parse(words)
    except Exception as error:
        said = str(error)
    assert not said or said.startswith("Missing "), (words, said)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_exist(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for program, *words in given_commands(page.read_text()):
        check(program, words)


def broken_tables(text: str) -> list[int]:
    """Lines that part a table's head from its rows, where one of both is not there."""
    lines = ["", *text.splitlines(), ""]
    return [
        number
        for number, line in enumerate(lines)
        if re.fullmatch(r"\|[-:| ]+\|", line)
        and not (lines[number - 1].startswith("|") and lines[number + 1].startswith("|"))
    ]


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "benchmarks" / "README.md"], ids=lambda page: page.name
)
def test_tables_have_a_head_and_rows(page: Path) -> None:
    assert not broken_tables(page.read_text())


@pytest.mark.parametrize("table", ["\n|---|\n", "| a |\n|---|\n\n", "text\n|---|\n| 1 |"])
def test_a_table_that_lost_lines_is_found(table: str) -> None:
    assert broken_tables(table) == [2]


def test_most_pages_give_commands() -> None:
    assert sum(bool(given_commands(page.read_text())) for page in PAGES) > 12


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("make", "setup-everything", "setup-everything"),
        ("tracekws", "shout", "No such command"),
        ("tracekws", "lab run --seed 1", "No such option"),
        ("tracekws", "listen --sensitivity LEVEL", "valid integer"),
    ],
)
def test_one_that_does_not_exist_is_found(program: str, words: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check(program, words.split())


@pytest.mark.parametrize("words", ["train", "bench adapt --against MODEL"])
def test_a_command_may_be_named_alone(words: str) -> None:
    check("tracekws", words.split())
