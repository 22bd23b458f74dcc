# SPDX-License-Identifier: Apache-2.0
"""Speech Commands trees: clips, speakers, splits, repeated recordings, noise, adaptation episodes.

A tree is `word/speaker_nohash_n.wav` (Google Speech Commands) or `word/speaker_NO_take.wav`
(Arabic Speech Commands), with recordings in `_background_noise_` and, where there are splits,
`testing_list.txt` and `validation_list.txt`. Recordings may be WAV, FLAC or Ogg.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE, read_clip
from tracekws.errors import DataError
from tracekws.names import bytes_of, normalised

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN = "_unknown_"
SILENCE = "_silence_"
NOISE_FOLDER = "_background_noise_"
SPLITS = ("training", "validation", "testing")
CLIP_SAMPLES = SAMPLE_RATE
SUFFIXES = (".wav", ".flac", ".ogg")
NAME = re.compile(r"(?P<speaker>.+?)_(?:nohash|NO)_(?P<take>\d+)$")

Progress = Callable[[int, int], None]
"""Called with the number done and the number in all."""


@dataclass(frozen=True)
class Clip:
    """One recording of a word."""

    path: Path
    word: str
    speaker: str
    split: str


@dataclass(frozen=True)
class Tree:
    """A data set's folder, as its names and lists describe it; no audio has been read."""

    root: Path
    clips: tuple[Clip, ...]
    noises: tuple[Path, ...]
    strangers: tuple[Path, ...]
    """Audio files whose names are of no known form."""
    has_lists: bool

    def of(self, split: str) -> tuple[Clip, ...]:
        """Clips of a split: training, validation, testing or all.

        Raises:
            DataError: the tree has no list files, so that only "all" is there.
        """
        if split == "all":
            return self.clips
        if not self.has_lists:
            raise DataError(
                f"{self.root}: no testing_list.txt and validation_list.txt, so there is no split "
                f"'{split}'; use --split all"
            )
        return tuple(clip for clip in self.clips if clip.split == split)


@dataclass(frozen=True)
class Recordings:
    """Clips with their samples, each distinct recording once."""

    clips: tuple[Clip, ...]
    pcm: NDArray[np.int16]
    """(clips, 16000), short clips filled with zeros at the end, long ones cut."""
    repeats: tuple[Clip, ...]
    bad: tuple[tuple[Clip, str], ...]
    """Unreadable files with the reason."""

    @property
    def digest(self) -> str:
        """SHA-256 over names and samples, 16 hexadecimal digits: says which data a result is of."""
        sha = hashlib.sha256()
        for clip in self.clips:
            sha.update(bytes_of(f"{clip.word}/{clip.path.stem}\n"))
        sha.update(self.pcm.tobytes())
        return sha.hexdigest()[:16]


def read_names(path: Path) -> list[str]:
    """Names of a text file, a name a line.

    Raises:
        DataError: it cannot be read, or is no UTF-8 text.
    """
    try:
        return normalised(path.read_text(encoding="utf-8")).split()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save it as a name a line") from error


def read_lists(root: Path) -> dict[str, set[str]]:
    """Names `word/file`, without suffix, of the testing and validation split; none without lists.

    Raises:
        DataError: only one of the two lists is there, or one cannot be read.
    """
    paths = {split: root / f"{split}_list.txt" for split in ("testing", "validation")}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if len(missing) == len(paths):
        return {}
    if missing:
        raise DataError(
            f"{root}: {missing[0]} is missing: splits need both lists; add it, or remove the other"
        )
    return {
        split: {name.rsplit(".", 1)[0] for name in read_names(path)}
        for split, path in paths.items()
    }


