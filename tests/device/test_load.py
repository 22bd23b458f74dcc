# SPDX-License-Identifier: Apache-2.0
"""Loading a model: what runs afterwards, what is refused, power cuts and flash faults anywhere."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images import make_image, reseal
from loopback_device import Board, Flash, Lossy, connect
from reference_device import Start, teach
from tracekws.cli.storage import info_table
from tracekws.device import protocol
from tracekws.device.driver import Driver
from tracekws.errors import (
    DeviceError,
    ModelError,
    NoDeviceError,
    StorageError,
    code,
    device_error,
)

Make = Callable[..., Board]
SLOTS = 2 * 8192
AREA = 16384


@pytest.fixture(scope="session")
def other() -> bytes:
    return make_image(seed=77, n_neurons=9, n_classes=4)


@pytest.fixture
def make(folder: Path, image: bytes) -> Make:
    def board(**options: Any) -> Board:
        options.setdefault("flash", Flash(SLOTS, area=AREA))
        return Board(folder, options.pop("image", image), **options)

    return board


def crc(image: bytes) -> int:
    (number,) = struct.unpack("<I", image[-4:])
    return int(number)


def copy(flash: Flash, **options: Any) -> Flash:
    return Flash(flash.n_bytes, flash.sector, flash.unit, area=flash.area, **options)


def test_the_loaded_model_runs_and_stays(start: Start, image: bytes, other: bytes) -> None:
    board = start()
    with Driver.open(board.port) as device:
        teach(device, 1)
        device.save()
        before = device.info()
        assert (before.model_crc, before.loaded) == (crc(image), False)
        assert before.image_bytes >= 192 * 1024
        seen: list[tuple[int, int]] = []
        device.load(other, lambda done, total: seen.append((done, total)))
        assert seen[-1] == (len(other), len(other))
        info = device.info()
        assert (info.model_crc, info.loaded, info.generation) == (crc(other), True, 0)
        assert (info.changed, info.slots) == (False, ("empty", "empty"))
        assert info.labels == ("yes", "no", "_unknown_", "_silence_")
        fresh = device.weights()
        learned = teach(device, 2)
        assert device.save() == 1
        board.kill()
    with Driver.open(start().port) as device:
        assert device.info().model_crc == crc(other)
        assert device.weights() == learned != fresh
        device.forget()
        assert device.info().model_crc == crc(other)
        assert device.weights() == fresh
        device.load(image)
        assert (device.info().model_crc, device.info().loaded) == (crc(image), True)


def test_it_runs_as_the_same_model_of_the_factory(
    make: Make, image: bytes, other: bytes, pcm: np.ndarray
) -> None:
    factory, loaded = connect(make(image=other)), connect(make())
    loaded.load(other)
    assert loaded.weights() == factory.weights()
    assert loaded.classify(pcm)[1].tolist() == factory.classify(pcm)[1].tolist()
    assert teach(loaded, 5) == teach(factory, 5)


def test_loads_alternate_and_the_newest_runs(make: Make) -> None:
    flash = Flash(SLOTS, area=AREA)
    device = connect(make(flash=flash))
    for number in range(1, 6):
        image = make_image(seed=number, n_neurons=3 + number)
        device.load(image)
        assert device.info().model_crc == crc(image)
        device = connect(make(flash=flash))
        assert device.info().model_crc == crc(image)
        assert device._health().loads == number


def test_a_firmware_with_another_model_wins(make: Make, image: bytes, other: bytes) -> None:
    flash = Flash(SLOTS, area=AREA)
    connect(make(flash=flash)).load(other)
    third = make_image(seed=3, n_neurons=5)
    device = connect(make(flash=flash, image=third))
    assert (device.info().model_crc, device.info().loaded) == (crc(third), False)
    assert connect(make(flash=flash)).info().model_crc == crc(other), "it was only passed over"


def test_a_board_without_a_model_can_be_given_one(make: Make, other: bytes) -> None:
    flash = Flash(SLOTS, area=AREA)
    board = make(flash=flash, image=b"")
    assert board.started == code("NO_MODEL")
    device = Driver.over(board, "loopback", needs_model=False)
    assert not device.has_model
    with pytest.raises(DeviceError, match="no usable model"):
        device.info()
    device.load(other)
    assert device.info().model_crc == crc(other)
    assert connect(make(flash=flash, image=b"")).info().loaded


@pytest.mark.parametrize("at", [0, 4, 8, 12, 16, 20, 24, 28, 500, -1])
def test_a_damaged_image_is_passed_over(make: Make, image: bytes, at: int) -> None:
    """The one that was loaded before runs, and the factory's in the end."""
    flash = Flash(SLOTS, area=AREA)
    first, second = (make_image(seed=n, n_neurons=5) for n in (1, 2))
    connect(make(flash=flash)).load(first)
    connect(make(flash=flash)).load(second)
    place = at % (28 + len(second))
    flash.data[SLOTS + AREA + place] ^= 0x20
    assert connect(make(flash=flash)).info().model_crc == crc(first)
    flash.data[SLOTS + place] ^= 0x20
    device = connect(make(flash=flash))
    assert (device.info().model_crc, device.info().loaded) == (crc(image), False)
    device.load(second)
    assert connect(make(flash=flash)).info().model_crc == crc(second)


