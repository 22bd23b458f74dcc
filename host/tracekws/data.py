# SPDX-License-Identifier: Apache-2.0
"""Trees of recordings: clips, speakers, splits, repeated recordings, noise, adaptation episodes.

A tree is `word/anything.wav`, or `word/speaker/anything.wav`; speaker_of() says who speaks. It may
have recordings in `_background_noise_` and, where there are splits, `testing_list.txt` and
`validation_list.txt`, as Speech Commands has. Recordings are named as SUFFIXES has it. Hidden files
and folders, such as the companions `._x.wav` that macOS leaves on other file systems, are left out.
"""

import hashlib
import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

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
NUMBERED = re.compile(r"(?P<name>.+?)(?:_nohash|_NO)?_\d+$")
"""Names of files that may say who speaks."""
NOBODY = frozenset(("audio", "clip", "file", "rec", "recording", "sample", "take", "voice", "wav"))
"""What files are named that say nothing of who speaks."""
FEW_SPEAKERS = 4
"""With fewer, clips are held out, and not voices."""
MANY_SPEAKERS = 30
"""From here on a split by hashes leaves no part empty, but by a rare chance."""

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
    """Empty where its name does not say."""
    split: str

    @property
    def key(self) -> str:
        """Its name in the tree and in lists, without suffix."""
        inside = normalised(self.path.parent.name)
        folder = self.word if inside == self.word else f"{self.word}/{inside}"
        return f"{folder}/{normalised(self.path.stem)}"


