# SPDX-License-Identifier: Apache-2.0
"""`tracekws flash`: fake tools and a fake USB tree; what is written, checked, refused and kept."""

import json
import shlex
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from images import make_image
from tracekws.boards import flash as flashing
from tracekws.boards import uf2
from tracekws.boards.firmware import read_firmware
from tracekws.boards.parts import PLACES
from tracekws.core import Model

ROOT = Path(__file__).resolve().parents[2]
STARTS = {name: place.start for name, place in PLACES.items()}
LEARNED = 0x180000
"""Offset of something learned, behind any firmware."""


def make_firmware(board: str, image: bytes, tail: bytes = b"", padding: int = 0) -> bytes:
    """Vectors, identity, code, the model image, and perhaps something behind it."""
    code = np.random.default_rng(1).bytes(2000 + padding)
    start = STARTS[board] + 392 + 32 + len(code)
    identity = struct.pack(
        "<4sI16sII", b"TKFW", 0x010203, board.encode(), start, start + len(image)
    )
    return bytes(392) + identity + code + image + tail


@pytest.fixture
def image() -> bytes:
    return make_image(seed=3, n_neurons=16)


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    path = tmp_path / "other.tkws"
    path.write_bytes(make_image(seed=4, n_neurons=20))
    return path


@pytest.fixture
def firmware(tmp_path: Path, image: bytes) -> Path:
    path = tmp_path / "stm32f405.bin"
    path.write_bytes(make_firmware("stm32f405", image))
    return path


@pytest.fixture
def pico_firmware(tmp_path: Path, image: bytes) -> Path:
    path = tmp_path / "rp2040.bin"
    path.write_bytes(make_firmware("rp2040", image, tail=b"data" * 9))
    return path


