# SPDX-License-Identifier: Apache-2.0
"""Training with sets beside the words: what is taken of them, and what is asked of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="training needs torch: make setup-train")

from plain import PLAIN  # noqa: E402
from recordings import changing_noise, write_take  # noqa: E402
from tones import utterance, write_tree  # noqa: E402
from tracekws.core import CHANNELS, FeatureConfig, Model, energies, features  # noqa: E402
from tracekws.data import read_tree  # noqa: E402
from tracekws.errors import DataError  # noqa: E402
from tracekws.train import augment  # noqa: E402
from tracekws.train.augment import FRAMES  # noqa: E402
from tracekws.train.config import load_config  # noqa: E402
from tracekws.train.dataset import Source, names_digest  # noqa: E402
from tracekws.train.defaults import DETECTOR, LEARNING  # noqa: E402
from tracekws.train.loader import Batch, Loader, Sampling, sampling_weights  # noqa: E402
from tracekws.train.loop import label_loss  # noqa: E402
from tracekws.train.pipeline import Job, Trained, train  # noqa: E402
from tracekws.train.seconds import (  # noqa: E402
    Seconds,
    alone,
    cut,
    read_seconds,
    spoken_words,
    told_apart,
    tone,
    training_parts,
)

BASE = load_config("base")
SECOND = 16000


# --- what is taken --------------------------------------------------------------------------------


def test_seconds_follow_each_other_and_spare_what_is_left_out() -> None:
    ramp = np.arange(3 * SECOND + 9000).astype(np.int16)
    pcm, continues = cut([ramp, ramp[:5000]], [((1.2, 1.4),), ()])
    firsts = [0, 2 * SECOND, 2 * SECOND + 9000]
    for second, first in zip(pcm, firsts, strict=False):
        assert second.tolist() == ramp[first : first + SECOND].tolist()
    assert pcm[3, :5000].tolist() == ramp[:5000].tolist()
    assert not pcm[3, 5000:].any()
    assert continues.tolist() == [False, False, False, False]
    _, continues = cut([ramp], [()])
    assert continues.tolist() == [False, True, True, False]
    assert cut([], [])[0].shape == (0, SECOND)


def write_times(folder: Path, times: list[str]) -> None:
    (folder / "words.tsv").write_text("\n".join(["file\tword\tstart\tend", *times]) + "\n")


def write_sentences(
    folder: Path, rows: dict[str, str], times: list[str], speakers: dict[str, str] | None = None
) -> None:
    """A set of noise with a text each, times of words, and of some who speaks."""
    folder.mkdir(parents=True)
    for number, name in enumerate(rows):
        write_take(folder / f"{name}.wav", number, 3 * SECOND)
    who = speakers or {}
    lines = [f"{name}\t{text}\t{who.get(name, '')}" for name, text in rows.items()]
    (folder / "index.tsv").write_text("\n".join(["file\ttext\tspeaker", *lines]) + "\n")
    if times:
        write_times(folder, times)


def test_seconds_in_which_a_keyword_is_said_are_left_out(tmp_path) -> None:
    rows = {
        "training/a": "yes it is",
        "training/b": "no",
        "training/c": "nothing here",
        "validation/d": "nothing",
        "testing/e": "nothing",
    }
    times = ["training/a\tYes\t1.1\t1.5", "training/a.wav\tit\t2\t2.5", "training/c\there\t0\t1"]
    write_sentences(tmp_path / "talk", rows, times)
    parts = training_parts(tmp_path, ("YES", "no"), replace(BASE.sets, words=0.0, backwards=0.0))
    assert [part.name for part in parts] == ["talk"]
    assert [one.name for one in parts[0].recordings] == ["training/a", "training/b", "training/c"]
    seconds = read_seconds(parts, replace(BASE.sets, tones=0.0), 1)
    assert seconds is not None
    read = {n: soundfile.read(tmp_path / f"talk/training/{n}.wav", dtype="int16")[0] for n in "ac"}
    expected = [read["a"][:SECOND], read["a"][2 * SECOND :], *read["c"].reshape(3, SECOND)]
    assert [row.tobytes() for row in seconds.pcm] == [row.tobytes() for row in expected]
    assert seconds.continues.tolist() == [False, False, False, True, True]
    assert seconds.weight.sum() == pytest.approx(BASE.sets.talk)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ("training/a\tyes\tsoon\t2", "words.tsv: line 2: "),
        ("training/a\tyes\tnan\t2", "line 2: no word is said from nan to 2.0 s"),
        ("training/a\tyes\t2\t1", "line 2: no word is said from 2.0 to 1.0 s"),
        ("training/a\tyes", "line 2"),
    ],
    ids=["number", "nan", "backwards", "columns"],
)
def test_times_that_are_none_are_one_line(tmp_path, times, said) -> None:
    write_sentences(tmp_path / "talk", {"training/a": "yes"}, [times])
    with pytest.raises(DataError, match=said) as caught:
        training_parts(tmp_path, ("yes",), BASE.sets)
    assert "\n" not in str(caught.value)


def test_a_word_stands_alone_in_its_second() -> None:
    ramp = np.full(2 * SECOND, 1000, np.int16)
    ramp[SECOND:] = 3000
    rng = np.random.default_rng(1)
    forth, back = (alone(ramp, (0.9, 1.2), reverse, rng).astype(int) for reverse in (False, True))
    length = 480 + 4800 + 480
    first, last = (SECOND - length) // 2, (SECOND + length) // 2
    for pcm in (forth, back, back[::-1]):
        assert len(pcm) == SECOND
        assert np.abs(pcm[: first - 50]).max() < 200
        assert np.abs(pcm[last + 50 :]).max() < 200
    inside = slice(first + 400, last - 400)
    step = first + 480 + 1600
    expected = np.where(np.arange(SECOND) < step, 1000, 3000)
    assert np.abs(forth - expected)[inside].max() < 200
    assert np.abs(back[::-1] - expected)[inside].max() < 200
    assert alone(ramp[:9000], (0.5, 0.8), False, rng).any()  # it ends within the word


def test_other_words_of_talk_are_told_apart_where_they_are_said_often(tmp_path) -> None:
    rows = {f"training/{n}": "yes tür rare" for n in range(8)}
    times = [
        f"{name}.wav\t{word}\t{start}\t{start + long}"
        for name in rows
        for word, start, long in (("Tu\u0308r", 0.5, 0.3), ("yes", 1.0, 0.4), ("tür", 1.5, 0.1))
    ]
    write_sentences(tmp_path / "talk", rows, [*times, "training/0\trare\t2.0\t2.4"])
    sets = replace(BASE.sets, talk=0.0, words=2.0, backwards=1.0, tones=0.0)
    parts = training_parts(tmp_path, ("Yes", "no"), sets)
    assert {part.name: part.count for part in parts} == {"words": 9, "backwards": 9}
    assert told_apart(parts) == {"tür"}
    seconds = read_seconds(parts, sets, 1)
    assert seconds is not None
    assert sorted(seconds.words) == [""] * 10 + ["tür"] * 8
    assert not seconds.continues.any()
    assert seconds.is_speech.all()
    assert seconds.weight.sum() == pytest.approx(3.0)
    none = training_parts(tmp_path, ("yes", "no"), replace(sets, words=0.0, backwards=0.0))
    assert none == []


def test_words_behind_the_end_of_their_recording_are_left_out(tmp_path) -> None:
    times = ["2.6\t3.0", "2.7\t3.2", "2.9\t3.3", "4.0\t4.4"]  # of three seconds
    write_sentences(
        tmp_path / "talk", {"training/a": "so"}, [f"training/a\tso\t{t}" for t in times]
    )
    spoken = spoken_words(tmp_path, ("yes",))
    assert spoken is not None
    assert spoken.spans == (((2.6, 3.0), (2.7, 3.2)),)
    parts = training_parts(tmp_path, ("yes",), BASE.sets)
    assert {part.name: part.count for part in parts} == {"talk": 1, "words": 2, "backwards": 2}


def test_excluded_speakers_are_left_out_of_sets(tmp_path) -> None:
    rows = {f"training/{name}": "so" for name in "abc"}
    times = [f"{name}\tso\t1.0\t1.4" for name in rows]
    speakers = {"training/a": "Zoe\u0308", "training/b": "ben"}
    write_sentences(tmp_path / "talk", rows, times, speakers)
    write_sentences(tmp_path / "phrases", rows, [], {"training/c": "Zo\u00eb"})
    parts = training_parts(tmp_path, ("yes",), BASE.sets, frozenset({"Zo\u00eb"}))
    assert {part.name: [one.name[-1] for one in part.recordings] for part in parts} == {
        "talk": ["b", "c"],
        "words": ["b", "c"],
        "backwards": ["b", "c"],
        "phrases": ["a", "b"],
    }
    spoken = spoken_words(tmp_path, ("yes",), frozenset({"Zo\u00eb", "ben"}))
    assert spoken is not None
    assert spoken.count == 1


def test_without_sets_there_are_no_seconds(tree) -> None:
    assert training_parts(tree, BASE.words, BASE.sets) == []
    assert read_seconds([], BASE.sets, 1) is None


def test_tones_are_sound_and_differ() -> None:
    rng = np.random.default_rng(1)
    made = [tone(rng) for _ in range(60)]
    assert {len(one) for one in made} == {4 * SECOND}
    assert len({one.tobytes() for one in made}) == 60
    assert all(np.abs(one.astype(int)).max() > 30 for one in made)
    spectra = [np.abs(np.fft.rfft(one.astype(float))).argmax() / 4 for one in made]
    assert min(spectra) < 500
    assert max(spectra) > 2000


# --- what is asked --------------------------------------------------------------------------------


def source(with_seconds: bool) -> Source:
    """Forty clips of two keywords and others, six seconds of a set in two recordings, silence."""
    rng = np.random.default_rng(1)
    clips = np.stack([utterance(word, 1.0, rng) for word in range(40)])
    labels = np.arange(40) % 3
    noises = [rng.normal(0, 90, 40000).astype(np.int16)]
    if not with_seconds:
        both = np.concatenate([labels, [3, 3]])
        return Source(clips, both, both, noises)
    pcm = changing_noise(6 * 20, 800).reshape(6, SECOND)
    continues = np.array([False, True, True, False, True, True])
    words = ("", "", "", "", "", "c")
    seconds = Seconds(pcm, continues, np.ones(6, dtype=bool), words, np.full(6, 0.5))
    both = np.concatenate([labels, np.full(6, 2), [3, 3]])
    return Source(np.concatenate([clips, pcm]), both, both, noises, seconds)


SETTINGS = replace(
    BASE, batch=16, clips_per_epoch=160, words=("a", "b"), augment=PLAIN, context_share=1.0
)


def batches_of(data: Source, folder: Path, settings=SETTINGS) -> list[Batch]:
    loader = Loader(data, folder, FeatureConfig(), settings, 1)
    try:
        sampling = Sampling(1, 1, 16, settings.context_share)
        return [b for epoch in loader.epochs(sampling, range(1)) for b in epoch]
    finally:
        loader.close()


def test_seconds_are_drawn_by_their_weight() -> None:
    data = source(True)
    weights = sampling_weights(data, SETTINGS)
    # keywords 1 each, others unknown_weight, silence 1, the seconds 3 in all
    total = 1 + 1 + SETTINGS.unknown_weight + 1 + 3
    assert weights[data.of_sets].sum() == pytest.approx(3 / total)
    assert weights[data.labels == 0].sum() == pytest.approx(1 / total)
    assert np.flatnonzero(data.of_sets).tolist() == list(range(40, 46))
    assert np.flatnonzero(data.no_word).tolist() == list(range(40, 45))
    assert not source(False).of_sets.any()


def test_before_a_second_comes_what_came_before_it(tmp_path) -> None:
    data = source(True)
    assert data.seconds is not None
    pairs = {}
    for row in (41, 42, 44, 45):
        both = np.concatenate([data.pcm[row - 1], data.pcm[row]])
        pairs[row] = energies(both)
    seen = 0
    for batch in batches_of(data, tmp_path):
        assert batch.window
        assert batch.no_word is not None
        context = batch.features.shape[1] - 49
        for clip, no_word, right in zip(
            batch.features, batch.no_word, batch.window.right, strict=True
        ):
            if no_word:
                assert right[-2:].all()
                whole = [
                    np.concatenate([data.pcm[row - 1][-(context * 320 + 240) :], data.pcm[row]])
                    for row in pairs
                ]
                # not to the bit: a clip's frames begin anew, and the mean starts elsewhere
                match = [
                    np.corrcoef(features(pcm, FeatureConfig())[-49:].ravel(), clip[-49:].ravel())
                    for pcm in whole
                ]
                seen += any(c[0, 1] > 0.9 for c in match)
    assert seen > 5


def test_of_a_second_only_keywords_are_wrong() -> None:
    scores = torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    labels = torch.tensor([0, 1, 2, 3, 5])
    no_word = np.array([False, False, True, True, False])
    config = replace(SETTINGS, label_smoothing=0.1)
    x = np.zeros((5, 49, 80), np.int8)

    def loss(which):
        return label_loss(
            scores, labels, Batch(x, labels.numpy(), labels.numpy(), None, which), config
        )

    logs = torch.log_softmax(scores, 1).numpy()
    smooth = [
        -(0.9 * row[label] + 0.1 * row.mean()) for row, label in zip(logs, labels, strict=True)
    ]
    asked = [-np.log(np.exp(row[2:]).sum()) for row in logs]
    expected = np.where(no_word, asked, smooth)
    assert loss(no_word).item() == pytest.approx(expected.mean())
    assert loss(None).item() == loss(np.zeros(5, bool)).item() == pytest.approx(np.mean(smooth))


def test_clips_are_the_same_with_settings_of_sets_that_are_not_there(tmp_path) -> None:
    other = replace(SETTINGS, sets=replace(BASE.sets, talk=7.0, tones=0.0))
    plain, changed = (batches_of(source(False), tmp_path, one) for one in (SETTINGS, other))
    for a, b in zip(plain, changed, strict=True):
        assert a.features.tobytes() == b.features.tobytes()
        assert a.no_word is not None
        assert not a.no_word.any()


# --- voices and onsets ----------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.8, 1.25, 1.4])
def test_a_warped_clip_is_that_of_a_tone_times_the_factor(factor) -> None:
    t = np.arange(SECOND) / SECOND

    def heard(hertz: float) -> np.ndarray:
        pcm = (5000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)
        return energies(pcm).astype(np.float32)[None]

    for hertz in (400.0, 1200.0, 3000.0):
        clips = heard(hertz)
        augment.warp(clips, np.array([factor], np.float32))
        expected = heard(hertz * factor)[0].mean(0).argmax()
        assert abs(int(clips[0].mean(0).argmax()) - int(expected)) <= 1


def test_nothing_is_warped_or_cut_where_it_is_not_asked_for() -> None:
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    assert (augment.draw_warp(9, PLAIN, rng) == 1).all()
    assert not augment.draw_cut(9, PLAIN, rng).any()
    assert rng.bit_generator.state == before


def test_warps_and_cuts_are_drawn_by_their_shares() -> None:
    settings = replace(BASE.augment, warp_share=0.5, warp=(0.8, 1.4), cut_share=0.25, cut_ms=80)
    rng = np.random.default_rng(1)
    warps = augment.draw_warp(4000, settings, rng)
    cuts = augment.draw_cut(4000, settings, rng)
    assert (warps != 1).mean() == pytest.approx(0.5, abs=0.03)
    assert 0.8 <= warps.min() < 0.82
    assert 1.37 < warps.max() <= 1.4001
    assert (cuts > 0).mean() == pytest.approx(0.25, abs=0.03)
    assert set(cuts) == set(range(9))


@pytest.mark.parametrize("cut_ms", [0, 5])
def test_less_than_a_frame_is_not_cut(cut_ms) -> None:
    short = replace(PLAIN, cut_share=1.0, cut_ms=cut_ms)
    assert not augment.draw_cut(9, short, np.random.default_rng(1)).any()


def test_a_cut_onset_is_as_quiet_as_the_clip_gets() -> None:
    clips = np.full((2, FRAMES, CHANNELS), 2.0, np.float32)
    clips[:, 30:60] = 1000
    clips[:, 5] = 1
    augment.cut_onsets(clips, np.array([0, 4]))
    assert (clips[0, 30:60] == 1000).all()
    assert (clips[1, :34] == 1).all()
    assert (clips[1, 34:60] == 1000).all()


# --- the whole ------------------------------------------------------------------------------------

SMALL = replace(
    BASE,
    neurons=24,
    epochs=1,
    batch=32,
    clips_per_epoch=320,
    teachers=1,
    teacher=replace(BASE.teacher, epochs=1, batch=32, channels=(16, 16), kernel=3),
    augment=replace(BASE.augment, copies=1, warp_share=0.5, cut_share=0.5),
    sets=replace(BASE.sets, words=1.0, backwards=0.5),
)


TIMES = [f"training/{n}\thello\t1\t1.4" for n in range(9)]
EXCLUDED = "tra00001"
"""Speaker of the tree, and of one of the sentences."""


def trained_on(root: Path) -> Trained | None:
    """Train on the folder of sets in another one, or go on with that."""
    job = Job(root / "sets", root / "run", root / "mine.tkws", frozenset({EXCLUDED}), 1, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracekws.train.seconds.TONES", 20)
        return train(job, SMALL, LEARNING, DETECTOR, lambda n: lambda a, b: None, lambda e: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Trained | None]:
    """A folder of sets that was trained on, in another one, and what came of it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "sets" / "gsc").mkdir(parents=True)
    write_tree(folder / "sets" / "gsc")
    sentences = {f"training/{n}": "hello there" for n in range(9)}
    write_sentences(folder / "sets" / "talk", sentences, TIMES, {"training/8": EXCLUDED})
    return folder, trained_on(folder)


