# SPDX-License-Identifier: Apache-2.0
"""The application on boards of other shapes: memories, flash geometries, flash that fails."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference_device as reference
from images import make_image
from loopback_device import Board, Flash, connect
from reference_device import teach
from tracekws._core import lib
from tracekws.core import Model
from tracekws.device import protocol
from tracekws.device.driver import Driver
from tracekws.errors import DeviceError, ModelError, StorageError, code

Make = Callable[..., Board]


@pytest.fixture
def make(folder: Path, image: bytes) -> Make:
    def board(**options: Any) -> Board:
        return Board(folder, options.pop("image", image), **options)

    return board


GEOMETRIES = [
    Flash(2 * 8192, 4096, 1),
    Flash(2 * 4096, 4096, 8),
    Flash(2 * 16384, 16384, 4),
    Flash(2 * 12288, 4096, 256),
    Flash(2 * 4096, 1024, 32),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda f: f"{f.n_bytes}-{f.sector}-{f.unit}")
def test_flash_geometries(make: Make, geometry: Flash) -> None:
    flash = Flash(geometry.n_bytes, geometry.sector, geometry.unit)
    device = connect(make(flash=flash))
    factory = device.weights()
    first = teach(device, 1)
    assert device.save() == 1
    second = teach(device, 2)
    assert device.save() == 2
    device = connect(make(flash=flash))
    assert device.info().generation == 2
    assert device.weights() == second
    assert device.undo() == 1
    assert device.weights() == first
    device.forget()
    assert device.weights() == factory
    assert device.info().slots == ("empty", "empty")


def saved_once(make: Make) -> tuple[bytes, bytes, int]:
    """What was learned and saved, the flash then, and the operations of a save of weights after it.

    The last of these begins the log, which a save does without.
    """
    flash = Flash()
    device = connect(make(flash=flash))
    first = teach(device, 1)
    device.save()
    kept, n_operations = bytes(flash.data), flash.n_operations
    teach(device, 2)
    device.save()
    return first, kept, flash.n_operations - n_operations


def test_flash_that_fails_at_any_operation(make: Make) -> None:
    """An erase or a program that is refused: an error, and the generation before is there."""
    first, kept, n_operations = saved_once(make)
    assert n_operations > 10
    for at in range(1, n_operations):
        flash = Flash(data=bytearray(kept), fail_at=at)
        device = connect(make(flash=flash))
        learned = teach(device, 2)
        with pytest.raises(StorageError, match="refused"):
            device.save()
        assert device.info().generation == 1
        assert device.weights() == learned, "what was learned is still in RAM"
        assert connect(make(flash=Flash(data=bytearray(flash.data)))).weights() == first
        assert device.save() == 2
        assert connect(make(flash=Flash(data=bytearray(flash.data)))).weights() == learned


def test_a_log_that_cannot_be_begun_is_done_without(make: Make) -> None:
    _, kept, n_operations = saved_once(make)
    flash = Flash(data=bytearray(kept), fail_at=n_operations)
    device = connect(make(flash=flash))
    learned = teach(device, 2)
    assert device.save() == 2
    assert connect(make(flash=Flash(data=bytearray(flash.data)))).weights() == learned
    assert device.save() == 3
    assert flash.n_operations >= 2 * n_operations, "a whole save, too"
    assert connect(make(flash=Flash(data=bytearray(flash.data)))).info().generation == 3


def test_flash_that_loses_a_bit(make: Make) -> None:
    """Each program that goes wrong unnoticed is found by reading back."""
    first, kept, n_operations = saved_once(make)
    n_found = 0
    for at in range(1, n_operations + 1):
        flash = Flash(data=bytearray(kept), lose_at=at)
        device = connect(make(flash=flash))
        learned = teach(device, 2)
        try:
            device.save()
        except StorageError:
            n_found += 1
            expected = first
        else:
            expected = learned
        assert connect(make(flash=Flash(data=bytearray(flash.data)))).weights() == expected
    n_erases = flash.n_bytes // 2 // flash.sector
    assert n_found == n_operations - n_erases - 1


def refused(
    make: Make, action: Callable[[Driver], object], saved: Callable[[Driver], object]
) -> Iterator[tuple[Driver, Flash]]:
    """The device, and its flash, after each operation whose refusal is one of the action."""
    flash = Flash()
    device = connect(make(flash=flash))
    saved(device)
    before = flash.n_operations
    action(device)
    for at in range(before + 1, flash.n_operations + 1):
        failing = Flash(fail_at=at)
        device = connect(make(flash=failing))
        saved(device)
        try:
            action(device)
        except StorageError as error:
            if error.name == "STORAGE":
                yield device, failing


def test_forget_that_fails(make: Make) -> None:
    """An erase or a record that is refused leaves the newest, until that is being erased."""
    learned = []

    def save_twice(device: Driver) -> None:
        teach(device, 1)
        device.save()
        learned.append(teach(device, 2))
        device.save()

    generations = []
    for device, _ in refused(make, Driver.forget, save_twice):
        generations.append(device.info().generation)
        assert (device.weights() == learned[0]) == (generations[-1] == 2)
        device.forget()
        assert device.info().generation == 0
        assert device.info().slots == ("empty", "empty")
    assert generations == [2, 2, 2, 0, 0, 0], "two sectors and a record in each slot"


@pytest.mark.parametrize("action", [Driver.undo, Driver.forget])
def test_what_is_restored_is_not_unsaved(make: Make, action: Callable[[Driver], object]) -> None:
    """An undo or a forget whose flash refuses gives up what was learned, and says so."""

    def learn_more(device: Driver) -> None:
        teach(device, 1)
        device.save()
        teach(device, 2)
        assert device.info().changed

    n_refused = 0
    for device, flash in refused(make, action, learn_more):
        n_refused += 1
        assert device.info().changed is False
        again = connect(make(flash=Flash(data=bytearray(flash.data))))
        assert device.weights() == again.weights()
        assert device.info().generation == again.info().generation
    assert n_refused == (6 if action is Driver.forget else 3)


def test_a_save_prefers_a_slot_that_holds_nothing_of_another_model(make: Make) -> None:
    flash = Flash()
    device = connect(make(flash=flash, image=make_image(seed=2, n_neurons=4)))
    device.save()
    assert device.info().slots == ("valid", "empty")
    device = connect(make(flash=flash))
    assert device.info().slots == ("other-model", "empty")
    device.save()
    assert device.info().slots == ("other-model", "valid")
    teach(device, 1)
    device.save()
    assert device.info().slots == ("valid", "valid")


def test_without_flash(make: Make, pcm: np.ndarray) -> None:
    board = make()
    device = connect(board)
    for action in (device.save, device.forget):
        with pytest.raises(DeviceError, match="this board cannot do that"):
            action()
    with pytest.raises(StorageError, match="nothing has been saved"):
        device.undo()
    device.classify(pcm)


def test_without_a_model(make: Make) -> None:
    board = make(image=b"")
    assert board.started == code("NO_MODEL")
    with pytest.raises(DeviceError, match="no usable model"):
        connect(board)
    board.write(protocol.request(protocol.SAVE, 1))
    (answer,) = protocol.FrameReader().push(board.read())
    assert protocol.parse(answer) == (0xA1, 1, code("NO_MODEL"), b"")


def test_with_a_bad_model(make: Make, image: bytes) -> None:
    board = make(image=image[:-1] + bytes([image[-1] ^ 1]))
    assert board.started == code("MODEL_CRC")
    with pytest.raises((DeviceError, ModelError), match="damaged"):
        connect(board)


def rooms(image: bytes) -> list[int]:
    """Bytes of the arrays that the application lays out."""
    h = Model(image).header
    n, c = h.n_neurons, h.n_classes
    return [2 * n * n, 2 * n * 80, 2 * n * c]


def least(make: Make, *others: int) -> int:
    """Bytes that the last memory must have beside the others."""
    low, high = 0, 65536
    while high - low > 4:
        middle = (low + high) // 8 * 4
        if make(memories=(*others, middle)).started == 0:
            high = middle
        else:
            low = middle
    return high


def test_memories_that_just_fit(make: Make, image: bytes, pcm: np.ndarray) -> None:
    """Arrays go where they fit, none crosses a memory's end, and all are counted."""
    whole = least(make)
    recurrent, weights, readout = rooms(image)
    split = (recurrent, weights, readout)
    rest = least(make, *split)
    assert sum(split) + rest == whole
    board = make(memories=(*split, rest))
    device = connect(board)
    assert list(device.listen([pcm])) == reference.events(image, pcm)
    pupil = reference.Pupil(image, 3)
    with device.learn(3) as session:
        session.take_pcm("yes", pcm, 32767)
    pupil.take("yes", pupil.features(pcm), 32767)
    assert device.weights() == pupil.weights
    assert board.is_intact()
    assert make(memories=(*split, rest - 4)).started == code("MODEL_TOO_LARGE")


