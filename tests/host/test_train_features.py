# SPDX-License-Identifier: Apache-2.0
"""Augmentation of mel energies, their cache, and the loader of batches."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plain import PLAIN
from tones import utterance
from tracekws.core import FeatureConfig, energies, features, normalise
from tracekws.train import augment, cache
from tracekws.train.augment import FRAMES, Changes, Noises
from tracekws.train.config import AugmentConfig, load_config
from tracekws.train.dataset import Source
from tracekws.train.loader import Batch, Loader, Sampling

FRONT_END = FeatureConfig()
BASE = load_config("base")
ALWAYS = replace(
    BASE.augment,
    noise_share=1.0,
    talker_share=1.0,
    room_share=1.0,
    mask_share=1.0,
    warp_share=1.0,
    cut_share=1.0,
)


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([utterance(word, rng.uniform(0.9, 1.1), rng) for word in range(40)])


@pytest.fixture(scope="module")
def noises() -> Noises:
    rng = np.random.default_rng(2)
    hum = rng.normal(0, 300, 40000).cumsum() * 0.05
    return Noises.of([hum.clip(-32768, 32767).astype(np.int16)], 1)


def drawn(count: int, noises: Noises, config: AugmentConfig = PLAIN, seed: int = 1) -> Changes:
    return augment.draw(count, count, noises, config, np.random.default_rng(seed))


def apply(clips: np.ndarray, noises: Noises, changes: Changes, silence: bool = False) -> np.ndarray:
    is_silence = np.full(len(clips), silence)
    none = clips[:, :0]
    return augment.changed(clips, clips[::-1].copy(), none, is_silence, noises, changes).astype(
        float
    )


def test_a_context_comes_before_the_clip_and_leaves_it_alone(noises: Noises) -> None:
    rng = np.random.default_rng(5)
    clips = rng.uniform(0, 1e6, (20, augment.FRAMES, 40)).astype(np.float32)
    before = clips[::-1, -30:].copy()
    is_silence = np.arange(20) % 2 == 1
    changes = drawn(20, noises)
    alone = augment.changed(clips, clips, before[:, :0], is_silence, noises, changes)
    together = augment.changed(clips, clips, before, is_silence, noises, changes)
    assert together.shape == (20, 30 + augment.FRAMES, 40)
    np.testing.assert_array_equal(together[:, 30:], alone)
    factor = together[0, :30] / before[0]
    assert factor.min() > 0.2
    assert factor.std() < 0.01


def test_kept_energies_give_the_features_but_for_a_rare_last_bit(pcm: np.ndarray) -> None:
    exact = normalise(energies(pcm), FRONT_END)
    kept = cache.decode(cache.encode(energies(pcm))).astype(np.uint64)
    error = np.abs(normalise(kept, FRONT_END).astype(int) - exact)
    assert error.max() <= 1
    assert 0 < (error > 0).mean() < 0.03


def test_no_augmentation_changes_nothing(pcm: np.ndarray, noises: Noises) -> None:
    clips = energies(pcm).astype(np.float32)
    np.testing.assert_array_equal(apply(clips, noises, drawn(40, noises)), np.floor(clips))


def test_shift_and_tempo_keep_to_the_clip(noises: Noises) -> None:
    config = replace(PLAIN, shift_ms=100, tempo=0.1)
    frames = drawn(500, noises, config).frames
    assert (frames.min(), frames.max()) == (0, FRAMES - 1)
    middle = frames[:, FRAMES // 2] - FRAMES // 2
    assert -11 <= middle.min() <= -9
    assert 9 <= middle.max() <= 11
    inside = frames[:, 30:60]
    speed = (inside[:, -1] - inside[:, 0]) / 29
    assert 0.85 < speed.min() < 0.93
    assert 1.07 < speed.max() < 1.15
    assert 0.4 < (speed == 1).mean() < 0.7


def test_noise_and_talkers_come_at_their_levels(pcm: np.ndarray, noises: Noises) -> None:
    clips = energies(pcm).astype(np.float32)
    own = augment.mean_energy(clips)
    for name, share in (("noise", "noise_share"), ("talker", "talker_share")):
        config = replace(PLAIN, **{share: 1.0, f"{name}_db": (10.0, 10.0)})
        heard = apply(clips, noises, drawn(40, noises, config))
        added = heard.sum(2).mean(1) / own - 1
        np.testing.assert_allclose(added, 0.1, rtol=2e-3)


def test_a_room_goes_on_sounding_exponentially(noises: Noises) -> None:
    clips = np.zeros((8, FRAMES, 40), np.float32)
    clips[:, 20] = 1e12
    changes = drawn(8, noises, replace(PLAIN, room_share=1.0))
    heard = apply(clips, noises, changes)[:, :, 0] / 1e12
    assert (heard[:, :20] == 0).all()
    np.testing.assert_allclose(heard[:, 20], 1)
    tail = heard[:, 21:]
    np.testing.assert_allclose(
        tail[:, 1:20] / tail[:, :19], changes.room_decay[:, None] + 0 * tail[:, 1:20], rtol=1e-3
    )
    whole = tail.sum(1) / (changes.room_level * changes.room_decay)
    lost = changes.room_decay.astype(float) ** (FRAMES - 21)
    np.testing.assert_allclose(whole, 1 - lost, rtol=1e-3)


def test_gain_and_response_are_factors(pcm: np.ndarray, noises: Noises) -> None:
    clips = energies(pcm).astype(np.float32) + 1e6
    changes = drawn(40, noises, replace(PLAIN, gain_db=(-12.0, 6.0), equaliser_db=3.0))
    heard = apply(clips, noises, changes) / clips
    np.testing.assert_allclose(heard, np.broadcast_to(heard[:, :1], heard.shape), rtol=1e-4)
    decibels = 10 * np.log10(heard[:, 0])
    assert 2 < decibels.std(1).mean() < 8
    assert np.abs(np.diff(decibels, axis=1)).max() < 4  # smooth


def test_silence_is_noise_at_a_level(noises: Noises) -> None:
    level = 200.0
    made = np.random.default_rng(3).normal(0, level, 16000 * 5).astype(np.int16)
    expected = energies(made).sum(1).mean()
    clips = np.full((64, FRAMES, 40), 1e9, np.float32)
    changes = replace(drawn(64, noises), silence=np.full(64, level**2, np.float32))
    heard = apply(clips, noises, changes, silence=True).sum(2).mean(1)
    np.testing.assert_allclose(heard, expected, rtol=0.03)
    quiet = replace(changes, silence=np.zeros(64, np.float32))
    assert not apply(clips, noises, quiet, silence=True).any()


def test_silence_of_a_recording_without_a_sound_is_silent() -> None:
    made = Noises.of([np.zeros(40000, np.int16)], 1)
    first, last = made.borders[0]
    changes = drawn(64, made)
    is_mute = (changes.noise_starts >= first) & (changes.noise_starts <= last)
    assert 0.5 < is_mute.mean() < 0.9
    heard = apply(np.full((64, FRAMES, 40), 1e9, np.float32), made, changes, silence=True)
    assert not heard[is_mute].any()
    assert heard[~is_mute & (changes.silence > 0)].any((1, 2)).all()


def test_masks_blank_steps_and_channels_of_both_frames(noises: Noises) -> None:
    plain = np.full((50, 49, 80), 9, np.int8)
    changes = drawn(50, noises, replace(PLAIN, mask_share=1.0))
    augment.mask(plain, changes)
    for clip, steps, channels in zip(plain, changes.mask_steps, changes.mask_channels, strict=True):
        blank = np.zeros((49, 80), bool)
        blank[slice(*steps)] = True
        blank[:, slice(*channels)] = True
        blank[:, slice(*(channels + 40))] = True
        np.testing.assert_array_equal(clip == 0, blank)
        assert 1 <= steps[1] - steps[0] <= 5
        assert 1 <= channels[1] - channels[0] <= 5


def test_a_stretched_clip_sounds_higher_or_lower() -> None:
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.int16)
    pitches = []
    for seed in range(20):
        heard = augment.stretched(tone, 0.1, np.random.default_rng(seed))
        assert heard.shape == (16000,)
        pitches.append(np.abs(np.fft.rfft(heard[:8000])).argmax() * 2)
    assert 890 <= min(pitches) < 950
    assert 1050 < max(pitches) <= 1110


SETTINGS = replace(
    BASE,
    batch=16,
    clips_per_epoch=48,
    words=("a", "b"),
    augment=replace(ALWAYS, copies=2),
)


def source(pcm: np.ndarray) -> Source:
    labels = np.concatenate([np.arange(40) % 3, [3, 3, 3]])
    return Source(
        pcm, labels, labels, [np.random.default_rng(1).normal(0, 90, 40000).astype(np.int16)]
    )


Loaded = tuple[list[Batch], np.ndarray]


def loaded(pcm: np.ndarray, folder: Path, part: slice = slice(None)) -> Loaded:
    """Batches of epochs 2 and 3, and their labels."""
    loader = Loader(source(pcm), folder, FRONT_END, SETTINGS, 1, part)
    try:
        sampling = Sampling(1, 1, SETTINGS.batch, 0.5)
        batches = [b for epoch in loader.epochs(sampling, range(2, 4)) for b in epoch]
        once = loader.each_once()
    finally:
        loader.close()
    assert once.shape == (43, 49, 80)
    assert not (once == 0).all((1, 2)).any()
    return batches, np.array([b.labels for b in batches])


def test_batches_are_fresh_repeatable_and_divisible(pcm: np.ndarray, tmp_path: Path) -> None:
    batches, labels = loaded(pcm, tmp_path)
    whole = [batch.features for batch in batches]
    assert sum(len(batch) for batch in whole) == 96
    steps = {batch.shape[1] for batch in whole}
    assert min(steps) == 49  # without a context
    assert 59 <= max(steps) <= 98
    for batch in batches:
        assert (batch.window is None) == (batch.features.shape[1] == 49)
        if batch.window:
            assert 49 <= batch.window.end < batch.features.shape[1]
            assert batch.window.right.shape == (16, 4)
            assert batch.window.right.any(1).all()
    assert set(labels.flat) == {0, 1, 2, 3}
    assert len({clip.tobytes() for batch in whole for clip in batch}) == 96  # 43 rows: all new
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 2
    for half in range(2):
        part, part_labels = loaded(pcm, tmp_path, slice(half, None, 2))
        for mine, all_of_it in zip(part, batches, strict=True):
            np.testing.assert_array_equal(mine.features, all_of_it.features[half::2])
            if mine.window and all_of_it.window:
                assert mine.window.end == all_of_it.window.end
                np.testing.assert_array_equal(mine.window.right, all_of_it.window.right[half::2])
        np.testing.assert_array_equal(part_labels, labels[:, half::2])
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_windows_are_right_about_words_that_are_heard_where_they_are(tmp_path: Path) -> None:
    """Every clip is a tone of a fifth of a second in its middle: features tell where it is."""
    pcm = np.zeros((40, 16000), np.int16)
    pcm[:, 6400:9600] = 8000 * np.sin(2 * np.pi * 1000 * np.arange(3200) / 16000)
    settings = replace(SETTINGS, context_share=1.0, augment=PLAIN, clips_per_epoch=480)
    loader = Loader(source(pcm), tmp_path, FRONT_END, settings, 1)
    try:
        batches = [b for epoch in loader.epochs(Sampling(1, 1, 16, 1.0), range(1)) for b in epoch]
    finally:
        loader.close()
    seen = []
    for batch in batches:
        assert batch.window
        end = batch.window.end
        for clip, right in zip(batch.features, batch.window.right, strict=True):
            second = (clip[end - 49 : end].max(1) > 5).tolist()
            tones = "".join("x" if loud else " " for loud in second)
            whole = [tone for tone in tones[1:-4].split(" ") if len(tone) >= 10 and tone in tones]
            is_cut = "x" in tones[:4] + tones[-8:]
            if whole and not is_cut:
                assert not right[3]  # silence is wrong
            elif "x" not in tones:
                assert right[2:].all()
            seen.append((bool(whole), is_cut))
    assert len(set(seen)) == 4


def test_the_cache_is_named_by_all_that_is_in_it(pcm: np.ndarray, tmp_path: Path) -> None:
    plain, first = cache.paths(tmp_path, pcm, 2, 0.1, 1)
    assert cache.paths(tmp_path, pcm, 3, 0.1, 1)[:2] == [plain, first]
    for stretch, seed in ((0.2, 1), (0.1, 2)):
        others = cache.paths(tmp_path, pcm, 2, stretch, seed)
        assert others[0] == plain  # the clips as they are
        assert others[1] != first
    assert not {plain, first} & set(cache.paths(tmp_path, pcm[:-1], 2, 0.1, 1))


def test_a_plain_copy_is_the_clips_as_they_are(pcm: np.ndarray, tmp_path: Path) -> None:
    settings = replace(SETTINGS, augment=PLAIN)
    loader = Loader(source(pcm), tmp_path, FRONT_END, settings, 1)
    try:
        once = loader.each_once()[:40].astype(int)
    finally:
        loader.close()
    expected = np.stack([features(clip, FRONT_END) for clip in pcm])
    assert np.abs(once - expected).max() <= 1


def test_an_interrupted_cache_leaves_nothing(tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    files = [tmp_path / "energies-0.npy", tmp_path / "energies-1.npy"]
    pcm = np.zeros((3, 16000), np.int16)
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        cache.fill(files, pcm, 0.1, 1, pool, stop)
    assert [*tmp_path.iterdir()] == []
