# SPDX-License-Identifier: Apache-2.0
"""A data set that the tests make: words are tone patterns, speakers have a pitch of their own."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tracekws.data import KEYWORDS

OTHER_WORDS = ("zero", "bird", "tree")
WORDS = (*KEYWORDS, *OTHER_WORDS)
SPLITS = {"training": 5, "validation": 2, "testing": 2}
TAKES = 4


def utterance(word: int, pitch: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """One second: four notes whose order is the word, under a little noise."""
    notes = np.random.default_rng(word).permutation([300, 600, 1100, 1900, 2900, 4200])[:4]
    level = rng.uniform(2000, 8000)
    pcm = rng.normal(0, 30, 16000)
    start = int(rng.integers(2000, 4000))
    for k, note in enumerate(notes):
        t = np.arange(2200)
        tone = np.sin(2 * np.pi * note * pitch * t / 16000) * np.hanning(len(t))
        pcm[start + k * 2200 : start + (k + 1) * 2200] += level * tone
    return pcm.astype(np.int16)


def write_tree(root: Path) -> Path:
    """Nine speakers in three splits, thirteen words, four takes each, two noise recordings."""
    rng = np.random.default_rng(1)
    listed: dict[str, list[str]] = {split: [] for split in SPLITS}
    for split, count in SPLITS.items():
        for number in range(count):
            speaker = f"{split[:3]}{number:05d}"
            pitch = rng.uniform(0.95, 1.05)
            for index, word in enumerate(WORDS):
                (root / word).mkdir(exist_ok=True)
                for take in range(TAKES):
                    name = f"{word}/{speaker}_nohash_{take}.wav"
                    soundfile.write(root / name, utterance(index, pitch, rng), 16000)
                    listed[split].append(name)
    for split in ("validation", "testing"):
        (root / f"{split}_list.txt").write_text("\n".join(listed[split]) + "\n")
    (root / "_background_noise_").mkdir()
    for name, level in (("hiss", 100), ("hum", 400)):
        noise = rng.normal(0, level, 16000 * 15).astype(np.int16)
        soundfile.write(root / "_background_noise_" / f"{name}.wav", noise, 16000)
    return root
