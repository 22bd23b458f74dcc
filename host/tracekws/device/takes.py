# SPDX-License-Identifier: Apache-2.0
"""A folder of a user's takes: one folder a word, `_other` for takes of anything else.

It is a tree as training reads it, `word/1.wav` or `word/speaker/1.wav`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE, one_second, read_clip
from tracekws.core import TAKES, FeatureConfig, Model
from tracekws.data import entries, recording_key, recordings_in, speaker_of
from tracekws.errors import DataError
from tracekws.inspection import faults, lines, odd_ones
from tracekws.names import OTHER, normalised
from tracekws.renditions import take_alone, take_features


@dataclass(frozen=True)
class Take:
    """One recording of one word.

    `label` is a class of the model, `name` the folder and file, `pcm` one second
    of int16 at 16 kHz, `faults` what is wrong with the recording (inspection.faults()).
    Of a take without sound, of a profile, `rendered` are its features and its renditions'.
    """

    label: str
    name: str
    pcm: NDArray[np.int16]
    faults: tuple[str, ...] = ()
    speaker: str = ""
    """Empty where its name does not say."""
    rendered: NDArray[np.int8] | None = None

    def heard(self, config: FeatureConfig | None, is_kept: bool) -> NDArray[np.int8] | None:
        """Features that it is learned by; None where `config`, of a front end, is not known.

        `is_kept` is whether its trace is kept: they are those of its renditions then.
        """
        if self.rendered is not None:
            return self.rendered if is_kept else take_alone(self.rendered)
        return take_features(self.pcm, config, is_kept) if config else None


def read_takes(
    folder: Path, labels: Sequence[str], unknown: str, silence: str, force: bool = False
) -> list[Take]:
    """Read every take below a folder, checked completely before anything is learned.

    Hidden files and folders are left out; the order is that of the names.  `labels` are the
    model's classes, `unknown` the one that takes in `_other` are learned as.

    Of a recording longer than a second the loudest second is the take.

    Of other words it is only asked that they are not silent.

    Raises DataError, which names the folder: no folder, no takes, a word that the model does not
    have; or every file that is no recording, or, unless `force`, is refused by its faults.
    """
    words = [label for label in labels if label not in (unknown, silence)]
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; takes are expected as {folder}/WORD/1.wav")
    found = [folder / name for name, inside in entries(folder) if inside and name[0] != "."]
    if not found:
        raise DataError(f"{folder}: no folder of takes in it; expected {folder}/{words[0]}/1.wav")
    takes: list[Take] = []
    bad: list[str] = []
    for path in found:
        word = normalised(path.name)
        if word != OTHER and word not in words:
            raise DataError(
                f"{path}: the model has no word {word!r}; it knows {', '.join(words)}"
                f" (`tracekws teach` teaches it another; takes of anything else belong in {OTHER})"
            )
        label = unknown if word == OTHER else word
        takes += read_files(files_in(path), path, label, word, bad)
    refuse(takes, bad, force, f"{folder}: ")
    return takes


def files_in(folder: Path) -> list[Path]:
    """The takes of a word in a folder, as recordings_in() has them; hidden ones left out.

    Raises DataError where there are none.
    """
    files = [
        file
        for file in recordings_in(folder)
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise DataError(f"{folder}: no takes in it; record some, or remove the folder")
    return files


def read_files(
    files: Sequence[Path], folder: Path, label: str, word: str, bad: list[str]
) -> list[Take]:
    """Read takes of one word from its folder; what cannot be read is told in `bad`."""
    takes = []
    for file in files:
        inside = file.relative_to(folder)
        try:
            pcm = read_clip(file)
        except DataError as error:
            bad.append(str(error))
            continue
        found = faults(pcm)
        if word == OTHER:
            found = tuple(name for name in found if name == "silent")
        name = (Path(folder.name) / inside).as_posix()
        takes.append(Take(label, name, one_second(pcm), found, speaker_of(word, inside)))
    return takes


def refuse(takes: Sequence[Take], bad: Sequence[str], force: bool, where: str = "") -> None:
    """Raise DataError of all takes that could not be read, or, unless `force`, have bad faults.

    `where` says where the takes are whose faults are told.
    """
    told = list(bad)
    if refused := [] if force else lines(by_fault(takes), severe=True):
        told.append(f"{where}{'; '.join(refused)} (--force learns them all the same)")
    if told:
        raise DataError("; ".join(told))


def check_of_one_word(folder: Path, word: str, known: Sequence[str]) -> None:
    """See that a folder has takes of one word, and is none with a folder a word.

    Raises DataError where a folder in it has the name of the word, of a known one, or of others.
    """
    inside = {normalised(name) for name, is_folder in entries(folder) if is_folder}
    if strange := sorted(inside & {word, OTHER, *known}):
        raise DataError(
            f"{folder}: it has a folder a word ({', '.join(strange)}), and takes of {word!r} alone"
            f" are wanted: give {folder / word}"
        )


def read_word(
    paths: Sequence[Path], word: str, force: bool = False, known: Sequence[str] = ()
) -> list[Take]:
    """Read takes of one word, which no model need have, from files and folders of files.

    Raises DataError: there are none; a folder is one of several words, as the names of folders in
    it say, of `known` words or others; or every file that is no recording, or, unless `force`, is
    refused by its faults.
    """
    bad: list[str] = []
    takes: list[Take] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; it is to have takes of {word!r}")
        if path.is_dir():
            check_of_one_word(path, word, known)
            takes += read_files(files_in(path), path, word, word, bad)
        else:
            takes += read_files([path], path.parent, word, word, bad)
    refuse(takes, bad, force)
    return takes


def copies(takes: Sequence[Take]) -> list[tuple[Take, Take]]:
    """Takes whose recording is that of an earlier one, each with that one."""
    first: dict[bytes, Take] = {}
    pairs = [(take, first.setdefault(recording_key(take.pcm), take)) for take in takes]
    return [(take, earlier) for take, earlier in pairs if earlier is not take]


def distinct(takes: Sequence[Take]) -> list[Take]:
    """Takes, each recording once: the first that has it, as in training."""
    again = {id(take) for take, _ in copies(takes)}
    return [take for take in takes if id(take) not in again]


def by_fault(takes: Sequence[Take]) -> dict[str, list[str]]:
    """Names of takes by what is wrong with them."""
    found: dict[str, list[str]] = {}
    for take in takes:
        for name in take.faults:
            found.setdefault(name, []).append(take.name)
    return found


def doubts(takes: Sequence[Take], unknown: str, model: Model) -> list[str]:
    """Say what is wrong with takes that are learned all the same, a line a kind of fault.

    `model` compares the takes of each word; it need not know them.
    """
    kept = distinct(takes)
    found = by_fault(kept)
    for take, first in copies(takes):
        found.setdefault("copy", []).append(f"{take.name} (as {first.name})")
    words = [take for take in kept if take.label != unknown]
    odd = odd_ones([take.label for take in words], [take.pcm for take in words], model)
    for i, other in odd.items():
        like = f" (more like {other!r})" if other else ""
        found.setdefault("unlike", []).append(words[i].name + like)
    voices = sorted({take.speaker for take in words if take.speaker})
    several = [f"takes of several speakers ({', '.join(voices)}): a device learns one voice"]
    told = several if len(voices) > 1 else []
    return [*lines(found, severe=True), *lines(found, severe=False), *told]


def chunks(pcm: NDArray[np.int16], size: int = 1600) -> Iterator[NDArray[np.int16]]:
    """Divide a recording into chunks, followed by a second of silence.

    A score is the mean over the last second, so a word at the very end is heard in that silence.
    """
    pcm = np.concatenate([pcm, np.zeros(SAMPLE_RATE, np.int16)])
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]


def check_enough(folder: Path, takes: Sequence[Take], unknown: str) -> None:
    """See that each word has a take to learn and one to test with.

    Raises DataError, which names the words that have one only; other words may have any number.
    """
    single = [label for label, n in count(takes).items() if n == 1 and label != unknown]
    if single:
        raise DataError(
            f"{folder}: one take only of {', '.join(single)}; each word needs at least two, the"
            f" last to test with, and four are better: record more with --record, or add recordings"
            f" to {folder / single[0]} (--all learns single takes, untested)"
        )


def hold_back(takes: Sequence[Take]) -> tuple[list[Take], list[Take]]:
    """Divide takes into those to learn and those to test with: the last of each label.

    A label with one take only keeps it for learning: check_enough() leaves that to other words.
    """
    last = {take.label: take for take in takes}
    counts = count(takes)
    held = [take for label, take in last.items() if counts[label] > 1]
    return [take for take in takes if not any(take is other for other in held)], held


def without_others(
    learn: Sequence[Take], unknown: str, method: int
) -> tuple[list[Take], list[Take]]:
    """Takes that a method learns, and those of other words that it does not.

    A method that keeps takes and moves no weight learns nothing of other words.
    """
    if method != TAKES:
        return list(learn), []
    return (
        [take for take in learn if take.label != unknown],
        [take for take in learn if take.label == unknown],
    )


def count(takes: Sequence[Take]) -> dict[str, int]:
    """Count the takes of each label, in the order in which the labels come."""
    counts: dict[str, int] = {}
    for take in takes:
        counts[take.label] = counts.get(take.label, 0) + 1
    return counts


def weak_points(learned: Sequence[Take], unknown: str, moves_weights: bool) -> list[str]:
    """Say what is weak in the takes that are to be learned, one sentence a point.

    Other words guard where weights move; what is kept of takes of keywords needs none.
    """
    counts = count(learned)
    others = counts.pop(unknown, 0)
    points = []
    if not counts:
        what = "only the rejection of other words" if moves_weights else "nothing"
        points.append(f"no takes of a keyword: {what} is learned")
    if single := [label for label, n in counts.items() if n == 1]:
        points.append(f"one take only of {', '.join(single)}: three or more are learned better")
    if moves_weights and not others:
        points.append(
            f"no takes in {OTHER}: without about five takes of other words the device may come to"
            " hear keywords in them"
        )
    elif moves_weights and others < 3:
        points.append(f"few takes in {OTHER}: about five guard better against false alarms")
    return points


@dataclass(frozen=True)
class Lesson:
    """The takes of an adaptation.

    `learn` are taught, `test` are other takes of the same user and `others` takes of other
    speakers to test with; `weak_points` says what is weak in those that are taught, and what is
    wrong with takes of the user that are not refused.
    """

    learn: list[Take]
    test: list[Take]
    others: list[Take]
    weak_points: list[str]


def read_lesson(
    folder: Path,
    others: Path | None,
    hold_out: bool,
    labels: Sequence[str],
    unknown: str,
    silence: str,
    method: int,
    model: Model,
    force: bool = False,
) -> Lesson:
    """Read the takes of a user and those of others, and divide them.

    With `hold_out` the last take of each word is tested with; where `method` keeps takes and moves
    no weight, all takes of other words are, since it learns none of them.  `model` compares takes,
    as doubts() does.  See read_takes() for the rest.

    Raises DataError as read_takes() and check_enough() do.
    """
    takes = read_takes(folder, labels, unknown, silence, force)
    doubtful = doubts(takes, unknown, model)
    takes = distinct(takes)
    if hold_out:
        check_enough(folder, takes, unknown)
    learn, test = hold_back(takes) if hold_out else (takes, [])
    learn, left_out = without_others(learn, unknown, method)
    if hold_out:
        test += left_out
    if not learn:
        raise DataError(f"{folder}: only other words: nothing would be learned of them; add words")
    strangers = distinct(read_takes(others, labels, unknown, silence, force)) if others else []
    weak = weak_points(learn, unknown, method != TAKES)
    return Lesson(learn, test, strangers, [*weak, *doubtful])
