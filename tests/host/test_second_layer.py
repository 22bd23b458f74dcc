# SPDX-License-Identifier: Apache-2.0
"""The second layer of benchmarks/second_layer.py: its target path, its training, its rows."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: make setup-train")

from programs import load_program  # noqa: E402
from tracekws import data  # noqa: E402
from tracekws.core import FeatureConfig, Model  # noqa: E402
from tracekws.errors import DataError  # noqa: E402
from tracekws.lab import on_device  # noqa: E402
from tracekws.lab.model import filtered  # noqa: E402
from tracekws.train import loader, loop  # noqa: E402
from tracekws.train.config import load_config  # noqa: E402
from tracekws.train.defaults import DETECTOR, LEARNING  # noqa: E402
from tracekws.train.export import export  # noqa: E402
from tracekws.train.group import Group  # noqa: E402

BASE = load_config("base", teachers=0)
SMALL = replace(
    BASE,
    neurons=16,
    epochs=1,
    batch=16,
    clips_per_epoch=32,
    augment=replace(BASE.augment, copies=2),
)


@pytest.fixture(scope="module")
def program():
    return load_program("benchmarks/second_layer.py")


@pytest.fixture(scope="module")
def made(program):
    """A random network of two layers, features that make it fire, its image and second layer."""
    torch.manual_seed(3)
    network = program.TwoLayers(SMALL, 20)
    with torch.no_grad():
        network.weights.mul_(1.5)
        network.second_bias.copy_(torch.linspace(-0.1, 0.3, SMALL.neurons))
        network.readout_bias.copy_(torch.linspace(-1, 1, 12))
    rng = np.random.default_rng(2)
    features = rng.integers(-20, 60, (40, 49, 80)).astype(np.int8)
    labels, words = np.arange(40) % 12, np.arange(40) % 20
    image = export(
        *("layers-2", network, SMALL.classes, features, labels, words, FeatureConfig()),
        *(LEARNING, DETECTOR),
        sequences=0,
    )
    first = Model(image)
    return network, first, program.second_of(network, first, features, labels, words), features


def test_training_and_the_lab_hear_the_same(made):
    """Two programs for one network: in the lab its first layer comes from the image, in int16."""
    network, first, second, features = made
    with torch.no_grad():
        wanted = network(loop.to_input(features))
    learner = on_device.float_learner(first, "tp", 1, second=second)
    rates, _ = on_device.rates_and_logits(learner.rule, filtered(first, features), None)
    assert rates.mean() > 0.03
    assert (rates - wanted.rates).abs().mean() < 0.05 * wanted.rates.mean()
    scores = torch.from_numpy(learner.scores_of(features)) / 1024
    assert (scores - wanted.scores).abs().mean() < 0.05 * wanted.scores.std()


def test_the_target_paths_of_training_and_of_the_lab_are_one(made):
    network, first, second, features = made
    rule = on_device.make_rule(first, on_device.METHODS["tp"], {"rate": 0.0}, second)
    on_device.rates_and_logits(rule, filtered(first, features[:1]), torch.tensor([4]))
    eps, bank = rule.eps[1], rule.bank[1]
    assert bank.mean() > 0.01
    contrast = rule.gain * eps.shape[1] ** -0.5 * eps @ bank.T
    with torch.no_grad():
        wanted = network(loop.to_input(features[:1])).contrast
    assert wanted.shape == (1, 6, 12)  # of three steps in each layer
    torch.testing.assert_close(contrast, wanted[:, -1], rtol=0.1, atol=0.05)


def test_replay_is_of_the_second_layer(made, program):
    network, first, second, features = made
    rates, labels = second.latent
    with torch.no_grad():
        heard = network(loop.to_input(features)).rates
    assert len(rates) == len(labels) > 20
    for rate, label in zip(rates, labels, strict=True):
        nearest = int((heard - rate).abs().sum(1).argmin())
        assert nearest % 12 == label
    alone = sum(values.numel() for values in program.weights_of(first, None))
    size = SMALL.neurons
    both = sum(values.numel() for values in program.weights_of(first, second))
    assert both - alone == 2 * size * size + size


def test_both_layers_and_their_firing_learn(made, program, tmp_path):
    """A batch again and again: the penalty holds for the first layer, and every weight moves."""
    features = made[3]
    labels = np.arange(40) % 3
    run = program.TwoLayersRun(replace(SMALL, rate_target=0.0), 20, tmp_path, "", Group())
    before = {name: values.clone() for name, values in run.network.state_dict().items()}
    batches = [loader.Batch(features, labels, labels, None)] * 10
    with torch.no_grad():
        run.network(loop.to_input(features))
        firing = run.network.first_rates.mean()
    losses = [run.train_epoch(batches, len(batches)) for _ in range(4)]
    assert losses[-1] < losses[0]
    with torch.no_grad():
        run.network(loop.to_input(features))
    assert run.network.first_rates.mean() < 0.8 * firing
    after = run.network.state_dict()
    assert all((after[name] != before[name]).any() for name in before)


def test_the_program_trains_adapts_and_writes_a_row_a_network(program, tree, tmp_path):
    speakers = tmp_path / "speakers.txt"
    left_out = sorted({clip.speaker for clip in data.read_tree(tree).of("training")})[:2]
    speakers.write_text("\n".join(left_out) + "\n")
    job = program.Job(tree, speakers, tmp_path / "run", tmp_path / "rows.json")
    program.run(job, {1: SMALL, 2: replace(SMALL, neurons=12)}, 1)
    rows = json.loads(job.file.read_text())
    assert [(row["layers"], row["neurons"]) for row in rows] == [(1, 16), (2, 12)]
    for row in rows:
        assert row["speakers"] == 2
        assert [method["method"] for method in row["methods"]] == [*program.METHODS]
    with pytest.raises(DataError, match="other settings"):
        program.run(job, {1: replace(SMALL, neurons=15), 2: SMALL}, 1)
