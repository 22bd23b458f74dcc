# SPDX-License-Identifier: Apache-2.0
"""What all tasks have in common."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from tracekws.errors import DataError, MissingTool
from tracekws.lab.data import Clips, Task, augmented, digest_of, need_package, split_of_three
from tracekws.lab.tasks import TASKS, task_of

DIGITS = task_of("digits").configs["dense"]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_task_is_complete(task: Task) -> None:
    assert task_of(task.name) is task
    assert task.summary
    assert "\n" not in task.summary + task.needs
    assert bool(task.needs) == (task.name != "digits")
    first = next(iter(task.configs.values()))
    assert (task.network, task.constants) == (first.network, first.constants)
    assert all(config.origin for config in task.configs.values())


def test_names_are_distinct_and_unknown_ones_refused() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS) == 7
    with pytest.raises(DataError, match="no task 'mnist'; there are: digits, spoken-digits"):
        task_of("mnist")


def test_every_value_is_in_the_digest() -> None:
    clips = Clips(
        torch.zeros(2, 3, 4, dtype=torch.uint8), torch.tensor([0, 1]), torch.tensor([0, 0])
    )
    other = Clips(clips.events.clone(), clips.labels, clips.groups)
    digest = digest_of(clips, clips, clips, ("a", "b"))
    assert digest_of(other, other, other, ("a", "b")) == digest
    assert len(digest) == 64
    other.events[1, 2, 3] = 1
    changed = (
        digest_of(clips, clips, other, ("a", "b")),
        digest_of(other, clips, clips, ("a", "b")),
        digest_of(clips, clips, clips, ("a", "c")),
        digest_of(clips, Clips(clips.events, clips.labels), clips, ("a", "b")),
        digest_of(clips, Clips(clips.events.reshape(2, 4, 3), clips.labels), clips, ("a", "b")),
    )
    assert len({digest, *changed}) == 6


def test_crops_and_flips_move_a_clip_as_a_whole() -> None:
    frames = torch.zeros(400, 2, 1, 7, 9, dtype=torch.uint8)
    frames[:, 0, 0, 3, 5], frames[:, 1, 0, 4, 3] = 1, 2
    config = replace(DIGITS, crop=2, flip=True)
    clips = augmented(Clips(frames, torch.arange(400)), config, np.random.default_rng(0))
    assert (clips.events.shape, clips.events.dtype) == (frames.shape, torch.uint8)
    assert torch.equal(clips.labels, torch.arange(400))
    seen = []
    for clip in clips.events:
        ((y, x),), ((below, left),) = (frame[0].nonzero().tolist() for frame in clip)
        assert clip.sum() == 3
        # Two to the left of the first event in the recording; to the right once mirrored.
        assert (below - y, abs(left - x)) == (1, 2)
        mirrored = left > x
        seen.append((y - 3, x - (3 if mirrored else 5), mirrored))
    shifts = range(-2, 3)
    assert set(seen) == {(y, x, m) for y in shifts for x in shifts for m in (True, False)}
    assert 160 < sum(mirrored for _, _, mirrored in seen) < 240
    untouched = Clips(frames, torch.arange(400))
    assert torch.equal(augmented(untouched, DIGITS, np.random.default_rng(0)).events, frames)


def test_an_empty_part_is_refused() -> None:
    some = Clips(torch.zeros(2, 3, 4), torch.tensor([0, 1]))
    none = Clips(torch.zeros(0, 3, 4), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(DataError, match="no clips for validation"):
        split_of_three(some, none, some, ("a", "b"))


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(MissingTool, match=r"tonic is not installed; .*\[events\]"):
        need_package("tonic")
