# SPDX-License-Identifier: Apache-2.0
"""Pictures of a confusion matrix and of a stream."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tracekws.bench.clips import Result
from tracekws.bench.streams import Speech
from tracekws.figure import plain, write_figure
from tracekws.sensitivity import LEVELS


def confusion_picture(result: Result, path: Path) -> None:
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
