# SPDX-License-Identifier: Apache-2.0
"""Commands that README.md and the commands' own help give: they exist, and the cheap ones run."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from given_commands import given_commands, leaves, parse, see_make_target
from images import Form, Own, make_image, with_own_words, with_traces, write_image
from recordings import write_take
from tones import write_tree
from tracekws import cli

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = {
    "train": "takes hours",
    "data get": "downloads; test_data_get.py runs it",
    "lab": "takes half an hour, or the whole data set; tests/lab runs it",
    "flash": "test_flash.py runs it",
    "demo": "test_demo.py runs it",
    "board": "the board fixture",
    "record": "test_microphone_commands.py runs it",
    "microphone": "test_microphone_commands.py runs it",
}
NO_MICROPHONE = {"--mic", "--record", "--live"}
EXTRA = {
    "evaluate": ["--workers", "1"],
    "bench stream": ["--workers", "1", "--hours", "0.05", "--snr", "40"],
}
"""What makes a command cheap enough to run here."""


README = given_commands((ROOT / "README.md").read_text())
OURS = [words for program, *words in README if program == "tracekws"]
MAKES = [words for program, *words in README if program == "make"]


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_commands_of_the_readme_exist(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(parse(words)) == 1


@pytest.mark.parametrize("words", MAKES, ids=" ".join)
def test_make_targets_of_the_readme_exist(words):
    see_make_target(words)


def test_the_readme_gives_the_commands_that_matter():
    given = {words[0] for words in OURS}
    assert given >= {"board", "listen", "adapt", "undo", "doctor", "train", "evaluate", "bench"}
    assert ["demo"] in MAKES
    assert ["test"] in MAKES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\ntracekws adapt mine --louder\n```", "No such option: --louder"),
        ("    tracekws shout  # in a block", "No such command 'shout'"),
        ("say `tracekws bench adapt --data D --shots none`", "valid integer"),
        ("    cd x && .venv/bin/tracekws listen --port", "requires an argument"),
    ],
)
def test_a_command_that_does_not_exist_is_found(text, said):
    ((_, *words),) = given_commands(text)
    with pytest.raises(Exception, match=re.escape(said)):
        parse(words)


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, command.help) for name, command in leaves(typer.main.get_command(cli.app))],
)
def test_every_command_has_an_example_that_parses(name, text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = re.search(r"Example: `tracekws ([^`]+)`", text)
    assert found is not None, text
    assert parse(shlex.split(found[1])) == [name]


@pytest.fixture(scope="session")
def model(image, tmp_path_factory) -> Path:
    """The model of the other tests, with room for words of the user's own."""
    open_image = with_own_words(with_traces(image, Form.random(16, rank=3, seed=1)), Own())
    return write_image(tmp_path_factory.mktemp("open"), open_image)


@pytest.fixture
def desk(board, takes, tmp_path, monkeypatch) -> Path:
    """A folder with everything that the README's commands name, and a board that is plugged in."""
    folder = tmp_path / "desk"
    folder.mkdir()
    shutil.copytree(takes, folder / "my_takes")
    write_take(folder / "take.wav", 1)
    for first, word in ((90, "lamp"), (95, "radio")):
        for number in (1, 2, 3):
            write_take(folder / f"{word}_takes" / f"{number}.wav", first + number)
    (folder / "DATA").mkdir()
    tree = write_tree(folder / "DATA")
    other = shutil.copytree(tree, folder / "OTHER_WORDS")
    for word in (path.parent for path in other.glob("*/tes00000_nohash_0.wav")):
        word.rename(word.with_name(f"other-{word.name}"))
    for listed in other.glob("*.txt"):
        listed.unlink()
    speakers = {path.stem.split("_")[0] for path in tree.glob("yes/tes*.wav")}
    (folder / "adaptation_speakers.txt").write_text("\n".join(sorted(speakers)))
    image = make_image(seed=3, n_classes=12, n_neurons=24, window_steps=50)
    (folder / "models").mkdir()
    for name in ("mine.tkws", "base.tkws", "models/base.tkws"):
        write_image(folder, image).rename(folder / name)
    monkeypatch.chdir(folder)
    return folder


def test_the_cheap_commands_of_the_readme_run_as_they_stand(run, board, model, desk, monkeypatch):
    monkeypatch.setenv("TRACEKWS_PORT", board.port)
    monkeypatch.setenv("XDG_STATE_HOME", str(desk / "state"))
    ran = set()
    for words in OURS:
        name = " ".join(words[:2]) if words[0] in ("bench", "data") else words[0]
        if {name, words[0]} & set(NOT_RUN) or NO_MICROPHONE & set(words):
            continue
        # profiles know the models of the package, and this board's is none of them
        known = ["--model", model] if {"profile", "--profile"} & set(words) else []
        result = run(*words, *known, *EXTRA.get(name, []))
        assert result.code == 0, (words, result.err)
        ran.add(words[0])
    assert ran >= {"listen", "adapt", "info", "undo", "doctor", "data", "evaluate", "bench"}
    assert ran >= {"teach", "profile"}
    assert (desk / "confusion.png").stat().st_size > 0