@dataclass(frozen=True)
class Tree:
    """A data set's folder, as its names and lists describe it; no audio has been read."""

    root: Path
    clips: tuple[Clip, ...]
    noises: tuple[Path, ...]
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
    repeated: tuple[Clip, ...] = ()
    """Of each of the repeats, the clip that it repeats."""

    def said_of_repeats(self, words: Iterable[str]) -> str:
        """What an error ends with, of words that lack clips, where some repeat others; or nothing.

        Args:
            words: those that lack clips.
        """
        wanted = {*words}
        pairs = [
            (clip.path, first.path)
            for clip, first in zip(self.repeats, self.repeated, strict=True)
            if clip.word in wanted
        ]
        if not pairs:
            return ""
        (clip, first), n = pairs[0], len(pairs)
        what = "1 is a copy of another recording:" if n == 1 else f"{n} are copies of others, as"
        return f"; left out: {what} {clip} of {first}"

    @property
    def digest(self) -> str:
        """SHA-256 over names and samples, 16 hexadecimal digits: says which data a result is of."""
        sha = hashlib.sha256()
        for clip in self.clips:
            sha.update(bytes_of(f"{clip.key}\n"))
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
        DataError: only one of the two lists is there, one cannot be read, or both name a clip.
    """
    paths = {split: root / f"{split}_list.txt" for split in ("testing", "validation")}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if len(missing) == len(paths):
        return {}
    if missing:
        raise DataError(
            f"{root}: {missing[0]} is missing: splits need both lists; add it, or remove the other"
        )
    named = {
        split: {
            key_of(line.strip()): f"{path.name}, line {number}: {line.strip()}"
            for number, line in enumerate(normalised(read_text(path)).splitlines(), 1)
            if line.strip()
        }
        for split, path in paths.items()
    }
    if both := named["testing"].keys() & named["validation"].keys():
        first = min(both)
        entries = " and ".join(named[split][first] for split in named)
        raise DataError(f"{root}: both lists have a clip: {entries}; remove it from one")
    return named


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


def speaker_of(word: str, inside: PurePath) -> str:
    """Who speaks in a recording of a word; empty where its name does not say.

    Anna speaks in `anna/anything.wav`, `anna_1.wav`, `anna_nohash_1.wav` (Google Speech Commands),
    `anna_NO_1.wav` (Arabic Speech Commands), and `anna_lamp_1.wav` or `lamp_anna_1.wav` of "lamp".
    Nobody is named by `1.wav`, `lamp_1.wav`, `take_1.wav`, or a date.

    Args:
        word: it.
        inside: path in the word's folder.
    """
    if len(inside.parts) > 1:
        return normalised(inside.parts[0])
    named = NUMBERED.match(normalised(inside.stem))
    if named is None:
        return ""
    name = named["name"]
    if "_nohash_" in inside.stem or "_NO_" in inside.stem:
        return name
    name = name.removeprefix(f"{word}_").removesuffix(f"_{word}")
    says = name.lower() not in NOBODY | {word.lower()} and any(map(str.isalpha, name))
    return name if says else ""


def entries(folder: Path) -> list[tuple[str, bool]]:
    """Names of what is in a folder, in order, and whether each is a folder.

    Raises:
        DataError: it cannot be read.
    """

    def is_folder(entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError:  # a link to itself
            return False

    try:
        with os.scandir(folder) as found:
            return sorted((entry.name, is_folder(entry)) for entry in found)
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from error


def recordings_in(folder: Path) -> Iterator[Path]:
    """Recordings of a word in its folder, and in those of speakers below it, in order of names.

    They are known by SUFFIXES: a text beside them is none. Folders may be links.
    """
    for name, is_folder in entries(folder):
        below = entries(folder / name) if is_folder else []
        inside = [f"{name}/{deeper}" for deeper, is_deeper in below if not is_deeper]
        for path in inside if is_folder else [name]:
            if PurePath(path).suffix.lower() in SUFFIXES:
                yield folder / path


def scan_tree(root: Path) -> Tree:
    """As read_tree(), but what the lists name need not be there: see Tree.absent."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    listed = read_lists(root)
    clips, noises = [], []
    hidden = 0
    there = set()
    for folder in (root / name for name, is_folder in entries(root) if is_folder):
        word = normalised(folder.name)
        for path in recordings_in(folder):
            inside = path.relative_to(folder)
            speaker = speaker_of(word, inside)
            key = Clip(path, word, speaker, "").key
            there.add(key)
            if word.startswith(".") or any(part.startswith(".") for part in inside.parts):
                hidden += 1
            elif word == NOISE_FOLDER:
                noises.append(path)
            else:
                split = next((s for s, names in listed.items() if key in names), SPLITS[0])
                clips.append(Clip(path, word, speaker, split))
    if not clips:
        raise DataError(
            f"{root}: no recordings in folders of words; expected are {root}/WORD/1.wav, "
            f"{root}/WORD/SPEAKER/1.wav or {root}/WORD/SPEAKER_1.wav"
        )
    splits_of = defaultdict(set)
    for clip in clips:
        if clip.speaker:
            splits_of[clip.speaker].add(clip.split)
    shared = sorted(speaker for speaker, splits in splits_of.items() if len(splits) > 1)
    if shared and listed:
        raise DataError(f"{root}: speaker {shared[0]} and {len(shared) - 1} more are in two splits")
    absent = [
        entry for names in listed.values() for key, entry in names.items() if key not in there
    ]
    return Tree(root, tuple(clips), tuple(noises), bool(listed), hidden, tuple(absent))


def by_voice(clips: Iterable[Clip]) -> bool:
    """Whether there are speakers enough to hold some of them out, and not clips of all."""
    return len({clip.speaker for clip in clips} - {""}) >= FEW_SPEAKERS


def split_of(name: str) -> str:
    """Split that Speech Commands gives a speaker, or a file of its own, by the hash of its name.

    A tenth is validation, a tenth testing, whatever else is there.
    """
    share = int(hashlib.sha1(bytes_of(name)).hexdigest(), 16) % (1 << 27) / ((1 << 27) - 1)
    return SPLITS[1] if share < 0.1 else SPLITS[2] if share < 0.2 else SPLITS[0]


