# SPDX-License-Identifier: Apache-2.0
"""Files of pictures, and the picture of a confusion matrix."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from tracekws.errors import DataError
from tracekws.evaluate import Result


def write_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure: the file appears complete or not at all.

    Raises:
        DataError: it cannot be written.
    """
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(scratch, dpi=130)
        scratch.replace(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the picture cannot be written ({error})") from error
    finally:
        scratch.unlink(missing_ok=True)


def confusion_picture(result: Result, path: Path) -> None:
    """Draw a confusion matrix: a row a true class, in percent of its clips."""
    from matplotlib.figure import Figure

    counts = result.confusion
    shares = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(result.labels))
    axes.set_xticks(ticks, result.labels, rotation=45, ha="right")
    axes.set_yticks(ticks, result.labels)
    axes.set_xlabel("heard")
    axes.set_ylabel("said")
    axes.set_title(f"accuracy {result.accuracy:.1f} % of {result.clips:,} clips")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 50 else "black"
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour)
    figure.colorbar(image, label="percent of the clips said")
    write_figure(figure, path)