def test_an_image_that_a_smaller_firmware_has_no_room_for(make: Make, image: bytes) -> None:
    flash = Flash(SLOTS, area=65536)
    large = make_image(n_neurons=60, window_steps=50)
    connect(make(flash=flash)).load(large)
    device = connect(make(flash=flash, memories=(12288,)))
    assert (device.info().model_crc, device.info().loaded) == (crc(image), False)
    assert connect(make(flash=flash)).info().model_crc == crc(large)


def test_health_is_the_board_s(make: Make) -> None:
    board = make()
    board.c.reset_reason, board.c.watchdog_ms, board.c.brown_out_mv = 3, 8000, 2700
    device = connect(board)
    info = device.info()
    assert (info.reset_reason, info.watchdog_ms, info.brown_out_mv) == ("watchdog", 8000, 2700)
    rows = []
    for mv in (2700, 0, 0xFFFF):
        board.c.brown_out_mv = mv
        about = device.info()
        shown = info_table(about, device.taught())
        rows.append((about.brown_out_mv, list(shown.columns[1].cells)[-1].plain))
    assert rows == [(2700, "2700 mV"), (0, "none"), (None, "not known")]
    for seed in (1, 2, 3):
        teach(device, seed)
        device.save()
    assert (device.info().wear, device.info().erases) == ((2, 1), 3)


@pytest.mark.parametrize(
    "geometry",
    [
        Flash(2 * 8192, 4096, 1, area=8192),
        Flash(2 * 4096, 4096, 8, area=12288),
        Flash(2 * 16384, 16384, 4, area=16384),
        Flash(2 * 4096, 1024, 256, area=9216),
    ],
    ids=lambda f: f"{f.n_bytes}-{f.sector}-{f.unit}-{f.area}",
)
@pytest.mark.parametrize("n_neurons", [1, 7, 16])
def test_geometries(make: Make, geometry: Flash, n_neurons: int) -> None:
    flash = copy(geometry)
    image = make_image(seed=n_neurons, n_neurons=n_neurons)
    device = connect(make(flash=flash))
    device.load(image)
    assert device.info().model_crc == crc(image)
    assert connect(make(flash=flash)).info().model_crc == crc(image)


def test_the_largest_image_that_fits(make: Make) -> None:
    flash = Flash(SLOTS, area=8192)
    device = connect(make(flash=flash))
    room = device.info().image_bytes
    assert room == 8192 - 28
    with pytest.raises(StorageError, match="does not fit the area") as refused:
        device.load(bytes(room + 1))
    assert refused.value.name == "IMAGE_FULL"
    with pytest.raises(DeviceError, match="not a TraceKWS model image"):
        device.load(bytes(room))


# --- back to the factory's ------------------------------------------------------------------------


@pytest.mark.parametrize("n_loads", [0, 1, 2, 3])
def test_the_factorys_model_is_back(make: Make, image: bytes, n_loads: int) -> None:
    """Whatever was loaded before: no older load comes up in its place."""
    flash = Flash(SLOTS, area=AREA)
    device = connect(make(flash=flash))
    factory = device.weights()
    for number in range(n_loads):
        device.load(make_image(seed=number + 1, n_neurons=3 + number))
    teach(device, 1)
    device.save()
    device.load_factory()
    for again in (device, connect(make(flash=flash))):
        info = again.info()
        assert (info.model_crc, info.loaded, info.generation) == (crc(image), False, 0)
        assert (info.changed, info.slots) == (False, ("empty", "empty"))
        assert again.weights() == factory
    other = make_image(seed=77, n_neurons=9, n_classes=4)
    device.load(other)
    assert connect(make(flash=flash)).info().model_crc == crc(other)


