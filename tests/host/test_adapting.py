# SPDX-License-Identifier: Apache-2.0
import shutil

import numpy as np
import pytest

from host_cli import tracekws, tracekws_json
from images import cells, make_image, write_image
from tracekws._core import ffi
from tracekws.bench import adapting
from tracekws.bench.adapting import (
    SAME_REJECTION,
    DrawOutcome,
    methods_for,
    same_rejection_right,
    tabulate,
)
from tracekws.columns import CAPTIONS
from tracekws.core import Model, Network, features
from tracekws.data import read_recordings, read_tree
from tracekws.errors import ModelError
from tracekws.modelfile import with_words

DEVICE_COLUMNS = list(CAPTIONS)[:4]
NEURONS = {"seed": 3, "n_classes": 12, "n_neurons": 24, "window_steps": 50}
"""A random layer that tells the words of tree apart."""


def bench(model_file, tree, *more):
    arguments = ("bench", "adapt", str(model_file), "--data", str(tree), "--shots", "2")
    return tracekws_json(*arguments, "--draws", "2", *more)


def test_every_method_has_a_row_with_every_column(model_file, tree):
    report = bench(model_file, tree)
    assert [row["method"] for row in report["rows"]] == methods_for(Model.load(model_file))
    assert report["speakers"] == 2
    for row in report["rows"]:
        assert row["unknown_outside"] is None
        for name in (*DEVICE_COLUMNS, SAME_REJECTION):
            interval = row["intervals"][name]
            assert 0 <= interval["low"] <= row[name] <= interval["high"] <= 100
            assert row["gain"][name]["mean"] == pytest.approx(
                row[name] - report["rows"][0][name], abs=1e-9
            )
    none = report["rows"][0]
    assert none["keywords_self"] == none[SAME_REJECTION]


def test_the_same_seed_gives_the_same_table_on_any_number_of_cores(model_file, tree):
    tables = [
        bench(model_file, tree, "--workers", workers, "--seed", seed)["rows"]
        for workers, seed in (("1", "5"), ("2", "5"), ("2", "6"))
    ]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


def test_negatives_leave_the_rejection_query(model_file, tree):
    few = bench(model_file, tree, "--method", "readout")
    many = bench(model_file, tree, "--method", "readout", "--negatives", "5")
    assert few["unknown_self_clips"] - many["unknown_self_clips"] == 2 * 5
    assert [row["method"] for row in few["rows"]] == ["none", "readout"]


def test_too_many_shots_is_one_line(model_file, tree):
    done = tracekws("bench", "adapt", str(model_file), "--data", str(tree), "--shots", "4")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: no speaker has 5 takes")


def test_a_speaker_whose_takes_are_repeats_is_not_chosen(model_file, tree, tmp_path):
    copy = shutil.copytree(tree, tmp_path / "data")
    for first in copy.glob("*/tes00001_nohash_0.wav"):
        first.with_name("tes00001_nohash_3.wav").write_bytes(first.read_bytes())
    arguments = ("bench", "adapt", str(model_file), "--data", str(copy), "--method", "none")
    report = tracekws_json(*arguments, "--shots", "3", "--draws", "1")
    assert report["speakers"] == 1
    assert report["repeats_dropped"] == 13
    listed = tmp_path / "speakers.txt"
    listed.write_text("tes00001\n")
    done = tracekws(*arguments, "--shots", "3", "--speakers", str(listed))
    assert done.returncode == 1
    assert done.stderr.startswith("error: none of the listed speakers has 4 takes of a keyword (")
    listed.write_text("tes00000\ntes00001\n")
    done = tracekws(*arguments, "--shots", "3", "--draws", "1", "--speakers", str(listed))
    assert "1 speakers, 1 draws" in done.stdout
    assert "too few takes: tes00001" in done.stdout


