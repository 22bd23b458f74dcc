# SPDX-License-Identifier: Apache-2.0
"""CIFAR10-DVS (Li et al. 2017) from the user's copy, as in the paper (arXiv 2509.13053).

From the authors' released program: 10 frames a recording, 48 x 48, bilinear; nine tenths of each
class train, the rest tests; in training, frames are cropped at random out of a border of 4 zeros,
and half of the clips are flipped. Ours: files in the order of their names (there in the disk's),
and of the training recordings a tenth validates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracekws.lab.data import (
    Clips,
    Config,
    Configured,
    Figure,
    Split,
    hold_out,
    need_folder,
    need_package,
    split_of_three,
)
from tracekws.lab.network import Constants
from tracekws.lab.recorded import (
    events_at,
    first_of_each,
    framed,
    in_order,
    needs_line,
    own_copy,
)
from tracekws.lab.tasks.dvs_gesture import vgg9

STEPS = 10
SIDE = 48
TRAINING = 0.9

CONFIGS = {
    "vgg9": Config(
        network=vgg9(last_pool=3),
        constants=Constants(alpha=0.18, beta=0.19, v_th=0.5),
        batch=64,
        epochs=300,
        rate=1e-4,
        origin="the authors' released program",
        standardised=True,
        crop=4,
        flip=True,
        figures=(
            Figure("tp", 71.26, 0.45, "best epoch on the test set; last 69.35 ± 1.07; 10 seeds"),
        ),
    )
}


@dataclass(frozen=True)
class Cifar10Dvs(Configured):
    """The task."""

    samples: int | None = None
    """Recordings to read; all by default."""
    name: str = "cifar10-dvs"
    summary: str = "CIFAR-10 on a screen before an event camera, from your copy; 10 classes"
    needs: str = needs_line("CIFAR10DVS('DIR')")
    configs: Mapping[str, Config] = field(default_factory=lambda: CONFIGS)

    def load(self, data: Path | None, seed: int) -> Split:
        """Read `data/CIFAR10DVS`; the seed draws which recordings validate.

        Raises:
            DataError: no such folder, or files that are not CIFAR10-DVS's.
            MissingTool: tonic, or aedat which reads its files, is not installed.
        """
        root = need_folder(data, self.name, self.needs)
        need_package("aedat")
        recordings = own_copy("CIFAR10DVS", root, "*/*.aedat4", self.needs)
        order = in_order(recordings)
        labels = [recordings.targets[i] for i in order]
        chosen = order[first_of_each(labels, self.samples)]
        events = (events_at(recordings, i) for i in chosen)
        clips = Clips(
            framed(recordings, events, smaller, torch.float16, n_time_bins=STEPS),
            torch.tensor([recordings.targets[i] for i in chosen], dtype=torch.int64),
        )
        learnt, asked = by_order(clips.labels)
        rest, held = hold_out(clips.labels[learnt], 0.1, np.random.default_rng(seed))
        return split_of_three(
            clips.take(learnt[rest]),
            clips.take(learnt[held]),
            clips.take(asked),
            tuple(sorted(recordings.classes, key=recordings.classes.get)),
        )


def smaller(frames: Tensor) -> Tensor:
    """Counts (T, 2, 128, 128) to (T, 2, SIDE, SIDE), as the released program does."""
    return functional.interpolate(frames, size=(SIDE, SIDE), mode="bilinear", align_corners=True)


def by_order(labels: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the first nine tenths of each class, and of the rest."""
    first, rest = [], []
    for label in torch.unique(labels).tolist():
        (members,) = np.nonzero(labels.numpy() == label)
        cut = round(TRAINING * len(members))
        first.append(members[:cut])
        rest.append(members[cut:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(rest))
