# SPDX-License-Identifier: Apache-2.0
"""A machine without the tools: how CI makes one, and what a run of the tests says at its end."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from toolchain import ROOT

pytestmark = pytest.mark.toolchain

SKIPS = """
import pytest

def test_passes():
    pass

@pytest.mark.parametrize("n", range(3))
def test_compiles(n):
    pytest.skip("some-gcc is not installed; get it with: apt-get install some-gcc")

@pytest.mark.skip(reason="no recorded speech in ../shared/data/gsc")
def test_hears():
    pass

@pytest.mark.skip(reason="it erases")
def test_erases():
    pass
"""


INTERRUPTS = """
import signal
import subprocess
import sys

def test_a_process_ends_by_ctrl_c():
    presses = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", presses], stderr=subprocess.PIPE)
    assert done.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in done.stderr
"""


def run_tests(
    folder: Path, *options: object, start: Callable[[], object] | None = None
) -> list[str]:
    """The lines that a run of SKIPS, or of what it is given, prints; `start` is done before it."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "pytest.ini").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, options)],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=start,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("options", [[], ["-n", "1"]], ids=["here", "by xdist"])
def test_a_run_ends_with_what_was_left_out(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SKIPS)
    notices = tmp_path / "notices"
    notices.write_text("not linted: board: some-gcc is not installed\nlint-tool is not installed\n")
    *_, summary, unheard, last = run_tests(tmp_path, *options, "--notices", notices)
    assert "1 passed, 5 skipped" in summary
    assert unheard == "left out without recordings in ../shared/data: 1 of the tests"
    assert last == (
        "left out on this machine, with the number of tests and checks: lint-tool (1),"
        " some-gcc (4); install what is missing: scripts/install_debian.sh"
    )


def test_a_run_where_all_is_there_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text("def test_passes():\n    pass\n")
    assert "1 passed" in run_tests(tmp_path, "--notices", tmp_path / "none")[-1]


@pytest.mark.parametrize("options", [[], ["-n", "1"]], ids=["here", "by xdist"])
def test_a_run_in_the_background_of_a_script(options: list[str], tmp_path: Path) -> None:
    """A shell starts it with SIGINT ignored, and what tests start would ignore Ctrl-C as well."""
    (tmp_path / "test_some.py").write_text(INTERRUPTS)
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    assert "1 passed" in run_tests(tmp_path, *options, start=ignore)[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs that each print their name and what they are told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cc", "qemu-system-arm", "valgrind", "espeak-ng", "clang-14", "cppcheck"):
        (folder / name).touch(0o755)
    for name in ("gcc", "nm"):
        program = folder / f"arm-none-eabi-{name}"
        program.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        program.chmod(0o755)
    return folder


def programs(machine: Path, tmp_path: Path, *kept: str) -> Path:
    """The folder that the script makes of a machine's PATH."""
    made = tmp_path / "fresh"
    path = os.pathsep.join([str(machine), os.environ["PATH"]])
    script = ROOT / "scripts" / "fresh_path.sh"
    subprocess.run([script, made, *kept], env={**os.environ, "PATH": path}, check=True)
    return made


def test_a_fresh_path_has_no_tools(machine: Path, tmp_path: Path) -> None:
    made = programs(machine, tmp_path)
    assert (made / "cc").readlink() == machine / "cc"
    assert (made / "make").exists()
    for name in os.listdir(machine):
        assert (made / name).exists() == (name == "cc"), name


def test_a_fresh_path_may_have_compilers_without_their_library(
    machine: Path, tmp_path: Path
) -> None:
    made = programs(machine, tmp_path, "compilers")
    assert not (made / "qemu-system-arm").exists()
    assert (made / "arm-none-eabi-nm").readlink() == machine / "arm-none-eabi-nm"

    def gcc(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([made / "arm-none-eabi-gcc", *words], capture_output=True, text=True)

    assert gcc("-c", "a b.c").stdout == "gcc -c a b.c\n"
    assert gcc("-print-file-name=picolibc.specs").stdout == "picolibc.specs\n"
    refused = gcc("--specs=picolibc.specs", "-c", "x.c")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(
        "arm-none-eabi-gcc: fatal error: cannot read spec file 'picolibc.specs'"
    )
