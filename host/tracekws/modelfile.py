# SPDX-License-Identifier: Apache-2.0
"""Writing of model images: numbers and arrays in, the bytes of model.h out."""

import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws._core import ffi, lib
from tracekws.core import FeatureConfig, Model
from tracekws.errors import ModelError

MEMBRANE_Q = 8
"""Q format of membranes: threshold 1 is 256, range +-128, since inhibition reaches -100.

With a range of +-16 a trained network loses ten points; with one of +-64 or +-256 at most one."""
TRACE_DECAY = 0.95
"""What an eligibility trace keeps each step: the same in pre-training and on the device."""
CONTRAST_GAIN = 300.0
"""Gain of the contrast logits, to be divided by the square root of the number of neurons."""


@dataclass(frozen=True)
class Learning:
    """Constants of learning on the device.

    Rates are those of the float rule: of weights and of features as numbers, not as integers.
    """

    method: int
    traces_rate: float
    """Rate of W, R and b for a unit of learning signal times surrogate."""
    readout_rate: float
    """Rate of the readout weights, on mean rates, and of its biases."""
    readout_bias_rate: float
    passes: int = 5
    latent_per_take: int = 2
    sequences_per_take: int = 1
    trace_decay: float = TRACE_DECAY


@dataclass(frozen=True)
class Detector:
    """Constants of the detector."""

    threshold: float = 0.6
    """Smoothed posterior above which a word is an event, for every word."""
    smoothing_shift: int = 3
    refractory_steps: int = 50


@dataclass(frozen=True)
class Arrays:
    """A network in numbers, before quantisation; H neurons, C classes."""

    weights: NDArray[np.float64]
    """(H, 80) for features as numbers (int8 / 16)."""
    recurrent: NDArray[np.float64]
    """(H, H), a row a presynaptic neuron."""
    bias: NDArray[np.float64]
    readout: NDArray[np.float64]
    """(H, C), for mean rates."""
    readout_bias: NDArray[np.float64]
    taps: NDArray[np.float64]
    """(taps, 80): the filter in time of each input, present step first."""
    decay: NDArray[np.float64]
    target: NDArray[np.float64]
    """(C, H): the matrix S."""


@dataclass(frozen=True)
class Replay:
    """What the image carries for rehearsal."""

    latent: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1), np.uint8))
    """(n, 1 + H): class, then mean rates in Q8."""
    sequences: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1), np.uint8))
    """(n, 1 + steps * 80): class, then int8 features as bytes."""


def fraction_bits(values: NDArray[np.float64], headroom: float) -> int:
    """Largest Q format in which headroom times the largest value fits int16."""
    largest = float(np.abs(values).max()) * headroom
    bits = 15
    while bits > MEMBRANE_Q and largest * 2.0**bits > 32767:
        bits -= 1
    return bits


def to_int16(values: NDArray[np.float64], bits: int) -> bytes:
    """Nearest integers in Q bits, saturated, little endian."""
    scaled = np.clip(np.rint(values * 2.0**bits), -32768, 32767)
    return scaled.astype("<i2").tobytes()


def to_int8(values: NDArray[np.float64], bits: int) -> bytes:
    """Nearest integers in Q bits, saturated."""
    return np.clip(np.rint(values * 2.0**bits), -128, 127).astype(np.int8).tobytes()


def learning_numbers(learning: Learning, weight_q: int, recurrent_q: int) -> dict[str, int]:
    """The header's fields of learning, in the units of model.h."""

    def rate(value: float, bits: int) -> int:
        return round(value * 2.0 ** (16 + bits))

    return {
        "trace_decay_q15": round(learning.trace_decay * 32768),
        "rate_weights": rate(learning.traces_rate, weight_q - lib.TKWS_FEATURE_Q),
        "rate_recurrent": rate(learning.traces_rate, recurrent_q),
        "rate_bias": rate(learning.traces_rate, MEMBRANE_Q),
        "rate_readout": rate(learning.readout_rate, lib.TKWS_LOGIT_Q),
        "rate_readout_bias": rate(learning.readout_bias_rate, lib.TKWS_LOGIT_Q),
        "method": learning.method,
        "passes": learning.passes,
        "latent_per_take": learning.latent_per_take,
        "sequences_per_take": learning.sequences_per_take,
    }