def test_listed_speakers_count_once_and_must_be_there(model_file, tree, tmp_path):
    listed = tmp_path / "speakers.txt"
    listed.write_text("tes00001 tra00000\ntes00001\n")
    arguments = ("--method", "none", "--speakers", str(listed))
    assert bench(model_file, tree, *arguments)["speakers"] == 2
    listed.write_text("tes00001 who not there either\n")
    done = tracekws("bench", "adapt", str(model_file), "--data", str(tree), *arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "names who, not, there and 1 more, of whom there are no clips" in done.stderr
    listed.write_text("\n")
    done = tracekws("bench", "adapt", str(model_file), "--data", str(tree), *arguments)
    assert done.returncode == 1
    assert "names nobody" in done.stderr


def test_the_others_are_the_same_for_every_seed(model_file, tree, monkeypatch):
    monkeypatch.setattr(adapting, "OTHER_KEYWORDS", 9)
    monkeypatch.setattr(adapting, "OTHER_UNKNOWN", 7)
    others = []
    for seed in (1, 2):
        people = adapting.read_people(
            Model.load(model_file),
            read_tree(tree),
            None,
            None,
            adapting.Experiment(seed=seed),
            lambda done, total: None,
        )
        others.append([people.clips[i] for i in people.others])
    assert others[0] == others[1]
    assert len(others[0]) == 16
    assert {clip.split for clip in others[0]} == {"validation"}


@pytest.fixture(scope="module")
def readout(tree):
    """Least squares from the rates of NEURONS to the classes, over the training speakers."""
    model = Model(make_image(**NEURONS))
    network = Network(model)
    recordings = read_recordings(read_tree(tree).of("training"))
    rates = np.array([network.rates(features(pcm, model.front_end)) for pcm in recordings.pcm])
    wanted = np.eye(12)[[model.class_of(clip.word) for clip in recordings.clips]]
    return 4096 * np.linalg.lstsq(rates, wanted, rcond=0.01)[0]


def test_a_model_against_itself_differs_nowhere(model_file, tree):
    report = bench(model_file, tree, "--method", "tp+replay", "--against", str(model_file))
    assert report["against"] == report["model"]
    for row in report["rows"]:
        assert row["against"]["unknown_outside"] is None
        for name in (*DEVICE_COLUMNS, SAME_REJECTION):
            assert row["against"][name] == {"mean": 0, "low": 0, "high": 0}


def test_a_model_with_a_ruined_readout_is_worse_by_what_the_other_is_better(
    tree, readout, tmp_path
):
    """The ruined one has features of its own, too."""
    good, ruined = tmp_path / "good.tkws", tmp_path / "ruined.tkws"
    for path, factor, alpha in ((good, 1, 32113), (ruined, -1, 30000)):
        arrays = {"readout": factor * readout}
        path.write_bytes(make_image(arrays=arrays, alpha_q15=alpha, **NEURONS))
    options = (tree, "--method", "readout", "--against")
    found, swapped = bench(good, *options, str(ruined)), bench(ruined, *options, str(good))
    assert found["against"] == swapped["model"] != found["model"]
    for ours, theirs in zip(found["rows"], swapped["rows"], strict=True):
        for name in (*DEVICE_COLUMNS, SAME_REJECTION):
            gain, loss = ours["against"][name], theirs["against"][name]
            assert gain["mean"] == pytest.approx(ours[name] - theirs[name])
            assert [gain["mean"], gain["low"], gain["high"]] == pytest.approx(
                [-loss["mean"], -loss["high"], -loss["low"]]
            )
            assert ours["method"] != "none" or gain["low"] > 40, name


def test_the_order_of_the_words_makes_no_difference(tree, readout, tmp_path):
    order = [*range(9, -1, -1), 10, 11]
    arrays = {"readout": readout, "readout_bias": np.zeros(12)}
    straight = write_image(tmp_path, make_image(arrays=arrays, **NEURONS))
    labels = Model.load(straight).labels
    arrays["readout"] = readout[:, order]
    arrays["labels"] = cells(*(labels[c] for c in order))
    turned = tmp_path / "turned.tkws"
    turned.write_bytes(make_image(arrays=arrays, **NEURONS))
    (row,) = bench(straight, tree, "--method", "none", "--against", str(turned))["rows"]
    assert row["keywords_self"] > 50
    for name in (*DEVICE_COLUMNS, SAME_REJECTION):
        assert row["against"][name] == {"mean": 0, "low": 0, "high": 0}


def test_the_difference_to_another_model_is_a_table_of_its_own(model_file, tree):
    arguments = ("bench", "adapt", str(model_file), "--data", str(tree), "--shots", "2")
    arguments = (*arguments, "--draws", "1", "--method", "none")
    done = tracekws(*arguments, "--against", str(model_file))
    assert done.stdout.count("+0.0") == 5 * len(("mean", "low", "high"))
    assert "the paired difference to the other model" in done.stdout
    assert "the other model" not in tracekws(*arguments).stdout


def test_models_of_other_words_are_not_compared(model_file, tree, tmp_path):
    other = write_image(tmp_path, make_image(n_classes=5))
    arguments = ("bench", "adapt", str(model_file), "--data", str(tree))
    done = tracekws(*arguments, "--against", str(other))
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {other}: it knows yes no up, and 'random' knows "
        f"yes no up down left right on off stop go: compare models of the same words\n"
    )


