# SPDX-License-Identifier: Apache-2.0
"""The command line as a user runs it."""

import json
import subprocess
import sys
from typing import Any

HANG_SECONDS = 3600
"""A process that has not ended by then hangs; on no machine does one take as long."""
PROGRAM = "from tracekws.cli import main; main()"


def tracekws(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the console script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


def tracekws_json(*arguments: str) -> Any:
    """What a command prints with --json."""
    done = tracekws(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(*words: object, program: str = PROGRAM) -> subprocess.Popen[str]:
    """Start a command that goes on."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
