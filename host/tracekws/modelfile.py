# SPDX-License-Identifier: Apache-2.0
"""Writing of model images: numbers and arrays in, the bytes of model.h out."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws._core import ffi, lib
from tracekws.core import FeatureConfig, Model
from tracekws.errors import ModelError
from tracekws.names import NAME_BYTES, RULE, is_name

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
    gap_steps: int = 10
    isolated: bool = False


@dataclass(frozen=True)
class Convolution:
    """Small filters over frames and channels, before the taps (convolution.h)."""

    weights: NDArray[np.float64]
    """(kernels, frames, width), oldest frame first, for features as numbers (int8 / 16)."""
    bias: NDArray[np.float64]
    """(kernels,)"""
    stride: int
    """Channels from one band to the next."""
    margin: int
    """Zeros beside the first and the last channel."""


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
    convolution: Convolution | None = None


@dataclass(frozen=True)
class Replay:
    """What the image carries for rehearsal."""

    latent: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1), np.uint8))
    """(n, 1 + H): class, then mean rates in Q8."""
    sequences: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1), np.uint8))
    """(n, 1 + steps * 80): class, then int8 features as bytes."""


@dataclass(frozen=True)
class TraceForm:
    """How traces of takes are compared (templates.h); H neurons, `rank` directions."""

    mean: NDArray[np.float64]
    """(H,) mean rates of speech."""
    shrink: NDArray[np.float64]
    """(rank,) how much of each direction is taken away, 0 to 1."""
    along: NDArray[np.float64]
    """(H, rank): the directions, orthonormal."""
    weight: float = 8.0
    """What a cosine of one adds to a score."""
    floor: float = 0.35
    """Cosine above which anything is added."""


@dataclass(frozen=True)
class OwnForm:
    """Words of the user's own: how many, and when one is heard (own.h)."""

    words: int
    """1 to 16: how many there is room for."""
    least: float = 0.295
    """What a cosine is to be above, where takes agree by nothing."""
    agreement: float = 0.3
    """What is added to that for an agreement of one."""
    single: float = 0.4
    """The agreement of a word of one take."""
    rival: float = 0.3
    """How much of the next likest word's cosine is taken off."""


def fraction_bits(values: NDArray[np.float64], headroom: float, least: int = MEMBRANE_Q) -> int:
    """Largest Q format, 15 to the least, in which headroom times the largest fits int16."""
    largest = float(np.abs(values).max()) * headroom
    bits = 15
    while bits > least and largest * 2.0**bits > 32767:
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
        "gap_steps": detector.gap_steps,
        "isolated": int(detector.isolated),
        **learning_numbers(learning, weight_q, recurrent_q),
    }


def cells(*texts: str) -> bytes:
    """Names as an image has them, each filled with zeros.

    Raises:
        ModelError: one is no name.
    """
    for text in texts:
        if not is_name(text):
            raise ModelError(f"{text!r} is no name: a name is {RULE}")
    return b"".join(text.encode().ljust(NAME_BYTES, b"\0") for text in texts)


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
        "version": version,
        "sample_rate": lib.TKWS_SAMPLE_RATE,
        "window": lib.TKWS_WINDOW,
        "hop": lib.TKWS_HOP,
        "channels": lib.TKWS_CHANNELS,
        "stack": lib.TKWS_STACK,
        "alpha_q15": features.alpha_q15,
        "mean_shift": features.mean_shift,
        "fall_shift": features.fall_shift,
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
    weights = (
        to_int16(arrays.weights, header.weight_q),
        to_int16(arrays.recurrent, header.recurrent_q),
        to_int16(arrays.bias, MEMBRANE_Q),
        to_int16(arrays.readout, lib.TKWS_LOGIT_Q),
        to_int16(arrays.readout_bias, lib.TKWS_LOGIT_Q),
    )
    before = arrays.convolution
    convolution = {lib.TKWS_SECTION_CONVOLUTION: convolution_bytes(before)} if before else {}
    return seal(
        header,
        {
            lib.TKWS_SECTION_NAME: cells(name),
            lib.TKWS_SECTION_LABELS: cells(*labels),
            lib.TKWS_SECTION_THRESHOLDS: to_int16(np.full(len(labels), detector.threshold), 15),
            lib.TKWS_SECTION_WEIGHTS: b"".join(weights),
            lib.TKWS_SECTION_TAPS: to_int8(arrays.taps, lib.TKWS_TAP_Q),
            lib.TKWS_SECTION_DECAY: to_int16(arrays.decay, 15),
            lib.TKWS_SECTION_TARGET: to_int16(arrays.target, MEMBRANE_Q),
            lib.TKWS_SECTION_LATENT: replay.latent.tobytes(),
            lib.TKWS_SECTION_SEQUENCES: replay.sequences.tobytes(),
            **convolution,
        },
    )


