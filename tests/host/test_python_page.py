# SPDX-License-Identifier: Apache-2.0
"""docs/python.md: its programs run, and it says what is promised."""

import ast
import doctest
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import tracekws
from recordings import write_take
from toolchain import ROOT
from tracekws.boards.virtual import VirtualBoard, board_program, virtual_board
from tracekws.device.driver import LearnSession
from tracekws.errors import TraceKwsError

PAGE = (ROOT / "docs" / "python.md").read_text()
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SPEECH = ROOT / "examples" / "speech"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    try:
        board_program()
    except TraceKwsError as error:
        pytest.skip(str(error))
    with virtual_board(ROOT / "models" / "base.tkws", tmp_path / "flash") as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page names."""
    import soundfile

    folder = tmp_path / "desk"
    for word in ("yes", "no"):
        (folder / "my_takes" / word).mkdir(parents=True)
        for number, take in enumerate(("slt/{}/0", "slt/{}/1", "rms/{}/0"), 1):
            pcm, rate = soundfile.read(SPEECH / f"{take.format(word)}.flac", dtype="int16")
            soundfile.write(folder / "my_takes" / word / f"{number}.wav", pcm, rate)
    for number in range(1, 4):
        write_take(folder / "my_takes" / "_other" / f"{number}.wav", 20 + number)
    write_take(folder / "take.wav", 1)
    for number in range(1, 4):
        write_take(folder / "lamp_takes" / f"{number}.wav", 30 + number)
    shutil.copy(ROOT / "benchmarks" / "lab.jsonl", folder)
    monkeypatch.chdir(folder)
    return folder


def run(program: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a program of the page prints."""
    exec(compile(program, "docs/python.md", "exec"), {"__name__": "__main__"})
    return capsys.readouterr().out