def in_turn(clips: Sequence[Clip], parts: int) -> list[int]:
    """Divide clips into parts, of like size in each word: the number of each clip's.

    All clips of a speaker are in one part where there are speakers enough; see by_voice(). Clips
    whose names say no speaker are then divided one by one.
    """
    voices = by_voice(clips)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        groups[clip.speaker if voices and clip.speaker else clip.key].append(i)
    sizes: dict[str, list[int]] = defaultdict(lambda: [0] * parts)
    out = [0] * len(clips)
    for _, rows in sorted(
        groups.items(),
        key=lambda group: (-len(group[1]), hashlib.sha1(bytes_of(group[0])).digest()),
    ):
        words = [clips[i].word for i in rows]
        part = min(range(parts), key=lambda n: (sum(sizes[word][n] for word in words), n))
        for i, word in zip(rows, words, strict=True):
            out[i] = part
            sizes[word][part] += 1
    return out


def split_by_hash(tree: Tree) -> Tree:
    """A tree without lists, split by speakers, or by files where their names carry none.

    With few of them a fifth of each word is taken in turn, since a hash would leave parts empty.
    """
    names = [clip.speaker or clip.key for clip in tree.clips]
    if by_voice(tree.clips) and len(set(names)) >= MANY_SPEAKERS:
        splits = [split_of(name) for name in names]
    else:
        parts = (SPLITS[0], SPLITS[0], SPLITS[0], *SPLITS[1:])
        splits = [parts[turn] for turn in in_turn(tree.clips, len(parts))]
    split = (replace(c, split=split) for c, split in zip(tree.clips, splits, strict=True))
    return replace(tree, clips=tuple(split), has_lists=True)


def recording_key(pcm: NDArray[np.int16]) -> bytes:
    """Hash of the samples, zeros at either end aside: equal for repeated recordings."""
    (sound,) = np.nonzero(pcm)
    core = pcm[sound[0] : sound[-1] + 1] if len(sound) else pcm[:0]
    return hashlib.sha256(core.tobytes()).digest()


def without_repeats(tree: Tree, progress: Progress = lambda done, total: None) -> Tree:
    """A tree whose repeated recordings are there once, so that no two splits have the same one."""
    repeats = {clip.path for clip in read_recordings(tree.clips, progress).repeats}
    return replace(tree, clips=tuple(clip for clip in tree.clips if clip.path not in repeats))


def read_recordings(
    clips: Sequence[Clip], progress: Progress = lambda done, total: None
) -> Recordings:
    """Read clips, dropping repeated recordings (the first name stays) and unreadable files."""
    kept: list[Clip] = []
    repeats: list[Clip] = []
    repeated: list[Clip] = []
    bad: list[tuple[Clip, str]] = []
    long: list[Clip] = []
    silent: list[Clip] = []
    seen: dict[bytes, Clip] = {}
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
        first = seen.setdefault(recording_key(samples), clip)
        if first is not clip:
            repeats.append(clip)
            repeated.append(first)
            continue
        if len(samples) > CLIP_SAMPLES:
            long.append(clip)
        pcm[len(kept)] = one_second(samples)
        kept.append(clip)
    progress(len(clips), len(clips))
    return Recordings(
        tuple(kept),
        pcm[: len(kept)],
        tuple(repeats),
        tuple(bad),
        tuple(long),
        tuple(silent),
        tuple(repeated),
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
        """Speakers of the distinct clips, as far as names say."""
        return len({clip.speaker for clip in self.recordings.clips} - {""})

    @property
    def without_speaker(self) -> int:
        """Distinct clips whose names do not say who speaks."""
        return sum(not clip.speaker for clip in self.recordings.clips)

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
            "without_speaker": self.without_speaker,
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
            "speakers": len({clip.speaker for clip in mine} - {""}),
            "repeats": sum(clip.word == word for clip in recordings.repeats),
            "bad": sum(clip.word == word for clip, _ in recordings.bad),
        }
    splits = {split: sum(clip.split == split for clip in recordings.clips) for split in SPLITS}
    return Survey(tree, recordings, tuple(bad), words, splits, dict(sorted(forms.items())))