def convolution_bytes(convolution: Convolution) -> bytes:
    """Section Conv of an image."""
    weights = convolution.weights
    weight_q = fraction_bits(weights, 1.0, 4)
    shape = (*weights.shape, convolution.stride, convolution.margin, weight_q)
    rows = weights.transpose(0, 2, 1)
    numbers = to_int16(rows, weight_q) + to_int16(convolution.bias, lib.TKWS_CONVOLUTION_BIAS_Q)
    return struct.pack("<6H", *shape) + numbers


def convolution_of(model: Model) -> Convolution | None:
    """An image's convolution in numbers, if it has one."""
    form = model.c.convolution
    if not form.n_kernels:
        return None
    rows = (form.n_kernels, form.width, form.n_frames)
    integers = np.frombuffer(sections_of(model)[lib.TKWS_SECTION_CONVOLUTION][12:], "<i2")
    weights, bias = np.split(integers.astype(np.float64), [-form.n_kernels])
    return Convolution(
        weights.reshape(rows).transpose(0, 2, 1) / 2.0**form.weight_q,
        bias / 2.0**lib.TKWS_CONVOLUTION_BIAS_Q,
        form.stride,
        form.margin,
    )


def section(kind: int, payload: bytes) -> bytes:
    """A section as an image has it."""
    head = struct.pack("<III", kind, len(payload), zlib.crc32(payload))
    return head + payload + bytes(-len(payload) % 4)


def seal(header: Any, sections: Mapping[int, bytes]) -> bytes:
    """Header and payloads, by section type, as an image that the core has checked."""
    numbers = ffi.new("uint8_t[]", lib.TKWS_MODEL_HEADER_BYTES)
    lib.tkws_model_header_write(header, numbers)
    payloads = {lib.TKWS_SECTION_NUMBERS: bytes(ffi.buffer(numbers))} | dict(sections)
    body = b"".join(section(kind, payload) for kind, payload in payloads.items())
    start = struct.pack(
        "<IIII",
        lib.TKWS_MODEL_MAGIC,
        lib.TKWS_MODEL_FORMAT,
        lib.TKWS_MODEL_START_BYTES + len(body) + 4,
        len(payloads),
    )
    image = start + body + zlib.crc32(start + body).to_bytes(4, "little")
    Model(image)
    return image


def sections_of(model: Model) -> dict[int, bytes]:
    """The payloads of a checked image by section type, its numbers aside.

    Those that this version does not know are left out: what they say may not hold for an image that
    is changed.
    """
    known = {getattr(lib, name) for name in dir(lib) if name.startswith("TKWS_SECTION_")}
    found = {}
    at = lib.TKWS_MODEL_START_BYTES
    while at < len(model.image) - 4:
        kind, n_bytes, _ = struct.unpack_from("<III", model.image, at)
        at += lib.TKWS_SECTION_HEAD_BYTES
        if kind in known - {lib.TKWS_SECTION_NUMBERS}:
            found[kind] = model.image[at : at + n_bytes]
        at += n_bytes + -n_bytes % 4
    return found


def with_sections(model: Model, sections: Mapping[int, bytes], **numbers: int) -> bytes:
    """The same image with other payloads in place of some, and other numbers of its header."""
    header = ffi.new("tkws_model_header *", model.header)
    for name, value in numbers.items():
        setattr(header, name, value)
    return seal(header, sections_of(model) | dict(sections))


def arrays_of(model: Model) -> Arrays:
    """An image's network in numbers: what build_image() quantises to the same integers."""
    sections, h = sections_of(model), model.header
    counts = lib.tkws_model_weight_counts(model.c)
    integers = np.frombuffer(sections[lib.TKWS_SECTION_WEIGHTS], "<i2").astype(np.float64)
    ends = np.cumsum([counts.weights, counts.recurrent, counts.bias, counts.readout])
    weights, recurrent, bias, readout, readout_bias = np.split(integers, ends)
    neurons, classes = int(h.n_neurons), int(h.n_classes)

    def bytes_as(kind: int, form: str, columns: int) -> NDArray[np.float64]:
        return np.frombuffer(sections[kind], form).astype(np.float64).reshape(-1, columns)

    return Arrays(
        weights=weights.reshape(neurons, -1) / 2.0**h.weight_q,
        recurrent=recurrent.reshape(neurons, neurons) / 2.0**h.recurrent_q,
        bias=bias / 2.0**MEMBRANE_Q,
        readout=readout.reshape(neurons, classes) / 2.0**lib.TKWS_LOGIT_Q,
        readout_bias=readout_bias / 2.0**lib.TKWS_LOGIT_Q,
        taps=bytes_as(lib.TKWS_SECTION_TAPS, "i1", int(h.n_inputs)) / 2.0**lib.TKWS_TAP_Q,
        decay=bytes_as(lib.TKWS_SECTION_DECAY, "<i2", neurons)[0] / 32768,
        target=bytes_as(lib.TKWS_SECTION_TARGET, "<i2", neurons) / 2.0**MEMBRANE_Q,
        convolution=convolution_of(model),
    )


