# SPDX-License-Identifier: Apache-2.0
"""What the device should do: the same C, called on the host."""

from collections.abc import Callable

import numpy as np

from tracekws._core import ffi, lib
from tracekws.boards.virtual import VirtualBoard
from tracekws.core import Model, features
from tracekws.device.driver import Driver, Event
from tracekws.learner import Learner

Start = Callable[..., VirtualBoard]
"""Starts a board: a fixture."""


def teach(device: Driver, seed: int) -> bytes:
    """Change the weights in a way of the seed's own; what they are then."""
    features = np.random.default_rng(seed).integers(0, 50, (20, 80)).astype(np.int8)
    with device.learn(seed) as session:
        session.take_features("yes", features, 32767, method=3)
    return device.weights()


def keep_take(device: Driver, seed: int, word: str = "lamp") -> bytes:
    """Teach a word of one's own by a take of the seed's own, no weight; what is learned then."""
    take = np.random.default_rng(seed).integers(0, 60, (20, 80)).astype(np.int8)
    with device.learn(seed) as session:
        session.teach_features(word, take)
    return device.weights()


def events(
    image: bytes, pcm: np.ndarray, odds_q8: int = lib.TKWS_ODDS_ONE, isolated: bool = False
) -> list[Event]:
    """The words that the recognizer hears in a stream."""
    model = Model(image)
    counts = lib.tkws_model_weight_counts(model.c)
    names = ("weights", "recurrent", "bias", "readout", "readout_bias")
    parts = [ffi.new("int16_t[]", getattr(counts, name)) for name in names]
    takes = ffi.new("uint8_t[]", lib.tkws_model_takes_bytes(model.c))
    weights = ffi.new("tkws_weights *", [*parts, takes])
    lib.tkws_weights_load(model.c, weights)
    n_bytes = lib.tkws_network_memory_bytes(model.c)
    memory = ffi.new("int32_t[]", n_bytes // 4)
    recognizer = ffi.new("tkws_recognizer *")
    assert lib.tkws_recognizer_init(recognizer, model.c, weights, memory, n_bytes) == 0
    detector = ffi.addressof(recognizer, "detector")
    lib.tkws_detector_set_odds(detector, odds_q8)
    lib.tkws_detector_set_isolated(detector, isolated)
    event, consumed = ffi.new("tkws_event *"), ffi.new("size_t *")
    samples = ffi.from_buffer("int16_t[]", pcm)
    heard, at = [], 0
    while lib.tkws_recognizer_push(recognizer, samples + at, len(pcm) - at, consumed, event):
        at += consumed[0]
        heard.append(
            Event(
                model.labels[event.word],
                event.score_q15 / 32768,
                event.first_sample / 16000,
                event.end_sample / 16000,
            )
        )
    return heard


def scores(image: bytes, pcm: np.ndarray) -> np.ndarray:
    """Scores of a clip heard from reset."""
    model = Model(image)
    return Learner(model).scores(features(pcm, model.front_end))


class Pupil:
    """A learner that is taught as the device is."""

    def __init__(self, image: bytes, seed: int) -> None:
        self.model = Model(image)
        self.learner = Learner(self.model, seed)

    def features(self, pcm: np.ndarray) -> np.ndarray:
        return features(pcm, self.model.front_end)

    def take(self, label: str, heard: np.ndarray, scale: int, method: int | None = None) -> None:
        flags = self.model.header.method if method is None else method
        self.learner.take(heard, self.model.labels.index(label), flags, scale)

    @property
    def weights(self) -> bytes:
        return self.learner.weights
