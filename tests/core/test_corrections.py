# SPDX-License-Identifier: Apache-2.0
"""Mistakes taken back: what is kept of a sound, where it goes, and what is heard no more.

The reference counts spikes itself, and applies the rule of templates.h to cosines, which
test_templates.py checks.
"""

from typing import Any

import numpy as np
import pytest

from images import Own, make_correctable_image, make_image
from machine import E, Machine
from tracekws._core import ffi, lib
from tracekws.core import Model, Network, features, features_and_loudness, own_words
from tracekws.errors import DataError, TraceKwsError
from tracekws.learner import Learner
from tracekws.recognizer import Event, Recognizer

N, WINDOW, CLASSES, ROOM = 24, 12, 5, 4
UNKNOWN = 3
NOTHING = lib.TKWS_OWN_NOTHING / 32768


def image_of(own: Own | None) -> bytes:
    """Hears something everywhere; own words are hardly ever heard."""
    return make_correctable_image(own, window_steps=WINDOW, refractory_steps=0, gap_steps=2)


IMAGE = image_of(Own(n_words=ROOM, least_q15=32767, single_q15=32767))
MODEL = Model(IMAGE)


def sound_of(seed: int, n_samples: int = 48000) -> np.ndarray:
    """Tones that come and go, with pauses between them."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / 16000
    sound = 40 * rng.normal(size=n_samples)
    for start in range(0, n_samples - 6000, 9000):
        part = slice(start, start + 5000)
        for tone in rng.uniform(200, 3500, 3):
            sound[part] += rng.uniform(800, 3000) * np.sin(2 * np.pi * tone * time[part])
    return np.asarray(np.clip(sound, -32768, 32767)).astype(np.int16)


SOUND = sound_of(1)


def step_of(event: Event) -> int:
    """The network's step that gave an event."""
    return round(event.end * 16000 - 240) // 320 - 1


