# SPDX-License-Identifier: Apache-2.0
"""Teaching a device its user's voice, and measuring what that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tracekws.columns import Columns, Share, share_of
from tracekws.core import GUARDED, TAKES, FeatureConfig
from tracekws.device.driver import DeviceInfo, Driver
from tracekws.device.takes import Take, count
from tracekws.errors import DeviceError, TraceKwsError
from tracekws.learner import check_refused, keeps, schedule

UNLIKE = "not learned, since they sound like another word, or like none:"

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many takes of it are done, and of how many."""


@dataclass(frozen=True)
class Adaptation:
    """What `adapt` did; `generation` is None when nothing was saved."""

    learned: dict[str, int]
    held_back: dict[str, int]
    passes: int
    seed: int
    before: Columns
    after: Columns
    generation: int | None
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            **asdict(self),
            "before": self.before.as_json(),
            "after": self.after.as_json(),
            "warnings": list(self.warnings),
        }


class _Revert(Exception):
    """Aborts a learning session."""


def revert(device: Driver) -> None:
    """Go back to the last saved weights: open a learning session and abort it."""
    with suppress(_Revert), device.learn(1):
        raise _Revert


@contextmanager
def reverted_on_error(device: Driver) -> Iterator[None]:
    """Go back to the last saved weights when anything fails, or is interrupted, inside."""
    try:
        yield
    except BaseException:
        # When the line is gone there is nothing to revert: what is in RAM goes with the power.
        with suppress(TraceKwsError):
            revert(device)
        raise


def hear(device: Driver, takes: Sequence[Take], what: str, progress: Progress) -> list[str]:
    """Let the device classify takes, each from reset; the label of each."""
    heard = []
    for done, take in enumerate(takes):
        progress(what, done, len(takes))
        heard.append(device.classify(take.pcm)[0])
    progress(what, len(takes), len(takes))
    return heard


def columns(
    device: Driver,
    about: DeviceInfo,
    own: Sequence[Take],
    others: Sequence[Take],
    what: str,
    progress: Progress,
) -> Columns:
    """Measure the four columns on takes of the user and of other speakers."""
    heard = hear(device, [*own, *others], what, progress)

    def share(takes: Sequence[Take], heard: Sequence[str], keywords: bool) -> Share | None:
        pairs = [
            (h, t.label)
            for t, h in zip(takes, heard, strict=True)
            if keywords != (t.label == about.unknown)
        ]
        return share_of([h for h, _ in pairs], [truth for _, truth in pairs], about.keywords)

    heard_own, heard_others = heard[: len(own)], heard[len(own) :]
    return Columns(
        share(own, heard_own, True),
        share(own, heard_own, False),
        share(others, heard_others, True),
        share(others, heard_others, False),
    )


def teach(
    device: Driver,
    takes: Sequence[Take],
    *,
    passes: int,
    seed: int,
    config: FeatureConfig | None,
    method: int | None = None,
    about: DeviceInfo | None = None,
    progress: Progress,
) -> set[int]:
    """Learn takes in several passes, in a fresh order in each, at falling rates.

    The first pass sends PCM; later ones send features, computed by the same C code, which are an
    eighth of the bytes.  A take that is kept is sent with its renditions (renditions.py), as
    features, as is a take without sound.  `config` is the front end of the device's model; where it
    is not known (None) every pass sends PCM, and no renditions.  `seed` is of the order and of the
    device's generator.  `about` is what info() gave already.

    When anything fails, or is interrupted, the device is back at its last saved weights.

    Returns the places of takes that the device refused, since `method` is guarded: whether they are
    too many is not asked.
    """
    refused: set[int] = set()
    order = np.random.default_rng(seed)
    about = about or device.info()
    flags = about.method if method is None else method
    kept = [keeps(flags, take.label, about.keywords) for take in takes]
    heard = [take.heard(config, k) for take, k in zip(takes, kept, strict=True)]
    plan = [*schedule(len(takes), passes, flags, order)]
    total = len(plan)
    with device.learn(seed) as session:
        for done, (number, i, scale, now) in enumerate(plan):
            progress("learning", done, total)
            steps = heard[i]
            first = number == 0 and not kept[i] and takes[i].rendered is None
            asked = method if now == flags else now
            try:
                if steps is None or first:
                    session.take_pcm(takes[i].label, takes[i].pcm, scale, asked)
                else:
                    session.take_features(takes[i].label, steps, scale, asked)
            except DeviceError as error:
                if error.name != "UNLIKE":
                    raise
                refused.add(i)
    progress("learning", total, total)
    return refused


def guarded(device: Driver, method: int, force: bool) -> int | None:
    """The method to learn by: the model's, guarded where it keeps takes and the device can."""
    return TAKES | GUARDED if method == TAKES and device.guards and not force else None


def refusals(names: Sequence[str]) -> list[str]:
    """What to say of takes that a device has refused; nothing where there are none."""
    advice = "listen to them; --force learns them"
    return [f"{UNLIKE} {', '.join(names)}: {advice}"] if names else []


def untaught(given: Sequence[Take], learned: Sequence[Take]) -> list[str]:
    """What to say of words whose takes a device has all refused; nothing where there are none."""
    taught = count(learned)
    words = [word for word in count(given) if word not in taught]
    return [f"nothing was learned of {', '.join(words)}: every take was refused"] if words else []


def adapt(
    device: Driver,
    learn: Sequence[Take],
    test: Sequence[Take],
    others: Sequence[Take] = (),
    *,
    passes: int | None = None,
    seed: int = 1,
    config: FeatureConfig | None = None,
    about: DeviceInfo | None = None,
    save: bool = True,
    force: bool = False,
    warnings: Sequence[str] = (),
    progress: Progress = lambda what, done, total: None,
    before_save: Callable[[Adaptation], None] = lambda result: None,
) -> Adaptation:
    """Measure, teach, measure, save.

    `learn` is taught, `test` are other takes of the same user, `others` takes of other speakers
    (both may be empty).  `passes` defaults to the model's.  See `teach` for `seed`, `config`
    and `about`.
    Where the model keeps takes, the device refuses those that sound like another word, unless
    `force`; a warning names them. Where most of them do, nothing is learned: DataError.
    `before_save` is given the result before anything is saved: whatever else is wanted of it is
    written there, so that nothing is saved when that fails.

    Whatever fails, or interrupts, before the weights are saved leaves the device at its last saved
    weights.
    """
    about = about or device.info()
    passes = passes or about.passes
    before = columns(device, about, test, others, "before", progress)
    method = guarded(device, about.method, force)
    refused = teach(
        device,
        learn,
        passes=passes,
        seed=seed,
        config=config,
        method=method,
        about=about,
        progress=progress,
    )
    learned = [take for i, take in enumerate(learn) if i not in refused]
    names = [learn[i].name for i in sorted(refused)]
    warnings = [*warnings, *refusals(names), *untaught(learn, learned)]
    with reverted_on_error(device):
        check_refused(len(refused), len(learn))
        after = columns(device, about, test, others, "after", progress)
        result = Adaptation(
            count(learned), count(test), passes, seed, before, after, None, tuple(warnings)
        )
        before_save(result)
        return replace(result, generation=device.save()) if save else result
