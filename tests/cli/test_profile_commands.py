# SPDX-License-Identifier: Apache-2.0
"""Profiles by the commands, on a virtual board."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from images import image_with_own_words, write_image
from recordings import write_take
from toolchain import ROOT
from tracekws.boards.running import kept_board
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.core import Model
from tracekws.device.device import Device
from tracekws.device.driver import DeviceInfo
from tracekws.learner import Learner
from tracekws.profile import Profile, changing

pytestmark = pytest.mark.usefixtures("users_folder")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("first"), image_with_own_words(7))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("newer"), image_with_own_words(9))


@pytest.fixture
def board(built: None, model: Path, tmp_path: Path) -> Iterator[VirtualBoard]:
    with virtual_board(model, tmp_path / "flash") as running:
        yield running


@pytest.fixture
def my(tmp_path: Path) -> Path:
    """Takes of two words to adapt to, and of one's own."""
    for seed, name in enumerate(("takes/yes", "takes/no", "lamp")):
        for number in range(1, 4):
            write_take(tmp_path / "my" / name / f"{number}.wav", 10 * seed + number)
    return tmp_path / "my"


@pytest.fixture
def anna(run, board, model, my) -> None:
    """The profile of a user who has adapted a board, and taught it a word."""
    line = ("--force", "--profile", "anna", "--model", model, "--port", board.port)
    adapted = run("adapt", my / "takes", *line)
    assert adapted.code == 0, adapted.err
    assert "takes kept in the profile anna" in adapted.err
    taught = run("teach", "lamp", my / "lamp", *line)
    assert taught.code == 0, taught.err
    assert "takes kept in the profile anna" in taught.err


def weights(port: str) -> bytes:
    with Device.open(port) as device:
        return device.weights()


def test_another_model_is_taught_without_the_user(run, board, model, newer, my, anna, tmp_path):
    learned = weights(board.port)
    again = ("profile", "load", "anna", "--force", "--port", board.port)
    assert run("load", model, "--yes", "--port", board.port).code == 0
    loaded = run(*again, "--model", model)
    assert loaded.code == 0, loaded.err
    assert loaded.out == "7 takes learned from anna: no 2, yes 2, lamp 3\n"
    assert "generation 1" in loaded.err
    assert weights(board.port) == learned
    assert run("load", newer, "--yes", "--port", board.port).code == 0
    assert run(*again, "--model", newer).code == 0
    by_profile = weights(board.port)
    assert run("load", newer, "--yes", "--port", board.port).code == 0
    for words in (("adapt", my / "takes"), ("teach", "lamp", my / "lamp")):
        assert run(*words, "--force", "--model", newer, "--port", board.port).code == 0
    assert weights(board.port) == by_profile


def test_takes_that_were_taught_are_named_and_not_taught_again(run, board, model, my, anna):
    line = ("--profile", "anna", "--model", model, "--port", board.port)
    refused = run("teach", "lamp", my / "lamp", *line)
    assert (refused.code, refused.out) == (1, "")
    assert "nothing new of 'lamp': the profile anna has lamp/1.wav, lamp/2.wav" in refused.err
    assert refused.err.count("\n") == 1
    write_take(my / "lamp" / "4.wav", 24)
    said = run("teach", "lamp", my / "lamp", *line)
    assert "lamp: 1 take learned, 4 in all" in said.out
    assert "is lamp/1.wav, lamp/2.wav, lamp/3.wav: --force teaches it" in said.err
    forced = run("teach", "lamp", my / "lamp" / "1.wav", "--force", *line)
    assert "lamp: 1 take learned, 5 in all" in forced.out


