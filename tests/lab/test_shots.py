# SPDX-License-Identifier: Apache-2.0
"""Adapting a trained network to a speaker: what is kept, what is asked, what repeats give away."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from host_cli import tracekws, tracekws_json  # noqa: E402
from speaker_tree import HELD, RECORDINGS, WORDS, make_tree  # noqa: E402
from tracekws.cli.lab import counts_of  # noqa: E402
from tracekws.errors import DataError  # noqa: E402
from tracekws.lab import experiment, runs, shots  # noqa: E402
from tracekws.lab.data import Config  # noqa: E402
from tracekws.lab.experiment import Plan  # noqa: E402
from tracekws.lab.network import Constants, Dense, LabError  # noqa: E402
from tracekws.lab.rule import Optimiser  # noqa: E402
from tracekws.lab.rules import RULES  # noqa: E402
from tracekws.lab.shots import Adapt, ShotsOutcome, ShotsResult  # noqa: E402
from tracekws.lab.tasks.commands import CONFIGS, PAPER_SPEAKER, Commands  # noqa: E402

SMALL = Config(
    network=(Dense(60, recurrent=True),),
    constants=Constants(alpha=0.9, beta=0.9, v_th=1.0),
    batch=16,
    epochs=1,
    rate=1e-3,
    origin="of this test",
)
TASK = Commands(configs={"small": SMALL})
PLAN = Plan("readout", {}, seed=1, epochs=1)
BY_HEART = Adapt("readout", {"readout_rate": 0.1, "update": "clip"}, 10)
"""Noise is learned by heart, and nothing else can be."""


def stage(name: str) -> Callable[[int, int], None]:
    return lambda done, total: None


def run(
    tree: Path,
    folder: Path,
    adapt: Adapt = BY_HEART,
    numbers: tuple[int | None, ...] = (0, 1, 3),
    repeats: int | None = None,
    seeds: int = 1,
    plan: Plan = PLAN,
    task: Commands = TASK,
) -> ShotsOutcome:
    plans = [replace(plan, seed=seed) for seed in range(1, seeds + 1)]
    return shots.run(task, None, tree, plans, adapt, numbers, repeats, folder, stage)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("shots"), RECORDINGS)


def test_what_repeats_give_away(tree: Path, tmp_path: Path) -> None:
    outcome = run(tree, tmp_path, numbers=(0, 1, None), repeats=6, seeds=2)
    rows = {(row.split, row.shots): row for row in shots.rows_of(outcome.results, TASK)}
    distinct, repeats = rows["distinct", "all"], rows["published", "all"]
    # a word: five recordings, three learned and two asked; 30 names, 24 learned and 6 asked
    assert (distinct.support, distinct.query, distinct.repeated) == (12, 8, 0)
    assert (repeats.support, repeats.query) == (96, 24)
    assert repeats.repeated > 95
    assert repeats.accuracy > 75
    assert distinct.accuracy == pytest.approx(25, abs=20)  # chance
    # one of five recordings was heard; the rest is chance
    once = rows["published", "1"]
    assert once.repeated == pytest.approx(20, abs=10)
    heard = once.repeated / 100
    assert once.accuracy == pytest.approx(100 * (heard + (1 - heard) / 4), abs=15)
    assert rows["distinct", "0"].support == rows["published", "0"].repeated == 0


def test_adapting_goes_on_where_training_stopped(tree: Path, tmp_path: Path) -> None:
    """With the same S, and new moments: against the rule that trained, left to go on."""
    plan = Plan("tp", {"rate": 1e-3}, 7, 2)
    split, held = TASK.prepare(tree, 0)
    for path in (tmp_path / "new.pt", tmp_path / "new.pt"):  # trained, then read
        network = shots.trained(TASK, "small", split, plan, path, stage(""))
    support = held.draw(HELD, 3, 7).support
    adapt = Adapt("tp", plan.settings, 3)
    found = shots.adapted(network, adapt, 7, support, SMALL).network.parameters()

    rule = RULES["tp"](network=experiment.new_network(SMALL, split, 7), seed=7, **plan.settings)
    for clips, passes in ((split.train, 2), (support, 3)):
        rule.rate, rule.descent = 1e-3, Optimiser("adam")
        rule.readout_rate = 1e-4
        experiment.train(rule, clips, SMALL, passes, 7, stage(""))
    for name, weights in rule.network.parameters().items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=0)
        assert not torch.equal(found[name], network.parameters()[name])


class Stopped(Exception):
    """In the place of Ctrl-C."""


def test_training_goes_on_after_the_last_pass(tree: Path, tmp_path: Path) -> None:
    plan = Plan("tp", {}, 1, 4)
    split, _ = TASK.prepare(tree, 0)

    def stop_in_the_third(done: int, total: int) -> None:
        if done > total // 2:
            raise Stopped

    batches: list[int] = []
    with pytest.raises(Stopped):
        shots.trained(TASK, "small", split, plan, tmp_path / "a.pt", stop_in_the_third)
    stopped, whole = (
        shots.trained(
            TASK, "small", split, plan, tmp_path / name, lambda done, _: batches.append(done)
        )
        for name in ("a.pt", "b.pt")
    )
    assert batches == [3, 4, 1, 2, 3, 4]
    for name, weights in whole.parameters().items():
        torch.testing.assert_close(stopped.parameters()[name], weights, rtol=0, atol=0)


def test_standardised_networks_go_on_too(tree: Path, tmp_path: Path) -> None:
    config = replace(SMALL, standardised=True)
    task = replace(TASK, configs={"small": config})
    split, held = task.prepare(tree, 0)
    support = held.draw(HELD, 3, 1).support
    found = []
    for _ in range(2):  # trained, then read
        network = shots.trained(
            task, "small", split, Plan("tp", {}, 1, 1), tmp_path / "a.pt", stage("")
        )
        rule = shots.adapted(network, Adapt("tp", {"rate": 1e-3}, 1), 1, support, config)
        found.append(rule.network.parameters())
    for name, weights in found[0].items():
        torch.testing.assert_close(found[1][name], weights, rtol=0, atol=0)


def test_nothing_is_done_twice(tree: Path, tmp_path: Path) -> None:
    first = run(tree, tmp_path)
    path = tmp_path / shots.RESULTS
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    path.write_text("\n".join(lines[:2]) + "\n")  # as if stopped
    weights = (tmp_path / "readout-1.pt").stat().st_mtime_ns
    again = run(tree, tmp_path)
    assert len(path.read_text().splitlines()) == 3
    assert (tmp_path / "readout-1.pt").stat().st_mtime_ns == weights
    assert [r.accuracy for r in again.results] == [r.accuracy for r in first.results]
    other = run(tree, tmp_path, replace(BY_HEART, passes=2))
    assert len(path.read_text().splitlines()) == 6
    assert [r.passes for r in other.results] == [2] * 3


def test_networks_of_other_settings_or_data_are_refused(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path)
    with pytest.raises(DataError, match=r"readout-1.pt: a network of epochs 1, not 2; remove it"):
        run(tree, tmp_path, plan=Plan("readout", {}, 1, 2))
    shutil.copytree(tree, tmp_path / "tree")
    (tmp_path / "tree" / "go" / "aaaa_nohash_0.wav").unlink()
    with pytest.raises(DataError, match=r"readout-1.pt: a network of data \w{16}, not \w{16};"):
        run(tmp_path / "tree", tmp_path)
    (tmp_path / "readout-1.pt").write_bytes(b"PK no weights")
    with pytest.raises(DataError, match=r"readout-1.pt: damaged; remove it"):
        run(tree, tmp_path)


def test_refusals_come_before_training(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no speaker has enough takes of two words for 5 shots"):
        run(tree, tmp_path, numbers=(0, 5))
    with pytest.raises(LabError, match="newton"):
        run(tree, tmp_path, Adapt("tp", {"optimiser": "newton"}, 3))
    with pytest.raises(DataError, match="prototype learns beside the network's weights"):
        run(tree, tmp_path, Adapt("prototype", {}, 3))
    with pytest.raises(DataError, match=r"--set codes=fitting: .* leave it out"):
        run(tree, tmp_path, plan=Plan("device", {"codes": "fitting"}, 1, 1))
    with pytest.raises(DataError, match="no clips of speaker eeee"):
        run(tree, tmp_path, task=replace(TASK, speakers=("eeee",)))
    assert list(tmp_path.iterdir()) == []


def test_all_numbers_of_shots_are_asked_the_same_words(tree: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tree, tmp_path / "tree")
    for take in (2, 3, 4):  # two takes are left: one to learn, one to ask
        (copy / "go" / f"{HELD}_nohash_{take}.wav").unlink()
    for numbers, words in (((0, 1), WORDS), ((0, 1, 3), WORDS[1:])):
        for result in run(copy, tmp_path, numbers=numbers).results:
            assert result.words == list(words)
            assert result.query == 2 * 3 + (words == WORDS)


@pytest.mark.parametrize(
    ("adapt", "rates"),
    [
        ("readout", {"rate": 2e-4, "readout_rate": 1e-4}),
        ("device", {"rate": 2.8e-4, "readout_rate": 1.0}),
    ],
)
def test_rates_are_the_config_s_where_none_is_set(
    tree: Path, tmp_path: Path, adapt: str, rates: dict[str, float]
) -> None:
    assert CONFIGS["paper"].rate == 1e-4
    runs.run_shots(
        tree,
        tmp_path,
        splitting="distinct",
        speakers=None,
        rule="readout",
        given=["rate=2e-4"],
        adapt=adapt,
        adapt_given=[],
        config=None,
        epochs=1,
        seeds=1,
        passes=1,
        counts=(0,),
        repeats=None,
        stage=stage,
    )
    (found,) = experiment.read_results(tmp_path / shots.RESULTS, ShotsResult)
    assert found.settings == {"rate": 2e-4, "readout_rate": 1e-4}
    assert found.adapt_settings == rates


RATES = {"rate": 1e-4, "readout_rate": 1e-4}
"""Those of the paper's config, and the defaults of Traces Propagation as well."""