def rates_at(step: int, sound: np.ndarray = SOUND) -> np.ndarray:
    """Mean spikes a step over the window that ends with a step, Q8."""
    spikes = Network(MODEL).spikes(features(sound, MODEL.front_end)).astype(int)
    part = spikes[max(0, step - WINDOW + 1) : step + 1]
    return np.minimum(255, (part.sum(0) * 256 + len(part) // 2) // len(part))


def row(weights: bytes, word: int) -> tuple[int, np.ndarray]:
    """How many takes of a word there are, and their mean."""
    n_row = 1 + N + (1 + N) % 2
    takes = np.frombuffer(weights, np.uint8)[MODEL.weight_bytes :]
    mine = takes[word * n_row : (word + 1) * n_row]
    return int(mine[0]), mine[1 : 1 + N]


def heard_until(event: Event, weights: bytes | None = None) -> Recognizer:
    """A recognizer that has heard the sound up to an event, and that event."""
    ear = Recognizer(MODEL, weights)
    assert ear.push(SOUND[: round(event.end * 16000)])[-1] == event
    return ear


EVENTS = Recognizer(MODEL).push(SOUND)


def test_the_sound_has_events_of_several_words() -> None:
    assert len(EVENTS) > 8
    assert len({event.word for event in EVENTS}) > 1


@pytest.mark.parametrize("place", [1, 4, -1])
def test_what_is_taken_back_is_raised_no_more(place: int) -> None:
    wrong = EVENTS[place]
    ear = heard_until(wrong)
    ear.correct(None)
    count, mean = row(ear.weights, CLASSES)
    assert count == 1
    assert (mean == rates_at(step_of(wrong))).all()
    assert ear.weights[: MODEL.weight_bytes] == Network(MODEL).weights[: MODEL.weight_bytes]
    cosines = Network(MODEL, ear.weights).cosines(features(SOUND, MODEL.front_end)) / 32768
    wanted = [e for e in EVENTS if cosines[step_of(e), CLASSES] <= NOTHING]
    assert wrong not in wanted
    assert Recognizer(MODEL, ear.weights).push(SOUND) == wanted


def test_a_word_that_was_taught_is_heard_where_it_is_the_likelier() -> None:
    """A sound that is no word does not silence the user's own takes of one."""
    wrong = EVENTS[4]
    ear = heard_until(wrong)
    ear.correct(None)
    learner = Learner(MODEL)
    learner.weights = ear.weights
    start = round(wrong.end * 16000) - WINDOW * 320 - 240
    learner.teach(wrong.word, [SOUND[start : round(wrong.end * 16000)]])
    steps, loudness = features_and_loudness(SOUND, MODEL.front_end)
    network = Network(MODEL, learner.weights)
    cosines, scores = network.cosines(steps), network.stream(steps)
    said = MODEL.labels.index
    detector, event, wanted = ffi.new("tkws_detector *"), ffi.new("tkws_event *"), []
    lib.tkws_detector_init(detector, MODEL.c)
    spared = 0
    for cosine, logits, loud in zip(cosines, scores, loudness, strict=True):
        at = ffi.from_buffer("int32_t[]", np.ascontiguousarray(logits))
        if not lib.tkws_detector_step(detector, at, int(loud), event):
            continue
        like = cosine[CLASSES] > lib.TKWS_OWN_NOTHING
        spared += bool(like and cosine[event.word] > cosine[CLASSES])
        if not (like and cosine[CLASSES] > cosine[event.word]):
            wanted.append((event.word, event.end_sample))
    got = Recognizer(MODEL, learner.weights).push(SOUND)
    assert [(said(e.word), round(e.end * 16000)) for e in got] == wanted
    assert spared > 0


def test_a_word_that_was_missed_becomes_a_take_of_the_last_sound() -> None:
    """The last sound is what a pause has ended, or an event, whichever was later."""
    _, loudness = features_and_loudness(SOUND, MODEL.front_end)
    segmenter = ffi.new("tkws_segmenter *")
    lib.tkws_segmenter_init(segmenter)
    ends, told = [], 0
    events = {step_of(event) for event in EVENTS}
    for step, loud in enumerate(loudness):
        before = segmenter.quiet + lib.TKWS_SPEECH_HANG if segmenter.run else 0
        lib.tkws_segmenter_step(segmenter, int(loud))
        now = segmenter.quiet + lib.TKWS_SPEECH_HANG if segmenter.run else 0
        if (segmenter.quiet and before < lib.TKWS_PAUSE <= now) or step in events:
            ends.append(step)
        if step % 7 or not ends:
            continue
        ear = Recognizer(MODEL)
        ear.push(SOUND[: 320 * (step + 1) + 240])
        ear.correct("lamp")
        count, mean = row(ear.weights, CLASSES)
        assert count == 1
        assert (mean == rates_at(ends[-1])).all()
        told += ends[-1] not in events
    assert told > 2
    assert [one.word for one in own_words(MODEL, ear.weights).values()] == ["lamp"]


def test_a_word_of_the_model_gains_a_take() -> None:
    ear = heard_until(EVENTS[2])
    ear.correct("no")
    assert row(ear.weights, MODEL.labels.index("no"))[0] == 1
    assert own_words(MODEL, ear.weights) == {}


def test_a_stream_goes_on_behind_a_correction() -> None:
    """No event while the window fills again; then times are those of the stream."""
    first = EVENTS[3]
    ear = heard_until(first)
    ear.correct("lamp")
    later = ear.push(SOUND[round(first.end * 16000) :])
    whole = Recognizer(MODEL, ear.weights).push(SOUND)
    quiet_until = first.end + (WINDOW + 1) * 0.02
    assert all(event.start >= 0 and event.end >= quiet_until - 1e-9 for event in later)
    assert [e for e in later if e.end > quiet_until + 0.1] == [
        e for e in whole if e.end > quiet_until + 0.1
    ]
    assert later


def test_nothing_heard_is_nothing_to_correct() -> None:
    ear = Recognizer(MODEL)
    for word in (None, "lamp"):
        with pytest.raises(TraceKwsError, match="nothing was heard"):
            ear.correct(word)
    ear = heard_until(EVENTS[0])
    ear.correct(None)
    before = ear.weights
    for word in (None, "lamp"):
        with pytest.raises(TraceKwsError, match="nothing was heard"):
            ear.correct(word)
    ear.push(SOUND)
    ear.reset()
    with pytest.raises(TraceKwsError, match="nothing was heard"):
        ear.correct("lamp")
    assert ear.weights == before


@pytest.mark.parametrize("word", ["two words", "", "_unknown_", "_silence_", "a/b"])
def test_what_is_no_word_changes_nothing(word: str) -> None:
    ear = heard_until(EVENTS[0])
    before = ear.weights
    with pytest.raises((DataError, TraceKwsError)):
        ear.correct(word)
    assert ear.weights == before
    ear.correct("lamp")


def test_a_model_without_room_still_learns_its_own_words() -> None:
    model = Model(image_of(None))
    for word, refused in ((None, True), ("lamp", True), ("no", False)):
        ear = Recognizer(model)
        assert ear.push(SOUND)
        before = ear.weights
        if refused:
            with pytest.raises(TraceKwsError, match="no room"):
                ear.correct(word)
        else:
            ear.correct(word)
        assert (ear.weights == before) is refused
    with pytest.raises(TraceKwsError, match="keeps no takes"):
        Recognizer(Model(make_image())).correct(None)


class Sounds:
    """Sounds that are no word among a machine's takes, as C callers keep them."""

    def __init__(self) -> None:
        self.machine = Machine(IMAGE)
        self.model = self.machine.model.pointer
        self.weights = self.machine.weights

    def add(self, rates: np.ndarray) -> int:
        raw = ffi.new("uint8_t[]", rates.astype(np.uint8).tolist())
        number = int(lib.tkws_own_add_nothing(self.model, self.weights, raw))
        if number >= 0:
            lib.tkws_takes_add(self.model, self.weights, number, raw)
        return number

    def like(self, a: np.ndarray, b: np.ndarray) -> float:
        pair = [ffi.new("uint8_t[]", x.astype(np.uint8).tolist()) for x in (a, b)]
        return float(lib.tkws_templates_agreement(self.model, *pair)) / 32768

    def name(self, word: str) -> int:
        return int(lib.tkws_own_add(self.model, self.weights, word.encode(), len(word)))

    def counts(self) -> list[int]:
        words = range(CLASSES, CLASSES + ROOM)
        return [lib.tkws_takes_count(self.model, self.weights, w) for w in words]

    def nothing(self) -> list[bool]:
        words = range(CLASSES, CLASSES + ROOM)
        return [lib.tkws_own_is_nothing(self.model, self.weights, w) for w in words]


def unlike(sounds: Sounds, count: int) -> list[np.ndarray]:
    """Rates of which none is like another."""
    rng = np.random.default_rng(3)
    found: list[Any] = []
    while len(found) < count:
        rates = rng.integers(0, 120, N)
        if all(sounds.like(rates, other) < NOTHING - 0.05 for other in found):
            found.append(rates)
    return found


def test_like_sounds_are_kept_as_one_and_others_apart() -> None:
    sounds = Sounds()
    a, b, *more = unlike(sounds, 6)
    assert sounds.add(a) == CLASSES
    near = a + np.random.default_rng(1).integers(-2, 3, N).clip(-a, 255)
    assert sounds.like(a, near) > NOTHING
    assert sounds.add(near) == CLASSES
    assert sounds.add(b) == CLASSES + 1
    assert sounds.name("lamp") == CLASSES + 2
    assert sounds.add(more[0]) == CLASSES + 3
    assert sounds.counts() == [2, 1, 0, 1]
    assert sounds.nothing() == [True, True, False, True]
    assert sounds.name("window") == E["NO_ROOM"]
    likest = int(np.argmax([sounds.like(more[1], each) for each in (a, b, more[0])]))
    assert sounds.add(more[1]) == CLASSES + (0, 1, 3)[likest], "no room: with the likest"
    lib.tkws_own_forget(sounds.model, sounds.weights, UNKNOWN)
    assert sounds.nothing() == [False] * ROOM
    assert sounds.counts() == [0] * ROOM
    assert sounds.name("lamp") == CLASSES + 2
    assert sounds.name("window") == CLASSES


def test_words_leave_no_room_for_a_sound() -> None:
    sounds = Sounds()
    for word in ("a", "b", "c", "d"):
        sounds.name(word)
    before = bytes(sounds.machine.takes)
    assert sounds.add(unlike(sounds, 1)[0]) == E["NO_ROOM"]
    assert bytes(sounds.machine.takes) == before
    assert sounds.machine.is_intact()