@pytest.mark.parametrize("factory", [b"", b"damaged"], ids=["none", "damaged"])
def test_a_firmware_without_a_model_does_not_go_back(
    make: Make, other: bytes, factory: bytes
) -> None:
    flash = Flash(SLOTS, area=AREA)
    Driver.over(make(flash=flash, image=factory), "loopback", needs_model=False).load(other)
    device = connect(make(flash=flash, image=factory))
    learned = teach(device, 1)
    with pytest.raises(DeviceError, match="no usable model"):
        device.load_factory()
    assert (device.info().model_crc, device.weights()) == (crc(other), learned)
    assert connect(make(flash=flash, image=factory)).info().model_crc == crc(other)


def test_going_back_is_a_load_of_nothing(make: Make, other: bytes) -> None:
    board = make()
    connect(board).load(other)
    assert ask(board, protocol.LOAD, protocol.pack_load(0, 0)) == (0, b"\1\0")
    assert ask(board, protocol.DATA, protocol.pack_data(0, 0, b"x"))[0] == code("LENGTH")
    assert ask(board, protocol.ABORT)[0] == 0
    assert ask(board, protocol.LOAD, protocol.pack_load(0, 1))[0] == 0
    assert ask(board, protocol.END)[0] == code("MODEL_CRC")
    assert connect(board).info().model_crc == crc(other)
    with pytest.raises(ModelError, match="empty"):
        connect(board).load(b"")


