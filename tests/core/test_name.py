# SPDX-License-Identifier: Apache-2.0
"""What may be a name: every character there is, and every way to write one badly."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracekws._core import ffi, lib


def is_name(raw: bytes) -> bool:
    return bool(lib.tkws_name_valid(ffi.from_buffer(raw), len(raw)))


DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def allowed(character: str) -> bool:
    """The rule of name.h, by Python's own tables."""
    return not (
        unicodedata.category(character) in ("Cc", "Cs", "Zs", "Zl", "Zp")
        or character.isspace()
        or ord(character) in DIRECTION
        or character in "/\\\u200b\ufeff"
    )


@pytest.mark.thorough
def test_every_character_is_allowed_or_not_as_the_rule_says() -> None:
    wrong = []
    for code in range(0x110000):
        character = chr(code)
        raw = ("x" + character + "y").encode("utf-8", "surrogatepass")
        if is_name(raw) != allowed(character):
            wrong.append(hex(code))
    assert wrong == []


@given(st.binary(max_size=34))
@example(b"\xc0\x80")  # zero in two bytes
@example(b"\xc1\xbf")
@example(b"\xe0\x9f\xbf")
@example(b"\xe0\x80\xaf")  # a slash in three
@example(b"\xf0\x8f\xbf\xbf")
@example(b"\xed\xa0\x80")  # a surrogate
@example(b"\xf4\x90\x80\x80")  # beyond the last
@example(b"\xf8\x88\x80\x80\x80")
@example(b"\xff")
@example(b"x\x80")
@example(b"\xe3\x81")
@example(b"\xc3")
@example(b"\xc3A")
def test_bytes_are_a_name_only_as_utf8(raw: bytes) -> None:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        assert not is_name(raw)
        return
    right = 1 <= len(raw) <= 31 and text[0] != "." and all(map(allowed, text))
    assert is_name(raw) == right


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs"]), min_size=1, max_size=31))
def test_texts(text: str) -> None:
    raw = text.encode()
    right = len(raw) <= 31 and text[0] != "." and all(map(allowed, text))
    assert is_name(raw) == right


@pytest.mark.parametrize("text", ["yes", "x" * 31, "да", "[red]x", "_unknown_", "a.b", "-", "~"])
def test_names(text: str) -> None:
    assert is_name(text.encode())


@pytest.mark.parametrize("text", ["", "x" * 32, ".", "..", ".x", "a/b", "a\\b", "a b", "\x7f"])
def test_no_names(text: str) -> None:
    assert not is_name(text.encode())


def length(cell: bytes) -> int:
    assert len(cell) == 32
    result: int = lib.tkws_name_length(ffi.from_buffer(cell))
    return result


def test_a_cell_holds_a_name_and_zeros() -> None:
    for n in range(1, 32):
        assert length(b"x" * n + bytes(32 - n)) == n
        for at in range(n + 1, 32):
            assert length(b"x" * n + bytes(at - n) + b"x" + bytes(31 - at)) == 0
    assert length(bytes(32)) == 0
    assert length(b"x" * 32) == 0
    assert length("д".encode() * 15 + b"\xd0\0") == 0
