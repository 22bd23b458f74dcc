# SPDX-License-Identifier: Apache-2.0
"""What adapting changes in streams: margins, thresholds at equal false alarms, who hears what."""

import math
import shutil

import numpy as np
import pytest
import soundfile

from host_cli import tracekws_json
from images import make_image
from recordings import changing_noise
from tracekws.bench.margins import (
    NOTHING,
    SHIPPED,
    THRESHOLDS,
    Curve,
    crossings,
    curve,
    margins,
    place_of_hits,
    threshold_at,
    value_at,
)
from tracekws.bench.own_streams import StreamSums, own_minutes, pieces_of
from tracekws.bench.sets import Recording
from tracekws.bench.stream import GAP, GRACE, LEAD, MINUTE, Said, Sound
from tracekws.core import Model
from tracekws.data import Clip

MODEL = Model(make_image(n_classes=5, n_neurons=4, window_steps=50))
K = len(MODEL.keywords)


def scores_of(margin: np.ndarray) -> np.ndarray:
    """Scores whose margins, before smoothing, are these: unknown and silence share one."""
    scores = np.zeros((len(margin), len(MODEL.labels)))
    places = [MODEL.labels.index(word) for word in MODEL.keywords]
    scores[:, places] = margin + math.log(2)
    return np.rint(scores * 1024).astype(np.int32)


def test_a_margin_is_what_a_word_is_above_the_sum_of_the_others_smoothed() -> None:
    rng = np.random.default_rng(1)
    wanted = rng.normal(0, 4, (40, K))
    smooth = np.empty_like(wanted)
    for word in range(K):
        value = wanted[0, word]
        for step in range(40):
            value = 0.75 * value + 0.25 * wanted[step, word]
            smooth[step, word] = value
    assert np.abs(margins(MODEL, scores_of(wanted)) - smooth).max() < 0.01


