# SPDX-License-Identifier: Apache-2.0
"""The virtual board's process: start, refusal, end; and finding a device."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from host_cli import HANG_SECONDS
from images import make_image, set_field
from reference_device import Start
from tracekws.boards import virtual as board_module
from tracekws.boards.virtual import board_program, start_board, virtual_board
from tracekws.device import discover, protocol
from tracekws.device.driver import Driver
from tracekws.errors import ModelError, NoDeviceError, TraceKwsError, VersionError


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda image: image[:-1], "image_bytes: the image is cut short"),
        (lambda image: image[:50] + bytes([image[50] ^ 4]) + image[51:], "damaged"),
        (lambda image: b"RIFF" + image[4:], "not a TraceKWS model image"),
        (lambda image: set_field(image, "n_layers", 2), "exactly one recurrent LIF layer"),
        (lambda image: b"", "the file is empty"),
    ],
)
def test_bad_images_are_refused(image, flash: Path, tmp_path: Path, spoil, text: str) -> None:
    path = tmp_path / "bad.tkws"
    path.write_bytes(spoil(image))
    with pytest.raises(TraceKwsError, match=text) as refused:
        start_board(path, flash)
    assert isinstance(refused.value, ModelError) == bool(path.stat().st_size)
    assert str(path) in str(refused.value)
    done = subprocess.run(
        [board_program(), path, "--flash", flash, "--pty"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""


@pytest.mark.parametrize("ram", [0, 1000, 8192])
def test_model_larger_than_the_ram(model: Path, flash: Path, ram: int) -> None:
    with pytest.raises(ModelError, match="needs more memory than the device has"):
        start_board(model, flash, ram=ram)


def test_least_ram(tmp_path: Path, flash: Path) -> None:
    """The ram that just fits runs the model whole, without writing behind it (sanitizers watch)."""
    path = tmp_path / "m.tkws"
    path.write_bytes(make_image(seed=3, n_neurons=31, n_classes=3))
    low, high = 0, 1 << 18
    while high - low > 1:
        middle = (low + high) // 2
        try:
            start_board(path, flash, ram=middle).stop()
            high = middle
        except ModelError:
            low = middle
    with virtual_board(path, flash, ram=high) as board, Driver.open(board.port) as device:
        assert device.info().ram_bytes == high
        assert len(device.weights()) == device.info().trainable_bytes


def test_no_such_model(tmp_path: Path, flash: Path) -> None:
    with pytest.raises(TraceKwsError, match="No such file"):
        start_board(tmp_path / "nothing.tkws", flash)


def test_another_file_is_not_a_flash(model: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_text("dear diary")
    with pytest.raises(TraceKwsError, match="not a virtual board's flash"):
        start_board(model, letter)
    assert letter.read_text() == "dear diary"


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_file_is_not_a_flash(model: Path, tmp_path: Path, kind: str) -> None:
    """A new flash takes the place of an empty file: of nothing else that has no bytes."""
    other, named = tmp_path / "other", tmp_path / "other"
    os.mkfifo(other)
    if kind == "link":
        named = tmp_path / "link"
        named.symlink_to(other)
    with pytest.raises(TraceKwsError, match="not a file"):
        start_board(model, named)
    assert other.is_fifo()
    assert named.is_symlink() == (kind == "link")


def test_a_complaint_about_a_name_that_is_no_text(model: Path, tmp_path: Path) -> None:
    with pytest.raises(TraceKwsError, match="No such file"):
        start_board(model, tmp_path / os.fsdecode(b"\xff\xfe") / "flash")


def test_a_flash_has_one_board(start: Start, model: Path, flash: Path) -> None:
    first = start()
    with pytest.raises(TraceKwsError, match="in use by another board"):
        start_board(model, flash)
    first.kill()
    start().stop()
    assert sorted(path.name for path in flash.parent.iterdir()) == [flash.name]


def test_a_flash_that_was_never_filled_is_a_new_one(start: Start, flash: Path) -> None:
    """What a board leaves that ends between making its file and filling it."""
    flash.touch()
    flash.with_name(flash.name + ".new").write_bytes(b"half")
    with Driver.open(start().port) as device:
        assert device.info().slots == ("empty", "empty")
    assert set(flash.read_bytes()) == {0xFF}


def test_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(board_module.VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(TraceKwsError, match="make board"):
        board_program()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["m"],
        ["m", "--flash", "f"],
        ["m", "--flash", "f", "--pty", "--tcp", "0"],
        ["m", "--flash", "f", "--tcp", "65536"],
        ["m", "--flash", "f", "--tcp", "-1"],
        ["m", "--flash", "f", "--pty", "--ram"],
        ["m", "--flash", "f", "--pty", "--ram", "12x"],
        ["m", "n", "--flash", "f", "--pty"],
    ],
)
def test_usage(arguments: list[str]) -> None:
    done = subprocess.run([board_program(), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("tcp", [None, 0])
def test_signals_end_it(
    start: Start, number: signal.Signals, connected: bool, tcp: int | None
) -> None:
    board = start(tcp)
    device = Driver.open(board.port) if connected else None
    board.process.send_signal(number)
    assert board.process.wait(HANG_SECONDS) == 0
    if device is not None:
        with pytest.raises(NoDeviceError):
            device.info()
        device.close()


def test_it_ends_with_its_parent(start: Start) -> None:
    board = start()
    assert board.process.stdin is not None
    board.process.stdin.close()
    assert board.process.wait(HANG_SECONDS) == 0


@pytest.mark.parametrize("tcp", [None, 0])
def test_hosts_come_and_go(start: Start, tcp: int | None) -> None:
    board = start(tcp)
    for _ in range(3):
        with Driver.open(board.port) as device:
            assert device.info().board == "virtual"


def test_a_pty_in_use_is_refused(start: Start) -> None:
    board = start()
    with Driver.open(board.port), pytest.raises(NoDeviceError, match="another program"):
        Driver.open(board.port)


def test_find_the_one_device(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    port = start().port
    monkeypatch.setattr(discover, "candidates", lambda: ["/dev/no-such-port", port])
    assert discover.find_port(HANG_SECONDS) == port


def test_find_a_device_of_another_version(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found, so that opening it tells what is wrong."""
    port = start().port
    monkeypatch.setattr(discover, "candidates", lambda: [port])
    monkeypatch.setattr(protocol, "PROTOCOL_VERSION", 1)
    assert discover.find_port(HANG_SECONDS) == port
    with pytest.raises(VersionError, match="update"):
        Driver.open(port)


def test_no_device_and_too_many(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(discover, "candidates", list)
    with pytest.raises(NoDeviceError, match="no serial port, and no board runs: plug one in"):
        discover.find_port()
    monkeypatch.setattr(discover, "candidates", lambda: ["/dev/no-such-port"])
    with pytest.raises(NoDeviceError, match="answers on /dev/no-such-port"):
        discover.find_port()
    two = [start().port, start(flash=tmp_path / "another").port]
    monkeypatch.setattr(discover, "candidates", lambda: two)
    with pytest.raises(NoDeviceError, match="several devices"):
        discover.find_port(HANG_SECONDS)
