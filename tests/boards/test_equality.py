# SPDX-License-Identifier: Apache-2.0
"""The same bits everywhere: features, spikes, scores, events, learned weights, stored slots."""

import json
from pathlib import Path
from typing import Any

import pytest

from images import Form, join, replaced, sections, with_traces
from programs import load_program
from toolchain import ROOT
from tracekws.boards.emulator import reports
from tracekws.errors import MissingTool

pytestmark = pytest.mark.toolchain

ROUNDS = 8  # each kind of storing comes once
STAGES = ("features", "spikes", "scores", "events", "weights", "slots")


equality = load_program("benchmarks/equality.py")
BASE = ROOT / "models" / "base.tkws"
JOB = equality.Job(BASE, ROUNDS, 1)


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model in a form that keeps takes, of directions of its own."""
    image = BASE.read_bytes()
    plain = join([part for part in sections(image) if part[0] != "trac"])
    model = tmp_path_factory.mktemp("equality") / "taking.tkws"
    model.write_bytes(with_traces(plain, Form.random(196, 16, seed=1, weight_q10=20000)))
    return equality.Job(model, ROUNDS, 1)


def measured(name: str, job: Any) -> list[dict[str, str]]:
    try:
        return list(equality.measure(name, job)[0])
    except MissingTool as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def expected(job: Any) -> list[dict[str, str]]:
    return measured("native, gcc -O0", job)


def test_the_script_reaches_every_stage(expected: list[dict[str, str]]) -> None:
    assert len(expected) == 1 + ROUNDS
    last = expected[-1]
    assert (last["network_steps"], last["learning_steps"]) == ("8000", "800")
    assert int(last["heard"]) > 5
    for stage in STAGES:
        assert len({line[stage] for line in expected[1:]}) >= 4, stage


@pytest.mark.parametrize(
    "name", [name for name in equality.TARGETS if name not in ("native, gcc -O0", "RP2040")]
)
def test_the_same_bits(name: str, job: Any, expected: list[dict[str, str]]) -> None:
    assert measured(name, job) == expected


def test_takes_are_heard(job: Any, tmp_path: Path) -> None:
    """What they add is among the scores: other directions give others, and the same spikes."""
    without = join([part for part in sections(job.model.read_bytes()) if part[0] != "ownw"])
    lines = []
    for seed in (1, 2):
        form = Form.random(196, 16, seed=seed, weight_q10=20000)
        model = tmp_path / f"{seed}.tkws"
        model.write_bytes(replaced(without, "trac", form.payload()))
        lines.append(measured("native, gcc -O3", equality.Job(model, 6, 1))[1:])
    for mine, theirs in zip(*lines, strict=True):
        assert (mine["spikes"], mine["weights"]) == (theirs["spikes"], theirs["weights"])
    assert lines[0][3]["scores"] == lines[1][3]["scores"]  # none is kept before
    assert lines[0][5]["scores"] != lines[1][5]["scores"]


def test_words_of_the_users_own_are_heard(
    job: Any, expected: list[dict[str, str]], tmp_path: Path
) -> None:
    """They are among the scores and what is learned from the first round on, and among events."""
    without = join([part for part in sections(job.model.read_bytes()) if part[0] != "ownw"])
    model = tmp_path / "without.tkws"
    model.write_bytes(without)
    lines = measured("native, gcc -O3", equality.Job(model, ROUNDS, 1))[1:]
    assert lines[0]["weights"] != expected[1]["weights"]
    assert int(lines[-1]["heard"]) < int(expected[-1]["heard"])


def test_the_pico_reports(job: Any, expected: list[dict[str, str]], tmp_path: Path) -> None:
    """That it starts the script; its rounds take minutes, and are run in make equality."""
    try:
        command = equality.TARGETS["RP2040"](equality.Job(job.model, 0, 1), tmp_path)
    except MissingTool as reason:
        pytest.skip(str(reason))
    assert reports(command) == expected[:1]


def test_the_others_report_where_the_pico_ends() -> None:
    job = equality.Job(JOB.model, 3 * ROUNDS - 1, 2 * ROUNDS - 1)
    rounds = [line["rounds"] for line in equality.measure("native, gcc -O3", job)[0][1:]]
    assert rounds == [str(equality.PICO_ROUNDS), str(2 * ROUNDS - 1)]


def test_the_file_has_every_target_and_all_are_equal() -> None:
    file = json.loads((ROOT / "benchmarks" / "equality.json").read_text())
    assert list(file["targets"]) == list(equality.TARGETS)
    told = {line["rounds"]: line for line in file["reports"]}
    for name, row in file["targets"].items():
        line = {key: value for key, value in row.items() if key not in ("equal", "seconds")}
        assert row["equal"], name
        assert line == told[row["rounds"]], name
        if name != "RP2040":
            assert row["rounds"] == str(file["rounds"])


def test_the_file_keeps_rows_of_the_same_sources(tmp_path: Path) -> None:
    path = tmp_path / "equality.json"
    model, *lines = ({"crc": "1"}, *({"rounds": str(n), "slots": str(n)} for n in (8, 25)))
    results = equality.Results("model", 25, "sources", "system")
    results.add("RP2040", [model, lines[0]], 1.2)
    results.add("Cortex-M4", [model, *lines], 3)
    assert results.reports == lines
    assert list(results.targets) == ["Cortex-M4", "RP2040"]
    results.write(path)
    other = equality.Results("model", 25, "sources", "system")
    other.take_from(path)
    assert other == results
    other.add("RV32IMAC", [model, lines[0], {"rounds": "25", "slots": "26"}], 4)
    assert [row["equal"] for row in other.targets.values()] == [True, False, True]
    for changed in (("other", 25, "sources"), ("model", 24, "sources"), ("model", 25, "others")):
        fresh = equality.Results(*changed, "system")
        fresh.take_from(path)
        assert fresh.targets == {}


def test_another_bit_is_seen(job: Any, expected: list[dict[str, str]], tmp_path: Path) -> None:
    """One weight that is larger by one least significant bit changes what comes of it."""
    image = job.model.read_bytes()
    weights = bytearray(dict(sections(image))["Weig"])
    weights[0] ^= 1
    model = tmp_path / "other.tkws"
    model.write_bytes(replaced(image, "Weig", bytes(weights)))
    lines = equality.measure("native, gcc -O3", equality.Job(model, 1, 1))[0]
    assert lines[1]["features"] == expected[1]["features"]
    assert lines[1]["weights"] != expected[1]["weights"]
