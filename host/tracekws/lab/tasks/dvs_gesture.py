# SPDX-License-Identifier: Apache-2.0
"""DVS128 Gesture (Amir et al. 2017) from the user's copy, as in the paper (arXiv 2509.13053).

From the authors' released program: frames of 75 ms, made smaller to 32 x 32; training recordings
are cut into pieces of 1.575 s (20 whole frames), test recordings are whole; in training, frames
are cropped at random out of a border of 4 zeros, and not flipped. Ours: a tenth of the training
recordings validates, whole. Groups are the subjects.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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
from tracekws.lab.network import Constants, Conv
from tracekws.lab.recorded import (
    Events,
    events_at,
    first_of_each,
    framed,
    in_order,
    needs_line,
    own_copy,
    resized,
)

FRAME_US = 75_000
PIECE_US = 1_575_000
SIDE = 32
CLASSES = (
    "hand clap",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other",
)


def vgg9(last_pool: int) -> tuple[Conv, ...]:
    """VGG-9 as released: eight convolutions and the readout; maxima, at last means to 2 x 2."""
    pools = ((64, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2), (512, 1))
    layers = [Conv(channels, pool=pool, pooling="max") for channels, pool in pools]
    return (*layers, Conv(512, pool=last_pool, pooling="mean"))


CONFIGS = {
    "vgg9": Config(
        network=vgg9(last_pool=2),
        constants=Constants(alpha=0.53, beta=0.98, v_th=1.0),
        batch=64,
        epochs=200,
        rate=1e-4,
        origin="the authors' released program",
        standardised=True,
        crop=4,
        figures=(
            Figure("tp", 97.77, 0.75, "best epoch on the test set; last 95.61 ± 1.02; 10 seeds"),
            Figure("bptt", 98.07, 0.55, "rate 1e-3; last epoch 95.64 ± 1.19; 10 seeds"),
        ),
    )
}


@dataclass(frozen=True)
class DvsGesture(Configured):
    """The task."""

    samples: int | None = None
    """Recordings to read of each of tonic's two parts; all by default."""
    name: str = "dvs-gesture"
    summary: str = "gestures before an event camera, from your copy; 11 classes"
    needs: str = needs_line("DVSGesture('DIR')", "DVSGesture('DIR', train=False)")
    configs: Mapping[str, Config] = field(default_factory=lambda: CONFIGS)

    def load(self, data: Path | None, seed: int) -> Split:
        """Read `data/DVSGesture`; the seed draws which recordings validate.

        Raises:
            DataError: no such folder, or files that are not DVS Gesture's.
            MissingTool: tonic is not installed.
        """
        root = need_folder(data, self.name, self.needs)
        learnt, chosen = self.listed(root, "Train")
        labels = torch.tensor([learnt.targets[i] for i in chosen])
        rest, held = hold_out(labels, 0.1, np.random.default_rng(seed))
        return split_of_three(
            clips_of(learnt, chosen[rest], in_pieces=True),
            clips_of(learnt, chosen[held], in_pieces=False),
            clips_of(*self.listed(root, "Test"), in_pieces=False),
            CLASSES,
        )

    def listed(self, root: Path, part: str) -> tuple[Any, NDArray[np.int64]]:
        """Recordings of one of the two parts, and which of them to take."""
        recordings = own_copy(
            "DVSGesture", root, f"ibmGesture{part}/*/*.npy", self.needs, train=part == "Train"
        )
        order = in_order(recordings)
        return recordings, order[
            first_of_each([recordings.targets[i] for i in order], self.samples)
        ]


def pieces(events: Events) -> list[Events]:
    """Consecutive pieces of PIECE_US; what is left over is dropped."""
    slicer = need_package("tonic.slicers").SliceByTime(time_window=PIECE_US)
    cut: list[Events] = slicer.slice(events, 0)[0]
    return cut


def clips_of(recordings: Any, chosen: NDArray[np.int64], in_pieces: bool) -> Clips:
    """Frames of some recordings."""
    sources: list[int] = []

    def each() -> Iterator[Events]:
        for i in chosen:
            events = events_at(recordings, int(i))
            for piece in pieces(events) if in_pieces else [events]:
                sources.append(int(i))
                yield piece

    frames = framed(recordings, each(), lambda counts: resized(counts, SIDE), time_window=FRAME_US)
    return Clips(
        frames,
        torch.tensor([recordings.targets[i] for i in sources], dtype=torch.int64),
        torch.tensor([recordings.users[i] for i in sources], dtype=torch.int64),
    )
