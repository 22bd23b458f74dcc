# SPDX-License-Identifier: Apache-2.0
"""Streams: how they are made and judged, and what the command says of a model on them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import stats

from host_cli import tracekws, tracekws_json
from images import make_eventful_image, write_image
from listening import detections
from recordings import write_take
from tracekws.bench import stream
from tracekws.bench.intervals import poisson_interval
from tracekws.bench.stream import (
    GRACE,
    LEAD,
    MINUTE,
    Counts,
    Said,
    Sound,
    compose,
    judge,
    word_bounds,
)
from tracekws.core import Model, Network
from tracekws.data import KEYWORDS, Recordings, read_recordings, read_tree
from tracekws.errors import DataError
from tracekws.modelfile import thresholds, with_thresholds
from tracekws.sensitivity import LEVELS, odds_q8

SECOND = 16000


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that hears many words, and now and then the right one."""
    return write_image(tmp_path_factory.mktemp("eventful"), make_eventful_image())


@pytest.fixture(scope="module")
def recordings(tree: Path) -> Recordings:
    return read_recordings(read_tree(tree).of("testing"))


@pytest.fixture(scope="module")
def sounds(tree: Path) -> list[Sound]:
    return stream.held_back(read_tree(tree).noises)


# --- what a word and an event are -----------------------------------------------------------------


def test_a_word_lasts_while_it_is_within_20_db_of_its_loudest() -> None:
    level = np.repeat([10, 90, 110, 1000, 500, 110, 90, 10], 640)
    pcm = (level * np.tile([1, -1], 320 * 8)).astype(np.int16)
    assert word_bounds(pcm) == (2 * 640, 6 * 640)


def test_hits_and_false_alarms_by_the_rule() -> None:
    said = [
        Said("yes", 1 * SECOND, 2 * SECOND),
        Said("tree", 4 * SECOND, 5 * SECOND),
        Said("no", 7 * SECOND, 8 * SECOND),
        Said("no", 10 * SECOND, 11 * SECOND),
    ]

    def heard(*events: tuple[str, float]) -> tuple[dict[str, int], dict[str, int]]:
        samples = [(word, round(at * SECOND)) for word, at in events]
        counts = judge(samples, said, ("yes", "no"), 12 * SECOND)
        assert (counts.keywords, counts.other_words) == ({"yes": 1, "no": 2}, 1)
        assert counts.hit + counts.false == len(events) == len(counts.latencies) + counts.false
        return counts.hits, counts.false_alarms

    assert heard() == ({"yes": 0, "no": 0}, {"yes": 0, "no": 0})
    assert heard(("yes", 1.0)) == ({"yes": 1, "no": 0}, {"yes": 0, "no": 0})
    assert heard(("yes", 3.0)) == ({"yes": 1, "no": 0}, {"yes": 0, "no": 0})
    assert heard(("yes", 0.999)) == ({"yes": 0, "no": 0}, {"yes": 1, "no": 0})
    assert heard(("yes", 3.001)) == ({"yes": 0, "no": 0}, {"yes": 1, "no": 0})
    twice = heard(("yes", 1.5), ("yes", 2.5))
    assert twice == ({"yes": 1, "no": 0}, {"yes": 1, "no": 0})
    wrong = heard(("yes", 7.5), ("no", 4.5))
    assert wrong == ({"yes": 0, "no": 0}, {"yes": 1, "no": 1})
    both = heard(("no", 8.5), ("no", 11.5))
    assert both == ({"yes": 0, "no": 2}, {"yes": 0, "no": 0})
    counts = judge([("yes", 40000), ("no", 180000)], said, ("yes", "no"), 12 * SECOND)
    assert counts.latencies == (0.5, 0.25)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40, 350])
def test_the_interval_is_garwoods(count: int) -> None:
    low, high = poisson_interval(count)
    assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0, abs=1e-6)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2, abs=1e-6)


# --- how a stream is made -------------------------------------------------------------------------


def test_a_stream_follows_from_its_seed(recordings, sounds) -> None:
    streams = [compose(recordings, KEYWORDS, sounds, 3, 20, seed) for seed in (1, 1, 2)]
    mixed = [[minute.mix() for minute in one] for one in streams]
    for (pcm, said), (again, said_again) in zip(mixed[0], mixed[1], strict=True):
        assert pcm.tobytes() == again.tobytes()
        assert said == said_again
    assert mixed[0][0][1] != mixed[2][0][1]


def test_words_and_their_places_do_not_depend_on_the_noise(recordings, sounds) -> None:
    quiet, loud = (compose(recordings, KEYWORDS, sounds, 2, snr, 1) for snr in (40, 0))
    assert [one.mix()[1] for one in quiet] == [one.mix()[1] for one in loud]


