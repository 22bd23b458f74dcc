# SPDX-License-Identifier: Apache-2.0
"""A fault at places of a session that are drawn by a seed; `make line` has one at every place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from line_faults import BYTES, FRAMES, WAYS, ByteFault, Case, FrameFault, Session, named
from loopback_device import Board, Flash
from tracekws.device import protocol
from tracekws.errors import code

SEED = 1
PLACES = 100
"""Of bytes, of each kind and way; of frames all are taken."""


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    return Session(folder)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [*BYTES, *FRAMES])
def test_one_fault(session: Session, way: str, kind: str) -> None:
    """Each case that fails is shown with the name that runs it alone."""
    places = session.places[way, ByteFault if kind in BYTES else FrameFault]
    number = [*BYTES, *FRAMES].index(kind) + 100 * WAYS.index(way)
    drawn = np.random.default_rng((SEED, number)).permutation(places)
    verdicts = [
        session.judge(Case(way, kind, int(place)))
        for place in sorted(drawn[: PLACES if kind in BYTES else None])
    ]
    wrong = [f"make line CASE={v.case}: {v.why}" for v in verdicts if v.what == "wrong"]
    assert wrong == []
    assert sum(verdict.what == "recovered" for verdict in verdicts) >= 0.9 * len(verdicts)


def test_the_session_is_worth_it(session: Session) -> None:
    """It does all that it says: it hears, its weights and its flash change with each step."""
    results = session.clean[-1].results
    assert all(clean.error == "" for clean in session.clean)
    assert results[2:5] == (1, 2, 1)
    assert len(results[5]) >= 5
    states = [clean.state for clean in session.clean]
    for before, after in ((1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8)):
        assert states[before] != states[after]
    assert states[2].changed
    assert states[2].weights != states[1].weights
    assert states[-1].saved[0] != states[0].saved[0]
    assert min(session.places.values()) > 30


def test_the_faults_are_as_named() -> None:
    line = b"abc\0de\0\0f\0gh\0"
    expected = {
        ("byte-lost", 1): b"ac\0de\0\0f\0gh\0",
        ("byte-doubled", 1): b"abbc\0de\0\0f\0gh\0",
        ("byte-zero", 1): b"a\0c\0de\0\0f\0gh\0",
        ("zero-inserted", 1): b"a\0bc\0de\0\0f\0gh\0",
        ("frame-lost", 1): b"abc\0\0f\0gh\0",
        ("frame-repeated", 1): b"abc\0de\0de\0\0f\0gh\0",
        ("frame-swapped", 1): b"abc\0\0f\0de\0gh\0",
        ("frame-late", 1): b"abc\0\0f\0gh\0de\0",
        ("frame-again", 1): b"abc\0de\0\0f\0gh\0de\0",
    }
    for (kind, place), spoilt in expected.items():
        case = Case("up", kind, place)
        assert named(str(case)) == case
        for size in (1, 2, 100):
            fault = (ByteFault if kind in BYTES else FrameFault)(case)
            parts = [fault.carry(line[at : at + size]) for at in range(0, len(line), size)]
            assert b"".join(parts) == spoilt, kind
            assert fault.did_something
    flipped = ByteFault(Case("up", "bit-flipped", 1)).carry(line)
    assert (flipped[1] ^ line[1]).bit_count() == 1
    assert flipped[:1] + line[1:2] + flipped[2:] == line


CHANGES: dict[str, Any] = {
    "model_crc": 1,
    "weights": b"",
    "changed": True,
    "generation": 7,
    "slots": ("corrupt", "valid"),
    "wear": (9, 9),
    "session": 1,
    "saved": (0, b"", 0),
    "flash": b"",
}


@pytest.mark.parametrize("field", CHANGES)
def test_another_state_is_wrong(session: Session, field: str) -> None:
    clean = session.clean[-1]
    other = replace(clean, state=replace(clean.state, **{field: CHANGES[field]}))
    assert session.compare(clean) == ("recovered", "")
    assert session.compare(other)[0] == "wrong"
    failed = replace(clean, error="an error", results=clean.results[:3])
    for state, what in ((session.clean[3].state, "error"), (session.clean[4].state, "error")):
        assert session.compare(replace(failed, state=state))[0] == what
        spoilt = replace(state, **{field: CHANGES[field]})
        assert session.compare(replace(failed, state=spoilt))[0] == "wrong"
    assert session.compare(replace(failed, state=session.clean[2].state))[0] == "wrong"
    assert session.compare(replace(clean, results=(*clean.results[:-1], b"")))[0] == "wrong"


# --- requests that come late, by hand


class Asker:
    """A board without a line."""

    def __init__(self, folder: Path, image: bytes) -> None:
        self.board = Board(folder, image, Flash())

    def __call__(self, command: int, number: int, body: bytes = b"") -> tuple[int, bytes]:
        self.board.write(protocol.request(command, number % (1 << 32), body))
        parsed = [protocol.parse(m) for m in protocol.FrameReader().push(self.board.read())]
        (answer,) = [m for m in parsed if m and m.kind != protocol.WORKING]
        assert (answer.kind, answer.request) == (command | 0x80, number % (1 << 32))
        return answer.status, answer.body


@pytest.fixture
def ask(folder: Path, image: bytes) -> Asker:
    return Asker(folder, image)


LATE = (code("SEQUENCE"), b"")
HELLO = protocol.pack_hello(protocol.PROTOCOL_VERSION)


@pytest.mark.parametrize("first", [1, 2**32 - 2, 2**32 - 1, 2**31])
def test_a_request_that_comes_late_is_not_done(ask: Asker, first: int) -> None:
    assert ask(protocol.HELLO, first, HELLO)[0] == 0
    saved = ask(protocol.SAVE, first + 1)
    assert (saved[0], protocol.parse_generation(saved[1])) == (0, 1)
    assert ask(protocol.SAVE, first + 1) == saved, "a repeat, not late"
    assert ask(protocol.HEALTH, first + 2)[0] == 0
    for number in (first + 1, first + 2, first + 2 - 65535):
        assert ask(protocol.SAVE, number) == LATE
    before = ask(protocol.INFO, first + 3)
    assert ask(protocol.INFO, first + 3) == before, "what came late did not replace the answer"
    assert protocol.parse_info(before[1]).generation == 1
    assert ask(protocol.SAVE, first + 4)[0] == 0


def test_another_host_s_ids_may_be_any(ask: Asker) -> None:
    assert ask(protocol.HEALTH, 70000)[0] == 0
    assert ask(protocol.HELLO, 69999, HELLO)[0] == 0
    assert ask(protocol.HEALTH, 70000)[0] == 0
    assert ask(protocol.HEALTH, 70000 - 65536)[0] == 0, "too far behind to be of this host"


def test_data_may_overtake_data_only(ask: Asker) -> None:
    def data(number: int, request: int) -> tuple[int, bytes]:
        return ask(protocol.DATA, request, protocol.pack_data(number, 0, bytes(640)))

    assert ask(protocol.LISTEN, 10)[0] == 0
    assert data(1, 12)[0] == code("SEQUENCE")
    status, body = data(0, 11)
    assert (status, protocol.parse_position(body).next) == (0, 1)
    assert ask(protocol.END, 13)[0] == 0
    assert ask(protocol.LISTEN, 14)[0] == 0
    assert data(0, 11) == LATE, "of the stream before"
    status, body = data(0, 15)
    assert (status, protocol.parse_position(body).next) == (0, 1)
