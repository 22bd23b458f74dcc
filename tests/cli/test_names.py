# SPDX-License-Identifier: Apache-2.0
"""Names from outside (device, image, folder, file) are text, on a terminal and as paths."""

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from host_cli import on_terminal
from images import cells, join, make_image, sections, write_image
from lying_device import Lies, lying_device
from recordings import write_take
from tracekws import cli
from tracekws.bench.clips import ClipAccuracy
from tracekws.bench.pictures import confusion_picture
from tracekws.cli.console import json_text, visible
from tracekws.core import Model
from tracekws.device.microphone import record_takes, record_word
from tracekws.device.takes import read_takes
from tracekws.errors import DataError, ModelError
from tracekws.modelfile import with_sections, with_words
from tracekws.names import RULE, is_name, normalised, path_of
from tracekws.profile import Profile
from tracekws.shipped import MODEL
from tracekws.train.config import load_config

REST = (b"no", b"_unknown_", b"_silence_")
HOSTILE = {
    "escapes in a label": Lies(labels=(b"\x1b]0;owned\x07\x1b[2J", *REST)),
    "other controls in a label": Lies(labels=("\u009b31m\u202eyes".encode(), *REST)),
    "a path as a label": Lies(labels=(b"../../../pwn", *REST)),
    "an absolute path as a label": Lies(labels=(b"/nowhere/pwn", *REST)),
    "the end of a markup that never began": Lies(labels=(b"[/a]", *REST)),
    "escapes in the model's name": Lies(name=b"\x1b]0;owned\x07\x1b[2J"),
    "escapes in the board's name": Lies(board=b"\x1b]0;owned\x07"),
    "escapes in a word that was taught": Lies(own=b"\x1b]0;owned\x07\x1b[2J"),
    "a path as a word that was taught": Lies(own=b"../../../pwn"),
    "a word that was taught twice": Lies(own=b"no"),
}
NASTY = "[red]x"
LEGAL = Lies(labels=(NASTY.encode(), b"[b]", *REST[1:]), name=b"[i]m", board=b":smile:")
"""Names that are names, and that a console could take for orders."""

COMMANDS = {
    "adapt": ("adapt", "takes"),
    "correct": ("correct", "lamp"),
    "forget": ("forget", "--yes"),
    "forget --yes": ("forget", "lamp", "--yes"),
    "info": ("info",),
    "info --json": ("info", "--json"),
    "listen": ("listen", "takes/yes/1.wav"),
    "listen --json": ("listen", "takes/yes/1.wav", "--json", "--sensitivity", "1"),
    "listen --live": ("listen", "--live", "--seconds", "1"),
    "load": ("load", "model.tkws", "--yes"),
    "microphone": ("microphone", "--seconds", "0.1"),
    "profile load": ("profile", "load", "anna", "--model", "model.tkws"),
    "record": ("record", "yes", "--takes", "1", "--out", "recorded"),
    "save": ("save",),
    "bench stream": ("bench", "stream", "model.tkws", "--background", "takes/yes"),
    "teach": ("teach", "lamp", "takes/yes"),
    "undo": ("undo",),
    "words": ("words",),
}
NEEDS_NO_NAMES = {"microphone", "record"}
"""They do not ask for names, and do their work; all others refuse."""
RECORDED = {"a/b/c/recorded/yes/1.wav"}
NEEDS_THE_MODEL = {"bench stream", "profile load"}
"""They refuse a device that runs another model than theirs."""
ASKS_FOR_WORDS = {"forget --yes", "listen", "listen --json", "listen --live", "teach", "words"}
"""They ask for words that were taught."""