def test_bad_files_are_reported(model_file, tree, tmp_path):
    copy = shutil.copytree(tree, tmp_path / "data")
    (copy / "yes" / "tes00001_nohash_0.wav").write_bytes(b"nothing")
    report = bench(model_file, copy, "--method", "none")
    assert report["bad_files"] == 1
    assert "yes/tes00001_nohash_0.wav: not readable" in report["bad"][0]
    arguments = ("--shots", "2", "--draws", "1", "--method", "none")
    done = tracekws("bench", "adapt", str(model_file), "--data", str(copy), *arguments)
    assert done.returncode == 0
    assert "left out: 0 repeated recordings, 1 bad files" in done.stdout
    assert f"bad: {copy}/yes/tes00001_nohash_0.wav: not readable" in done.stderr


def test_outside_words_have_a_column_and_change_no_other(model_file, tree, foreign):
    outside = ("--outside", str(foreign))
    options = ("--method", "readout")
    rows = [bench(model_file, tree, *options, *more)["rows"] for more in ((), outside)]
    for plain, row in zip(*rows, strict=True):
        assert {k: v for k, v in row.items() if k in DEVICE_COLUMNS} == {
            k: v for k, v in plain.items() if k in DEVICE_COLUMNS
        }
    none, adapted = (row["unknown_outside"] for row in rows[1])
    heard = tracekws_json("evaluate", str(model_file), "--data", str(tree), *outside)
    assert none == pytest.approx(heard["outside_rejected"])
    assert adapted != none
    short = ("bench", "adapt", str(model_file), "--data", str(tree), *options, "--draws", "1")
    assert "outside" not in tracekws(*short).stdout
    assert "outside" in tracekws(*short, *outside).stdout


def test_a_changed_sound_changes_what_the_speakers_say_and_nothing_else(model_file, tree):
    options = ("--method", "none")
    clean, room, again, noise, less = (
        bench(model_file, tree, *options, *more)
        for more in (
            (),
            ("--changed-sound", "room"),
            ("--changed-sound", "room"),
            ("--changed-sound", "noise"),
            ("--changed-sound", "noise-10db"),
        )
    )
    assert room["data"] == again["data"]
    assert len({clean["data"], room["data"], noise["data"], less["data"]}) == 4
    for changed in (room, noise, less):
        for name in ("keywords_others", "unknown_others"):
            assert changed["rows"][0][name] == clean["rows"][0][name]
    assert room["settings"]["changed_sound"] == "room"


