# SPDX-License-Identifier: Apache-2.0
"""What programs read: one object a command, errors as well; and how commands end."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from given_commands import leaves
from recordings import write_take
from tones import write_tree
from toolchain import ROOT
from tracekws import cli, errors
from tracekws.cli.exits import EXITS, FAILED, NAMES
from tracekws.device import discover

PAGE = (ROOT / "docs" / "commands.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the table behind a line of the page."""
    table = PAGE.partition(heading)[2].partition("\n|---|")[2].partition("\n\n")[0]
    return [
        [cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]
    ]


def error_of(ran: Any) -> dict[str, object]:
    """The error that a command printed: one object in one line, and nothing else."""
    assert ran.out.count("\n") == 1, ran.out
    told = json.loads(ran.out)
    assert told.keys() == {"error"}
    assert told["error"].keys() == {"code", "name", "text"}
    assert told["error"]["code"] == ran.code
    return dict(told["error"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shout",), "No such command 'shout'; `tracekws --help` shows how"),
        (("profile", "shout"), "No such command 'shout'; `tracekws profile --help` shows how"),
        (("info", "--prot"), "No such option: --prot"),
        (("listen",), "give recordings, or --mic, or --live; `tracekws listen --help` shows how"),
        (("teach",), "Missing argument"),
        (("listen", "--port"), "'--port' requires an argument; `tracekws listen --help` shows how"),
        (("adapt", "takes", "--passes", "0"), "Invalid value for '--passes': "),
        (("data", "get", "a", "b\nc"), "`tracekws data get --help` shows how"),
        (("flash", "x", "--yes=3"), "`tracekws flash --help` shows how"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_line(words: tuple[str, ...], said: str, run: Any) -> None:
    plain = run(*words)
    assert (plain.code, plain.out) == (2, "")
    assert plain.err.startswith("error: ")
    assert said in plain.err
    assert plain.err.count("\n") == 1
    told = error_of(run(*words[:1], "--json", *words[1:]))
    assert (told["name"], told["code"]) == ("USAGE", 2)


@pytest.mark.parametrize("words", [(), ("profile",), ("adapt", "--help")], ids=" ".join)
def test_help_is_no_error(words: tuple[str, ...], run: Any) -> None:
    ran = run(*words)
    assert ran.code == (0 if "--help" in words else 2)
    assert ran.err == ""
    assert "Usage: " in ran.out


def test_every_command_has_json() -> None:
    for name, command in leaves(typer.main.get_command(cli.app)):
        assert any("--json" in option.opts for option in command.params), name


@pytest.mark.parametrize(
    ("command", "code", "name"),
    [
        ("info --port /dev/no-such-port", 3, "NO_DEVICE"),
        ("info", 3, "NO_DEVICE"),
        ("listen none.wav --port /dev/no-such-port", 1, "DATA"),
        ("listen --port", 2, "USAGE"),
        ("listen", 2, "USAGE"),
        ("shout", 2, "USAGE"),
        ("evaluate none.tkws --data tree", 1, "MODEL"),
        ("evaluate --data no-such-folder", 1, "DATA"),
        ("board no-such-file.elf", 1, "DATA"),
        ("bench stream --data tree --split all --hours x", 2, "USAGE"),
        ("lab report none.jsonl", 1, "DATA"),
        ("data check no-such-folder", 1, "DATA"),
        ("demo --speech no-such-folder", 1, "DATA"),
        ("flash virtual", 1, "FAILED"),
        ("train --data tree --run r --output o.tkws --config none.toml", 1, "DATA"),
    ],
)
def test_an_error_is_an_object(command, code, name, run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(discover, "candidates", lambda: [])
    ran = run(*command.split(), "--json")
    told = error_of(ran)
    assert (told["code"], told["name"]) == (code, name)
    assert told["text"]
    assert ran.err == f"error: {told['text']}\n"
    plain = run(*command.split())
    assert (plain.code, plain.out) == (code, "")


def test_what_a_device_refuses_has_the_devices_name(run, board) -> None:
    told = error_of(run("undo", "--json", "--port", board.port))
    assert (told["code"], told["name"]) == (4, "NO_SAVED")


def test_a_line_that_another_has(run, board) -> None:
    from tracekws.device.device import Device

    with Device.open(board.port):
        told = error_of(run("info", "--json", "--port", board.port))
    assert (told["code"], told["name"]) == (3, "BUSY_LINE")


@pytest.mark.parametrize("answers", ["", "n\n"], ids=["nobody", "no"])
def test_what_is_not_confirmed_is_an_error(answers, run, board, monkeypatch, tmp_path) -> None:
    (tmp_path / "answers").write_text(answers)
    with (tmp_path / "answers").open() as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        ran = run("forget", "--json", "--port", board.port)
    told = error_of(ran)
    assert (told["code"], told["name"]) == (1, FAILED)
    assert "nothing was erased" in str(told["text"])


def test_an_error_behind_words_is_a_line_as_they_are(run, board, takes) -> None:
    ran = run("listen", takes / "yes" / "1.wav", takes / "none.wav", "--json", "--port", board.port)
    *words, last = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 1
    assert last["error"]["name"] == "DATA"
    assert all("word" in one for one in words)


def test_a_check_that_finds_something_gives_one_object(run, tmp_path) -> None:
    tree = write_tree(tmp_path)
    with (tree / "testing_list.txt").open("a") as listed:
        listed.write("yes/none_nohash_0.wav\n")
    ran = run("data", "check", tree, "--json")
    told = json.loads(ran.out)
    assert ran.code == 1
    assert told["words"]
    assert told["error"]["name"] == "DATA"
    assert ran.err.splitlines()[-1] == f"error: {told['error']['text']}"


def test_the_doctor_gives_one_object(run, model) -> None:
    told = json.loads(run("doctor", "--json", "--model", model).out)
    assert told.keys() == {"checks"}


def test_the_word_json_may_be_a_files(run, board, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_take(Path("--json.wav"), 1)
    os.rename("--json.wav", "--json")
    ran = run("listen", "--port", board.port, "--", "--json", "none.wav")
    assert (ran.code, "{" in ran.out) == (1, False)


# --- what is written of it


def test_the_page_has_the_exit_statuses() -> None:
    assert rows("## Exit status") == [[str(code), what] for code, what in EXITS.items()]


def test_the_page_has_the_names() -> None:
    assert {name for name, _ in rows("is one of these:")} == {*(name for _, name in NAMES), FAILED}


def test_no_name_is_one_of_a_devices() -> None:
    own = {FAILED, *(name for _, name in NAMES)}
    assert own.isdisjoint({entry.name for entry in errors.table().values()} - {"VERSION"})


def test_the_help_has_the_exit_statuses(run) -> None:
    ran = run("--help")
    text = re.sub(r"\s+", " ", ran.out)
    for code, what in EXITS.items():
        assert f"{code} {what}" in text
