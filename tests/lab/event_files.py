# SPDX-License-Identifier: Apache-2.0
"""Small files in the formats of N-MNIST, SHD, DVS Gesture and CIFAR10-DVS, of given events."""

import struct
from collections.abc import Sequence
from pathlib import Path

import flatbuffers
import h5py
import numpy as np

Event = tuple[int, int, int, int]
"""x, y, time in microseconds, polarity."""

INFO = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">
<node name="0" path="/mainloop/Recorder/outInfo/0/">
<attr key="compression" type="string">NONE</attr>
<attr key="originalModuleName" type="string">capture</attr>
<attr key="originalOutputName" type="string">events</attr>
<attr key="typeDescription" type="string">Array of events.</attr>
<attr key="typeIdentifier" type="string">EVTS</attr>
<node name="info" path="/mainloop/Recorder/outInfo/0/info/">
<attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr>
<attr key="source" type="string">made</attr></node></node></node></dv>"""


def random_events(seed: int, count: int, side: int, microseconds: int) -> list[Event]:
    """Events in order of time."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, microseconds, count))
    places = rng.integers(0, side, (count, 2))
    return [
        (int(x), int(y), int(t), int(p))
        for (x, y), t, p in zip(places, times, rng.integers(0, 2, count), strict=True)
    ]


def write_n_mnist(path: Path, events: Sequence[Event]) -> None:
    """Five bytes an event: x, y, polarity and 23 bits of time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = [struct.pack(">BBI", x, y, p << 23 | t) for x, y, t, p in events]
    path.write_bytes(b"".join(event[:2] + event[3:] for event in packed))


def write_shd(
    path: Path, clips: Sequence[Sequence[Event]], labels: Sequence[int], speakers: Sequence[int]
) -> None:
    """Times in seconds (half precision, as in the real files) and channels a clip; HDF5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, column, kind in (("times", 2, np.float16), ("units", 0, np.uint16)):
            values = file.create_dataset(
                f"spikes/{name}", (len(clips),), dtype=h5py.vlen_dtype(np.dtype(kind))
            )
            for i, clip in enumerate(clips):
                scale = 1e-6 if name == "times" else 1
                values[i] = np.array([event[column] * scale for event in clip], dtype=kind)
        file["labels"] = np.array(labels, dtype=np.uint16)
        file["extra/speaker"] = np.array(speakers, dtype=np.uint16)
        file["extra/keys"] = np.array([f"word {i}".encode() for i in range(20)])


def write_gesture(path: Path, events: Sequence[Event]) -> None:
    """Rows of x, y, polarity, time in milliseconds, as tonic's copy of the set has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array([(x, y, p, t // 1000) for x, y, t, p in events], dtype=np.float64))


def write_aedat4(path: Path, events: Sequence[Event]) -> None:
    """AEDAT 4.0 without compression: a header, then one packet of events."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = flatbuffers.Builder()
    info = header.CreateString(INFO)
    header.StartObject(3)
    header.PrependInt32Slot(0, 0, -1)
    header.PrependInt64Slot(1, -1, 0)
    header.PrependUOffsetTRelativeSlot(2, info, 0)
    header.FinishSizePrefixed(header.EndObject(), file_identifier=b"IOHE")
    packet = flatbuffers.Builder()
    packet.StartVector(16, len(events), 8)
    for x, y, t, p in reversed(events):
        packet.Prep(8, 16)
        packet.Pad(3)
        packet.PrependBool(bool(p))
        packet.PrependInt16(y)
        packet.PrependInt16(x)
        packet.PrependInt64(t)
    elements = packet.EndVector()
    packet.StartObject(1)
    packet.PrependUOffsetTRelativeSlot(0, elements, 0)
    packet.FinishSizePrefixed(packet.EndObject(), file_identifier=b"EVTS")
    body = bytes(packet.Output())
    path.write_bytes(
        b"#!AER-DAT4.0\r\n" + bytes(header.Output()) + struct.pack("<ii", 0, len(body)) + body
    )
