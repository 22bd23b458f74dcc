# SPDX-License-Identifier: Apache-2.0
"""What is asked for is written, or nothing changes: no file, and nothing on the device."""

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from host_cli import HANG_SECONDS
from tracekws.boards.virtual import VirtualBoard
from tracekws.cli import console
from tracekws.cli.console import out
from tracekws.device import adapt as adaptation
from tracekws.device import microphone
from tracekws.device.device import Device
from tracekws.errors import TraceKwsError


def state(board: VirtualBoard) -> tuple[bytes, int, bool]:
    """Weights in RAM, generation, and whether the weights are unsaved."""
    with Device.open(board.port) as device:
        about = device.info()
        return device.weights(), about.generation, about.changed


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond 4 KB: what writes more fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full_after_learning(monkeypatch) -> Iterator[None]:
    """The disk is full once the device has learned."""
    teach, disk = adaptation.teach, full_disk()

    def fill(*arguments: object, **named: object) -> object:
        refused = teach(*arguments, **named)
        disk.__enter__()
        return refused

    monkeypatch.setattr(adaptation, "teach", fill)
    yield
    disk.__exit__(None, None, None)


@pytest.mark.parametrize("there", [None, b"an older picture"], ids=["new", "replaced"])
def test_a_picture_that_does_not_fit_leaves_device_and_files(
    there, run, board, takes, tmp_path, full_after_learning
):
    picture = tmp_path / "pictures" / "p.png"
    picture.parent.mkdir()
    if there:
        picture.write_bytes(there)
    before = state(board)
    result = run("adapt", takes, "--picture", picture, "--port", board.port)
    assert result.code == 1
    assert result.out == ""
    said = result.err.splitlines()[-1]
    assert said == f"error: {picture}: cannot be written (File too large)"
    assert state(board) == before
    assert [path.read_bytes() for path in picture.parent.iterdir()] == ([there] if there else [])


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
@pytest.mark.parametrize("output", ["left pipe", "full disk"])
def test_a_result_that_nobody_takes_is_not_saved(
    output, options, run, board, takes, tmp_path, monkeypatch
):
    before = state(board)
    reader, writer = os.pipe()
    file = tmp_path / "result"
    file.write_bytes(bytes(4000))
    teach, disk = adaptation.teach, full_disk()

    def fail(*arguments: object, **named: object) -> object:
        refused = teach(*arguments, **named)
        os.close(reader) if output == "left pipe" else disk.__enter__()
        return refused

    monkeypatch.setattr(adaptation, "teach", fail)
    monkeypatch.setattr(out, "quiet", False)  # what Rich makes of it at a pipe that nobody reads
    with open(writer, "w") as pipe, file.open("r+") as there, monkeypatch.context() as patch:
        there.seek(0, os.SEEK_END)
        patch.setattr(sys, "stdout", pipe if output == "left pipe" else there)
        result = run("adapt", takes, *options, "--port", board.port)
        if output == "full disk":
            disk.__exit__(None, None, None)
            os.close(reader)
        patch.setattr(sys, "stdout", io.StringIO())
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("error: "), result.err
    assert state(board) == before
    if options:
        said = file.read_bytes().removeprefix(bytes(4000))
        assert not said or json.loads(said)["error"]["code"] == 1


def test_a_file_that_others_append_to_is_not_cut(tmp_path, monkeypatch):
    file = tmp_path / "log"
    file.write_text("theirs\n")

    def others(descriptor):
        with file.open("a") as log:
            log.write("more\n")
        return ask(descriptor)

    ask = os.fstatvfs
    monkeypatch.setattr("os.fstatvfs", others)
    with file.open("a") as log, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", log)
        console.check_output(2000)
        patch.setattr("os.fstatvfs", lambda descriptor: SimpleNamespace(f_bavail=0, f_frsize=4096))
        with pytest.raises(TraceKwsError, match="No space left"):
            console.check_output(2000)
    assert file.read_text() == "theirs\nmore\n"


