# SPDX-License-Identifier: Apache-2.0
"""A device as programs use it: found, listened to, adapted to a voice, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tracekws.core import Model, known_model
from tracekws.device import adapt
from tracekws.device.adapt import Adaptation, Progress
from tracekws.device.discover import find_port, open_when_free, port_of
from tracekws.device.driver import DeviceInfo, Driver
from tracekws.device.relearn import (
    Relearning,
    check_profile,
    keep_takes,
    model_of,
    new_takes,
    relearn,
)
from tracekws.device.takes import Lesson, Take, read_lesson, read_word
from tracekws.device.teach import Teaching, teach
from tracekws.learner import LARGEST_SEED, MOST_PASSES, check_whole
from tracekws.names import word_of
from tracekws.profile import Profile


class Device(Driver):
    """A board that is plugged in, or a virtual or an emulated one, on a line of its own.

    Device.find() and Device.open() make one; in a `with` it is closed at the end. What the device
    refuses is a DeviceError, what a line or a stranger on it does a ProtocolError. An object
    belongs to one thread at a time.

    Example:
        >>> from tracekws import Device
        >>> with Device.find() as device:
        ...     for event in device.listen([pcm]):
        ...         print(event.word, event.start, event.end)
        ...     result = device.adapt("my_takes")
        ...     back_to = device.undo()
    """

    @classmethod
    def find(cls, timeout: float = 5.0) -> Self:
        """Open the one device that is plugged in, or that `tracekws board` runs.

        Args:
            timeout: seconds, as of open().

        Returns:
            The device, as of open().

        Raises:
            NoDeviceError: there is none, or there are several.
            BusyError: another program has it open.
        """
        return cls.open(find_port(), timeout)

    @classmethod
    def open(cls, port: str, timeout: float = 5.0, needs_model: bool = True) -> Self:
        """Open a serial port, a pty, a URL, or a board that `tracekws board` runs by its name.

        Args:
            port: as of Driver.open(), or such a name.
            timeout: as of Driver.open().
            needs_model: as of Driver.open().

        Returns:
            As of Driver.open().

        Raises:
            NoDeviceError, ProtocolError, VersionError, DeviceError: as of Driver.open().
            BusyError: another program has the line.
        """
        opening = super().open
        return open_when_free(
            port_of(port), lambda where: opening(where, timeout, needs_model), timeout
        )

    def teach(
        self,
        word: str,
        takes: Sequence[Path | str] | Path | str,
        *,
        model: Model | None = None,
        save: bool = True,
        force: bool = False,
        profile: str | None = None,
        about: DeviceInfo | None = None,
        progress: Progress = lambda what, done, total: None,
        before_save: Callable[[Teaching], None] = lambda result: None,
    ) -> Teaching:
        """Teach the device a word of its user's own, and save it: `tracekws teach`.

        No weight changes, and no score of another word. A word that the model has is heard
        better as its takes sound, as adapt() does it.

        Args:
            word: a name of 1 to 31 bytes.
            takes: recordings of it, and folders of recordings, or one of them; three to five takes
                are best. More can be taught later, others than those before.
            model: as of adapt().
            save: whether it is kept; a device that is restarted forgets it otherwise.
            force: as of adapt(); and whether takes are taught again that the profile has and that
                the device was taught before. Else they are left out, and named by a warning.
            profile: as of adapt().
            about: as of adapt().
            progress: told what is being done, how many takes of it are done, and of how many.
            before_save: given the result, without a generation; what it raises leaves nothing
                saved.

        Returns:
            How the word stands now.

        Raises:
            DataError: it is no word, takes are missing, not usable or taught before, the device has
                as many words as it has room for, or the profile cannot be added to; nothing is
                learned then. A failure later leaves the device at what was saved last.
        """
        word = word_of(word)
        given = [takes] if isinstance(takes, Path | str) else takes
        about = about or self.info()
        read = read_word([Path(path) for path in given], word, force, about.keywords)
        known = known_model(about.model_crc, model)
        check_profile(profile, about, model)
        new: list[Take] = read
        told: list[str] = []
        if not force:
            new, told = new_takes(self, profile, about, model, word, read)

        def finish(result: Teaching) -> None:
            before_save(result)
            keep_takes(profile, about, model, read, taught=True)

        return teach(
            self,
            word,
            new,
            save=save,
            force=force,
            progress=progress,
            config=known.front_end if known else None,
            about=about,
            warnings=told,
            before_save=finish,
        )

    def adapt(
        self,
        folder: Path | str,
        *,
        others: Path | str | None = None,
        hold_out: bool = True,
        passes: int | None = None,
        seed: int = 1,
        model: Model | None = None,
        save: bool = True,
        force: bool = False,
        profile: str | None = None,
        about: DeviceInfo | None = None,
        progress: Progress = lambda what, done, total: None,
        before_learning: Callable[[Lesson], None] = lambda lesson: None,
        before_save: Callable[[Adaptation], None] = lambda result: None,
    ) -> Adaptation:
        """Teach the device its user's voice, and save what it learned: `tracekws adapt`.

        Args:
            folder: takes, FOLDER/WORD/1.wav and so on; those of other words in FOLDER/_other.
            others: takes of other speakers to test with, in the same layout.
            hold_out: whether the last take of each word is only tested with.
            passes: over the takes; the model's by default.
            seed: of the order of takes and of rounding, 1 to 2^32 - 1.
            model: the device's, if it is none that comes with the package; any other is not used.
                Without it takes are learned without their renditions (renditions.py).
            force: whether takes that are silent, noise, far too quiet or badly clipped are learned
                all the same, with a warning.
            profile: name of the one that the takes that are learned are kept in, as Profile has it;
                the model must be known for it.
            about: what info() gave already, where it was asked.
            save: whether the weights are kept; a device that is restarted forgets them otherwise.
            progress: told what is being done, how many takes of it are done, and of how many.
            before_learning: given the takes before the device hears any; what it raises ends it.
            before_save: given the result, without a generation; what it raises leaves nothing
                saved.

        Returns:
            What was learned, and how takes that were held out are heard before and after.

        Raises:
            DataError: takes are missing or not usable, all of which are named, the profile cannot
                be added to, or passes and seed are none; nothing is learned then. Whatever fails
                later leaves the device at its last saved weights.
        """
        if passes is not None:
            check_whole("passes", passes, 1, MOST_PASSES)
        check_whole("seed", seed, 1, LARGEST_SEED)
        about = about or self.info()
        own = known_model(about.model_crc, model)
        lesson = read_lesson(
            Path(folder),
            Path(others) if others else None,
            hold_out,
            about.labels,
            about.unknown,
            about.silence,
            about.method,
            own or Model.load("base"),
            force,
        )
        check_profile(profile, about, model)
        before_learning(lesson)

        def finish(result: Adaptation) -> None:
            before_save(result)
            keep_takes(profile, about, model, lesson.learn, taught=False)

        return adapt.adapt(
            self,
            lesson.learn,
            lesson.test,
            lesson.others,
            passes=passes,
            seed=seed,
            config=own.front_end if own else None,
            about=about,
            save=save,
            force=force,
            warnings=lesson.weak_points,
            progress=progress,
            before_save=finish,
        )

    def learn_profile(
        self,
        profile: Profile,
        *,
        words: Sequence[str] | None = None,
        forget_first: bool = False,
        model: Model | None = None,
        save: bool = True,
        force: bool = False,
        about: DeviceInfo | None = None,
        progress: Progress = lambda what, done, total: None,
        before_save: Callable[[Relearning], None] = lambda result: None,
    ) -> Relearning:
        """Teach the device the takes of a profile as they were taught before, and save it.

        They are added to what it has learned; a take that is in it already counts twice then.

        Args:
            profile: as Profile.load() gives it.
            words: only these; all by default.
            forget_first: whether the device first forgets all that it has learned, which cannot be
                taken back. That is done when all else has been checked.
            model: the device's, if it is none that comes with the package.
            save: as of adapt().
            force: whether takes that sound like another word are learned, too.
            about: as of adapt().
            progress: told what is being done, how many takes of it are done, and of how many.
            before_save: given the result, without a generation; what it raises leaves nothing
                saved.

        Returns:
            What was learned.

        Raises:
            ModelError: the device's model is not known.
            DataError: the model has another front end, or no room for the words; or most takes
                sound like other words. Nothing is learned then. Whatever fails later leaves the
                device at what was saved last.
        """
        about = about or self.info()
        return relearn(
            self,
            profile,
            model_of(about, model),
            about=about,
            words=words,
            forget_first=forget_first,
            save=save,
            force=force,
            progress=progress,
            before_save=before_save,
        )
