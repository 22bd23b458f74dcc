# SPDX-License-Identifier: Apache-2.0
"""Profiles: a user's takes as features, so that a new model learns them without the user.

No sound is kept, but features tell what was said: a profile is as personal as a recording. A file
has no name of a person but its own, and is little endian:

    magic, version, CRC-32 that stands for the front end, number of takes
    of each take: word (32 bytes, zeros behind it), session, whether it was taught, steps, features
    CRC-32 of all that

Features are those of a take and its renditions (renditions.py), so that what is learned of them is
what would be learned of the sound.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.core import FEATURES, TAKES, FeatureConfig, Model, OwnWord, features
from tracekws.errors import DataError, TraceKwsError
from tracekws.files import (
    MIB,
    check_folder,
    check_writable,
    locked,
    read_bytes,
    state_folder,
    write,
)
from tracekws.names import NAME_BYTES, OTHER, is_name, normalised, path_of, word_of
from tracekws.renditions import RENDITIONS
from tracekws.shipped import SHIPPED, shipped_model

MAGIC = b"TKPR"
VERSION = 1
MOST_BYTES = 64 * MIB
"""Of a file: more than two thousand takes."""
SUFFIX = ".profile"
_HEAD = struct.Struct("<4sIII")
_TAKE = struct.Struct(f"<{NAME_BYTES}sIII")
_CRC = struct.Struct("<I")


@cache
def front_end_crc(config: FeatureConfig) -> int:
    """What stands for a front end: the CRC-32 of its settings, and of what it makes of a sound."""
    at = np.arange(16000, dtype=np.int64)
    loud = at * at * 7919 % 65536 - 32768
    sound = (loud >> at // 1000).astype(np.int16)
    numbers = (config.alpha_q15, config.mean_shift, config.fall_shift, config.energy_floor)
    return zlib.crc32(struct.pack("<4I", *numbers) + features(sound, config).tobytes())


@dataclass(frozen=True)
class KeptTake:
    """A take, as a profile has it."""

    word: str
    """That was said; `_other` for other words."""
    session: int
    """Takes of one number were learned together."""
    taught: bool
    """Its trace alone was learned (`teach`); else it was learned as its model does (`adapt`)."""
    content: bytes
    """Of the features."""

    @property
    def features(self) -> NDArray[np.int8]:
        """Of the take and its renditions: int8 (steps, 80), Q4."""
        return np.frombuffer(self.content, np.int8).reshape(-1, FEATURES)


@dataclass(frozen=True)
class Session:
    """Takes of a profile that a model is to learn together."""

    taught: bool
    """Each by its trace alone; else as the model learns."""
    names: tuple[str, ...]
    """Of the takes: their word, and which of its takes it is."""
    takes: tuple[KeptTake, ...]

    def labels(self, model: Model) -> list[str]:
        """Labels that a model learns the takes as by its method."""
        unknown = model.labels[model.unknown]
        return [unknown if take.word == OTHER else take.word for take in self.takes]


@dataclass(frozen=True)
class Profile:
    """The takes of a user, as features: what a model is taught again from.

    It lies in a file of the user's folder for state, by its name; `adapt` and `teach` of a Device,
    and `learn` and `teach` of a Learner, add to it. A profile never changes: what changes it gives
    another one.

    Example:
        >>> from tracekws import Learner, Model, Profile
        >>> Learner(Model.load("base")).learn([("yes", first), ("yes", second)], profile="anna")
        >>> Profile.load("anna").words
        {'yes': 2}
        >>> refused = Learner(Model.load("small")).learn_profile(Profile.load("anna"))

    Args:
        front_end: what stands for the front end that made the features (front_end_crc()).
        takes: in the order in which they were learned.
    """

    front_end: int
    takes: tuple[KeptTake, ...] = ()

    @staticmethod
    def names() -> list[str]:
        """Give the names of the profiles in the user's folder.

        Returns:
            They in order; whether they can be read is not asked.
        """
        files = folder().glob(f"*{SUFFIX}")
        return sorted(path.stem for path in files if is_name(path.stem))

    @classmethod
    def load(cls, name: str) -> "Profile":
        """Read a profile of the user's folder.

        Args:
            name: of it.

        Returns:
            The profile.

        Raises:
            DataError: there is none of that name, or as of read().
        """
        path = path_in_folder(name)
        if not path.exists():
            known = f"there are {', '.join(cls.names())}" if cls.names() else "there is none"
            raise DataError(
                f"there is no profile {name!r}; {known} (`adapt` and `teach` make one by --profile)"
            )
        return cls.read(path)

    @classmethod
    def read(cls, path: Path | str) -> "Profile":
        """Read a file that write() wrote.

        Args:
            path: of it.

        Returns:
            The profile.

        Raises:
            DataError: there is no such file, or it is no profile, damaged or of a newer format.
        """
        path = Path(path)
        content = read_bytes(path, MOST_BYTES)
        if len(content) < _HEAD.size + _CRC.size or not content.startswith(MAGIC):
            raise DataError(f"{path}: this is no profile")
        _, version, front_end, n_takes = _HEAD.unpack_from(content)
        if version > VERSION:
            raise DataError(
                f"{path}: the profile is of format {version}, made by a newer version: update"
                " tracekws"
            )
        takes = _takes_of(content[: -_CRC.size], n_takes)
        if version < 1 or _CRC.pack(zlib.crc32(content[: -_CRC.size])) != content[-_CRC.size :]:
            takes = None
        if takes is None:
            raise DataError(
                f"{path}: the profile is damaged: take a copy of it, or erase it (`tracekws profile"
                " forget` does, by the name of one of this machine)"
            )
        return cls(front_end, takes)

    def write(self, path: Path | str) -> None:
        """Write it to a file that no other account reads, completely or not at all.

        Args:
            path: of the file, which is replaced.

        Raises:
            DataError: it cannot be written, or there are more takes than a file has room for.
        """
        content = self.content
        if len(content) > MOST_BYTES:
            raise DataError(
                f"{path}: {len(self.takes)} takes are more than a profile has room for: forget"
                " some, or begin another"
            )
        check_writable(Path(path))
        write(Path(path), content, private=True)

    def save(self, name: str) -> None:
        """Write it into the user's folder, in the place of what is there of that name.

        Args:
            name: of it.

        Raises:
            DataError: it is no name, or as of write().
        """
        self.write(path_in_folder(name))

    @staticmethod
    def remove(name: str) -> None:
        """Erase a profile of the user's folder, readable or not.

        Args:
            name: of it.

        Raises:
            DataError: there is none, it cannot be erased, or as of changing().
        """
        path = path_in_folder(name)
        with changing():
            try:
                path.unlink()
            except FileNotFoundError as error:
                raise DataError(f"there is no profile {name!r}") from error
            except OSError as error:
                raise DataError(f"{path}: {error.strerror}") from error

    @property
    def content(self) -> bytes:
        """The bytes of its file."""
        body = _HEAD.pack(MAGIC, VERSION, self.front_end, len(self.takes))
        body += b"".join(
            _TAKE.pack(take.word.encode(), take.session, take.taught, len(take.features))
            + take.content
            for take in self.takes
        )
        return body + _CRC.pack(zlib.crc32(body))

    @property
    def words(self) -> dict[str, int]:
        """The words that were said, each with the number of its takes."""
        counts: dict[str, int] = {}
        for take in self.takes:
            counts[take.word] = counts.get(take.word, 0) + 1
        return counts

    def models(self) -> list[str]:
        """Give the models that can learn it.

        Returns:
            Names of those that come with the package and have its front end.
        """
        there = [Model.load(name) for name in SHIPPED if shipped_model(name).exists()]
        return [one.name for one in there if front_end_crc(one.front_end) == self.front_end]

    def plus(self, takes: Iterable[tuple[str, NDArray[np.int8]]], taught: bool) -> "Profile":
        """Add takes that were learned together; one that is there already is not added.

        Args:
            takes: word, and features with renditions: int8 (steps, 80), of take_features().
            taught: as of KeptTake.

        Returns:
            Another profile, or the same where there is nothing to add.

        Raises:
            DataError: no name, a take that is shorter than a step, or no features.
        """
        there = {(take.word, take.content) for take in self.takes}
        session = self.takes[-1].session + 1 if self.takes else 0
        added = []
        for word, heard in takes:
            if not len(heard) or len(heard) % RENDITIONS:
                raise DataError(f"a take of {word!r} is shorter than a step of 20 ms")
            if heard.dtype != np.int8 or heard.shape[1:] != (FEATURES,):
                raise DataError(f"a take of {word!r} is no int8 (steps, {FEATURES})")
            word = word_of(word)
            take = KeptTake(word, session, taught, heard.tobytes())
            if (word, take.content) not in there:
                there.add((word, take.content))
                added.append(take)
        return Profile(self.front_end, (*self.takes, *added)) if added else self

    def repeated(
        self, word: str, heard: Sequence[NDArray[np.int8]], own: OwnWord | None
    ) -> list[int]:
        """Say which takes of a word of the user's own were learned before, as far as is known.

        They are those that are here, unless what learns has fewer takes of the word than are here:
        then it has forgotten some, and nobody knows which.

        Args:
            word: of the takes.
            heard: features of each with renditions: int8 (steps, 80), of take_features().
            own: how the word stands in what learns; None where it is none of the user's own.

        Returns:
            Places of those that were.
        """
        there = {take.content for take in self.takes if take.word == word}
        if own is None or own.takes < min(self.words.get(word, 0), lib.TKWS_TAKES_COUNTED):
            return []
        return [place for place, steps in enumerate(heard) if steps.tobytes() in there]

    def without(self, word: str, number: int | None = None) -> "Profile":
        """Leave out a word, or one of its takes.

        Args:
            word: of it.
            number: of the take, from 1; None for all.

        Returns:
            Another profile.

        Raises:
            DataError: there is no such word, or take.
        """
        word = normalised(word)
        n_takes = self._check_word(word)
        if number is not None and not 1 <= number <= n_takes:
            raise DataError(f"there is no take {number} of {word!r}: there are {n_takes}")
        gone = f"{word} {number}"
        kept = [
            take
            for name, take in self._named()
            if take.word != word or (number is not None and name != gone)
        ]
        return Profile(self.front_end, tuple(kept))

    def sessions(self, model: Model, words: Sequence[str] | None = None) -> list[Session]:
        """Say what a model is to learn, in the order in which it was learned.

        Words that were adapted to and that the model lacks are taught as the user's own. Other
        words are left out where the model learns nothing of them.

        Args:
            model: that learns.
            words: only these; all by default.

        Returns:
            Takes by session, none empty.

        Raises:
            DataError: the model has another front end, no room for so many words of the user's
                own, or a class of the name of a word; there is no such word, or nothing to learn.
        """
        self.check_front_end(model.front_end, model.name)
        chosen = {*self.words} if words is None else {normalised(word) for word in words}
        for word in chosen:
            self._check_word(word)
        sessions = []
        for _, group in groupby(
            (pair for pair in self._named() if pair[1].word in chosen), lambda pair: pair[1].session
        ):
            pairs = list(group)
            for taught in (False, True):
                mine = [pair for pair in pairs if _way(pair[1], model) == taught]
                if mine:
                    names, takes = zip(*mine, strict=True)
                    sessions.append(Session(taught, names, takes))
        if not sessions:
            raise DataError("there is nothing to learn in it")
        _check_room(model, sessions)
        return sessions

    def check_front_end(self, config: FeatureConfig, name: str) -> None:
        """See that takes are as a front end makes them.

        Args:
            config: of it.
            name: of what has it, for the error.

        Raises:
            DataError: they are of another one.
        """
        if self.front_end != front_end_crc(config):
            raise DataError(
                f"the takes of this profile are of another front end than that of {name}, which"
                " cannot learn them: take recordings, and another profile"
            )

    def _check_word(self, word: str) -> int:
        """Number of takes of a word, which must be there."""
        if word not in self.words:
            raise DataError(f"the profile has no word {word!r}; it has {', '.join(self.words)}")
        return self.words[word]

    def _named(self) -> list[tuple[str, KeptTake]]:
        """The takes with their names."""
        counts: dict[str, int] = {}
        named = []
        for take in self.takes:
            counts[take.word] = counts.get(take.word, 0) + 1
            named.append((f"{take.word} {counts[take.word]}", take))
        return named


def _way(take: KeptTake, model: Model) -> bool | None:
    """Whether a model is taught a take, or (False) learns it by its method; None for neither."""
    if take.word == OTHER:
        return None if int(model.header.method) == TAKES else False
    return take.taught or take.word not in model.keywords


def _check_room(model: Model, sessions: Sequence[Session]) -> None:
    """See that a model that has learned nothing can learn this.

    Raises:
        DataError: it cannot.
    """
    words = words_to_teach(sessions)
    own = [word for word in words if word not in model.keywords]
    if strange := [word for word in own if not model.has_sound(word)]:
        raise DataError(f"{strange[0]!r} has no one sound: it is no word to teach")
    if words and not model.keeps_takes:
        raise DataError(f"{model.name} keeps no takes: it cannot be taught {', '.join(words)}")
    if len(own) > model.own_words:
        raise DataError(
            f"{model.name} has room for {model.own_words} words of your own, and these are"
            f" {len(own)}: {', '.join(own)}; choose some of them (`--word`)"
        )


def words_to_teach(sessions: Sequence[Session]) -> list[str]:
    """Words whose traces alone are learned, in their order."""
    taught = (take.word for one in sessions if one.taught for take in one.takes)
    return list(dict.fromkeys(taught))


def _takes_of(body: bytes, n_takes: int) -> tuple[KeptTake, ...] | None:
    """The takes in a file whose checksum is cut off; None where they are not as write() has it.

    One that is there twice counts once.
    """
    at = _HEAD.size
    takes: list[KeptTake] = []
    while at + _TAKE.size <= len(body) and len(takes) < n_takes:
        cell, session, taught, n_steps = _TAKE.unpack_from(body, at)
        at += _TAKE.size
        content = body[at : at + n_steps * FEATURES]
        at += len(content)
        try:
            word = cell.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return None
        fits = n_steps and n_steps % RENDITIONS == 0 and len(content) == n_steps * FEATURES
        if not fits or not is_name(word) or taught > 1 or (takes and session < takes[-1].session):
            return None
        takes.append(KeptTake(word, session, bool(taught), content))
    if at != len(body) or len(takes) != n_takes:
        return None
    once: dict[tuple[str, bytes], KeptTake] = {}
    for take in takes:
        once.setdefault((take.word, take.content), take)
    return tuple(once.values())


def folder() -> Path:
    """The user's folder of profiles, which nobody else reads; made when it is missing.

    Raises:
        TraceKwsError: it cannot be made.
    """
    path = state_folder() / "profiles"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise TraceKwsError(f"{path}: {error.strerror}") from error
    return path


def path_in_folder(name: str) -> Path:
    """The file of a profile in the user's folder.

    Raises:
        DataError: it is no name.
    """
    return path_of(folder(), normalised(name), SUFFIX)


def changing() -> AbstractContextManager[None]:
    """Keep other programs of this user from changing profiles, from a look at one to its save().

    Raises:
        DataError: another one is changing some, and does not end; or as of files.locked().
    """
    return locked(state_folder() / "profiles.lock", "profiles")


def begun(name: str, config: FeatureConfig, of: str) -> Profile:
    """The profile of a name, to add takes to: that of the user's folder, or an empty one.

    Args:
        name: of it.
        config: of the front end that makes the features.
        of: what has that front end, for errors.

    Raises:
        DataError: it is no name, cannot be read or written, or has takes of another front end.
    """
    path = path_in_folder(name)
    check_folder(path.parent)
    if not path.exists():
        return Profile(front_end_crc(config))
    profile = Profile.read(path)
    profile.check_front_end(config, of)
    return profile


def keep(
    name: str,
    model: Model,
    takes: Iterable[tuple[str, NDArray[np.int8]]],
    taught: bool,
) -> Profile:
    """Add takes that a model has learned to the profile of a name; give that profile.

    `takes` and `taught` are those of Profile.plus(). Errors are those of begun(), write() and
    changing(): what another program adds meanwhile stays.
    """
    given = list(takes)
    with changing():
        profile = begun(name, model.front_end, model.name).plus(given, taught)
        profile.save(name)
    return profile