@pytest.mark.parametrize("keep", [True, False])
def test_the_json_is_one_object_in_the_end(keep, run, board, takes, tmp_path):
    picture = tmp_path / "p.svg"
    options = ("--json", "--picture", picture, "--save" if keep else "--no-save")
    result = run("adapt", takes, *options, "--port", board.port)
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert (told["generation"], told["picture"]) == (1 if keep else None, str(picture))
    assert state(board)[1:] == (int(keep), not keep)


def to(path: str) -> Callable[[], int]:
    return lambda: os.open(path, os.O_WRONLY)


def nobody() -> int:
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (to("/dev/full"), "standard output: No space left on device"),
        (nobody, "nobody reads standard output"),
        (None, "standard output is closed"),
    ],
    ids=["full", "nobody", "closed"],
)
@pytest.mark.parametrize("command", ["save", "undo", "adapt", "info"])
def test_an_output_that_takes_nothing_is_refused_first(command, output, said, board, takes):
    with Device.open(board.port) as device:
        device.save()
    before = state(board)
    program = "from tracekws.cli import main; main()"
    words = [sys.executable, "-c", program, command, *([str(takes)] if command == "adapt" else [])]
    words += ["--port", board.port, "--json"]
    if output is None:
        words = ["sh", "-c", 'exec "$@" >&-', "sh", *words]
    descriptor = output() if output else os.open(os.devnull, os.O_WRONLY)
    done = subprocess.run(
        words,
        stdout=descriptor,
        stderr=subprocess.PIPE,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    os.close(descriptor)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert state(board) == before


OUTPUTS = {
    "adapt": ("adapt", "takes", "--picture", "OUT.png"),
    "demo": ("demo", "--picture", "OUT.png"),
    "evaluate": ("evaluate", "--data", "none", "--picture", "OUT.png"),
    "stream": ("bench", "stream", "--data", "none", "--picture", "OUT.png"),
    "compare": ("lab", "compare", "--task", "digits", "--picture", "OUT.png"),
    "report": ("lab", "report", "none.jsonl", "--picture", "OUT.png"),
    "memory": ("lab", "memory", "--picture", "OUT.png"),
}


@pytest.mark.parametrize("command", OUTPUTS)
@pytest.mark.parametrize("where", ["no folder", "a folder", "no permission", "a device"])
def test_pictures_are_checked_before_the_work(command, where, run, tmp_path):
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "full.png").symlink_to("/dev/full")
    out, said = {
        "no folder": (tmp_path / "none" / "p.png", "there is no such folder"),
        "a folder": (tmp_path / "taken.png", "this is a folder"),
        "no permission": (Path("/proc/p.png"), "cannot be written"),  # by nobody at all
        "a device": (tmp_path / "full.png", "a pipe or a device"),
    }[where]
    words = [str(out) if word == "OUT.png" else word for word in OUTPUTS[command]]
    result = run(*words)
    assert result.code == 2
    assert result.out == ""
    assert said in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.png", "taken.png"]


def test_recording_asks_for_nothing_when_its_folder_takes_nothing(run, board, monkeypatch):
    def ask(folder: Path) -> None:
        raise AssertionError("the user was asked to speak")

    for command in ("record", "adapt"):
        monkeypatch.setattr(f"tracekws.cli.{command}.prompt", ask)
    monkeypatch.setattr(microphone, "sounddevice", lambda: None)
    for words in (("record", "yes", "--out"), ("adapt", "--record")):
        result = run(*words, "/proc/takes", "--port", board.port)
        assert result.code == 1
        assert "error: /proc/takes: cannot be written" in result.err


def test_silent_takes_are_refused_before_the_device_is_touched(run, board, takes, monkeypatch):
    for name in ("yes/2", "no/1"):
        soundfile.write(takes / f"{name}.wav", np.zeros(16000, np.int16), 16000)
    before = state(board)
    monkeypatch.setattr(Device, "learn", None)
    monkeypatch.setattr(Device, "classify", None)
    result = run("adapt", takes, "--port", board.port)
    assert result.code == 1
    assert result.err.startswith(f"error: {takes}: nothing is heard in no/1.wav, yes/2.wav: ")
    assert result.err.count("\n") == 1
    assert state(board) == before