def read_tree(root: Path) -> Tree:
    """Names, speakers and splits of a data set's folder.

    Raises:
        DataError: no folder, no clips, a speaker in two splits, or lists that are not usable.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    listed = read_lists(root)
    clips, strangers, noises = [], [], []
    for path in sorted(root.glob("*/*")):
        word, stem = normalised(path.parent.name), normalised(path.stem)
        if path.suffix.lower() not in SUFFIXES:
            continue
        if word == NOISE_FOLDER:
            noises.append(path)
            continue
        name = NAME.match(stem)
        if name is None:
            strangers.append(path)
            continue
        key = f"{word}/{stem}"
        split = next((s for s, names in listed.items() if key in names), "training")
        clips.append(Clip(path, word, name["speaker"], split))
    if not clips:
        raise DataError(
            f"{root}: no clips named word/speaker_nohash_n.wav or word/speaker_NO_n.wav"
        )
    splits_of = defaultdict(set)
    for clip in clips:
        splits_of[clip.speaker].add(clip.split)
    shared = sorted(speaker for speaker, splits in splits_of.items() if len(splits) > 1)
    if shared and listed:
        raise DataError(f"{root}: speaker {shared[0]} and {len(shared) - 1} more are in two splits")
    return Tree(root, tuple(clips), tuple(noises), tuple(strangers), bool(listed))


def split_of(name: str) -> str:
    """Split that Speech Commands gives a speaker, or a file of its own, by the hash of its name.

    A tenth is validation, a tenth testing, whatever else is there.
    """
    share = int(hashlib.sha1(bytes_of(name)).hexdigest(), 16) % (1 << 27) / ((1 << 27) - 1)
    return SPLITS[1] if share < 0.1 else SPLITS[2] if share < 0.2 else SPLITS[0]


def split_by_hash(tree: Tree) -> Tree:
    """A tree without lists, split by speakers; files whose names carry none are their own."""
    strangers = [
        Clip(path, normalised(path.parent.name), normalised(path.stem), "")
        for path in tree.strangers
    ]
    clips = sorted((*tree.clips, *strangers), key=lambda clip: clip.path)
    split = tuple(replace(clip, split=split_of(clip.speaker)) for clip in clips)
    return replace(tree, clips=split, strangers=(), has_lists=True)


def fit(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """One second: zeros behind a shorter clip, the end of a longer one cut off."""
    return np.pad(pcm[:CLIP_SAMPLES], (0, max(0, CLIP_SAMPLES - len(pcm))))


def recording_key(pcm: NDArray[np.int16]) -> bytes:
    """Hash of the samples, zeros at either end aside: equal for repeated recordings."""
    (sound,) = np.nonzero(pcm)
    core = pcm[sound[0] : sound[-1] + 1] if len(sound) else pcm[:0]
    return hashlib.sha256(core.tobytes()).digest()


def read_recordings(
    clips: Sequence[Clip], progress: Progress = lambda done, total: None
) -> Recordings:
    """Read clips, dropping repeated recordings (the first name stays) and unreadable files."""
    kept: list[Clip] = []
    repeats: list[Clip] = []
    bad: list[tuple[Clip, str]] = []
    seen: set[bytes] = set()
    pcm = np.zeros((len(clips), CLIP_SAMPLES), dtype=np.int16)
    for done, clip in enumerate(clips):
        progress(done, len(clips))
        try:
            samples = read_clip(clip.path)
        except DataError as error:
            bad.append((clip, str(error)))
            continue
        key = recording_key(samples)
        if key in seen:
            repeats.append(clip)
            continue
        seen.add(key)
        pcm[len(kept)] = fit(samples)
        kept.append(clip)
    progress(len(clips), len(clips))
    return Recordings(tuple(kept), pcm[: len(kept)], tuple(repeats), tuple(bad))


def read_noise(paths: Iterable[Path], part: str) -> list[NDArray[np.int16]]:
    """Background recordings, int16: the first four fifths for training, the last for evaluation.

    Raises:
        DataError: one is not usable.
    """
    cut = []
    for path in paths:
        samples = read_clip(path)
        border = len(samples) * 4 // 5
        cut.append(samples[:border] if part == "training" else samples[border:])
    return cut


def silence_clips(noises: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    """Consecutive seconds of the noise recordings: int16 (clips, 16000)."""
    seconds = [n[: len(n) // CLIP_SAMPLES * CLIP_SAMPLES].reshape(-1, CLIP_SAMPLES) for n in noises]
    return np.concatenate([*seconds, np.zeros((0, CLIP_SAMPLES), dtype=np.int16)])


@dataclass(frozen=True)
class Episode:
    """One draw of an adaptation experiment; all values are indices of recordings."""

    speaker: str
    support: tuple[int, ...]
    negatives: tuple[int, ...]
    """Other words of the speaker that are learned as unknown."""
    query: tuple[int, ...]
    other_words: tuple[int, ...]
    """The speaker's further words, to be rejected."""


def episode(
    clips: Sequence[Clip],
    speaker: str,
    keywords: Sequence[str],
    shots: int,
    negatives: int,
    rng: np.random.Generator,
) -> Episode:
    """Draw support and query of one speaker. A word needs shots + 1 takes, else it is left out."""
    of_word: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        if clip.speaker == speaker:
            of_word[clip.word].append(i)
    support: list[int] = []
    query: list[int] = []
    others: list[int] = []
    for word in sorted(of_word):
        takes = [int(i) for i in rng.permutation(of_word[word])]
        if word not in keywords:
            others += takes
        elif len(takes) > shots:
            support += takes[:shots]
            query += takes[shots:]
    others = [int(i) for i in rng.permutation(others)]
    return Episode(
        speaker, tuple(support), tuple(others[:negatives]), tuple(query), tuple(others[negatives:])
    )
