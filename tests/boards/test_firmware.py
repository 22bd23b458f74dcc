# SPDX-License-Identifier: Apache-2.0
"""What a firmware file is, and how it is built."""

import os
import shutil
import struct
from pathlib import Path

import pytest

from firmware import build_firmware
from toolchain import ROOT, run
from tracekws._core import lib
from tracekws.boards.firmware import make_firmware, read_firmware
from tracekws.boards.parts import PLACES

pytestmark = pytest.mark.toolchain

BOARDS = sorted(path.parent.name for path in (ROOT / "firmware/boards").glob("*/board.mk"))


@pytest.fixture(scope="session", params=BOARDS)
def board(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def checkout(folder: Path) -> Path:
    """The sources of firmware at another place, with other times."""
    for name in ("core", "app", "boards"):
        shutil.copytree(
            ROOT / "firmware" / name, folder / "firmware" / name, copy_function=shutil.copy
        )
    for name in ("firmware/firmware.mk", "host/tracekws/boards/uf2.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_two_builds_are_identical(board: str, model: Path, tmp_path: Path) -> None:
    other_model = shutil.copy(model, tmp_path / "another_name.tkws")
    first = build_firmware(board, tmp_path / "one", checkout(tmp_path / "here"), MODEL=model)
    second = build_firmware(
        board,
        tmp_path / "deeper" / "two",
        checkout(tmp_path / "deeper" / "and" / "there"),
        MODEL=other_model,
    )
    files = sorted(path.name for path in first.parent.glob(f"{board}.*") if path.suffix != ".map")
    assert {f"{board}.bin", f"{board}.elf"} <= set(files)
    for name in files:
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes(), name


def test_a_firmware_says_what_it_is(board: str, model: Path, tmp_path: Path) -> None:
    data = build_firmware(board, tmp_path, MODEL=model).with_suffix(".bin").read_bytes()
    _, version, name, start, end = struct.unpack_from("<4sI16sII", data, data.index(b"TKFW"))
    numbers = (lib.TKWS_VERSION_MAJOR, lib.TKWS_VERSION_MINOR, lib.TKWS_VERSION_PATCH)
    assert version == numbers[0] << 16 | numbers[1] << 8 | numbers[2]
    assert name.rstrip(b"\0").decode() == board
    assert end - start == model.stat().st_size
    assert data.count(model.read_bytes()) == 1


def test_flash_puts_another_model_in_the_place_of_the_first(model: Path, tmp_path: Path) -> None:
    """The image is the last thing in the file, so that no two of them take up flash."""
    for name in PLACES:
        path = build_firmware(name, tmp_path, MODEL=model).with_suffix(".bin")
        base = ROOT / "models" / "base.tkws"
        made = read_firmware(path, name).with_model(base)
        grown = base.stat().st_size - model.stat().st_size
        assert len(made.data) == path.stat().st_size + grown
        if (blocks := path.with_suffix(".uf2")).exists():
            assert read_firmware(blocks, name).with_model(base).data == made.data


def test_another_setting_is_another_firmware(board: str, model: Path, tmp_path: Path) -> None:
    """Even a model that is older than what was built; and the setting before gives the same."""

    def binary(**settings: object) -> bytes:
        return build_firmware(board, tmp_path, **settings).with_suffix(".bin").read_bytes()

    binary(MODEL=ROOT / "models" / "base.tkws")
    data = binary(MODEL=model)
    assert model.read_bytes() in data
    alone = binary(MODEL=model, ALONE=1)
    assert b"heard " in alone
    assert b"heard " not in data
    assert binary(MODEL=model) == data


def refusal(settings: dict[str, object]) -> str:
    """The one line that says why nothing was built."""
    done = make_firmware(settings)
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    return line.partition("*** ")[2]


def test_what_is_missing_is_named(board: str) -> None:
    said = refusal({"BOARD": "toaster"})
    assert said.startswith(f"no board 'toaster'; BOARD is one of: {' '.join(BOARDS)}.")
    assert refusal({"BOARD": board, "MODEL": "nothing.tkws"}).startswith(
        "no model image nothing.tkws."
    )
    assert refusal({"BOARD": board, "CROSS": "missing-elf-"}).startswith(
        "missing-elf-gcc is not installed;"
        " get it with: apt-get install gcc-missing-elf picolibc-missing-elf."
    )


def test_a_compiler_without_its_library_is_named(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As gcc does: the name of a file that it does not have comes back as it is."""
    compiler = tmp_path / "some-elf-gcc"
    compiler.write_text('#!/bin/sh\necho "${1#-print-file-name=}"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert refusal({"BOARD": board, "CROSS": "some-elf-"}).startswith(
        "picolibc-some-elf is not installed; get it with: apt-get install picolibc-some-elf."
    )


def test_code_uses_no_float_and_no_heap(board: str, model: Path, tmp_path: Path) -> None:
    firmware = build_firmware(board, tmp_path, MODEL=model)
    names = {line.split()[-1] for line in run("nm", firmware).splitlines() if line}
    forbidden = ("malloc", "printf", "__aeabi_f", "__aeabi_d", "__addsf3", "__adddf3", "__mulsf3")
    assert not [name for name in names if name.startswith(forbidden)]
    assert "main" in names
