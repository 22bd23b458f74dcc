# SPDX-License-Identifier: Apache-2.0
"""Settings of all tests, and the last lines of a run: what was left out on this machine."""

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tables are as wide wherever the tests run: Rich reads this when it makes a console, at import, and
# a process of pytest-xdist has a value of its own.
os.environ["COLUMNS"] = "200"

# As many processes run as there are cores: threads of their own would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test finds a board that the user of this machine runs, nor writes into the user's state.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="tracekws-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# The same examples every time, on a machine of any speed; fewer on the slow sanitized build.
settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("default"), max_examples=25)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell starts what is in the background of a script with SIGINT ignored. Processes would inherit
# it from here, and those that a test ends by Ctrl-C would go on.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MISSING = re.compile(r"(\S+) is not installed")
"""In the reasons of skips for want of a tool, and in the notices of `make lint`."""
RECORDINGS = "../shared/data"
"""In the reasons of skips for want of recorded speech."""


def left_out(reasons: Iterable[str]) -> list[str]:
    """A line about tools, and one about recordings; none where nothing was left out for them."""
    tools: Counter[str] = Counter()
    n_unheard = 0
    for reason in reasons:
        tools.update(MISSING.findall(reason))
        n_unheard += RECORDINGS in reason
    lines = []
    if n_unheard:
        lines.append(f"left out without recordings in {RECORDINGS}: {n_unheard} of the tests")
    if tools:
        named = ", ".join(f"{tool} ({n})" for tool, n in sorted(tools.items()))
        lines.append(
            f"left out on this machine, with the number of tests and checks: {named};"
            " install what is missing: scripts/install_debian.sh"
        )
    return lines


@pytest.fixture(autouse=True)
def no_lines_of_slow_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command says when it lasts would be said on slow machines alone."""
    if console := sys.modules.get("tracekws.cli.console"):
        monkeypatch.setattr(console, "LINE_SECONDS", 1e6)


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user's profiles, of this test alone; not made yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "tracekws" / "profiles"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--notices", type=Path, metavar="FILE", help="lines that say what was left out before"
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Behind pytest's own last line. (The processes of xdist have no terminal.)"""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(config, "workerinput"):
        return
    notices = config.getoption("notices")
    reasons = notices.read_text().splitlines() if notices and notices.exists() else []
    reasons += [skipped.longrepr[2] for skipped in terminal.stats.get("skipped", [])]
    for line in left_out(reasons):
        terminal.write_line(line)
