# SPDX-License-Identifier: Apache-2.0
"""Digits before a moving camera: events where and when edges pass, the same for the same seed."""

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from tracekws.lab.tasks import digits
from tracekws.lab.tasks.digits import SENSOR, STEPS, Digits, events_of, path, view


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera without noise whose pixels are all alike."""
    monkeypatch.setattr(digits, "NOISE_HZ", 0.0)
    monkeypatch.setattr(digits, "MISMATCH", 0.0)


def bar() -> np.ndarray:
    """An upright stroke, two columns wide."""
    image = np.zeros((1, 8, 8))
    image[0, 1:7, 3:5] = 1
    return image


def test_gaze_goes_round_a_triangle() -> None:
    gaze = path()
    assert gaze.shape == (301, 2)
    np.testing.assert_allclose(gaze[0], gaze[-1])
    # In N-MNIST 3.5 and 7 pixels of 28; here of 12.
    np.testing.assert_allclose(gaze[100] - gaze[0], [1.5, 3.0])
    np.testing.assert_allclose(gaze[200] - gaze[0], [3.0, 0.0])


def test_a_white_sheet_makes_no_events(quiet: None) -> None:
    assert not events_of(np.zeros((2, 8, 8)), np.random.default_rng(0)).any()


def test_view_keeps_the_ink_and_follows_the_gaze() -> None:
    image = np.zeros((8, 8))
    image[4, 3] = 1
    still = (view(np.zeros(2), 8) @ image.ravel()).reshape(SENSOR, SENSOR)
    moved = (view(np.array([1.5, 0.0]), 8) @ image.ravel()).reshape(SENSOR, SENSOR)
    rows, columns = np.indices(still.shape)
    assert still.sum() == pytest.approx((12 / 8) ** 2, rel=0.05)
    centre = [float((still * axis).sum() / still.sum()) for axis in (rows, columns)]
    assert centre == pytest.approx([7.5 + 0.5 * 1.5, 7.5 - 0.5 * 1.5], abs=0.2)
    shift = (moved * columns).sum() / moved.sum() - centre[1]
    assert shift == pytest.approx(-1.5, abs=0.2)


def test_edges_turn_pixels_on_before_and_off_behind(quiet: None) -> None:
    counts = events_of(bar(), np.random.default_rng(0))[0].astype(int)
    assert counts.shape == (STEPS, 2, SENSOR, SENSOR)
    # The gaze goes right in the first two saccades, so the stroke goes left over the sensor.
    columns = np.arange(SENSOR)
    first = counts[:20].sum((0, 2))
    off, on = ((first[p] * columns).sum() / first[p].sum() for p in (0, 1))
    assert on < off
    # In the third it goes back.
    last = counts[20:].sum((0, 2))
    off, on = ((last[p] * columns).sum() / last[p].sum() for p in (0, 1))
    assert on > off


def test_events_count_the_change_of_log_intensity(quiet: None) -> None:
    counts = events_of(bar(), np.random.default_rng(0))[0].astype(int)
    gaze = path()
    seen = np.log(digits.DARK + np.stack([view(at, 8) @ bar().ravel() for at in gaze]))
    net = (counts[:, 1] - counts[:, 0]).sum(0).ravel() * digits.THRESHOLD
    # The camera comes back to where it was: a pixel's events end within a threshold of nothing.
    np.testing.assert_allclose(seen[0], seen[-1], atol=1e-9)
    assert np.abs(net).max() <= digits.THRESHOLD + 1e-6
    quarter = (counts[:10, 1] - counts[:10, 0]).sum(0).ravel() * digits.THRESHOLD
    assert np.abs(quarter - (seen[100] - seen[0])).max() < digits.THRESHOLD + 1e-5


def test_noise_comes_at_its_rate() -> None:
    counts = events_of(np.zeros((200, 8, 8)), np.random.default_rng(3))
    pixel_seconds = 200 * 2 * SENSOR**2 * 0.3
    expected = digits.NOISE_HZ * pixel_seconds
    assert counts.sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_seed_draws_the_camera_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, again, other = (
        events_of(bar(), np.random.default_rng(seed)).astype(int) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert 0 < np.abs(one - other).sum() < one.sum()


def test_split_keeps_the_order_of_the_source() -> None:
    from sklearn.datasets import load_digits

    split = Digits().load(None, seed=0)
    parts = (split.train, split.validation, split.test)
    assert [len(part) for part in parts] == [1078, 360, 359]
    labels = torch.cat([part.labels for part in parts])
    np.testing.assert_array_equal(labels.numpy(), load_digits().target)
    assert split.train.events.shape[1:] == (STEPS, 2, SENSOR, SENSOR)
    assert split.train.events.dtype == torch.uint8
    for part in parts:
        assert part.groups is None
        share = torch.bincount(part.labels, minlength=10) / len(part)
        assert share.min() > 0.08
        assert share.max() < 0.12
