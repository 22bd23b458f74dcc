# SPDX-License-Identifier: Apache-2.0
"""Speech Commands trees: clips, speakers, splits, repeated recordings, noise, adaptation episodes.

A tree is `word/speaker_nohash_n.wav` (Google Speech Commands) or `word/speaker_NO_take.wav`
(Arabic Speech Commands), with recordings in `_background_noise_` and, where there are splits,
`testing_list.txt` and `validation_list.txt`. Recordings are named as SUFFIXES has it. Hidden files
and folders, such as the companions `._x.wav` that macOS leaves on other file systems, are left out.
"""

import hashlib
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import (
    HEADERLESS,
    SAMPLE_RATE,
    form_of,
    is_silent,
    loudest_second,
    one_second,
    read_clip,
)
from tracekws.errors import DataError
from tracekws.files import read_text
from tracekws.names import bytes_of, normalised

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN = "_unknown_"
SILENCE = "_silence_"
NOISE_FOLDER = "_background_noise_"
SPLITS = ("training", "validation", "testing")
CLIP_SAMPLES = SAMPLE_RATE
READ = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
SUFFIXES = (*READ, ".m4a", ".mp4", ".aac", ".3gp", ".amr", ".wma", ".webm", *HEADERLESS)
"""Of recordings: of READ, and others, bad files that are named with what converts them."""
NAME = re.compile(r"(?P<speaker>.+?)_(?:nohash|NO)_(?P<take>\d+)$")

Progress = Callable[[int, int], None]
"""Called with the number done and the number in all."""
Stage = Callable[[str], Progress]
"""Gives what is to be called of a part of the work, by the part's name."""


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
    hidden: int = 0
    """Audio files that are left out since they, or their folders, are hidden."""
    absent: tuple[str, ...] = ()
    """List, line and entry of what the lists name without there being such a file."""

    def check_lists(self) -> None:
        """See that all that the lists name is there.

        Raises:
            DataError: it is not: its clips would be in another split, or nowhere.
        """
        if self.absent:
            more = f", nor for {len(self.absent) - 1} more entries" if self.absent[1:] else ""
            raise DataError(
                f"{self.root}: {self.absent[0]}: there is no such file{more}; entries are "
                "word/file.wav: mend them, or take out those whose files are not wanted"
            )

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
    """(clips, 16000): short clips with zeros behind them, of long ones the loudest second."""
    repeats: tuple[Clip, ...]
    bad: tuple[tuple[Clip, str], ...]
    """Unreadable files with the reason."""
    long: tuple[Clip, ...] = ()
    """Of the clips, those longer than a second."""
    silent: tuple[Clip, ...] = ()
    """Of the clips and repeats, those in which nobody speaks."""

    @property
    def digest(self) -> str:
        """SHA-256 over names and samples, 16 hexadecimal digits: says which data a result is of."""
        sha = hashlib.sha256()
        for clip in self.clips:
            sha.update(bytes_of(f"{clip.word}/{clip.path.stem}\n"))
        sha.update(self.pcm.tobytes())
        return sha.hexdigest()[:16]


def read_names(path: Path) -> list[str]:
    """Names of a text file, between blanks or ends of lines; repeats do not count.

    Raises:
        DataError: it cannot be read, or is no UTF-8 text.
    """
    return list(dict.fromkeys(normalised(read_text(path)).split()))


def key_of(entry: str) -> str:
    """Name `word/file`, without suffix, of an entry of a list, however its path is written."""
    path = posixpath.normpath(entry.replace("\\", "/"))
    stem, suffix = posixpath.splitext(path)
    return stem if suffix.lower() in SUFFIXES else path