def test_a_folder_of_sets_is_trained_on_and_named(whole) -> None:
    folder, made = whole
    root = folder / "sets"
    digest = names_digest(read_tree(root / "gsc").clips)
    assert digest == names_digest(read_tree(root / "gsc").clips, [])
    assert digest != names_digest(
        read_tree(root / "gsc").clips, training_parts(root, BASE.words, SMALL.sets)
    )
    model = made.model
    assert isinstance(model, Model)
    card = json.loads((folder / "mine.json").read_text())
    assert card["sets"] == {"talk": 8, "words": 8, "backwards": 8}
    assert model.c.traces.rank > 0


CHANGES = {
    "fewer sentences": (
        lambda sets: (sets / "talk/index.tsv").write_text("file\ttext\ntraining/0\thello\n"),
        "other clips",
    ),
    "fewer words told apart": (lambda sets: write_times(sets / "talk", TIMES[2:]), "other clips"),
    "another time": (
        lambda sets: write_times(sets / "talk", [TIMES[0].replace("1.4", "1.5"), *TIMES[1:]]),
        "sets of another content",
    ),
    "another take": (
        lambda sets: write_take(sets / "gsc/yes/tra00000_nohash_2.wav", 99),
        "clips of another content",
    ),
    "another noise": (
        lambda sets: write_take(sets / "gsc/_background_noise_/hum.wav", 99, 15 * SECOND),
        "noise of another content",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_other_recordings_is_refused(whole, tmp_path, name) -> None:
    folder, _ = whole
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    change, said = CHANGES[name]
    change(tmp_path / "sets")
    with pytest.raises(DataError, match=rf"safetensors was made from {said}.*; remove it"):
        trained_on(tmp_path)
