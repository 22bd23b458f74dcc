# SPDX-License-Identifier: Apache-2.0
"""A microcontroller in QEMU, over its serial line, does bit for bit what the host's C does."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import reference_device as reference
import strangers
from firmware import build_firmware, need_emulator
from host_cli import HANG_SECONDS, tracekws, tracekws_json
from images import make_image
from recordings import changing_noise, write_take
from toolchain import ROOT
from tracekws.boards.emulator import board_of, emulated_board, open_flash
from tracekws.boards.parts import MACHINES
from tracekws.boards.running import running_board
from tracekws.boards.virtual import VirtualBoard, board_program, virtual_board
from tracekws.core import Model
from tracekws.device.device import Device
from tracekws.errors import DeviceError, NoDeviceError, StorageError, TraceKwsError

pytestmark = pytest.mark.toolchain

WORDS = ("yes", "no", "up", "_unknown_")


@pytest.fixture(scope="session")
def pcm() -> np.ndarray:
    """Three seconds of noise whose level changes, as speech's does."""
    return changing_noise(30, 1600)


@pytest.fixture
def virtual(model: Path, tmp_path: Path) -> VirtualBoard:
    try:
        board_program()
    except TraceKwsError as error:
        pytest.skip(str(error))
    with virtual_board(model, tmp_path / "virtual.flash") as board:
        yield board


def test_info(start: Callable[[], VirtualBoard], name: str, image: bytes) -> None:
    model = Model(image)
    with Device.open(start().port) as device:
        info = device.info()
    assert (info.board, info.model_name, info.model_crc) == (name, model.name, model.crc)
    assert (info.generation, info.slots, info.erases) == (0, ("empty", "empty"), 0)
    assert (info.trainable_bytes, info.ram_bytes) == (model.trainable_bytes, 192 * 1024)
    assert info.max_pcm_credit >= 2
    assert info.image_bytes > 192 * 1024
    assert info.reset_reason == "power-on"
    assert info.watchdog_ms == (60_000 if name == "mps2-an386" else 0)
    assert info.brown_out_mv == 0


def test_the_base_model_fits(name: str, tmp_path: Path) -> None:
    model = ROOT / "models" / "base.tkws"
    firmware = build_firmware(name, tmp_path, MODEL=model)
    with (
        emulated_board(firmware, tmp_path / "flash") as board,
        Device.open(board.port) as device,
    ):
        assert device.info().model_crc == Model.load(model).crc
        assert device.save() == 1


def test_listen_equals_the_host_and_the_virtual_board(
    start: Callable[[], VirtualBoard],
    virtual: VirtualBoard,
    image: bytes,
    pcm: np.ndarray,
    tmp_path: Path,
) -> None:
    wav = tmp_path / "words.wav"
    soundfile.write(wav, pcm, 16000)
    heard = [
        tracekws("listen", str(wav), "--port", port, "--json").stdout
        for port in (start().port, virtual.port)
    ]
    assert heard[0] == heard[1]
    expected = reference.events(image, np.concatenate([pcm, np.zeros(16000, np.int16)]))
    assert len(expected) > 5
    got = [json.loads(line) for line in heard[0].splitlines()]
    assert [(e["word"], e["score"], e["start"], e["end"]) for e in got] == [
        (e.word, e.score, e.start, e.end) for e in expected
    ]


def test_scores_equal_the_host(
    start: Callable[[], VirtualBoard], image: bytes, pcm: np.ndarray
) -> None:
    with Device.open(start().port) as device:
        for n in (560, 16000, 16001):
            assert (device.classify(pcm[:n])[1] == reference.scores(image, pcm[:n])).all()