def test_an_event_comes_where_the_margin_rises_above_the_threshold() -> None:
    margin = np.full((400, K), -5.0)
    margin[20:40, 0] = 9  # before the window is full
    margin[60:90, 1] = 5
    margin[92:95, 1] = 5  # within a second of the one before
    margin[120:260, 2] = 3  # long, and still one
    margin[300:320, 0] = 7
    margin[305:310, 1] = 8  # larger, but the first has risen
    names, n_window = MODEL.keywords, MODEL.header.window_steps

    def events(threshold: float) -> list[tuple[str, int]]:
        return crossings(names, margin.argmax(1), margin.max(1), threshold, n_window)

    heard = events(2.0)
    steps = [(word, (end - 240) // 320 - 1) for word, end in heard]
    assert steps == [(names[1], 60), (names[2], 120), (names[0], 300)]
    assert [word for word, _ in events(4.0)] == [names[1], names[0]]
    assert events(9.0) == []


def test_a_curve_counts_hits_and_false_alarms_at_every_threshold() -> None:
    margin = np.full((500, K), -8.0)
    margin[100:160, 0] = 6.2
    margin[300:360, 1] = 3.2
    said = [Said(MODEL.keywords[0], 90 * 320, 150 * 320), Said("other", 290 * 320, 340 * 320)]
    quiet = np.full(500, 30000, np.int32)
    found = curve(MODEL, scores_of(margin), quiet, said, 500 * 320)
    assert found.hits[:SHIPPED].tolist() == [int(t < 6.2) for t in THRESHOLDS]
    assert found.false[:SHIPPED].tolist() == [int(t < 3.2) for t in THRESHOLDS]
    assert (found.keywords, found.others, found.samples) == (1, 1, 160000)
    both = found + found
    assert both.hits.tolist() == (2 * found.hits).tolist()
    assert (NOTHING + found).false.tolist() == found.false.tolist()


def test_places_between_thresholds_by_hand() -> None:
    false = np.linspace(10, 0, SHIPPED)
    for wanted in (10.0, 7.3, 0.05):
        place = threshold_at(false, wanted)
        assert value_at(false, place) == pytest.approx(wanted)
    assert threshold_at(false, 11) == 0
    assert threshold_at(np.full(SHIPPED, 3.0), 1) == SHIPPED - 1
    heard = np.linspace(90, 10, SHIPPED)
    assert value_at(heard, place_of_hits(heard, 55.5)) == pytest.approx(55.5)
    assert place_of_hits(heard, 95) == 0
    assert place_of_hits(heard, 5) == SHIPPED - 1


def test_where_there_are_no_other_words_there_is_no_place() -> None:
    none = np.full(SHIPPED, math.inf)
    none[5:] = math.nan
    assert math.isnan(threshold_at(none, 1))
    assert math.isnan(value_at(np.linspace(90, 10, SHIPPED), math.nan))
    assert math.isnan(place_of_hits(np.linspace(90, 10, SHIPPED), math.nan))


def test_sums_over_speakers_who_come_more_than_once() -> None:
    def one(hits: int, false: int, keywords: int, others: int) -> Curve:
        ones = np.ones(SHIPPED + 1, int)
        return Curve(hits * ones, false * ones, keywords, others, 16000 * 3600)

    sums = StreamSums.of([[one(3, 1, 4, 10), one(1, 0, 4, 10)], [one(5, 6, 8, 20)]])
    rates = sums.over(np.array([0, 0, 1]))
    assert rates.heard[0] == pytest.approx(100 * (4 + 4 + 5) / (8 + 8 + 8))
    assert rates.false_per_100[0] == pytest.approx(100 * (1 + 1 + 6) / (20 + 20 + 20))
    assert rates.false_per_hour[0] == pytest.approx((1 + 1 + 6) / 5)
    nothing = StreamSums.of([[NOTHING]]).over(np.array([0]))
    assert np.isnan([*nothing.heard, *nothing.false_per_hour]).all()


def test_a_stream_has_each_clip_once(tmp_path) -> None:
    path = tmp_path / "hum.wav"
    soundfile.write(path, changing_noise(80, 800), 16000)
    sounds = [Sound(path, 0, 64000)]
    pcm = np.stack([changing_noise(20, 800) for _ in range(60)])
    clips = [Clip(tmp_path / f"{i}.wav", f"word{i}", "anna", "testing") for i in range(60)]
    minutes = own_minutes(pcm, clips, sounds, np.random.default_rng(1))
    again = own_minutes(pcm, clips, sounds, np.random.default_rng(1))
    assert sorted(word for m in minutes for word in m.words) == sorted(c.word for c in clips)
    assert len(minutes) > 1
    for minute, same in zip(minutes, again, strict=True):
        assert (minute.words, minute.starts) == (same.words, same.starts)
        assert minute.starts[0] == LEAD
        gaps = np.diff(minute.starts) - 16000
        assert ((gaps >= GAP[0]) & (gaps <= GAP[1])).all()
        assert minute.starts[-1] + 16000 + GRACE <= MINUTE
        mixed, said = minute.mix()
        assert len(mixed) == MINUTE
        assert [one.word for one in said] == list(minute.words)


def test_talk_is_heard_in_pieces_of_a_minute(tmp_path) -> None:
    def sentence(seconds: int) -> Recording:
        sound = Sound(tmp_path / "a.wav", 0, 16000 * seconds)
        return Recording("a", sound, "testing", "", frozenset())

    sentences = [sentence(25) for _ in range(8)]
    assert [len(piece) for piece in pieces_of(sentences)] == [3, 3]
    assert [len(piece) for piece in pieces_of(sentences[:1])] == [1]
    assert pieces_of([]) == ()


def test_streams_stand_beside_the_clips(model_file, tree, tmp_path) -> None:
    arguments = ("bench", "adapt", str(model_file), "--shots", "2", "--draws", "1")
    report = tracekws_json(*arguments, "--data", str(tree), "--method", "readout")
    none, readout = report["rows"]
    for name in ("stream_self", "stream_self_at_1", "stream_others", "stream_others_at_2"):
        for row in (none, readout):
            interval = row["intervals"][name]
            assert 0 <= interval["low"] <= interval["high"] <= 100
        assert readout["gain"][name]["mean"] == pytest.approx(readout[name] - none[name])
        assert none["gain"][name]["mean"] == 0
    assert none["talk"] is None
    bare = shutil.copytree(tree, tmp_path / "bare")
    shutil.rmtree(bare / "_background_noise_")
    report = tracekws_json(*arguments, "--data", str(bare), "--method", "none")
    assert "stream_self" not in report["rows"][0]
    assert report["rows"][0]["keywords_self"] == none["keywords_self"]
