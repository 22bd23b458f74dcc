# SPDX-License-Identifier: Apache-2.0
"""The detector: when an event comes, what it says, and when none may come."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from images import make_image
from machine import E, Machine, check, parse
from tracekws._core import ffi, lib

YES, NO, UP, UNKNOWN, SILENCE = range(5)
SURE = 10 * 1024
QUIET, LOUD = 25 * 1024, 35 * 1024


class Detector:
    """A detector that is told which class the network is sure of."""

    def __init__(self, image: bytes | None = None, **fields: int) -> None:
        self.model = parse(image or make_image(**fields))
        self.state = ffi.new("tkws_detector *")
        self.event = ffi.new("tkws_event *")
        lib.tkws_detector_init(self.state, self.model.pointer)

    def hear(
        self, word: int, n_steps: int = 1, logit: int = SURE, loudness: int = LOUD
    ) -> list[tuple[int, Any]]:
        """Steps (from 1) at which an event came, with the event."""
        scores = ffi.new("int32_t[]", [logit if c == word else 0 for c in range(5)])
        events = []
        for _ in range(n_steps):
            ffi.memmove(self.event, b"\x77" * ffi.sizeof("tkws_event"), ffi.sizeof("tkws_event"))
            result = lib.tkws_detector_step(self.state, scores, loudness, self.event)
            if result == 1:
                events.append((self.state.n_steps, ffi.new("tkws_event *", self.event[0])))
            else:
                assert result == 0
                assert set(bytes(ffi.buffer(self.event))) == {0x77}
        return events


def heard(events: list[tuple[int, Any]]) -> list[tuple[int, int]]:
    return [(step, event.word) for step, event in events]


def test_an_event_says_word_score_and_time() -> None:
    detector = Detector(window_steps=10, smoothing_shift=0, refractory_steps=5)
    [(step, event)] = detector.hear(UP, 30)
    assert step == 10  # the first full window
    assert event.word == UP
    assert abs(event.score_q15 / 32768 - 1 / (1 + 4 * np.exp(-10))) < 0.001
    # 10 steps of 320 samples, and the last frame reaches 240 samples further
    assert event.end_sample == 10 * lib.TKWS_STEP_SAMPLES + 240
    assert event.first_sample == 0


class Recognizer:
    """A random network that happens to hear several words in bursts of noise."""

    def __init__(self) -> None:
        arrays = {"word_threshold": np.full(5, 12000)}
        fields = {"n_neurons": 30, "window_steps": 5, "refractory_steps": 0}
        self.machine = Machine(make_image(seed=1, arrays=arrays, **fields))
        self.state = ffi.new("tkws_recognizer *")
        model = self.machine.model.pointer
        memory = self.machine.memory(lib.tkws_network_memory_bytes(model))
        check(
            lib.tkws_recognizer_init(
                self.state, model, self.machine.weights, memory.pointer, memory.n_bytes
            )
        )
        rng = np.random.default_rng(2)
        noise = rng.normal(0, 3000, 30_000)
        loudness = rng.choice([0, 0.1, 1], 75).repeat(400)
        self.samples = (noise * loudness).astype(np.int16)

    def events(self, chunks: list[int]) -> list[tuple[int, int, int, int]]:
        """Word, score and time of each event, and the samples that had been taken then."""
        pcm: Any = ffi.from_buffer("int16_t[]", self.samples)
        n, event, at, found = ffi.new("size_t *"), ffi.new("tkws_event *"), 0, []
        for size in [*chunks, len(self.samples)]:
            end = min(at + size, len(self.samples))
            while at < end:
                result = lib.tkws_recognizer_push(self.state, pcm + at, end - at, n, event)
                at += n[0]
                assert result == 1 or at == end
                if result == 1:
                    found.append((event.word, event.score_q15, event.end_sample, at))
        return found


def test_the_time_of_an_event_is_that_of_the_samples_taken() -> None:
    recognizer = Recognizer()
    events = recognizer.events([])
    assert len({word for word, *_ in events}) > 1
    assert all(end == taken for _, _, end, taken in events)
    assert recognizer.machine.is_intact()


def test_a_reset_recognizer_hears_the_same_again() -> None:
    recognizer = Recognizer()
    events = recognizer.events([])
    lib.tkws_recognizer_reset(recognizer.state)
    assert recognizer.events([]) == events


@given(st.lists(st.integers(0, 900), max_size=60))
def test_events_are_the_same_for_any_chunks(sizes: list[int]) -> None:
    def words(chunks: list[int]) -> list[tuple[int, int, int]]:
        return [event[:3] for event in Recognizer().events(chunks)]

    assert words(sizes) == words([])


@pytest.mark.parametrize("word", [UNKNOWN, SILENCE])
def test_unknown_words_and_silence_are_no_events(word: int) -> None:
    assert not Detector().hear(word, 100)


def test_a_word_below_its_threshold_is_no_event() -> None:
    # a logit of 1 among four of 0 is a posterior of 0.405
    for threshold, n_events in ((0.395, 1), (0.415, 0)):
        thresholds = np.full(5, 32767)
        thresholds[NO] = round(threshold * 32768)
        image = make_image(arrays={"word_threshold": thresholds}, smoothing_shift=0)
        assert len(Detector(image).hear(NO, 50, logit=1024)) == n_events


def test_a_word_must_be_the_largest_of_all_classes() -> None:
    image = make_image(arrays={"word_threshold": np.full(5, 3000)}, smoothing_shift=0)
    detector = Detector(image)
    scores = ffi.new("int32_t[]", [2000, 0, 0, 2100, 0])  # unknown is a little larger than yes
    for _ in range(50):
        assert lib.tkws_detector_step(detector.state, scores, LOUD, detector.event) == 0
    scores[YES] = 2200
    assert lib.tkws_detector_step(detector.state, scores, LOUD, detector.event) == 1
    assert detector.event.word == YES


def test_no_event_within_the_refractory_time() -> None:
    detector = Detector(window_steps=1, smoothing_shift=0, refractory_steps=7)
    assert heard(detector.hear(YES, 1)) == [(1, YES)]
    assert heard(detector.hear(NO, 20)) == [(9, NO)]  # seven steps without, then the next


def test_another_word_may_come_sooner_than_the_same_one() -> None:
    detector = Detector(window_steps=1, smoothing_shift=0, refractory_steps=20, gap_steps=3)
    assert heard(detector.hear(YES, 1)) == [(1, YES)]
    assert not detector.hear(SILENCE, 5)
    assert not detector.hear(YES, 5)
    assert heard(detector.hear(NO, 4)) == [(12, NO)]
    assert heard(detector.hear(UP, 10)) == [(16, UP)]  # three steps without, then the next


# --- words that stand by themselves ---------------------------------------------------------------


def said(detector: Detector, steps: int, quiet: int = 30) -> list[tuple[int, int]]:
    """Events while a word is said for so many steps, and in the quiet behind it."""
    return heard(detector.hear(YES, steps) + detector.hear(YES, quiet, loudness=QUIET))


def isolated(**fields: int) -> Detector:
    detector = Detector(window_steps=1, smoothing_shift=0, isolated=1, **fields)
    assert not detector.hear(SILENCE, 100, loudness=QUIET)
    return detector


def test_a_word_by_itself_is_an_event_when_the_pause_is_over() -> None:
    assert said(isolated(), 30) == [(100 + 30 + lib.TKWS_PAUSE, YES)]


def test_a_word_in_a_run_that_is_too_long_is_none() -> None:
    longest = lib.TKWS_RUN_LONGEST
    assert len(said(isolated(), longest)) == 1
    assert said(isolated(), longest + 1) == []
    detector = isolated()
    lib.tkws_detector_set_isolated(detector.state, False)
    assert said(detector, longest + 1) == [(101, YES)]


@pytest.mark.parametrize(("pause", "events"), [(4, 0), (5, 0), (6, 1), (20, 1)])
def test_a_word_too_soon_behind_others_is_none(pause: int, events: int) -> None:
    detector = isolated()
    detector.hear(SILENCE, 30)
    detector.hear(SILENCE, pause, loudness=QUIET)
    assert len(said(detector, 30)) == events


def test_a_word_that_is_heard_late_is_an_event_for_a_while() -> None:
    for late, events in ((lib.TKWS_RUN_LATE, 1), (lib.TKWS_RUN_LATE + 10, 0)):
        detector = isolated()
        detector.hear(SILENCE, 30)
        detector.hear(SILENCE, late, loudness=QUIET)
        assert len(detector.hear(YES, 20, loudness=QUIET)) == events


def test_steady_noise_becomes_the_floor() -> None:
    """Noise 25 dB louder is speech at first; seconds later a word stands out of it."""
    detector = isolated()
    noise = QUIET + 8502
    detector.hear(SILENCE, 20, loudness=noise)
    assert said(detector, 30, 0) == []
    detector.hear(SILENCE, 300, loudness=noise)
    events = detector.hear(YES, 30, loudness=noise + 6802)
    events += detector.hear(YES, 30, loudness=noise)
    assert len(events) == 1


def test_what_is_set_holds_until_the_next_start() -> None:
    detector = Detector(isolated=1)
    assert detector.state.isolated
    lib.tkws_detector_set_isolated(detector.state, False)
    assert not detector.state.isolated
    lib.tkws_detector_init(detector.state, detector.model.pointer)
    assert detector.state.isolated


def test_a_word_comes_again_only_after_it_has_faded() -> None:
    detector = Detector(window_steps=1, smoothing_shift=0, refractory_steps=2)
    assert heard(detector.hear(YES, 50)) == [(1, YES)]
    assert not detector.hear(SILENCE, 1)
    assert heard(detector.hear(YES, 50)) == [(52, YES)]


def test_a_word_that_fades_within_the_refractory_time_comes_again() -> None:
    detector = Detector(window_steps=1, smoothing_shift=0, refractory_steps=10)
    assert heard(detector.hear(YES, 2)) == [(1, YES)]
    assert not detector.hear(SILENCE, 2)
    assert heard(detector.hear(YES, 30)) == [(12, YES)]


def test_another_word_does_not_need_the_first_to_have_faded_before() -> None:
    detector = Detector(window_steps=1, smoothing_shift=0, refractory_steps=0)
    words = [YES, NO, YES, UP, UP, YES]
    events = [event for word in words for event in heard(detector.hear(word))]
    assert events == [(1, YES), (2, NO), (3, YES), (4, UP), (6, YES)]


@pytest.mark.parametrize("shift", range(7))
def test_smoothing_is_exponential(shift: int) -> None:
    detector = Detector(window_steps=1, smoothing_shift=shift)
    expected = np.zeros(5)
    target = np.array([1, np.exp(-10), np.exp(-10), np.exp(-10), np.exp(-10)])
    target /= target.sum()
    for _ in range(100):
        detector.hear(YES)
        expected += (target - expected) / 2**shift
        got = np.array(list(detector.state.posterior_q15)[:5]) / 32768
        # each step cuts off less than a bit, which smoothing multiplies by 2^shift
        assert np.abs(got - expected).max() < 0.001 + 2**shift / 32768


def test_a_new_start_forgets() -> None:
    detector = Detector(window_steps=3)
    assert detector.hear(YES, 20)
    lib.tkws_detector_init(detector.state, detector.model.pointer)
    assert (detector.state.n_steps, detector.state.refractory) == (0, 0)
    [(step, _)] = detector.hear(YES, 20)
    assert step == 3


def test_labels_are_found_by_name() -> None:
    owner = parse(make_image())
    model = owner.pointer
    for c, label in enumerate((b"yes", b"no", b"up", b"_unknown_", b"_silence_")):
        assert lib.tkws_model_class(model, label, len(label)) == c
    for wrong in (b"", b"ye", b"yess", b"YES", b"yes\0", b"a_very_long_label"):
        assert lib.tkws_model_class(model, wrong, len(wrong)) == E["LABEL"]


@given(
    st.integers(0, 32767),
    st.sampled_from([1, 4, 64, 255, 256, 257, 1024, 16384, 65535]) | st.integers(1, 65535),
    st.integers(64, 9000),
)
def test_odds_of_the_thresholds_are_multiplied(threshold: int, odds_q8: int, logit: int) -> None:
    image = make_image(arrays={"word_threshold": np.full(5, threshold)}, smoothing_shift=0)
    detector = Detector(image)
    lib.tkws_detector_set_odds(detector.state, odds_q8)
    n_heard = len(detector.hear(NO, 30, logit))
    p, t = Fraction(detector.state.posterior_q15[NO], 32768), Fraction(threshold, 32768)
    assert n_heard == int(p / (1 - p) > Fraction(odds_q8, 256) * t / (1 - t))


def test_a_new_start_has_the_models_own_thresholds() -> None:
    detector = Detector(window_steps=1, smoothing_shift=0)
    lib.tkws_detector_set_odds(detector.state, 65535)
    assert not detector.hear(YES, 20, logit=3000)
    lib.tkws_detector_init(detector.state, detector.model.pointer)
    assert detector.state.odds_q8 == lib.TKWS_ODDS_ONE
    assert detector.hear(YES, 20, logit=3000)