def test_loading_says_what_it_did(run, board, model, anna):
    line = ("--force", "--json", "--model", model, "--port", board.port)
    told = json.loads(run("profile", "load", "anna", "--word", "lamp", *line).out)
    assert told["profile"] == "anna"
    assert told["learned"] == {"lamp": 3}
    assert told["refused"] == []
    assert told["generation"] == 3
    assert "counts twice" in told["warnings"][0]
    told = json.loads(run("profile", "load", "anna", "--forget-first", "--yes", *line).out)
    assert (told["generation"], told["warnings"]) == (1, [])
    plain = run("profile", "load", "anna", "--no-save", *line[:1], *line[2:])
    assert "not saved" in plain.err
    assert "warning: the device had learned before" in plain.err


def test_the_device_is_asked_once_what_it_is(run, board, model, my, anna, monkeypatch):
    asked: list[None] = []
    info = Device.info

    def counted(device: Device) -> DeviceInfo:
        asked.append(None)
        return info(device)

    monkeypatch.setattr(Device, "info", counted)
    line = ("--force", "--model", model, "--port", board.port)
    for words in (
        ("profile", "load", "anna", *line),
        ("profile", "load", "anna", "--forget-first", "--yes", *line),
        ("teach", "lamp", my / "lamp", *line),
        ("adapt", my / "takes", *line),
    ):
        asked.clear()
        assert run(*words).code == 0
        assert len(asked) == 1, words


def test_forgetting_first_asks(run, board, model, anna, monkeypatch, tmp_path):
    before = weights(board.port)
    (tmp_path / "answers").write_text("n\n")
    with (tmp_path / "answers").open() as typed:
        monkeypatch.setattr("sys.stdin", typed)
        line = ("--forget-first", "--model", model, "--port", board.port)
        refused = run("profile", "load", "anna", *line)
    assert refused.code == 1
    assert "nothing was erased" in refused.err
    assert weights(board.port) == before


def test_the_list(run, board, anna, users_folder):
    Profile.load("anna").without("no").save("bert")
    (users_folder / "carl.profile").write_bytes(b"TKPR, but damaged")
    (users_folder / "dora.profile").mkdir()
    listed = run("profile", "list")
    assert listed.code == 0
    for text in ("anna", "yes 2", "lamp 3", "161 KB", "of your own", "bert"):
        assert text in listed.out
    assert listed.err.count("warning: ") == listed.err.count("\n") == 2
    assert "carl.profile: " in listed.err
    told = json.loads(run("profile", "list", "--json").out)
    assert told["folder"] == str(users_folder)
    anna, bert = told["profiles"]
    assert anna == {
        "name": "anna",
        "words": {"no": 2, "yes": 2, "lamp": 3},
        "takes": 7,
        "bytes": (users_folder / "anna.profile").stat().st_size,
        "front_end": f"{Profile.load('anna').front_end:08x}",
        "models": [],
    }
    assert bert["takes"] == 5
    assert [one["name"] for one in told["unreadable"]] == ["carl", "dora"]


def test_there_may_be_none(run):
    assert "there is no profile: `tracekws adapt`" in run("profile", "list").out
    assert json.loads(run("profile", "list", "--json").out)["profiles"] == []


def test_a_profile_goes_to_another_machine(run, anna, users_folder, tmp_path, monkeypatch):
    file = tmp_path / "mine.profile"
    told = json.loads(run("profile", "export", "anna", file, "--json").out)
    assert (told["name"], told["takes"], told["file"]) == ("anna", 7, str(file))
    content = (users_folder / "anna.profile").read_bytes()
    assert file.read_bytes() == content
    assert f"{file}: 7 takes, 161 KB" in run("profile", "export", "anna", file).out
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert "profile mine: no 2, yes 2, lamp 3" in run("profile", "import", file).out
    assert json.loads(run("profile", "import", file, "--as", "anna", "--json").out)["takes"] == 7
    there = tmp_path / "other" / "tracekws" / "profiles"
    assert {path.name for path in there.iterdir()} == {"anna.profile", "mine.profile"}
    assert (there / "anna.profile").read_bytes() == content
    again = run("profile", "import", file, "--as", "anna")
    assert again.code == 1
    assert "there is a profile 'anna' already" in again.err


SAVED = Profile(1).plus([("yes", np.zeros((6, 80), np.int8))], taught=False)


