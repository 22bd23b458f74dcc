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
    SECTIONS,
    TRAINABLE,
    cells,
    frame,
    header_bytes,
    join,
    make_header,
    make_image,
    random_arrays,
    replaced,
    reseal,
    seal,
    section,
    sections,
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
    ("version", [], "", [0, BIG]),
    ("sample_rate", [0, 8000, 15999, BIG], "MODEL_FEATURES", []),
    ("window", [0, 399, 512], "MODEL_FEATURES", []),
    ("hop", [0, 159, 320], "MODEL_FEATURES", []),
    ("channels", [0, 39, 41], "MODEL_FEATURES", []),
    ("stack", [0, 1, 3], "MODEL_FEATURES", []),
    ("alpha_q15", [32768, BIG], "MODEL_FEATURES", [0, 32767]),
    ("mean_shift", [0, 13, BIG], "MODEL_FEATURES", [3, 12]),
    ("fall_shift", [0, 7, BIG], "MODEL_FEATURES", [1, 6]),  # at most mean_shift, which is 6
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
    ("method", [32, BIG], "MODEL_LEARNING", [0, 31]),
    ("passes", [0, 101, BIG], "MODEL_LEARNING", [1, 100]),
    ("latent_per_take", [17, BIG], "MODEL_LEARNING", [0, 16]),
    ("sequences_per_take", [5, BIG], "MODEL_LEARNING", [0, 4]),
    ("smoothing_shift", [7, BIG], "MODEL_DETECTOR", [0, 6]),
    ("refractory_steps", [1001, BIG], "MODEL_DETECTOR", [0, 1000]),
    ("gap_steps", [1001, BIG], "MODEL_DETECTOR", [0, 1000]),
    ("isolated", [2, BIG], "MODEL_DETECTOR", [0, 1]),
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
        header = make_header()
        setattr(header, name, value)
        assert lib.tkws_model_image_bytes(header) == 0
    for value in taken:
        assert parse_error(set_field(image, name, value)) == 0, value


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_classes", 6, "MODEL_LABELS"),
        ("n_neurons", 9, "MODEL_WEIGHTS"),
        ("n_taps", 4, "MODEL_TAPS"),
        ("n_latent", 4, "MODEL_LATENT"),
        ("n_sequences", 1, "MODEL_SEQUENCES"),
        ("sequence_steps", 6, "MODEL_SEQUENCES"),
    ],
)
def test_a_size_that_does_not_fit_a_section_is_refused(name: str, value: int, error: str) -> None:
    assert parse_error(set_field(make_image(), name, value)) == E[error]


def test_a_window_whose_sum_could_overflow_is_refused() -> None:
    assert lib.tkws_model_image_bytes(make_header(n_neurons=512, window_steps=127)) > 0
    assert lib.tkws_model_image_bytes(make_header(n_neurons=512, window_steps=128)) == 0


def test_sequence_steps_are_free_without_sequences() -> None:
    assert parse_error(make_image(n_sequences=0, sequence_steps=0)) == 0


WHOLE = make_image(**SMALL)
"""An image to take apart."""
PARTS = sections(WHOLE)
ERRORS = {
    "Numb": "MODEL_NUMBERS",
    "Name": "MODEL_NAME",
    "Labe": "MODEL_LABELS",
    "Thre": "MODEL_THRESHOLDS",
    "Weig": "MODEL_WEIGHTS",
    "Taps": "MODEL_TAPS",
    "Deca": "MODEL_DECAY",
    "Targ": "MODEL_TARGET",
    "Late": "MODEL_LATENT",
    "Sequ": "MODEL_SEQUENCES",
}


def at_start(offset: int, value: int) -> bytes:
    """The image with another number in front of its sections, and a right CRC."""
    return reseal(WHOLE[:offset] + struct.pack("<I", value) + WHOLE[offset + 4 :])


@pytest.mark.parametrize(
    ("offset", "values", "error"),
    [
        (0, [0, 0x53574B55, BIG], "MODEL_MAGIC"),
        (4, [0, 1, 2, 4, BIG], "MODEL_FORMAT"),
        (8, [0, 1, len(WHOLE) - 1, len(WHOLE) + 1, BIG], "MODEL_LENGTH"),
        (12, [0, 1, 9, 11, 2**31, BIG], "MODEL_SECTIONS"),
    ],
    ids=["magic", "format_version", "image_bytes", "n_sections"],
)
def test_a_wrong_start_is_refused_by_name(offset: int, values: list[int], error: str) -> None:
    for value in values:
        assert parse_error(at_start(offset, value)) == E[error], value


def test_sections_come_in_any_order() -> None:
    model = parse(join(PARTS[::-1]))
    assert bytes(ffi.buffer(model.name, 6)) == b"random"
    assert model.header.n_neurons == SMALL["n_neurons"]


