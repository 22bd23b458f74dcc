# SPDX-License-Identifier: Apache-2.0
"""A result is never taken for one of other code or other default settings."""

import ast
import errno
import inspect
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from host_cli import tracekws
from labtask import DENSE, FILE, TASK, Lines, compared
from tracekws import cli
from tracekws.cli import console
from tracekws.errors import DataError
from tracekws.lab import experiment, fingerprint, report, shots, tasks
from tracekws.lab.network import Network
from tracekws.lab.rules import RULES
from tracekws.lab.rules.readout import ReadoutOnly

COMMITTED = Path(__file__).resolve().parents[2] / "benchmarks" / "lab.jsonl"
CHANGES = {
    "the rule": ("rules.readout", "self.delta_rule(fired)", "self.delta_rule(fired[:0])", True),
    "what it inherits": ("rule", "trace.flatten(1).T @ error", "trace.flatten(1).T @ -error", True),
    "a default": ("rule", "rate: float = 1e-3", "rate: float = 2e-3", True),
    "the network": ("network", "STANDARD_NORM = 1.8", "STANDARD_NORM = 1.9", True),
    "the passes": ("experiment", "LAST_RATE = 0.25", "LAST_RATE = 0.5", True),
    "what is done to clips": ("data", "< 0.5", "< 0.4", True),
    "a comment": ("rule", "self.sums = {}", "self.sums = {}  # anew", False),
    "a docstring": ("rule", '"""Learn from the clips as a whole."""', '"""At the end."""', False),
    "what a field's text says": ("rule", '"""Of the readout."""', '"""Of V and c."""', False),
    "the layout": ("rule", "def prepare(self)", "def prepare(\n        self,\n    )", False),
    "another rule": ("rules.decolle", "error", "wrong", False),
}


@pytest.fixture
def edit(monkeypatch) -> Callable[[str, str, str], None]:
    """Let a module of the lab seem to have another text."""

    def change(name: str, old: str, new: str) -> None:
        def parsed(module: str) -> ast.Module:
            text = inspect.getsource(sys.modules[module])
            if module == f"tracekws.lab.{name}":
                assert old in text
                text = text.replace(old, new)
            return ast.parse(text)

        monkeypatch.setattr(fingerprint, "parsed", parsed)

    return change


@pytest.mark.parametrize("what", CHANGES)
def test_code_and_defaults_count_and_nothing_else(what, edit):
    name, old, new, counts = CHANGES[what]
    before = fingerprint.fingerprint(ReadoutOnly, DENSE)
    edit(name, old, new)
    assert (fingerprint.fingerprint(ReadoutOnly, DENSE) != before) == counts


def test_the_config_counts_and_what_is_said_of_it_does_not():
    marks = {
        fingerprint.fingerprint(ReadoutOnly, config)
        for config in (
            DENSE,
            replace(DENSE, rate=2e-3),
            replace(DENSE, batch=8),
            replace(DENSE, network=(*DENSE.network, *DENSE.network)),
            replace(DENSE, constants=replace(DENSE.constants, alpha=0.8)),
        )
    }
    assert len(marks) == 5
    assert fingerprint.fingerprint(ReadoutOnly, replace(DENSE, origin="elsewhere")) in marks


def test_rules_differ():
    assert len({fingerprint.fingerprint(rule, DENSE) for rule in RULES.values()}) == len(RULES)


def test_a_result_of_other_code_stays_and_is_not_returned(tmp_path, edit, monkeypatch):
    first = compared(tmp_path, "readout")
    lines = (tmp_path / FILE).read_text().splitlines()
    assert first.stale == 0
    with monkeypatch.context():
        edit("rules.readout", "self.delta_rule(fired)", "self.delta_rule(fired[:])")
        again = compared(tmp_path, "readout")
        assert again.stale == 4
        both = (tmp_path / FILE).read_text().splitlines()
        assert both[:4] == lines
        assert len(both) == 8
        assert {result.code for result in again.results}.isdisjoint({json.loads(lines[0])["code"]})
        assert compared(tmp_path, "readout").results == again.results  # its own are returned
        assert len((tmp_path / FILE).read_text().splitlines()) == 8
    monkeypatch.undo()
    assert compared(tmp_path, "readout").results == first.results
    rows = report.rows_of(experiment.read_results(tmp_path / FILE, experiment.RunResult))
    assert [row.seeds for row in rows] == [2, 2]  # not four of one code


