# SPDX-License-Identifier: Apache-2.0
"""Learning on the host, by the C core: the same takes, weights and seed give a device's bits."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws._core import ffi, lib
from tracekws.audio import is_silent, loudest_second
from tracekws.core import GUARDED, TAKES, Model, Network, OwnWord, check_pcm, own_words
from tracekws.errors import DataError, ModelError, check, code
from tracekws.files import check_writable, read_bytes, write
from tracekws.names import OTHER, normalised, word_of
from tracekws.profile import Profile, Session, begun, keep
from tracekws.renditions import take_alone, take_features

FULL_SCALE = 32767
"""Scale of the learning rates in Q15: the model's own."""
MOST_REFUSED = 0.5
"""Share of takes that sound like other words than their own, above which none is learned."""
MAGIC = b"TKLW"
MOST_PASSES, LARGEST_SEED = 100, 2**32 - 1
LARGEST = 1 << 20
"""Bytes of a file of weights, at most."""
_HEAD = struct.Struct("<4sI")
_CRC = struct.Struct("<I")


def check_refused(refused: int, takes: int) -> None:
    """See that not most takes sound like other words than their own, or like none.

    Raises:
        DataError: they do: the words are probably mixed up, or the recordings are of something
            else.
    """
    if refused > MOST_REFUSED * takes:
        raise DataError(
            f"{refused} of {takes} takes sound like another word than their own, or like none:"
            " nothing was learned; are they in the right folders? force (--force) learns them"
        )


def check_whole(name: str, value: int, least: int, most: int) -> None:
    """See that a setting is a whole number of a range.

    Raises:
        DataError: it is not.
    """
    if not isinstance(value, Integral) or not least <= value <= most:
        raise DataError(f"{name} {value}: a whole number from {least} to {most}")


def schedule(
    n_takes: int, passes: int, method: int, order: np.random.Generator
) -> Iterator[tuple[int, int, int, int]]:
    """In what order takes are learned: several passes, each in a fresh order, at falling rates.

    A take is kept in the first pass alone, as in another it would count as another take. Where
    nothing else is learned there is no other pass.

    Args:
        n_takes: how many there are.
        passes: over all of them.
        method: flags.
        order: draws the order.

    Yields:
        Number of the pass, index of the take, scale of the learning rates in Q15, flags.
    """
    later = method & ~(TAKES | GUARDED)
    passes = passes if later else 1
    for number in range(passes):
        scale = round(FULL_SCALE * (1 - number / passes))
        for take in order.permutation(n_takes):
            yield number, int(take), scale, later if number else method


def keeps(method: int, word: str, keywords: Sequence[str]) -> bool:
    """Whether a take is kept as a trace of its word, and nothing else is learned from it."""
    return method & ~GUARDED == TAKES and word in keywords


