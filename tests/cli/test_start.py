# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while the command starts: no traceback, whatever is being imported."""

import signal
import subprocess
import sys
import tomllib

import pytest

from host_cli import HANG_SECONDS
from toolchain import ROOT

PRESSES = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            sys.argv.pop(1)
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Finder())
"""
MODULES = (
    *(
        "importlib.metadata",
        "tracekws.cli",
        "tracekws.cli.console",
        "typer",
        "rich.console",
        "numpy",
        "numpy.random",
    ),
    *("tracekws._core", "serial", "soundfile", "tracekws.cli.lab", "tracekws.bench.adapting"),
)
"""Some of what is imported before the command is known."""


def entry() -> str:
    """What the script that pip makes runs, without the name of the command."""
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["tracekws"]
    module, _, function = name.partition(":")
    return f"from {module} import {function}; sys.exit({function}())"


def press(module: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Start the command; Ctrl-C comes when it imports a module."""
    program = f"{PRESSES}{before}\n{entry()}"
    return subprocess.run(
        [sys.executable, "-c", program, module, "--version"],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_in_an_import_ends_it_without_a_word(module: str) -> None:
    done = press(module)
    assert done.returncode in (130, -signal.SIGINT)
    assert (done.stdout, done.stderr) == ("", "")


def test_one_that_a_script_has_in_the_background_goes_on() -> None:
    """A shell starts it with Ctrl-C ignored."""
    done = press("numpy", "signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert done.returncode == 0
    assert done.stdout.startswith("tracekws ")


def test_as_a_module_it_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracekws", "--version"],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