def header_numbers(arrays: Arrays, learning: Learning, detector: Detector) -> dict[str, int]:
    """The header's fields that follow from the network and the constants."""
    neurons = len(arrays.bias)
    # Learning moves weights: twice their range stays free.
    weight_q = fraction_bits(arrays.weights, 2.0)
    recurrent_q = fraction_bits(arrays.recurrent, 2.0)
    return {
        "n_taps": len(arrays.taps),
        "n_neurons": neurons,
        "weight_q": weight_q,
        "recurrent_q": recurrent_q,
        "membrane_q": MEMBRANE_Q,
        "threshold": 1 << MEMBRANE_Q,
        "surrogate_q": MEMBRANE_Q,
        "contrast_gain_q8": round(CONTRAST_GAIN / neurons**0.5 * 256),
        "smoothing_shift": detector.smoothing_shift,
        "refractory_steps": detector.refractory_steps,
        **learning_numbers(learning, weight_q, recurrent_q),
    }


def fits(text: str, size: int) -> bool:
    """Whether an image takes a text: 1 to `size` ASCII characters, none of them a space."""
    return re.fullmatch(f"[!-~]{{1,{size}}}", text) is not None


def texts(values: tuple[str, ...], size: int) -> bytes:
    """ASCII texts, filled with zeros to size bytes each.

    Raises:
        ModelError: one does not fit.
    """
    for value in values:
        if not fits(value, size):
            raise ModelError(f"'{value}' is not 1 to {size} ASCII characters without a space")
    return b"".join(value.encode().ljust(size, b"\0") for value in values)


def build_image(
    name: str,
    labels: tuple[str, ...],
    unknown: str,
    silence: str,
    arrays: Arrays,
    features: FeatureConfig,
    learning: Learning,
    detector: Detector,
    replay: Replay,
) -> bytes:
    """A model image; it has passed the core's own check.

    Raises:
        ModelError: something does not fit the format.
    """
    version = lib.TKWS_VERSION_MAJOR << 16 | lib.TKWS_VERSION_MINOR << 8 | lib.TKWS_VERSION_PATCH
    numbers = header_numbers(arrays, learning, detector) | {
        "magic": lib.TKWS_MODEL_MAGIC,
        "format_version": lib.TKWS_MODEL_FORMAT,
        "version": version,
        "sample_rate": lib.TKWS_SAMPLE_RATE,
        "window": lib.TKWS_WINDOW,
        "hop": lib.TKWS_HOP,
        "channels": lib.TKWS_CHANNELS,
        "stack": lib.TKWS_STACK,
        "alpha_q15": features.alpha_q15,
        "mean_shift": features.mean_shift,
        "energy_floor": features.energy_floor,
        "n_classes": len(labels),
        "unknown_class": labels.index(unknown),
        "silence_class": labels.index(silence),
        "n_layers": 1,
        "layer_kind": lib.TKWS_LAYER_RECURRENT_LIF,
        "n_inputs": lib.TKWS_FEATURES,
        "window_steps": 50,
        "n_latent": len(replay.latent),
        "n_sequences": len(replay.sequences),
        "sequence_steps": (replay.sequences.shape[1] - 1) // lib.TKWS_FEATURES,
    }
    header = ffi.new("tkws_model_header *", numbers)
    body = [
        texts((name,), lib.TKWS_NAME_BYTES),
        texts(labels, lib.TKWS_LABEL_BYTES),
        to_int16(np.full(len(labels), detector.threshold), 15),
        to_int16(arrays.weights, header.weight_q),
        to_int16(arrays.recurrent, header.recurrent_q),
        to_int16(arrays.bias, MEMBRANE_Q),
        to_int16(arrays.readout, lib.TKWS_LOGIT_Q),
        to_int16(arrays.readout_bias, lib.TKWS_LOGIT_Q),
        to_int8(arrays.taps, lib.TKWS_TAP_Q),
        to_int16(arrays.decay, 15),
        to_int16(arrays.target, MEMBRANE_Q),
        replay.latent.tobytes(),
        replay.sequences.tobytes(),
    ]
    return seal(header, b"".join(body))


def seal(header: Any, body: bytes | bytearray) -> bytes:
    """Header and body as an image, with length and CRC, checked by the core."""
    header.image_bytes = lib.TKWS_MODEL_HEADER_BYTES + len(body) + 4
    head = ffi.new("uint8_t[]", lib.TKWS_MODEL_HEADER_BYTES)
    lib.tkws_model_header_write(header, head)
    content = bytes(ffi.buffer(head)) + body
    image = content + zlib.crc32(content).to_bytes(4, "little")
    Model(image)
    return image


