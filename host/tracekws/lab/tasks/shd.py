# SPDX-License-Identifier: Apache-2.0
"""Spiking Heidelberg Digits (Cramer et al. 2022) from the user's copy, as in the paper.

From the authors' released program (arXiv 2509.13053): frames of 10 ms, all 700 channels. Ours: a
tenth of the training clips validates (there the best epoch on the test set was reported). Groups
are the speakers; two of the twelve are in the test part alone, the others in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

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
from tracekws.lab.network import Constants, Dense
from tracekws.lab.recorded import events_at, first_of_each, framed, needs_line, own_copy

FRAME_US = 10_000

CONFIGS = {
    "recurrent": Config(
        network=(Dense(450, recurrent=True),),
        constants=Constants(alpha=0.85, beta=0.85, v_th=0.5),
        batch=128,
        epochs=100,
        rate=1e-4,
        origin="the authors' released program",
        figures=(
            Figure("tp", 80.75, 1.22, "best epoch on the test set; last 76.43 ± 1.71; 10 seeds"),
            Figure("bptt", 82.46, 1.05, "rate 1e-3, alpha 0.95; last epoch 80.80 ± 0.85; 10 seeds"),
        ),
    ),
    "dense": Config(
        network=(Dense(450),),
        constants=Constants(alpha=0.96, beta=0.97, v_th=1.0),
        batch=128,
        epochs=100,
        rate=1e-4,
        origin="the authors' released program",
        figures=(
            Figure("tp", 65.43, 1.99, "best epoch on the test set; last 61.62 ± 2.34; 10 seeds"),
            Figure("bptt", 75.48, 0.48, "rate 1e-3; last epoch 73.03 ± 0.32; 10 seeds"),
        ),
    ),
}


@dataclass(frozen=True)
class Shd(Configured):
    """The task."""

    samples: int | None = None
    """Recordings to read of each of the two files; all by default."""
    name: str = "shd"
    summary: str = "spoken digits in two languages through a cochlea, from your copy; 20 classes"
    needs: str = needs_line("SHD('DIR')", "SHD('DIR', train=False)")
    configs: Mapping[str, Config] = field(default_factory=lambda: CONFIGS)

    def load(self, data: Path | None, seed: int) -> Split:
        """Read `data/SHD`; the seed draws who validates.

        Raises:
            DataError: no such folder, or files that are not SHD's.
            MissingTool: tonic is not installed.
        """
        root = need_folder(data, self.name, self.needs)
        learnt, classes = self.read(root, "train")
        asked, _ = self.read(root, "test")
        rest, held = hold_out(learnt.labels, 0.1, np.random.default_rng(seed))
        return split_of_three(learnt.take(rest), learnt.take(held), asked, classes)

    def read(self, root: Path, part: str) -> tuple[Clips, tuple[str, ...]]:
        """One of the two files, and the names of the classes."""
        recordings = own_copy("SHD", root, f"shd_{part}.h5", self.needs, train=part == "train")
        labels = labels_of(root / "SHD" / f"shd_{part}.h5")
        chosen = first_of_each(labels, self.samples)
        events = (events_at(recordings, i) for i in chosen)
        clips = Clips(
            framed(
                recordings,
                events,
                lambda frames: frames.flatten(1),
                time_window=FRAME_US,
            ),
            torch.tensor([labels[i] for i in chosen], dtype=torch.int64),
            torch.from_numpy(np.asarray(recordings.speaker)[chosen].astype(np.int64)),
        )
        return clips, tuple(key.decode() for key in recordings.classes)


def labels_of(path: Path) -> list[int]:
    """Labels of an SHD file."""
    with need_package("h5py").File(path, "r") as file:
        return [int(label) for label in file["labels"][()]]
