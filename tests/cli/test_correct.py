# SPDX-License-Identifier: Apache-2.0
"""`tracekws correct`, and what else shows or forgets corrections, on a virtual board."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from images import Form, Own, make_image, with_own_words, with_traces, write_image
from recordings import changing_noise
from tracekws.boards.virtual import VirtualBoard, virtual_board


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hears words in everything, keeps takes, and has room for two words."""
    bare = make_image(
        seed=24,
        n_neurons=16,
        arrays={"word_threshold": np.zeros(5)},
        smoothing_shift=0,
        refractory_steps=0,
        window_steps=2,
    )
    image = with_traces(bare, Form.random(16, rank=3, seed=1))
    own = Own(n_words=2, least_q15=32767, single_q15=32767)
    return write_image(tmp_path_factory.mktemp("correct"), with_own_words(image, own))


@pytest.fixture
def board(built: None, model: Path, tmp_path: Path) -> Iterator[VirtualBoard]:
    with virtual_board(model, tmp_path / "flash") as running:
        yield running


@pytest.fixture
def take(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "take.wav", changing_noise(3, 16000), 16000)
    return tmp_path / "take.wav"


def test_a_mistake_is_taken_back(run, board, take):
    before = run("listen", take, "--port", board.port)
    assert before.out.count("\n") > 2
    said = run("correct", "--nothing", "--port", board.port)
    assert said.code == 0
    assert "kept as no word: 1 take of this sound" in said.out
    assert "saved as generation 1" in said.err
    assert run("listen", take, "--port", board.port).out.count("\n") < before.out.count("\n")
    known = run("words", "--port", board.port)
    assert "0 of 2 words of your own, 1 sound taken back" in known.out
    assert json.loads(run("words", "--json", "--port", board.port).out)["sounds"] == 1
    gone = run("forget", "--sounds", "--yes", "--port", board.port)
    assert gone.out == "forgot 1 sound taken back\n"
    assert run("listen", take, "--port", board.port).out == before.out
    none = run("forget", "--sounds", "--yes", "--port", board.port)
    assert none.code != 0
    assert "there is none to forget" in none.err


def test_a_word_that_was_missed(run, board, take):
    assert run("teach", "lamp", take, "--no-save", "--force", "--port", board.port).code == 0
    run("listen", take, "--port", board.port)
    said = json.loads(run("correct", "lamp", "--no-save", "--json", "--port", board.port).out)
    assert said == {"word": "lamp", "takes": 2, "pause_seconds": 0.0, "generation": None}
    run("listen", take, "--port", board.port)
    assert run("correct", "no", "--no-save", "--port", board.port).code == 0
    assert json.loads(run("words", "--json", "--port", board.port).out)["takes"] == {"no": 1}
    table = run("words", "--port", board.port).out
    assert re.search(r"\bno\b.*the model.*\b1\b", table), table


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--nothing",), "nothing was heard that could be corrected"),
        (("no",), "nothing was heard that could be corrected"),
        ((), "give the word that it was, or --nothing"),
        (("lamp", "--nothing"), "give the word that it was, or --nothing"),
        (("two words",), "a word is a name"),
    ],
    ids=["none", "word", "nothing said", "both", "no word"],
)
def test_what_cannot_be_corrected_is_told_and_changes_nothing(run, board, words, told):
    said = run("correct", *words, "--port", board.port)
    assert said.code != 0
    assert told in said.err
    assert "Traceback" not in said.err
    assert json.loads(run("info", "--json", "--port", board.port).out)["generation"] == 0


@pytest.mark.parametrize("word", ["_unknown_", "_silence_", "_other"])
def test_a_word_without_a_sound_is_told_how_it_is_meant(run, board, take, word):
    run("listen", take, "--port", board.port)
    said = run("correct", word, "--port", board.port)
    assert said.code == 4
    assert said.err == (
        f"error: '{word}' is no word, and has no one sound: to say that nothing was to be heard,"
        " use `tracekws correct --nothing`, or type - while it listens\n"
    )
    about = json.loads(run("info", "--json", "--port", board.port).out)
    assert (about["generation"], about["changed"], about["own"]) == (0, False, [])


def test_a_word_that_it_does_not_have_is_not_made(run, board, take):
    run("listen", take, "--port", board.port)
    said = run("correct", "noo", "--port", board.port)
    assert said.code != 0
    assert said.err == (
        "error: the device has no word 'noo'; it knows yes, no, up; to teach it a new one:"
        " tracekws teach noo\n"
    )
    assert json.loads(run("words", "--json", "--port", board.port).out)["own"] == []


class Terminal(io.StringIO):
    """Standard input at which a user types."""

    def isatty(self) -> bool:
        return True


def test_a_word_that_is_typed_corrects_while_listening(
    run, built, model, take, tmp_path, monkeypatch
):
    """Each line corrects what was heard last; all is saved when listening ends."""
    lines = iter([*[""] * 9, "lamp", "noo", *[""] * 8, "two words", *[""] * 9, "-"])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("tracekws.cli.listen.typed_line", lambda: next(lines, ""))
    extra = ["--microphone", str(take), "--by-requests"]
    with virtual_board(model, tmp_path / "flash", extra=extra) as running:
        assert run("teach", "lamp", take, "--force", "--port", running.port).code == 0
        said = run("listen", "--live", "--seconds", "3", "--port", running.port)
        assert said.code == 0
        assert "kept as a take of lamp: 2 takes of it; listening again in 0.0 s" in said.err
        assert "not corrected: the device has no word 'noo'; it knows" in said.err
        assert "not corrected: a word is a name" in said.err
        assert "kept as no word: 1 take of this sound" in said.err
        assert "corrections saved as generation 2" in said.err
        known = json.loads(run("words", "--json", "--port", running.port).out)
    assert [(one["word"], one["takes"]) for one in known["own"]] == [("lamp", 2)]
    assert known["sounds"] == 1
