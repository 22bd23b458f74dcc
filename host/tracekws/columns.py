# SPDX-License-Identifier: Apache-2.0
"""What adapting gains and costs: whose words are tested, and which of them are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracekws.figure import write_figure

CAPTIONS = {
    "keywords_self": "keywords, this speaker",
    "unknown_self": "other words, this speaker",
    "keywords_others": "keywords, other speakers",
    "unknown_others": "other words, other speakers",
    "unknown_outside": "other words, outside of training",
}
"""The columns in words. A device is tested with the first four."""


def are_right(heard: ArrayLike, truth: ArrayLike, keywords: ArrayLike) -> NDArray[np.bool_]:
    """Which clips are right: of a keyword when it is heard, of another word when no keyword is.

    Args:
        heard: label or class that each clip is heard as, (clips,).
        truth: what is said in each, (clips,).
        keywords: labels or classes that are keywords.

    Returns:
        (clips,).
    """
    wanted, called = np.isin(truth, keywords), np.isin(heard, keywords)
    return np.where(wanted, np.equal(heard, truth), ~called)


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
    """The columns of a device; None where there is nothing to test with."""

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


def share_of(heard: Sequence[str], truth: Sequence[str], keywords: Sequence[str]) -> Share | None:
    """How many clips are right, see are_right(); None when there are no clips."""
    return Share(int(are_right(heard, truth, keywords).sum()), len(truth)) if truth else None


def picture(path: Path, before: Columns, after: Columns, title: str) -> None:
    """Draw the columns before and after as bars into an image file (PNG, SVG or PDF).

    Raises DataError when it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    draw(figure.subplots(), before, after)
    figure.suptitle(title)
    write_figure(figure, path)


def draw(axes: Any, before: Columns, after: Columns) -> None:
    """Draw the columns before and after as bars into matplotlib axes."""
    names = [name for name, _ in before.items()]
    at = np.arange(len(names))
    for beside, label, colour, result in (
        (-0.2, "before", "#9aa5b1", before),
        (0.2, "after", "#1f77b4", after),
    ):
        shares = [share.percent for _, share in result.items()]
        bars = axes.bar(at + beside, shares, 0.38, label=label, color=colour)
        axes.bar_label(bars, fmt="%.0f %%", fontsize=8, padding=1)
    texts = [f"{CAPTIONS[name]}\n{share.clips} clips" for name, share in before.items()]
    axes.set_xticks(at, texts)
    axes.set_ylim(0, 115)
    axes.set_ylabel("right, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1.1), ncols=2, fontsize=8, frameon=False)
