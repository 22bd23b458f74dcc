# SPDX-License-Identifier: Apache-2.0
"""A user's takes kept in a profile, and a device that is taught again from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracekws.core import TAKES, Model, known_model
from tracekws.device import adapt, teach
from tracekws.device.adapt import Progress, guarded, refusals, reverted_on_error
from tracekws.device.driver import DeviceInfo, Driver
from tracekws.device.takes import Take
from tracekws.errors import DataError, ModelError
from tracekws.learner import Learner, check_refused
from tracekws.names import OTHER
from tracekws.profile import Profile, Session, begun, keep, words_to_teach
from tracekws.renditions import take_features

NO_SOUND = np.zeros(0, np.int16)
ADDED = (
    "the device had learned before, and these takes are added to that: one that it had already"
    " counts twice (--forget-first begins anew)"
)


@dataclass(frozen=True)
class Relearning:
    """What a device was taught from a profile; `generation` is None when nothing was saved."""

    learned: dict[str, int]
    """Takes of each word."""
    refused: tuple[str, ...]
    """Takes that it did not learn, since they sound like another word: a word, and which of its
    takes."""
    generation: int | None
    warnings: tuple[str, ...]


def model_of(about: DeviceInfo, given: Model | None) -> Model:
    """The model that a device runs, whose front end made, or is to hear, the takes of a profile.

    Raises:
        ModelError: it is neither one that comes with the package nor the one that is given.
    """
    known = known_model(about.model_crc, given)
    if known is None:
        raise ModelError(
            f"the device runs {about.model_name} with CRC {about.model_crc:08x}, which is not known"
            " here, and profiles need it: name its file by --model"
        )
    return known


def check_profile(name: str | None, about: DeviceInfo, given: Model | None) -> None:
    """See that the takes of a device can be kept in a profile, where one is named.

    Raises:
        ModelError: as of model_of().
        DataError: as of profile.begun().
    """
    if name is not None:
        model = model_of(about, given)
        begun(name, model.front_end, model.name)


def keep_takes(
    name: str | None, about: DeviceInfo, given: Model | None, takes: Sequence[Take], taught: bool
) -> None:
    """Keep takes that a device has learned in a profile, where one is named.

    `taught` is as of Profile.plus(). Errors are those of check_profile().
    """
    if name is not None:
        model = model_of(about, given)
        keep(
            name,
            model,
            (
                (
                    OTHER if take.label == about.unknown else take.label,
                    take_features(take.pcm, model.front_end, True),
                )
                for take in takes
            ),
            taught,
        )


def new_takes(
    device: Driver,
    name: str | None,
    about: DeviceInfo,
    given: Model | None,
    word: str,
    takes: Sequence[Take],
) -> tuple[list[Take], list[str]]:
    """Leave out takes that a device was taught before, as a profile tells, where one is named.

    What is known of them is in Profile.repeated(). Gives the others, and a warning that names
    those. Errors are those of check_profile(), and DataError where no other is left.
    """
    if name is None or word not in (own := device.words()):
        return list(takes), []
    model = model_of(about, given)
    heard = [take_features(take.pcm, model.front_end, True) for take in takes]
    again = begun(name, model.front_end, model.name).repeated(word, heard, own[word])
    new = [take for place, take in enumerate(takes) if place not in again]
    names = ", ".join(takes[place].name for place in again)
    if again and not new:
        raise DataError(
            f"nothing new of {word!r}: the profile {name} has {names}, and the device was taught"
            " it: --force teaches it again"
        )
    told = f"not taught again, since the profile {name} has it, is {names}: --force teaches it"
    return new, [told] if again else []


def relearn(
    device: Driver,
    profile: Profile,
    model: Model,
    *,
    about: DeviceInfo | None = None,
    words: Sequence[str] | None = None,
    forget_first: bool = False,
    save: bool = True,
    force: bool = False,
    progress: Progress = lambda what, done, total: None,
    before_save: Callable[[Relearning], None] = lambda result: None,
) -> Relearning:
    """Teach a device the takes of a profile as they were taught before, and save it.

    Takes are added to what the device has learned, unless that is to be forgotten first: then this
    machine learns them before the device forgets, so that nothing is erased for a profile that
    would be refused.  `model` is the device's; `about` is what info() gave already; `words` are
    those to learn, all by default.
    `before_save` is given the result before anything is saved.  Whatever fails, or interrupts,
    before that leaves the device at what was saved last.

    Raises DataError as Profile.sessions() does, and for want of room, or where most takes sound
    like other words.
    """
    about = about or device.info()
    sessions = profile.sessions(model, words)
    n_takes = sum(len(session.takes) for session in sessions)
    teach.check_room(device, words_to_teach(sessions), about, forget_first)
    if forget_first:
        Learner(model).learn_profile(profile, words, force or not device.guards)
        device.forget()
    refused: list[str] = []
    with reverted_on_error(device):
        for session in sessions:
            refused += _repeat(device, about, session, model, force, progress)
        check_refused(len(refused), n_takes)
        warnings = refusals(refused)
        if (about.generation or about.changed) and not forget_first:
            warnings.append(ADDED)
        result = Relearning(_learned(sessions, refused), tuple(refused), None, tuple(warnings))
        before_save(result)
        return replace(result, generation=device.save()) if save else result


def _repeat(
    device: Driver,
    about: DeviceInfo,
    session: Session,
    model: Model,
    force: bool,
    progress: Progress,
) -> list[str]:
    """Teach a session of a profile; names of the takes that were refused."""
    labels = session.labels(model)
    takes = [
        Take(label, name, NO_SOUND, rendered=take.features)
        for label, name, take in zip(labels, session.names, session.takes, strict=True)
    ]
    if not session.taught:
        passes, method = int(model.header.passes), guarded(device, int(model.header.method), force)
        refused = adapt.teach(
            device,
            takes,
            passes=passes,
            seed=1,
            config=None,
            method=method,
            about=about,
            progress=progress,
        )
        return [takes[i].name for i in sorted(refused)]
    left_out = []
    method = guarded(device, TAKES, force)
    with device.learn(1) as learning:
        for done, take in enumerate(takes):
            progress("learning", done, len(takes))
            of_model = take.label in model.keywords
            if not teach.give(learning, take.label, take, None, method if of_model else None):
                left_out.append(take.name)
    progress("learning", len(takes), len(takes))
    return left_out


def _learned(sessions: Sequence[Session], refused: Sequence[str]) -> dict[str, int]:
    """Takes of each word that were learned."""
    counts: dict[str, int] = {}
    for session in sessions:
        for name, take in zip(session.names, session.takes, strict=True):
            counts[take.word] = counts.get(take.word, 0) + (name not in refused)
    return counts
