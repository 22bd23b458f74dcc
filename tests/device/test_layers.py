# SPDX-License-Identifier: Apache-2.0
"""The application's files: who may know whom."""

import re
from pathlib import Path

import pytest

from toolchain import CORE, ROOT, find, run

APP = ROOT / "firmware" / "app"

pytestmark = pytest.mark.toolchain


def symbols(path: Path, folder: Path) -> tuple[set[str], set[str]]:
    """What a file of C defines, and what it needs of others."""
    made = folder / f"{path.stem}.o"
    run(find("gcc"), "-std=c11", "-O0", f"-I{CORE / 'include'}", "-c", path, "-o", made)
    rows = [line.split()[-2:] for line in run(find("nm"), made).splitlines()]
    defined = {name for kind, name in rows if kind.isupper() and kind != "U"}
    return defined, {name for kind, name in rows if kind == "U"}


def test_a_file_calls_those_listed_before_it(tmp_path: Path) -> None:
    found = {path.name: symbols(path, tmp_path) for path in sorted(APP.glob("*.c"))}
    homes = {name: file for file, (defined, _) in found.items() for name in defined}
    needed = {
        file: {homes[name] for name in needs if name in homes} for file, (_, needs) in found.items()
    }
    header = (APP / "app_internal.h").read_text()
    listed = re.findall(r"\w+", header.partition("in this list:")[2].partition(".")[0])
    assert sorted(f"{name}.c" for name in listed) == sorted(found)
    for at, name in enumerate(listed):
        before = {f"{other}.c" for other in listed[: at + 1]}
        assert needed[f"{name}.c"] <= before, name
    assert {name for name in homes if not name.startswith("tkws_app_")} == set()


def test_the_application_knows_the_core_and_itself() -> None:
    allowed = {"<stdint.h>", "<stddef.h>", "<stdbool.h>", "<string.h>"}
    own = {f'"{path.name}"' for path in APP.iterdir()}
    own |= {f'"tracekws/{path.name}"' for path in (CORE / "include" / "tracekws").iterdir()}
    for path in APP.iterdir():
        included = re.findall(r"^\s*#include\s+(\S+)", path.read_text(), re.MULTILINE)
        assert set(included) <= allowed | own, path.name


def test_users_see_two_functions() -> None:
    declared = re.findall(r"^\w[\w ]*\b\*?(tkws_\w+)\(", (APP / "app.h").read_text(), re.MULTILINE)
    assert declared == ["tkws_app_init", "tkws_app_poll"]
