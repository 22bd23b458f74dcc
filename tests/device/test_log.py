# SPDX-License-Identifier: Apache-2.0
"""Saves of takes alone: appended to a log, without an erase; undone, forgotten, cut, damaged."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from images import Form, Own, make_image, with_own_words, with_traces
from loopback_device import Board, Flash, connect
from reference_device import keep_take, teach
from toolchain import ROOT
from tracekws.core import Model
from tracekws.device.driver import Driver
from tracekws.errors import StorageError

Make = Callable[..., Board]
OWN = Own(n_words=5, least_q15=3000, agreement_q15=3000, single_q15=0, rival_q15=0)
SLOT = 16384
BODY = 48
GRAIN = 16
HEAD = 12
CRC = 4


class Counted(Flash):
    """Flash that counts erases, and lets no unit be programmed twice but with zeros."""

    n_erases = 0
    n_bytes_programmed = 0

    def __init__(self, unit: int = 1, n_bytes: int = 2 * SLOT, sector: int = 4096) -> None:
        super().__init__(n_bytes=n_bytes, unit=unit, sector=sector)

    def program(self, offset: int, data: bytes) -> bool:
        for at in range(0, len(data), self.unit):
            old = self.data[offset + at : offset + at + self.unit]
            assert old == b"\xff" * self.unit or not any(data[at : at + self.unit])
        self.n_bytes_programmed += len(data)
        return super().program(offset, data)

    def erase(self, offset: int) -> bool:
        self.n_erases += 1
        return super().erase(offset)


class Cut(Counted):
    """Its power fails at a unit that is programmed: from then on nothing is done any more."""

    n_units_left = 1 << 30

    def program(self, offset: int, data: bytes) -> bool:
        n = min(self.n_units_left, len(data) // self.unit)
        self.n_units_left -= n
        done = data[: n * self.unit]
        return (not done or super().program(offset, done)) and len(done) == len(data)

    def erase(self, offset: int) -> bool:
        return self.n_units_left > 0 and super().erase(offset)


class Weak(Counted):
    """Where a record was cut, bytes read as erased and were programmed: zeros alone may follow."""

    places = range(0)

    def program(self, offset: int, data: bytes) -> bool:
        ours = data[max(0, self.places.start - offset) : max(0, self.places.stop - offset)]
        assert not any(ours)
        return super().program(offset, data)


@pytest.fixture(scope="module")
def open_image(image: bytes) -> bytes:
    """The model of the other tests, with room for words of the user's own."""
    return with_own_words(with_traces(image, Form.random(16, rank=3, seed=1)), OWN)


@pytest.fixture
def make(folder: Any, open_image: bytes) -> Make:
    return lambda flash, image=open_image, **options: Board(folder, image, flash=flash, **options)


@pytest.fixture
def start(make: Make) -> Callable[[Flash], Driver]:
    """The device after its power was off."""
    return lambda flash: connect(make(flash))


Start = Callable[[Flash], Driver]


