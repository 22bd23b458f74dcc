# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/fuzz: targets for a fuzzer, or as programs that take files; and corners.

build_targets(["frames"], folder, PLAIN)["frames"]      # a program that replays files
build_corners(folder, PLAIN)
"""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tracekws.errors import MissingTool

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware"
FUZZ = ROOT / "tests" / "fuzz"
CORPUS = FUZZ / "corpus"
"""Inputs of each target that cover what is covered."""
FAULTS = FUZZ / "faults"
"""Inputs of targets that have failed once, by what was wrong."""
TARGETS = ("line", "frames", "alone", "image", "flash", "run")
SHARED = ("maker", "machine", "host", "oracle", "play", "forge", "fx_check")
"""What the targets share."""
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wundef"]
INCLUDES = [f"-I{FIRMWARE / name}" for name in ("core/include", "app", "boards")]


@dataclass(frozen=True)
class Build:
    """A compiler and its flags: `covered` are for the core and the application, `link` to link."""

    compiler: str
    flags: list[str]
    covered: list[str] = field(default_factory=list)
    link: list[str] = field(default_factory=list)
    brings_main: bool = False
    """The fuzzer does; without one, replay.c does."""

    def command(self) -> list[str]:
        """The compiler with its flags. Raises MissingTool where it is not installed."""
        path = shutil.which(self.compiler)
        if path is None:
            raise MissingTool(f"{self.compiler} is not installed")
        return [path, "-std=c11", *self.flags, *WARNINGS, "-Werror", "-DTKWS_FX_CHECK", *INCLUDES]


SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
PLAIN = Build("cc", [*SANITIZE, "-fno-omit-frame-pointer"])
"""What any machine with a C compiler can build."""
CORNERS = Build("cc", ["-O2", *SANITIZE[1:]])


def _core() -> list[Path]:
    return sorted(FIRMWARE.glob("core/src/*.c"))


def firmware_sources() -> list[Path]:
    """The core and the application."""
    return [*_core(), *sorted(FIRMWARE.glob("app/*.c"))]


def _run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


def _compile(sources: list[Path], folder: Path, how: Build) -> list[Path]:
    """Object files, two compilers at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    command = how.command()

    def compiled(source: Path) -> Path:
        out = folder / f"{source.parent.name}_{source.stem}.o"
        extra = how.covered if FIRMWARE in source.parents else []
        _run(*command, *extra, "-c", source, "-o", out)
        return out

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compiled, sources))


def build_targets(targets: list[str], folder: Path, how: Build) -> dict[str, Path]:
    """Build targets; what they share is compiled once.

    Raises MissingTool without the compiler, RuntimeError with what it says when it fails.
    """
    names = SHARED if how.brings_main else (*SHARED, "replay")
    shared = [*firmware_sources(), *(FUZZ / f"{name}.c" for name in names)]
    own = [FUZZ / f"{target}.c" for target in targets]
    objects = _compile([*shared, *own], folder, how)
    programs = {}
    for target, part in zip(targets, objects[len(shared) :], strict=True):
        programs[target] = folder / target
        _run(*how.command(), *how.link, *objects[: len(shared)], part, "-o", programs[target])
    return programs


def build_corners(folder: Path, how: Build) -> Path:
    """Build tests/fuzz/corners.c with a checked core. Raises as build_targets()."""
    objects = _compile([*_core(), FUZZ / "maker.c", FUZZ / "corners.c"], folder, how)
    program = folder / "corners"
    _run(*how.command(), *how.link, *objects, "-o", program)
    return program