def test_streams_in_noise_are_other_streams_of_the_same_clips(model_file, tree):
    clean, noisy = (
        bench(model_file, tree, "--method", "none", *more)["rows"][0]
        for more in ((), ("--snr", "0"))
    )
    assert {name for name in clean if clean[name] != noisy[name]} - {"intervals", "gain"}
    for name in (*DEVICE_COLUMNS, SAME_REJECTION):
        assert clean[name] == noisy[name]


def test_streams_that_cannot_be_made_are_told(model_file, tree, tmp_path):
    quiet = shutil.copytree(tree, tmp_path / "quiet")
    shutil.rmtree(quiet / "_background_noise_")
    done = tracekws("bench", "adapt", str(model_file), "--data", str(quiet), "--snr", "10")
    assert done.returncode == 1
    assert "no stream can be made" in done.stderr.splitlines()[-1]


def test_words_of_another_language_do_not_change_what_others_say(model_file, tree):
    options = ("--method", "none")
    alone, beside = (
        bench(model_file, tree, *options, *more)["rows"][0]
        for more in ((), ("--outside", str(tree)))
    )
    assert beside["unknown_outside"] is not None
    for name in ("stream_others", "stream_others_at_1", "stream_self"):
        assert alone[name] == beside[name]


def test_at_another_sensitivity_only_what_ships_is_heard_otherwise(model_file, tree):
    shipped, eager, still = (
        bench(model_file, tree, "--method", "none", "--sensitivity", level)["rows"][0]
        for level in ("0", "6", "-6")
    )
    as_it_ships = {"stream_self", "stream_self_false", "stream_others", "stream_others_false"}
    differing = {name for name in shipped if eager[name] != still[name]}
    assert differing <= {*as_it_ships, "intervals", "gain"}
    assert still["stream_self"] <= shipped["stream_self"] <= eager["stream_self"]
    assert still["stream_self"] < eager["stream_self"]


def test_a_changed_sound_that_cannot_be_is_one_line(model_file, tree, tmp_path):
    arguments = ("bench", "adapt", str(model_file), "--shots", "2", "--data")
    done = tracekws(*arguments, str(tree), "--changed-sound", "cave")
    assert done.returncode == 2
    assert "'cave' is none of room, noise, noise-10db" in done.stderr
    quiet = shutil.copytree(tree, tmp_path / "quiet")
    shutil.rmtree(quiet / "_background_noise_")
    done = tracekws(*arguments, str(quiet), "--changed-sound", "noise")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {quiet}: no noise recordings")


def test_new_words_are_rejected_until_they_are_learned(tree, tmp_path):
    arrays = {"readout": np.zeros((24, 5)), "readout_bias": np.array([0, 0, 0, 512, 0])}
    known = {**NEURONS, "n_classes": 5}
    image = make_image(arrays=arrays, rate_readout=1 << 24, **known)
    model_file = write_image(tmp_path, image)
    report = bench(model_file, tree, "--new-words", "--method", "readout")
    words = report["words"]
    assert len(words) == 3
    assert not set(words) & {"yes", "no", "up"}
    none, learned = report["rows"]
    assert (none["keywords_self"], none["unknown_self"]) == (0, 100)
    assert learned["keywords_self"] > 50
    assert report["settings"]["new_words"]
    assert report["model"] == Model.load(model_file).identity
    other = bench(model_file, tree, "--new-words", "--method", "none", "--seed", "2")["words"]
    assert other != words
    done = tracekws(
        *("bench", "adapt", str(model_file), "--data", str(tree), "--shots", "2", "--new-words"),
        *("--draws", "1", "--method", "none"),
    )
    assert f"the new words: {' '.join(words)}; same rejection: 90 %" in done.stdout


def test_new_words_need_a_tree_that_has_them(model_file, tree):
    done = tracekws("bench", "adapt", str(model_file), "--data", str(tree), "--new-words")
    assert done.returncode == 1
    assert done.stderr == f"error: {tree}: 3 new words, and random has 10\n"


