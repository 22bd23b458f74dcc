# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/c.md, built as C and as C++, and the core as a CMake package."""

import hashlib
import re
import shlex
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from images import Form, make_image, with_traces, write_image
from recordings import changing_noise
from toolchain import CORE, ROOT, WARNINGS, compile_core, find, run
from tracekws._core import lib
from tracekws.core import TAKES, Model, features
from tracekws.learner import Learner
from tracekws.recognizer import Recognizer

pytestmark = pytest.mark.toolchain

EXAMPLES = ROOT / "firmware" / "examples"
COMPILERS = {"C11": ["gcc", "-std=c11"], "C++17": ["g++", "-x", "c++", "-std=c++17"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Any word above chance is an event."""
    image = make_image(
        seed=24,
        n_neurons=16,
        arrays={"word_threshold": np.zeros(5)},
        method=7,
        passes=3,
        smoothing_shift=0,
        refractory_steps=0,
        window_steps=2,
    )
    return write_image(tmp_path_factory.mktemp("model"), image)


@pytest.fixture(scope="module", params=COMPILERS)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both examples, linked with the core in C."""
    folder = tmp_path_factory.mktemp("examples")
    objects = compile_core(folder, "gcc", "-O2")
    compiler, *flags = COMPILERS[request.param]
    for source in sorted(EXAMPLES.glob("*.c")):
        run(
            *(find(compiler), *flags, "-O2", *WARNINGS, f"-I{CORE / 'include'}", source),
            *("-x", "none", *objects, "-o", folder / source.stem),
        )
    return folder


def run_on(pcm: np.ndarray, *command: object) -> subprocess.CompletedProcess[bytes]:
    """A program with samples as its standard input."""
    return subprocess.run(
        [str(c) for c in command], input=pcm.astype("<i2").tobytes(), capture_output=True
    )


def test_recognize_hears_what_the_host_hears(programs: Path, model: Path) -> None:
    loaded = Model.load(model)
    pcm = changing_noise(30, 1600)
    expected = [f"{event.word} {event.end:.3f} s" for event in Recognizer(loaded).push(pcm)]
    assert expected
    done = run_on(pcm, programs / "recognize", model)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == expected


def test_learn_learns_what_the_host_learns(programs: Path, model: Path, tmp_path: Path) -> None:
    """Twice, the second time from the weights of the first."""
    loaded = Model.load(model)
    takes = [changing_noise(seed, 800)[:16000] for seed in (31, 32)]
    weights = tmp_path / "weights"
    state = None
    for pcm in takes:
        learner = Learner(loaded)
        if state is not None:
            learner.weights = state
        learner.learn([("no", pcm)])
        state = learner.weights
        done = run_on(pcm, programs / "learn", model, "no", weights)
        assert (done.returncode, done.stdout) == (0, b"learned no\n")
        assert weights.read_bytes() == state


def test_learn_keeps_the_take_where_the_model_does(
    programs: Path, model: Path, tmp_path: Path
) -> None:
    taking = write_image(tmp_path, with_traces(model.read_bytes(), Form.random(16, 3, seed=1)))
    loaded = Model.load(taking)
    pcm = changing_noise(31, 800)[:16000]
    learner = Learner(loaded)
    learner.learn([("no", pcm)])
    label = loaded.labels.index("no")
    learner.take(features(pcm, loaded.front_end), label, TAKES, 0)
    done = run_on(pcm, programs / "learn", taking, "no", tmp_path / "weights")
    assert (done.returncode, done.stdout) == (0, b"learned no\n")
    assert (tmp_path / "weights").read_bytes() == learner.weights


@pytest.mark.parametrize("case", ["no model", "a damaged model", "a word it does not have"])
def test_an_error_leaves_the_weights(
    programs: Path, model: Path, tmp_path: Path, case: str
) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"as they were")
    image = tmp_path / "image"
    if case == "a damaged model":
        image.write_bytes(model.read_bytes()[:-1])
    elif case != "no model":
        image = model
    done = run_on(changing_noise(5, 800), programs / "learn", image, "nothing", weights)
    assert done.returncode == 1
    assert weights.read_bytes() == b"as they were"


USES = {
    "add_subdirectory": 'add_subdirectory("{core}" core)',
    "FetchContent": """include(FetchContent)
FetchContent_Declare(tracekws URL "{archive}" URL_HASH SHA256={sha256}
    SOURCE_SUBDIR firmware/core)
FetchContent_MakeAvailable(tracekws)""",
    "find_package": "find_package(tracekws 0.1 REQUIRED)",
}


def archive_of(files: Path, folder: Path) -> Path:
    """The files of a folder as a release has them: below a folder with the version's name."""
    path = folder / "tracekws-0.1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(files, f"tracekws-0.1/{files.relative_to(ROOT)}")
    return path


@pytest.mark.parametrize("way", USES)
def test_an_outside_project_builds_with_cmake(way: str, model: Path, tmp_path: Path) -> None:
    cmake = find("cmake")
    prefix = tmp_path / "prefix"
    if way == "find_package":
        run(cmake, "-S", CORE, "-B", tmp_path / "core", f"-DCMAKE_INSTALL_PREFIX={prefix}")
        run(cmake, "--build", tmp_path / "core", "--target", "install")
    archive = archive_of(CORE, tmp_path)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    project = tmp_path / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\n"
        "project(mine LANGUAGES C)\n"
        f"{USES[way].format(core=CORE, archive=archive, sha256=sha256)}\n"
        f'add_executable(mine "{EXAMPLES / "recognize.c"}")\n'
        "target_link_libraries(mine PRIVATE tracekws::core)\n"
    )
    build = project / "build"
    run(cmake, "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run(cmake, "--build", build)
    assert run_on(changing_noise(30, 1600), build / "mine", model).stdout


PAGE = (ROOT / "docs" / "c.md").read_text()
COMMANDS = re.findall(r"^    ((?:cc|cmake) .*)$", PAGE, re.MULTILINE)


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    """In their order; what they build goes elsewhere."""
    find("cmake")
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        words = command.replace("build/", f"{tmp_path}/")
        run(find("sh"), "-c", f"cd {shlex.quote(str(ROOT))} && {words}")
    assert (tmp_path / "learn").exists()
    assert (tmp_path / "installed" / "include" / "tracekws" / "recognizer.h").exists()


@pytest.mark.parametrize("part", ["model_trainable", "network_memory", "learner_memory"])
def test_the_memory_of_the_page_is_that_of_the_shipped_models(part: str) -> None:
    size = getattr(lib, f"tkws_{part}_bytes")
    figures = [size(Model.load(ROOT / "models" / f"{name}.tkws").c) for name in ("base", "small")]
    row = f"`tkws_{part}_bytes()` | {figures[0]:,} | {figures[1]:,} |"
    assert row in PAGE
