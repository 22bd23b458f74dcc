# SPDX-License-Identifier: Apache-2.0
"""Small random model images for tests, made without the package's own writer.

image = make_image(seed=1, n_neurons=8, rate_readout=1 << 14)     # header fields by name
image = make_image(arrays={"decay": np.zeros(8)})                 # or whole arrays
image = join([*sections(image), ("Xtra", b"new")])                # or other sections
image = with_traces(image, Form.random(8, rank=3, seed=1))        # that keeps takes
image = with_convolution(image, Patches.random(seed=1))           # that hears through kernels
path = write_image(folder, image)
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracekws._core import ffi, lib

LABELS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
TRAINABLE = ("weights", "recurrent", "bias", "readout", "readout_bias")
SECTIONS = {
    "Name": ("name",),
    "Labe": ("labels",),
    "Thre": ("word_threshold",),
    "Weig": TRAINABLE,
    "Taps": ("taps",),
    "Deca": ("decay",),
    "Targ": ("target",),
    "Late": ("latent",),
    "Sequ": ("sequences",),
}
"""The arrays in each section, the header's numbers aside."""


def make_header(**fields: int) -> Any:
    """A header in range, with some fields changed."""
    n_classes = fields.get("n_classes", 5)
    header = ffi.new(
        "tkws_model_header *",
        {
            "version": 1 << 8,
            "sample_rate": lib.TKWS_SAMPLE_RATE,
            "window": lib.TKWS_WINDOW,
            "hop": lib.TKWS_HOP,
            "channels": lib.TKWS_CHANNELS,
            "stack": lib.TKWS_STACK,
            "alpha_q15": 32113,
            "mean_shift": 6,
            "fall_shift": 3,
            "energy_floor": 16,
            "n_classes": n_classes,
            "unknown_class": n_classes - 2,
            "silence_class": n_classes - 1,
            "n_layers": 1,
            "layer_kind": lib.TKWS_LAYER_RECURRENT_LIF,
            "n_inputs": lib.TKWS_FEATURES,
            "n_taps": 3,
            "n_neurons": 8,
            "weight_q": 12,
            "recurrent_q": 12,
            "membrane_q": 10,
            "threshold": 1024,
            "window_steps": 10,
            "surrogate_q": 10,
            "trace_decay_q15": 31130,
            "contrast_gain_q8": 30 << 8,
            "rate_weights": 1 << 10,
            "rate_recurrent": 1 << 14,
            "rate_bias": 1 << 14,
            "rate_readout": 1 << 20,
            "rate_readout_bias": 1 << 20,
            "method": lib.TKWS_LEARN_READOUT | lib.TKWS_LEARN_TRACES,
            "passes": 5,
            "latent_per_take": 2,
            "sequences_per_take": 1,
            "smoothing_shift": 1,
            "refractory_steps": 5,
            "gap_steps": fields.get("refractory_steps", 5),
            "n_latent": 3,
            "n_sequences": 2,
            "sequence_steps": 5,
        },
    )
    for name, value in fields.items():
        setattr(header, name, value)
    return header


def header_bytes(header: Any) -> bytes:
    """The header as section Numb has it, written by the core."""
    out = ffi.new("uint8_t[]", lib.TKWS_MODEL_HEADER_BYTES)
    lib.tkws_model_header_write(header, out)
    return bytes(ffi.buffer(out))


def random_arrays(header: Any, seed: int) -> dict[str, np.ndarray]:
    """Every array of an image; about a quarter of the neurons fire."""
    rng = np.random.default_rng(seed)
    n, c, i = header.n_neurons, header.n_classes, header.n_inputs
    words = [f"{LABELS[k % 10]}{k // 10 or ''}" for k in range(c)]
    words[header.unknown_class], words[header.silence_class] = "_unknown_", "_silence_"
    one = 1 << header.membrane_q
    weight_one, recurrent_one = 1 << header.weight_q, 1 << header.recurrent_q

    def normal(scale: float, *shape: int) -> np.ndarray:
        return np.clip(np.round(rng.normal(0, scale, shape)), -32768, 32767).astype("<i2")

    def tagged(rows: int, length: int, low: int, high: int) -> np.ndarray:
        tags = rng.integers(0, c, (rows, 1))
        return np.hstack([tags, rng.integers(low, high, (rows, length))]).astype(np.uint8)

    return {
        "name": cells("random"),
        "labels": cells(*words),
        "word_threshold": np.full(c, 16384, "<i2"),
        "weights": normal(0.06 * weight_one, n, i),
        "recurrent": normal(0.3 / np.sqrt(n) * recurrent_one, n, n),
        "bias": normal(0.05 * one, n),
        "readout": normal(1024, n, c),
        "readout_bias": normal(100, c),
        "taps": np.vstack(
            [np.full((1, i), 48), rng.integers(-9, 10, (header.n_taps - 1, i))]
        ).astype(np.int8),
        "decay": rng.integers(19000, 31000, n).astype("<i2"),
        "target": normal(0.5 * one, c, n),
        "latent": tagged(header.n_latent, n, 0, 120),
        "sequences": tagged(header.n_sequences, header.sequence_steps * i, 0, 60),
    }