def teach(device: Device, pupil: reference.Pupil, pcm: np.ndarray, seed: int) -> None:
    """Takes as PCM and as features, with the model's method and others, for both."""
    with device.learn(seed) as session:
        for i, label in enumerate(WORDS):
            take = pcm[i * 4000 : i * 4000 + 9001]
            heard = pupil.features(take)
            scale = 32767 - 5000 * i
            method = None if i % 2 else 3
            session.take_pcm(label, take, scale, method)
            pupil.take(label, heard, scale, method)
            session.take_features(label, heard, scale // 2)
            pupil.take(label, heard, scale // 2)


def test_learn_save_lose_power_undo_forget(
    start: Callable[[], VirtualBoard], image: bytes, pcm: np.ndarray
) -> None:
    board = start()
    pupil = reference.Pupil(image, 77)
    factory = pupil.weights
    with Device.open(board.port) as device:
        teach(device, pupil, pcm, 77)
        first = pupil.weights
        assert first != factory
        assert device.weights() == first
        assert device.save() == 1
    board.kill()

    board = start()
    with Device.open(board.port) as device:
        assert (device.info().generation, device.info().changed) == (1, False)
        assert device.weights() == first
        pupil.learner.__init__(pupil.model, 5)
        pupil.learner.weights = first
        teach(device, pupil, pcm[::-1].copy(), 5)
        second = pupil.weights
        assert second != first
        assert device.weights() == second
    board.kill()  # before it was saved

    board = start()
    with Device.open(board.port) as device:
        assert device.weights() == first
        with device.learn(5) as session:
            session.take_pcm("yes", pcm[:9000], 32767)
        second = device.weights()
        assert device.save() == 2
        assert device.info().slots == ("valid", "valid")
        assert device.undo() == 1
        assert device.weights() == first
    board.kill()

    board = start()
    with Device.open(board.port) as device:
        assert device.info().generation == 1
        assert device.weights() == first
        device.forget()
        assert device.weights() == factory
        assert device.info().slots == ("empty", "empty")
        with pytest.raises(StorageError):
            device.undo()
    board.kill()

    with Device.open(start().port) as device:
        assert device.info().generation == 0
        assert device.weights() == factory


def test_load_another_model(
    start: Callable[[], VirtualBoard], image: bytes, pcm: np.ndarray, tmp_path: Path
) -> None:
    other = make_image(seed=3, n_neurons=20, n_classes=7, window_steps=2)
    path = tmp_path / "other.tkws"
    path.write_bytes(other)
    board = start()
    with Device.open(board.port) as device:
        with device.learn(1) as session:
            session.take_pcm("yes", pcm[:9000], 32767)
        device.save()
        saved = device.weights()
        with pytest.raises(DeviceError, match="cut short"):
            device.load(image[:-1])
        assert device.weights() == saved
    about = tracekws_json("load", "--yes", str(path), "--port", board.port)
    assert (about["model_crc"], about["generation"]) == (Model(other).crc, 0)
    board.kill()

    board = start()
    with Device.open(board.port) as device:
        assert device.info().model_crc == Model(other).crc
        assert device.weights() == reference.Pupil(other, 1).weights
        assert (device.classify(pcm[:9000])[1] == reference.scores(other, pcm[:9000])).all()
        device.load(image)
        assert device.info().slots == ("empty", "empty")
        assert device.weights() == reference.Pupil(image, 1).weights


def test_an_aborted_session_changes_nothing(
    start: Callable[[], VirtualBoard], pcm: np.ndarray
) -> None:
    with Device.open(start().port) as device:
        before = device.weights()

        def fail() -> None:
            with device.learn(1) as session:
                session.take_pcm("yes", pcm[:16000], 32767)
                assert device.weights() != before
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert device.weights() == before


def test_adapt_equals_the_virtual_board(
    start: Callable[[], VirtualBoard], virtual: VirtualBoard, model: Path, tmp_path: Path
) -> None:
    for seed, take in enumerate(("yes/1", "yes/2", "no/1", "no/2", "_other/1")):
        write_take(tmp_path / "takes" / f"{take}.wav", seed)
    ports = (start().port, virtual.port)
    results, weights = [], []
    for port in ports:
        results.append(
            tracekws_json("adapt", str(tmp_path / "takes"), "--port", port, "--model", str(model))
        )
        with Device.open(port) as device:
            weights.append(device.weights())
    assert results[0] == results[1]
    assert weights[0] == weights[1]
    back = {"generation": 0, "model": "random", "loaded": False}
    assert tracekws_json("undo", "--port", ports[0]) == back
    assert tracekws_json("save", "--port", ports[0]) == {"generation": 0, "saved": False}
    assert tracekws_json("forget", "--yes", "--port", ports[0]) == back


def qemu_of(flash: Path) -> list[int]:
    """Numbers of the running processes that have the flash in their command line, Python aside."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(flash).encode() in words and b"qemu" in words.split(b"\0")[0]:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(firmware: Path, flash: Path, number: signal.Signals) -> None:
    words = ["board", str(firmware), "--flash", str(flash), "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", "from tracekws.cli import main; main()", *words],
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        told = json.loads(host.stdout.readline())
        (qemu,) = qemu_of(flash)
        assert told["pid"] == qemu
        assert tracekws_json("info", "--port", told["name"])["generation"] == 0
        ended = os.pidfd_open(qemu)
        host.send_signal(number)
    done, _, _ = select.select([ended], [], [], HANG_SECONDS)
    assert done == [ended]
    os.close(ended)


def test_an_idle_board_sleeps(start: Callable[[], VirtualBoard]) -> None:
    """Requests that it waits for cost processor time; a second of waiting costs next to none."""
    board = start()

    def ticks() -> int:
        fields = Path(f"/proc/{board.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    with Device.open(board.port) as device:
        before = ticks()
        for _ in range(4):
            assert device._link.receive(0) is None  # each waits a twentieth of a second
        assert ticks() - before < 4 * 5  # of 20 ticks when it is busy


def test_a_file_that_is_no_flash(firmware: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_text("dear diary")
    with (
        pytest.raises(TraceKwsError, match="this is not the flash of"),
        emulated_board(firmware, letter),
    ):
        pass
    assert letter.read_text() == "dear diary"


def test_bad_firmware(tmp_path: Path) -> None:
    path = tmp_path / "bad.elf"
    with pytest.raises(TraceKwsError, match="No such file"):
        board_of(path)
    path.write_bytes(b"\x7fELF and no more")
    with pytest.raises(TraceKwsError, match="not a TraceKWS firmware"):
        board_of(path)
    path.write_bytes(b"TKFW" + bytes(4) + b"toaster".ljust(16, b"\0"))
    with pytest.raises(TraceKwsError, match="'toaster'; emulated are mps2-an386"):
        board_of(path)
    done = tracekws("board", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "toaster" in done.stderr


def test_a_flash_in_use(start: Callable[[], VirtualBoard]) -> None:
    start()
    with pytest.raises(TraceKwsError, match="another board that runs has this flash"):
        start()


def test_qemu_that_does_not_start(
    start: Callable[[], VirtualBoard], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(MACHINES[name], arguments=("-M", "nothing"))
    monkeypatch.setitem(MACHINES, name, broken)
    with pytest.raises(
        TraceKwsError, match=f"{name}: QEMU ended: .*nothing|{name}: QEMU ended: Use"
    ):
        start()


def test_a_board_is_on_a_pty_unless_told_otherwise(start: Callable[[], VirtualBoard]) -> None:
    assert start().port.startswith("/dev/")


def test_a_silent_host_is_let_go_on_a_pty(
    firmware: Path, flash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another one waits; the board has another pty then, and is found by its name."""
    monkeypatch.setattr("tracekws.boards.line.LET_GO_SECONDS", 0)
    with running_board(str(firmware), flash, None, None, None) as (board, told):
        holder = Device.open(told.name)
        assert holder.save() == 1
        with Device.open(told.name, HANG_SECONDS) as other:
            assert other.info().generation == 1
            assert board.port != told.port
            with pytest.raises(NoDeviceError, match="silent"):
                holder.info()
            assert other.undo() == 0
        holder.close()


def test_on_tcp(firmware: Path, flash: Path, tmp_path: Path) -> None:
    """A stranger does nothing, a host everything; the port is the board's alone."""
    with emulated_board(firmware, flash, 0) as board:
        with Device.open(board.port) as device:
            assert device.save() == 1
        for first in strangers.FIRST.values():
            with strangers.connect(board.port) as client:
                strangers.send(client, first)
                assert strangers.until_closed(client) == b""
        with Device.open(board.port) as device:
            assert (device.info().generation, device.info().erases) == (1, 1)
            assert len(device.weights()) == device.info().trainable_bytes
        port = int(board.port.rpartition(":")[2])
        with (
            pytest.raises(TraceKwsError, match=f"port {port}: .*in use"),
            emulated_board(firmware, tmp_path / "other", port),
        ):
            pass


def said(board: str, folder: Path, main: str, n_lines: int, **settings: object) -> list[str]:
    """The first lines that another program prints on a board."""
    firmware = build_firmware(board, folder, MAIN=f"tests/boards/{main}", **settings)
    command = MACHINES[board].command(firmware, folder / "flash")
    with open_flash(board, folder / "flash"):
        pass
    with subprocess.Popen(
        [*command, "-serial", "stdio"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as qemu:
        assert qemu.stdout is not None
        lines = [qemu.stdout.readline().strip() for _ in range(n_lines)]
        qemu.kill()
    return lines


def test_flash_keeps_the_rules_of_nor(name: str, tmp_path: Path) -> None:
    lines = said(name, tmp_path, "flash_rules.c", 12)
    assert lines[-1] == "end"
    assert [line for line in lines[:-1] if not line.startswith("ok: ")] == []


def test_the_watchdog_resets_a_board_that_hangs(tmp_path: Path) -> None:
    need_emulator("mps2-an386")
    reasons = said("mps2-an386", tmp_path, "hang.c", 3, BOARD_FLAGS="-DWATCHDOG_MS=200u")
    assert reasons == ["power on", "watchdog", "watchdog"]
