# SPDX-License-Identifier: Apache-2.0
"""Files of the user's: reading ends, errors are one line, writing is complete or nothing."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from host_cli import tracekws
from images import make_image
from tracekws import files
from tracekws.bench import cards
from tracekws.bench.cost import Cost
from tracekws.boards.emulator import open_flash
from tracekws.boards.rp2040 import FlashFile
from tracekws.core import Model
from tracekws.data import recordings_in, scan_tree
from tracekws.device.takes import read_word
from tracekws.errors import DataError, TraceKwsError
from tracekws.files import write
from tracekws.sensitivity import expected
from tracekws.train import cache, config

DEEP = 100000
COSTS = [Cost("stm32f405", "Cortex-M4", "mps2-an386", "speech", 1000, 200, 30, *range(4, 12))]


@pytest.fixture
def odd(tmp_path) -> dict[str, Path]:
    """Names of what is no file, or has no end."""
    found = {
        "pipe": tmp_path / "pipe",
        "endless": tmp_path / "endless",
        "folder": tmp_path / "folder",
        "missing": tmp_path / "missing",
        "huge": tmp_path / "huge",
        "dangling": tmp_path / "dangling",
    }
    os.mkfifo(found["pipe"])
    found["endless"].symlink_to("/dev/zero")
    found["folder"].mkdir()
    found["huge"].touch()
    os.truncate(found["huge"], 1 << 40)  # takes no room
    found["dangling"].symlink_to("nowhere")
    return found


SAID = {
    "pipe": "this is a pipe or a device",
    "endless": "this is a pipe or a device",
    "folder": "this is a folder",
    "missing": "No such file",
    "huge": "larger than",
    "dangling": "No such file",
}


@pytest.mark.parametrize("kind", SAID)
def test_reading_comes_to_an_end(kind, odd):
    for read in (lambda path: files.read_bytes(path, 1000), files.read_text, Model.load):
        with pytest.raises(TraceKwsError, match=SAID[kind]) as error:
            read(odd[kind])
        assert str(error.value).startswith(f"{odd[kind]}: ")


COMMANDS = {
    "model": ("evaluate", "FILE", "--data", "DATA"),
    "load": ("load", "FILE", "--yes", "--port", "socket://127.0.0.1:1"),
    "firmware": ("flash", "rp2040", "--firmware", "FILE", "--dry-run"),
    "uf2": ("flash", "rp2040", "--firmware", "FILE.uf2", "--dry-run"),
    "emulated": ("board", "FILE.elf"),
    "sound": ("listen", "FILE", "--port", "socket://127.0.0.1:1"),
    "speakers": ("bench", "adapt", "--data", "DATA", "--speakers", "FILE"),
    "excluded": (
        *("train", "--data", "DATA", "--run", "RUN", "--output", "x.tkws"),
        *("--exclude-speakers", "FILE"),
    ),
    "config": (
        *("train", "--data", "DATA", "--run", "RUN", "--output", "x.tkws"),
        *("--config", "FILE.toml"),
    ),
    "results": ("lab", "report", "FILE"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["pipe", "endless", "huge"])
def test_no_command_waits_for_the_end_of_what_has_none(command, kind, odd, tree, tmp_path):
    words = []
    for word in COMMANDS[command]:
        path = odd[kind]
        if word.startswith("FILE."):  # some go by the suffix
            path = path.with_suffix(word.removeprefix("FILE"))
            path.symlink_to(odd[kind])
        given = str(path) if word.startswith("FILE") else word
        words.append({"DATA": str(tree), "RUN": str(tmp_path / "run")}.get(given, given))
    done = tracekws(*words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert str(odd[kind]) in done.stderr


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert files.read_text(path) == "a\r\nb"


@pytest.fixture
def model(model_file, tmp_path) -> Path:
    """An image, with a card that nothing is wrong with."""
    path = tmp_path / "tiny.tkws"
    shutil.copy(model_file, path)
    crc = Model.load(path).identity["crc"]
    path.with_suffix(".json").write_text(json.dumps({"crc": crc}))
    path.with_suffix(".md").write_text(f"# tiny\n\n| Image | CRC {crc} |\n| Accuracy | 1 % |\n")
    return path


@pytest.mark.parametrize("suffix", [".json", ".md"])
@pytest.mark.parametrize("kind", ["pipe", "endless", "folder", "huge"])
def test_a_card_that_is_no_file_is_one_line(suffix, kind, model, odd):
    path = model.with_suffix(suffix)
    path.unlink()
    odd[kind].rename(path)
    with pytest.raises(DataError, match=SAID[kind]):
        cards.complete(model, COSTS)
    assert expected(path, Model.load(model).crc, 0) is None


def test_a_card_that_is_nested_deeply_is_one_line(model, monkeypatch):
    path = model.with_suffix(".json")
    path.write_text(f'{{"crc": {DEEP * "["}')
    with pytest.raises(DataError, match=r"tiny\.json: no card of a model"):
        cards.complete(model, COSTS)
    assert expected(path, 0, 0) is None
    done = tracekws("bench", "cost", str(model), "--card")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {path}: no card of a model\n"


def test_a_card_of_huge_numbers_says_nothing_of_a_level(tmp_path):
    row = {"sensitivity": 0, "hit_percent": 10**400, "false_alarms_per_100_other_words": 1}
    stream = {"validation": [{"snr_db": 40, "roc": [row]}]}
    path = tmp_path / "card.json"
    path.write_text(json.dumps({"crc": "00000000", "stream": stream}))
    assert expected(path, 0, 0) is None


def test_settings_that_are_nested_deeply_are_one_line(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text(f"neurons = {DEEP * '['}")
    with pytest.raises(DataError, match="no TOML"):
        config.load_config(str(path))


# --- writing --------------------------------------------------------------------------------------


def test_files_that_belong_together_are_written_together(tmp_path):
    names = {tmp_path / name: name.encode() for name in ("a", "b", "c")}
    files.write_all(names)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_cannot_be_written_leaves_everything_as_it_was(at, tmp_path, monkeypatch):
    for name in ("a", "c"):
        (tmp_path / name).write_bytes(b"old")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\)"):
        files.write_all({tmp_path / name: b"new" for name in ("a", "b", "c")})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("where", ["none/file", "file/below", "folder"])
def test_a_place_that_takes_no_file_is_one_line(where, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for work in (lambda path: files.write(path, b"x"), files.check_writable):
        with pytest.raises(DataError, match=where.replace("/", ".")):
            work(tmp_path / where)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_card_that_cannot_be_written_leaves_both_files(model, monkeypatch):
    before = {path: path.read_bytes() for path in model.parent.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="cannot be written"):
        cards.complete(model, COSTS)
    assert {path: path.read_bytes() for path in model.parent.iterdir()} == before


def test_energies_without_room_are_one_line_and_leave_no_file(tmp_path, monkeypatch):
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="No space left"):
        cache.make_room(tmp_path / "energies.part", (3, 98, 40))
    assert not list(tmp_path.iterdir())


def test_an_image_larger_than_any_is_not_read(tmp_path):
    path = tmp_path / "big.tkws"
    path.write_bytes(make_image(seed=1))
    os.truncate(path, 1 << 40)
    with pytest.raises(TraceKwsError, match="larger than 64 MiB"):
        Model.load(path)


@pytest.mark.parametrize(
    "take", [FlashFile, lambda path: open_flash("mps2-an386", path).__enter__()]
)
def test_a_pipe_is_not_the_flash_of_an_emulated_board(tmp_path, take):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="not a file"):
        take(pipe)
    assert pipe.is_fifo()


def test_the_state_folder_is_never_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert files.state_folder() == tmp_path / "home/.local/state/tracekws"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert files.state_folder() == tmp_path / "state/tracekws"


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "target").write_text("before")
    (tmp_path / "target").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link", b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"after"
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "yes").mkdir()

    def locked(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", locked)
    told = f"{re.escape(str(tmp_path))}: Permission denied"
    for read in (scan_tree, lambda folder: read_word([folder], "yes"), recordings_of):
        with pytest.raises(DataError, match=told):
            read(tmp_path)


def recordings_of(folder):
    return list(recordings_in(folder))
