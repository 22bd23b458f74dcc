# SPDX-License-Identifier: Apache-2.0
"""Names over the line: labels of any language and length, asked for and learned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images import cells, make_image
from loopback_device import Board, connect
from tracekws.core import Model
from tracekws.device import protocol
from tracekws.device.driver import Driver
from tracekws.errors import DeviceError, ProtocolError, code

Ask = Callable[..., Any]

WORDS = {
    "one byte": tuple("abcde"),
    "any language": ("да", "日本語", "سلام", "_unknown_", "_silence_"),
    "as long as can be": tuple(f"{n:02}" + "é" * 14 + "x" for n in range(32)),
}


def image_of(words: tuple[str, ...]) -> bytes:
    return make_image(n_classes=len(words), arrays={"labels": cells(*words)})


@pytest.fixture(params=WORDS)
def words(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return WORDS[request.param]


def test_every_label_is_told(folder: Path, words: tuple[str, ...]) -> None:
    image = image_of(words)
    info = connect(Board(folder, image)).info()
    assert info.labels == words == Model(image).labels
    assert (info.unknown, info.silence) == words[-2:]


def test_a_word_of_any_label_is_learned(folder: Path, words: tuple[str, ...]) -> None:
    device = connect(Board(folder, image_of(words)))
    features = np.full((10, 80), 20, np.int8)
    with device.learn(1) as session:
        for word in words:
            session.take_features(word, features, 32767)
        for wrong in (words[0] + "x", words[0][:-1], "", "x" * 32, "x" * 1000, "\udc80"):
            with pytest.raises(DeviceError) as refused:
                session.take_features(wrong, features, 32767)
            assert refused.value.name == "LABEL"


def test_a_word_is_the_same_in_any_form_of_unicode(folder: Path) -> None:
    words = ("caf\u00e9", "no", "up", "_unknown_", "_silence_")
    device = connect(Board(folder, image_of(words)))
    with device.learn(1) as session:
        session.take_features("cafe\u0301", np.full((10, 80), 20, np.int8), 32767)


@pytest.fixture
def ask(folder: Path) -> Ask:
    """Sends a request to a board with five classes; gives the status and the answer's body."""
    device = connect(Board(folder, image_of(WORDS["any language"])))

    def request(command: int, body: bytes = b"") -> tuple[int, bytes]:
        answer = device._link.ask(command, body)
        return answer.status, answer.body

    return request


@pytest.mark.parametrize("first", range(5))
def test_labels_from_any_class_on(ask: Ask, first: int) -> None:
    status, body = ask(protocol.LABELS, protocol.pack_labels(first))
    assert (status, protocol.parse_labels(body)) == (0, WORDS["any language"][first:])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "LENGTH"),
        (b"\0", "LENGTH"),
        (bytes(3), "LENGTH"),
        (b"\5\0", "ARGUMENT"),
        (b"\xff\xff", "ARGUMENT"),
    ],
)
def test_labels_that_there_are_not(ask: Ask, body: bytes, error: str) -> None:
    assert ask(protocol.LABELS, body) == (code(error), b"")


@pytest.mark.parametrize("n_bytes", [0, 1, 2, 4, 5, 6, 17, 36, 37, 100, 690])
def test_a_take_of_any_length(ask: Ask, n_bytes: int) -> None:
    head = protocol.pack_take(1, 1, 1, "")
    body = (head + b"\xd0\xb4" * 400)[:n_bytes]
    assert ask(protocol.LEARN, bytes(4))[0] == 0
    assert ask(protocol.TAKE, body)[0] == code("LENGTH" if n_bytes < 5 else "LABEL")
    whole = head + "да".encode()
    assert ask(protocol.TAKE, whole + b"\0")[0] == code("LABEL")
    assert ask(protocol.TAKE, whole)[0] == 0


def test_longest_labels_come_in_whole_messages(folder: Path) -> None:
    words = WORDS["as long as can be"]
    device = connect(Board(folder, image_of(words)))
    answer = device._link.request(protocol.LABELS, protocol.pack_labels(0))
    assert protocol.parse_labels(answer) == words[:21]  # of 32 bytes each, in 693
    answer = device._link.request(protocol.LABELS, protocol.pack_labels(21))
    assert protocol.parse_labels(answer) == words[21:]


# --- what a device may not say --------------------------------------------------------------------


def labels(*names: bytes) -> bytes:
    return b"".join(bytes([len(name)]) + name for name in names)


FIVE = (b"yes", b"no", b"up", b"_unknown_", b"_silence_")
LIES = {
    "an escape": labels(b"\x1b[31mred", *FIVE[1:]),
    "a bell": labels(b"yes\x07", *FIVE[1:]),
    "a path": labels(b"../../../pwn", *FIVE[1:]),
    "dots": labels(b"..", *FIVE[1:]),
    "no UTF-8": labels(b"\xff\xfe", *FIVE[1:]),
    "another direction": labels("\u202eyes".encode(), *FIVE[1:]),
    "not composed": labels("cafe\u0301".encode(), *FIVE[1:]),
    "an empty one": labels(b"", *FIVE[1:]),
    "too long a one": labels(b"x" * 32, *FIVE[1:]),
    "one twice": labels(*FIVE[:2], b"yes", *FIVE[3:]),
    "one too many": labels(*FIVE, b"more"),
    "none": b"",
    "half of one": labels(*FIVE)[:-1],
}


@pytest.fixture
def lied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bytes], Driver]:
    """A device whose answer to one request is another one."""

    def device(command: int, body: bytes) -> Driver:
        made = connect(Board(folder, image_of(WORDS["one byte"])))
        true = made._link.request
        monkeypatch.setattr(
            made._link, "request", lambda c, b=b"": body if c == command else true(c, b)
        )
        return made

    return device


@pytest.mark.parametrize("lie", LIES)
def test_labels_that_no_model_has_are_refused(
    lied: Callable[[int, bytes], Driver], lie: str
) -> None:
    device = lied(protocol.LABELS, LIES[lie])
    for use in (device.info, lambda: device.classify(np.zeros(16000, np.int16))):
        with pytest.raises(ProtocolError) as refused:
            use()
        assert str(refused.value).isprintable()
        assert str(refused.value).isascii()


@pytest.mark.parametrize("name", [b"", b"\x1b]0;owned\x07", b"a/b", b"\xff", b"x" * 32])
def test_a_model_without_a_name_is_refused(
    lied: Callable[[int, bytes], Driver], folder: Path, name: bytes
) -> None:
    true = connect(Board(folder, image_of(WORDS["one byte"])))._link.request(protocol.INFO)
    device = lied(protocol.INFO, name.ljust(32, b"\0") + true[32:])
    with pytest.raises(ProtocolError, match=r"^[ -~]*$"):
        device.info()


@pytest.mark.parametrize(
    ("n_classes", "unknown", "silence"),
    [(65535, 3, 4), (33, 3, 4), (0, 0, 1), (5, 5, 4), (5, 3, 65535), (5, 4, 4)],
)
def test_classes_that_no_model_has_are_refused(
    lied: Callable[[int, bytes], Driver], folder: Path, n_classes: int, unknown: int, silence: int
) -> None:
    true = connect(Board(folder, image_of(WORDS["one byte"])))._link.request(protocol.INFO)
    numbers = b"".join(n.to_bytes(2, "little") for n in (n_classes, unknown, silence))
    with pytest.raises(ProtocolError, match="class"):
        lied(protocol.INFO, true[:40] + numbers + true[46:]).info()