def test_listening_hears_speech(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    pcm, rate = soundfile.read(SPEECH / "stream.flac", dtype="int16")
    soundfile.write(desk / "take.wav", pcm, rate)
    heard = run(PROGRAMS[0], capsys).splitlines()
    assert heard
    assert all(re.fullmatch(r"\w+ at [\d.]+ s, 0\.\d\d", line) for line in heard)


def test_the_program_of_the_readme_hears_speech(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    pcm, rate = soundfile.read(SPEECH / "stream.flac", dtype="int16")
    soundfile.write(desk / "take.wav", pcm, rate)
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert run(program, capsys).splitlines()


def test_learning_changes_what_is_kept(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(PROGRAMS[1], capsys)
    learner = tracekws.Learner(tracekws.Model.load("base"))
    before = learner.weights
    learner.load(desk / "mine.weights")
    assert learner.weights != before


def test_takes_are_kept_for_another_model(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(desk / "state"))
    assert run(PROGRAMS[2], capsys) == "{'yes': 2} are learned again\n"
    assert tracekws.Profile.names() == ["berta"]


def test_adapting_a_device(
    board: VirtualBoard,
    desk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tracekws.device import device

    monkeypatch.setattr(device, "find_port", lambda: board.port)
    printed = run(PROGRAMS[3], capsys)
    assert "learned 4 takes, generation 1" in printed
    assert "keywords_self" in printed
    with tracekws.Device.open(board.port) as opened:
        assert opened.info().generation == 0


def test_teaching_a_device_a_word(
    board: VirtualBoard,
    desk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tracekws.device import device

    monkeypatch.setattr(device, "find_port", lambda: board.port)
    printed = run(PROGRAMS[4], capsys)
    assert "lamp: 3 takes, which agree by 0." in printed
    assert "1 of 16 words" in printed
    with tracekws.Device.open(board.port) as opened:
        assert opened.words() == {}


def test_taking_a_mistake_back(
    board: VirtualBoard,
    desk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import soundfile

    from tracekws.device import device

    pcm, rate = soundfile.read(SPEECH / "stream.flac", dtype="int16")
    soundfile.write(desk / "door.wav", pcm, rate)
    monkeypatch.setattr(device, "find_port", lambda: board.port)
    assert run(PROGRAMS[5], capsys) == "1 sounds that are no word\n"
    with tracekws.Device.open(board.port) as opened:
        assert opened.info().generation == 1


def test_the_results_of_the_lab_are_read(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(PROGRAMS[6], capsys).splitlines()
    assert any(line.startswith("digits ") and " tp " in line for line in printed)


EXAMPLES = [name for name in tracekws.__all__ if ">>>" in (getattr(tracekws, name).__doc__ or "")]


class Checker(doctest.OutputChecker):
    """What an example says that it prints is checked; it may print what it does not say."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_docstrings_run(
    name: str, request: pytest.FixtureRequest, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sound of the names that they have: pcm, and takes called first, second and third."""
    import soundfile

    from tracekws.device import device

    monkeypatch.setenv("XDG_STATE_HOME", str(desk / "state"))
    if name == "Device":
        port = request.getfixturevalue("board").port
        monkeypatch.setattr(device, "find_port", lambda: port)
    names = {"pcm": soundfile.read(SPEECH / "stream.flac", dtype="int16")[0]}
    for number, take in enumerate(("first", "second", "third"), 1):
        path = desk / "my_takes" / "yes" / f"{number}.wav"
        names[take] = soundfile.read(path, dtype="int16")[0]
    text = inspect.getdoc(getattr(tracekws, name)) or ""
    example = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert example.examples
    told: list[str] = []
    assert doctest.DocTestRunner(Checker()).run(example, out=told.append).failed == 0, "".join(told)


def test_what_does_something_has_an_example() -> None:
    assert EXAMPLES == [
        "Device",
        "Event",
        "Learner",
        "Model",
        "OwnWord",
        "Profile",
        "Recognizer",
        "read_clip",
    ]


def test_every_program_of_the_page_is_run_here() -> None:
    assert len(PROGRAMS) == 7
    for program in PROGRAMS:
        imported = [n for n in ast.walk(ast.parse(program)) if isinstance(n, ast.ImportFrom)]
        names = {a.name for n in imported if n.module == "tracekws" for a in n.names}
        assert names <= set(tracekws.__all__)


def test_the_page_names_all_that_is_promised() -> None:
    for name in tracekws.__all__:
        assert f"`{name}`" in PAGE
        assert getattr(tracekws, name).__doc__
    assert tracekws.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tracekws.nothing


@pytest.mark.parametrize("what", ["run", "shots"])
def test_the_page_says_what_a_line_of_the_lab_has(what: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from tracekws.lab.experiment import RunResult
    from tracekws.lab.shots import ShotsResult

    caption = {"run": "| key of a run |", "shots": "| key of shots |"}[what]
    kind: type[RunResult] | type[ShotsResult] = {"run": RunResult, "shots": ShotsResult}[what]
    _, table = PAGE.split(caption)
    rows = re.findall(r"^\| `(\w+)` \|", table.split("\n\n")[0], re.MULTILINE)
    assert rows == [field.name for field in fields(kind)]


@pytest.mark.parametrize(
    "kind",
    [
        tracekws.Model,
        tracekws.Device,
        tracekws.Learner,
        tracekws.Recognizer,
        tracekws.Profile,
        LearnSession,
    ],
)
def test_every_public_method_says_what_it_takes_and_gives(kind: type) -> None:
    for name, method in inspect.getmembers(kind, callable):
        if name.startswith("_"):
            continue
        said = inspect.getdoc(method) or ""
        signature = inspect.signature(method)
        for parameter in set(signature.parameters) - {"self"}:
            assert re.search(rf"^    {parameter}: .*", said, re.MULTILINE), (name, parameter)
        if signature.return_annotation not in (None, "None", inspect.Signature.empty):
            assert re.search(r"^(Returns|Yields):$", said, re.MULTILINE), name


def test_importing_the_package_is_quick() -> None:
    """Nothing heavy comes with a name that does not need it."""
    program = "import sys, tracekws; tracekws.Model; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "tracekws.core" in loaded
    assert not loaded & {"torch", "matplotlib", "serial", "typer", "rich"}


def test_a_shipped_model_is_found_by_its_name(tmp_path: Path) -> None:
    base = tracekws.Model.load("base")
    assert base.crc == tracekws.Model.load(ROOT / "models" / "base.tkws").crc
    assert tracekws.Model.load(str(ROOT / "models" / "small.tkws")).name == "small"
    with pytest.raises(tracekws.ModelError, match=r"large: No such file"):
        tracekws.Model.load("large")