def test_no_clip_comes_again_before_all_others_of_its_kind(recordings, sounds) -> None:
    minutes = compose(recordings, KEYWORDS, sounds, 8, 40, 5)
    for is_keyword in (True, False):
        pool = [
            pcm.tobytes()
            for pcm, clip in zip(recordings.pcm, recordings.clips, strict=True)
            if (clip.word in KEYWORDS) == is_keyword
        ]
        came = [
            clip.tobytes()
            for minute in minutes
            for clip, word in zip(minute.clips, minute.words, strict=True)
            if (word in KEYWORDS) == is_keyword
        ]
        assert len(came) > len(pool)
        for at in range(0, len(came) - len(pool), len(pool)):
            assert sorted(came[at : at + len(pool)]) == sorted(pool)
    seen: set[bytes] = set()
    for minute in minutes:
        others = [
            c.tobytes()
            for c, w in zip(minute.clips, minute.words, strict=True)
            if w not in KEYWORDS
        ]
        is_new = not seen & set(others) and len(set(others)) == len(others)
        assert minute.is_new == is_new or not minute.is_new
        seen |= set(others)
    assert [minute.is_new for minute in minutes][:2] == [True, False]


def test_gaps_lead_and_share_of_keywords(recordings, sounds) -> None:
    minutes = compose(recordings, KEYWORDS, sounds, 40, 40, 3)
    for minute in minutes:
        gaps = np.diff([LEAD - SECOND, *minute.starts]) - SECOND
        assert gaps.min() >= 0.3 * SECOND
        assert gaps.max() <= 1.5 * SECOND
        assert minute.starts[-1] + SECOND + GRACE <= MINUTE
    words = [word for minute in minutes for word in minute.words]
    assert np.mean([word in KEYWORDS for word in words]) == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize("snr", [0, 10, 30])
def test_the_background_has_the_stated_level(recordings, sounds, snr: float) -> None:
    (minute,) = compose(recordings, KEYWORDS, sounds, 1, snr, 1)
    pcm, said = minute.mix()
    noise = pcm[:LEAD].astype(float)
    clips = np.zeros(MINUTE)
    for clip, start in zip(minute.clips, minute.starts, strict=True):
        clips[start : start + SECOND] += clip
    speech = np.mean([np.mean(clips[w.start : w.end] ** 2) for w in said])
    assert 10 * np.log10(speech / np.mean(noise**2)) == pytest.approx(snr, abs=1.0)
    assert np.abs(pcm - clips - (pcm - clips).mean()).max() < 32768


def test_a_long_recording_is_read_in_parts_and_looped(tmp_path: Path) -> None:
    pcm = np.arange(30000).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", pcm, 16000)
    sound = Sound(tmp_path / "a.flac", 1000, 20000)
    assert sound.read().tolist() == pcm[1000:21000].tolist()
    assert [piece.samples for piece in sound.pieces(9000)] == [9000, 9000, 2000]
    whole = np.concatenate([piece.read() for piece in sound.pieces(9000)])
    assert whole.tolist() == sound.read().tolist()
    assert sound.loop(500, 100).tolist() == pcm[1500:1600].tolist()
    looped = np.concatenate([pcm[1500:21000], pcm[1000:21000], pcm[1000:21000]])[:50000]
    assert sound.loop(500, 50000).tolist() == looped.tolist()


# --- what is measured -----------------------------------------------------------------------------


def by_hand(model: Model, minutes: list[stream.Minute], level: int) -> Counts:
    """Counts of one sensitivity, without processes."""
    learner = Network(model)
    parts = []
    for minute in minutes:
        pcm, said = minute.mix()
        events = detections(learner, pcm, odds_q8(level))
        parts.append(judge(events, said, model.keywords, len(pcm)))
    return stream.add(parts)


def test_the_command_counts_as_one_would_by_hand(model_file, tree, tmp_path) -> None:
    picture = tmp_path / "roc.png"
    arguments = ("bench", "stream", str(model_file), "--data", str(tree), "--snr", "20")
    one = ("--hours", "0.05", "--workers", "1")
    report = tracekws_json(*arguments, *one, "--picture", str(picture))
    (speech,) = report["speech"]
    model = Model.load(model_file)
    found = read_tree(tree)
    recordings = read_recordings(found.of("testing"))
    sounds = stream.held_back(found.noises)
    minutes = compose(recordings, model.keywords, sounds, 3, 20, 1)
    own = by_hand(model, minutes, 0)
    assert own.false > 0
    assert (speech["keywords"], speech["hits"]) == (own.total, own.hit)
    assert speech["misses"] == own.total - own.hit
    assert speech["false_alarms"] == own.false
    assert sum(row["false_alarms"] for row in speech["rows"]) == own.false
    assert speech["hours"] == pytest.approx(0.05)
    per_hour = speech["false_alarms_per_hour"]
    assert per_hour["mean"] == pytest.approx(own.false / 0.05)
    assert per_hour["low"] < per_hour["mean"] < per_hour["high"]
    assert [row["sensitivity"] for row in speech["roc"]] == list(LEVELS)
    for level in (-3, 4):
        at = by_hand(model, minutes, level)
        row = speech["roc"][LEVELS.index(level)]
        assert row["hit_percent"] == pytest.approx(100 * at.hit / at.total)
        assert row["false_alarms_per_100_other_words"] == pytest.approx(at.false_per_100)
    new = [minute for minute in minutes if minute.is_new]
    assert speech["distinct_other_words"] == sum(
        word not in model.keywords for minute in new for word in minute.words
    )
    assert picture.stat().st_size > 0
    assert report["background"] is None
    two = tracekws_json(*arguments, "--hours", "0.05", "--workers", "2")
    assert two["speech"] == report["speech"]