def test_an_image_with_other_words_knows_only_what_is_none_of_them():
    model = Model(make_image(n_latent=40, n_sequences=9))
    new = Model(with_words(model, ["cancel", "enter", "undo"]))
    assert new.labels == ("cancel", "enter", "undo", "_unknown_", "_silence_")
    before, after = (np.frombuffer(Network(m).weights, "<i2") for m in (model, new))
    hidden = 8 * (80 + 8 + 1)
    assert (before[:hidden] == after[:hidden]).all()
    readout = after[hidden:].reshape(9, 5)
    assert not readout[:, :3].any()
    assert (readout[:, 3:] == before[hidden:].reshape(9, 5)[:, 3:]).all()
    assert len(new.image) == len(model.image)
    classes = [
        np.frombuffer(ffi.buffer(m.c.latent, 40 * 9), np.uint8).reshape(40, 9)[:, 0]
        for m in (model, new)
    ]
    assert set(classes[1]) == {3, 4}
    assert ((classes[0] == 4) == (classes[1] == 4)).all()
    with pytest.raises(ModelError, match="has 3 keywords, not 1"):
        with_words(model, ["cancel"])


def outcome(keyword: list[int], unknown: list[int]) -> DrawOutcome:
    right = total = np.zeros(len(CAPTIONS), dtype=np.int64)
    total[:2] = len(keyword), len(unknown)
    return DrawOutcome(right, total, np.array(keyword), np.array(unknown))


ONCE = np.array([[1]])


def test_keywords_at_the_unadapted_rejection_by_hand():
    # Unadapted, 3 of 4 other words are rejected (margin <= 0). Adapted, all margins moved up by 10:
    # the threshold moves to 9, the third margin, and three keywords are above it.
    none = [[outcome([1, 2, 3, -4], [-3, -2, -1, 5])]]
    adapted = [[outcome([11, 12, 13, 6], [7, 8, 9, 15])]]
    assert same_rejection_right(none, none, None, ONCE).tolist() == [3]
    assert same_rejection_right(adapted, none, None, ONCE).tolist() == [3]


def test_keywords_at_a_given_rejection_by_hand():
    before = [[outcome([0], [-1] * 4)]]
    adapted = [[outcome([11, 12, 13, 6], [7, 8, 9, 15])]]
    assert same_rejection_right(adapted, before, 0.75, ONCE).tolist() == [3]
    assert same_rejection_right(adapted, before, 1.0, ONCE).tolist() == [0]
    assert same_rejection_right(adapted, before, 0.0, ONCE).tolist() == [3]


@pytest.mark.parametrize("rejection", [None, 0.92, 0.99])
def test_intervals_at_a_rejection_choose_the_threshold_with_each_resample(rejection: float | None):
    rng = np.random.default_rng(1)

    def people(shift: int) -> list[list[DrawOutcome]]:
        return [
            [
                outcome(
                    (rng.integers(-20, 40, 6) + shift).tolist(),
                    (rng.integers(-60, 10, 1 + speaker) + shift).tolist(),
                )
                for _ in range(2)
            ]
            for speaker in range(7)
        ]

    outcomes = {"none": people(0), "takes": people(5)}
    rows = tabulate(outcomes, np.random.default_rng(3), rejection)
    resampled = np.random.default_rng(3).integers(0, 7, (2000, 7))
    for row in rows:
        for i in range(20):  # as if these people had been asked
            drawn = {m: [outcomes[m][s] for s in resampled[i]] for m in outcomes}
            there = {r.method: r for r in tabulate(drawn, np.random.default_rng(3), rejection)}
            theirs, ours = there[row.method].columns[SAME_REJECTION], row.columns[SAME_REJECTION]
            assert theirs is not None
            assert ours is not None
            assert theirs.mean == pytest.approx(ours.resampled[i])
