# SPDX-License-Identifier: Apache-2.0
"""A take is learned with its renditions: what they are, and that its trace is their mean."""

import numpy as np
import pytest

from images import Form, Own, make_image, with_own_words, with_traces
from tracekws._core import lib
from tracekws.core import TAKES, Model, Network, features, known_model
from tracekws.learner import FULL_SCALE, Learner, keeps
from tracekws.renditions import at_speed, in_noise, renditions, shifted, take_features

RATE = 16000
IMAGE = with_own_words(
    with_traces(
        make_image(seed=8, n_neurons=24, window_steps=30, method=TAKES, passes=1),
        Form.random(24, rank=4, seed=6),
    ),
    Own(n_words=3),
)
MODEL = Model(IMAGE)


def tone(hertz: float, n_samples: int = RATE) -> np.ndarray:
    """A tone with a soft beginning and end."""
    time = np.arange(n_samples) / RATE
    loud = np.sin(np.pi * time / time[-1]) ** 2
    return np.rint(8000 * loud * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


def pitch(pcm: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 8 * RATE))
    return float(spectrum.argmax()) / 8


@pytest.mark.parametrize("speed", [0.8, 0.88, 1.0, 1.12, 1.3])
@pytest.mark.parametrize("n_samples", [RATE, 9001])
def test_a_faster_take_is_higher_and_as_long(speed: float, n_samples: int) -> None:
    said = at_speed(tone(1000, n_samples), speed)
    assert len(said) == n_samples
    assert said.dtype == np.int16
    assert pitch(said) == pytest.approx(1000 * speed, rel=0.01)
    middle = np.abs(said.astype(float)).cumsum()
    assert np.searchsorted(middle, middle[-1] / 2) == pytest.approx(n_samples / 2, abs=160)


@pytest.mark.parametrize("seconds", [0.08, -0.08, 0, 2, -2])
def test_a_shifted_take_is_the_same_sound(seconds: float) -> None:
    pcm = tone(500, 4000)
    moved, by = shifted(pcm, seconds), round(seconds * RATE)
    wanted = np.zeros(len(pcm), np.int16)
    for at in range(len(pcm)):
        if 0 <= at - by < len(pcm):
            wanted[at] = pcm[at - by]
    assert (moved == wanted).all()


def test_noise_is_as_far_below_as_it_says() -> None:
    pcm = tone(700)
    noise = in_noise(pcm, 20).astype(float) - pcm
    ratio = 10 * np.log10((pcm.astype(float) ** 2).mean() / (noise**2).mean())
    assert ratio == pytest.approx(20, abs=0.3)
    assert (in_noise(pcm, 20) == in_noise(pcm, 20)).all()
    loud = np.full(4000, 32767, np.int16)
    assert in_noise(loud, 6).max() == 32767


def test_the_trace_of_a_take_is_the_mean_over_its_renditions() -> None:
    pcm = tone(900)
    learner = Learner(MODEL)
    learner.teach("lamp", [pcm])
    rates = [Network(MODEL).spikes(features(one, MODEL.front_end)) for one in renditions(pcm)]
    n_row = 1 + 24 + 1
    takes = np.frombuffer(learner.weights, np.uint8)[MODEL.weight_bytes :]
    kept = takes[5 * n_row + 1 : 5 * n_row + 25].astype(float) / 256
    assert np.abs(kept - np.concatenate(rates).mean(0)).max() < 0.02, "states carry over a little"
    assert len(rates) == 6
    assert (renditions(pcm)[-1] == pcm).all()


def test_which_takes_have_renditions() -> None:
    pcm = tone(900)
    config = MODEL.front_end
    alone = features(pcm, config)
    assert (take_features(pcm, config, False) == alone).all()
    whole = take_features(pcm, config, True)
    assert len(whole) == 6 * len(alone)
    assert (whole[-len(alone) :] == alone).all()
    assert keeps(TAKES, "yes", MODEL.keywords)
    assert keeps(TAKES | lib.TKWS_LEARN_GUARDED, "yes", MODEL.keywords)
    assert not keeps(TAKES, "_unknown_", MODEL.keywords)
    assert not keeps(TAKES | lib.TKWS_LEARN_READOUT, "yes", MODEL.keywords)


def test_one_take_of_renditions_is_to_be_heard_more_clearly() -> None:
    """What its cosine is to be above; other numbers of takes go by how they agree."""
    own = MODEL.c.own
    one, plain = Learner(MODEL), Learner(MODEL)
    one.teach("lamp", [tone(900)])
    number = len(MODEL.labels)
    name = b"lamp"
    lib.tkws_own_add(MODEL.c, plain._weights.c, name, len(name))
    plain.take(features(tone(900), MODEL.front_end), number, TAKES, FULL_SCALE)

    def least(agreement_q15: float) -> float:
        return (own.least_q15 + own.agreement_q15 * agreement_q15 / 32768) / 32768

    assert plain.least()[0] == pytest.approx(least(own.single_q15), abs=1e-4)
    assert one.least()[0] == pytest.approx(least(lib.TKWS_OWN_RENDERED), abs=1e-4)
    one.teach("lamp", [tone(300)])
    agreement = one.words["lamp"].agreement
    assert agreement is not None
    assert one.least()[0] == pytest.approx(least(agreement * 32768), abs=1e-4)
    assert one.least()[1:].tolist() == [0, 0]


def test_a_model_is_known_by_its_crc() -> None:
    base = Model.load("base")
    found = known_model(base.crc)
    assert found is not None
    assert found.name == "base"
    assert known_model(MODEL.crc) is None
    assert known_model(MODEL.crc, None, base, MODEL) is MODEL
