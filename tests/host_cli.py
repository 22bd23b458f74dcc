# SPDX-License-Identifier: Apache-2.0
"""The command line as a user runs it."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
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


def on_terminal(words: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a command with a terminal for its output; what came there."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=os.environ | {"TERM": "xterm-256color"},
    ) as process:
        os.close(theirs)
        assert process.stdin is not None
        threading.Thread(target=lambda: write_lines(process.stdin), daemon=True).start()
        said = b""
        try:
            while data := os.read(ours, 4096):
                said += data
        except OSError:
            pass  # how a terminal ends on Linux
        os.close(ours)
    return process.returncode, said.decode()


def write_lines(stdin: io.BufferedWriter) -> None:
    try:
        stdin.write(b"\n" * 10)
        stdin.flush()
    except OSError:
        return
