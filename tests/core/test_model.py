# SPDX-License-Identifier: Apache-2.0
"""The model image: what is malformed is refused by the field's name, and nothing is touched."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from images import (
    TRAINABLE,
    header_bytes,
    make_header,
    make_image,
    random_arrays,
    reseal,
    set_field,
)
from machine import E, Machine, parse
from tracekws._core import ffi, lib

SMALL: dict[str, int] = {"n_neurons": 3, "n_classes": 3, "n_sequences": 1, "sequence_steps": 1}


def parse_error(image: bytes) -> int:
    """The result of parsing; on an error the model must be untouched."""
    model = ffi.new("tkws_model *")
    ffi.memmove(model, b"\x5a" * ffi.sizeof("tkws_model"), ffi.sizeof("tkws_model"))
    result: int = lib.tkws_model_parse(model, ffi.from_buffer(image), len(image))
    if result != 0:
        assert set(bytes(ffi.buffer(model))) == {0x5A}
    return result


HEADER = ffi.typeof("tkws_model_header")
BIG = 2**32 - 1
# field, values refused, error, values taken
FIELDS: list[tuple[str, list[int], str, list[int]]] = [
    ("magic", [0, 0x53574B55, BIG], "MODEL_MAGIC", []),
    ("format_version", [0, 1, 3, BIG], "MODEL_FORMAT", []),
    ("image_bytes", [0, 1, BIG], "MODEL_LENGTH", []),
    ("version", [], "", [0, BIG]),
    ("sample_rate", [0, 8000, 15999, BIG], "MODEL_FEATURES", []),
    ("window", [0, 399, 512], "MODEL_FEATURES", []),
    ("hop", [0, 159, 320], "MODEL_FEATURES", []),
    ("channels", [0, 39, 41], "MODEL_FEATURES", []),
    ("stack", [0, 1, 3], "MODEL_FEATURES", []),
    ("alpha_q15", [32768, BIG], "MODEL_FEATURES", [0, 32767]),
    ("mean_shift", [0, 13, BIG], "MODEL_FEATURES", [1, 12]),
    ("energy_floor", [0], "MODEL_FEATURES", [1, BIG]),
    ("n_classes", [0, 1, 2, 33, BIG], "MODEL_CLASSES", []),
    ("unknown_class", [5, BIG, 4], "MODEL_CLASSES", [0, 3]),  # 4 is the silence class
    ("silence_class", [5, BIG, 3], "MODEL_CLASSES", [0, 4]),
    ("n_layers", [0, 2, BIG], "MODEL_LAYER", []),
    ("layer_kind", [0, 2, BIG], "MODEL_LAYER", []),
    ("n_inputs", [0, 79, 81, BIG], "MODEL_SIZE", []),
    ("n_taps", [0, 17, BIG], "MODEL_SIZE", []),
    ("n_neurons", [0, 1025, BIG], "MODEL_SIZE", []),
    ("weight_q", [0, 3, 16, BIG], "MODEL_Q", [15, 10, 6]),
    ("recurrent_q", [0, 3, 16, BIG, 9], "MODEL_Q", [15, 10]),  # at least membrane_q, which is 10
    ("membrane_q", [0, 3, 15, BIG, 13], "MODEL_Q", [4, 12]),
    ("threshold", [0, 16384, BIG], "MODEL_NEURON", [1, 16383]),
    ("window_steps", [0, 201, BIG], "MODEL_DETECTOR", [1, 200]),
    ("surrogate_q", [3, 15, BIG], "MODEL_Q", [4, 14]),
    ("trace_decay_q15", [32768, BIG], "MODEL_LEARNING", [0, 32767]),
    ("contrast_gain_q8", [2**20 + 1, BIG], "MODEL_LEARNING", [0, 2**20]),
    ("rate_weights", [2**24 + 1, BIG], "MODEL_LEARNING", [0, 2**24]),
    *((f"rate_{k}", [2**30 + 1, BIG], "MODEL_LEARNING", [0, 2**30]) for k in TRAINABLE[1:]),
    ("method", [16, BIG], "MODEL_LEARNING", [0, 15]),
    ("passes", [0, 101, BIG], "MODEL_LEARNING", [1, 100]),
    ("latent_per_take", [17, BIG], "MODEL_LEARNING", [0, 16]),
    ("sequences_per_take", [5, BIG], "MODEL_LEARNING", [0, 4]),
    ("smoothing_shift", [7, BIG], "MODEL_DETECTOR", [0, 6]),
    ("refractory_steps", [1001, BIG], "MODEL_DETECTOR", [0, 1000]),
    ("n_latent", [4097, BIG], "MODEL_REPLAY", []),
    ("n_sequences", [257, BIG], "MODEL_REPLAY", []),
    ("sequence_steps", [0, 201, BIG], "MODEL_REPLAY", []),
]


def test_every_field_is_in_the_table() -> None:
    assert {row[0] for row in FIELDS} == {name for name, _ in HEADER.fields}


@pytest.mark.parametrize(("name", "refused", "error", "taken"), FIELDS, ids=[f[0] for f in FIELDS])
def test_a_field_out_of_range_is_refused_by_name(
    name: str, refused: list[int], error: str, taken: list[int]
) -> None:
    image = make_image()
    assert parse_error(image) == 0
    for value in refused:
        assert parse_error(set_field(image, name, value)) == E[error], value
        if name != "image_bytes":
            header = make_header()
            setattr(header, name, value)
            assert lib.tkws_model_image_bytes(header) == 0
    for value in taken:
        assert parse_error(set_field(image, name, value)) == 0, value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n_classes", 6), ("n_neurons", 9), ("n_latent", 4), ("n_sequences", 1)),
        ("sequence_steps", 6),
    ],
)
def test_a_size_that_does_not_fit_the_image_is_refused(name: str, value: int) -> None:
    assert parse_error(set_field(make_image(), name, value)) == E["MODEL_LENGTH"]


def test_a_window_whose_sum_could_overflow_is_refused() -> None:
    assert make_header(n_neurons=512, window_steps=127).image_bytes > 0
    assert make_header(n_neurons=512, window_steps=128).image_bytes == 0


def test_sequence_steps_are_free_without_sequences() -> None:
    assert parse_error(make_image(n_sequences=0, sequence_steps=0)) == 0


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 163, 164, 165])
def test_short_images(length: int) -> None:
    expected = "MODEL_MAGIC" if length < 4 else "MODEL_LENGTH"
    assert parse_error(make_image()[:length]) == E[expected]


def test_every_truncation_and_extension_is_refused() -> None:
    image = make_image(**SMALL)
    for length in range(4, len(image)):
        assert parse_error(image[:length]) == E["MODEL_LENGTH"]
    for extra in (b"\0", b"\0" * 4, image):
        assert parse_error(image + extra) == E["MODEL_LENGTH"]


def test_every_flipped_bit_is_refused() -> None:
    image = bytearray(make_image(**SMALL))
    early = {"MODEL_MAGIC", "MODEL_FORMAT", "MODEL_LENGTH", "MODEL_CRC"}
    errors = set()
    for at in range(len(image)):
        for bit in range(8):
            image[at] ^= 1 << bit
            errors.add(parse_error(bytes(image)))
            image[at] ^= 1 << bit
    assert errors == {E[name] for name in early}
    assert parse_error(bytes(image)) == 0


def changed(array: str, at: int, value: int) -> bytes:
    parts = random_arrays(make_header(), 0)
    values = parts[array].copy()
    values.reshape(-1)[at] = value
    return make_image(arrays={array: values})


@pytest.mark.parametrize(
    ("array", "at", "value", "error"),
    [
        ("decay", 7, -1, "MODEL_NEURON"),
        ("decay", 0, -32768, "MODEL_NEURON"),
        ("word_threshold", 4, -1, "MODEL_DETECTOR"),
        ("latent", 0, 5, "MODEL_REPLAY"),
        ("latent", 2 * 9, 255, "MODEL_REPLAY"),
        ("sequences", 401, 5, "MODEL_REPLAY"),
        ("name", 0, 0, "MODEL_LABEL"),
        ("name", 2, ord(" "), "MODEL_LABEL"),
        ("name", 15, ord("x"), "MODEL_LABEL"),  # something behind the zeros
        ("labels", 0, 0, "MODEL_LABEL"),
        ("labels", 1, 0x80, "MODEL_LABEL"),
        ("labels", 12, 0x7F, "MODEL_LABEL"),
        ("labels", 11, ord("x"), "MODEL_LABEL"),
    ],
)
def test_a_bad_value_in_the_body_is_refused(array: str, at: int, value: int, error: str) -> None:
    assert parse_error(changed(array, at, value)) == E[error]


def test_a_repeated_label_is_refused() -> None:
    labels = random_arrays(make_header(), 0)["labels"].reshape(5, 12).copy()
    labels[3] = labels[0]
    assert parse_error(make_image(arrays={"labels": labels})) == E["MODEL_LABEL"]


def test_labels_may_fill_their_room() -> None:
    labels = np.frombuffer(b"abcdefghijklbbbbbbbbbbbbcccccccccccc", np.uint8)
    model = parse(make_image(n_classes=3, arrays={"labels": labels}))
    assert lib.tkws_model_class(model.pointer, b"abcdefghijkl", 12) == 0


@given(st.binary(max_size=600))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert parse_error(data) < 0


@given(st.data())
def test_a_random_body_behind_a_valid_start_does_no_harm(data: st.DataObject) -> None:
    # magic, format, length and CRC are right: everything else must be caught by its own check
    n = data.draw(st.integers(164, 400))
    words = st.sampled_from([0, 1, 2, 5, 40, 80, 160, 400, 4096, 16000, 65535, 2**31, BIG])
    header = [lib.TKWS_MODEL_MAGIC, lib.TKWS_MODEL_FORMAT, n]
    header += data.draw(st.lists(words, min_size=38, max_size=38))
    image = struct.pack("<41I", *header) + bytes(max(0, n - 168))
    image = image[: n - 4] + struct.pack("<I", zlib.crc32(image[: n - 4]))
    assert parse_error(image) < 0


@given(st.lists(st.tuples(st.integers(12, 4000), st.integers(0, 255)), min_size=1, max_size=4))
def test_changes_with_a_right_crc_are_parsed_or_refused(changes: list[tuple[int, int]]) -> None:
    image = bytearray(make_image())
    for at, value in changes:
        image[at % (len(image) - 4)] = value
    sealed = reseal(bytes(image))
    if parse_error(sealed) == 0:
        machine = Machine(sealed)  # and what is parsed can be run
        machine.take(np.full((3, 80), 20, np.int8), 0, 15)
        assert machine.is_intact()


def test_the_model_is_a_view_of_the_images_parts() -> None:
    header = make_header()
    arrays = random_arrays(header, 3)
    image = make_image(seed=3)
    model = parse(image)
    assert bytes(ffi.buffer(ffi.addressof(model.pointer, "header"))) == bytes(ffi.buffer(header))
    assert image[: lib.TKWS_MODEL_HEADER_BYTES] == header_bytes(header)
    assert model.crc == zlib.crc32(image[:-4])
    for name, pointer in (
        ("name", model.name),
        ("labels", model.labels),
        ("word_threshold", model.word_threshold),
        ("weights", model.trainable),
        ("taps", model.taps),
        ("decay", model.decay),
        ("target", model.target),
        ("latent", model.latent),
        ("sequences", model.sequences),
    ):
        part = arrays[name].tobytes()
        assert bytes(ffi.buffer(pointer, len(part))) == part, name
    machine = Machine(image)
    for name in TRAINABLE:
        assert (machine.w[name] == arrays[name]).all()


def test_an_image_may_lie_at_any_address() -> None:
    image = make_image(**SMALL)
    for shift in range(1, 4):
        memory: Any = ffi.new("uint8_t[]", b"\0" * shift + image)
        model = ffi.new("tkws_model *")
        assert lib.tkws_model_parse(model, memory + shift, len(image)) == 0


def test_the_header_is_little_endian_words_in_order() -> None:
    names = [name for name, _ in HEADER.fields]
    header = ffi.new("tkws_model_header *")
    for i, name in enumerate(names):
        setattr(header, name, 0x01020304 * (i + 1) % 2**32)
    words = [0x01020304 * (i + 1) % 2**32 for i in range(len(names))]
    assert header_bytes(header) == struct.pack(f"<{len(names)}I", *words)


def test_counts_and_bytes_of_the_trainable_state() -> None:
    owner = parse(make_image(n_neurons=196, n_classes=12))
    model = owner.pointer
    counts = lib.tkws_model_weight_counts(model)
    assert (counts.weights, counts.recurrent, counts.bias) == (196 * 80, 196 * 196, 196)
    assert (counts.readout, counts.readout_bias) == (196 * 12, 12)
    n_bytes = lib.tkws_model_trainable_bytes(model)
    assert n_bytes == 2 * (196 * (80 + 196 + 1 + 12) + 12)
    assert n_bytes <= 112 * 1024


@given(st.data())
def test_any_part_of_the_weights_is_read_and_replaced(data: st.DataObject) -> None:
    image = make_image(**SMALL)
    machine = Machine(image)
    model, total = machine.model.pointer, lib.tkws_model_trainable_bytes(machine.model.pointer)
    whole = bytearray(b"".join(machine.w[name].astype("<i2").tobytes() for name in TRAINABLE))
    for _ in range(3):
        start = 2 * data.draw(st.integers(0, total // 2))
        n = 2 * data.draw(st.integers(0, (total - start) // 2))
        new = data.draw(st.binary(min_size=n, max_size=n))
        assert lib.tkws_weights_write(model, machine.weights, start, new, n) == 0
        whole[start : start + n] = new
    start = 2 * data.draw(st.integers(0, total // 2))
    n = 2 * data.draw(st.integers(0, (total - start) // 2))
    out = ffi.new("uint8_t[]", n)
    assert lib.tkws_weights_read(model, machine.weights, start, out, n) == 0
    assert bytes(ffi.buffer(out, n)) == whole[start : start + n]
    now = b"".join(machine.w[name].astype("<i2").tobytes() for name in TRAINABLE)
    assert now == bytes(whole)
    assert machine.is_intact()


@pytest.mark.parametrize(
    ("offset", "n"),
    [(1, 2), (0, 1), (0, -1), (-1, 2), (2, 0), (2**63, 2), (2, 2**64 - 2), (2**64 - 2, 2)],
)
def test_parts_outside_the_weights_are_refused(offset: int, n: int) -> None:
    machine = Machine(make_image(**SMALL))
    model, total = machine.model.pointer, lib.tkws_model_trainable_bytes(machine.model.pointer)
    if n <= 0:  # relative to the end
        offset, n = (total, 2) if n == 0 else (0, total + 2)
    if offset < 0:
        offset = total + 2
    before, out = machine.state(), ffi.new("uint8_t[]", b"\x11" * 4)
    assert lib.tkws_weights_read(model, machine.weights, offset, out, n) == E["ARGUMENT"]
    assert lib.tkws_weights_write(model, machine.weights, offset, out, n) == E["ARGUMENT"]
    assert bytes(ffi.buffer(out, 4)) == b"\x11" * 4
    assert all((machine.w[name] == before[name]).all() for name in TRAINABLE)