def cells(*names: str) -> np.ndarray:
    """Names as an image has them: uint8 (names, 32)."""
    return np.frombuffer(b"".join(n.encode().ljust(32, b"\0") for n in names), np.uint8).reshape(
        -1, 32
    )


def seal(body: bytes) -> bytes:
    """Append the CRC."""
    return body + struct.pack("<I", zlib.crc32(body))


def reseal(image: bytes) -> bytes:
    """Replace the CRC by the right one, after a change."""
    return seal(image[:-4])


def section(kind: str | bytes, payload: bytes) -> bytes:
    """A section: its head, the payload, zeros up to four bytes."""
    name = kind.encode() if isinstance(kind, str) else kind
    head = name + struct.pack("<II", len(payload), zlib.crc32(payload))
    return head + payload + bytes(-len(payload) % 4)


def join(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """An image of these sections, in this order."""
    return frame(b"".join(section(*part) for part in parts), len(parts))


def frame(body: bytes, n_sections: int) -> bytes:
    """An image of a body, with a right start and end."""
    return seal(struct.pack("<4sIII", b"TKWS", 3, 16 + len(body) + 4, n_sections) + body)


def sections(image: bytes) -> list[tuple[str, bytes]]:
    """Type and payload of each section of a valid image, in order."""
    found, at = [], 16
    while at < len(image) - 4:
        kind, n_bytes = struct.unpack_from("<4sI", image, at)
        found.append((kind.decode(), image[at + 12 : at + 12 + n_bytes]))
        at += 12 + (n_bytes + 3) // 4 * 4
    return found


def replaced(image: bytes, kind: str, payload: bytes) -> bytes:
    """The image with another payload of one section; all else as it was."""
    return join([(k, payload if k == kind else p) for k, p in sections(image)])


def make_image(seed: int = 0, arrays: dict[str, np.ndarray] | None = None, **fields: int) -> bytes:
    """A valid image with random weights."""
    header = make_header(**fields)
    size = lib.tkws_model_image_bytes(header)
    assert size != 0, "a field is out of range"
    parts = random_arrays(header, seed)
    for name, values in (arrays or {}).items():
        parts[name] = np.asarray(values).astype(parts[name].dtype).reshape(parts[name].shape)
    body = [("Numb", header_bytes(header))]
    body += [
        (kind, b"".join(parts[name].tobytes() for name in names))
        for kind, names in SECTIONS.items()
    ]
    image = join(body)
    assert len(image) == size
    return image


@dataclass(frozen=True)
class Form:
    """Section trac, in the numbers that an image has: see model.h."""

    mean: np.ndarray
    shrink: np.ndarray
    along: np.ndarray
    along_q: int = 7
    weight_q10: int = 8 << 10
    floor_q15: int = 13107

    @classmethod
    def random(cls, n_neurons: int, rank: int, seed: int, **numbers: int) -> "Form":
        """Orthonormal directions, and rates as neurons have them."""
        rng = np.random.default_rng(seed)
        along, _ = np.linalg.qr(rng.normal(size=(n_neurons, rank)))
        scale = 2.0 ** numbers.get("along_q", 7)
        return cls(
            rng.integers(0, 16384, n_neurons),
            rng.integers(8192, 32768, rank),
            np.clip(np.round(along * scale), -127, 127),
            **numbers,
        )

    def payload(self) -> bytes:
        """As the image has it."""
        head = (len(self.shrink), self.along_q, self.weight_q10, self.floor_q15)
        rates = np.concatenate([self.mean, self.shrink]).astype("<i2").tobytes()
        return struct.pack("<HHHh", *head) + rates + self.along.astype(np.int8).tobytes()


def with_traces(image: bytes, form: Form) -> bytes:
    """The same model, which keeps takes."""
    return join([*sections(image), ("trac", form.payload())])


@dataclass(frozen=True)
class Patches:
    """Section Conv, in the numbers that an image has: see model.h."""

    weights: np.ndarray
    bias: np.ndarray
    stride: int = 4
    margin: int = 2
    weight_q: int = 12

    @classmethod
    def random(
        cls, seed: int, n_kernels: int = 8, n_frames: int = 8, width: int = 8, **numbers: int
    ) -> "Patches":
        """Kernels whose answers are about as large as what they hear."""
        rng = np.random.default_rng(seed)
        scale = 2.0 ** numbers.get("weight_q", 12) * (2 / (n_frames * width)) ** 0.5
        weights = np.round(rng.normal(0, scale, (n_kernels, n_frames, width)))
        return cls(np.clip(weights, -32768, 32767), rng.integers(-256, 256, n_kernels), **numbers)

    def payload(self) -> bytes:
        """As the image has it."""
        head = struct.pack("<6H", *self.weights.shape, self.stride, self.margin, self.weight_q)
        rows = self.weights.transpose(0, 2, 1).astype("<i2")
        return head + rows.tobytes() + self.bias.astype("<i2").tobytes()


def with_convolution(image: bytes, patches: Patches) -> bytes:
    """The same model, which hears through a convolution."""
    return join([*sections(image), ("Conv", patches.payload())])


@dataclass(frozen=True)
class Own:
    """Section ownw, in the numbers that an image has: see model.h."""

    n_words: int = 4
    least_q15: int = 9667
    agreement_q15: int = 9830
    single_q15: int = 13107
    rival_q15: int = 9830

    def payload(self) -> bytes:
        """As the image has it."""
        shares = (self.least_q15, self.agreement_q15, self.single_q15, self.rival_q15)
        return struct.pack("<5H", self.n_words, *(share & 0xFFFF for share in shares))


def with_own_words(image: bytes, own: Own) -> bytes:
    """The same model, which keeps takes, with room for words of the user's own."""
    return join([*sections(image), ("ownw", own.payload())])


def image_with_own_words(
    seed: int, n_words: int = 3, arrays: dict[str, np.ndarray] | None = None, **fields: int
) -> bytes:
    """A random model that keeps takes, with room for words of the user's own."""
    given = {"n_neurons": 16, "method": lib.TKWS_LEARN_TAKES, "passes": 1} | fields
    form = Form.random(given["n_neurons"], rank=3, seed=1)
    bare = make_image(seed=seed, arrays=arrays, **given)
    return with_own_words(with_traces(bare, form), Own(n_words=n_words))


def image_that_hears_no() -> bytes:
    """Such a model, to which everything sounds like `no`."""
    arrays = {
        "readout": np.random.default_rng(2).normal(0, 300, (16, 5)),
        "readout_bias": np.array([0, 9000, 0, 0, 0]),
    }
    return image_with_own_words(8, arrays=arrays)


def write_image(folder: Path, image: bytes) -> Path:
    """The image as a file of the folder."""
    path = folder / "model.tkws"
    path.write_bytes(image)
    return path


def set_field(image: bytes, name: str, value: int) -> bytes:
    """The image with one header field changed and the CRCs made right; all else as it was."""
    offset = ffi.offsetof("tkws_model_header", name)
    numbers = dict(sections(image))["Numb"]
    numbers = numbers[:offset] + struct.pack("<I", value) + numbers[offset + 4 :]
    return replaced(image, "Numb", numbers)


def make_correctable_image(own: Own | None, **fields: int) -> bytes:
    """Hears one word or the other of three in every sound, and keeps takes."""
    bare = make_image(
        seed=8,
        n_neurons=24,
        smoothing_shift=0,
        arrays={
            "word_threshold": np.full(5, 13000),
            "readout_bias": np.array([0, 0, 0, -3000, -3000]),
        },
        **fields,
    )
    kept = with_traces(bare, Form.random(24, rank=4, seed=6))
    return with_own_words(kept, own) if own else kept


def make_eventful_image() -> bytes:
    """A random model of ten words that hears many, and now and then the right one."""
    bias = np.zeros(12)
    bias[10:] = -1200
    return make_image(
        seed=4,
        arrays={"word_threshold": np.full(12, 6500), "readout_bias": bias},
        n_classes=12,
        n_neurons=24,
        window_steps=20,
        smoothing_shift=2,
        refractory_steps=20,
    )
