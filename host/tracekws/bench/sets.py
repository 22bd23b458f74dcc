# SPDX-License-Identifier: Apache-2.0
"""Sets of recordings that are no words: talk, phrases, sounds, rooms, each with a table.

A set is a folder with `index.tsv`: a column `file` (a path in the folder, its suffix left out or
not) and others by set. A folder of sets has them under the names of SETS.
"""

import csv
import hashlib
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracekws.audio import check_format
from tracekws.bench.stream import Sound
from tracekws.data import SPLITS, SUFFIXES
from tracekws.errors import DataError
from tracekws.files import read_text
from tracekws.names import normalised

SPEECH, FOREIGN, TALK, PHRASES, SOUNDS, ROOMS = "gsc", "asc", "talk", "phrases", "sounds", "rooms"
SETS = {
    SPEECH: "Speech Commands: words of the model, and other words",
    FOREIGN: "words of another language, in a tree of the same form",
    TALK: "read sentences with their text",
    PHRASES: "phrases and orders",
    SOUNDS: "sounds of every day, and music",
    ROOMS: "impulse responses of rooms",
}
TESTING_SHARE = 5
"""One of so many files is for testing, where a set has no split of its own."""
TWIN = re.compile(r"[-_][A-Z]$")
"""End of the name of one of several parts, or ears, of a recording, which stay together."""


@dataclass(frozen=True)
class Recording:
    """A row of a set's table."""

    name: str
    """As in the table, without suffix."""
    sound: Sound
    split: str
    speaker: str
    """Empty where the table has none."""
    words: frozenset[str]
    """What is said in it, small letters; empty where the table does not say."""


def has_set(folder: Path, name: str) -> bool:
    """Whether a folder of sets has one."""
    return (folder / name).is_dir()


def speech_of(folder: Path) -> Path | None:
    """The tree of words in a folder of sets, or the folder, where it is such a tree itself."""
    if has_set(folder, SPEECH):
        return folder / SPEECH
    alone = not any(has_set(folder, name) for name in SETS)
    return folder if alone and folder.is_dir() else None


def split_of(name: str) -> str:
    """Training or testing, for a file of a set without splits: one of five is for testing.

    By the SHA-1 of the name in the table without suffix, and without an end such as `-A` or `_L`.
    """
    number = int(hashlib.sha1(TWIN.sub("", name).encode()).hexdigest(), 16)
    return "training" if number % TESTING_SHARE else "testing"


def words_in(text: str) -> frozenset[str]:
    """Words of a text; one in brackets is a note, not what is said."""
    said = "" if text.startswith("(") else normalised(text).lower()
    return frozenset(re.findall(r"[\w']+", said))


def without_suffix(name: str) -> str:
    """A file's name in a table, its suffix left out if it is that of a recording."""
    return name.removesuffix(next((end for end in SUFFIXES if name.lower().endswith(end)), ""))


def find(folder: Path, name: str, line: int) -> Path:
    """The file that a line of a table names, perhaps converted to another form since.

    Raises:
        DataError: there is none, or it is named by a path that leads out of the folder.
    """
    where = f"{folder / 'index.tsv'}: line {line}"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(f"{where}: '{name}' is no path in the folder; put the recordings into it")
    bare = without_suffix(name)
    for path in (folder / name, *(folder / f"{bare}{suffix}" for suffix in SUFFIXES)):
        if os.path.isfile(path):  # what can be no name of a file is none
            return path
    raise DataError(f"{where} names '{name}', and there is no such recording")


def read_table(path: Path, columns: Sequence[str]) -> dict[int, dict[str, str]]:
    """Rows of a table with tabs, by their lines in the file, from 1; blank lines are no rows.

    Raises:
        DataError: it cannot be read, or lacks a column or a value.
    """
    lines = io.StringIO(read_text(path), newline="")
    try:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = {}
        for row in reader:
            rows[reader.line_num] = row
        names = reader.fieldnames or ()
    except csv.Error as error:
        raise DataError(f"{path}: not a table with tabs ({error})") from error
    for column in columns:
        if column not in names:
            raise DataError(f"{path}: no column '{column}'; it has {', '.join(names) or 'none'}")
    for line, row in rows.items():
        if None in row or None in row.values():
            raise DataError(f"{path}: line {line} has not as many values as the first line")
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows


def read_set(folder: Path, text: bool = False) -> list[Recording]:
    """The recordings of a set, in the table's order.

    Where files lie in `training`, `validation` and `testing`, that is their split; else see
    split_of().

    Args:
        folder: of the set.
        text: whether the table must say what is said.

    Raises:
        DataError: no table, a row that is not usable, or a recording that is missing or of another
            form.
    """
    recordings = []
    rows = read_table(folder / "index.tsv", ("file", "text") if text else ("file",))
    for line, row in rows.items():
        path = find(folder, row["file"], line)
        name = path.relative_to(folder).with_suffix("").as_posix()
        first = name.split("/")[0]
        recordings.append(
            Recording(
                name,
                Sound(path, 0, check_format(path)),
                first if first in SPLITS else split_of(name),
                row.get("speaker", ""),
                words_in(row.get("text", "")),
            )
        )
    return recordings


def read_testing(folder: Path, text: bool = False) -> tuple[Recording, ...]:
    """Those of a set that are for testing.

    Args:
        folder: of the set.
        text: as of read_set().

    Raises:
        DataError: none is, or as of read_set().
    """
    found = tuple(one for one in read_set(folder, text) if one.split == "testing")
    if not found:
        raise DataError(f"{folder / 'index.tsv'}: none of its recordings is for testing")
    return found


def read_split(folder: Path, name: str, split: str) -> list[Recording]:
    """The recordings of a split of a set in a folder of sets; none where the set is missing.

    Raises:
        DataError: as of read_set(); of TALK and PHRASES the table must say what is said.
    """
    if not has_set(folder, name):
        return []
    found = read_set(folder / name, name in (TALK, PHRASES))
    return [one for one in found if one.split == split]
