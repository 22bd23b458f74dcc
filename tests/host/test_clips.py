# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from host_cli import tracekws, tracekws_json
from tracekws.bench.clips import ClipAccuracy
from tracekws.core import Model, Network, features
from tracekws.data import read_recordings, read_tree


def test_metrics_of_a_confusion_by_hand():
    confusion = np.array([[8, 1, 1, 0], [0, 5, 4, 1], [2, 0, 17, 1], [0, 1, 1, 8]])
    result = ClipAccuracy(confusion, ("yes", "no", "_unknown_", "_silence_"), 2, 3, 0, (), "")
    assert result.clips == 40
    assert result.accuracy == pytest.approx(100 * (8 + 5 + 17) / 40)
    assert result.macro_accuracy == pytest.approx((80 + 50 + 85) / 3)
    assert result.rejected(2) == pytest.approx(90)
    assert result.rejected(3) == pytest.approx(90)


def test_empty_classes_do_not_count():
    confusion = np.array([[8, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    result = ClipAccuracy(confusion, ("yes", "no", "_unknown_", "_silence_"), 2, 3, 0, (), "")
    assert result.accuracy == result.macro_accuracy == pytest.approx(80)
    assert result.rejected(2) is None


@pytest.mark.parametrize("workers", ["1", "2"])
def test_json_equals_a_plain_loop(tree, model_file, workers):
    model = Model.load(model_file)
    recordings = read_recordings(read_tree(tree).of("testing"))
    learner = Network(model)
    heard = [
        model.labels[learner.scores(features(pcm, model.front_end)).argmax()]
        for pcm in recordings.pcm
    ]
    said = [
        clip.word if clip.word in model.keywords else model.labels[model.unknown]
        for clip in recordings.clips
    ]
    report = tracekws_json("evaluate", str(model_file), "--data", str(tree), "--workers", workers)
    assert report["clips"] == len(said) == 104
    assert report["accuracy"] == pytest.approx(100 * np.mean(np.array(said) == np.array(heard)))
    assert report["per_word"]["yes"]["clips"] == 8
    assert report["silence_clips"] == 6
    assert report["model"] == {"name": model.name, "crc": f"{model.crc:08x}"}


def test_words_outside_the_vocabulary_have_a_column_of_their_own(tree, model_file, foreign):
    model = Model.load(model_file)
    recordings = read_recordings(read_tree(foreign).clips)
    learner = Network(model)
    heard = [learner.scores(features(pcm, model.front_end)).argmax() for pcm in recordings.pcm]
    rejected = 100 * np.mean(np.isin(heard, (model.unknown, model.silence)))
    assert 0 < rejected < 100
    arguments = ("evaluate", str(model_file), "--data", str(tree))
    report = tracekws_json(*arguments, "--outside", str(foreign))
    assert report["outside_rejected"] == pytest.approx(rejected)
    assert report["outside_clips"] == len(heard) == 40
    without = tracekws_json(*arguments)
    assert without["outside_rejected"] is None
    assert {k: v for k, v in report.items() if "outside" not in k} == {
        k: v for k, v in without.items() if "outside" not in k
    }
    done = tracekws(*arguments, "--outside", str(foreign))
    assert f"outside the training vocabulary rejected {rejected:.1f} % of 40" in done.stdout


def test_split_all_works_without_lists(tree, model_file, tmp_path):
    for word in ("yes", "tree"):
        (tmp_path / word).mkdir()
        for clip in sorted((tree / word).iterdir())[:3]:
            (tmp_path / word / clip.name).write_bytes(clip.read_bytes())
    arguments = ("evaluate", str(model_file), "--data", str(tmp_path))
    report = tracekws_json(*arguments, "--split", "all")
    assert report["clips"] == 6
    assert report["silence_rejected"] is None
    done = tracekws(*arguments)
    assert done.returncode == 1
    assert "--split all" in done.stderr


def test_the_picture_is_a_picture(tree, model_file, tmp_path):
    picture = tmp_path / "confusion.png"
    done = tracekws("evaluate", str(model_file), "--data", str(tree), "--picture", str(picture))
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def damaged(image: bytes) -> bytes:
    return image[:500] + bytes([image[500] ^ 4]) + image[501:]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda image: image[:1000], "cut short"),
        (damaged, "damaged"),
        (lambda image: b"RIFF" + image[4:], "not a TraceKWS model"),
        (lambda image: b"", "not a TraceKWS model"),
    ],
)
def test_a_bad_model_is_one_line(tree, model_file, tmp_path, spoil, says):
    bad = tmp_path / "bad.tkws"
    bad.write_bytes(spoil(model_file.read_bytes()))
    done = tracekws("evaluate", str(bad), "--data", str(tree))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert "bad.tkws" in done.stderr


@pytest.fixture
def damaged_tree(tree, tmp_path):
    """A good clip and its repeat, and seven bad ones."""
    (tmp_path / "yes").mkdir()
    good, *bad = sorted((tree / "yes").iterdir())[:8]
    (tmp_path / "yes" / good.name).write_bytes(good.read_bytes())
    (tmp_path / "yes" / "again_nohash_0.wav").write_bytes(good.read_bytes())
    for clip in bad:
        (tmp_path / "yes" / clip.name).write_bytes(b"nothing")
    return tmp_path


def test_unreadable_clips_are_reported_not_fatal(damaged_tree, model_file):
    arguments = ("evaluate", str(model_file), "--data", str(damaged_tree), "--split", "all")
    report = tracekws_json(*arguments)
    assert (report["clips"], report["bad_files"], report["repeats_dropped"]) == (1, 7, 1)
    assert len(report["bad"]) == 7
    done = tracekws(*arguments)
    assert done.returncode == 0
    assert "left out: 1 repeated recordings, 7 bad files" in done.stdout
    lines = done.stderr.splitlines()
    assert [line.startswith(f"bad: {damaged_tree}/yes/") for line in lines] == [True] * 5 + [False]
    assert lines[5].startswith("and 2 more")


def test_only_bad_clips_give_the_first_reason(damaged_tree, model_file):
    for name in (damaged_tree / "yes").iterdir():
        name.write_bytes(b"nothing")
    done = tracekws("evaluate", str(model_file), "--data", str(damaged_tree), "--split", "all")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "9 are bad, the first is" in done.stderr
    assert "not readable as audio" in done.stderr
