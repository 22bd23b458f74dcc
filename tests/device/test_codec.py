# SPDX-License-Identifier: Apache-2.0
"""Frames: the device's codec and the host's agree on everything, rubbish included."""

import re
import subprocess
from itertools import pairwise
from typing import Any

import pytest
from cffi import FFI
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_device import Start
from toolchain import ROOT, find
from tracekws.device import protocol
from tracekws.device.transport import open_transport
from tracekws.errors import ProtocolError, table

MAX_MESSAGE = 700
DAMAGED = table()[-64].code
quick = settings(deadline=None, derandomize=True, max_examples=200)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The firmware's codec, callable."""
    library = tmp_path_factory.mktemp("codec") / "codec.so"
    app, core = ROOT / "firmware" / "app", ROOT / "firmware" / "core"
    command = [find("cc"), "-std=c11", "-O1", "-shared", "-fPIC", f"-I{core / 'include'}"]
    sources = [app / "frame.c", core / "src" / "crc32.c"]
    subprocess.run([*command, *sources, "-o", library], check=True)
    ffi = FFI()
    ffi.cdef(
        """
        typedef struct { uint8_t bytes[704]; size_t n_bytes; uint8_t code; uint8_t left;
                         _Bool overflow; } tkws_app_decoder;
        int tkws_app_decode(tkws_app_decoder *decoder, uint8_t byte, size_t *n_message);
        size_t tkws_app_encode(uint8_t *message, size_t n_message, uint8_t *encoded);
        """
    )
    return ffi, ffi.dlopen(str(library))


def c_encode(codec: Any, message: bytes) -> bytes:
    ffi, lib = codec
    data = ffi.new("uint8_t[]", message + bytes(4))
    out = ffi.new("uint8_t[]", len(message) + 4 + (len(message) + 4) // 254 + 2)
    return bytes(ffi.buffer(out, lib.tkws_app_encode(data, len(message), out)))


def c_decode(codec: Any, line: bytes) -> tuple[list[bytes], int]:
    """Messages on a line, and how many frames were damaged."""
    ffi, lib = codec
    decoder, n = ffi.new("tkws_app_decoder *"), ffi.new("size_t *")
    messages, n_damaged = [], 0
    for byte in line:
        result = lib.tkws_app_decode(decoder, byte, n)
        if result == 1:
            messages.append(bytes(ffi.buffer(decoder.bytes, n[0])))
        elif result != 0:
            assert result == DAMAGED
            n_damaged += 1
    return messages, n_damaged


# zeros, and runs around the 254 bytes of a full block, are what breaks codecs
pieces = st.one_of(
    st.binary(max_size=20),
    st.integers(250, 258).map(lambda n: b"x" * n),
    st.integers(0, 5).map(bytes),
)
messages = st.lists(pieces, min_size=1, max_size=4).map(
    lambda parts: (b"m" + b"".join(parts))[:MAX_MESSAGE]
)


@quick
@given(messages)
def test_both_ends_agree(codec: Any, message: bytes) -> None:
    frame = protocol.encode(message)
    assert c_encode(codec, message) == frame
    assert 0 not in frame[:-1]
    assert c_decode(codec, frame) == ([message], 0)
    assert protocol.decode(frame[:-1]) == message


@quick
@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 3000)))
def test_any_division_of_the_line(sent: list[bytes], cuts: list[int]) -> None:
    line = b"\0".join(protocol.encode(message) for message in sent)
    places = sorted({0, len(line), *(cut % (len(line) + 1) for cut in cuts)})
    reader = protocol.FrameReader()
    assert [m for a, b in pairwise(places) for m in reader.push(line[a:b])] == sent
    assert reader.n_damaged == 0


@quick
@given(st.binary(max_size=1500), messages)
def test_rubbish_then_a_frame(codec: Any, rubbish: bytes, message: bytes) -> None:
    line = rubbish + b"\0" + protocol.encode(message)
    reader = protocol.FrameReader()
    assert reader.push(line) == c_decode(codec, line)[0] == [message]