FOREIGN = {
    "without takes": (Profile(1).content, "the profile holds no take: there is nothing"),
    "cut short": (SAVED.content[:-1], "the profile is damaged"),
    "a byte changed": (SAVED.content[:60] + b"?" + SAVED.content[61:], "is damaged"),
    "newer": (b"TKPR\x02" + SAVED.content[5:], "of format 2, made by a newer version"),
    "empty": (b"", "this is no profile"),
    "a zip archive": (b"PK\x03\x04" + bytes(60), "this is no profile"),
    "a model": (b"TKWS" + bytes(60), "this is no profile"),
    "learned weights": (b"TKLW" + bytes(60), "this is no profile"),
}


@pytest.mark.parametrize(("content", "said"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_taken_in_leaves_nothing(run, content, said, users_folder, tmp_path):
    file = tmp_path / "theirs.profile"
    file.write_bytes(content)
    for words in ((), ("--as", "anna"), ("--json",)):
        refused = run("profile", "import", file, *words)
        assert refused.code == 1
        assert refused.err.startswith(f"error: {file}: ")
        assert said in refused.err
        assert refused.err.count("\n") == 1
    assert json.loads(refused.out)["error"]["name"] == "DATA"
    assert file.read_bytes() == content
    assert [path for path in users_folder.parent.rglob("*") if path.is_file()] == []


def test_takes_words_and_profiles_are_forgotten(run, anna):
    said = run("profile", "forget", "anna", "yes", "--take", "2", "--yes")
    assert said.out == "profile anna: no 2, yes 1, lamp 3\n"
    told = json.loads(run("profile", "forget", "anna", "lamp", "--yes", "--json").out)
    assert told == {"name": "anna", "words": {"no": 2, "yes": 1}}
    assert Profile.load("anna").words == {"no": 2, "yes": 1}
    assert run("profile", "forget", "anna", "--yes").out == "erased profile anna\n"
    assert Profile.names() == []


def test_forgetting_asks(run, anna, monkeypatch, tmp_path):
    (tmp_path / "answers").write_text("n\n" * 2)
    with (tmp_path / "answers").open() as typed:
        monkeypatch.setattr("sys.stdin", typed)
        for words in (("anna",), ("anna", "yes")):
            assert "nothing was erased" in run("profile", "forget", *words).err
    assert Profile.load("anna").words == {"no": 2, "yes": 2, "lamp": 3}


def test_what_is_added_while_forgetting_asks_stays(run, anna, monkeypatch):
    """Another program learns into the profile before the answer is given."""

    def answer(question):
        Profile.load("anna").plus([("radio", np.ones((6, 80), np.int8))], taught=True).save("anna")

    monkeypatch.setattr("tracekws.cli.profile.confirm", answer)
    assert "has changed meanwhile" in run("profile", "forget", "anna", "yes").err
    assert Profile.load("anna").words == {"no": 2, "yes": 2, "lamp": 3, "radio": 1}


def test_nothing_is_taken_in_or_out_while_another_program_adds(run, monkeypatch, tmp_path):
    take = Profile(1).plus([("yes", np.zeros((6, 80), np.int8))], taught=False)
    take.save("anna")
    take.write(tmp_path / "anna.p")
    monkeypatch.setattr("tracekws.files.LOCK_TRIES", 1)
    for words in (
        ("forget", "anna", "yes", "--yes"),
        ("forget", "anna", "--yes"),
        ("import", tmp_path / "anna.p", "--as", "bert"),
    ):
        with changing():
            refused = run("profile", *words)
        assert (refused.code, refused.out) == (1, "")
        assert "another program is changing profiles and does not end" in refused.err
        assert refused.err.count("\n") == 1
    assert Profile.names() == ["anna"]
    assert Profile.load("anna") == take


def test_a_damaged_profile_can_be_forgotten(run, users_folder):
    users_folder.mkdir(parents=True)
    (users_folder / "anna.profile").write_bytes(b"TKPR")
    assert run("profile", "forget", "anna", "--yes").code == 0
    assert Profile.names() == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("load", "bert", "--port", "none"), 1, "there is no profile 'bert'; there are anna"),
        (("load", "../anna", "--port", "none"), 1, "'../anna' is no name of a file"),
        (("export", "bert", "x"), 1, "there is no profile 'bert'"),
        (("export", "anna", "nowhere/x"), 1, "nowhere/x: there is no such folder"),
        (("export", "anna", "."), 1, "this is a folder"),
        (("import", "none"), 1, "none: No such file"),
        (("import", "noise"), 1, "noise: this is no profile"),
        (("import", "noise", "--as", "a b"), 1, "this is no profile"),
        (("import", "anna.p", "--as", "a/b"), 1, "'a/b' is no name of a file"),
        (("forget", "bert"), 1, "there is no profile 'bert'"),
        (("forget", "anna", "radio"), 1, "no word 'radio'; it has yes"),
        (("forget", "anna", "yes", "--take", "3", "--yes"), 1, "no take 3 of 'yes'"),
        (("forget", "anna", "--take", "3"), 2, "--take is for a word"),
        (("forget", "anna", "yes", "--take", "0"), 2, "--take"),
    ],
)
def test_an_error_is_a_line_and_changes_nothing(run, words, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    take = Profile(1).plus([("yes", np.zeros((6, 80), np.int8))], taught=False)
    take.save("anna")
    take.write(tmp_path / "anna.p")
    refused = run("profile", *words)
    assert refused.code == code
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert Profile.names() == ["anna"]
    assert Profile.load("anna") == take


def test_takes_of_a_device_whose_model_is_not_known(run, board, my):
    for words in (("adapt", my / "takes"), ("teach", "lamp", my / "lamp")):
        refused = run(*words, "--force", "--profile", "anna", "--port", board.port)
        assert refused.code == 1
        assert refused.err.count("\n") == 1
        assert "profiles need it: name its file by --model" in refused.err
    assert Profile.names() == []
    with Device.open(board.port) as device:
        assert not device.info().changed


def test_nobody_speaks_for_a_profile_that_cannot_be_added_to(
    run, board, model, users_folder, monkeypatch, tmp_path
):
    from tracekws.cli import adapt, teach

    users_folder.mkdir(parents=True)
    (users_folder / "anna.profile").write_bytes(b"no profile")

    def asked(*given: object, **named: object) -> None:
        raise AssertionError("a user was asked to speak")

    monkeypatch.setattr(teach, "record_takes", asked)
    monkeypatch.setattr(adapt, "record_guided", asked)
    line = ("--profile", "anna", "--model", model, "--port", board.port)
    for words in (("adapt", tmp_path / "takes", "--record"), ("teach", "lamp")):
        refused = run(*words, *line)
        assert refused.code == 1
        assert "anna.profile: this is no profile" in refused.err


def test_the_virtual_board_is_taught_with_speech(run, built, tmp_path):
    """By the models of the package, and nothing forced: `small` learns what `base` did."""
    for word in ("yes", "up"):
        for number in range(2):
            pcm, _ = soundfile.read(ROOT / f"examples/speech/slt/{word}/{number}.flac")
            file = tmp_path / "takes" / word / f"{number}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, pcm, 16000)
    takes, small = ("adapt", tmp_path / "takes", "--all", "--virtual"), ROOT / "models/small.tkws"
    assert run(*takes, "--profile", "anna").code == 0
    (anna,) = json.loads(run("profile", "list", "--json").out)["profiles"]
    assert (anna["words"], anna["models"]) == ({"up": 2, "yes": 2}, ["base", "small"])
    learned = []
    for words in (takes, ("profile", "load", "anna", "--virtual")):
        assert run("load", small, "--yes", "--virtual").code == 0
        assert run(*words).code == 0
        with kept_board() as port:
            learned.append(weights(port))
    assert learned[0] == learned[1]
    assert learned[0] != Learner(Model.load("small")).weights
