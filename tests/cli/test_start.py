# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while the command starts: no traceback, whatever is being imported."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

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


def run(*words: str, before: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run what that script does, after some lines of a program; options are subprocess.run's."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{before}\n{entry()}", *words],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        **options,
    )


def press(module: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Start the command; Ctrl-C comes when it imports a module."""
    return run(module, "--version", before=PRESSES + before)


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


@pytest.mark.parametrize("size", ["0", "abc", "\u00b2", "-3", ""])
@pytest.mark.parametrize("name", ["COLUMNS", "LINES", "TERMINAL_WIDTH"])
def test_sizes_of_a_terminal_that_are_none_do_not_matter(name: str, size: str) -> None:
    done = run("nosuch", env=os.environ | {name: size})
    assert done.returncode == 2
    assert done.stderr == "error: No such command 'nosuch'; `tracekws --help` shows how\n"


def without_input(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command whose standard input is closed."""
    return run(*words, env=os.environ | environment, preexec_fn=lambda: os.close(0))


def test_without_standard_input_nothing_is_asked(built: None, tmp_path: Path) -> None:
    done = without_input("words", XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.startswith("error: no serial port")
    done = without_input("forget", "--virtual", "--json", XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: nothing was erased")
    assert json.loads(done.stdout)["error"]["code"] == 1


def test_without_a_home_there_is_one_line(built: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    nobody = "import pwd; pwd.getpwuid = {}.__getitem__"
    done = run("info", "--virtual", before=nobody)
    assert done.returncode == 1
    assert done.stderr == (
        "error: there is no home directory; set XDG_STATE_HOME to a folder that can be written\n"
    )