def test_a_default_of_the_config_that_changed_runs_anew(tmp_path):
    task = Lines(configs={"dense": replace(DENSE, batch=8)})
    for one, stale in ((TASK, 0), (task, 2)):
        done = experiment.compare(
            one, None, None, ["readout"], 1, 1, 2, tmp_path / FILE, None, 1, lambda a, b: None
        )
        assert done.stale == stale


def test_lines_that_do_not_say_their_code_are_kept_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "TASKS", (TASK,))
    path = tmp_path / FILE

    def lab(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["tracekws", "lab", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capsys.readouterr()

    run = ("run", "--task", "lines", "--rule", "readout", "--epochs", "1", "--output", str(path))
    shown, said = lab(*run, "--json")
    assert [row["standing"] for row in json.loads(shown)["rows"]] == ["present"]
    assert said == ""
    old = {k: v for k, v in json.loads(path.read_text()).items() if k != "code"}
    path.write_text(json.dumps(old | {"test": 99.0}) + "\n")
    shown, said = lab(*run)
    assert f"{path}: results of 1 runs are of other code or default settings" in said
    assert "99.0" not in shown
    assert [json.loads(line)["test"] == 99.0 for line in path.read_text().splitlines()] == [
        True,
        False,
    ]
    assert lab(*run)[1] == ""
    rows = json.loads(lab("report", str(path), "--json")[0])["rows"]
    assert {row["standing"]: row["test"] == 99.0 for row in rows} == {
        "present": False,
        "not recorded": True,
    }
    shown, _ = lab("report", str(path))
    assert "not recorded" in shown
    assert "present" in shown


@pytest.mark.parametrize("width", [80, 60])
def test_what_code_results_are_of_is_read_in_a_narrow_terminal(
    width, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(console.out, "width", width)
    first = json.loads(COMMITTED.read_text().splitlines()[0]) | {"trial": False, "test": 99.0}
    lines = [first | {"code": code, "seconds": 123456.0} for code in ("", "another")]
    (tmp_path / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(sys, "argv", ["tracekws", "lab", "report", str(tmp_path / FILE)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "not recorded" in capsys.readouterr().out


def test_the_committed_results_are_still_results():
    results = experiment.read_results(COMMITTED, experiment.RunResult)
    assert len(results) == len(COMMITTED.read_text().splitlines()) > 200
    rows = report.rows_of(results)
    assert {row.standing for row in rows} <= {
        report.PRESENT,
        report.OTHER,
        report.NOT_RECORDED,
    }


def test_a_result_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    done = compared(tmp_path, "readout")
    path = tmp_path / FILE
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\)"):
        experiment.write_result(path, done.results[0])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", 1),
        ("settings", []),
        ("seed", "1"),
        ("seed", True),
        ("trial", 0),
        ("validation", "high"),
        ("validation", None),
        ("test", float("nan")),
        ("test", 10**400),
        ("code", None),
        ("more", 1),
    ],
)
def test_a_line_of_other_types_is_no_result(name, value, tmp_path):
    path = tmp_path / FILE
    first = COMMITTED.read_text().splitlines()[0]
    path.write_text(f"{first}\n{json.dumps(json.loads(first) | {name: value})}\n")
    with pytest.raises(DataError, match="line 2 is no result"):
        experiment.read_results(path, experiment.RunResult)


def test_deep_nesting_is_no_result(tmp_path):
    path = tmp_path / FILE
    path.write_text('{"settings": ' + 100000 * "[" + "\n")
    with pytest.raises(DataError, match="line 1 is no result"):
        experiment.read_results(path, experiment.RunResult)


@pytest.mark.parametrize("name", ["no/such/file.jsonl", "/proc/lab.jsonl", "/dev/full", "."])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(name, tmp_path):
    output = str(tmp_path / name)
    for command in (("run", "--rule", "readout"), ("compare", "--rule", "readout")):
        done = tracekws("lab", *command, "--task", "digits", "--output", output)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith(f"error: {output}" if name[0] != "/" else "error: /")


@pytest.mark.parametrize("about", [{}, {"code": "abc"}], ids=["not recorded", "other"])
def test_a_network_of_other_code_is_not_adapted(about, tmp_path):
    rule = ReadoutOnly(network=Network(DENSE.network, (12,), 3, DENSE.constants))
    path = tmp_path / "readout-1.pt"
    shots.save(rule, path, {"rule": "readout", **about}, 3)
    was = about.get("code", "unknown")
    with pytest.raises(DataError, match=f"a network of code {was}, not def; remove it"):
        shots.load(rule, path, {"rule": "readout", "code": "def"})
    assert shots.load(rule, path, {"rule": "readout", "code": about.get("code", "")}) == 3
