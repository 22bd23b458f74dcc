# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="training needs torch: make setup-train")

import safetensors.torch  # noqa: E402

from host_cli import HANG_SECONDS, start, tracekws  # noqa: E402
from tracekws.bench.clips import evaluate  # noqa: E402
from tracekws.core import (  # noqa: E402
    LATENT,
    READOUT,
    TAKES,
    FeatureConfig,
    Model,
    Network,
)
from tracekws.data import KEYWORDS, read_tree  # noqa: E402
from tracekws.errors import DataError, TraceKwsError  # noqa: E402
from tracekws.sensitivity import expected  # noqa: E402
from tracekws.train import dataset, loop  # noqa: E402
from tracekws.train.config import load_config  # noqa: E402
from tracekws.train.defaults import DETECTOR, LEARNING  # noqa: E402
from tracekws.train.export import export, replay_rows  # noqa: E402
from tracekws.train.group import Group  # noqa: E402
from tracekws.train.loader import Batch, Loader  # noqa: E402
from tracekws.train.loop import StudentRun, TeacherRun, to_input  # noqa: E402
from tracekws.train.network import SpikingNetwork, lif_layer, surrogate  # noqa: E402
from tracekws.train.pipeline import Job, train, train_with  # noqa: E402

BASE = load_config("base")
CLASSES = BASE.classes
SMALL = replace(
    BASE,
    neurons=32,
    epochs=16,
    batch=32,
    clips_per_epoch=1024,
    seed=7,
    teachers=1,
    teacher=replace(BASE.teacher, epochs=3, batch=32, channels=(24, 32), kernel=5),
    augment=replace(BASE.augment, copies=2),
)


WORDS = 40
"""More than the tree has."""


def words_of(clips):
    """How many words are told apart."""
    return len(dataset.words_of(clips, BASE.words))


def silently(name):
    return lambda done, total: None


def read(tree, *excluded, config=SMALL):
    """Source, validation clips and recordings of a tree."""
    kept = dataset.without_speakers(read_tree(tree), frozenset(excluded))
    return dataset.read_training(kept, FeatureConfig(), config.classes, silently(""))


