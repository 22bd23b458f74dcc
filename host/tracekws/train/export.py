# SPDX-License-Identifier: Apache-2.0
"""From a trained network to the model image: quantisation and replay."""

import numpy as np
import torch
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.core import FeatureConfig, Learner, Model
from tracekws.data import CLASSES, KEYWORDS, SILENCE, UNKNOWN
from tracekws.modelfile import Arrays, Detector, Learning, Replay, build_image
from tracekws.train.network import READOUT_GAIN, SpikingNetwork

N_LATENT = 196
IMAGE_LIMIT = 192 * 1024
"""Bytes of the largest image for this class of device."""


def arrays_of(network: SpikingNetwork) -> Arrays:
    """The network's numbers in the layout of the image."""

    def numbers(tensor: torch.Tensor) -> NDArray[np.float64]:
        return tensor.detach().numpy().astype(np.float64)

    return Arrays(
        weights=numbers(network.weights).T,
        recurrent=numbers(network.recurrent),
        bias=numbers(network.bias),
        readout=numbers(network.readout) * READOUT_GAIN,
        readout_bias=numbers(network.readout_bias),
        decay=numbers(network.decay),
        target=numbers(network.target),
    )


def replay_rows(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> list[int]:
    """Rows to rehearse: two of three are unknown words, the rest keywords in turn.

    A user's takes are keywords: half and half loses rejection with every word that is taught.
    """
    unknown = CLASSES.index(UNKNOWN)
    rows: list[int] = []
    for n in range(count):
        label = (n // 3) % len(KEYWORDS) if n % 3 == 2 else unknown
        rows.append(int(rng.choice(np.flatnonzero(labels == label))))
    return rows


def export(
    name: str,
    network: SpikingNetwork,
    features: NDArray[np.int8],
    labels: NDArray[np.int64],
    config: FeatureConfig,
    learning: Learning,
    detector: Detector,
    seed: int,
    latent: int = N_LATENT,
    sequences: int | None = None,
) -> bytes:
    """The model image of a network.

    Args:
        name: of the model.
        network: trained.
        features: (clips, steps, 80) int8 of training clips, to take the replay from.
        labels: their classes.
        config: of the front end.
        learning: constants of learning.
        detector: constants of the detector.
        seed: of the draw of replay clips.
        latent: replay vectors.
        sequences: replay sequences; as many as fit IMAGE_LIMIT by default, maybe none.
    """
    rng = np.random.default_rng(seed)
    arrays = arrays_of(network)

    def image(replay: Replay) -> bytes:
        return build_image(
            name, CLASSES, UNKNOWN, SILENCE, arrays, config, learning, detector, replay
        )

    bare = Model(image(Replay()))
    learner = Learner(bare)
    rows = replay_rows(labels, latent, rng)
    rates = np.stack([learner.rates(features[row]) for row in rows])
    vectors = np.column_stack([labels[rows], np.clip(np.rint(rates * 256), 0, 255)])
    with_latent = image(Replay(latent=vectors.astype(np.uint8)))
    row_bytes = 1 + features.shape[1] * lib.TKWS_FEATURES
    room = (IMAGE_LIMIT - len(with_latent)) // row_bytes
    count = max(0, min(room, 256)) if sequences is None else sequences
    rows = replay_rows(labels, count, rng)
    flat = features[rows].reshape(count, row_bytes - 1).view(np.uint8)
    takes = np.column_stack([labels[rows].astype(np.uint8), flat])
    return image(Replay(vectors.astype(np.uint8), takes))