def read_lists(root: Path) -> dict[str, dict[str, str]]:
    """What the testing and the validation list name, each key_of() with list, line and entry.

    There is nothing where there are no lists.

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
        split: {
            key_of(line.strip()): f"{path.name}, line {number}: {line.strip()}"
            for number, line in enumerate(normalised(read_text(path)).splitlines(), 1)
            if line.strip()
        }
        for split, path in paths.items()
    }


def read_tree(root: Path) -> Tree:
    """Names, speakers and splits of a data set's folder.

    Raises:
        DataError: no folder, no clips, a speaker in two splits, or lists that are not usable, or
            name what is not there.
    """
    tree = scan_tree(root)
    tree.check_lists()
    return tree


def left_out(tree: Tree, speakers: frozenset[str]) -> frozenset[str]:
    """Speakers that the user wants left out: themselves, checked.

    Raises:
        DataError: none of them is in the tree, so that the list is of another one, or no list.
    """
    if speakers and speakers.isdisjoint(clip.speaker for clip in tree.clips):
        raise DataError(
            f"{tree.root}: none of the {len(speakers)} speakers to leave out is in the tree: "
            "correct the list, or do without it"
        )
    return speakers


def scan_tree(root: Path) -> Tree:
    """As read_tree(), but what the lists name need not be there: see Tree.absent."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    listed = read_lists(root)
    clips, strangers, noises = [], [], []
    hidden = 0
    there = set()
    for path in sorted(root.glob("*/*")):
        word, stem = normalised(path.parent.name), normalised(path.stem)
        if path.suffix.lower() not in SUFFIXES:
            continue
        key = f"{word}/{stem}"
        there.add(key)
        if path.name.startswith(".") or word.startswith("."):
            hidden += 1
            continue
        if word == NOISE_FOLDER:
            noises.append(path)
            continue
        name = NAME.match(stem)
        if name is None:
            strangers.append(path)
            continue
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
    absent = [
        entry for names in listed.values() for key, entry in names.items() if key not in there
    ]
    return Tree(
        root,
        tuple(clips),
        tuple(noises),
        tuple(strangers),
        bool(listed),
        hidden,
        tuple(absent),
    )


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
    long: list[Clip] = []
    silent: list[Clip] = []
    seen: set[bytes] = set()
    pcm = np.zeros((len(clips), CLIP_SAMPLES), dtype=np.int16)
    for done, clip in enumerate(clips):
        progress(done, len(clips))
        try:
            samples = read_clip(clip.path)
        except DataError as error:
            bad.append((clip, str(error)))
            continue
        if is_silent(loudest_second(samples)):
            silent.append(clip)
        key = recording_key(samples)
        if key in seen:
            repeats.append(clip)
            continue
        seen.add(key)
        if len(samples) > CLIP_SAMPLES:
            long.append(clip)
        pcm[len(kept)] = one_second(samples)
        kept.append(clip)
    progress(len(clips), len(clips))
    return Recordings(
        tuple(kept), pcm[: len(kept)], tuple(repeats), tuple(bad), tuple(long), tuple(silent)
    )


def read_all(clips: Sequence[Clip]) -> Recordings:
    """Read clips like read_recordings(), where a result must be of all of them.

    Raises:
        DataError: files are not readable.
    """
    recordings = read_recordings(clips)
    if recordings.bad:
        raise DataError(
            f"{len(recordings.bad)} clips cannot be used, the first is {recordings.bad[0][1]};"
            " `tracekws data check` names all"
        )
    return recordings


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


@dataclass(frozen=True)
class Survey:
    """What a tree holds, and what is wrong with it."""

    tree: Tree
    recordings: Recordings
    bad: tuple[str, ...]
    """Why files, noise recordings among them, are not usable."""
    words: dict[str, dict[str, int]]
    """Clips, speakers, repeats and bad files of each word."""
    splits: dict[str, int]
    """Clips of each split; of no meaning in a tree without lists."""
    converted: dict[str, int]
    """Files that are not 16 kHz mono, by their form."""

    @property
    def speakers(self) -> int:
        """Speakers of the distinct clips."""
        return len({clip.speaker for clip in self.recordings.clips})

    def summary(self) -> dict[str, object]:
        """Plain data for --json."""
        tree, recordings = self.tree, self.recordings
        return {
            "clips": len(recordings.clips),
            "speakers": self.speakers,
            "words": self.words,
            "splits": self.splits if tree.has_lists else None,
            "repeats": [str(clip.path) for clip in recordings.repeats],
            "bad": list(self.bad),
            "converted": self.converted,
            "long_clips": len(recordings.long),
            "silent_clips": [str(clip.path) for clip in recordings.silent],
            "hidden_files": tree.hidden,
            "listed_without_file": list(tree.absent),
            "unknown_names": [str(path) for path in tree.strangers],
            "noise_recordings": len(tree.noises),
            "data": recordings.digest,
        }


def survey(tree: Tree, progress: Progress = lambda done, total: None) -> Survey:
    """Read all that a tree has, its noise too, and count it; bad files are named, not raised."""
    recordings = read_recordings(tree.clips, progress)
    bad = [reason for _, reason in recordings.bad]
    used = [clip.path for clip in (*recordings.clips, *recordings.repeats)]
    for path in tree.noises:
        try:
            read_clip(path)
        except DataError as error:
            bad.append(str(error))
        else:
            used.append(path)
    forms = Counter(form for path in used if (form := form_of(path)))
    words = {}
    for word in sorted({clip.word for clip in tree.clips}):
        mine = [clip for clip in recordings.clips if clip.word == word]
        words[word] = {
            "clips": len(mine),
            "speakers": len({clip.speaker for clip in mine}),
            "repeats": sum(clip.word == word for clip in recordings.repeats),
            "bad": sum(clip.word == word for clip, _ in recordings.bad),
        }
    splits = {split: sum(clip.split == split for clip in recordings.clips) for split in SPLITS}
    return Survey(tree, recordings, tuple(bad), words, splits, dict(sorted(forms.items())))
