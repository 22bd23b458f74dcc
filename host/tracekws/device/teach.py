# SPDX-License-Identifier: Apache-2.0
"""Teaching a device a word of its user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tracekws.core import TAKES, FeatureConfig, Model, OwnWord
from tracekws.device.adapt import Progress, guarded, refusals, reverted_on_error
from tracekws.device.driver import DeviceInfo, Driver, LearnSession
from tracekws.device.takes import Take, distinct, doubts
from tracekws.errors import DataError, DeviceError
from tracekws.learner import FULL_SCALE, check_refused
from tracekws.names import OTHER, word_of

LITTLE = 0.3
"""Agreement below which takes of a word are told to agree little."""


@dataclass(frozen=True)
class Teaching:
    """What `teach` did; `generation` is None when nothing was saved."""

    word: str
    learned: int
    """Takes of it in this session."""
    takes: int
    """That the word now stands on, at most 16; of a word of the model's, as many as learned."""
    agreement: float | None
    """Mean cosine of each take with those before it; None of one take, or the model's word."""
    own: bool
    """Whether it is one of the user's own; else the model knows it."""
    generation: int | None
    warnings: tuple[str, ...]


def check_room(
    device: Driver, words: Sequence[str], about: DeviceInfo, forgotten: bool = False
) -> None:
    """See that a device, about which info() has told, can be taught words.

    `forgotten` is whether it will have forgotten all that it has learned.

    Raises:
        DataError: a word has no one sound, or there is no room for those that are new.
    """
    if strange := [word for word in words if word in (about.unknown, about.silence, OTHER)]:
        raise DataError(f"{strange[0]!r} has no one sound: it is no word to teach")
    there = device.taught()
    own, sounds = ({}, 0) if forgotten else (there.words, there.sounds)
    new = [word for word in words if word not in about.keywords and word not in own]
    if not new or len(own) + sounds + len(new) <= there.room:
        return
    if not there.room:
        raise DataError(
            f"the model {about.model_name} has no room for words of your own: `tracekws load base`"
        )
    back = f" and {sounds} of sounds that are no word" if sounds else ""
    raise DataError(
        f"there is no room for {', '.join(map(repr, new))}: the device has {len(own)} words of your"
        f" own{back}, {there.room} at most; forget one by `tracekws forget WORD`"
    )


def warnings_of(word: str, own: OwnWord | None, takes: Sequence[Take]) -> list[str]:
    """What to say of a word that was taught."""
    found = doubts(takes, "", Model.load("base"))
    if own and own.agreement is None:
        found.append(f"one take only of {word!r}: three are heard twice as well")
    elif own and own.agreement is not None and own.agreement < LITTLE:
        found.append(
            f"the takes of {word!r} agree little ({own.agreement:.2f}): say it the same way, or"
            f" forget it and record again"
        )
    return found


def give(
    session: LearnSession,
    word: str,
    take: Take,
    config: FeatureConfig | None,
    method: int | None,
) -> bool:
    """Teach a take, as features where there are any. Give whether the device has kept it.

    `config` is the front end of the device's model, where it is known. `method` is that of a word
    of the model that is guarded, else None.
    """
    heard = take.heard(config, True)
    try:
        if method is not None and heard is not None:
            session.take_features(word, heard, FULL_SCALE, method)
        elif method is not None:
            session.take_pcm(word, take.pcm, FULL_SCALE, method)
        elif heard is not None:
            session.teach_features(word, heard)
        else:
            session.teach_pcm(word, take.pcm)
    except DeviceError as error:
        if error.name != "UNLIKE":
            raise
        return False
    return True


def teach(
    device: Driver,
    word: str,
    takes: Sequence[Take],
    *,
    save: bool = True,
    force: bool = False,
    progress: Progress = lambda what, done, total: None,
    config: FeatureConfig | None = None,
    about: DeviceInfo | None = None,
    warnings: Sequence[str] = (),
    before_save: Callable[[Teaching], None] = lambda result: None,
) -> Teaching:
    """Teach a word by takes, and save it; no weight changes.

    Takes of a word of the model's that sound like another one are refused as adapting does it,
    unless `force`.  `config` is the front end of the device's model, for the renditions of a take
    (renditions.py); where it is not known, the take is sent alone.  `about` is what info() gave
    already, `warnings` what is to be said beside.
    `before_save` is given the result before anything is saved.  Whatever fails, or interrupts,
    before that leaves the device at what was saved last.  Copies of a take count once.
    """
    word = word_of(word)
    refused: list[str] = []
    given, takes = takes, distinct(takes)
    if not takes:
        raise DataError(f"no takes of {word!r}: one at least, three are better")
    about = about or device.info()
    check_room(device, [word], about)
    method = guarded(device, TAKES, force) if word in about.keywords else None
    with reverted_on_error(device):
        with device.learn(1) as session:
            for done, take in enumerate(takes):
                progress("learning", done, len(takes))
                if not give(session, word, take, config, method):
                    refused.append(take.name)
            check_refused(len(refused), len(takes))
        progress("learning", len(takes), len(takes))
        own = device.words().get(word)
        learned = len(takes) - len(refused)
        result = Teaching(
            word,
            learned,
            own.takes if own else learned,
            own.agreement if own else None,
            own is not None,
            None,
            tuple([*warnings, *warnings_of(word, own, given), *refusals(refused)]),
        )
        before_save(result)
        return replace(result, generation=device.save()) if save else result