def test_the_command_says_it_in_words(model_file, tree) -> None:
    words = ("--data", str(tree), "--hours", "0.05", "--workers", "1")
    done = tracekws("bench", "stream", str(model_file), *words)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "background 40 dB below" in text
    assert "background 10 dB below" in text
    assert "in 100 other words (" in text


def test_background_is_heard_by_itself(model_file, tmp_path) -> None:
    folder = tmp_path / "talk"
    write_take(folder / "deep" / "a.flac", 1, 40 * SECOND)
    write_take(folder / "b.wav", 2, 20 * SECOND)
    write_take(folder / "c.wav", 3, SECOND, rate=3000)
    (folder / "d.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(999))
    (folder / "e.wav").write_text("no sound")
    (folder / "notes.txt").write_text("not audio")
    words = ("bench", "stream", str(model_file), "--background", str(folder), "--workers", "1")
    report = tracekws_json(*words)
    heard = report["background"]
    assert report["speech"] == []
    assert heard["hours"] == pytest.approx(60 / 3600)
    model = Model.load(model_file)
    count = 0
    for name in ("b.wav", "deep/a.flac"):
        pcm, _ = soundfile.read(folder / name, dtype="int16")
        count += len(detections(Network(model), pcm))
    assert heard["false_alarms"] == count > 0
    assert heard["false_alarms_per_hour"]["mean"] == pytest.approx(60 * count)
    assert [level["sensitivity"] for level in heard["levels"]] == list(LEVELS)
    assert len(report["bad"]) == 3
    done = tracekws(*words)
    assert f"background alone: {count} false alarms in 0.02 hours" in done.stdout
    assert "convert it with: ffmpeg -i" in done.stderr
    assert "e.wav: not readable as audio" in done.stderr


def test_words_are_laid_over_the_users_background(model_file, tree, tmp_path) -> None:
    write_take(tmp_path / "talk" / "a.wav", 1, 90 * SECOND)
    words = ("bench", "stream", str(model_file), "--data", str(tree), "--workers", "1")
    plain, mine = (
        tracekws_json(*words, "--snr", "0", "--hours", "0.05", *more)
        for more in ((), ("--background", str(tmp_path / "talk")))
    )
    assert plain["speech"][0]["false_alarms"] != mine["speech"][0]["false_alarms"]
    assert mine["background"]["hours"] == pytest.approx(90 / 3600)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "--background or --talk, or several"),
        (("--background", "none"), 1, "none: no such folder"),
        (("--background", "empty"), 1, "no recordings in it"),
        (("--background", "bad"), 1, "none of 1 recordings is usable, the first is "),
        (("--background", "good", "--picture", "p.png"), 2, "give --data too"),
        (("--background", "good", "--hours", "1"), 2, "give --data too"),
        (("--data", "TREE", "--split", "mine"), 2, "none of testing"),
        (("--data", "TREE", "--hours", "0"), 2, "0.05"),
        (("--data", "words", "--split", "all"), 1, "a stream needs clips of other words"),
    ],
)
def test_refusals(words, code, said, model_file, tree, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_take(tmp_path / "good" / "a.wav", 1)
    write_take(tmp_path / "bad" / "a.wav", 1, rate=3000)
    write_take(tmp_path / "words" / "yes" / "a_nohash_0.wav", 1)
    arguments = [str(tree) if word == "TREE" else word for word in words]
    done = tracekws("bench", "stream", str(model_file), *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


# --- thresholds -----------------------------------------------------------------------------------


def test_thresholds_are_read_and_written(model_file) -> None:
    model = Model.load(model_file)
    values = np.linspace(0.1, 0.95, len(model.labels))
    changed = Model(with_thresholds(model, values))
    assert thresholds(changed) == pytest.approx(values, abs=1e-4)
    assert changed.labels == model.labels
    assert Model(with_thresholds(changed, thresholds(model))).image == model.image


def test_levels_halve_the_odds() -> None:
    assert [odds_q8(level) for level in (-6, -1, 0, 1, 6)] == [16384, 512, 256, 128, 4]


def test_a_stream_needs_background(recordings) -> None:
    with pytest.raises(DataError, match=r"a stream needs background: .* there are none"):
        compose(recordings, KEYWORDS, [], 1, 40, 1)
