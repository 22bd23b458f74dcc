# SPDX-License-Identifier: Apache-2.0
"""Who imports whom: the rooms of host/tracekws: arrows between the rooms run down only."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracekws.boards.parts import BOARDS

HOST = Path(__file__).resolve().parents[2] / "host"
MODULES = {
    ".".join(path.relative_to(HOST).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((HOST / "tracekws").rglob("*.py"))
}
DOOR, COMMAND = "tracekws", "tracekws.__main__"
"""Its __init__ names what is promised, of whatever room."""
ROOMS = ("device", "boards", "bench", "train", "lab", "cli")
ONLY = {
    "typer": {"cli"},
    "rich": {"cli"},
    "torch": {"train", "lab"},
    "serial": {"device"},
    "rp2040py": {"boards"},
}
"""Packages of others, and the rooms that import them."""


def room_of(name: str) -> str:
    """The room of a module; the ground floor has none."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def imports(tree: ast.AST, types: bool = True) -> Iterator[str]:
    """Names that a module imports, in functions too; with or without those for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in inside)
        yield from imports(node, types)


def imported(name: str, types: bool = True) -> set[str]:
    """What one of our modules imports."""
    return set(imports(ast.parse(MODULES[name].read_text()), types))


def reached(start: str) -> set[str]:
    """Our modules that come with one of them when it runs."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in found:
            found.add(name)
            waiting += imported(name, types=False)
    return found


def arrows() -> dict[str, set[str]]:
    """Rooms that each room imports; the ground floor is a room of no name."""
    found: dict[str, set[str]] = {room: set() for room in ("", *ROOMS)}
    for name in MODULES:
        if name not in (DOOR, COMMAND):
            ours = {other for other in imported(name) if other in MODULES and other != DOOR}
            found[room_of(name)] |= {room_of(other) for other in ours} - {room_of(name)}
    return found


def test_every_folder_is_a_room_that_is_known():
    folders = {path.parent.name for path in (HOST / "tracekws").glob("*/__init__.py")}
    assert folders == set(ROOMS)


def test_every_folder_is_installed():
    project = tomllib.loads((HOST.parent / "pyproject.toml").read_text())
    packages = {name for name in MODULES if MODULES[name].name == "__init__.py"}
    assert set(project["tool"]["setuptools"]["packages"]) == packages | {"tracekws.train.configs"}


def test_every_board_of_firmware_is_a_row():
    folders = {path.parent.name for path in (HOST.parent / "firmware").glob("boards/*/board.mk")}
    assert folders - {"skeleton"} == set(BOARDS)


def test_names_are_found_in_every_form():
    text = """
import torch.nn
from tracekws import audio, __version__
from tracekws.bench import cost
def late():
    from tracekws.cli import main
if TYPE_CHECKING:
    from tracekws.device.driver import Driver
"""
    found = {"torch.nn", "tracekws.audio", "tracekws", "tracekws.bench.cost", "tracekws.cli"}
    assert set(imports(ast.parse(text), types=False)) == found
    assert set(imports(ast.parse(text))) == found | {"tracekws.device.driver"}


def test_no_two_rooms_import_each_other():
    left = arrows()
    while left:
        lowest = [room for room, others in left.items() if not others & left.keys()]
        assert lowest, f"in a circle: {left}"
        left = {room: others for room, others in left.items() if room not in lowest}


def test_nothing_imports_the_command_line():
    assert [room for room, others in arrows().items() if "cli" in others] == []


def test_the_ground_floor_stands_on_nothing():
    assert arrows()[""] == set()


@pytest.mark.parametrize("room", ["train", "lab"])
def test_training_does_not_come_with_the_device(room):
    for name in MODULES:
        if room_of(name) == room and name != COMMAND:
            assert not {other for other in reached(name) if room_of(other) == "device"}, name


@pytest.mark.parametrize("room", ["device", "boards"])
def test_the_device_does_not_come_with_training(room):
    for name in MODULES:
        if room_of(name) == room:
            assert not {o for o in reached(name) if room_of(o) in ("train", "lab")}, name


@pytest.mark.parametrize("package", ONLY)
def test_a_package_of_others_is_imported_in_its_room_alone(package):
    rooms = {
        room_of(name)
        for name in MODULES
        if package in {other.split(".")[0] for other in imported(name)}
    }
    assert rooms == ONLY[package]
