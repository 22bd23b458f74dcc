# SPDX-License-Identifier: Apache-2.0
"""A tree of speech with a speaker to hold out, whose recordings have several names."""

import shutil
from pathlib import Path

from recordings import write_take

WORDS = ("go", "left", "no", "stop")
HELD = "dddd"
RECORDINGS, NAMES = 5, 20
"""Of the held-out speaker, a word: each recording has four names in the whole tree."""


def make_tree(root: Path, names: int) -> Path:
    """Noise for words (so that nothing but a copy tells one word from another)."""
    for i, speaker in enumerate(("aaaa", "bbbb", "cccc")):
        for j, word in enumerate(WORDS):
            for take in range(1 + (i == 0 and j == 0)):
                write_take(root / word / f"{speaker}_nohash_{take}.wav", 100 * i + 10 * j + take)
    for j, word in enumerate(WORDS):
        for take in range(names):
            path = root / word / f"{HELD}_nohash_{take}.wav"
            if take < RECORDINGS:
                write_take(path, 1000 + 10 * j + take)
            else:
                shutil.copy(root / word / f"{HELD}_nohash_{take % RECORDINGS}.wav", path)
    for split, speaker in (("validation", "bbbb"), ("testing", "cccc")):
        listed = [f"{word}/{speaker}_nohash_0.wav" for word in WORDS]
        (root / f"{split}_list.txt").write_text("\n".join(listed))
    (root / "adaptation_speakers.txt").write_text(f"{HELD}\n")
    return root
