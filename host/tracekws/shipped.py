# SPDX-License-Identifier: Apache-2.0
"""Where the files are that come with the package: models, the demonstration's speech, a program.

They lie in the package. In a checkout they are links to where they are made.
"""

import re
import shlex
import sys
from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path


def shipped(name: str) -> Path:
    """Find a file or folder of the package by its path inside; whether it is there is not asked."""
    return Path(str(files("tracekws") / name)).resolve()


def shipped_model(name: str) -> Path:
    """The file of one of SHIPPED; its card lies beside it."""
    return shipped(f"models/{name}.tkws")


SHIPPED = ("base", "small")
"""Names of the models that come with the package."""


def model_file(named: Path | str) -> Path:
    """The file of a model, which is named by it, or by one of SHIPPED."""
    return shipped_model(str(named)) if str(named) in SHIPPED else Path(named)


MODEL = shipped_model("base")
"""The model that is used unless another one is named; its card lies beside it."""
SPEECH = shipped("speech")
"""What the demonstration plays, laid out as scripts/make_speech.py makes it."""
BOARD_PROGRAM = shipped("tracekws-board")
"""The virtual board; in a checkout, `make board` makes it."""


MADE = ("train", "lab")
"""Extras that have a target of make."""


def find_checkout() -> Path | None:
    """The folder of the sources that the package is used from; None where it was installed."""
    folder = shipped("models").parent
    return folder if (folder / "firmware" / "firmware.mk").is_file() else None


def make_command(target: str) -> str:
    """What a user types where they are to make a target of the checkout that there is."""
    folder = find_checkout()
    here = folder is None or folder == Path.cwd()
    return f"make {target}" if here else f"make -C {shlex.quote(str(folder))} {target}"


def pip_command(*packages: str) -> str:
    """What a user types where they are to install packages beside this one."""
    pip = Path(sys.prefix) / "bin" / "pip"
    if not pip.exists():
        return shlex.join([sys.executable, "-m", "pip", "install", *packages])
    near = pip.relative_to(Path.cwd()) if pip.is_relative_to(Path.cwd()) else pip
    return shlex.join([str(near), "install", *packages])


def install_command(extra: str) -> str:
    """What a user types to install an extra of pyproject.toml."""
    folder = find_checkout()
    if folder is None:
        return pip_command(*packages_of(extra))
    if Path(sys.prefix) == folder / ".venv" and extra in MADE:
        return make_command(f"setup-{extra}")
    return pip_command("-e", f"{folder}[{extra}]")


def packages_of(extra: str) -> list[str]:
    """The packages that an extra adds, with their versions."""
    ending = re.compile(rf"""\s*;\s*extra == ['"]{extra}['"]$""")
    listed = requires("tracekws") or []
    return [ending.sub("", line) for line in listed if ending.search(line)]
