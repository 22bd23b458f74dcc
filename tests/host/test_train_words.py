# SPDX-License-Identifier: Apache-2.0
"""A model for other words, from a folder of clips without lists."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

pytest.importorskip("torch", reason="training needs torch: make setup-train")

from host_cli import tracekws, tracekws_json
from tones import utterance
from tracekws.core import Model
from tracekws.data import read_tree, split_by_hash, split_of
from tracekws.errors import DataError
from tracekws.train.dataset import training_clips

WORDS = ("lamp", "radio", "window")
OTHERS = ("coffee", "morning", "seven")
SPEAKERS = 24
CONFIG = """
neurons = 48
epochs = 10
batch = 32
clips_per_epoch = 768
learning_rate = 1e-2
teachers = 0
[augment]
copies = 2
noise_db = [15, 36]
"""


def spoken(word: str, speaker: int, take: int, scratch: Path) -> np.ndarray:
    """A second with a word in it, by espeak-ng, or by tones where it is not installed."""
    rng = np.random.default_rng([speaker, take])
    if shutil.which("espeak-ng") is None:
        return utterance((*WORDS, *OTHERS).index(word), rng.uniform(0.9, 1.1), rng)
    voice = ("en-us", "en-gb", "en-gb-scotland")[speaker % 3] + f"+m{1 + speaker % 7}"
    options = ("-v", voice, "-s", f"{150 + 3 * speaker + 10 * take}", "-p", f"{30 + 2 * speaker}")
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    wave = str(scratch / "said.wav")
    subprocess.run(["espeak-ng", *options, "-w", wave, word], check=True, env=environment)
    signal, rate = soundfile.read(wave)
    said = resample_poly(signal, 16000, rate)[:14000]
    pcm = rng.normal(0, 20, 16000)
    start = int(rng.integers(500, 16000 - len(said)))
    pcm[start : start + len(said)] += 8000 * said / np.abs(said).max()
    return pcm.astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of speakers, two takes of a word each; one word has files that name no speaker."""
    root = tmp_path_factory.mktemp("own")
    scratch = tmp_path_factory.mktemp("scratch")
    for word in (*WORDS, *OTHERS):
        (root / word).mkdir()
        for speaker in range(SPEAKERS):
            for take in range(2):
                name = f"voice{speaker:02d}_nohash_{take}.wav"
                if word == "coffee":
                    name = f"take {speaker * 2 + take}.wav"
                soundfile.write(root / word / name, spoken(word, speaker, take, scratch), 16000)
    (root / "_background_noise_").mkdir()
    noise = np.random.default_rng(1).normal(0, 100, 16000 * 15).astype(np.int16)
    soundfile.write(root / "_background_noise_" / "hiss.wav", noise, 16000)
    return root


def test_speakers_are_split_as_speech_commands_does_it(folder: Path) -> None:
    # by the data set's own lists
    known = {"004ae714": "training", "026290a7": "validation", "189cbabe": "testing"}
    assert {name: split_of(name) for name in known} == known
    tree = split_by_hash(read_tree(folder))
    assert len(tree.clips) == 2 * SPEAKERS * 6
    assert len(tree.of("validation")) + len(tree.of("testing")) > 0
    named = [clip for clip in tree.clips if clip.word != "coffee"]
    for speaker in {clip.speaker for clip in named}:
        assert len({clip.split for clip in named if clip.speaker == speaker}) == 1
    nobody = [clip for clip in tree.clips if clip.word == "coffee"]
    assert {clip.speaker for clip in nobody} == {""}
    assert len({clip.split for clip in nobody}) == 3  # each by itself


def test_a_model_of_other_words_recognises_them(folder: Path, tmp_path: Path) -> None:
    config, output = tmp_path / "mine.toml", tmp_path / "mine.tkws"
    config.write_text(CONFIG)
    words = ("--config", str(config), "--words", ",".join(WORDS), "--threads", "1")
    where = ("--data", str(folder), "--run", str(tmp_path / "run"), "--output", str(output))
    done = tracekws("train", *where, *words)
    assert done.returncode == 0, done.stderr
    assert Model.load(output).labels == (*WORDS, "_unknown_", "_silence_")
    card = output.with_suffix(".md").read_text()
    assert "lamp, radio, window, unknown words" in card
    assert "--config mine.toml --data DATA --run RUN --output mine.tkws --words lamp,radio" in card
    assert "Speech Commands" not in card
    held = split_by_hash(read_tree(folder)).of("testing")
    for clip in held:
        if clip.word != "coffee":
            (tmp_path / "held" / clip.word).mkdir(parents=True, exist_ok=True)
            shutil.copy(clip.path, tmp_path / "held" / clip.word)
    data = ("--data", str(tmp_path / "held"))
    result = tracekws_json("evaluate", str(output), *data, "--split", "all")
    assert result["labels"] == [*WORDS, "_unknown_", "_silence_"]
    assert result["clips"] == 50
    assert result["accuracy"] >= 80  # four classes
    few = ("--shots", "1", "--draws", "1", "--workers", "1", "--method", "none")
    report = tracekws_json("bench", "adapt", str(output), *data, *few)
    assert report["speakers"] == 5


def test_a_single_speaker_is_told_what_to_do(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*/voice00_*"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / path.parent.name)
    tree = split_by_hash(read_tree(tmp_path))
    with pytest.raises(DataError, match="record more speakers, or write validation_list"):
        training_clips(tree, (*WORDS, "_unknown_", "_silence_"))


def test_a_word_that_is_not_there_is_one_line(folder: Path, tmp_path: Path) -> None:
    where = (
        "--data",
        str(folder),
        "--run",
        str(tmp_path / "run"),
        "--output",
        str(tmp_path / "x.tkws"),
    )
    done = tracekws("train", *where, "--words", "lamp,zebra")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "no clips to train on of zebra: expected are" in done.stderr
    assert done.stderr.count("\n") == 1
