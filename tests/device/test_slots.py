# SPDX-License-Identifier: Apache-2.0
"""Slots as a cut, a newer firmware or a forger left them: what a start makes of each."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loopback_device import Board, Flash, connect
from reference_device import teach
from tracekws.device.driver import Driver
from tracekws.errors import StorageError, code

Make = Callable[..., Board]
SLOT = 8192
SECTOR = 4096
WEAR = slice(32, 48)
BODY = 48
LAST = 2**32 - 1


@pytest.fixture
def make(folder: Path, image: bytes) -> Make:
    def board(**options: Any) -> Board:
        return Board(folder, image, **options)

    return board


@pytest.fixture
def restart(make: Make) -> Callable[[Flash], Driver]:
    """The device after its power was off."""
    return lambda flash: connect(make(flash=flash))


Restart = Callable[[Flash], Driver]


def slot_of(flash: Flash, slot: int) -> bytearray:
    return flash.data[slot * SLOT : (slot + 1) * SLOT]


def left_in(flash: Flash, slot: int) -> int:
    """Bytes of a slot that are not erased, an intact record of wear aside."""
    data = slot_of(flash, slot)
    if data[WEAR][:4] == b"TKWR" and data[WEAR][12:] == crc(bytes(data[WEAR][:12])):
        del data[WEAR]
    return sum(byte != 0xFF for byte in data)


def crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def header(slot_format: int, generation: int, words: tuple[int, ...] = (1, 2, 3, 4)) -> bytes:
    """The first 32 bytes of a slot; the words between are the format's own."""
    head = struct.pack("<4s6I", b"TKSL", slot_format, generation, *words)
    return head + crc(head)


def renumber(flash: Flash, slot: int, generation: int) -> None:
    """Forge another generation into a slot that is valid."""
    at = slot * SLOT
    slot_format, *words = struct.unpack_from("<6I", flash.data, at + 4)
    flash.data[at : at + 32] = header(slot_format, generation, tuple(words[1:]))


def put(flash: Flash, slot: int, slot_format: int, generation: int = 7) -> bytes:
    """Write a slot of another format, full of bytes of its own; what it then holds."""
    body = np.random.default_rng(slot_format).bytes(SLOT - 32)
    flash.data[slot * SLOT : (slot + 1) * SLOT] = header(slot_format, generation) + body
    return bytes(slot_of(flash, slot))


def saved_twice(device: Driver) -> tuple[bytes, bytes]:
    first = teach(device, 1)
    device.save()
    second = teach(device, 2)
    device.save()
    return first, second


# --- erases that were not finished ----------------------------------------------------------------

LEFT: dict[str, slice] = {
    "behind the first sector": slice(SECTOR, SLOT),
    "behind the header": slice(32, SLOT),
    "the last byte": slice(SLOT - 1, SLOT),
    "behind the record of wear": slice(BODY, SLOT),
}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("slot", [0, 1])
def test_an_unfinished_erase_is_finished_at_start(restart: Restart, slot: int, left: str) -> None:
    """The header is gone, and bytes of what was learned are not."""
    flash = Flash()
    device = restart(flash)
    weights = saved_twice(device)
    n_erases = device.info().erases
    data = bytearray(b"\xff" * SLOT)
    data[LEFT[left]] = b"\x5a" * len(data[LEFT[left]])
    flash.data[slot * SLOT : (slot + 1) * SLOT] = data
    device = restart(flash)
    info = device.info()
    assert info.slots[slot] == "empty"
    assert info.slots[1 - slot] == "valid"
    assert left_in(flash, slot) == 0
    assert device.weights() == weights[1 - slot]
    assert abs(info.erases - n_erases) <= 1
    kept = bytes(flash.data)
    assert restart(flash).info() == info
    assert bytes(flash.data) == kept, "nothing is left to do at the next start"
    assert device.save() == info.generation + 1


@pytest.mark.parametrize("slot", [0, 1])
def test_a_slot_that_was_crossed_out_is_erased_at_start(restart: Restart, slot: int) -> None:
    """Its erase has begun, and left all but the header."""
    flash = Flash()
    weights = saved_twice(restart(flash))
    flash.data[slot * SLOT : slot * SLOT + 32] = bytes(32)
    device = restart(flash)
    assert device.info().slots[slot] == "empty"
    assert left_in(flash, slot) == 0
    assert device.weights() == weights[1 - slot]


def test_an_erase_without_its_record_is_done_again(restart: Restart) -> None:
    """A sector whose erase was cut can read as erased and be weak: the record tells."""
    flash = Flash()
    saved_twice(restart(flash))
    flash.data[:SLOT] = b"\xff" * SLOT
    n_operations = flash.n_operations
    device = restart(flash)
    assert flash.n_operations == n_operations + SLOT // SECTOR + 1
    assert device.info().slots == ("empty", "valid")
    n_operations = flash.n_operations
    restart(flash)
    assert flash.n_operations == n_operations