def rehearsed(model: Model) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Classes (n,) and mean rates (n, H) of the clips that an image has to rehearse."""
    n = model.header.n_latent
    rows = np.frombuffer(sections_of(model)[lib.TKWS_SECTION_LATENT], np.uint8)
    rows = rows.reshape(n, 1 + model.header.n_neurons)
    return rows[:, 0].astype(np.int64), rows[:, 1:] / 256


def with_traces(model: Model, form: TraceForm) -> bytes:
    """The same image with another form in which traces are compared."""
    along_q = 7
    while along_q < 15 and np.abs(form.along).max() * 2.0 ** (along_q + 1) <= 127:
        along_q += 1
    head = struct.pack(
        "<HHHh",
        len(form.shrink),
        along_q,
        round(form.weight * 2.0**lib.TKWS_LOGIT_Q),
        round(form.floor * 2.0**15),
    )
    body = to_int16(form.mean, 15) + to_int16(form.shrink, 15) + to_int8(form.along, along_q)
    return with_sections(model, {lib.TKWS_SECTION_TRACES: head + body})


def with_own_words(model: Model, form: OwnForm) -> bytes:
    """The same image with room for words of the user's own; it must compare traces."""
    shares = (form.least, form.agreement, form.single, form.rival)
    body = struct.pack("<H4h", form.words, *(round(share * 2.0**15) for share in shares))
    return with_sections(model, {lib.TKWS_SECTION_OWN: body})


def with_learning(model: Model, learning: Learning) -> bytes:
    """The same image with other constants of learning; for tuning and benchmarks."""
    h = model.header
    return with_sections(model, {}, **learning_numbers(learning, h.weight_q, h.recurrent_q))


def thresholds(model: Model) -> NDArray[np.float64]:
    """The detector's threshold of each class, as a posterior."""
    raw = bytes(ffi.buffer(model.c.word_threshold, 2 * len(model.labels)))
    return np.frombuffer(raw, dtype="<i2") / 32768


def with_thresholds(model: Model, values: NDArray[np.float64]) -> bytes:
    """The same image with other thresholds of its classes, 0 to 1."""
    return with_sections(model, {lib.TKWS_SECTION_THRESHOLDS: to_int16(values, 15)})


def with_words(model: Model, words: Sequence[str]) -> bytes:
    """The same image with other keywords, in the places of its own, that it does not know yet.

    Their readout is zero, and what replay has of the old keywords is other speech; the codes (rows
    of S) stay.

    Args:
        model: the image.
        words: as many as it has keywords.

    Raises:
        ModelError: their number, or one is no name.
    """
    if len(words) != len(model.keywords):
        raise ModelError(f"{model.name} has {len(model.keywords)} keywords, not {len(words)}")
    places = [model.class_of(word) for word in model.keywords]
    labels = list(model.labels)
    for place, word in zip(places, words, strict=True):
        labels[place] = word
    sections = sections_of(model)
    counts = lib.tkws_model_weight_counts(model.c)
    below = counts.weights + counts.recurrent + counts.bias
    weights = np.frombuffer(sections[lib.TKWS_SECTION_WEIGHTS], "<i2").copy()
    readout = weights[below:].reshape(-1, len(labels))  # and its biases, that lie behind it
    readout[:, places] = 0
    changed = {
        lib.TKWS_SECTION_LABELS: cells(*labels),
        lib.TKWS_SECTION_WEIGHTS: weights.tobytes(),
    }
    for kind, rows in (
        (lib.TKWS_SECTION_LATENT, model.header.n_latent),
        (lib.TKWS_SECTION_SEQUENCES, model.header.n_sequences),
    ):
        replay = np.frombuffer(sections[kind], np.uint8).copy()
        classes = replay.reshape(rows, -1)[:, 0] if rows else replay
        classes[np.isin(classes, places)] = model.unknown
        changed[kind] = replay.tobytes()
    return with_sections(model, changed)


def with_weights(model: Model, name: str, state: bytes, latent: NDArray[np.uint8]) -> bytes:
    """The same image with other weights, as the device saves them, and replay vectors that fit.

    Args:
        model: the image.
        name: of the new one.
        state: Learner.weights.
        latent: (n, 1 + H) as Replay has them.

    Raises:
        ModelError: the name is none.
    """
    changed = {
        lib.TKWS_SECTION_NAME: cells(name),
        lib.TKWS_SECTION_WEIGHTS: state,
        lib.TKWS_SECTION_LATENT: latent.tobytes(),
    }
    return with_sections(model, changed, n_latent=len(latent))
