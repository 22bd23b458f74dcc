# SPDX-License-Identifier: Apache-2.0
"""A small data set, words of another language, and a small random model."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from images import make_image, write_image
from tones import utterance, write_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See write_tree()."""
    return write_tree(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of another language, named as keywords are, by speakers named as those of tree."""
    root = tmp_path_factory.mktemp("foreign")
    rng = np.random.default_rng(2)
    for index, word in enumerate(("yes", "no", "cancel", "zoom in")):
        (root / word).mkdir()
        for take in range(10):
            pcm = utterance(100 + index, rng.uniform(0.8, 1.2), rng)
            soundfile.write(root / word / f"tes00000_NO_{take:02d}.wav", pcm, 16000)
    return root


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of twelve classes: accuracy is low, but what is counted can be checked."""
    image = make_image(
        seed=3, n_classes=12, n_neurons=24, window_steps=50, n_latent=6, n_sequences=2
    )
    return write_image(tmp_path_factory.mktemp("model"), image)
