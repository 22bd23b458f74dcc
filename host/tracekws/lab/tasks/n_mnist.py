# SPDX-License-Identifier: Apache-2.0
"""N-MNIST (Orchard et al. 2015) from the user's copy, as in the paper (arXiv 2509.13053).

From the authors' released program: the first saccade alone, frames of 1 ms, 34 x 34 pixels, both
polarities. Ours: a tenth of the training digits validates (there the best epoch on the test set was
reported). The whole set is 16 GB of frames; `samples` takes fewer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tracekws.errors import DataError
from tracekws.lab.data import (
    Clips,
    Config,
    Configured,
    Figure,
    Split,
    hold_out,
    need_folder,
    split_of_three,
)
from tracekws.lab.network import Constants, Dense
from tracekws.lab.recorded import events_at, first_of_each, framed, needs_line, own_copy

FRAME_US = 1000
EVENT_BYTES = 5

CONFIGS = {
    "dense": Config(
        network=(Dense(200),),
        constants=Constants(alpha=0.98, beta=0.98, v_th=1.0),
        batch=128,
        epochs=100,
        rate=1e-4,
        origin="the authors' released program",
        figures=(
            Figure("tp", 97.26, 0.09, "best epoch on the test set; last 96.53 ± 0.14; 10 seeds"),
            Figure("bptt", 98.39, 0.06, "rate 1e-3; last epoch 98.31 ± 0.08; 10 seeds"),
        ),
    )
}


@dataclass(frozen=True)
class NMnist(Configured):
    """The task."""

    samples: int | None = None
    """Recordings to read of each of tonic's two parts; all by default."""
    name: str = "n-mnist"
    summary: str = "digits before a moving event camera, from your copy; 10 classes"
    needs: str = needs_line("NMNIST('DIR')", "NMNIST('DIR', train=False)")
    configs: Mapping[str, Config] = field(default_factory=lambda: CONFIGS)

    def load(self, data: Path | None, seed: int) -> Split:
        """Read `data/NMNIST`; the seed draws who validates.

        Raises:
            DataError: no such folder, or files that are not N-MNIST's.
            MissingTool: tonic is not installed.
        """
        root = need_folder(data, self.name, self.needs)
        learnt = self.read(root, "Train")
        rest, held = hold_out(learnt.labels, 0.1, np.random.default_rng(seed))
        classes = tuple(str(digit) for digit in range(10))
        return split_of_three(
            learnt.take(rest), learnt.take(held), self.read(root, "Test"), classes
        )

    def read(self, root: Path, part: str) -> Clips:
        """One of the two parts."""
        recordings = own_copy(
            "NMNIST",
            root,
            f"{part}/*/*.bin",
            self.needs,
            train=part == "Train",
            first_saccade_only=True,
        )
        chosen = first_of_each(recordings.targets, self.samples)
        for path in (recordings.data[i] for i in chosen):
            if Path(path).stat().st_size % EVENT_BYTES:
                raise DataError(f"{path}: not whole events of {EVENT_BYTES} bytes")
        events = (events_at(recordings, i) for i in chosen)
        return Clips(
            framed(recordings, events, time_window=FRAME_US),
            torch.tensor([recordings.targets[i] for i in chosen], dtype=torch.int64),
        )
