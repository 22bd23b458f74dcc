# SPDX-License-Identifier: Apache-2.0
"""What the board keeps: slots, generations, wear, and power cuts at every flash operation."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from images import make_image
from reference_device import Start, teach
from tracekws.device.driver import Driver
from tracekws.errors import NoDeviceError, StorageError

SLOT = 128 * 1024
AREA = 192 * 1024 + 4096
FLASH = 2 * (SLOT + AREA)
SECTORS = 2 * SLOT // 4096


def test_saved_weights_survive_kill(start: Start) -> None:
    board = start()
    with Driver.open(board.port) as device:
        factory = device.weights()
        learned = teach(device, 1)
        assert device.info().changed
        assert device.save() == 1
        assert not device.info().changed
        teach(device, 2)
        board.kill()
    with Driver.open(start().port) as device:
        info = device.info()
        assert (info.generation, info.slots, info.erases) == (1, ("valid", "empty"), 1)
        assert device.weights() == learned != factory


def test_unsaved_weights_do_not(start: Start) -> None:
    board = start()
    with Driver.open(board.port) as device:
        factory = device.weights()
        assert teach(device, 1) != factory
        board.kill()
    with Driver.open(start().port) as device:
        assert device.weights() == factory
        assert device.info().generation == 0


def test_generations(pty_device: Driver) -> None:
    device = pty_device
    factory = device.weights()
    weights = [factory]
    for generation in range(1, 5):
        weights.append(teach(device, generation))
        assert device.save() == generation
    assert len(set(weights)) == 5
    assert device.info().slots == ("valid", "valid")
    assert device.undo() == 3
    assert device.weights() == weights[3]
    with pytest.raises(StorageError, match="no older generation"):
        device.undo()
    assert device.info().generation == 3
    assert device.weights() == weights[3]
    teach(device, 9)
    assert device.save() == 4
    device.forget()
    info = device.info()
    assert (info.generation, info.slots) == (0, ("empty", "empty"))
    assert device.weights() == factory
    with pytest.raises(StorageError, match="nothing has been saved"):
        device.undo()
    # four saves, an undo, a save, two slots forgotten
    assert info.erases == 4 + 1 + 1 + 2


def test_undo_of_the_first_is_the_factory(pty_device: Driver) -> None:
    factory = pty_device.weights()
    teach(pty_device, 1)
    pty_device.save()
    assert pty_device.undo() == 0
    assert pty_device.weights() == factory


def test_undo_gives_up_what_is_not_saved(pty_device: Driver) -> None:
    first = teach(pty_device, 1)
    pty_device.save()
    teach(pty_device, 2)
    pty_device.save()
    teach(pty_device, 3)
    assert pty_device.undo() == 1
    assert pty_device.weights() == first


def test_forget_erases(start: Start, flash: Path) -> None:
    with Driver.open(start().port) as device:
        first, second = teach(device, 1), None
        device.save()
        second = teach(device, 2)
        device.save()
        kept = flash.read_bytes()
        assert first in kept
        assert second in kept
        device.forget()
    blank = np.frombuffer(flash.read_bytes(), np.uint8) != 0xFF
    # the records of wear only
    assert 0 < blank.sum() <= 32


@pytest.mark.parametrize("at", [0, 8, 12, 28, 31, 48, 1000, -1])
def test_corrupt_slots(start: Start, flash: Path, at: int) -> None:
    board = start()
    with Driver.open(board.port) as device:
        factory = device.weights()
        first = teach(device, 1)
        device.save()
        teach(device, 2)
        device.save()
        n_bytes = 48 + len(first)
        board.kill()

    def damage(slot: int) -> None:
        data = bytearray(flash.read_bytes())
        data[slot * SLOT + at % n_bytes] ^= 0x10
        flash.write_bytes(data)

    damage(1)
    board = start()
    with Driver.open(board.port) as device:
        info = device.info()
        assert (info.generation, info.slots) == (1, ("valid", "corrupt"))
        assert device.weights() == first
        board.kill()
    damage(0)
    with Driver.open(start().port) as device:
        info = device.info()
        assert (info.generation, info.slots) == (0, ("corrupt", "corrupt"))
        assert device.weights() == factory
        learned = teach(device, 3)
        assert device.save() == 1
        assert device.weights() == learned
        assert sorted(device.info().slots) == ["corrupt", "valid"]


def test_a_flash_of_rubbish(start: Start, flash: Path) -> None:
    flash.write_bytes(np.random.default_rng(0).bytes(FLASH))
    with Driver.open(start().port) as device:
        assert device.info().slots == ("corrupt", "corrupt")
        assert device.info().generation == 0
        device.forget()
        assert device.info().slots == ("empty", "empty")


def test_slots_of_another_model(start: Start, tmp_path: Path) -> None:
    other = tmp_path / "other.tkws"
    other.write_bytes(make_image(seed=2, n_neurons=16))
    board = start()
    with Driver.open(board.port) as device:
        teach(device, 1)
        device.save()
        learned = teach(device, 2)
        device.save()
        board.kill()
    board = start(model=other)
    with Driver.open(board.port) as device:
        info = device.info()
        assert (info.generation, info.slots) == (0, ("other-model", "other-model"))
        board.kill()
    # nothing was lost: with its own model the board knows it all again
    board = start()
    with Driver.open(board.port) as device:
        assert device.info().generation == 2
        assert device.weights() == learned
        board.kill()
    board = start(model=other)
    with Driver.open(board.port) as device:
        teach(device, 3)
        assert device.save() == 1
        assert sorted(device.info().slots) == ["other-model", "valid"]


def test_weights_larger_than_a_slot(start: Start, tmp_path: Path) -> None:
    large = tmp_path / "large.tkws"
    large.write_bytes(make_image(seed=2, n_neurons=220))
    with Driver.open(start(model=large, ram=1 << 20).port) as device:
        assert device.info().trainable_bytes > SLOT
        with pytest.raises(StorageError, match="do not fit") as refused:
            device.save()
        assert refused.value.name == "SLOT_FULL"
        assert device.info().slots == ("empty", "empty")
        assert device.info().erases == 0


# --- power cuts -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model: a save is a few hundred flash operations, and every one is cut."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.tkws"
    path.write_bytes(make_image(seed=24, n_neurons=1, n_classes=3))
    return path


def survives(device: Driver, action: Callable[[Driver], object]) -> bool:
    """Whether the board lives through an action; its power is cut when not."""
    try:
        action(device)
    except NoDeviceError:
        return False
    return True


def some_cuts(last: int) -> list[int]:
    return sorted({*range(1, 6), *range(6, last, 23), *range(last - 17, last + 1)})


def unadmitted(flash: Path, slots: tuple[str, ...]) -> int:
    """Bytes left in slots that are said to be empty, an intact record of wear aside."""
    left = 0
    for slot, state in enumerate(slots):
        data = bytearray(flash.read_bytes()[slot * SLOT : (slot + 1) * SLOT])
        if data[32:36] == b"TKWR" and data[44:48] == struct.pack("<I", zlib.crc32(data[32:44])):
            del data[32:48]
        left += (len(data) - data.count(0xFF)) * (state == "empty")
    return left


def test_power_cut_in_a_save(start: Start, flash: Path, tiny: Path) -> None:
    board = start(model=tiny)
    with Driver.open(board.port) as device:
        saved = teach(device, 1)
        device.save()
        board.kill()
    kept = flash.read_bytes()
    # erase in halves of sectors, the record of wear, the body, the header: byte for byte
    n_written = SECTORS + 16 + len(saved) + 32
    n_operations = n_written + 16  # the log's first grain
    for cut in [*some_cuts(n_written), *range(n_written + 1, n_operations + 2)]:
        flash.write_bytes(kept)
        board = start(model=tiny, extra=["--cut-after", str(cut)])
        with Driver.open(board.port) as device:
            attempted = teach(device, 2)
            assert survives(device, Driver.save) == (cut > n_operations)
            if cut > n_operations:
                break
            assert board.wait() == 86
        board = start(model=tiny)
        with Driver.open(board.port) as device:
            info = device.info()
            is_done = cut >= n_written
            assert device.weights() == (attempted if is_done else saved), cut
            assert info.generation == 1 + is_done
            assert info.slots[0] == "valid"
            assert unadmitted(flash, info.slots) == 0
            assert 1 <= info.erases <= 3
            teach(device, 3)
            assert device.save() == info.generation + 1
            board.kill()


@pytest.mark.parametrize("action", [Driver.undo, Driver.forget])
def test_power_cut_in_undo_and_forget(
    start: Start, flash: Path, tiny: Path, action: Callable[[Driver], object]
) -> None:
    board = start(model=tiny)
    with Driver.open(board.port) as device:
        factory = device.weights()
        first = teach(device, 1)
        device.save()
        second = teach(device, 2)
        device.save()
    board.kill()
    kept = flash.read_bytes()
    slots = 1 if action is Driver.undo else 2
    # two grains of the log, the header crossed out, and the erase with its record of wear
    n_operations = slots * (32 + 32 + SECTORS + 16)
    seen = []
    for cut in some_cuts(n_operations):
        flash.write_bytes(kept)
        board = start(model=tiny, extra=["--cut-after", str(cut)])
        with Driver.open(board.port) as device:
            assert not survives(device, action)
            assert board.wait() == 86
        board = start(model=tiny)
        with Driver.open(board.port) as device:
            seen.append(device.weights())
            assert unadmitted(flash, device.info().slots) == 0, cut
            board.kill()
    # it is done when the log of the newest slot says so; forgetting begins with the older slot
    after = first if action is Driver.undo else factory
    assert set(seen) == {second, after}
    assert seen == sorted(seen, key=lambda weights: weights == after)


def test_header_as_documented(start: Start, flash: Path, model: Path) -> None:
    with Driver.open(start().port) as device:
        weights = teach(device, 1)
        device.save()
        crc = device.info().model_crc
    slot = flash.read_bytes()[:SLOT]
    words = np.frombuffer(slot[:48], "<u4")
    assert slot[:4] == b"TKSL"
    assert words[1:3].tolist() == [1, 1]
    assert words[3] == crc
    assert words[5:7].tolist() == [len(weights), zlib.crc32(weights)]
    assert words[7] == zlib.crc32(slot[:28])
    assert slot[48 : 48 + len(weights)] == weights
