# SPDX-License-Identifier: Apache-2.0
"""The cochlea: tones in their places, loudness, adaptation, splits by speaker."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import gammatone, hilbert, lfilter

from recordings import write_take
from tracekws.errors import DataError
from tracekws.lab.tasks.spoken_digits import (
    CHANNELS,
    STEPS,
    WORDS,
    SpokenDigits,
    centres,
    encode,
    envelopes,
    spikes_of,
)


def tone(hz: float, amplitude: float = 0.3) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(16000) / 16000)


def pcm(sound: np.ndarray) -> np.ndarray:
    return np.round(32767 * sound).astype(np.int16)[None]


@pytest.mark.parametrize("channel", [5, 20, 40, 60])
def test_a_tone_is_loudest_in_its_channel(channel: int) -> None:
    sound = torch.from_numpy(tone(float(centres()[channel])).astype(np.float32))[None]
    level = envelopes(sound)[0, 300:700].mean(0)
    assert int(level.argmax()) == channel
    assert float(level[channel]) == pytest.approx(0.3, rel=0.05)
    assert level[(channel + 20) % CHANNELS] < 0.05 * level[channel]


@pytest.mark.parametrize("channel", [8, 30, 45])
def test_envelopes_are_those_of_scipys_gammatone_filters(channel: int) -> None:
    rng = np.random.default_rng(channel)
    burst = np.zeros(16000)
    burst[4000:8000] = rng.normal(0, 0.1, 4000)
    b, a = gammatone(centres()[channel], "iir", fs=16000)
    # Means of 5 ms, as the neuron's membrane takes them.
    reference = np.abs(hilbert(lfilter(b, a, burst))).reshape(200, 80).mean(1)
    fine = envelopes(torch.from_numpy(burst.astype(np.float32))[None])[0, :, channel]
    ours = fine.reshape(200, 5).mean(1).numpy()
    assert np.corrcoef(reference, ours)[0, 1] > 0.98
    assert ours.max() == pytest.approx(reference.max(), rel=0.15)


def test_silence_is_silent() -> None:
    assert not encode(np.zeros((2, 16000), np.int16)).any()


def test_loudness_hardly_matters() -> None:
    rng = np.random.default_rng(0)
    sound = tone(500) + tone(1500) * np.linspace(0, 1, 16000) + rng.normal(0, 0.005, 16000)
    loud, quiet = encode(pcm(sound)).int(), encode(pcm(0.1 * sound)).int()
    assert loud.sum() > 100
    assert (loud - quiet).abs().sum() < 0.02 * loud.sum()


def test_hair_cells_adapt() -> None:
    drive = torch.zeros(1, 1000, CHANNELS)
    drive[:, 200:] = 0.2
    spikes = spikes_of(drive)[0, :, 0].int()
    assert spikes[:200].sum() == 0
    onset, later = spikes[200:250].sum(), spikes[600:650].sum()
    assert onset > 1.5 * later > 0


def test_louder_is_faster_but_compressed() -> None:
    rates = [int(spikes_of(torch.full((1, 1000, 1), level)).sum()) for level in (0.002, 0.02, 0.2)]
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] < 10 * max(rates[1], 1)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three speakers, one a split, who say each digit and one other word; one take twice."""
    for i, speaker in enumerate(("aa", "bb", "cc")):
        for j, word in enumerate((*WORDS, "yes")):
            write_take(tmp_path / word / f"{speaker}_nohash_0.wav", 20 * i + j)
    write_take(tmp_path / "zero" / "aa_nohash_1.wav", 0)
    for name, speaker in (("validation", "bb"), ("testing", "cc")):
        lines = [f"{word}/{speaker}_nohash_0.wav" for word in (*WORDS, "yes")]
        (tmp_path / f"{name}_list.txt").write_text("\n".join(lines))
    return tmp_path


def test_lists_split_the_digits_by_speaker(tree: Path) -> None:
    split = SpokenDigits().load(tree, seed=0)
    assert split.classes == WORDS
    groups = []
    for part in (split.train, split.validation, split.test):
        assert part.events.shape == (10, STEPS, CHANNELS)  # the repeated take is there once
        assert sorted(part.labels.tolist()) == list(range(10))
        assert part.groups is not None
        groups.append(set(part.groups.tolist()))
    assert groups == [{0}, {1}, {2}]
    assert SpokenDigits().load(tree, seed=1).digest == split.digest


def test_a_clip_that_is_not_readable_is_named(tree: Path) -> None:
    for name in ("aa_nohash_2", "aa_nohash_3"):
        (tree / "one" / f"{name}.wav").write_bytes(b"no sound at all")
    with pytest.raises(DataError, match=r"2 clips .* first is .*aa_nohash_2\.wav: not readable"):
        SpokenDigits().load(tree, seed=0)


def test_tree_without_lists_or_digits_is_refused(tree: Path, tmp_path: Path) -> None:
    for name in ("validation", "testing"):
        (tree / f"{name}_list.txt").unlink()
    with pytest.raises(DataError, match=r"no testing_list\.txt"):
        SpokenDigits().load(tree, seed=0)
    with pytest.raises(DataError, match="name its folder with --data; a Speech Commands tree"):
        SpokenDigits().load(None, seed=0)
