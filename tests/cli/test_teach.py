# SPDX-License-Identifier: Apache-2.0
"""Words of the user's own, by the commands and by Device, on a virtual board."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from host_cli import on_terminal
from images import Form, Own, make_image, with_own_words, with_traces, write_image
from recordings import write_take
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.device import microphone
from tracekws.device.device import Device
from tracekws.errors import DataError, DeviceError

ROOM = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that keeps takes, with room for three words."""
    bare = make_image(seed=7, n_neurons=16, method=16, passes=1)
    image = with_traces(bare, Form.random(16, rank=3, seed=1))
    return write_image(tmp_path_factory.mktemp("own"), with_own_words(image, Own(n_words=ROOM)))


@pytest.fixture
def board(built: None, model: Path, tmp_path: Path) -> Iterator[VirtualBoard]:
    with virtual_board(model, tmp_path / "flash") as running:
        yield running


@pytest.fixture
def lamp(tmp_path: Path) -> Path:
    """Three takes of a word."""
    for number in range(1, 4):
        write_take(tmp_path / "my" / "lamp" / f"{number}.wav", number)
    return tmp_path / "my" / "lamp"


def generation(board: VirtualBoard) -> int:
    with Device.open(board.port) as device:
        return device.info().generation


@pytest.mark.parametrize("name", ["lamp", "yes", "_other"])
def test_a_tree_of_words_is_not_taken_for_a_word(run, board, lamp, tmp_path, name):
    write_take(tmp_path / "tree" / name / "1.wav", 1)
    said = run("teach", "lamp", tmp_path / "tree", "--port", board.port)
    assert said.code != 0
    assert said.err.count("\n") == 1
    assert f"a folder a word ({name})" in said.err
    assert f"give {tmp_path / 'tree' / 'lamp'}" in said.err
    assert generation(board) == 0
    by_speaker = tmp_path / "my" / "lamp" / "anna"
    by_speaker.mkdir()
    write_take(by_speaker / "4.wav", 4)
    assert "4 takes learned" in run("teach", "lamp", lamp, "--port", board.port).out


def test_teach_words_and_forget(run, board, lamp, tmp_path):
    taught = run("teach", "lamp", lamp, "--json", "--port", board.port)
    assert taught.code == 0
    result = json.loads(taught.out)
    assert result["word"] == "lamp"
    assert (result["learned"], result["takes"], result["own"]) == (3, 3, True)
    assert result["generation"] == 1
    assert -1 <= result["agreement"] <= 1
    more = run("teach", "lamp", lamp / "1.wav", lamp / "2.wav", "--port", board.port)
    assert "lamp: 2 takes learned, 5 in all" in more.out
    assert "generation 2" in more.err
    listed = json.loads(run("words", "--json", "--port", board.port).out)
    assert listed["model"] == ["yes", "no", "up"]
    assert [(one["word"], one["takes"]) for one in listed["own"]] == [("lamp", 5)]
    assert listed["room"] == ROOM
    plain = run("words", "--port", board.port)
    assert "lamp" in plain.out
    assert f"1 of {ROOM} words of your own" in plain.out
    about = json.loads(run("info", "--json", "--port", board.port).out)
    assert {key: about[key] for key in ("own", "sounds", "room")} == {
        key: listed[key] for key in ("own", "sounds", "room")
    }
    said = " ".join(run("info", "--port", board.port).out.split())
    assert f"your own words lamp (5 takes), 1 of {ROOM} words of your own" in said
    gone = run("forget", "lamp", "--yes", "--json", "--port", board.port)
    assert json.loads(gone.out)["forgot"] == "lamp"
    assert json.loads(run("words", "--json", "--port", board.port).out)["own"] == []
    assert b"lamp" not in (tmp_path / "flash").read_bytes()


def test_a_take_that_is_given_twice_counts_once(run, board, lamp):
    said = run("teach", "lamp", lamp, lamp / "1.wav", "--json", "--port", board.port)
    assert said.code == 0, said.out
    assert json.loads(said.out)["learned"] == 3
    told = json.loads(said.out)["warnings"]
    assert any("earlier take is lamp/1.wav (as lamp/1.wav)" in text for text in told)


def test_a_word_of_the_model_is_heard_better(run, board, lamp):
    said = run("teach", "yes", lamp, "--port", board.port)
    assert said.code == 0
    assert "the model knows the word" in said.out
    assert json.loads(run("words", "--json", "--port", board.port).out)["own"] == []
    forgot = run("forget", "yes", "--port", board.port)
    assert "forgot yes: the takes of it that were kept" in forgot.out


def test_a_single_take_is_warned_of(run, board, lamp):
    said = run("teach", "lamp", lamp / "1.wav", "--port", board.port)
    assert said.code == 0
    assert "lamp: 1 take learned" in said.out
    assert "one take only" in said.err


def test_nothing_is_kept_without_save(run, board, lamp):
    said = run("teach", "lamp", lamp, "--no-save", "--port", board.port)
    assert said.code == 0
    assert "not saved" in said.err
    assert generation(board) == 0


def silent(folder: Path) -> None:
    soundfile.write(folder / "2.wav", np.zeros(16000, np.int16), 16000)


def no_sound(folder: Path) -> None:
    (folder / "2.wav").write_text("no sound")


def emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def removed(folder: Path) -> None:
    emptied(folder)
    folder.rmdir()


