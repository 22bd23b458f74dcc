# SPDX-License-Identifier: Apache-2.0
"""Commands that a page of the documentation gives."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from toolchain import ROOT
from tracekws import cli

COMMAND = re.compile(r"(?:\S*/)?(tracekws|make) .*", re.DOTALL)


def given_commands(text: str) -> list[list[str]]:
    """Commands of code blocks, fenced or indented, and of code in the text, without comments."""
    parts = text.split("```")
    blocks = [line for block in parts[1::2] for line in block.replace("\\\n", " ").splitlines()]
    for part in parts[::2]:
        lines = part.splitlines()
        blocks += [line for line in lines if line.startswith("    ")]
        prose = "\n".join(line for line in lines if not line.startswith("    "))
        blocks += re.findall(r"`([^`]+)`", prose)
    found = []
    for line in blocks:
        for command in re.split(r"&&|[;|&](?:\s|$)", line):
            if COMMAND.fullmatch(command.strip()):
                program, *words = shlex.split(command, comments=True)
                found.append([Path(program).name, *words])
    return found


def leaves(command: Any, name: str = "tracekws") -> Iterator[tuple[str, Any]]:
    """Commands below a command, with their full names."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word, child in below.items():
        yield from leaves(child, f"{name} {word}")


def parse(words: list[str]) -> list[str]:
    """Names of the command that a command line would run; it is parsed, and not run.

    Raises what the parser raises for an unknown command or option, or a bad value.
    """
    program = typer.main.get_command(cli.app)
    parsed: list[str] = []
    for name, command in leaves(program):
        command.callback = lambda name=name, **values: parsed.append(name)
    program.main(words, prog_name="tracekws", standalone_mode=False)
    return parsed


def see_make_target(words: list[str]) -> None:
    """See that make knows a target and could make it; it is not made.

    The test is skipped where a tool is missing: a target that exists says what it needs.
    """
    done = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "is not installed" in done.stderr:
        pytest.skip(done.stderr.partition("*** ")[2].strip())
    assert done.returncode == 0, done.stderr