class Learner(Network):
    """A network that learns from takes, as a device does.

    An object belongs to one thread at a time.

    Example:
        >>> from tracekws import Learner, Model, Recognizer
        >>> model = Model.load("base")
        >>> learner = Learner(model)
        >>> learner.learn([("yes", first), ("yes", second), ("no", third)])
        >>> ear = Recognizer(model, learner.weights)

    Args:
        model: the image.
        seed: of the generator behind rounding and replay, 0 to 2^32 - 1.
    """

    def __init__(self, model: Model, seed: int = 1) -> None:
        """Start with the model's own weights, at rest."""
        check_whole("seed", seed, 0, LARGEST_SEED)
        super().__init__(model)
        n_bytes = lib.tkws_learner_memory_bytes(model.c)
        self._learner_memory = ffi.new("int32_t[]", n_bytes // 4)
        self._learner = ffi.new("tkws_learner *")
        check(
            lib.tkws_learner_init(self._learner, self._network, self._learner_memory, n_bytes, seed)
        )

    def learn(
        self,
        takes: Sequence[tuple[str, NDArray[np.int16]]],
        passes: int | None = None,
        seed: int = 1,
        force: bool = False,
        profile: str | None = None,
    ) -> tuple[int, ...]:
        """Learn takes as `tracekws adapt` teaches them to a device.

        Args:
            takes: word and recording (int16, 16 kHz, mono) of each; of one that is longer than a
                second the loudest second is the take. The word is a label of the model; that of its
                class for unknown words takes any other speech.
            passes: over all takes; the model's by default.
            seed: of the order of takes.
            force: whether takes that sound like another word, or like none, are learned, too,
                where the model keeps takes.
            profile: name of the one that all takes are kept in, as Profile has it; those of silence
                are not.

        Returns:
            Places of the takes that were not learned, since they do.

        Raises:
            DataError: a word that the model does not have, samples that are none or too few, a
                take in which nobody speaks, most takes sound like other words, no pass, or a
                profile that cannot be added to; nothing is learned then. For more of what may be
                wrong see tracekws.inspection.
        """
        labels = self.model.labels
        if strange := [word for word, _ in takes if word not in labels]:
            raise DataError(f"{self.model.name} has no word {strange[0]!r}")
        takes = [(word, loudest_second(check_pcm(pcm))) for word, pcm in takes]
        rendered = [take_features(pcm, self.model.front_end, True) for _, pcm in takes]
        words = [word for word, _ in takes]
        if short := [word for word, steps in zip(words, rendered, strict=True) if not len(steps)]:
            raise DataError(f"a take of {short[0]!r} is shorter than a step of 20 ms")
        silent = [
            f"take {number} ({word!r})"
            for number, (word, pcm) in enumerate(takes, 1)
            if word != labels[self.model.silence] and is_silent(pcm)
        ]
        if silent:
            raise DataError(f"nothing is heard in {', '.join(silent)}: record again, or leave out")
        if passes is not None:
            check_whole("passes", passes, 1, MOST_PASSES)
        check_whole("seed", seed, 0, LARGEST_SEED)
        if profile is not None:
            begun(profile, self.model.front_end, self.model.name)
        before = self.weights
        try:
            refused = self._adapt(words, rendered, passes, seed, force)
            check_refused(len(refused), len(takes))
            if profile is not None:
                other = {labels[self.model.unknown]: OTHER}
                pairs = zip((other.get(word, word) for word in words), rendered, strict=True)
                silence = labels[self.model.silence]
                keep(profile, self.model, (pair for pair in pairs if pair[0] != silence), False)
        except BaseException:
            self.weights = before
            raise
        return tuple(sorted(refused))

    def _adapt(
        self,
        words: Sequence[str],
        rendered: Sequence[NDArray[np.int8]],
        passes: int | None,
        seed: int,
        force: bool,
    ) -> set[int]:
        """Learn takes by the model's method, guarded unless `force`; places of those refused.

        `words` are the labels of takes whose features, with renditions, are `rendered`.
        """
        method = int(self.model.header.method)
        labels = [self.model.labels.index(word) for word in words]
        heard = [
            steps if keeps(method, word, self.model.keywords) else take_alone(steps)
            for word, steps in zip(words, rendered, strict=True)
        ]
        if method == TAKES and not force:
            method |= GUARDED
        order = np.random.default_rng(seed)
        refused = set()
        passes = passes or int(self.model.header.passes)
        for _, i, scale, flags in schedule(len(words), passes, method, order):
            if not self.take(heard[i], labels[i], flags, scale):
                refused.add(i)
        return refused

    def teach(
        self,
        word: str,
        takes: Sequence[NDArray[np.int16]],
        force: bool = False,
        profile: str | None = None,
    ) -> OwnWord | None:
        """Teach a word, of the user's own or of the model, by its takes alone: no weight changes.

        Args:
            word: a name of 1 to 31 bytes; it need not be known.
            takes: recordings of it (int16, 16 kHz, mono), three to five best; of a longer one than
                a second the loudest second is the take. One that is there twice counts once.
            force: whether takes of a word of the model's that sound like another one are learned,
                too, and takes of another word that the profile has and that were learned before;
                otherwise they are left out.
            profile: as of learn().

        Returns:
            How the word stands; None of one of the model's.

        Raises:
            DataError: no name, a class that has no one sound, samples that are none, silent or
                too few, most takes sound like another word of the model, all were learned before,
                or a profile that cannot be added to; nothing is learned then.
            TraceKwsError: there is no room for another word; nothing is learned then.
        """
        word = word_of(word)
        if not self.model.has_sound(word):
            raise DataError(f"{word!r} has no one sound: it is no word to teach")
        takes = [loudest_second(check_pcm(pcm)) for pcm in takes]
        heard = [take_features(pcm, self.model.front_end, True) for pcm in takes]
        if not heard or not all(len(steps) for steps in heard):
            raise DataError(f"a take of {word!r} is shorter than a step of 20 ms, or there is none")
        if silent := [str(n) for n, pcm in enumerate(takes, 1) if is_silent(pcm)]:
            raise DataError(f"nothing is heard in take {', '.join(silent)} of {word!r}")
        heard = list({steps.tobytes(): steps for steps in heard}.values())
        if profile is not None:
            there = begun(profile, self.model.front_end, self.model.name)
            again = [] if force else there.repeated(word, heard, self.words.get(word))
            heard = [steps for place, steps in enumerate(heard) if place not in again]
            if not heard:
                raise DataError(f"nothing new of {word!r}: the profile {profile} has all takes")
        before = self.weights
        try:
            kept = [self._teach(word, steps, force) for steps in heard]
            check_refused(kept.count(False), len(kept))
            if profile is not None:
                keep(profile, self.model, ((word, steps) for steps in heard), True)
        except BaseException:
            self.weights = before
            raise
        return self.words.get(word)

    def _teach(self, word: str, heard: NDArray[np.int8], force: bool) -> bool:
        """Keep a take of a word, which need not be there; whether it was kept."""
        name = word.encode()
        number = check(lib.tkws_own_add(self.model.c, self._weights.c, name, len(name)))
        method = TAKES | GUARDED if word in self.model.keywords and not force else TAKES
        return self.take(heard, number, method, FULL_SCALE)

    def learn_profile(
        self, profile: Profile, words: Sequence[str] | None = None, force: bool = False
    ) -> tuple[str, ...]:
        """Learn the takes of a profile as they were learned before, with the model's passes.

        What was learned already stays; a take that is in it counts twice then.

        Args:
            profile: as Profile.load() gives it.
            words: only these; all by default.
            force: as of learn().

        Returns:
            Takes that were not learned, since they sound like another word: `yes 2` is the second
            one of that word.

        Raises:
            DataError: as of Profile.sessions(), or most takes sound like other words; nothing is
                learned then.
            TraceKwsError: there is no room for another word; nothing is learned then.
        """
        sessions = profile.sessions(self.model, words)
        before = self.weights
        refused: list[str] = []
        try:
            for session in sessions:
                refused += self._repeat(session, force)
            check_refused(len(refused), sum(len(session.takes) for session in sessions))
        except BaseException:
            self.weights = before
            raise
        return tuple(refused)

    def _repeat(self, session: Session, force: bool) -> list[str]:
        """Learn a session of a profile; names of the takes that were refused."""
        if session.taught:
            kept = [self._teach(take.word, take.features, force) for take in session.takes]
            return [name for name, there in zip(session.names, kept, strict=True) if not there]
        labels = session.labels(self.model)
        heard = [take.features for take in session.takes]
        return [session.names[i] for i in sorted(self._adapt(labels, heard, None, 1, force))]

    @property
    def words(self) -> dict[str, OwnWord]:
        """The words of the user's own, by name."""
        return {one.word: one for one in own_words(self.model, self.weights).values()}

    def forget(self, word: str) -> None:
        """Forget what was said of a word: its takes, and the word, where it is the user's own.

        Args:
            word: of the user's own, or of the model.

        Raises:
            DataError: there is no such word.
        """
        name = normalised(word).encode("utf-8", "surrogatepass")
        number = lib.tkws_own_find(self.model.c, self._weights.c, name, len(name))
        if number < 0:
            raise DataError(f"{self.model.name} has no word {word!r}, nor was it taught one")
        lib.tkws_own_forget(self.model.c, self._weights.c, number)
        self._takes_changed = True

    def take(self, features: NDArray[np.int8], label: int, method: int, scale_q15: int) -> bool:
        """Learn once from one take.

        Args:
            features: int8 (steps, 80), Q4.
            label: class of the take; with TAKES alone, or number of a word of the user's own.
            method: TKWS_LEARN_* flags.
            scale_q15: share of the model's learning rates, Q15, 0 to 32767.

        Returns:
            Whether it was learned: one that sounds unlike its word is not, by a guarded method.

        Raises:
            TraceKwsError: the take has no step, or an argument is out of its range.
        """
        check(lib.tkws_learner_begin(self._learner, method, label, scale_q15))
        self._run(features, learner=self._learner)
        ended = lib.tkws_learner_end(self._learner)
        if ended == code("UNLIKE"):
            return False
        check(ended)
        self._takes_changed = True
        return True

    def save(self, path: Path | str) -> None:
        """Write the weights to a file, completely or not at all.

        Args:
            path: of the file, which is replaced.

        Raises:
            DataError: it cannot be written.
        """
        check_writable(Path(path))
        content = _HEAD.pack(MAGIC, self.model.crc) + self.weights
        write(Path(path), content + _CRC.pack(zlib.crc32(content)))

    def load(self, path: Path | str) -> None:
        """Take the weights from a file that save() wrote.

        Args:
            path: of the file.

        Raises:
            DataError: there is no such file, or it is damaged.
            ModelError: the weights are of another model.
        """
        content = read_bytes(Path(path), LARGEST)
        if len(content) < _HEAD.size + _CRC.size or not content.startswith(MAGIC):
            raise DataError(f"{path}: these are no learned weights")
        body, (crc,) = content[: -_CRC.size], _CRC.unpack(content[-_CRC.size :])
        if zlib.crc32(body) != crc:
            raise DataError(f"{path}: the file is damaged")
        (_, of_model) = _HEAD.unpack_from(body)
        if of_model != self.model.crc or len(body) != _HEAD.size + self.model.trainable_bytes:
            raise ModelError(f"{path}: weights of another model, with CRC {of_model:08x}")
        self.weights = body[_HEAD.size :]
