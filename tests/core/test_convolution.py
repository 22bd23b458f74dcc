# SPDX-License-Identifier: Apache-2.0
"""The convolution against its equation in floating point, and its section in an image."""

import struct
from itertools import product

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from images import Patches, join, make_image, sections, with_convolution
from machine import E, Machine, random_features
from tracekws._core import ffi, lib
from tracekws.errors import DataError
from tracekws.train.config import load_config

SHAPES = {
    "as shipped": Patches.random(1),
    "few kernels": Patches.random(2, 4, 60, 4, stride=2, margin=1, weight_q=14),
    "one band": Patches.random(3, 80, 2, 40, stride=1, margin=0),
    "a long patch": Patches.random(4, 10, 32, 8, stride=5, margin=2),
    "bands that do not touch": Patches.random(5, 20, 3, 4, stride=11, margin=0),
    "coarse weights": Patches.random(6, weight_q=4),
    "the finest weights": Patches.random(7, weight_q=15),
    "largest weights": Patches(np.full((8, 32, 8), 32767), np.full(8, 32767)),
    "smallest weights": Patches(np.full((8, 32, 8), -32768), np.full(8, -32768), weight_q=15),
}
"""Sections whose kernels times bands give the features of a step."""


def expected(patches: Patches, heard: np.ndarray) -> np.ndarray:
    """The equation of convolution.h for features (steps, 80), before it is rounded."""
    _, n_frames, width = patches.weights.shape
    frames = heard.reshape(-1, 40).astype(float)
    margins = (patches.margin, patches.margin)
    padded = np.pad(frames, ((n_frames - 2, 0), margins))
    windows = sliding_window_view(padded, (n_frames, width))[::2, :: patches.stride]
    sums = np.einsum("tbfw,kfw->tkb", windows, patches.weights / 2.0**patches.weight_q)
    sums += (patches.bias / 2.0**8 * 16)[:, None]
    out: np.ndarray = np.clip(sums, 0, 127).reshape(len(heard), -1)
    return out


def run(patches: Patches, heard: np.ndarray) -> np.ndarray:
    """What the core makes of them."""
    machine = Machine(with_convolution(make_image(n_taps=1), patches))
    form = ffi.addressof(machine.network.model.convolution)
    numbers = lib.tkws_convolution_numbers(form)
    frames = ffi.new("int16_t[]", numbers)
    out = ffi.new("int8_t[]", 80)
    rows = []
    for row in heard:
        lib.tkws_convolution_step(form, frames, ffi.from_buffer("int8_t[]", row), out)
        rows.append(np.frombuffer(ffi.buffer(out), np.int8).copy())
    return np.array(rows)


@pytest.mark.parametrize("name", SHAPES)
def test_every_step_follows_the_equation(name: str) -> None:
    patches = SHAPES[name]
    heard = random_features(3, 40)
    out = run(patches, heard)
    assert np.abs(out - expected(patches, heard)).max() <= 0.5
    assert (out >= 0).all()


def test_the_network_hears_what_the_convolution_gives() -> None:
    patches = SHAPES["as shipped"]
    identity = {"taps": np.full((1, 80), 64)}
    machine = Machine(with_convolution(make_image(n_taps=1, arrays=identity), patches))
    heard = random_features(4, 30)
    for row, wanted in zip(heard, run(patches, heard), strict=True):
        machine.step(row)
        assert (machine.array(machine.network.inputs, 80) == wanted).all()
    assert machine.is_intact()


def test_reset_forgets_the_frames() -> None:
    image = with_convolution(make_image(n_neurons=24), SHAPES["a long patch"])
    machine, fresh = Machine(image), Machine(image)
    for row in random_features(1, 17):
        machine.step(row)
    lib.tkws_network_reset(machine.network)
    for row in random_features(2, 17):
        machine.step(row)
        fresh.step(row)
        assert (machine.scores() == fresh.scores()).all()