def test_an_older_firmware_does_not_know_how(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    device = connect(make())

    def refuse(*_: object) -> None:
        raise device_error(code("ARGUMENT"))

    monkeypatch.setattr(device, "_open_stream", refuse)
    with pytest.raises(DeviceError, match="update it"):
        device.load_factory()


def test_going_back_on_flash_that_fails_at_any_operation(
    make: Make, image: bytes, other: bytes
) -> None:
    """What ran runs on, or the factory's runs; and the next try goes back."""
    flash = Flash(SLOTS, area=AREA)
    device = connect(make(flash=flash))
    device.load(make_image(seed=1, n_neurons=3))
    device.load(other)
    teach(device, 1)
    device.save()
    kept, before = bytes(flash.data), flash.n_operations
    device.load_factory()
    n_operations = flash.n_operations - before
    assert n_operations >= 4, "a sector of each area, the slots"
    outcomes = []
    for at in range(1, n_operations + 1):
        flash = Flash(SLOTS, area=AREA, data=bytearray(kept), fail_at=at)
        device = connect(make(flash=flash))
        with suppress(StorageError):
            device.load_factory()
        running = device.info().model_crc
        assert running in (crc(other), crc(image)), at
        outcomes.append(running == crc(image))
        flash.fail_at = 0
        assert connect(make(flash=flash)).info().model_crc == running
        device.load_factory()
        assert connect(make(flash=flash)).info().model_crc == crc(image)
    assert {True, False} == set(outcomes)


class Lazy(Flash):
    """Flash that says of an erase that it was done."""

    def erase(self, offset: int) -> bool:
        return (offset < SLOTS and super().erase(offset)) or offset >= SLOTS


def test_an_older_load_does_not_come_up_instead(make: Make, other: bytes) -> None:
    flash = Flash(SLOTS, area=AREA)
    device = connect(make(flash=flash))
    device.load(make_image(seed=1, n_neurons=3))
    device.load(other)
    lazy = Lazy(SLOTS, area=AREA, data=flash.data)
    device = connect(make(flash=lazy))
    learned = teach(device, 1)
    with pytest.raises(StorageError):
        device.load_factory()
    assert (device.info().model_crc, device.weights()) == (crc(other), learned)


# --- refusals: nothing has changed ----------------------------------------------------------------


def damaged(image: bytes) -> bytes:
    return image[:500] + bytes([image[500] ^ 1]) + image[501:]


REFUSED = {
    "a flipped bit": (damaged, "MODEL_CRC"),
    "cut short": (lambda image: image[:-100], "MODEL_LENGTH"),
    "something else": (lambda image: b"RIFF" + image[4:], "MODEL_MAGIC"),
    "a field out of range": (lambda image: reseal(image[:4] + b"\x09" + image[5:]), "MODEL_FORMAT"),
    "too large": (lambda image: make_image(n_neurons=60, window_steps=50), "MODEL_TOO_LARGE"),
    "longer than the area": (lambda image: bytes(70000), "IMAGE_FULL"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_load_changes_nothing(make: Make, image: bytes, other: bytes, case: str) -> None:
    spoil, error = REFUSED[case]
    flash = Flash(SLOTS, area=65536)
    device = connect(make(flash=flash, memories=(12288,)))
    device.load(other)
    teach(device, 1)
    device.save()
    unsaved = teach(device, 2)
    slots, before = bytes(flash.data[:SLOTS]), device.info()
    with pytest.raises(DeviceError) as refused:
        device.load(spoil(image))
    assert refused.value.name == error
    assert device.info() == before
    assert device.weights() == unsaved
    assert bytes(flash.data[:SLOTS]) == slots
    again = connect(make(flash=flash, memories=(12288,))).info()
    assert (again.model_crc, again.generation) == (crc(other), 1)


def test_a_load_that_is_given_up_changes_nothing(make: Make, image: bytes, other: bytes) -> None:
    flash = Flash(SLOTS, area=AREA)
    board = make(flash=flash)
    device = connect(board)
    unsaved = teach(device, 2)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        device.load(other, stop)
    assert device.weights() == unsaved
    assert device.info().changed
    for end in (board.lose_host, lambda: connect(board)):
        device._link.request(protocol.LOAD, protocol.pack_load(len(other), zlib.crc32(other)))
        assert protocol.parse_info(device._link.request(protocol.INFO)).session == 4
        end()
        assert protocol.parse_info(device._link.request(protocol.INFO)).session == 0
    assert device.weights() == unsaved
    assert connect(make(flash=flash)).info().model_crc == crc(image)


def test_a_board_that_cannot_load(make: Make, other: bytes) -> None:
    for flash in (None, Flash(SLOTS)):
        device = connect(make(flash=flash))
        assert device.info().image_bytes == 0
        with pytest.raises(DeviceError, match="this board cannot do that"):
            device.load(other)


def ask(board: Board, command: int, body: bytes = b"") -> tuple[int, bytes]:
    ask.number += 1  # type: ignore[attr-defined]
    board.write(protocol.request(command, ask.number, body))  # type: ignore[attr-defined]
    parsed = [protocol.parse(m) for m in protocol.FrameReader().push(board.read())]
    (answer,) = [m for m in parsed if m and m.kind != protocol.WORKING]
    return answer.status, answer.body


ask.number = 0  # type: ignore[attr-defined]


def test_requests_out_of_place(make: Make, other: bytes) -> None:
    board = make()
    load = protocol.pack_load(len(other), zlib.crc32(other))
    parts = [other[at : at + 512] for at in range(0, len(other), 512)]
    assert len(parts) > 2

    def data(number: int, content: bytes) -> int:
        return ask(board, protocol.DATA, protocol.pack_data(number, 0, content))[0]

    assert ask(board, protocol.LISTEN)[0] == 0
    assert ask(board, protocol.LOAD, load)[0] == code("BUSY")
    assert ask(board, protocol.END)[0] == 0
    assert ask(board, protocol.LOAD, load) == (0, b"\1\0")
    hello = ask(board, protocol.HELLO, b"\2\0")
    assert ask(board, protocol.HELLO, b"\2\0") == hello, "what it says is of the session after it"
    assert ask(board, protocol.LOAD, load) == (0, b"\1\0")
    assert ask(board, protocol.LOAD, load)[0] == code("BUSY")
    assert ask(board, protocol.SAVE)[0] == code("BUSY")
    assert ask(board, protocol.TAKE, protocol.pack_take(1, 1, 1, "yes"))[0] == code("STATE")
    assert data(0, parts[0][:-1]) == code("LENGTH")
    assert data(0, parts[0] + b"x") == code("LENGTH")
    assert data(1, parts[1]) == code("CREDIT")
    assert data(0, parts[0]) == 0
    assert data(0, parts[0]) == 0, "done before, not done again"
    assert data(0xFFFFFFFF, parts[1]) == code("LENGTH")
    assert ask(board, protocol.END)[0] == code("STATE")
    for number, part in enumerate(parts[1:-1], 1):
        assert data(number, part) == 0
    assert data(len(parts) - 1, parts[-1] + b"x") == code("LENGTH")
    assert data(len(parts) - 1, parts[-1]) == 0
    assert data(len(parts), b"x") == code("LENGTH")
    assert ask(board, protocol.END)[0] == 0
    assert protocol.parse_info(ask(board, protocol.INFO)[1]).model_crc == crc(other)
    assert protocol.parse_health(ask(board, protocol.HEALTH)[1])[:2] == (True, 1)


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fail_at", "lose_at"])
def test_a_part_that_was_not_written_is_not_done(make: Make, other: bytes, kind: str) -> None:
    """Sent again, it is refused again: flash takes no second write without an erase."""
    flash = Flash(SLOTS, area=AREA)
    board = make(flash=flash)
    before = connect(board).info().model_crc
    load = protocol.pack_load(len(other), zlib.crc32(other))
    parts = [other[at : at + 512] for at in range(0, len(other), 512)]

    def send(number: int) -> int:
        return ask(board, protocol.DATA, protocol.pack_data(number, 0, parts[number]))[0]

    assert ask(board, protocol.LOAD, load)[0] == 0
    assert send(0) == 0
    setattr(flash, kind, flash.n_operations + 2)
    assert [send(1) for _ in range(3)] == [code("STORAGE")] * 3
    assert send(2) == code("CREDIT"), "the one before is still expected"
    assert ask(board, protocol.END)[0] == code("STATE")
    assert ask(board, protocol.ABORT)[0] == 0
    device = connect(board)
    assert device.info().model_crc == before
    device.load(other)
    assert device.info().model_crc == crc(other)


def renumber(flash: Flash, area: int, generation: int) -> None:
    """Forge the number of a load into an area that counts."""
    at = SLOTS + area * AREA
    struct.pack_into("<I", flash.data, at + 8, generation)
    struct.pack_into("<I", flash.data, at + 24, zlib.crc32(flash.data[at : at + 24]))


@pytest.mark.parametrize("generation", [2**32 - 1, 2**32 - 2, 2**31 - 1])
def test_any_number_of_loads_can_be_loaded_over(make: Make, generation: int) -> None:
    flash = Flash(SLOTS, area=AREA)
    connect(make(flash=flash)).load(make_image(seed=9, n_neurons=3))
    renumber(flash, 0, generation)
    for number in range(4):
        image = make_image(seed=number, n_neurons=3 + number)
        connect(make(flash=flash)).load(image)
        generation = generation % (2**32 - 1) + 1
        device = connect(make(flash=flash))
        assert (device.info().model_crc, device._health().loads) == (crc(image), generation)


@pytest.mark.parametrize("at", [8, 24, 100, -1], ids=["number", "CRC", "image", "its CRC"])
def test_a_load_erases_nothing_when_what_runs_is_gone(make: Make, other: bytes, at: int) -> None:
    """Else a power cut would leave neither."""
    flash = Flash(SLOTS, area=AREA)
    first = make_image(seed=9, n_neurons=3)
    connect(make(flash=flash)).load(first)
    device = connect(make(flash=flash))
    device.load(other)
    flash.data[SLOTS + AREA + (at if at >= 0 else 28 + len(other) + at)] ^= 0x20
    n_operations = flash.n_operations
    with pytest.raises(StorageError):
        device.load(first)
    assert flash.n_operations == n_operations
    device = connect(make(flash=flash))
    assert device.info().model_crc == crc(first)
    device.load(other)
    assert connect(make(flash=flash)).info().model_crc == crc(other)


def test_a_loaded_image_of_no_number_does_not_count(make: Make, image: bytes, other: bytes) -> None:
    flash = Flash(SLOTS, area=AREA)
    connect(make(flash=flash)).load(other)
    renumber(flash, 0, 0)
    assert connect(make(flash=flash)).info().model_crc == crc(image)


def test_an_area_of_a_newer_format_is_loaded_over(make: Make, image: bytes, other: bytes) -> None:
    """It holds nothing that was learned, and the host has the image."""
    flash = Flash(SLOTS, area=AREA)
    connect(make(flash=flash)).load(other)
    struct.pack_into("<I", flash.data, SLOTS + 4, 2)
    renumber(flash, 0, 2**32 - 1)
    device = connect(make(flash=flash))
    assert device.info().model_crc == crc(image)
    device.load(other)
    assert connect(make(flash=flash)).info().model_crc == crc(other)


def test_flash_that_fails_or_lies_at_any_operation(make: Make, image: bytes) -> None:
    """Refused, or wrongly done: the old model runs on, or the new one runs whole."""
    new = make_image(seed=5, n_neurons=1, n_classes=3, n_latent=0, n_sequences=0)
    flash = Flash(SLOTS, area=AREA)
    device = connect(make(flash=flash))
    teach(device, 1)
    device.save()
    kept, before = bytes(flash.data), flash.n_operations
    device.load(new)
    n_operations = flash.n_operations - before
    assert n_operations >= 10, "a sector, the image, the record, the slots"
    outcomes = []
    for kind in ("fail_at", "lose_at"):
        for at in range(1, n_operations + 1):
            flash = Flash(SLOTS, area=AREA, data=bytearray(kept), **{kind: at})
            device = connect(make(flash=flash))
            learned = device.weights()
            refused = None
            try:
                device.load(new)
            except DeviceError as error:
                refused = error.name
            running = device.info().model_crc
            if refused:
                assert (refused, running) == ("STORAGE", crc(image))
                assert (device.weights(), device.info().generation) == (learned, 1)
            outcomes.append(running == crc(new))
            flash.fail_at = 0
            assert connect(make(flash=flash)).info().model_crc == running
            device.load(new)
            assert device.info().model_crc == crc(new)
    assert {True, False} == set(outcomes)


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_line_loads_the_same(make: Make, image: bytes, other: bytes, seed: int) -> None:
    flash = Flash(SLOTS, area=AREA)
    line = Lossy(make(flash=flash), seed)
    with connect(line) as device:
        for number, wanted in enumerate((other, image, other), 1):
            device.load(wanted)
            assert device.info().model_crc == crc(wanted)
            assert device._health().loads == number
    assert line.n_faults > 5
    assert connect(make(flash=flash)).info().model_crc == crc(other)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.tkws"
    path.write_bytes(make_image(seed=24, n_neurons=1, n_classes=3, n_latent=0, n_sequences=0))
    return path


FORGOTTEN = 32 + 2 * (64 + 16)
"""Operations that erase the slots: the header of the one that is not empty is crossed out; then
halves of sectors and a record of wear of each."""


def test_power_cut_in_a_load(start: Start, flash: Path, tiny: Path) -> None:
    """The old model with what it learned, or the new one with nothing: never anything else."""
    new = make_image(seed=25, n_neurons=1, n_classes=3, n_latent=0, n_sequences=0)
    board = start(model=tiny)
    with Driver.open(board.port) as device:
        learned = teach(device, 1)
        device.save()
        board.kill()
    kept = flash.read_bytes()
    board = start(model=tiny)
    with Driver.open(board.port) as device:
        device.load(new)
        fresh = device.weights()
        board.kill()
    old, done = (crc(tiny.read_bytes()), learned), (crc(new), fresh)
    # a sector in halves, the image, the record; then the slots
    n_loaded = 2 + len(new) + 28
    n_operations = n_loaded + FORGOTTEN
    places = {*range(1, n_operations, 61), n_loaded - 1, n_loaded, n_operations - 1, n_operations}
    for cut in [*sorted(places), n_operations + 1]:
        flash.write_bytes(kept)
        board = start(model=tiny, extra=["--cut-after", str(cut)])
        with Driver.open(board.port) as device:
            if cut > n_operations:
                device.load(new)
                break
            with pytest.raises(NoDeviceError):
                device.load(new)
            assert board.wait() == 86
        board = start(model=tiny)
        with Driver.open(board.port) as device:
            seen = (device.info().model_crc, device.weights())
            assert seen == (old if cut < n_loaded else done), cut
            board.kill()


def test_power_cut_on_the_way_back(start: Start, flash: Path, tiny: Path) -> None:
    """The loaded model with what it learned, or the factory's with nothing."""
    loaded = make_image(seed=25, n_neurons=1, n_classes=3, n_latent=0, n_sequences=0)
    board = start(model=tiny)
    with Driver.open(board.port) as device:
        fresh = device.weights()
        device.load(loaded)
        learned = teach(device, 1)
        device.save()
        board.kill()
    kept = flash.read_bytes()
    old, done = (crc(loaded), learned), (crc(tiny.read_bytes()), fresh)
    # the first sectors of both areas in halves; then the slots
    n_back = 4
    n_operations = n_back + FORGOTTEN
    for cut in [1, 2, 3, 4, 5, 50, n_operations, n_operations + 1]:
        flash.write_bytes(kept)
        board = start(model=tiny, extra=["--cut-after", str(cut)])
        with Driver.open(board.port) as device:
            if cut > n_operations:
                device.load_factory()
                break
            with pytest.raises(NoDeviceError):
                device.load_factory()
            assert board.wait() == 86
        board = start(model=tiny)
        with Driver.open(board.port) as device:
            seen = (device.info().model_crc, device.weights())
            # half of the sector may be the record, or what lies behind it
            assert seen in (old, done), cut
            assert cut not in (1, 2) or seen == old
            assert cut < n_back or seen == done
            board.kill()
