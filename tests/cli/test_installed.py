# SPDX-License-Identifier: Apache-2.0
"""The package where there is no checkout: built, installed elsewhere, and used there."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from host_cli import HANG_SECONDS
from tones import write_tree
from toolchain import ROOT, find, run
from tracekws import shipped

pytestmark = pytest.mark.toolchain

NO_CHECKOUT = "firmware is built in a checkout of TraceKWS, and this package was installed"


def build_wheel(sources: Path, folder: Path) -> Path:
    """The wheel of a folder of sources or of an archive with them, built without network."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir",
        "--wheel-dir", folder, sources)  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without what was built in it."""
    for module in ("pip", "setuptools", "cffi"):
        if find_spec(module) is None:
            pytest.skip(f"a wheel cannot be built without {module}")
    for tool in ("make", "cc"):
        find(tool)
    built = [name.strip("/") for name in (ROOT / ".gitignore").read_text().split()]
    ignore = shutil.ignore_patterns(".git", *built)
    folder = tmp_path_factory.mktemp("sources") / "tracekws"
    return Path(shutil.copytree(ROOT, folder, symlinks=True, ignore=ignore))


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(sources, tmp_path_factory.mktemp("wheel"))


@dataclass(frozen=True)
class Installed:
    """An environment with the package in it, used from a folder of its own."""

    home: Path
    desk: Path

    @property
    def package(self) -> Path:
        """The folder of the installed package."""
        (found,) = self.home.glob("lib/python*/site-packages/tracekws")
        return found

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start a command with a PATH that has nothing, and without a variable of ours."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TRACEKWS")}
        del kept["PATH"]
        kept.pop("PYTHONPATH", None)
        return subprocess.Popen(
            [str(self.home / "bin" / "tracekws"), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.desk,
            env={**kept, "PATH": str(self.desk / "nothing"), "XDG_STATE_HOME": str(self.desk)},
        )

    def run(self, *words: object) -> tuple[int, str, str]:
        """A command's exit status, output and talk."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=HANG_SECONDS)
        return process.returncode, out, err

    def json(self, *words: object) -> Any:
        """What a command prints with --json."""
        code, out, err = self.run(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    @contextmanager
    def board(self) -> Iterator[str]:
        """The port of a virtual board."""
        with self.start("board", "--json") as process:
            try:
                assert process.stdout is not None
                yield json.loads(process.stdout.readline())["port"]
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=HANG_SECONDS)

    def state(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file of the environment."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """In an environment of its own, which borrows what the package depends on from this one."""
    folder = tmp_path_factory.mktemp("installed")
    home, desk = folder / "env", folder / "desk"
    desk.mkdir()
    venv.create(home, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    borrowed = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python"]
    run(*pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", wheel)
    return Installed(home, desk)


def test_a_checkout_finds_its_own_files() -> None:
    assert shipped.MODEL == ROOT / "models" / "base.tkws"
    assert shipped.SPEECH == ROOT / "examples" / "speech"
    assert shipped.BOARD_PROGRAM == ROOT / "build" / "tracekws-board"
    assert shipped.find_checkout() == ROOT


def test_a_wheel_has_all_that_comes_along(wheel: Path) -> None:
    assert re.fullmatch(r"tracekws-[\d.]+-cp311-abi3-\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    speech = ROOT / "examples" / "speech"
    expected = {f"tracekws/models/{path.name}" for path in (ROOT / "models").iterdir()}
    expected |= {
        f"tracekws/speech/{path.relative_to(speech)}"
        for path in speech.rglob("*")
        if path.is_file()
    }
    assert {"tracekws/models/base.tkws", "tracekws/speech/README.md"} < expected
    assert expected | {"tracekws/tracekws-board"} <= names
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "THIRD_PARTY_NOTICES.md"}


def test_a_source_archive_gives_the_same_wheel(sources: Path, wheel: Path, tmp_path: Path) -> None:
    program = "import sys, setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], cwd=sources, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("tracekws-*.tar.gz")
    again = build_wheel(archive, tmp_path)
    assert again.name == wheel.name
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
        for name in first.namelist():
            if name.startswith(("tracekws/models/", "tracekws/speech/")):
                assert first.read(name) == second.read(name), name


def test_a_board_is_heard_and_taught_with_what_came_along(
    installed: Installed, takes: Path
) -> None:
    before = installed.state()
    with installed.board() as port:
        about = installed.json("info", "--port", port)
        assert (about["model_name"], about["generation"]) == ("base", 0)
        stream = installed.package / "speech" / "stream.flac"
        code, out, err = installed.run("listen", stream, "--port", port, "--json")
        assert code == 0, err
        assert {json.loads(line)["file"] for line in out.splitlines()} == {str(stream)}
        assert installed.json("adapt", takes, "--force", "--port", port)["generation"] == 1
    assert installed.state() == before
    assert (installed.desk / "tracekws" / "board.flash").is_file()


def test_the_demonstration_writes_only_where_it_is_run(installed: Installed) -> None:
    before = installed.state()
    told = installed.json("demo")
    assert told["weights_survive_restart"] is True
    assert told["stream_before"]["events"]
    assert (installed.desk / told["picture"]).read_bytes().startswith(b"\x89PNG")
    assert installed.state() == before


def test_the_model_that_came_along_is_evaluated(installed: Installed, tmp_path: Path) -> None:
    told = installed.json("evaluate", "--data", write_tree(tmp_path), "--workers", "1")
    assert told["model"]["name"] == "base"
    assert told["clips"] > 0


def test_the_doctor_finds_nothing_missing(installed: Installed) -> None:
    found = {check["name"]: check for check in installed.json("doctor")["checks"]}
    assert found["virtual board"]["found"] == str(installed.package / "tracekws-board")
    assert not found["C compiler"]["ok"]
    assert not found["C compiler"]["required"]


@pytest.mark.parametrize(
    "words",
    ["flash rp2040 --dry-run", "board mps2-an386", "bench cost --board rp2040"],
)
def test_what_needs_a_checkout_says_so_in_a_line(words: str, installed: Installed) -> None:
    code, out, err = installed.run(*words.split())
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"error: [^\n]*{NO_CHECKOUT}[^\n]*\n", err)
