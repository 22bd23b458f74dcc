# SPDX-License-Identifier: Apache-2.0
"""Front end, network and detector of a model one after the other, over a whole recording."""

import numpy as np
from numpy.typing import NDArray

from tracekws.core import ODDS_ONE, Network, detect, features_and_loudness


def detections(
    network: Network, pcm: NDArray[np.int16], odds_q8: int = ODDS_ONE
) -> list[tuple[str, int]]:
    """Words and end samples of the events."""
    model = network.model
    steps, loudness = features_and_loudness(pcm, model.front_end)
    events = detect(model, network.stream(steps), loudness, odds_q8)
    return [(model.labels[word], end) for word, end in events]
