# SPDX-License-Identifier: Apache-2.0
"""Teaching a device its user's voice, and measuring what that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracekws.core import FeatureConfig, features
from tracekws.device.driver import Device
from tracekws.device.takes import Take, count
from tracekws.errors import TraceKwsError
from tracekws.figure import write_figure
from tracekws.learner import schedule

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many takes of it are done, and of how many."""


CAPTIONS = {
    "keywords_self": "keywords, this speaker",
    "unknown_self": "other words, this speaker",
    "keywords_others": "keywords, other speakers",
    "unknown_others": "other words, other speakers",
}
"""The columns in words; other words are right when no keyword is heard in them."""


@dataclass(frozen=True)
class Share:
    """How many of some clips were right."""

    right: int
    clips: int

    @property
    def percent(self) -> float:
        """Share in percent; 0 when there are no clips."""
        return 100.0 * self.right / self.clips if self.clips else 0.0


@dataclass(frozen=True)
class Columns:
    """The four columns; None where there is nothing to test with.

    Keywords count when the device says the word, other words when it says no keyword.
    """

    keywords_self: Share | None = None
    unknown_self: Share | None = None
    keywords_others: Share | None = None
    unknown_others: Share | None = None

    def items(self) -> list[tuple[str, Share]]:
        """Names and values of the columns that there is data for."""
        return [(name, Share(**value)) for name, value in asdict(self).items() if value]

    def as_json(self) -> dict[str, dict[str, float]]:
        """Plain data: right, clips, percent of each column that there is data for."""
        return {
            name: {**asdict(share), "percent": round(share.percent, 2)}
            for name, share in self.items()
        }


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


def revert(device: Device) -> None:
    """Go back to the last saved weights: open a learning session and abort it."""
    with suppress(_Revert), device.learn(1):
        raise _Revert


def hear(device: Device, takes: Sequence[Take], what: str, progress: Progress) -> list[str]:
    """Let the device classify takes, each from reset; the label of each."""
    heard = []
    for done, take in enumerate(takes):
        progress(what, done, len(takes))
        heard.append(device.classify(take.pcm)[0])
    progress(what, len(takes), len(takes))
    return heard


def columns(
    device: Device,
    own: Sequence[Take],
    others: Sequence[Take],
    what: str,
    progress: Progress,
) -> Columns:
    """Measure the four columns on takes of the user and of other speakers."""
    info = device.info()
    no_keyword = (info.unknown, info.silence)
    heard = hear(device, [*own, *others], what, progress)

    def share(takes: Sequence[Take], heard: Sequence[str], keywords: bool) -> Share | None:
        pairs = [
            (t, h)
            for t, h in zip(takes, heard, strict=True)
            if keywords != (t.label == info.unknown)
        ]
        right = sum(h == t.label if keywords else h in no_keyword for t, h in pairs)
        return Share(right, len(pairs)) if pairs else None

    heard_own, heard_others = heard[: len(own)], heard[len(own) :]
    return Columns(
        share(own, heard_own, True),
        share(own, heard_own, False),
        share(others, heard_others, True),
        share(others, heard_others, False),
    )


def teach(
    device: Device,
    takes: Sequence[Take],
    *,
    passes: int,
    seed: int,
    config: FeatureConfig | None,
    method: int | None = None,
    progress: Progress,
) -> None:
    """Learn takes in several passes, in a fresh order in each, at falling rates.

    The first pass sends PCM; later ones send features, computed by the same C code, which are an
    eighth of the bytes.  `config` is the front end of the device's model; where it is not known
    (None) every pass sends PCM.  `seed` is of the order and of the device's generator.

    When anything fails, or is interrupted, the device is back at its last saved weights.
    """
    order = np.random.default_rng(seed)
    feature_takes = [features(take.pcm, config) for take in takes] if config else None
    total = passes * len(takes)
    with device.learn(seed) as session:
        for done, (number, i, scale) in enumerate(schedule(len(takes), passes, order)):
            progress("learning", done, total)
            if number == 0 or feature_takes is None:
                session.take_pcm(takes[i].label, takes[i].pcm, scale, method)
            else:
                session.take_features(takes[i].label, feature_takes[i], scale, method)
    progress("learning", total, total)


def adapt(
    device: Device,
    learn: Sequence[Take],
    test: Sequence[Take],
    others: Sequence[Take] = (),
    *,
    passes: int | None = None,
    seed: int = 1,
    config: FeatureConfig | None = None,
    save: bool = True,
    warnings: Sequence[str] = (),
    progress: Progress = lambda what, done, total: None,
    before_save: Callable[[Adaptation], None] = lambda result: None,
) -> Adaptation:
    """Measure, teach, measure, save.

    `learn` is taught, `test` are other takes of the same user, `others` takes of other speakers
    (both may be empty).  `passes` defaults to the model's.  See `teach` for `seed` and `config`.
    `before_save` is given the result before anything is saved: whatever else is wanted of it is
    written there, so that nothing is saved when that fails.

    Whatever fails, or interrupts, before the weights are saved leaves the device at its last saved
    weights.
    """
    info = device.info()
    passes = passes or info.passes
    before = columns(device, test, others, "before", progress)
    teach(device, learn, passes=passes, seed=seed, config=config, progress=progress)
    try:
        after = columns(device, test, others, "after", progress)
        result = Adaptation(
            count(learn), count(test), passes, seed, before, after, None, tuple(warnings)
        )
        before_save(result)
        return replace(result, generation=device.save()) if save else result
    except BaseException:
        # When the line is gone there is nothing to revert: what is in RAM goes with the power.
        with suppress(TraceKwsError):
            revert(device)
        raise


def picture(path: Path, before: Columns, after: Columns, title: str) -> None:
    """Draw the columns before and after as bars into an image file (PNG, SVG or PDF).

    Raises DataError when it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    draw_columns(figure.subplots(), before, after)
    figure.suptitle(title)
    write_figure(figure, path)


def draw_columns(axes: Any, before: Columns, after: Columns) -> None:
    """Draw the columns before and after as bars into matplotlib axes."""
    names = [name for name, _ in before.items()]
    at = np.arange(len(names))
    for shift, label, colour, result in (
        (-0.2, "before", "#9aa5b1", before),
        (0.2, "after", "#1f77b4", after),
    ):
        shares = [share.percent for _, share in result.items()]
        bars = axes.bar(at + shift, shares, 0.38, label=label, color=colour)
        axes.bar_label(bars, fmt="%.0f %%", fontsize=8, padding=1)
    texts = [f"{CAPTIONS[name]}\n{share.clips} clips" for name, share in before.items()]
    axes.set_xticks(at, texts)
    axes.set_ylim(0, 115)
    axes.set_ylabel("right, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1.1), ncols=2, fontsize=8, frameon=False)