def log_at(device: Driver, unit: int = 1) -> int:
    """Where the log begins, from the start of its slot."""
    whole = [-(-n // unit) * unit for n in (32, 16, device.info().trainable_bytes)]
    return sum(whole)


def record(magic: bytes, before: int, words: bytes = b"") -> bytes:
    """A record as storage's documents have it."""
    data = struct.pack("<4sII", magic, before, len(words)) + words
    data += struct.pack("<I", zlib.crc32(data))
    return data + bytes(-len(data) % GRAIN)


def save_takes(device: Driver, *words: str) -> list[bytes]:
    """Keep a take of each word and save it; the weights after each save."""
    states = []
    for seed, word in enumerate(words, 1):
        states.append(keep_take(device, seed, word))
        device.save()
    return states


UNITS = pytest.mark.parametrize("unit", [1, 4, 256])


# --- saving


@UNITS
def test_takes_are_saved_without_an_erase(start: Start, unit: int) -> None:
    flash = Counted(unit=unit)
    device = start(flash)
    keep_take(device, 1, "lamp")
    assert device.save() == 1
    n_erases = flash.n_erases
    for generation, word in enumerate(("window", "lamp", "yes"), 2):
        learned = keep_take(device, generation, word)
        assert device.info().changed
        assert device.save() == generation
        info = device.info()
        assert (info.generation, info.changed, info.slots) == (
            generation,
            False,
            ("valid", "empty"),
        )
        device = start(flash)
        assert device.weights() == learned
        assert device.info() == info
    assert flash.n_erases == n_erases


def test_records_are_as_documented(start: Start) -> None:
    flash = Counted()
    device = start(flash)
    device.save()
    at = log_at(device)
    assert flash.data[at : at + 2 * GRAIN] == bytes(GRAIN) + b"\xff" * GRAIN
    learned = keep_take(device, 1, "lamp")
    assert device.save() == 2
    model = device.info()
    n_classes, n_row = len(model.labels), 18
    assert len(learned) == model.trainable_bytes
    takes = learned[-(n_classes + OWN.n_words) * n_row - OWN.n_words * 34 :]
    row = takes[n_classes * n_row :][:n_row]
    own = takes[(n_classes + OWN.n_words) * n_row :][:34]
    assert own.startswith(b"lamp\0")
    first = record(b"TKLR", 0, struct.pack("<H", n_classes) + row + own)
    expected = bytes(GRAIN) + first + bytes(GRAIN)
    assert flash.data[at : at + len(expected)] == expected
    assert device.undo() == 1
    expected += record(b"TKLU", 0) + bytes(GRAIN)
    assert flash.data[at : at + len(expected)] == expected
    assert set(flash.data[at + len(expected) : SLOT]) == {0xFF}
    device = start(flash)
    keep_take(device, 2, "window")
    device.save()
    assert flash.data[at + len(expected) :].startswith(bytes(GRAIN) + b"TKLR"), "after a start"


def test_weights_are_saved_as_a_whole(start: Start) -> None:
    flash = Counted()
    device = start(flash)
    _, before = save_takes(device, "lamp", "window")
    n_erases = flash.n_erases
    learned = teach(device, 3)
    assert device.save() == 3
    assert flash.n_erases == n_erases + SLOT // flash.sector
    device = start(flash)
    assert device.weights() == learned
    assert device.info().slots == ("valid", "valid")
    assert device.undo() == 2
    assert device.weights() == before


@UNITS
def test_a_log_that_is_full_is_saved_as_a_whole(start: Start, unit: int) -> None:
    """Nothing is lost, and there is always more than one way back."""
    flash = Counted(unit=unit)
    device = start(flash)
    states = [keep_take(device, 0, "lamp")]
    device.save()
    n_without, longest = 0, 0
    for generation in range(2, 200):
        n_erases = flash.n_erases
        states.append(keep_take(device, generation, "lamp"))
        assert device.save() == generation
        assert device.weights() == states[-1]
        n_without = 0 if flash.n_erases > n_erases else n_without + 1
        longest = max(longest, n_without)
        if longest > n_without + 3:
            break
    assert longest > 8
    device = start(flash)
    assert device.weights() == states.pop()
    for _ in range(min(8, longest)):
        device.undo()
        assert device.weights() == states.pop()


def test_a_save_without_a_change_is_a_generation(start: Start) -> None:
    flash = Counted()
    device = start(flash)
    keep_take(device, 1, "lamp")
    assert [device.save() for _ in range(3)] == [1, 2, 3]
    assert flash.n_erases == SLOT // flash.sector
    assert start(flash).info().generation == 3


# --- taking back


@UNITS
@pytest.mark.parametrize("restarts", [False, True], ids=["at-once", "each-after-a-start"])
def test_four_sessions_are_taken_back(start: Start, unit: int, restarts: bool) -> None:
    flash = Counted(unit=unit)
    device = start(flash)
    states = [device.weights()]
    for generation in range(1, 6):
        states.append(keep_take(device, generation, "lamp"))
        device.save()
    n_erases = flash.n_erases
    for generation in range(4, 0, -1):
        if restarts:
            device = start(flash)
        assert device.undo() == generation
        assert device.weights() == states[generation]
        assert not device.info().changed
    assert flash.n_erases == n_erases
    device = start(flash)
    assert device.weights() == states[1]
    assert device.undo() == 0
    assert device.weights() == states[0]
    with pytest.raises(StorageError, match="nothing has been saved"):
        device.undo()


def test_saving_goes_on_from_what_was_gone_back_to(start: Start) -> None:
    device = start(Counted())
    states = {}
    for generation, word in enumerate(("lamp", "window", "door"), 1):
        states[generation] = keep_take(device, generation, word)
        device.save()
    assert device.undo() == 2
    learned = keep_take(device, 9, "yes")
    assert device.save() == 3
    assert device.weights() == learned
    assert list(device.words()) == ["lamp", "window"]
    assert device.undo() == 2
    assert device.weights() == states[2]
    assert device.undo() == 1
    assert device.weights() == states[1]


def test_undo_gives_up_what_is_not_saved(start: Start) -> None:
    device = start(Counted())
    first, _ = save_takes(device, "lamp", "window")
    teach(device, 3)
    assert device.undo() == 1
    assert device.weights() == first


@UNITS
def test_a_log_that_is_full_lets_four_be_taken_back(start: Start, unit: int) -> None:
    """Each after a start. Then it says that there is no way back, and changes nothing."""
    flash = Counted(unit=unit)
    device = start(flash)
    device.save()
    states, kept = [device.weights()], b""
    while device.info().slots[1] == "empty":
        kept = bytes(flash.data)
        states.append(keep_take(device, len(states), "lamp"))
        device.save()
    flash.data[:] = kept
    states.pop()
    n_erases = flash.n_erases
    n_undone, refused = 0, ""
    while not refused:
        before = bytes(flash.data)
        device = start(flash)
        assert device.info().generation == len(states)
        assert device.weights() == states[-1]
        try:
            device.undo()
        except StorageError as error:
            refused = error.name
        else:
            n_undone += 1
            states.pop()
    assert refused == "NO_UNDO"
    assert bytes(flash.data) == before
    assert n_undone >= 4
    assert flash.n_erases == n_erases
    learned = keep_take(device, 77, "window")
    assert device.save() == len(states) + 1
    assert start(flash).weights() == learned


# --- forgetting


def test_what_is_forgotten_is_nowhere_in_the_flash(start: Start) -> None:
    flash = Counted()
    device = start(flash)
    _, learned, _ = save_takes(device, "lamp", "window", "door")
    device.undo()
    row = learned[-OWN.n_words * 34 - (OWN.n_words - 1) * 18 :][:18]
    assert device.weights() == learned
    assert all(found in bytes(flash.data) for found in (b"window", b"door", row))
    device.forget_word("window")
    assert not any(found in bytes(flash.data) for found in (b"window", b"door", row))
    assert list(start(flash).words()) == ["lamp"]
    n_operations = flash.n_operations
    with pytest.raises(Exception, match="no class of the model"):
        device.forget_word("window")
    assert flash.n_operations == n_operations
    keep_take(device, 2, "window")
    device.save()
    device.forget()
    assert sum(byte != 0xFF for byte in flash.data) <= 2 * 16, "records of wear"


def test_a_forget_that_a_cut_has_ended_is_ended_at_the_start(start: Start) -> None:
    """The word is known as before, or it is nowhere."""
    seen = []
    for cut in range(60):
        flash = Cut(unit=256)
        device = start(flash)
        _, kept = save_takes(device, "lamp", "window")
        flash.n_units_left = cut
        done = True
        try:
            device.forget_word("lamp")
        except StorageError:
            done = False
            flash.n_units_left = 1 << 30
            device = start(flash)
        is_known = "lamp" in device.words()
        assert (device.weights() == kept) == is_known
        seen.append((is_known, b"lamp" in bytes(flash.data)))
        if done:
            break
    n_before = seen.index((False, False))
    assert seen[:n_before] == [(True, True)] * n_before
    assert seen[n_before:] == [(False, False)] * (len(seen) - n_before)
    assert n_before > 2
    assert len(seen) - n_before >= 2


# --- cuts and damage


@UNITS
def test_an_append_that_is_torn_leaves_the_state_before(start: Start, unit: int) -> None:
    """At every unit, and the next save is there after a start; so is the one before, by undo."""
    flash = Cut(unit=unit)
    device = start(flash)
    _, old = save_takes(device, "lamp", "window")
    kept = bytes(flash.data)
    n_done = 0
    for cut in range(400):
        flash.data[:] = kept
        flash.n_units_left = cut
        device = start(flash)
        new = keep_take(device, 3, "door")
        try:
            device.save()
        except StorageError:
            pass
        else:
            n_done += 1
            if n_done > 2:
                break
        flash.n_units_left = 1 << 30
        device = start(flash)
        found = device.weights()
        assert found in (old, new), cut
        assert device.info().generation == 2 + (found == new)
        assert device.info().slots[0] == "valid"
        learned = keep_take(device, 4, "yes")
        device.save()
        device = start(flash)
        assert device.weights() == learned
        device.undo()
        assert device.weights() == found
    assert n_done == 3


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_flash_that_refuses_an_append_gets_a_whole_save(start: Start, share: float) -> None:
    def saved_once() -> tuple[Counted, Driver, bytes]:
        flash = Counted()
        device = start(flash)
        keep_take(device, 1, "lamp")
        device.save()
        device = start(flash)
        return flash, device, keep_take(device, 2, "window")

    flash, device, learned = saved_once()
    n_before = flash.n_operations
    device.save()
    n_operations = flash.n_operations - n_before
    flash, device, learned = saved_once()
    flash.fail_at = flash.n_operations + 1 + int(share * (n_operations - 1))
    assert device.save() == 2
    assert device.weights() == learned
    assert start(flash).weights() == learned
    assert (device.info().slots[1] == "valid") == (share < 1), "the last grain is not needed"


@pytest.mark.parametrize("at", [0, 4, 8, HEAD + 1, HEAD + 20, 66])
def test_a_record_that_is_damaged_ends_what_holds(start: Start, at: int) -> None:
    """Later ones go on from it: what was saved before it is found, never a mixture."""
    flash = Counted()
    device = start(flash)
    states = []
    for seed, word in enumerate(("lamp", "window", "door", "lamp")):
        states.append(keep_take(device, seed, word))
        device.save()
    second = bytes(flash.data).index(b"TKLR", bytes(flash.data).index(b"TKLR") + 1)
    flash.data[second + at] ^= 0x10
    device = start(flash)
    assert device.weights() == states[1]
    assert device.info().generation == 2
    learned = keep_take(device, 9, "yes")
    device.save()
    assert start(flash).weights() == learned


@pytest.mark.parametrize("tail", [b"\0", b"TKLR", b"\xa5" * 40, bytes(range(1, 90))])
def test_what_is_behind_a_record_does_not_matter(start: Start, tail: bytes) -> None:
    flash = Counted()
    device = start(flash)
    _, learned = save_takes(device, "lamp", "window")
    end = max(i for i in range(SLOT) if flash.data[i] != 0xFF) + 1
    flash.data[end : end + len(tail)] = tail
    device = start(flash)
    assert device.weights() == learned
    n_erases = flash.n_erases
    learned = keep_take(device, 3, "door")
    assert device.save() == 3
    assert flash.n_erases == n_erases
    assert start(flash).weights() == learned


@pytest.mark.parametrize("end", ["slot", "record"])
def test_what_may_not_last_is_not_gone_on_from(start: Start, end: str) -> None:
    """The last write was cut, perhaps: nothing behind it says that it was not."""
    flash = Counted()
    device = start(flash)
    saved = [keep_take(device, 1, "lamp")]
    device.save()
    if end == "record":
        saved.append(keep_take(device, 2, "window"))
        device.save()
    last = max(i for i in range(SLOT) if flash.data[i] != 0xFF) + 1
    assert flash.data[last - GRAIN : last] == bytes(GRAIN)
    flash.data[last - GRAIN : last] = b"\xff" * GRAIN
    device = start(flash)
    assert device.weights() == saved[-1]
    learned = keep_take(device, 3, "door")
    device.save()
    assert device.info().slots == ("valid", "valid")
    flash.data[last - GRAIN - 4 if end == "record" else 28] ^= 1
    device = start(flash)
    assert device.weights() == learned


def test_records_that_no_one_wrote(start: Start) -> None:
    """Right CRCs, and words that there are not, or that reach too far."""
    flash = Counted()
    device = start(flash)
    learned = keep_take(device, 1, "lamp")
    device.save()
    at = log_at(device) + GRAIN
    n_classes = len(device.info().labels)
    good = struct.pack("<H", 0) + bytes([1]) + bytes(17)
    forged = [
        record(b"TKLR", 0, struct.pack("<H", n_classes + OWN.n_words) + bytes(52)),
        record(b"TKLR", 0, good[:-1]),
        record(b"TKLR", 0, good + b"\0"),
        record(b"TKLR", 0, struct.pack("<H", n_classes) + bytes(18)),
        record(b"TKLR", 16, good),
        record(b"TKLR", 2**32 - 1, good),
        record(b"TKLU", 0, good),
        record(b"TKLX", 0, good),
        struct.pack("<4sII", b"TKLR", 0, 2**32 - 1) + bytes(4),
        struct.pack("<4sII", b"TKLR", 0, SLOT) + bytes(4),
    ]
    kept = bytes(flash.data)
    for number, data in enumerate(forged):
        flash.data[:] = kept
        flash.data[at : at + len(data)] = data
        device = start(flash)
        assert device.weights() == learned, number
        assert device.info().generation == 1
    right = record(b"TKLR", 0, good)
    flash.data[at : at + len(right)] = right
    assert start(flash).info().generation == 2


@pytest.mark.parametrize("kind", ["broken", "chained"])
def test_a_log_full_of_long_records_is_read_in_little_time(start: Start, kind: str) -> None:
    """Broken: each grain is the head of one that reaches to the end of the slot. Chained: whole
    ones that go on from each other in turns, so that the whole chain is looked at for each."""

    class Read(Counted):
        n_bytes_read = 0

        def read(self, offset: int, n_bytes: int) -> bytes:
            self.n_bytes_read += n_bytes
            return super().read(offset, n_bytes)

    flash = Read()
    device = start(flash)
    learned = keep_take(device, 1, "lamp")
    device.save()
    at, two = log_at(device) + GRAIN, [0, 0]
    for place in range(at, SLOT - GRAIN, GRAIN):
        offset = place - at + GRAIN
        data = struct.pack("<4sII", b"TKLR", 0, max(0, SLOT - place - 256))
        if kind == "chained":
            data = record(b"TKLR", two[offset // GRAIN % 2], b"")
            two[offset // GRAIN % 2] = offset
        flash.data[place : place + len(data)] = data
    flash.n_bytes_read = 0
    device = start(flash)
    device.info()
    assert flash.n_bytes_read < 250 * SLOT
    assert kind == "chained" or device.weights() == learned


# --- other firmware


def test_a_slot_without_a_log_is_read(start: Start) -> None:
    """As an older firmware has written it. The next save begins a log."""
    flash = Counted()
    device = start(flash)
    learned = keep_take(device, 1, "lamp")
    device.save()
    at = log_at(device)
    flash.data[at : at + GRAIN] = b"\xff" * GRAIN
    device = start(flash)
    assert device.weights() == learned
    assert device.info().generation == 1
    learned = keep_take(device, 2, "window")
    assert device.save() == 2
    assert device.info().slots == ("valid", "valid")
    n_erases = flash.n_erases
    learned = keep_take(device, 2, "door")
    assert device.save() == 3
    assert flash.n_erases == n_erases
    assert start(flash).weights() == learned


def test_an_older_firmware_finds_the_body(start: Start) -> None:
    """The format is the first one, and the CRC that of the body alone."""
    flash = Counted()
    device = start(flash)
    first, _ = save_takes(device, "lamp", "window")
    words = struct.unpack_from("<4s7I", flash.data)
    assert words[:3] == (b"TKSL", 1, 1)
    assert flash.data[BODY : BODY + words[5]] == first
    assert words[6] == zlib.crc32(first)


def test_what_an_older_firmware_saved_after_a_log_is_newest(start: Start) -> None:
    flash = Counted()
    device = start(flash)
    for seed, word in enumerate(("lamp", "window", "door")):
        keep_take(device, seed, word)
        device.save()
    other = Counted()
    older = start(other)
    learned = keep_take(older, 7, "lamp")
    older.save()
    # its generation is the next after the body's, and less than the log's
    slot = bytearray(other.data[:SLOT])
    slot[8] = 2
    slot[28:32] = struct.pack("<I", zlib.crc32(bytes(slot[:28])))
    flash.data[SLOT:] = slot
    device = start(flash)
    assert device.weights() == learned
    keep_take(device, 8, "door")
    assert device.save() > 2


# --- boards as they are

KIB = 1024
GEOMETRIES = {
    "rp2040": (128 * KIB, 4 * KIB, 256),
    "stm32f405": (128 * KIB, 128 * KIB, 4),
    "mps2-an386": (128 * KIB, 4 * KIB, 4),
    "riscv-virt": (256 * KIB, 256 * KIB, 4),
}
"""Bytes of a slot, a sector and a program unit of each board."""


def board_rows() -> list[list[str]]:
    """The table of docs/boards.md."""
    page = (ROOT / "docs" / "boards.md").read_text()
    part = page.partition("## What a board keeps")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `").replace(",", "") for cell in line] for line in lines]


def counted(make: Make, image: bytes, flash: Counted, restarts: bool) -> list[int]:
    """Bytes that a save of one word takes, saves until an erase, and bytes and sectors of that."""
    board = {"image": image, "memories": (1 << 18,)}
    device = connect(make(flash, **board))
    own_words = Model(image).own_words
    device.save()
    n_saves, n_word = 0, 0
    while True:
        if restarts:
            device = connect(make(flash, **board))
        take = np.random.default_rng(n_saves).integers(0, 60, (20, 80)).astype(np.int8)
        with device.learn(1) as session:
            if own_words:
                session.teach_features(f"word{n_saves % own_words}", take)
            else:
                session.take_features("yes", take, 32767, method=16)
        before = flash.n_bytes_programmed, flash.n_erases
        device.save()
        n_bytes, n_erases = flash.n_bytes_programmed - before[0], flash.n_erases - before[1]
        if n_erases > 0:
            return [n_word, n_saves, n_bytes, n_erases]
        n_saves, n_word = n_saves + 1, n_bytes


@pytest.mark.parametrize("row", board_rows(), ids=lambda row: "-".join(row[:2]))
def test_what_a_board_keeps_is_as_documented(make: Make, row: list[str]) -> None:
    board, model, *numbers = row
    first, first_after_start, saves, saves_after_start, whole, sectors = map(int, numbers)
    slot, sector, unit = GEOMETRIES[board]
    image = (ROOT / "models" / f"{model}.tkws").read_bytes()

    def flash() -> Counted:
        return Counted(n_bytes=2 * slot, sector=sector, unit=unit)

    assert counted(make, image, flash(), False) == [first, saves, whole, sectors]
    found = counted(make, image, flash(), True)
    assert found == [first_after_start, saves_after_start, whole, sectors]


def test_all_boards_are_documented() -> None:
    assert {row[0] for row in board_rows()} == set(GEOMETRIES)


def test_a_record_that_was_cut_among_what_reads_as_erased(make: Make) -> None:
    """Rates of 255 are bytes of 0xff: what is behind them may have been programmed, too."""
    n_neurons = 64
    image = make_image(seed=3, n_neurons=n_neurons, method=16, passes=1)
    image = with_own_words(with_traces(image, Form.random(n_neurons, rank=3, seed=1)), OWN)
    flash = Weak(unit=4, n_bytes=4 * SLOT)
    device = connect(make(flash, image=image))
    device.save()
    at = log_at(device, 4) + GRAIN
    torn = record(b"TKLR", 0, struct.pack("<H", 0) + b"\xff" * n_neurons)
    first = torn.index(b"\xff" * n_neurons)
    flash.data[at : at + first] = torn[:first]
    flash.places = range(at + first, at + len(torn))
    device = connect(make(flash, image=image))
    learned = keep_take(device, 1, "lamp")
    device.save()
    assert connect(make(flash, image=image)).weights() == learned
