# SPDX-License-Identifier: Apache-2.0
"""A model of own words from few recordings: its layer, its thresholds, and what it is worth."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="training needs torch: make setup-train")

from host_cli import tracekws  # noqa: E402
from recordings import write_take  # noqa: E402
from tones import utterance  # noqa: E402
from tracekws._core import lib  # noqa: E402
from tracekws.core import FeatureConfig, Model, Network, features  # noqa: E402
from tracekws.data import Clip, read_recordings, read_tree, split_by_hash  # noqa: E402
from tracekws.errors import DataError  # noqa: E402
from tracekws.learner import Learner  # noqa: E402
from tracekws.modelfile import (  # noqa: E402
    arrays_of,
    rehearsed,
    sections_of,
    thresholds,
    with_sections,
    with_thresholds,
)
from tracekws.recognizer import Recognizer  # noqa: E402
from tracekws.train import made, own  # noqa: E402
from tracekws.train.config import load_config  # noqa: E402
from tracekws.train.dataset import read_training, training_clips  # noqa: E402
from tracekws.train.defaults import DETECTOR, LEARNING  # noqa: E402
from tracekws.train.loader import Batch  # noqa: E402
from tracekws.train.network import SpikingNetwork  # noqa: E402
from tracekws.train.pipeline import Job, Trained, train  # noqa: E402

WORDS = ("lamp", "radio")
SPEAKERS = ("anna", "ben", "carla", "dan")
TAKES = 4
QUICK = replace(
    load_config("quick", words=[*WORDS]),
    epochs=6,
    batch=32,
    clips_per_epoch=256,
    learning_rate=2e-2,
)


def write_tree(root: Path, words: tuple[str, ...] = WORDS) -> Path:
    """Takes of speakers, in folders or by names."""
    for number, word in enumerate(words):
        for at, speaker in enumerate(SPEAKERS):
            rng = np.random.default_rng([number, at])
            pitch = 0.95 + 0.03 * at
            for take in range(TAKES):
                name = f"{speaker}/{take}.wav" if at % 2 else f"{speaker}_{take}.wav"
                path = root / word / name
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, utterance(number, pitch, rng), 16000)
    return root


def silently(name):
    return lambda done, total: None


START = "start.tkws"
"""The layer of base behind another front end."""


def train_in(folder: Path) -> tuple[Job, Trained, list[str]]:
    """Train on the tree in a folder, of the start there, or go on with that."""
    job = Job(folder / "tree", folder / "run", folder / "mine.tkws", frozenset(), 1, 1)
    told: list[str] = []
    config = replace(QUICK, start=START)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(own, "PARTS", 2)  # the fewest there are
        result = train(job, config, LEARNING, DETECTOR, silently, lambda epoch: None, told.append)
    return job, result, told


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    write_tree(folder / "tree", (*WORDS, "_other"))
    (folder / START).write_bytes(with_sections(Model.load("base"), {}, alpha_q15=32000))
    return train_in(folder)


def record_again(folder: Path) -> None:
    write_take(folder / "tree" / "lamp" / "anna_0.wav", 1)


def train_start_again(folder: Path) -> None:
    start = Model.load(folder / START)
    (folder / START).write_bytes(with_thresholds(start, thresholds(start) / 2))


@pytest.mark.parametrize(
    ("change", "what"), [(record_again, "(clips|noise)"), (train_start_again, "start")]
)
def test_a_checkpoint_of_another_take_or_start_is_refused(trained, tmp_path, change, what):
    job, _, _ = trained
    shutil.copytree(job.run.parent, tmp_path, dirs_exist_ok=True)
    change(tmp_path)
    with pytest.raises(DataError, match=rf"safetensors was made from {what} of another content;"):
        train_in(tmp_path)


def test_the_front_end_is_that_of_the_start(trained):
    _, result, _ = trained
    assert result.model.front_end == replace(Model.load("base").front_end, alpha_q15=32000)


@pytest.mark.parametrize(("batches", "lasts"), [(1, 50), (2, 2), (3, 2), (9, 2)])
def test_the_time_is_told_by_the_batches_that_count(monkeypatch, batches, lasts):
    """The first one lasts longer, and counts only where it is alone."""
    now = [0]

    def loss(inputs, batch):
        now[0] += 2 if now[0] else 50

    batch = Batch(np.zeros((1, 49, 80), np.int8), np.zeros(1), np.zeros(1), None)
    loader = SimpleNamespace(
        epochs=lambda sampling, epochs: iter([iter([batch] * batches)]),
        batches=lambda sampling: batches,
    )
    monkeypatch.setattr(own, "time", SimpleNamespace(monotonic=lambda: now[0]))
    run = SimpleNamespace(sampling=None, epochs=6, loss=loss)
    assert own.forecast(run, loader, Model.load("base"), 0) == 5 * 6 * batches * lasts


def test_the_layer_and_how_traces_are_compared_are_those_of_the_start(trained):
    _, result, _ = trained
    model, base = result.model, Model.load("base")
    assert model.labels == (*WORDS, "_unknown_", "_silence_")
    ours, theirs = sections_of(model), sections_of(base)
    for kind in (
        lib.TKWS_SECTION_TRACES,
        lib.TKWS_SECTION_OWN,
        lib.TKWS_SECTION_TAPS,
        lib.TKWS_SECTION_DECAY,
    ):
        assert ours[kind] == theirs[kind]
    below = 2 * 196 * (80 + 196 + 1)
    weights = lib.TKWS_SECTION_WEIGHTS
    assert ours[weights][:below] == theirs[weights][:below]
    clip = features(utterance(0, 1.0, np.random.default_rng(1)), base.front_end)
    assert (Network(model).rates(clip) == Network(base).rates(clip)).all()


def test_it_hears_speakers_that_it_does_not_know(trained):
    _, result, told = trained
    model = result.model
    network = Network(model)
    for number, word in enumerate(WORDS):
        for take in range(4):
            pcm = utterance(number, 1.05, np.random.default_rng([9, number, take]))
            assert model.labels[network.scores(features(pcm, model.front_end)).argmax()] == word
    assert len({*thresholds(model)[:2]} | {DETECTOR.threshold}) > 1
    assert result.worth.speakers == len(SPEAKERS)
    assert not result.worth.made_others
    assert not result.worth.poor
    said = "\n".join(result.worth.lines())
    assert "held out in turn, 4 speakers" in said
    assert "100 other words" in said
    assert "warning" not in said
    told = "\n".join(told)
    for text in ("no _background_noise_: noise is made", "this takes about"):
        assert text in told
    assert "no other words" not in told


def test_the_card_has_what_was_held_out(trained):
    job, result, _ = trained
    card = job.output.with_suffix(".md").read_text()
    assert "Stream, validation, background 40 dB below" in card
    assert "Speech Commands" not in card
    assert Model.load(job.output).crc == result.model.crc


def test_such_a_model_is_adapted_and_taught(trained):
    _, result, _ = trained
    model = result.model
    learner = Learner(model)
    takes = [utterance(7, 1.0, np.random.default_rng([3, take])) for take in range(3)]
    learner.teach("window", takes)
    learner.learn([("lamp", utterance(0, 1.0, np.random.default_rng(4)))])
    ear = Recognizer(model, learner.weights)
    said = np.concatenate([np.zeros(16000, np.int16), takes[0], np.zeros(32000, np.int16)])
    assert "window" in [event.word for event in ear.push(said)]


def test_a_poor_model_is_called_so(trained):
    worth = trained[1].worth
    middling = {**worth.streams[0], "hit_percent": own.HEARD_SHARE + own.MADE_EXCESS - 1}
    assert not replace(worth, streams=(middling, worth.streams[1])).poor
    assert replace(worth, streams=(middling, worth.streams[1]), made_others=True).poor
    clean = {**worth.streams[0], "hit_percent": own.HEARD_SHARE - 1}
    poor = replace(worth, streams=(clean, worth.streams[1]), speakers=0, made_others=True)
    assert poor.poor
    assert "warning: a poor model" in poor.lines()[-1]
    assert "clips, of voices that it knows" in poor.lines()[0]
    assert "synthesiser" in poor.lines()[0]


def test_an_image_in_numbers_is_the_network_that_it_was_made_of():
    base = Model.load("base")
    network = SpikingNetwork(80, 8, 196, 12, load_config("quick").convolution)
    own.hold(network, base)
    arrays = arrays_of(base)
    clip = features(utterance(3, 1.0, np.random.default_rng(2)), base.front_end)
    with torch.no_grad():
        rates = network(torch.from_numpy(clip[None].astype(np.float32) / 16)).rates[0].numpy()
    core = Network(base).rates(clip)
    # integers of the core's membranes move some spikes; another scale of anything gives below 0.5
    assert np.corrcoef(rates, core)[0, 1] > 0.85
    scores = core @ arrays.readout + arrays.readout_bias
    np.testing.assert_allclose(scores, Network(base).scores(clip) / 1024, atol=0.05)
    classes, rehearsal = rehearsed(base)
    assert len(classes) == 196
    assert rehearsal.shape == (196, 196)
    assert 0 < rehearsal.mean() < 0.2


def test_what_is_made_is_held_out_with_what_it_is_made_of(tmp_path):
    tree = split_by_hash(read_tree(write_tree(tmp_path / "tree")))
    assert own.few_others(own.in_parts(tree, tree.clips, WORDS), WORDS)
    whole, told = made.completed(tree, WORDS, tmp_path / "made", 1)
    assert len(told) == 2
    read = read_recordings(whole.clips)
    assert not read.bad
    pieces = [clip for clip in whole.clips if clip.word == made.PIECES]
    of = {clip.speaker: clip.split for clip in tree.clips}
    assert {clip.split for clip in pieces} == {*of.values()}
    assert all(clip.split == of[clip.speaker] for clip in pieces)
    known = [row for row, clip in enumerate(read.clips) if clip.word in WORDS]
    assert len(known) == len(tree.clips)
    voices = {clip.speaker: clip.split for clip in whole.clips if "speech" in clip.path.parts}
    assert {*voices.values()} == {"training", "validation", "testing"}
    classes = (*WORDS, "_unknown_", "_silence_")  # as training from scratch wants them
    assert len(training_clips(whole, classes)) > len(tree.of("training"))
    again, _ = made.completed(tree, WORDS, tmp_path / "again", 1)
    same = read_recordings(again.clips)
    assert (same.pcm == read.pcm).all()


def test_nothing_to_train_on_is_made_of_who_is_left_out_or_held_out(tmp_path):
    """Anna alone is trained on: the others may say anything."""
    root, run = write_tree(tmp_path / "tree"), tmp_path / "run"
    for split, speaker in (("validation", "carla_"), ("testing", "dan/")):
        names = [f"{word}/{speaker}{take}.wav" for word in WORDS for take in range(TAKES)]
        (root / f"{split}_list.txt").write_text("\n".join(names))
    run.mkdir()
    (run / "checkpoint.safetensors").write_bytes(b"")
    job = Job(root, run, tmp_path / "x.tkws", frozenset({"ben"}), 1, 1)
    config = replace(load_config("base"), words=WORDS, teachers=0)
    babble = []
    for _ in range(2):
        with pytest.raises(DataError, match="damaged"):  # what is made is there by then
            train(job, config, LEARNING, DETECTOR, silently, lambda epoch: None)
        babble.append((run / "made" / "noise" / "babble.wav").read_bytes())
        assert len([*run.glob("made/pieces/training-*")]) == 2 * TAKES * len(WORDS)
        for number, clip in enumerate(read_tree(root).clips):
            if clip.speaker != "anna":
                write_take(clip.path, number)
    assert babble[0] == babble[1]


def test_words_of_the_package_that_are_learned_are_not_other_words():
    said = {clip.word for clip in made.voices(("yes", "go"), ("training",))}
    assert not said & {"yes", "go"}
    assert {"no", "_other"} <= said


@pytest.mark.parametrize("kind", [made.pink, made.hum])
def test_made_noise_is_sound_without_end(kind):
    noise = kind(np.random.default_rng(1), 160000)
    halves = [half.std() for half in np.split(noise, 2)]
    assert 0.5 < halves[0] / halves[1] < 2
    assert np.isfinite(noise).all()


def test_a_tree_that_has_all_is_left_alone(tree, tmp_path):
    whole = read_tree(tree)
    assert made.completed(whole, ("yes", "no"), tmp_path / "made", 1) == (whole, [])
    assert not (tmp_path / "made").exists()


BAD_TREES = {
    "speakers-before-words": ("anna/lamp/1.wav", "the folders of words come first"),
    "single-take": ("lamp/1.wav", "1 readable take of 'lamp'"),
    "another-word": ("radio/1.wav", "no clips to train on of lamp: expected are"),
}


@pytest.mark.parametrize("name", BAD_TREES)
def test_what_cannot_be_trained_is_said(tmp_path, name):
    file, said = BAD_TREES[name]
    write_take(tmp_path / "tree" / file, 1)
    config = replace(QUICK, words=("lamp",))
    job = Job(tmp_path / "tree", tmp_path / "run", tmp_path / "x.tkws", frozenset(), 1, 1)
    with pytest.raises(DataError, match=said):
        train(job, config, LEARNING, DETECTOR, silently, lambda epoch: None)
    assert not job.output.exists()


def write_copies(tree: Path) -> None:
    """Two words that have the same five clips, and another one."""
    for take in range(5):
        for word in ("lamp", "light"):
            write_take(tree / word / f"{take}.wav", take)
        write_take(tree / "_other" / f"{take}.wav", 10 + take)


COPIES = r"5 are copies of others, as .*/light/0\.wav of .*/lamp/0\.wav"


def test_clips_that_are_copies_of_another_word_s_are_named(tmp_path):
    write_copies(tmp_path / "tree")
    config = replace(QUICK, words=("lamp", "light"))
    job = Job(tmp_path / "tree", tmp_path / "run", tmp_path / "x.tkws", frozenset(), 1, 1)
    with pytest.raises(DataError, match=f"0 readable takes of 'light'; left out: {COPIES}: record"):
        train(job, config, LEARNING, DETECTOR, silently, lambda epoch: None)


def test_training_from_scratch_names_copies_too(tmp_path):
    write_copies(tmp_path)
    write_take(tmp_path / "lamp" / "8.wav", 8)
    write_take(tmp_path / "lamp" / "9.wav", 9)
    write_take(tmp_path / "_background_noise_" / "1.wav", 20, 64000)
    (tmp_path / "testing_list.txt").write_text("lamp/8.wav\n")
    (tmp_path / "validation_list.txt").write_text("lamp/9.wav\n")
    classes = ("lamp", "light", "_unknown_", "_silence_")
    with pytest.raises(DataError, match=f"no clips to train on of light .*{COPIES}"):
        read_training(read_tree(tmp_path), FeatureConfig(), classes, lambda done, total: None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neurons": 64}, "neurons is that of start = 'base'"),
        ({"teachers": 1}, "teachers = 0 is needed"),
    ],
    ids=["neurons", "teachers"],
)
def test_settings_that_a_start_excludes(changes, said):
    with pytest.raises(DataError, match=said):
        load_config("quick", **changes)


def test_the_command_says_what_is_missing_in_one_line(tmp_path):
    write_take(tmp_path / "tree" / "lamp" / "1.wav", 1)
    where = (
        "--data",
        tmp_path / "tree",
        "--run",
        tmp_path / "run",
        "--output",
        tmp_path / "x.tkws",
    )
    done = tracekws("train", *map(str, where), "--words", "lamp", "--config", "quick")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_few_takes_of_one_voice_are_held_out_one_by_one(tmp_path):
    for take in range(4):
        write_take(tmp_path / "lamp" / f"{take}.wav", take)
    parts = own.in_parts(read_tree(tmp_path), read_tree(tmp_path).clips, ["lamp"])
    assert len({clip.split for clip in parts.clips}) == 4
    read = read_recordings(parts.clips)
    own.check_parts(parts, ("lamp",), read)
    few = replace(parts, clips=parts.clips[:3])
    with pytest.raises(DataError, match="too few takes of lamp: 4 in all at least"):
        own.check_parts(few, ("lamp",), read)
    clips = [Clip(Path(f"lamp/anna/{n}.wav"), "lamp", "anna", "0") for n in range(2)]
    with pytest.raises(DataError, match="all of one voice"):
        own.check_parts(replace(parts, clips=tuple(clips)), ("lamp",), read)


def test_every_part_has_a_word_in_it_where_few_speakers_say_it(tmp_path):
    """Three say the word, a fourth says something else: no part is without a keyword."""
    for speaker in ("anna", "ben", "carla"):
        for take in range(5):
            write_take(tmp_path / "lamp" / speaker / f"{take}.wav", 10 * ord(speaker[0]) + take)
    for take in range(5):
        write_take(tmp_path / "_other" / "dan" / f"{take}.wav", take)
    tree = read_tree(tmp_path)
    parts = own.in_parts(tree, tree.clips, ["lamp"])
    own.check_parts(parts, ("lamp",), read_recordings(tree.clips))
    assert {clip.split for clip in parts.clips if clip.word == "lamp"} == {"0", "1", "2", "3"}