def result(seed: int, speaker: str, accuracy: float) -> ShotsResult:
    return ShotsResult(
        config="paper", data="", rule="tp", settings=RATES, epochs=10, seed=seed,
        adapt="tp", adapt_settings=RATES, passes=3, split="published", repeats=1,
        speaker=speaker, words=[], shots=1, accuracy=accuracy, support=4,
        query=10, repeated=5, seconds=0.0, version="",
    )  # fmt: skip


def test_spreads_are_over_speakers_and_over_seeds() -> None:
    values = {(1, "a"): 50.0, (1, "b"): 70.0, (2, "a"): 60.0, (2, "b"): 90.0}
    results = [result(seed, speaker, value) for (seed, speaker), value in values.items()]
    (row,) = shots.rows_of(results, Commands())
    assert row.accuracy == 67.5
    assert row.over_speakers == pytest.approx(25 / 2**0.5)  # of 55 and 80
    assert row.over_seeds == pytest.approx(15 / 2**0.5)  # of 60 and 75
    assert (row.speakers, row.seeds, row.support, row.query, row.repeated) == (2, 2, 8, 20, 50)
    (row,) = shots.rows_of(results[:1], Commands())
    assert row.over_speakers is row.over_seeds is None


@pytest.mark.parametrize(
    ("changes", "figure", "comparable"),
    [
        ({}, 91.62, True),
        ({"shots": None}, 97.30, True),
        ({"shots": 3}, None, True),
        ({"split": "distinct"}, 91.62, False),
        ({"speaker": "a"}, 91.62, False),
        ({"epochs": 2}, 91.62, False),
        ({"settings": RATES | {"rate": 1e-3}}, 91.62, False),
        ({"settings": (other := RATES | {"gain": 2.0}), "adapt_settings": other}, 91.62, False),
        ({"adapt": "readout"}, None, False),
    ],
)
def test_the_paper_is_beside_what_it_measured(
    changes: dict[str, object], figure: float | None, comparable: bool
) -> None:
    assert CONFIGS["paper"].epochs == 10
    assert RULES["tp"].settings().items() >= RATES.items()
    (row,) = shots.rows_of([replace(result(1, PAPER_SPEAKER, 80.0), **changes)], Commands())
    assert (row.paper and row.paper.mean) == figure
    assert row.comparable == comparable


def test_numbers_of_shots_are_read() -> None:
    assert counts_of("0, 1,5,all,1") == (0, 1, 5, None)
    for text in ("0,few", "", "-1"):
        with pytest.raises(typer.BadParameter, match="numbers or all, as in 0,1,5,all"):
            counts_of(text)


def test_the_command(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fixed = ("lab", "shots", "--data", str(tree), "--run", str(folder), "--epochs", "1")
    done = tracekws(*fixed, "--repeats", "4")
    assert "every recording under 4 names" in done.stdout
    assert "91.6 ± 2.1" in done.stdout
    assert "not comparable" in done.stdout
    lines = [json.loads(line) for line in (folder / shots.RESULTS).read_text().splitlines()]
    found = tracekws_json(*fixed)  # from the file
    assert [(row["split"], row["shots"]) for row in found["rows"]] == [
        ("distinct", number) for number in ("0", "1", "3")
    ]
    assert [row["accuracy"] for row in found["rows"]] == [line["accuracy"] for line in lines[:3]]
    assert found["left_out"] == []
    assert len((folder / shots.RESULTS).read_text().splitlines()) == len(lines) == 6
