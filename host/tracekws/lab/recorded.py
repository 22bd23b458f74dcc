# SPDX-License-Identifier: Apache-2.0
"""Recordings of event cameras and cochleas, read with tonic from the user's own copy.

tonic fetches what it does not find: archive missing, or fewer files than a rough count. Here a data
set is read as it lies in the folder that tonic unpacks to, the archive may be gone, part of the
files is enough, and nothing is ever fetched.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracekws.errors import DataError
from tracekws.lab.data import need_package

Events = NDArray[Any]
"""Structured array of x, (y,) t in microseconds, p."""


def needs_line(*calls: str) -> str:
    """The line that gets a data set through tonic."""
    made = "; ".join(f"tonic.datasets.{call}" for call in calls)
    return f'get it with: python -c "import tonic; {made}"'


def own_copy(kind: str, data: Path, pattern: str, needs: str, **options: Any) -> Any:
    """A data set of tonic, its files sorted by name.

    Args:
        kind: tonic's class; its files lie in `data/kind`.
        data: the folder given to tonic as `save_to`.
        pattern: glob in `data/kind` that finds one of the files at least.
        needs: the line that gets the data.
        options: of tonic's class.

    Raises:
        DataError: no such files, or tonic does not understand their names.
        MissingTool: tonic is not installed.
    """
    base = getattr(need_package("tonic.datasets"), kind)
    if next((data / kind).glob(pattern), None) is None:
        raise DataError(f"{data / kind}: no {pattern} there; {needs}")
    local = type(kind, (base,), {"_check_exists": lambda self: True})
    try:
        return local(str(data), **options)
    except (OSError, ValueError, KeyError, LookupError) as error:
        raise DataError(f"{data / kind}: not the files of {kind}: {error}") from error


def in_order(data_set: Any) -> NDArray[np.int64]:
    """Indices of a data set by file name: tonic lists some folders in the disk's order."""
    return np.argsort(np.array([str(path) for path in data_set.data]), kind="stable")


def events_at(data_set: Any, index: int) -> Events:
    """Events of one recording.

    Raises:
        DataError: its file cannot be read.
        MissingTool: the reader of this format is not installed.
    """
    where = data_set.data[index] if len(data_set.data) else f"{data_set!r} recording {index}"
    try:
        events: Events = data_set[index][0]
    except ModuleNotFoundError:
        raise
    except Exception as error:  # whatever the reader of the format raises
        raise DataError(f"{where}: not readable: {error}") from error
    return events


def framed(
    data_set: Any,
    events: Iterable[Events],
    shape: Callable[[Tensor], Tensor] = lambda frames: frames,
    dtype: torch.dtype = torch.uint8,
    **binning: int,
) -> Tensor:
    """Bin recordings and put empty frames behind the shorter ones.

    Args:
        data_set: knows the sensor.
        events: recordings.
        shape: what becomes of a recording's float32 counts (T, ...).
        dtype: what to keep; uint8 holds counts to 255.
        binning: of tonic's ToFrame, which makes counts (T, polarities, ...) of events.

    Returns:
        (N, T of the longest, ...).

    Raises:
        DataError: an event lies off the sensor.
        MissingTool: tonic is not installed.
    """
    sensor = data_set.sensor_size
    to_frame = need_package("tonic.transforms").ToFrame(sensor_size=sensor, **binning)
    kept: list[Tensor] = []
    for number, recording in enumerate(events):
        for axis, size in zip(("x", "y"), sensor, strict=False):
            names = recording.dtype.names or ()
            if axis in names and len(recording) and int(recording[axis].max()) >= size:
                raise DataError(
                    f"recording {number}: an event at {axis} = {recording[axis].max()}, "
                    f"off the sensor of {size}"
                )
        frames = shape(torch.from_numpy(np.asarray(to_frame(recording), dtype=np.float32)))
        kept.append(frames.clamp(max=255).to(dtype) if dtype == torch.uint8 else frames.to(dtype))
    longest = max((len(frames) for frames in kept), default=0)
    out = torch.zeros((len(kept), longest, *(kept[0].shape[1:] if kept else ())), dtype=dtype)
    for i in reversed(range(len(kept))):
        frames = kept.pop()
        out[i, : len(frames)] = frames
    return out


def resized(frames: Tensor, side: int) -> Tensor:
    """Counts (T, 2, h, w) to (T, 2, side, side), smoothed and rounded as torchvision does."""
    smaller = functional.interpolate(
        frames, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )
    return smaller.round()


def first_of_each(labels: Sequence[int], samples: int | None) -> NDArray[np.int64]:
    """Indices of `samples` recordings, classes as even as can be, the first ones; None is all."""
    if samples is None or samples >= len(labels):
        return np.arange(len(labels))
    rank: dict[int, int] = {}
    order = []
    for i, label in enumerate(labels):
        rank[label] = rank.get(label, -1) + 1
        order.append((rank[label], label, i))
    return np.sort(np.array([i for _, _, i in sorted(order)[:samples]], dtype=np.int64))