class Spike(torch.autograd.Function):
    """A spike as torch's own automatic differentiation needs it."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u > 1).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * surrogate(ctx.saved_tensors[0])


def test_layer_gradients_equal_automatic_differentiation():
    torch.manual_seed(1)
    shape = (12, 3, 7)
    current = (torch.randn(shape, dtype=torch.float64) + 0.3).requires_grad_()
    recurrent = (torch.randn(7, 7, dtype=torch.float64) * 0.4).requires_grad_()
    decay = torch.rand(7, dtype=torch.float64).requires_grad_()
    weight = torch.randn(shape, dtype=torch.float64)

    v = s = torch.zeros(3, 7, dtype=torch.float64)
    spikes = []
    for t in range(12):
        u = decay * v + current[t] + s @ recurrent
        s = Spike.apply(u)
        v = u - s.detach()
        spikes.append(s)
    expected_spikes = torch.stack(spikes)
    expected = torch.autograd.grad((expected_spikes * weight).sum(), [current, recurrent, decay])
    ours = lif_layer(current, recurrent, decay)
    assert torch.equal(ours, expected_spikes)
    assert 0.1 < ours.mean() < 0.9
    for got, want in zip(
        torch.autograd.grad((ours * weight).sum(), [current, recurrent, decay]),
        expected,
        strict=True,
    ):
        torch.testing.assert_close(got, want)


def test_traces_are_the_leaky_sums_of_the_paper():
    network = SpikingNetwork(80, 2, 5, 3)
    averages = network.averages(49).detach().numpy()
    spikes = np.random.default_rng(1).integers(0, 2, 49).astype(float)
    trace, at = 0.0, {}
    for t, spike in enumerate(spikes):
        trace = 0.95 * trace + 0.05 * spike
        at[t] = trace
    np.testing.assert_allclose(averages[0] @ spikes, spikes.mean(), rtol=1e-5)
    for row, t in zip(averages[1:], (23, 35, 48), strict=True):
        np.testing.assert_allclose(row @ spikes, at[t], rtol=1e-4)


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    job = Job(tree, folder / "run", folder / "tones.tkws", frozenset(), 1, 1)
    model = train(job, SMALL, LEARNING, DETECTOR, silently, lambda epoch: None).model
    return job, model


def test_training_learns_the_words_and_the_core_agrees_with_torch(trained, tree):
    job, model = trained
    clips = dataset.training_clips(read_tree(tree), CLASSES)
    run = StudentRun(SMALL, words_of(clips), job.run, dataset.names_digest(clips), Group())
    assert len(run.history) == SMALL.epochs
    _, held, _ = read(tree)
    learner = Network(model)
    core = np.array([learner.scores(clip) for clip in held.features]) / 1024
    with torch.no_grad():
        floats = run.network(to_input(held.features)).scores.numpy()
    words = held.labels != CLASSES.index("_silence_")
    accuracy = (core.argmax(1) == held.labels)[words].mean()
    float_accuracy = (floats.argmax(1) == held.labels)[words].mean()
    assert float_accuracy > 0.8  # eleven classes
    assert abs(accuracy - float_accuracy) <= 0.03
    assert (core.argmax(1) == floats.argmax(1)).mean() > 0.95
    assert np.median(np.abs(core - floats)) < 0.15  # seeds 1 to 8: 0.12 to 0.43


def test_the_card_says_what_evaluate_says(trained, tree):
    job, model = trained
    card = job.output.with_suffix(".md").read_text()
    result = evaluate(model, read_tree(tree), "testing")
    assert f"{result.accuracy:.2f} % of 104 clips" in card
    assert f"CRC {model.crc:08x}" in card
    assert "CC BY 4.0" in card
    assert Model.load(job.output).crc == model.crc


def test_the_card_says_what_to_expect_of_a_stream(trained):
    job, model = trained
    rare, own, often = (
        expected(job.output.with_suffix(".json"), model.crc, level) for level in (-6, 0, 6)
    )
    assert own.split == "testing"
    assert [snr for snr, _, _ in own.rows] == [40, 10]
    for few, some, many in zip(rare.rows, own.rows, often.rows, strict=True):
        assert few[1] < some[1]
        assert few[2] <= some[2] <= many[2]
    card = job.output.with_suffix(".md").read_text()
    assert f"{own.rows[0][1]:.1f} % of the keywords heard" in card
    assert expected(job.output.with_suffix(".json"), model.crc ^ 1, 0) is None


class Killed(Exception):
    pass


def train_both(config, tree, folder, kill_at=(None, 0)):
    """Teacher and student; killed, as by a signal, behind an epoch of one of them."""
    source, held, _ = read(tree)
    loader = Loader(source, folder.parent / "cache", FeatureConfig(), config, 1)

    def report(epoch):
        if (epoch.network, epoch.epoch) == kill_at:
            raise Killed

    try:
        teacher = TeacherRun(config, WORDS, 0, folder, "clips", Group())
        teacher.train(loader, held, report)
        student = StudentRun(config, WORDS, folder, "clips", Group(), [teacher.network])
        student.train(loader, held, report)
    finally:
        loader.close()
    return teacher, student


def test_a_killed_run_goes_on_to_the_same_weights(tree, tmp_path):
    config = replace(SMALL, epochs=3, clips_per_epoch=256)
    straight = train_both(config, tree, tmp_path / "straight")
    for kill_at in (("teacher-1", 2), ("checkpoint", 2)):
        with pytest.raises(Killed):
            train_both(config, tree, tmp_path / "broken", kill_at)
    resumed = train_both(config, tree, tmp_path / "broken")
    for whole, broken in zip(straight, resumed, strict=True):
        assert [e.epoch for e in broken.history] == [1, 2, 3]
        for name, value in whole.network.state_dict().items():
            assert torch.equal(value, broken.network.state_dict()[name]), name
    for run in ("teacher-1", "checkpoint"):  # two runs of a seed: the same but for the clock
        whole, broken = (
            safetensors.torch.load_file(tmp_path / folder / f"{run}.safetensors")
            for folder in ("straight", "broken")
        )
        assert whole.keys() == broken.keys()
        assert all(torch.equal(whole[key], broken[key]) for key in whole)
    with pytest.raises(DataError, match="other settings"):
        StudentRun(replace(config, seed=2), WORDS, tmp_path / "broken", "clips", Group())
    with pytest.raises(DataError, match="other clips"):
        StudentRun(config, WORDS, tmp_path / "broken", "other clips", Group())
    shallow = replace(config, teacher=replace(config.teacher, channels=(24,)))
    with pytest.raises(DataError, match=r"teacher-1.* was made with other settings"):
        TeacherRun(shallow, WORDS, 0, tmp_path / "broken", "clips", Group())
    # a teacher does for students of other sizes
    bigger = TeacherRun(
        replace(config, neurons=64), WORDS, 0, tmp_path / "broken", "clips", Group()
    )
    assert len(bigger.history) == 3


def test_a_checkpoint_of_another_front_end_is_refused(tmp_path, monkeypatch):
    StudentRun(SMALL, WORDS, tmp_path, "clips", Group()).save()
    monkeypatch.setattr(loop, "front_end_version", lambda: "another")
    with pytest.raises(DataError, match="another front end"):
        StudentRun(SMALL, WORDS, tmp_path, "clips", Group())


class OneBatch:
    """A loader of a batch an epoch."""

    def batches(self, sampling):
        return 1

    def epochs(self, sampling, epochs):
        labels = np.zeros(2, np.int64)
        for _ in epochs:
            yield iter([Batch(np.ones((2, 49, 80), np.int8), labels, labels, None)])


def test_a_checkpoint_without_digests_of_its_content_is_taken(tmp_path):
    """As earlier versions wrote them."""
    made, other = {"clips": "1", "noise": "2"}, {"clips": "1", "noise": "3"}
    config = replace(SMALL, epochs=1)
    run = StudentRun(config, WORDS, tmp_path, "clips", Group())
    run.bind(made)
    held = dataset.Evaluation(np.ones((2, 49, 80), np.int8), np.zeros(2, np.int64))
    run.train(OneBatch(), held, lambda epoch: None)
    again = StudentRun(config, WORDS, tmp_path, "clips", Group())
    again.bind(made)
    with pytest.raises(DataError, match="was made from noise of another content; remove it"):
        again.bind(other)
    with safetensors.safe_open(run.checkpoint, "pt") as file:
        meta = json.loads(file.metadata()["run"])
    del meta["content"]
    tensors = safetensors.torch.load_file(run.checkpoint)
    safetensors.torch.save_file(tensors, run.checkpoint, {"run": json.dumps(meta)})
    StudentRun(config, WORDS, tmp_path, "clips", Group()).bind(other)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    run = StudentRun(SMALL, WORDS, tmp_path, "clips", Group())
    run.network.readout.data[:] = torch.nan
    with pytest.raises(TraceKwsError, match="checkpoint, epoch 1: the loss is nan, no number"):
        run.train(OneBatch(), None, lambda epoch: None)
    assert not run.checkpoint.exists()


def test_batches_of_teachers_that_are_not_there_need_not_fit_the_processes(tree, tmp_path):
    config = replace(SMALL, batch=33, teachers=0)
    job = Job(tree, tmp_path / "run", tmp_path / "none" / "x.tkws", frozenset(), 1, 1)

    def refusal(config):
        with pytest.raises(DataError) as error:
            train_with(
                Group(size=3), job, config, LEARNING, DETECTOR, silently, lambda e: None, print
            )
        return str(error.value)

    assert "no such folder to write into" in refusal(config)
    assert (
        refusal(replace(config, teachers=1)) == "a batch of 32 clips is not for 3 processes alike"
    )


def test_tensorboard_and_a_picture_show_the_run(trained):
    job, _ = trained
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    clips = dataset.training_clips(read_tree(job.data), CLASSES)
    digest = dataset.names_digest(clips)
    student = StudentRun(SMALL, words_of(clips), job.run, digest, Group())
    teacher = TeacherRun(SMALL, words_of(clips), 0, job.run, digest, Group())
    for run, names in ((student, {"contrast_accuracy", "rate"}), (teacher, set())):
        events = accumulator.EventAccumulator(str(job.run / "tensorboard" / run.name)).Reload()
        assert set(events.Tags()["scalars"]) == {"loss", "accuracy", "seconds"} | names
        for name in events.Tags()["scalars"]:
            seen = [(e.step, e.value) for e in events.Scalars(name)]
            expected = [(e.epoch, getattr(e, name)) for e in run.history]
            np.testing.assert_allclose(seen, expected, rtol=1e-6)
    assert (job.run / "training.png").read_bytes().startswith(b"\x89PNG")


def children(pid):
    """Processes of a process, theirs included."""
    own = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                own += [int(stat.parent.name), *children(int(stat.parent.name))]
    return own


def wait_until(condition):
    """Look again and again."""
    end = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.05)


STOPS_WHEN_SAVED = """
import signal
from tracekws.cli import main
from tracekws.train.loop import Run