def test_the_largest_model_of_the_budget(make: Make) -> None:
    """196 neurons and 12 classes run in 192 KiB, 8 of them left for the board's own."""
    image = make_image(seed=1, n_neurons=196, n_classes=12, window_steps=50)
    assert make(image=image, memories=(184 * 1024,)).started == 0
    assert lib.tkws_learner_memory_bytes(Model(image).c) <= 16 * 1024


@pytest.mark.parametrize("serial_bytes", [0, 800, 1500, 4096, 100000])
def test_credit_fits_the_receive_ring(
    make: Make, image: bytes, pcm: np.ndarray, serial_bytes: int
) -> None:
    board = make(serial_bytes=serial_bytes)
    device = connect(board)
    info = device.info()
    assert 1 <= info.max_pcm_credit <= 4
    assert list(device.listen([pcm])) == reference.events(image, pcm)
    message = 5 + 8 + info.max_data_bytes + 4
    assert board.longest_queue <= info.max_pcm_credit * (message + message // 254 + 2)
    if serial_bytes > 800:
        assert board.longest_queue <= serial_bytes


def test_the_line_is_closed(make: Make) -> None:
    board = make(flash=Flash())
    device = connect(board)
    factory = device.weights()
    session = device.learn(1)
    session.__enter__().take_features("yes", np.full((9, 80), 30, np.int8), 32767, method=3)
    assert device.weights() != factory
    board.write(b"\x55half a frame")
    board.lose_host()
    assert device.weights() == factory
    assert device.info().changed is False