@quick
@given(messages, st.data())
def test_no_flipped_bit_gets_through(codec: Any, message: bytes, data: st.DataObject) -> None:
    frame = bytearray(protocol.encode(message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= 1 << data.draw(st.integers(0, 7))
    line = bytes(frame) + b"\0"
    assert c_decode(codec, line)[0] == []
    assert protocol.FrameReader().push(line) == []


@pytest.mark.parametrize("n_bytes", [MAX_MESSAGE - 1, MAX_MESSAGE, MAX_MESSAGE + 1, 3000])
def test_longest_message(codec: Any, n_bytes: int) -> None:
    message = b"\x01" * n_bytes
    fits = n_bytes <= MAX_MESSAGE
    after = b"after"
    line = protocol.encode(message) + protocol.encode(after)
    assert protocol.FrameReader().push(line) == ([message, after] if fits else [after])
    assert c_decode(codec, line) == ([message, after] if fits else [after], int(not fits))


def test_a_frame_without_end() -> None:
    reader = protocol.FrameReader()
    for _ in range(100):
        assert reader.push(b"\x55" * 1000) == []
        assert len(reader._pending) <= protocol.FrameReader.MAX_FRAME + 1
    assert reader.push(b"\0" + protocol.encode(b"message")) == [b"message"]


@quick
@given(st.binary(max_size=200))
def test_answers_of_any_length(body: bytes) -> None:
    protocol.parse(body)
    for parse in (
        protocol.parse_version,
        protocol.parse_hello,
        protocol.parse_info,
        protocol.parse_health,
        protocol.parse_labels,
        protocol.parse_polled,
        protocol.parse_pcm,
        protocol.parse_credit,
        protocol.parse_position,
        protocol.parse_scores,
        protocol.parse_generation,
    ):
        try:
            parse(body)
        except ProtocolError:
            continue


# --- docs/protocol.md -----------------------------------------------------------------------------

DOCS = (ROOT / "docs" / "protocol.md").read_text()


def examples() -> list[tuple[bytes, list[bytes]]]:
    """What is sent, and the frames that come back."""
    found = []
    for block in re.findall(r"```\n((?:[<>] .*\n)+)```", DOCS):
        lines = [(line[0], bytes.fromhex(line[2:])) for line in block.splitlines()]
        assert lines[0][0] == ">"
        assert all(way == "<" for way, _ in lines[1:])
        found.append((lines[0][1], [frame for _, frame in lines[1:]]))
    return found


def mask_firmware(message: bytes) -> bytes:
    """The message; in an answer to HELLO without the version of the firmware."""
    hello = message[0] == protocol.HELLO | protocol.ANSWER
    return message[:9] + bytes(4) + message[13:] if hello else message


def test_examples_are_what_the_board_does(start: Start) -> None:
    assert len(examples()) >= 10
    transport = open_transport(start().port)
    reader = protocol.FrameReader()
    for sent, answers in examples():
        transport.write(sent)
        expected = [protocol.decode(answer[:-1]) for answer in answers]
        assert None not in expected
        got: list[bytes] = []
        while len(got) < len(expected):
            got += reader.push(transport.read())
        assert [mask_firmware(m) for m in got] == [mask_firmware(m or b"") for m in expected]
    transport.close()


def test_errors_are_documented() -> None:
    rows = re.findall(r"^\| (-\d+) \| `(\w+)` \| (.*) \|$", DOCS, re.MULTILINE)
    assert {(int(n), name, text) for n, name, text in rows} == set(table().values())


def test_requests_are_documented() -> None:
    """The page, the firmware's table and the host's names have the same numbers."""
    rows = re.findall(r"^#+ (\w+) `([0-9A-F]{2})`", DOCS, re.MULTILINE)
    rows += [
        (name, n) for n, name in re.findall(r"^(?:\| )?`(\w\w)`(?: \|)? (\w+) ", DOCS, re.MULTILINE)
    ]
    documented = {name: int(number, 16) for name, number in rows}
    table = (ROOT / "firmware" / "app" / "requests.def").read_text()
    defined = re.findall(r"^TKWS_REQUEST\((0x\w+), (\w+),", table, re.MULTILINE)
    assert len(defined) == table.count("\nTKWS_REQUEST(") == len(documented)
    assert {name: int(number, 16) for number, name in defined} == documented
    assert {name: getattr(protocol, name) for name in documented} == documented


def test_numbers_are_documented() -> None:
    """As the page says them in words."""
    assert f"The protocol version is {protocol.PROTOCOL_VERSION}." in DOCS
    assert f"A message has at most {protocol.MAX_MESSAGE} bytes." in DOCS
    assert f"Each DATA carries {protocol.LOAD_BYTES} bytes of the image" in DOCS
    assert f"steps of {protocol.FEATURE_BYTES} `i8`" in DOCS
    assert f"events that follow; at most {protocol.EVENTS} |" in DOCS
    assert f"{protocol.PCM} PCM, {protocol.FEATURES} features" in DOCS
    assert f"`{protocol.MODEL_METHOD:X}` for the model's" in DOCS
    assert f"`u8` command + `{protocol.ANSWER:X}`" in DOCS
    assert f"- `{protocol.DAMAGED:X}` with id 0 and status `FRAME`" in DOCS
    assert f"- `{protocol.WORKING:X}` with the id of a request" in DOCS