def test_its_memory_is_the_frames_that_it_spans() -> None:
    plain = Machine(make_image())
    machine = Machine(with_convolution(make_image(), SHAPES["as shipped"]))
    more = lib.tkws_network_memory_bytes(machine.model.pointer)
    assert more - lib.tkws_network_memory_bytes(plain.model.pointer) == 8 * (40 + 2 * 2) * 2


GOOD = SHAPES["as shipped"].payload()


def parsed(payload: bytes, *more: bytes) -> int:
    """The core's answer to an image with such a section, or with several."""
    parts = [*sections(make_image()), *(("Conv", one) for one in (payload, *more))]
    image = join(parts)
    return int(lib.tkws_model_parse(ffi.new("tkws_model *"), ffi.from_buffer(image), len(image)))


def test_a_section_is_taken_once() -> None:
    assert parsed(GOOD) == 0
    assert parsed(GOOD, GOOD) == E["MODEL_CONVOLUTION"]


@pytest.mark.parametrize("length", [0, 11, 12, len(GOOD) - 1, len(GOOD) + 2])
def test_a_section_of_another_length_is_refused(length: int) -> None:
    assert parsed((GOOD + bytes(2))[:length]) == E["MODEL_CONVOLUTION"]


@pytest.mark.parametrize(
    ("shape", "good"),
    [
        ((8, 8, 8, 4, 2, 4), True),
        ((8, 8, 8, 4, 2, 15), True),
        ((8, 8, 8, 4, 2, 3), False),
        ((8, 8, 8, 4, 2, 16), False),
        ((0, 8, 8, 4, 2, 12), False),
        ((16, 8, 8, 4, 2, 12), False),
        ((16, 8, 8, 8, 0, 12), True),
        ((5, 8, 12, 2, 1, 12), False),
        ((8, 1, 8, 4, 2, 12), False),
        ((8, 2, 8, 4, 2, 12), True),
        ((8, 32, 8, 4, 2, 12), True),
        ((8, 33, 8, 4, 2, 12), False),
        ((8, 8, 6, 4, 1, 12), False),
        ((2, 3, 44, 1, 2, 12), False),
        ((8, 8, 8, 0, 2, 12), False),
        ((20, 8, 8, 16, 8, 12), False),
        ((20, 8, 12, 16, 11, 12), True),
    ],
)
def test_numbers_out_of_range_are_refused(shape: tuple[int, ...], good: bool) -> None:
    weights = bytes(2 * shape[0] * (shape[1] * shape[2] + 1))
    payload = struct.pack("<6H", *shape) + weights
    assert parsed(payload) == (0 if good else E["MODEL_CONVOLUTION"])


def shapes() -> list[tuple[int, int, int, int, int]]:
    """Kernels, frames, width, stride, margin: a grid at and beyond every bound."""
    frames, widths = (1, 2, 21, 22, 64, 65), (4, 10, 12, 40, 44)
    strides, margins = (0, 2, 4, 41, 78, 0xFFFF), (1, 3, 4, 39, 40)
    found = []
    for frame, width, stride, margin in product(frames, widths, strides, margins):
        if frame * width > lib.TKWS_MAX_PATCH + 12:
            continue
        bands = max(40 + 2 * margin - width, 0) // max(stride, 1) + 1
        fit = max(80 // bands, 1)
        found += [(kernels, frame, width, stride, margin) for kernels in (fit, fit + 1)]
    return found


def trained(shape: tuple[int, ...]) -> bool:
    """Whether a training configuration may have it."""
    names = ("kernels", "frames", "width", "stride", "margin")
    try:
        load_config("base", convolution=dict(zip(names, shape, strict=True)))
    except DataError:
        return False
    return True


@pytest.mark.thorough
def test_training_and_the_core_find_the_same_shapes_possible() -> None:
    possible = []
    for shape in shapes():
        kernels, frames, width, _, _ = shape
        weights = bytes(2 * kernels * (frames * width + 1))
        core = parsed(struct.pack("<6H", *shape, 12) + weights) == 0
        assert trained(shape) == core, shape
        if core:
            possible.append(shape)
    assert len(possible) > 40
    for values in zip(*possible, strict=True):
        assert len(set(values)) > 1