@pytest.mark.parametrize(
    ("word", "spoil", "said"),
    [
        ("two words", None, "'two words' is no word"),
        ("_unknown_", None, "'_unknown_' has no one sound"),
        ("_other", None, "'_other' has no one sound"),
        ("lamp", silent, "nothing is heard in lamp/2.wav"),
        ("lamp", no_sound, "2.wav"),
        ("lamp", emptied, "no takes in it"),
        ("lamp", removed, "no such file or folder"),
    ],
    ids=["name", "other words", "other takes", "silent", "no sound", "empty", "missing"],
)
def test_what_cannot_be_taught_changes_nothing(run, board, lamp, word, spoil, said):
    if spoil:
        spoil(lamp)
    refused = run("teach", word, lamp, "--port", board.port)
    assert refused.code == 1
    assert said in refused.err
    assert refused.err.count("\n") == 1
    with Device.open(board.port) as device:
        assert device.words() == {}
        assert not device.info().changed


def test_silent_takes_are_learned_by_force(run, board, lamp):
    silent(lamp)
    assert run("teach", "lamp", lamp, "--force", "--port", board.port).code == 0


def test_there_is_room_for_so_many(run, board, lamp):
    for word in ("a", "b", "c"):
        assert run("teach", word, lamp, "--port", board.port).code == 0
    assert run("teach", "yes", lamp, "--no-save", "--port", board.port).code == 0
    refused = run("teach", "d", lamp, "--port", board.port)
    assert refused.code == 1
    assert f"the device has {ROOM} words of your own" in refused.err
    with Device.open(board.port) as device:
        assert device.info().changed, "what was not saved is still there"
        assert device.info().generation == 3


def test_a_model_without_room_is_named(run, lamp, tmp_path, built):
    bare = with_traces(make_image(seed=7, n_neurons=16), Form.random(16, rank=3, seed=1))
    with virtual_board(write_image(tmp_path, bare), tmp_path / "flash") as board:
        refused = run("teach", "lamp", lamp, "--port", board.port)
        assert refused.code == 1
        assert "has no room for words of your own" in refused.err
        assert "no room for words of your own" in run("words", "--port", board.port).out


def test_a_word_that_is_not_there_is_not_forgotten(run, board, lamp):
    refused = run("forget", "lamp", "--yes", "--port", board.port)
    assert refused.code == 1
    assert "no word 'lamp'; it knows yes, no, up" in refused.err
    assert generation(board) == 0


def test_without_takes_they_are_recorded_at_a_terminal(run, board, tmp_path, monkeypatch, capsys):
    refused = run("teach", "lamp", "--port", board.port)
    assert refused.code == 1
    assert "tracekws teach lamp FOLDER" in refused.err
    from tracekws.cli import teach

    recorded = iter(range(1, 9))

    def recorder(seconds: float) -> np.ndarray:
        path = tmp_path / "recorded" / f"{next(recorded)}.wav"
        write_take(path, int(path.stem), round(16000 * seconds))
        return soundfile.read(path, dtype="int16")[0]

    monkeypatch.setattr(teach.talk, "_force_terminal", True)
    monkeypatch.setattr(microphone, "sounddevice", lambda: None)
    monkeypatch.setattr(microphone, "record", recorder)
    monkeypatch.setattr(teach, "prompt", lambda folder: lambda text: None)
    said = run("teach", "lamp", "--out", tmp_path / "takes", "--port", board.port)
    assert said.code == 0, said.err
    assert "3 takes learned" in said.out
    assert sorted(p.name for p in (tmp_path / "takes" / "lamp").iterdir()) == [
        "1.wav",
        "2.wav",
        "3.wav",
    ]


def test_a_program_teaches(board, lamp):
    with Device.open(board.port) as device:
        assert device.room() == ROOM
        result = device.teach("Lampe", [lamp])
        assert (result.word, result.takes, result.generation) == ("Lampe", 3, 1)
        assert device.teach("Lampe", lamp / "1.wav").takes == 4
        assert list(device.words()) == ["Lampe"]
        with pytest.raises(DataError):
            device.teach("lamp", [])
        result = device.teach("lamp", [lamp / "1.wav"], save=False)
        assert result.generation is None
        assert device.info().changed
        device.forget_word("lamp")
        with pytest.raises(DeviceError):
            device.forget_word("lamp")


def test_what_breaks_off_takes_nothing_in(board, lamp):
    def refuse(result: object) -> None:
        raise DataError("the picture cannot be written")

    with Device.open(board.port) as device:
        with pytest.raises(DataError, match="picture"):
            device.teach("lamp", [lamp], before_save=refuse)
        assert device.words() == {}
        assert not device.info().changed


def test_adapt_names_teach_for_a_word_that_is_not_known(run, board, lamp):
    refused = run("adapt", lamp.parent, "--port", board.port)
    assert refused.code == 1
    assert "`tracekws teach`" in refused.err


def test_what_was_not_saved_is_told(run, board, lamp):
    run("teach", "lamp", lamp, "--no-save", "--port", board.port)
    assert "is not saved" not in run("words", "--port", board.port).err
    assert "notice: the device has learned what is not saved" in (
        run("teach", "radio", lamp, "--force", "--port", board.port).err
    )
    assert "notice" not in run("teach", "door", lamp, "--force", "--port", board.port).err


def test_a_result_has_lines_of_its_own_on_a_terminal(board, lamp, tmp_path):
    """No bar is left before it."""
    code, said = on_terminal(["teach", "lamp", str(lamp), "--port", board.port], tmp_path)
    assert code == 0
    assert "learning" in said
    before, _, behind = said.partition("lamp: 3 takes learned")
    assert behind
    assert before.endswith(("\x1b[2K\x1b[?25h\r", "\x1b[2K\r", "\x1b[2K", "\n"))
