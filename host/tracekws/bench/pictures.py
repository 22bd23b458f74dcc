# SPDX-License-Identifier: Apache-2.0
"""Pictures of a confusion matrix, of a stream, of what is heard outside of single words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracekws.bench.clips import ClipAccuracy
from tracekws.bench.streams import Speech
from tracekws.figure import plain, write_figure
from tracekws.sensitivity import LEVELS


def confusion_picture(result: ClipAccuracy, path: Path) -> None:
    """Draw a confusion matrix: a row a true class, in percent of its clips."""
    from matplotlib.figure import Figure

    counts = result.confusion
    shares = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    labels = [plain(label) for label in result.labels]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("heard")
    axes.set_ylabel("said")
    axes.set_title(f"accuracy {result.accuracy:.1f} % of {result.clips:,} clips")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 50 else "black"
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour)
    figure.colorbar(image, label="percent of the clips said")
    write_figure(figure, path)


def stream_picture(name: str, speech: Sequence[Speech], path: Path) -> None:
    """Draw hits over false alarms at every sensitivity, a line a ratio of speech to background."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    own = LEVELS.index(0)
    for one in speech:
        x = [at.false_per_100 for at in one.levels]
        y = [at.hit_percent for at in one.levels]
        (line,) = axes.plot(x, y, marker=".", label=f"{one.snr_db:g} dB")
        axes.plot(x[own], y[own], marker="o", markersize=9, color=line.get_color())
        for level, at in zip(LEVELS, zip(x, y, strict=True), strict=True):
            axes.annotate(f"{level:+d}", at, (4, -11), textcoords="offset points", fontsize=7)
    axes.set_xscale("symlog", linthresh=0.5)
    axes.set_xlim(0)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.set_xlabel("false alarms in 100 other words")
    axes.set_ylabel("percent of the keywords heard")
    axes.set_title(
        f"{plain(name)} on a stream, at every sensitivity (0, the model's own, is large)"
    )
    axes.legend(title="speech over background", loc="lower right")
    write_figure(figure, path)


def robust_picture(reports: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the tables of `bench robust`: shares beside counts an hour, a colour a model.

    Args:
        reports: RobustReport.summary() of each model.
        path: PNG, SVG or PDF.
    """
    from matplotlib.figure import Figure

    shares, counts = (
        list(dict.fromkeys(row["what"] for one in reports for row in one["rows"] if kind in row))
        for kind in ("percent", "per_hour")
    )
    figure = Figure(figsize=(13, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, one in enumerate(reports):
        for axes, key, names in ((left, "percent", shares), (right, "per_hour", counts)):
            rows = [row for row in one["rows"] if key in row]
            y = [names.index(row["what"]) + 0.2 * (number - (len(reports) - 1) / 2) for row in rows]
            x = np.array([row[key]["mean"] for row in rows])
            low = x - [row[key]["low"] for row in rows]
            high = [row[key]["high"] for row in rows] - x
            axes.errorbar(
                x, y, xerr=[low, high], fmt="o", capsize=2, label=plain(one["model"]["name"])
            )
        for row in one["rows"]:
            if "without" in row:
                at = shares.index(row["what"])
                left.plot(row["without"], at, marker="|", markersize=14, color="grey")
    left.set_xlim(0, 100)
    left.set_xlabel("percent heard or rejected (grey: the same words without the condition)")
    right.set_xscale("symlog", linthresh=1)
    right.set_xlim(0)
    right.set_xlabel("false alarms an hour")
    for axes, names in ((left, shares), (right, counts)):
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    right.legend()
    write_figure(figure, path)