save = Run.save

def save_and_stop(run):
    save(run)
    signal.pause()

Run.save = save_and_stop
main()
"""
"""The command line, which goes no further than the first checkpoint."""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_kill_in_the_middle_of_the_teacher_leaves_nothing_running(tree, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        "neurons = 16\nbatch = 32\nclips_per_epoch = 128\nepochs = 2\nteachers = 1\n"
        "[teacher]\nepochs = 3\nbatch = 32\nchannels = [16, 16]\n[augment]\ncopies = 2\n"
    )
    run, output = tmp_path / "run", tmp_path / "x.tkws"
    where = ("--data", tree, "--run", run, "--output", output, "--config", tmp_path / "tiny.toml")
    process = start("train", *where, program=STOPS_WHEN_SAVED)
    wait_until(lambda: (run / "teacher-1.safetensors").exists() or process.poll() is not None)
    workers = children(process.pid)
    assert workers
    process.kill()
    process.communicate()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    done = tracekws("train", *map(str, where))
    assert done.returncode == 0, done.stderr
    assert "teacher-1, epoch 3: " in done.stderr
    assert "teacher-1, epoch 1: " not in done.stderr
    assert Model.load(output).header.n_neurons == 16


def test_excluded_speakers_are_not_trained_on(tree):
    everyone, without = read(tree)[2], read(tree, "tra00001")[2]
    speakers = [{clip.speaker for clip in r.clips} for r in (everyone, without)]
    assert speakers[0] - speakers[1] == {"tra00001"}


def test_training_without_lists_or_noise_is_one_line(tree, tmp_path):
    run = ["--run", str(tmp_path / "run"), "--output", str(tmp_path / "x.tkws")]
    (tmp_path / "data" / "yes").mkdir(parents=True)
    clip = next((tree / "yes").iterdir())
    (tmp_path / "data" / "yes" / clip.name).write_bytes(clip.read_bytes())
    done = tracekws("train", "--data", str(tmp_path / "data"), *run)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.tkws").exists()


def test_the_default_words_are_those_of_the_project():
    assert BASE.words == KEYWORDS


def refused(tree, tmp_path, *options, output="x.tkws", run="run"):
    """What train says when it refuses, which is one line; no copies have been made."""
    words = ("--run", str(tmp_path / run), "--output", str(tmp_path / output), *options)
    done = tracekws("train", "--data", str(tree), *words)
    assert done.returncode == 1, done.stdout
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert list((tmp_path / "cache").glob("*")) == []
    return done.stderr


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("none/x.tkws", "no such folder to write into"),
        ("a name that is longer than an image has room for.tkws", "a name is 1 to 31 "),
        ("zwölf" + "x" * 26 + ".tkws", "bytes of UTF-8"),
        ("my words.tkws", "without spaces"),
        (".hidden.tkws", "without a full stop in front"),
        ("x.md", "NAME.tkws"),
        ("folder.tkws", "this is a folder"),
    ],
)
def test_a_model_that_could_not_be_written_is_refused_at_the_start(tree, tmp_path, output, said):
    (tmp_path / "folder.tkws").mkdir()
    assert said in refused(tree, tmp_path, output=output)
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_written_is_refused_at_the_start(tree, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert "file/run: cannot be written" in refused(tree, tmp_path, run="file/run")


@pytest.mark.parametrize("how", ["cut short", "another file", "no metadata", "empty", "flipped"])
def test_a_damaged_checkpoint_is_refused_at_the_start(trained, tree, tmp_path, how):
    job, _ = trained
    whole = (job.run / "checkpoint.safetensors").read_bytes()
    damaged = {
        "cut short": whole[:-100],
        "another file": b"something else entirely",
        "no metadata": safetensors.torch.save({"x": torch.zeros(2)}),
        "empty": b"",
        "flipped": whole[:3] + bytes([whole[3] ^ 1]) + whole[4:],
    }
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.parent.mkdir()
    path.write_bytes(damaged[how])
    assert f"{path}: damaged" in refused(tree, tmp_path)
    assert path.read_bytes() == damaged[how]


def test_a_checkpoint_of_other_settings_or_clips_is_refused_at_the_start(tree, tmp_path):
    clips = dataset.training_clips(read_tree(tree), CLASSES)
    config = replace(BASE, neurons=16)
    StudentRun(
        config, words_of(clips), tmp_path / "run", dataset.names_digest(clips), Group()
    ).save()
    assert "other settings" in refused(tree, tmp_path, "--neurons", "17")
    excluded = tmp_path / "excluded.txt"
    excluded.write_text("tra00001\n")
    options = ("--neurons", "16", "--exclude-speakers", str(excluded))
    assert "other clips" in refused(tree, tmp_path, *options)


def nobody_to_learn_from(root):
    """What the lists name is there; the speakers of training did not say "go"."""
    for clip in (root / "go").glob("tra*.wav"):
        clip.unlink()


def short_noise(root):
    soundfile.write(root / "_background_noise_" / "short.wav", np.zeros(16000), 16000)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (nobody_to_learn_from, "no clips to train on of go ("),
        (lambda root: shutil.rmtree(root / "go"), "testing_list.txt, line "),
        (short_noise, "short.wav: shorter than two seconds"),
    ],
    ids=["word", "listed", "short noise"],
)
def test_data_that_cannot_be_trained_on_is_refused_at_the_start(tree, tmp_path, spoil, said):
    spoil(shutil.copytree(tree, tmp_path / "data"))
    assert said in refused(tmp_path / "data", tmp_path)


def test_replay_is_half_keywords_and_even_over_all_words():
    """Two keywords, five other words of which one has a single clip, and silence."""
    rng = np.random.default_rng(1)
    words = np.array([0, 1, 2, 3, 4, 5, 7]).repeat(30)
    words = np.append(words, 6)
    rows = replay_rows(words, rng.random((len(words), 16)), 2, 40)
    assert len(set(rows)) == len(rows)
    counts = np.bincount(words[rows], minlength=8)
    assert counts.tolist() == [10, 10, 4, 4, 4, 4, 1, 0]


def test_a_network_that_fills_the_image_goes_without_sequences():
    rng = np.random.default_rng(1)
    labels = np.arange(len(CLASSES)).repeat(100)
    clips = rng.integers(0, 60, (len(labels), 49, 80)).astype(np.int8)
    network = SpikingNetwork(80, 8, 256, len(CLASSES))
    image = export(
        "big", network, CLASSES, clips, labels, labels, FeatureConfig(), LEARNING, DETECTOR
    )
    model = Model(image)
    assert (model.header.n_latent, model.header.n_sequences) == (196, 0)
    assert (model.header.method, model.c.traces.rank) == (TAKES, 32)


@pytest.mark.parametrize(("takes", "fires"), [(3, True), (10, False)], ids=["few", "silent"])
def test_where_takes_tell_nothing_the_readout_learns(takes, fires):
    labels = np.arange(len(CLASSES)).repeat(takes)
    clips = np.random.default_rng(1).integers(0, 60, (len(labels), 49, 80)).astype(np.int8)
    network = SpikingNetwork(80, 8, 16, len(CLASSES))
    network.weights.data *= fires
    image = export(
        "few", network, CLASSES, clips, labels, labels, FeatureConfig(), LEARNING, DETECTOR
    )
    model = Model(image)
    assert (model.header.method, model.header.passes) == (READOUT | LATENT, 5)
    assert model.takes_bytes == 0
