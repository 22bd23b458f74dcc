# SPDX-License-Identifier: Apache-2.0
"""Starting points: what a round does, by hand with the core's learner, and the command."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")

from host_cli import tracekws, tracekws_json
from images import Form, make_image, with_traces, write_image
from tones import write_tree
from tracekws.bench import adapting
from tracekws.core import LATENT, READOUT, TRACES, Model
from tracekws.data import Clip, Progress, Recordings, episode, read_tree
from tracekws.lab import meta
from tracekws.lab.model import latent_of
from tracekws.learner import FULL_SCALE, Learner

METHOD = READOUT | TRACES | LATENT


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(make_image(seed=3, n_classes=12, n_neurons=24, window_steps=50, n_latent=26))


def silent(name: str) -> "Progress":
    return lambda done, total: None


def learned(model: Model, tree: Path, rounds: int, **more: object) -> tuple[Model, int]:
    adaptation = adapting.Experiment(shots=1, passes=2, seed=4)
    settings = meta.MetaSettings(METHOD, rounds, 0.5, adaptation)
    options = {"excluded": frozenset(), "workers": 1, **more}
    excluded, workers = options["excluded"], options["workers"]
    return meta.learn(  # type: ignore[arg-type]
        model, read_tree(tree), excluded, settings, "start", silent, workers
    )


def weights(model: Model) -> "np.ndarray":
    return np.frombuffer(Learner(model).weights, "<i2").astype(float)


def test_without_rounds_only_the_replay_vectors_are_new(model: Model, tree: Path) -> None:
    start, speakers = learned(model, tree, 0)
    assert speakers == 5
    assert (weights(start) == weights(model)).all()
    rates, labels = latent_of(start)
    assert len(labels) == 26
    assert sorted(np.bincount(labels.numpy(), minlength=12)) == [0, *[1] * 7, *[2] * 3, 13]
    learner = Learner(model)
    people = adapting.read_people(
        *(model, read_tree(tree), None, meta.pupils(model, read_tree(tree), frozenset(), 1)),
        *(adapting.Experiment(shots=1), lambda done, total: None),
    )
    heard = np.rint(256 * np.stack([learner.rates(clip) for clip in people.features]))
    for row in (256 * rates).numpy():
        assert (heard == row).all(axis=1).any()


def test_a_round_moves_by_half_of_what_the_queries_change(model: Model, tree: Path) -> None:
    """A speaker alone: the support by the schedule of adapt, then each query clip once."""
    others = frozenset(f"tra{number:05d}" for number in range(1, 5))
    start, _ = learned(model, tree, 1, excluded=others)
    base, _ = learned(model, tree, 0, excluded=others)
    settings = adapting.Experiment(shots=1, passes=2, seed=4)
    people = adapting.read_people(
        *(model, read_tree(tree), None, ["tra00000"], settings, lambda done, total: None)
    )
    rng = np.random.default_rng([4, 0, 0])
    draw = episode(people.clips, "tra00000", model.keywords, 1, 0, rng)
    learner = Learner(base, int(rng.integers(1, 2**32)))
    for scale in (32767, 16384):
        for i in rng.permutation(draw.support):
            label = model.class_of(people.clips[i].word)
            learner.take(people.features[i], label, METHOD, scale)
    before = np.frombuffer(learner.weights, "<i2").astype(float)
    assert len(draw.query) == 30
    assert len(draw.other_words) == 12
    for i in rng.permutation([*draw.query, *draw.other_words]):
        label = model.class_of(people.clips[i].word)
        learner.take(people.features[i], label, READOUT | TRACES, FULL_SCALE)
    change = np.frombuffer(learner.weights, "<i2").astype(float) - before
    assert np.abs(change).sum() > 1000
    assert (weights(start) == np.rint(weights(base) + 0.5 * change)).all()


def test_any_number_of_processes_finds_the_same(model: Model, tree: Path) -> None:
    one, _ = learned(model, tree, 2)
    two, _ = learned(model, tree, 2, workers=2)
    assert one.image == two.image
    assert (weights(one) != weights(model)).any()


def test_a_model_that_keeps_takes_moves_as_one_that_does_not(model: Model, tree: Path) -> None:
    keeping = Model(with_traces(model.image, Form.random(24, 4, seed=2)))
    start, _ = learned(keeping, tree, 1)
    bare, _ = learned(model, tree, 1)
    assert start.keeps_takes
    assert (weights(start)[: len(weights(bare))] == weights(bare)).all()


def test_rounds_help_those_who_were_not_there(tree: Path) -> None:
    """A readout of zeros: a take a word teaches it keywords, and the others to reject, too."""
    arrays = {"readout": np.zeros((24, 12)), "readout_bias": np.zeros(12)}
    known = {"seed": 3, "n_classes": 12, "n_neurons": 24, "window_steps": 50, "n_latent": 26}
    model = Model(make_image(arrays=arrays, rate_readout=1 << 26, **known))
    adaptation = adapting.Experiment(shots=1, passes=2, seed=4, draws=2)
    found = []
    for rounds in (0, 12):
        settings = meta.MetaSettings(READOUT, rounds, 1.0, adaptation)
        start, _ = meta.learn(model, read_tree(tree), frozenset(), settings, "start", silent, 1)
        people = adapting.read_people(start, read_tree(tree), None, None, adaptation, silent(""))
        columns = adapting.bench_adapt(start, people, adaptation, ["readout"], 1).rows[1].columns
        both = [columns["keywords_self"], columns["unknown_self"]]
        found.append([column.mean for column in both if column is not None])
    print(f"keywords and other words of new speakers, without and after rounds: {found}")
    assert sum(found[1]) > sum(found[0]) + 50


def test_the_command_writes_an_image(model: Model, tree: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path, model.image)
    arguments = ("lab", "meta-learn", str(path), "--data", str(tree), "--rounds", "1")
    done = tracekws(*arguments, "--output", str(tmp_path / "start.tkws"))
    assert done.returncode == 0
    assert "1 rounds over 5 speakers" in done.stdout
    assert Model.load(tmp_path / "start.tkws").image != model.image
    assert Model.load(tmp_path / "start.tkws").name == "start"
    summary = tracekws_json(*arguments, "--output", str(tmp_path / "start.tkws"), "--step", "0.1")
    assert (summary["speakers"], summary["rounds"], summary["step"]) == (5, 1, 0.1)
    assert summary["from"]["name"] == "random"
    bare = shutil.copytree(tree, tmp_path / "bare")
    for listed in bare.glob("*.txt"):
        listed.unlink()
    for options, said in (
        (("--output", "start.tkws", "--data", str(bare)), "no testing_list.txt"),
        (("--output", "start.bin"), "NAME.tkws"),
        (("--output", "start.tkws", "--shots", "4"), "no speaker has 5 takes"),
    ):
        done = tracekws(*arguments, *options)
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.startswith("error: ")
    done = tracekws(*arguments, "--output", "start.tkws", "--method", "none")
    assert "'none' is none of readout" in " ".join(done.stderr.split())


def test_pupils_have_rooms_of_their_own(model: Model, tree: Path) -> None:
    """Not those in which others are tested by the same seed."""
    pcm = np.random.default_rng(0).integers(-3000, 3000, (2, 16000)).astype(np.int16)
    clips = [Clip(Path(name), "yes", name, "testing") for name in ("aaaa", "bbbb")]
    recordings = Recordings(tuple(clips), pcm[[0, 0]], (), ())
    settings = adapting.Experiment(changed_sound="room")
    both = adapting.changed(recordings, ["aaaa", "bbbb"], read_tree(tree), settings, "training")
    assert (both[0] != both[1]).any()
    one = adapting.changed(recordings, ["bbbb"], read_tree(tree), settings, "training")
    assert (one[1] == both[1]).all()
    assert (one[0] == pcm[0]).all()


def test_a_tree_of_keywords_alone_is_rehearsed_by_them(model: Model, tree: Path) -> None:
    people = adapting.read_people(
        *(model, read_tree(tree), None, ["tra00000"], adapting.Experiment(), silent(""))
    )
    kept = [i for i, clip in enumerate(people.clips) if clip.word in model.keywords]
    words = replace(
        people,
        clips=tuple(people.clips[i] for i in kept),
        features=people.features[kept],
        others=(),
    )
    assert set(meta.rehearsal(model, words, 20)[:, 0]) == set(range(10))


def test_the_lab_needs_its_own_extra_alone() -> None:
    """Whatever its commands import is there without what training adds to torch."""
    program = (
        "import ast, importlib, pathlib, sys\n"
        "sys.modules['safetensors'] = sys.modules['tensorboard'] = None\n"
        "import tracekws.cli.lab as lab\n"
        "for node in ast.walk(ast.parse(pathlib.Path(lab.__file__).read_text())):\n"
        "    if isinstance(node, ast.ImportFrom):\n"
        "        module = importlib.import_module(node.module)\n"
        "        missing = [n.name for n in node.names if not hasattr(module, n.name)]\n"
        "        [importlib.import_module(f'{node.module}.{name}') for name in missing]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
