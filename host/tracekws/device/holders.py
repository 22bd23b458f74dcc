# SPDX-License-Identifier: Apache-2.0
"""Which program has a line: what Linux tells of locks, connections and processes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

PROC = Path("/proc")
SHOWN = 60
_ESTABLISHED = "01"


def holder(port: str) -> str:
    """Name the program that has a port: its command, and the number of its process.

    Args:
        port: a serial port or pty that it has locked, or socket://HOST:PORT of a board on this
            machine, which has taken its connection.

    Returns:
        Text; empty where that cannot be seen, as of another user's program.
    """
    with suppress(OSError, ValueError):
        number = _connected(port) if port.startswith("socket://") else _locked(port)
        if number:
            return f"{_command(number)} (process {number})"
    return ""


def _locked(port: str) -> int:
    """Process that has locked a file; 0 for none that is seen."""
    there = os.stat(port)
    device = there.st_dev
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{there.st_ino}"
    for line in (PROC / "locks").read_text().splitlines():
        _, kind, _, _, number, file, *_ = line.split()
        if kind == "FLOCK" and file == wanted:
            return int(number)
    return 0


def _connected(port: str) -> int:
    """Process whose connection the board on a TCP port has taken; 0 for none that is seen."""
    served = urlsplit(port).port
    inodes: dict[tuple[int, int], str] = {}
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        _, ours, theirs, state, _, _, _, _, _, inode, *_ = line.split()
        if state == _ESTABLISHED:
            ends = (int(end.rpartition(":")[2], 16) for end in (ours, theirs))
            inodes[next(ends), next(ends)] = inode
    for (ours_at, theirs_at), inode in inodes.items():
        # those that wait to be taken have no inode at the board's end
        if ours_at == served and inode != "0" and (theirs_at, served) in inodes:
            return _owner(f"socket:[{inodes[theirs_at, served]}]")
    return 0


def _owner(link: str) -> int:
    """Process that has a file of this kind open; 0 for none that is seen."""
    for process in PROC.iterdir():
        with suppress(OSError):
            if process.name.isdigit():
                for file in (process / "fd").iterdir():
                    with suppress(OSError):
                        if os.readlink(file) == link:
                            return int(process.name)
    return 0


def _command(number: int) -> str:
    """How a process was started, shortened: names of files without their folders."""
    words = (PROC / str(number) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    text = " ".join(word.rpartition("/")[2] for word in words if word)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