@pytest.mark.parametrize("kind", ERRORS)
def test_each_section_is_needed_once_at_its_length(kind: str) -> None:
    payload = dict(PARTS)[kind]
    missing = join([part for part in PARTS if part[0] != kind])
    twice = join([*PARTS, (kind, payload)])
    wrong = [replaced(WHOLE, kind, payload + b"\0" * n) for n in (1, 4, 32)]
    wrong += [replaced(WHOLE, kind, payload[:n]) for n in (0, len(payload) - 1) if payload]
    for image in (missing, twice, *wrong):
        assert parse_error(image) == E[ERRORS[kind]]


def test_every_section_has_an_error() -> None:
    assert list(ERRORS) == ["Numb", *SECTIONS] == [kind for kind, _ in PARTS]


@pytest.mark.parametrize("at", [0, 5, 10], ids=["first", "between", "last"])
@pytest.mark.parametrize("payload", [b"", b"\x01", bytes(3000)], ids=["empty", "odd", "long"])
def test_a_section_of_a_small_letter_is_passed_over(at: int, payload: bytes) -> None:
    for kind in ("sign", "zZZZ", "numb"):
        known = parse(WHOLE)
        model = parse(join([*PARTS[:at], (kind, payload), (kind, payload), *PARTS[at:]]))
        assert bytes(ffi.buffer(model.trainable, 20)) == bytes(ffi.buffer(known.trainable, 20))


@pytest.mark.parametrize("kind", ["Sign", "Zzzz", "NUMB", "NamE"])
def test_a_section_of_a_capital_that_is_not_known_is_refused(kind: str) -> None:
    assert parse_error(join([*PARTS, (kind, b"")])) == E["MODEL_SECTION"]


@pytest.mark.parametrize(
    "kind", [bytes(4), b"sig\0", b"si n", b"\0ign", b"s1gn", b"[ign", b"sig\xe7", b"Sig@", b"s`gn"]
)
def test_a_type_that_is_not_four_letters_is_refused(kind: bytes) -> None:
    body = WHOLE[16:-4] + section(kind, b"1234")
    assert parse_error(frame(body, len(PARTS) + 1)) == E["MODEL_SECTIONS"]


def behind(n_bytes: int, payload: bytes, crc: int | None = None) -> bytes:
    """A valid image's sections, and one more that says another length or CRC."""
    crc = zlib.crc32(payload) if crc is None else crc
    body = WHOLE[16:-4] + b"xtra" + struct.pack("<II", n_bytes, crc) + payload
    return frame(body, len(PARTS) + 1)


@pytest.mark.parametrize(
    "n_bytes", [5, 8, 9, 1000, 2**31 - 1, 2**31, BIG - 16, BIG - 12, BIG - 3, BIG - 2, BIG - 1, BIG]
)
def test_a_section_that_is_longer_than_the_image_is_refused(n_bytes: int) -> None:
    assert parse_error(behind(n_bytes, b"1234")) == E["MODEL_SECTIONS"]


def test_the_length_of_any_section_may_lie() -> None:
    at = 16
    for _, payload in PARTS:
        for n_bytes in (0, 1, len(payload) + 4, len(WHOLE), 2**31, BIG - 11, BIG - 3, BIG):
            lie = WHOLE[: at + 4] + struct.pack("<I", n_bytes) + WHOLE[at + 8 :]
            if n_bytes != len(payload):
                assert parse_error(reseal(lie)) < 0
        at += 12 + (len(payload) + 3) // 4 * 4


@pytest.mark.parametrize("n_bytes", range(12))
def test_a_section_is_cut_short_in_its_head(n_bytes: int) -> None:
    body = WHOLE[16:-4] + section("xtra", b"")[:n_bytes]
    assert parse_error(frame(body, len(PARTS) + 1)) == E["MODEL_SECTIONS"]
    if n_bytes:
        assert parse_error(frame(body, len(PARTS))) == E["MODEL_SECTIONS"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_fills_a_section_up_is_zero_and_there(length: int) -> None:
    payload = bytes(range(1, length + 1))
    full = behind(length, payload + bytes(4 - length), zlib.crc32(payload))
    assert parse_error(full) == 0
    for at in range(length, 4):
        filled = bytearray(payload + bytes(4 - length))
        filled[at] = 1
        image = behind(length, bytes(filled), zlib.crc32(payload))
        assert parse_error(image) == E["MODEL_SECTIONS"]
    cut = behind(length, payload + bytes(3 - length), zlib.crc32(payload))
    assert parse_error(cut) == E["MODEL_SECTIONS"]


@pytest.mark.parametrize("index", range(len(PARTS)), ids=list(ERRORS))
def test_a_sections_own_crc_is_checked(index: int) -> None:
    at = 16 + sum(len(section(*part)) for part in PARTS[:index])
    for bit in (0, 31):
        crc = struct.unpack_from("<I", WHOLE, at + 8)[0] ^ 1 << bit
        image = WHOLE[: at + 8] + struct.pack("<I", crc) + WHOLE[at + 12 :]
        assert parse_error(reseal(image)) == E["MODEL_CRC"]


def test_the_crc_of_a_section_that_is_passed_over_is_checked() -> None:
    assert parse_error(behind(4, b"1234")) == 0
    assert parse_error(behind(4, b"1234", 5)) == E["MODEL_CRC"]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 8, 16, 19])
