# SPDX-License-Identifier: Apache-2.0
"""The shipped model on real speech: where ../shared/data is; skipped elsewhere."""

import io
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest
import soundfile

from host_cli import tracekws_json
from tracekws.bench import adapting
from tracekws.boards.virtual import board_program, virtual_board
from tracekws.columns import CAPTIONS
from tracekws.core import GUARDED, Model, Network
from tracekws.data import KEYWORDS, read_tree
from tracekws.device import adapt as adaptation
from tracekws.device.device import Device
from tracekws.device.takes import read_takes
from tracekws.errors import TraceKwsError
from tracekws.learner import Learner

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT.parent / "shared" / "data" / "gsc"
MODEL = ROOT / "models" / "base.tkws"

pytestmark = pytest.mark.skipif(
    not SPEECH.is_dir(), reason="no real speech at ../shared/data: figures were not checked"
)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """The validation and testing splits as a tree."""
    root = tmp_path_factory.mktemp("gsc")
    wanted = set()
    for split in ("validation", "testing"):
        text = (SPEECH / f"{split}_list.txt").read_text()
        (root / f"{split}_list.txt").write_text(text)
        wanted |= {line.rsplit(".", 1)[0] for line in text.split()}
    for archive in sorted(SPEECH.glob("*.tar")):
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.removeprefix("./").rsplit(".", 1)[0]
                if name not in wanted:
                    continue
                stored = tar.extractfile(member)
                assert stored is not None
                pcm, rate = soundfile.read(io.BytesIO(stored.read()), dtype="int16")
                target = root / f"{name}.wav"
                target.parent.mkdir(exist_ok=True)
                soundfile.write(target, pcm, rate)
    (root / "_background_noise_").mkdir()
    for noise in sorted((SPEECH.parent / "background_noise").glob("*.flac")):
        pcm, rate = soundfile.read(noise, dtype="int16")
        soundfile.write(root / "_background_noise_" / f"{noise.stem}.wav", pcm, rate)
    return root


def test_the_shipped_model_is_as_good_as_its_card_says(speech):
    card = MODEL.with_suffix(".md").read_text()
    for split, floor in (("validation", 88.0), ("testing", 80.0)):
        report = tracekws_json("evaluate", "--data", str(speech), "--split", split)
        assert report["accuracy"] >= floor
        assert f"{report['accuracy']:.2f} % of {report['clips']:,} clips" in card
        assert report["silence_rejected"] > 90


def test_the_shipped_model_hears_keywords_on_a_stream(speech):
    options = ("--split", "validation", "--hours", "0.1", "--snr", "40")
    report = tracekws_json("bench", "stream", "--data", str(speech), *options)
    (heard,) = report["speech"]
    assert heard["keywords"] > 40
    assert heard["distinct_other_words"] == heard["other_words"] > 90
    assert 0 < heard["latency_seconds"]["p95"] < 1
    rare = [at for at in heard["roc"] if at["false_alarms_per_100_other_words"] <= 5]
    assert max(at["hit_percent"] for at in rare) > 45


def test_the_shipped_model_fits_its_class_of_device():
    model = Model.load(MODEL)
    assert model.weight_bytes <= 112 * 1024
    assert 0 < model.takes_bytes <= 6 * 1024
    assert len(model.image) <= 192 * 1024


def test_adapting_by_default_helps_and_keeps_rejection(speech):
    model = Model.load(MODEL)
    listed = (SPEECH / "adaptation_speakers.txt").read_text().split()
    settings = adapting.Experiment(draws=1)
    people = adapting.read_people(
        model, read_tree(speech), None, listed, settings, lambda done, total: None
    )
    (method,) = [
        m for m, flags in adapting.METHODS.items() if flags & ~GUARDED == model.header.method
    ]
    report = adapting.bench_adapt(model, people, settings, [method])
    assert len(report.people.speakers) == 38
    gain = report.rows[1].gain
    assert gain["keywords_self"].mean > 1
    for column in list(CAPTIONS)[1:4]:
        assert gain[column].mean > -4, column


def test_a_whole_speaker_learns_over_the_line_as_through_cffi(speech, tmp_path):
    try:
        board_program()
    except TraceKwsError as error:
        pytest.skip(str(error))
    speaker = "1b4c9b89"  # an adaptation speaker who is misheard at first
    takes_of = defaultdict(list)
    for clip in read_tree(speech).clips:
        if clip.speaker == speaker:
            takes_of[clip.word if clip.word in KEYWORDS else "_other"].append(clip.path)
    folder = tmp_path / "takes"
    for word, paths in takes_of.items():
        (folder / word).mkdir(parents=True)
        for path in sorted(paths)[:3]:
            (folder / word / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    model = Model.load(MODEL)
    unknown, silence = model.labels[model.unknown], model.labels[model.silence]
    takes = read_takes(folder, model.labels, unknown, silence)
    with (
        virtual_board(MODEL, tmp_path / "flash") as board,
        Device.open(board.port) as device,
    ):
        result = adaptation.adapt(device, takes, takes, seed=5, config=model.front_end)
        learned = device.weights()
    assert result.generation == 1
    assert result.after.keywords_self.right > result.before.keywords_self.right

    learner = Learner(model, seed=5)
    learner.learn([(take.label, take.pcm) for take in takes], seed=5)
    assert learner.weights == learned
    assert learned != Network(model).weights