def test_new_flash_is_left_alone(restart: Restart) -> None:
    flash = Flash()
    assert restart(flash).info().slots == ("empty", "empty")
    assert flash.n_operations == 0
    restart(flash).save()
    n_operations = flash.n_operations
    info = restart(flash).info()
    assert (info.slots, info.wear) == (("valid", "empty"), (1, 0))
    assert flash.n_operations == n_operations


class Weak(Flash):
    """What it refuses to program reads as erased, and may not be programmed before an erase."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.weak: set[int] = set()
        self.overwritten: set[int] = set()

    def program(self, offset: int, data: bytes) -> bool:
        places = {offset + i for i in range(len(data))}
        self.overwritten |= places & self.weak if any(data) else set()
        done = super().program(offset, data)
        self.weak |= set() if done else places
        return done

    def erase(self, offset: int) -> bool:
        done = super().erase(offset)
        self.weak -= set(range(offset, offset + self.sector)) if done else set()
        return done


@pytest.mark.parametrize("again", [Driver.save, Driver.forget])
@pytest.mark.parametrize("first", [Driver.save, Driver.forget])
def test_what_new_flash_may_hold_is_erased_before_it_is_written(
    restart: Restart, first: Callable[[Driver], Any], again: Callable[[Driver], Any]
) -> None:
    """The power was cut at any operation of the first that writes."""
    probe = Weak()
    first(restart(probe))
    for cut in range(1, probe.n_operations):
        flash = Weak()
        device = restart(flash)
        flash.fail_at = cut
        with suppress(StorageError):
            first(device)
        again(restart(flash))
        assert not flash.overwritten, cut
        info = restart(flash).info()
        assert info.generation == (0 if again is Driver.forget else 1), cut
        assert sum(info.wear) >= 1


def test_an_erase_that_the_flash_refuses_is_shown(restart: Restart) -> None:
    flash = Flash()
    first, _ = saved_twice(restart(flash))
    flash.data[SLOT : SLOT + SECTOR] = b"\xff" * SECTOR
    flash.data[-1] = 0
    flash.fail_at = flash.n_operations + 1
    device = restart(flash)
    assert device.info().slots == ("valid", "corrupt")
    assert device.weights() == first
    assert restart(flash).info().slots == ("valid", "empty")


class Lying(Flash):
    """Flash whose erases of some sectors leave a byte, and say that all went well."""

    lies: tuple[int, ...] = ()

    def erase(self, offset: int) -> bool:
        kept = self.data[offset + 99]
        done = super().erase(offset)
        if offset // self.sector in self.lies:
            self.data[offset + 99] = kept
        return done


@pytest.mark.parametrize("sector", range(2 * SLOT // SECTOR))
def test_what_was_not_erased_is_not_said_to_be(restart: Restart, sector: int) -> None:
    flash = Lying()
    device = restart(flash)
    saved_twice(device)
    flash.data[sector * SECTOR + 99] = 0
    flash.lies = (sector,)
    with pytest.raises(StorageError, match="refused"):
        device.forget()
    assert device.info().slots[sector * SECTOR // SLOT] == "corrupt"
    assert restart(flash).info().slots[sector * SECTOR // SLOT] == "corrupt"
    flash.lies = ()
    device.forget()
    assert device.info().slots == ("empty", "empty")
    assert left_in(flash, 0) == left_in(flash, 1) == 0


@pytest.mark.parametrize("action", [Driver.save, Driver.undo])
def test_the_other_slot_is_read_before_one_is_erased(
    restart: Restart, action: Callable[[Driver], int]
) -> None:
    """Flash ages: what was intact at the start may not be so now."""
    flash = Flash()
    device = restart(flash)
    first, second = saved_twice(device)
    damaged, intact = (1, first) if action is Driver.save else (0, second)
    flash.data[damaged * SLOT + BODY] ^= 1
    if action is Driver.save:
        assert device.save() == 2, "over the damaged one"
    else:
        with pytest.raises(StorageError, match="no older generation"):
            device.undo()
    flash.data[damaged * SLOT + BODY] = 0
    device = restart(flash)
    assert device.weights() == intact


# --- formats of a newer firmware ------------------------------------------------------------------


def test_a_newer_format_is_named_and_kept(restart: Restart) -> None:
    flash = Flash()
    kept = put(flash, 0, slot_format=2)
    device = restart(flash)
    info = device.info()
    assert (info.slots, info.generation) == (("newer-format", "empty"), 0)
    learned = teach(device, 1)
    assert device.save() == 8, "newer than what that firmware saved"
    device = restart(flash)
    assert device.info().slots == ("newer-format", "valid")
    assert device.weights() == learned
    teach(device, 2)
    before = bytes(flash.data)
    with pytest.raises(StorageError, match="newer firmware") as refused:
        device.save()
    assert refused.value.name == "NEWER_FORMAT"
    assert bytes(flash.data) == before
    assert bytes(slot_of(flash, 0)) == kept
    with pytest.raises(StorageError):
        device.undo()
    assert bytes(flash.data) == before
    device.forget()
    assert device.info().slots == ("empty", "empty")
    assert left_in(flash, 0) == 0
    assert device.save() == 1


def test_two_of_a_newer_format_leave_no_place_to_save(restart: Restart) -> None:
    flash = Flash()
    put(flash, 0, slot_format=2)
    put(flash, 1, slot_format=LAST)
    before = bytes(flash.data)
    device = restart(flash)
    teach(device, 1)
    with pytest.raises(StorageError, match="newer firmware"):
        device.save()
    with pytest.raises(StorageError, match="nothing has been saved"):
        device.undo()
    assert device.info().changed
    assert device.info().slots == ("newer-format", "newer-format")
    assert bytes(flash.data) == before


def test_a_save_rather_takes_a_slot_of_another_model(restart: Restart) -> None:
    flash = Flash()
    device = restart(flash)
    saved_twice(device)
    put(flash, 1, slot_format=3)
    flash.data[:32] = header(1, 1)
    device = restart(flash)
    assert device.info().slots == ("other-model", "newer-format")
    device.save()
    assert device.info().slots == ("valid", "newer-format")


DAMAGE: dict[str, tuple[int, int]] = {
    "magic": (0, 1),
    "format": (4, 8),
    "generation": (8, 1),
    "a word of its own": (20, 1),
    "CRC": (28, 1),
}


@pytest.mark.parametrize("field", DAMAGE)
def test_a_damaged_header_is_of_no_newer_format(restart: Restart, field: str) -> None:
    flash = Flash()
    put(flash, 0, slot_format=2)
    at, bit = DAMAGE[field]
    flash.data[at] ^= bit
    assert restart(flash).info().slots == ("corrupt", "empty")


def test_no_format_is_older_than_the_first(restart: Restart) -> None:
    flash = Flash()
    put(flash, 0, slot_format=0)
    assert restart(flash).info().slots == ("corrupt", "empty")


# --- the last generation --------------------------------------------------------------------------


@pytest.mark.parametrize("generation", [LAST, LAST - 1, 2**31 - 1, 2**31])
@pytest.mark.parametrize("forged", [0, 1])
def test_any_generation_can_be_saved_over(restart: Restart, generation: int, forged: int) -> None:
    flash = Flash()
    saved_twice(restart(flash))
    flash.data[(1 - forged) * SLOT] = 0  # the other is corrupt
    renumber(flash, forged, generation)
    device = restart(flash)
    assert device.info().generation == generation
    expected = generation
    for seed in range(4):
        learned = teach(device, seed)
        expected = expected % LAST + 1
        assert device.save() == expected
        device = restart(flash)
        assert device.info().generation == expected
        assert device.weights() == learned
    assert device.undo() == (expected - 2) % LAST + 1


def test_the_first_generation_is_newer_than_the_last(restart: Restart) -> None:
    flash = Flash()
    first, second = saved_twice(restart(flash))
    renumber(flash, 0, 1)
    renumber(flash, 1, LAST)
    assert restart(flash).weights() == first
    renumber(flash, 0, LAST - 1)
    assert restart(flash).weights() == second


@pytest.mark.parametrize("slot_format", [1, 2])
def test_there_is_no_generation_0(restart: Restart, slot_format: int) -> None:
    flash = Flash()
    put(flash, 0, slot_format, generation=0)
    assert restart(flash).info().slots == ("corrupt", "empty")


def test_a_save_after_the_last_newer_format(restart: Restart) -> None:
    flash = Flash()
    put(flash, 1, slot_format=2, generation=LAST)
    assert restart(flash).save() == 1


def test_wear_counts_no_further_than_to_their_end(restart: Restart) -> None:
    flash = Flash()
    device = restart(flash)
    saved_twice(device)
    record = struct.pack("<4s2I", b"TKWR", LAST, 5)
    flash.data[WEAR] = record + crc(record)
    device = restart(flash)
    assert device.info().wear == (LAST, 5)
    saved_twice(device)
    assert device.info().wear == (LAST, 6)


def test_the_error_is_typed() -> None:
    assert code("NEWER_FORMAT") == -83