def test_short_images(length: int) -> None:
    expected = "MODEL_MAGIC" if length < 4 else "MODEL_LENGTH"
    assert parse_error(make_image()[:length]) == E[expected]


def test_the_shortest_image_has_no_numbers() -> None:
    assert parse_error(join([])) == E["MODEL_NUMBERS"]


def test_every_truncation_and_extension_is_refused() -> None:
    for length in range(4, len(WHOLE)):
        assert parse_error(WHOLE[:length]) == E["MODEL_LENGTH"]
    for extra in (b"\0", b"\0" * 4, WHOLE):
        assert parse_error(WHOLE + extra) == E["MODEL_LENGTH"]


def test_every_truncation_with_a_right_length_and_crc_is_refused() -> None:
    for length in range(16, len(WHOLE) - 4):
        start = WHOLE[:8] + struct.pack("<I", length + 4)
        assert parse_error(seal(start + WHOLE[12:length])) == E["MODEL_SECTIONS"]


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
        ("name", 31, ord("x"), "MODEL_LABEL"),  # something behind the zeros
        ("labels", 0, 0, "MODEL_LABEL"),
        ("labels", 1, 0x80, "MODEL_LABEL"),
        ("labels", 32, 0x7F, "MODEL_LABEL"),
        ("labels", 31, ord("x"), "MODEL_LABEL"),
    ],
)
def test_a_bad_value_in_the_body_is_refused(array: str, at: int, value: int, error: str) -> None:
    assert parse_error(changed(array, at, value)) == E[error]


@pytest.mark.parametrize(
    "labels",
    [
        ("yes", "no", "up", "yes", "off"),
        ("", "no", "up", "down", "off"),
        ("yes", "no", "up", "..", "off"),
        ("yes", "no", "up", "down", "a/b"),
        ("yes", "\x1b[31mred", "up", "down", "off"),
        ("yes", "no", "a b", "down", "off"),
        ("yes", "no", "up", "x" * 32, "off"),
    ],
    ids=["repeated", "empty", "dots", "slash", "escape", "space", "too long"],
)
def test_labels_that_are_no_names_are_refused(labels: tuple[str, ...]) -> None:
    assert parse_error(make_image(arrays={"labels": cells(*labels)})) == E["MODEL_LABEL"]


def test_labels_are_names_of_any_language_and_may_fill_their_room() -> None:
    labels = ("ja" * 15 + "!", "да", "日本語日本語日本語日", "yes", "[red]x")
    model = parse(make_image(arrays={"labels": cells(*labels), "name": cells("модель")}))
    for c, label in enumerate(labels):
        raw = label.encode()
        assert lib.tkws_model_class(model.pointer, raw, len(raw)) == c
        assert lib.tkws_model_class(model.pointer, raw, len(raw) - 1) == E["LABEL"]
        assert lib.tkws_model_class(model.pointer, raw + b"x", len(raw) + 1) == E["LABEL"]
    for raw in (b"", b"\0", b"yes\0", b"y" * 32, bytes(31), bytes(32)):
        assert lib.tkws_model_class(model.pointer, raw, len(raw)) == E["LABEL"]


@given(st.binary(max_size=600))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert parse_error(data) < 0


@given(st.data())
def test_random_sections_with_right_crcs_do_no_harm(data: st.DataObject) -> None:
    # everything but the sections' contents is right: it must be caught by its own check
    words = st.sampled_from([0, 1, 2, 5, 40, 80, 160, 400, 4096, 16000, 65535, 2**31, BIG])
    numbers = struct.pack("<39I", *data.draw(st.lists(words, min_size=39, max_size=39)))
    kinds = data.draw(st.lists(st.sampled_from([*SECTIONS, "xtra"]), max_size=12))
    parts = [(kind, data.draw(st.binary(max_size=40))) for kind in kinds]
    assert parse_error(join([("Numb", numbers), *parts])) < 0


@given(
    st.lists(
        st.tuples(st.integers(0, len(PARTS) - 1), st.integers(0, 4000), st.integers(0, 255)),
        min_size=1,
        max_size=4,
    )
)
def test_changed_payloads_with_right_crcs_are_parsed_or_refused(
    changes: list[tuple[int, int, int]],
) -> None:
    parts = [(kind, bytearray(payload)) for kind, payload in sections(make_image())]
    for which, at, value in changes:
        payload = parts[which][1]
        payload[at % len(payload)] = value
    image = join([(kind, bytes(payload)) for kind, payload in parts])
    if parse_error(image) == 0:
        machine = Machine(image)  # and what is parsed can be run
        machine.take(np.full((3, 80), 20, np.int8), 0, 15)
        assert machine.is_intact()


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
    assert dict(sections(image))["Numb"] == header_bytes(header)
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