def test_every_command_with_a_device_is_here() -> None:
    def with_port(command: object, name: str) -> Iterator[str]:
        for word, child in getattr(command, "commands", {}).items():
            yield from with_port(child, f"{name} {word}".strip())
        if any(option.name == "port" for option in getattr(command, "params", ())):
            yield name

    found = set(with_port(typer.main.get_command(cli.app), ""))
    assert found == {name.split(" --")[0] for name in COMMANDS}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder deep in another, with takes and a model; commands run in it."""
    folder = tmp_path / "a" / "b" / "c"
    for word, first in (("yes", 1), ("_other", 3)):
        for number in (1, 2):
            write_take(folder / "takes" / word / f"{number}.wav", first + number)
    write_image(folder, make_image())
    Profile(1).plus([("yes", np.zeros((6, 80), np.int8))], taught=False).save("anna")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" * 10))
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def controls(text: str) -> set[str]:
    """Characters that are neither shown nor the end of a line."""
    return {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("lies", HOSTILE)
def test_what_a_lying_device_says_controls_nothing(
    run, work: Path, command: str, lies: str
) -> None:
    above = work.parents[2]
    before = files(above)
    with lying_device(HOSTILE[lies]) as port:
        result = run(*COMMANDS[command], "--port", port)
    assert controls(result.out + result.err) == set()
    assert "Traceback" not in result.err
    assert files(above) - RECORDED == before
    asks = command in ASKS_FOR_WORDS if "taught" in lies else command not in NEEDS_NO_NAMES
    if "board" in lies or asks:
        assert result.code == 4
        assert len(re.findall("error: the device('s| has a word twice)", result.err)) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_gets_nothing_of_it(work: Path, command: str) -> None:
    lies = HOSTILE["escapes in a label"]
    before = files(work.parents[2])
    with lying_device(lies) as port:
        code, said = on_terminal([*COMMANDS[command], "--port", port], work)
    assert "\x1b]0;" not in said
    assert "\x1b[2J" not in said
    assert "\x07" not in said
    assert "Traceback" not in said
    assert code == (0 if command in NEEDS_NO_NAMES else 4)
    assert files(work.parents[2]) - RECORDED == before


@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_look_like_markup_are_shown(run, work: Path, command: str) -> None:
    (work / "takes" / "yes").rename(work / "takes" / NASTY)
    words = [w.replace("yes", NASTY) if w[0] != "-" else w for w in COMMANDS[command]]
    with lying_device(LEGAL) as port:
        result = run(*words, "--port", port)
    assert "Traceback" not in result.err
    assert result.code == (1 if command in NEEDS_THE_MODEL else 0), result.err
    shown = {
        "adapt": "2 takes to learn, 2 held back",
        "info": "[red]x [b]",
        "info --json": NASTY,
        "listen": f"{NASTY}  ",
        "listen --json": NASTY,
        "listen --live": f"{NASTY}  ",
        "record": f"recorded/{NASTY}/1.wav",
        "teach": "lamp: 2 takes learned, 3 in all",
        "words": "[red]x",
        "bench stream": "another model, [i]m with CRC",
        "profile load": "the device runs [i]m with CRC",
    }
    assert shown.get(command, "") in result.out + result.err
    if command == "info":
        assert "[i]m" in result.out
        assert ":smile:" in result.out
    if command == "record":
        assert (work / "recorded" / NASTY / "1.wav").is_file()


def test_a_word_that_the_device_lacks_is_named_as_text(run, work: Path) -> None:
    with lying_device(LEGAL) as port:
        result = run("record", "../[/x]\x1b[2J", "--port", port)
    assert result.code == 1
    assert result.err == (
        "error: '../[/x]\\x1b[2J' is no word: it is 1 to 31 bytes of UTF-8 without spaces, control"
        " characters, / or \\, and without a full stop in front\n"
    )


# --- paths ----------------------------------------------------------------------------------------


@given(st.text(max_size=40) | st.sampled_from(["..", ".", "", "/", "a/../../b", "~", "C:\\x"]))
def test_a_path_of_a_name_stays_in_its_folder(name: str) -> None:
    folder = Path("/some/where")
    try:
        path = path_of(folder, name, ".wav")
    except DataError:
        assert not is_name(name)
        return
    assert path.parent == folder
    assert path.name == f"{name}.wav"
    assert os.path.normpath(path) == str(path)


@pytest.mark.parametrize("word", ["../../pwn", "/nowhere/pwn", "..", ".", "", "a/b", "\x1b[2J"])
def test_takes_are_recorded_nowhere_else(tmp_path: Path, word: str) -> None:
    def loud(seconds: float) -> np.ndarray:
        return np.tile(np.repeat(np.array([3000, -3000], np.int16), 8), 2000)

    folder = tmp_path / "a" / "b"
    for call in (
        lambda ask: record_word(folder, word, 1, ask=ask, complain=ask, recorder=loud),
        lambda ask: record_takes(folder, [word], ask=ask, complain=ask, recorder=loud),
    ):
        with pytest.raises(DataError, match="is no name"):
            call(lambda text: None)
    assert list(tmp_path.iterdir()) == []


# --- one word, one spelling -----------------------------------------------------------------------

CAFE, CAFE_APART = "caf\u00e9", "cafe\u0301"


def test_takes_in_a_folder_of_another_spelling_are_of_the_word(tmp_path: Path) -> None:
    write_take(tmp_path / CAFE_APART / "1.wav", 1)
    takes = read_takes(tmp_path, (CAFE, "_unknown_", "_silence_"), "_unknown_", "_silence_")
    assert [take.label for take in takes] == [CAFE]


def test_a_word_is_recorded_under_one_spelling(run, work: Path) -> None:
    lies = Lies(labels=(CAFE.encode(), *REST))
    with lying_device(lies) as port:
        words = ("--takes", "1", "--out", "recorded", "--port", port)
        assert [run("record", word, *words).code for word in (CAFE, CAFE_APART)] == [0, 0]
    assert files(work / "recorded") == {f"{CAFE}/1.wav", f"{CAFE}/2.wav"}


def test_words_to_train_are_taken_in_one_spelling() -> None:
    assert load_config("small", words=[CAFE_APART, "日本語"]).words == (CAFE, "日本語")


@pytest.mark.parametrize(
    "word", ["a b", "a/b", "..", "x" * 32, "\x1b[2J", "é" * 16, "\u202ex", "\udc80"]
)
def test_words_that_are_no_names_are_not_trained(word: str) -> None:
    with pytest.raises(DataError) as refused:
        load_config("small", words=["yes", word])
    assert RULE in str(refused.value)


def test_an_image_takes_names_of_any_language() -> None:
    model = Model(make_image())
    words = ["да", "日本語", "é" * 15 + "x"]
    assert Model(with_words(model, words)).keywords == tuple(words)
    for wrong in ("é" * 16, CAFE_APART, "a b", ""):
        with pytest.raises(ModelError, match="is no name"):
            with_words(model, [*words[:2], wrong])


def test_an_image_whose_names_are_not_composed_is_refused() -> None:
    labels = cells(CAFE_APART, "no", "up", "_unknown_", "_silence_")
    with pytest.raises(ModelError, match="NFC"):
        Model(make_image(arrays={"labels": labels}))
    assert normalised(CAFE_APART) == CAFE


@pytest.mark.parametrize("name", ["base", "small"])
def test_the_shipped_images_are_as_the_writer_writes_them(name: str) -> None:
    model = Model.load(MODEL.with_name(f"{name}.tkws"))
    assert with_sections(model, {}) == model.image


def test_a_section_that_is_not_known_is_not_copied_into_a_changed_image() -> None:
    image = make_image()
    model = Model(join([("sign", b"of the whole"), *sections(image)]))
    assert with_sections(model, {}) == image


# --- an image of before ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "advice"), [(1, "make it again"), (2, "make it again"), (4, "update tracekws")]
)
def test_an_image_of_another_format_is_refused_by_name(
    run, tmp_path: Path, version: int, advice: str
) -> None:
    path = tmp_path / "old.tkws"
    path.write_bytes(b"TKWS" + version.to_bytes(4, "little") + bytes(500))
    result = run("board", path)
    assert result.code == 1
    assert f"old.tkws: format_version: the image is of format {version}" in result.err
    assert advice in result.err
    assert result.err.count("\n") == 1


# --- text on a terminal ---------------------------------------------------------------------------


def test_names_of_files_control_nothing(run, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07[/a]\n\u202e"
    result = run("listen", tmp_path / f"{evil}.wav", "--port", "none")
    assert (result.code, result.out) == (1, "")
    assert controls(result.err) == set()
    assert result.err.count("\n") == 1
    assert "\\x1b]0;owned" in result.err
    folder = tmp_path / evil
    write_take(folder / "\x1b[2Jw" / "s_nohash_0.wav", 1)
    (folder / "\x1b[2Jw" / "\x1b[2Js_nohash_1.wav").write_bytes(b"no sound")
    (folder / "\x1b[2Jw" / "s\udcff_nohash_2.wav").write_bytes(b"no sound")
    for words in (("data", "check", folder), ("data", "check", folder, "--json")):
        result = run(*words)
        assert result.code == 0, result.err
        assert controls(result.out + result.err) == set()
        assert "[2Jw" in result.out


def test_a_wrong_command_line_controls_nothing(run) -> None:
    for words in (
        ("\x1b[2J\x07",),
        ("--\x1b[2J\x07",),
        ("listen", "--\x1b[2J\x07"),
        ("adapt", "takes", "--picture", "\x1b[2J[/a].png/x.png"),
    ):
        result = run(*words)
        assert result.code == 2, words
        assert controls(result.out + result.err) == set()
        assert "\\x1b[2J" in result.err


def test_json_has_no_controls() -> None:
    text = "\x00\x07\x1b\x7f\x80\x9b\u202e\ufeff\udc80é"
    assert json_text(text).isprintable()
    assert json_text(text).isascii()
    assert json.loads(json_text(text)) == text


@given(st.text())
def test_visible_text_controls_nothing_and_leaves_the_rest(text: str) -> None:
    shown = visible(text)
    assert {c for c in controls(shown) if unicodedata.category(c) != "Cf"} == set()
    assert not set(shown) & set("\u061c\u200e\u200f\u202d\u202e\u2066\u2069\ufeff")
    shown.encode()
    if text.isprintable():
        assert shown == text


def test_a_name_that_the_encoding_lacks_stops_nothing(work: Path) -> None:
    lies = Lies(labels=("да".encode(), *REST))
    program = "from tracekws.cli import main; main()"
    with lying_device(lies) as port:
        done = subprocess.run(
            [sys.executable, "-c", program, "listen", "takes/yes/1.wav", "--port", port],
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            cwd=work,
            capture_output=True,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0434\u0430" in done.stdout


def test_dollars_in_a_name_are_no_formula(tmp_path: Path) -> None:
    labels = (r"$\frac$", "$x$", "_unknown_", "_silence_")
    result = ClipAccuracy(np.eye(4, dtype=np.int64), labels, 2, 3, 0, (), "")
    path = tmp_path / "p.png"
    confusion_picture(result, path)
    assert path.read_bytes().startswith(b"\x89PNG")
