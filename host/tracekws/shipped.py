# SPDX-License-Identifier: Apache-2.0
"""Where the files are that come with the package: models, the demonstration's speech, a program.

They lie in the package. In a checkout they are links to where they are made.
"""

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
MODEL = shipped_model("base")
"""The model that is used unless another one is named; its card lies beside it."""
SPEECH = shipped("speech")
"""What the demonstration plays, laid out as scripts/make_speech.py makes it."""
BOARD_PROGRAM = shipped("tracekws-board")
"""The virtual board; in a checkout, `make board` makes it."""


def find_checkout() -> Path | None:
    """The folder of the sources that the package is used from; None where it was installed."""
    folder = shipped("models").parent
    return folder if (folder / "firmware" / "firmware.mk").is_file() else None


def install_command(extra: str) -> str:
    """What a user types to install an extra of pyproject.toml: train or lab."""
    return f"make setup-{extra}" if find_checkout() else f"pip install 'tracekws[{extra}]'"
