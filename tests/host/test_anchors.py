# SPDX-License-Identifier: Apache-2.0
"""The anchors of benchmarks/anchors.py: their size, their training, their rows."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: make setup-train")

import safetensors.torch  # noqa: E402

from programs import load_program  # noqa: E402
from tracekws.train import loader, loop  # noqa: E402
from tracekws.train.config import load_config  # noqa: E402

NAMES = ["ds-cnn-s", "bc-resnet-1"]
BASE = load_config("base")
SMALL = replace(
    BASE,
    epochs=2,
    batch=16,
    clips_per_epoch=32,
    seed=7,
    teacher=replace(BASE.teacher, epochs=1, batch=16, channels=(24, 32), kernel=5),
    augment=replace(BASE.augment, copies=2),
)


@pytest.fixture(scope="module")
def anchors():
    return load_program("benchmarks/anchors.py")


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    # The papers: 38.6 KB in all at 8 bits, and 9.2 k. By hand, layer by layer:
    [
        (
            "ds-cnn-s",
            (40 * 64 + 4 * (9 * 64 + 64 * 64)) + 9 * 2 * 64 + 65 * 12,
            250 * (40 * 64 + 4 * (9 * 64 + 64 * 64)) + 64 * 12,
        ),
        ("bc-resnet-1", 9232, None),
    ],
)
def test_the_networks_have_the_size_of_the_papers(anchors, name, parameters, multiply_adds):
    network = anchors.ANCHORS[name](12)
    assert anchors.parameters(network) == parameters
    if multiply_adds:
        assert anchors.multiply_adds(network) == multiply_adds


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_frames_by_channels(anchors, name):
    """What is heard at one time in one channel is where the first convolution looks for it."""
    features = torch.zeros(1, 49, 80)
    features[0, 20, 40 + 7] = 1  # the second frame of its step
    picture = anchors.spectrogram(features)
    assert picture.shape == (1, 1, 98, 40)
    assert picture.nonzero().tolist() == [[0, 0, 41, 7]]
    network = anchors.ANCHORS[name](12).eval()
    first = network.layers[0]
    seen = []
    first.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    network(features)
    (time, channel) = (2, 3) if name == "ds-cnn-s" else (3, 2)
    touched = seen[0].detach().abs().sum(1).nonzero()
    strides = {2: first.stride[0], 3: first.stride[1]}
    for axis, at, reach in ((time, 41, 10), (channel, 7, 5)):
        where = touched[:, axis - 1] * strides[axis]
        assert len(where)
        assert (where - at).abs().max() < reach


@pytest.mark.parametrize("name", NAMES)
def test_anchors_learn_from_labels_and_from_a_teacher(anchors, tmp_path, name):
    """The same few clips again and again: three classes, told apart by where they are loud."""
    rng = np.random.default_rng(1)
    labels = np.arange(12) % 3
    features = rng.integers(0, 20, (12, 49, 80)).astype(np.int8)
    for clip, label in zip(features, labels, strict=True):
        clip[15 * label : 15 * label + 15, 20:40] += 60
    config = replace(SMALL, teachers=0)
    batches = [loader.Batch(features, labels, labels, None)] * 20

    def wrong(inputs):
        """Says class 5 of everything."""
        return torch.nn.functional.one_hot(torch.full((len(inputs),), 5), 12) * 20.0

    run = anchors.AnchorRun(name, config, tmp_path, "", [])

    def guesses():
        """By the batch's own moments: the running ones lag behind so few batches."""
        return run.network(loop.to_input(features)).argmax(1).numpy()

    before = run.train_epoch(batches[:1], 1)
    for _ in range(2):
        after = run.train_epoch(batches, len(batches))
    assert after < before / 2
    assert (guesses() == labels).mean() > 0.7
    run.teachers = [wrong]
    run.config = replace(config, teachers=1, soft_weight=1.0)
    for _ in range(2):
        run.train_epoch(batches, len(batches))
    assert (guesses() == 5).mean() > 0.7


class Killed(Exception):
    pass


def kill_behind(epoch_number):
    def report(epoch):
        if (epoch.network, epoch.epoch) == ("bc-resnet-1", epoch_number):
            raise Killed

    return report


def test_anchors_go_on_after_a_kill_and_keep_other_rows(anchors, tree, tmp_path, monkeypatch):
    jobs = [
        anchors.Job(tree, tmp_path / name, tmp_path / f"{name}.json")
        for name in ("straight", "broken")
    ]
    other = {"model": "bc-resnet-1", "seed": 1, "validation": 1.5}
    stale = {"model": "bc-resnet-1", "seed": SMALL.seed, "validation": 2.5}
    jobs[0].file.write_text(json.dumps([stale, other]))
    anchors.run(jobs[0], NAMES, [SMALL])
    rows = json.loads(jobs[0].file.read_text())
    assert [(row["model"], row["seed"]) for row in rows] == [
        ("bc-resnet-1", 1),
        ("bc-resnet-1", 7),
        ("ds-cnn-s", 7),
    ]
    assert rows[0] == other
    for row in rows[1:]:
        assert row["epochs"] == SMALL.epochs
        assert row["parameters"] == anchors.parameters(anchors.ANCHORS[row["model"]](12))
        folder = tmp_path / "straight" / f"seed-{SMALL.seed}"
        state = safetensors.torch.load_file(folder / f"{row['model']}.safetensors")
        assert all(torch.isfinite(value).all() for value in state.values())
    by_name = {row["model"]: row for row in rows[1:]}

    teacher = tmp_path / "broken" / "teacher-1.safetensors"
    teacher.parent.mkdir(parents=True)
    teacher.write_bytes((tmp_path / "straight" / teacher.name).read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(anchors, "report", kill_behind(1))
        patch.setattr(loop.TeacherRun, "loss", None)  # a teacher that is there is not trained
        with pytest.raises(Killed):
            anchors.run(jobs[1], ["bc-resnet-1"], [SMALL])
        assert not jobs[1].file.exists()
        patch.setattr(anchors, "report", lambda epoch: None)
        anchors.run(jobs[1], ["bc-resnet-1"], [SMALL])
    whole, resumed = (
        safetensors.torch.load_file(job.run / f"seed-{SMALL.seed}" / "bc-resnet-1.safetensors")
        for job in jobs
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert json.loads(jobs[1].file.read_text()) == [by_name["bc-resnet-1"]]


def test_sub_bands_are_normalised_each_by_itself(anchors):
    norm = anchors.SubSpectralNorm(3)
    levels = torch.arange(5.0).repeat_interleave(2)  # of ten channels in five bands
    torch.manual_seed(1)
    x = torch.randn(8, 3, 10, 20) * (1 + levels[:, None]) + 10 * levels[:, None]
    out = norm(x).detach()
    assert out.shape == x.shape
    bands = out.reshape(8, 3, 5, 2, 20)
    np.testing.assert_allclose(bands.mean((0, 3, 4)), 0, atol=1e-5)
    np.testing.assert_allclose(bands.var((0, 3, 4), correction=0), 1, atol=1e-3)