def with_learning(model: Model, learning: Learning) -> bytes:
    """The same image with other constants of learning; for tuning and benchmarks."""
    header = ffi.new("tkws_model_header *", model.header)
    for name, value in learning_numbers(learning, header.weight_q, header.recurrent_q).items():
        setattr(header, name, value)
    return seal(header, body_of(model))


def thresholds(model: Model) -> NDArray[np.float64]:
    """The detector's threshold of each class, as a posterior."""
    raw = bytes(ffi.buffer(model.c.word_threshold, 2 * len(model.labels)))
    return np.frombuffer(raw, dtype="<i2") / 32768


def with_thresholds(model: Model, values: NDArray[np.float64]) -> bytes:
    """The same image with other thresholds of its classes, 0 to 1."""
    body = body_of(model)
    put(body, model, model.c.word_threshold, to_int16(values, 15))
    return seal(ffi.new("tkws_model_header *", model.header), body)


def offset_of(model: Model, pointer: Any) -> int:
    """Where in an image's body a part begins, in bytes."""
    return int(ffi.cast("uintptr_t", pointer)) - int(ffi.cast("uintptr_t", model.c.name))


def put(body: bytearray, model: Model, pointer: Any, content: bytes) -> None:
    """Write content over a part of a copy of an image's body."""
    start = offset_of(model, pointer)
    body[start : start + len(content)] = content


def part_of(
    body: bytearray, model: Model, pointer: Any, rows: int, row_bytes: int
) -> NDArray[np.uint8]:
    """Rows of a copy of an image's body, to be changed in place.

    Args:
        body: the image behind its header.
        model: the image.
        pointer: where they begin in it.
        rows: how many.
        row_bytes: of each.
    """
    start = offset_of(model, pointer)
    return np.frombuffer(body, np.uint8)[start : start + rows * row_bytes].reshape(rows, row_bytes)


def body_of(model: Model) -> bytearray:
    """A copy of what is behind an image's header."""
    return bytearray(model.image[lib.TKWS_MODEL_HEADER_BYTES : -4])


def with_words(model: Model, words: Sequence[str]) -> bytes:
    """The same image with other keywords, in the places of its own, that it does not know yet.

    Their readout is zero, and what replay has of the old keywords is other speech; the codes (rows
    of S) stay.

    Args:
        model: the image.
        words: as many as it has keywords.

    Raises:
        ModelError: their number, or one does not fit.
    """
    h = model.header
    if len(words) != len(model.keywords):
        raise ModelError(f"{model.name} has {len(model.keywords)} keywords, not {len(words)}")
    places = [model.class_of(word) for word in model.keywords]
    labels = list(model.labels)
    for place, word in zip(places, words, strict=True):
        labels[place] = word
    body = body_of(model)
    put(body, model, model.c.labels, texts(tuple(labels), lib.TKWS_LABEL_BYTES))
    counts = lib.tkws_model_weight_counts(model.c)
    below = 2 * (counts.weights + counts.recurrent + counts.bias)
    readout = part_of(body, model, model.c.trainable + below, h.n_neurons + 1, 2 * h.n_classes)
    readout.view("<i2")[:, places] = 0  # and its biases, that lie behind it
    for replay in (
        part_of(body, model, model.c.latent, h.n_latent, 1 + h.n_neurons),
        part_of(body, model, model.c.sequences, h.n_sequences, 1 + h.sequence_steps * h.n_inputs),
    ):
        replay[np.isin(replay[:, 0], places), 0] = model.unknown
    return seal(ffi.new("tkws_model_header *", h), body)


def with_weights(model: Model, name: str, state: bytes, latent: NDArray[np.uint8]) -> bytes:
    """The same image with other weights, as the device saves them, and replay vectors that fit.

    Args:
        model: the image.
        name: of the new one.
        state: Learner.weights.
        latent: (n, 1 + H) as Replay has them.
    """
    header = ffi.new("tkws_model_header *", model.header)
    body = body_of(model)
    put(body, model, model.c.name, texts((name,), lib.TKWS_NAME_BYTES))
    put(body, model, model.c.trainable, state)
    start, end = (offset_of(model, pointer) for pointer in (model.c.latent, model.c.sequences))
    body[start:end] = latent.tobytes()
    header.n_latent = len(latent)
    return seal(header, body)


def write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