class FakeTools:
    """A machine with tools, USB devices, drives, and a chip."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        for name in ("usb", "bin", "chip"):
            (folder / name).mkdir()
        self.chip = folder / "chip" / "flash.bin"
        self.chip.write_bytes(b"\xff" * LEARNED + b"learned")
        self.mounts = folder / "mounts"
        self.mounts.write_text("proc /proc proc rw 0 0\n")
        monkeypatch.setattr(flashing, "USB", folder / "usb")
        monkeypatch.setattr(flashing, "MOUNTS", self.mounts)
        monkeypatch.setattr(sys, "executable", str(folder / "no-python"))
        monkeypatch.setenv("PATH", str(folder / "bin"))
        monkeypatch.setenv("CHIP", str(folder / "chip"))
        self.python = shutil.which("python3", path="/usr/bin:/bin") or "python3"

    def install(self, *tools: str) -> None:
        source = (Path(__file__).parent / "fake_tool.py").read_text()
        for tool in tools:
            path = self.folder / "bin" / tool
            path.write_text(f"#!{self.python}\n{source}")
            path.chmod(0o755)

    def plug(self, vendor: str, product: str, serial: str, name: str = "") -> None:
        folder = self.folder / "usb" / f"1-{len(list((self.folder / 'usb').iterdir()))}"
        folder.mkdir()
        values = {"idVendor": vendor, "idProduct": product, "serial": serial, "product": name}
        for key, value in values.items():
            (folder / key).write_text(value + "\n")

    def mount(self, name: str, board: str) -> Path:
        drive = self.folder / name
        drive.mkdir()
        (drive / "INFO_UF2.TXT").write_text(f"UF2 Bootloader v3.0\nModel: X\nBoard-ID: {board}\n")
        with self.mounts.open("a") as file:
            file.write(f"/dev/sda1 {str(drive).replace(' ', chr(92) + '040')} vfat rw 0 0\n")
        return drive

    def fault(self, what: str) -> None:
        self.monkeypatch.setenv("FAULT", what)

    @property
    def log(self) -> list[str]:
        path = self.folder / "chip" / "log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    return FakeTools(tmp_path, monkeypatch)


ST_LINK = ("0483", "3748", "STL1")
BOOT_LOADER = ("0483", "df11", "DFU1")
PROBE = ("2e8a", "000c", "PICO1", "Debugprobe on Pico (CMSIS-DAP)")


# --- what is written ------------------------------------------------------------------------------


def test_by_st_link(run, bench, firmware):
    bench.install("openocd")
    bench.plug(*ST_LINK)
    result = run("flash", "stm32f405", "--firmware", firmware)
    assert result.code == 0, result.err
    written = bench.chip.read_bytes()
    assert written.startswith(firmware.read_bytes() + b"\xff")
    assert written.endswith(b"learned")
    assert len(bench.log) == 2
    assert "written and checked: firmware 1.2.3" in result.err
    assert "what was learned stays in its slots; it is used only with the model" in result.err
    assert f"{Model(make_image(seed=3, n_neurons=16)).crc:08x}" in result.err


def test_by_the_boot_loader(run, bench, firmware):
    bench.install("dfu-util")
    bench.plug(*BOOT_LOADER)
    result = run("flash", "stm32f405", "--firmware", firmware, "--json")
    assert result.code == 0, result.err
    assert bench.chip.read_bytes().startswith(firmware.read_bytes() + b"\xff")
    size = len(firmware.read_bytes())
    start = "dfu-util -d 0483:df11 -a 0 -s 0x08000000"
    assert bench.log[0] == f"{start} -D {firmware}"
    assert bench.log[1].startswith(f"{start}:{size} -U ")
    assert bench.log[2] == f"{start}:leave"
    about = json.loads(result.out)
    assert about["written"] is True
    assert about["bytes"] == size
    assert about["through"] == {"tool": "dfu-util", "probe": "DFU1"}


def test_by_a_debug_probe(run, bench, pico_firmware):
    bench.install("pyocd")
    bench.plug(*PROBE)
    result = run("flash", "rp2040", "--firmware", pico_firmware)
    assert result.code == 0, result.err
    assert bench.chip.read_bytes().startswith(pico_firmware.read_bytes() + b"\xff")
    assert [line.split()[1] for line in bench.log] == ["flash", "cmd", "reset"]
    assert all(" -W -t rp2040 " in f"{line} " for line in bench.log), "never waits for a probe"


@pytest.mark.parametrize("name", ["RPI-RP2", "a drive with blanks"])
def test_by_the_drive(run, bench, pico_firmware, monkeypatch, name):
    drive = bench.mount(name, "RPI-RP2")
    content = []

    def restart(seconds: float) -> None:
        content.append((drive / "tracekws.uf2").read_bytes())
        (drive / "INFO_UF2.TXT").unlink()

    monkeypatch.setattr(flashing.time, "sleep", restart)
    result = run("flash", "rp2040", "--firmware", pico_firmware)
    assert result.code == 0, result.err
    address, data = uf2.decode(content[0])
    assert address == 0x10000000
    firmware = pico_firmware.read_bytes()
    assert data.startswith(firmware)
    assert set(data[len(firmware) :]) <= {0}


def test_a_uf2_file_is_taken_as_well(run, bench, pico_firmware, tmp_path):
    path = tmp_path / "made.uf2"
    path.write_bytes(uf2.encode(pico_firmware.read_bytes()))
    bench.install("pyocd")
    bench.plug(*PROBE)
    assert run("flash", "rp2040", "--firmware", path).code == 0
    assert bench.chip.read_bytes().startswith(pico_firmware.read_bytes())


@pytest.mark.parametrize("tail", [b"", b"data" * 9])
def test_another_model_is_put_in(run, bench, tmp_path, image, other_model, tail):
    firmware = tmp_path / "stm32f405.bin"
    firmware.write_bytes(make_firmware("stm32f405", image, tail))
    bench.install("openocd")
    bench.plug(*ST_LINK)
    result = run("flash", "stm32f405", "--firmware", firmware, "--model", other_model)
    assert result.code == 0, result.err
    made = read_firmware(tmp_path / "stm32f405-other.bin", "stm32f405")
    assert made.model.image == other_model.read_bytes()
    assert bench.chip.read_bytes().startswith(made.data + b"\xff")
    before = firmware.read_bytes()
    assert made.data[:416] == before[:416], "all but the addresses"
    kept = len(before) if tail else len(before) - len(image)
    assert made.data[424:kept] == before[424:kept]
    assert len(made.data) - kept - len(made.model.image) in range(4)
    assert f"{made.model.crc:08x}" in result.err


def test_of_two_the_named_one(run, bench, firmware):
    bench.install("openocd", "dfu-util")
    bench.plug(*ST_LINK)
    bench.plug("0483", "374b", "STL2")
    bench.plug(*BOOT_LOADER)
    result = run("flash", "stm32f405", "--firmware", firmware)
    assert result.code == 3
    assert result.err.count("\n") == 1
    for name in ("STL1", "STL2", "DFU1", "--probe"):
        assert name in result.err
    assert bench.log == []
    assert run("flash", "stm32f405", "--firmware", firmware, "--probe", "STL2").code == 0
    assert all("-c adapter serial STL2 -f target" in line for line in bench.log)
    result = run("flash", "stm32f405", "--firmware", firmware, "--probe", "STL9")
    assert result.code == 3
    assert "no probe STL9; there is DFU1" in result.err


def test_two_drives_are_named(run, bench, pico_firmware):
    drives = [bench.mount(name, "RPI-RP2") for name in ("one", "two")]
    result = run("flash", "rp2040", "--firmware", pico_firmware)
    assert result.code == 3
    assert all(str(drive) in result.err for drive in drives)


# --- a dry run ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "device", "tool"),
    [
        ("stm32f405", ST_LINK, "openocd"),
        ("stm32f405", BOOT_LOADER, "dfu-util"),
        ("rp2040", PROBE, "pyocd"),
    ],
)
def test_a_dry_run_shows_what_a_real_one_does(
    run, bench, firmware, pico_firmware, board, device, tool
):
    file = firmware if board == "stm32f405" else pico_firmware
    bench.install(tool)
    bench.plug(*device)
    before = bench.chip.read_bytes()
    result = run("flash", board, "--firmware", file, "--dry-run", "--json")
    assert result.code == 0, result.err
    about = json.loads(result.out)
    assert about["written"] is False
    assert bench.log == []
    assert bench.chip.read_bytes() == before
    plain = run("flash", board, "--firmware", file, "--dry-run").out
    assert run("flash", board, "--firmware", file).code == 0
    shown = [shlex.split(step["command"]) for step in about["steps"]]
    shown = [" ".join(words) for words in shown if words[0] == tool]
    assert [line.split("/tracekws-")[0] for line in bench.log] == [
        line.replace("readback.bin", "/tmp/tracekws-x/readback.bin").split("/tracekws-")[0]
        for line in shown
    ]
    assert all(step["command"] in plain for step in about["steps"])


def test_a_dry_run_of_the_drive(run, bench, pico_firmware):
    drive = bench.mount("RPI-RP2", "RPI-RP2")
    result = run("flash", "rp2040", "--firmware", pico_firmware, "--dry-run")
    assert result.code == 0
    assert f"write {drive}/tracekws.uf2" in result.out
    assert not (drive / "tracekws.uf2").exists()


@pytest.mark.parametrize("board", ["stm32f405", "rp2040"])
def test_a_dry_run_needs_no_board_and_no_tool(
    run, bench, firmware, pico_firmware, other_model, board
):
    file = firmware if board == "stm32f405" else pico_firmware
    files = sorted(bench.folder.rglob("*"))
    result = run("flash", board, "--firmware", file, "--model", other_model, "--dry-run")
    assert result.code == 0
    assert "nothing is done; without --dry-run: no " in result.err
    assert "not written" in result.err
    assert sorted(bench.folder.rglob("*")) == files


# --- what is refused ------------------------------------------------------------------------------


def refused(run, code: int, *words: object) -> str:
    """The one line that a command says when it refuses."""
    result = run("flash", *words)
    assert result.code == code, result.err
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    return result.err


@pytest.mark.parametrize(("board", "hint"), [("stm32f405", "BOOT0"), ("rp2040", "BOOTSEL")])
def test_nothing_attached(run, bench, firmware, pico_firmware, board, hint):
    file = firmware if board == "stm32f405" else pico_firmware
    assert hint in refused(run, 3, board, "--firmware", file)


def test_the_drive_of_another_board(run, bench, pico_firmware):
    drive = bench.mount("RP2350", "RP2350")
    said = refused(run, 3, "rp2040", "--firmware", pico_firmware)
    assert f"{drive} is a drive of RP2350" in said


@pytest.mark.parametrize(
    ("board", "device", "advice"),
    [
        ("stm32f405", ST_LINK, "openocd is not installed; get it with: sudo apt install openocd"),
        ("stm32f405", BOOT_LOADER, "dfu-util is not installed; get it with: sudo apt install dfu"),
        ("rp2040", PROBE, "pyocd is not installed; get it with: "),
    ],
)
def test_a_missing_tool(run, bench, firmware, pico_firmware, board, device, advice):
    bench.plug(*device)
    file = firmware if board == "stm32f405" else pico_firmware
    said = refused(run, 1, board, "--firmware", file)
    assert advice in said
    assert said.rstrip().endswith(("openocd", "dfu-util", "pip install pyocd"))


def test_another_boards_firmware(run, bench, pico_firmware):
    said = refused(run, 1, "stm32f405", "--firmware", pico_firmware)
    assert "this firmware is for the board rp2040, not for stm32f405" in said


def test_a_board_that_is_not_flashed(run, bench):
    assert "no board virtual to flash; there are stm32f405, rp2040" in refused(run, 1, "virtual")


def test_no_firmware_yet(run, bench, tmp_path):
    said = refused(run, 1, "stm32f405", "--firmware", tmp_path / "none.bin")
    assert "make firmware BOARD=stm32f405" in said


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda data: b"\x7fELF" + data, "give the raw binary beside it, stm32f405.bin"),
        (lambda data: b"", "this is no TraceKWS firmware"),
        (lambda data: bytes(2000) + data, "this is no TraceKWS firmware"),
        (lambda data: data[:410], "this is no TraceKWS firmware"),
        (lambda data: data[:-1], "this firmware is cut short"),
        (
            lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
            "the model in it: crc: the image is damaged",
        ),
        (lambda data: data + bytes(256 << 10), "but a stm32f405 has room for 262144"),
    ],
)
def test_a_bad_file(run, bench, firmware, spoil, complaint):
    bench.install("openocd")
    bench.plug(*ST_LINK)
    firmware.write_bytes(spoil(firmware.read_bytes()))
    assert complaint in refused(run, 1, "stm32f405", "--firmware", firmware)
    assert bench.log == []


def test_a_model_for_which_there_is_no_room(run, bench, tmp_path, image, other_model):
    firmware = tmp_path / "stm32f405.bin"
    firmware.write_bytes(make_firmware("stm32f405", image, padding=250_000))
    assert len(firmware.read_bytes()) <= 256 << 10
    other_model.write_bytes(make_image(seed=4, n_neurons=64))
    said = refused(run, 1, "stm32f405", "--firmware", firmware, "--model", other_model)
    assert "has room for 262144" in said


def test_a_bad_model(run, bench, firmware, tmp_path):
    bad = tmp_path / "bad.tkws"
    bad.write_bytes(b"no model")
    said = refused(run, 1, "stm32f405", "--firmware", firmware, "--model", bad)
    assert "bad.tkws: magic" in said or "bad.tkws: image_bytes" in said


@pytest.mark.parametrize(
    ("device", "tool", "fault", "complaint"),
    [
        (ST_LINK, "openocd", "chip", "the chip is no STM32F405 (its device id is 0x10006411)"),
        (ST_LINK, "openocd", "error", "openocd failed: Error: the cable is loose"),
        (ST_LINK, "openocd", "access", "openocd failed: no permission for the USB device"),
        (ST_LINK, "openocd", "unverified", "openocd did not verify what it wrote"),
        (BOOT_LOADER, "dfu-util", "error", "dfu-util failed: Error: the cable is loose"),
        (BOOT_LOADER, "dfu-util", "flip", "what was read back differs from what was written"),
        (PROBE, "pyocd", "error", "pyocd failed: Error: the cable is loose"),
        (PROBE, "pyocd", "flip", "what was read back differs from what was written"),
    ],
)
def test_what_goes_wrong_is_told(
    run, bench, firmware, pico_firmware, device, tool, fault, complaint
):
    board, file = ("rp2040", pico_firmware) if tool == "pyocd" else ("stm32f405", firmware)
    bench.install(tool)
    bench.plug(*device)
    bench.fault(fault)
    before = bench.chip.read_bytes()
    assert complaint in refused(run, 1, board, "--firmware", file)
    if fault in ("chip", "error"):
        assert bench.chip.read_bytes() == before
    assert not any("leave" in line or " reset" in line[5:12] for line in bench.log)


def test_a_drive_that_does_not_go(run, bench, pico_firmware, monkeypatch):
    bench.mount("RPI-RP2", "RPI-RP2")
    monkeypatch.setattr(flashing.time, "sleep", lambda seconds: None)
    said = refused(run, 1, "rp2040", "--firmware", pico_firmware)
    assert "is still there: the boot loader has not taken the firmware" in said


def test_a_tool_that_hangs(run, bench, firmware, monkeypatch):
    bench.plug(*ST_LINK)
    path = bench.folder / "bin" / "openocd"
    path.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    path.chmod(0o755)
    monkeypatch.setattr(flashing, "TOOL_SECONDS", 0.1)
    said = refused(run, 1, "stm32f405", "--firmware", firmware)
    assert "openocd did not end" in said


def test_the_doctor_names_the_tools(run, bench):
    bench.install("openocd")
    found = {check["name"]: check for check in json.loads(run("doctor", "--json").out)["checks"]}
    assert found["openocd"]["found"] == str(bench.folder / "bin" / "openocd")
    assert not found["dfu-util"]["ok"]
    assert found["dfu-util"]["advice"] == "sudo apt install dfu-util"
    assert not found["pyocd"]["required"]


# --- what the linker scripts say ------------------------------------------------------------------


@pytest.mark.parametrize("board", sorted(PLACES))
def test_places_are_those_of_the_linker_scripts(board):
    script = (ROOT / "firmware" / "boards" / board / "link.ld").read_text().lower()
    words = next(line for line in script.splitlines() if line.strip().startswith("flash (rx)"))
    place = PLACES[board]
    assert f"origin = {place.start:#010x}, length = {place.n_bytes >> 10}k" in words
