# SPDX-License-Identifier: Apache-2.0
"""Made-up rooms and noise, measured by what a click, tones and silence become."""

import numpy as np
import pytest

from tracekws.bench.changed_sound import CLIPPED, SNR_DB, in_a_room, in_noise


def rms(pcm: np.ndarray) -> float:
    return float(np.sqrt(np.square(pcm.astype(float)).mean()))


def tone(hz: float) -> np.ndarray:
    return (4000 * np.sin(2 * np.pi * hz * np.arange(16000) / 16000)).astype(np.int16)


def test_a_room_goes_on_sounding_for_its_time():
    click = np.zeros((1, 16000), np.int16)
    click[0, 100] = 20000
    for seed in range(5):
        heard = in_a_room(click, np.random.default_rng(seed))[0].astype(float)
        early, late, later = (
            np.square(heard[a : a + 800]).sum() for a in (200, 200 + 1600, 200 + 4800)
        )
        # 60 dB in 0.3 to 0.8 s: 7.5 to 20 dB in 0.1 s, so at least that in the next 0.3 s
        assert 10 ** (-2.4) < late / early < 10 ** (-0.5)
        assert later < late


def test_a_microphone_has_a_band():
    """Measured by noise: the room alone leaves no trend over the frequencies."""
    pcm = np.random.default_rng(1).normal(0, 3000, (40, 16000)).astype(np.int16)
    for seed in range(5):
        heard = in_a_room(pcm, np.random.default_rng(seed)).astype(float)
        power = np.square(np.abs(np.fft.rfft(heard))).mean(axis=0)
        low, middle, high = (power[a:b].mean() for a, b in ((20, 90), (700, 2000), (6500, 7500)))
        assert low < 0.2 * middle
        assert high < 0.3 * middle


def test_a_room_is_as_loud_clips_and_is_the_same_for_a_seed():
    pcm = np.random.default_rng(1).normal(0, 3000, (3, 16000)).astype(np.int16)
    heard = in_a_room(pcm, np.random.default_rng(7))
    assert heard.dtype == np.int16
    assert [rms(row) for row in heard] == pytest.approx([rms(row) for row in pcm], rel=0.01)
    top = np.abs(heard).max(axis=1, keepdims=True)
    assert (np.abs(heard) == top).mean() == pytest.approx(CLIPPED, rel=0.2)
    assert (in_a_room(pcm, np.random.default_rng(7)) == heard).all()
    assert (in_a_room(pcm, np.random.default_rng(8)) != heard).any()


@pytest.mark.parametrize("snr_db", SNR_DB.values(), ids=SNR_DB)
def test_noise_is_as_loud_as_stated(snr_db):
    speech = np.stack([tone(500), 3 * tone(500)])
    noise = [np.random.default_rng(2).normal(0, 50, 48000).astype(np.int16)]
    heard = in_noise(speech, noise, snr_db, np.random.default_rng(3))
    for row, said in zip(heard.astype(float), speech.astype(float), strict=True):
        share = (row @ said) / (said @ said)
        ratio = 20 * np.log10(rms(share * said) / rms(row - share * said))
        assert snr_db[0] - 0.3 < ratio < snr_db[1] + 0.3
        assert rms(row) == pytest.approx(rms(said), rel=0.01)


def test_silence_stays_silent():
    silence = np.zeros((2, 16000), np.int16)
    assert not in_a_room(silence, np.random.default_rng(1)).any()
    assert not in_noise(silence, [tone(100)], (0, 5), np.random.default_rng(1)).any()
