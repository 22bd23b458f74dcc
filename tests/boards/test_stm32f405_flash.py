# SPDX-License-Identifier: Apache-2.0
"""The STM32F405's flash driver on a model of its controller: commands, refusals, power cuts."""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cffi import FFI

from images import Form, Own, make_image, with_own_words, with_traces
from loopback_device import Board, Flash, connect
from reference_device import keep_take, teach
from toolchain import ROOT, WARNINGS, find
from tracekws.device.device import Device
from tracekws.errors import StorageError, code

pytestmark = pytest.mark.toolchain

BOARDS = ROOT / "firmware" / "boards"
HERE = Path(__file__).parent
SECTOR = 128 * 1024
N_SECTORS = 6
REFUSED = code("STORAGE")
FACTORY_OPTIONS = 0x0FFFAAEC
ERASED_OPTIONS = 0x0FFFFFEC
LEVEL_OFF = 3 << 2
FUNCTIONS = """
    void model_reset(void);
    stm32f405_model *model_state(void);
    uint8_t *model_memory(void);
    bool flash_answers(void);
    void flash_set_brown_out(void);
    uint16_t flash_brown_out_mv(void);
    int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes);
    int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes);
    int flash_erase(void *context, size_t offset);
"""


class Part:
    """The driver and the model under it."""

    def __init__(self, folder: Path) -> None:
        library = folder / "stm32f405.so"
        includes = [f"-I{BOARDS}", f"-I{ROOT / 'firmware/core/include'}", f"-I{HERE}"]
        sources = [BOARDS / "stm32f405" / "flash.c", HERE / "stm32f405_model.c"]
        flags = ["-std=c11", "-O2", "-shared", "-fPIC", *WARNINGS]
        subprocess.run([find("cc"), *flags, *includes, *sources, "-o", library], check=True)
        header = (HERE / "stm32f405_model.h").read_text()
        struct = re.search(r"typedef struct \{.*?\} stm32f405_model;", header, flags=re.DOTALL)
        assert struct is not None
        self.ffi = FFI()
        self.ffi.cdef(re.sub(r"/\*.*?\*/", "", struct.group()) + FUNCTIONS)
        self.lib = self.ffi.dlopen(str(library))
        self.memory = self.ffi.buffer(self.lib.model_memory(), N_SECTORS * SECTOR)
        self.model = self.lib.model_state()

    def reset(self) -> None:
        self.lib.model_reset()
        self.model.busy_looks = 2

    def blank(self) -> None:
        self.memory[:] = b"\xff" * len(self.memory)
        self.model.option_bytes = FACTORY_OPTIONS

    def read(self, offset: int, n_bytes: int) -> tuple[int, bytes]:
        out = self.ffi.new("uint8_t[]", n_bytes)
        return self.lib.flash_read(self.ffi.NULL, offset, out, n_bytes), bytes(out)

    def program(self, offset: int, data: bytes) -> int:
        return int(self.lib.flash_program(self.ffi.NULL, offset, data, len(data)))

    def erase(self, offset: int) -> int:
        return int(self.lib.flash_erase(self.ffi.NULL, offset))

    def is_at_rest(self) -> bool:
        """Locked, nothing going on, the cache flushed, and no command out of order."""
        m = self.model
        locked = m.locked and m.optcr & 1
        return bool(locked and m.busy == 0 and not m.stale and m.n_sequence_errors == 0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Part:
    return Part(tmp_path_factory.mktemp("stm32f405"))


@pytest.fixture
def part(built: Part) -> Iterator[Part]:
    built.blank()
    built.reset()
    yield built
    assert built.is_at_rest() or built.model.dead or built.model.absent


def rubbish(seed: int, n_bytes: int) -> bytes:
    return np.random.default_rng(seed).bytes(n_bytes)


# --- what it does ---------------------------------------------------------------------------------


def test_programs_words_and_reads_them(part: Part) -> None:
    data = rubbish(1, 256)
    assert part.program(SECTOR - 128, data) == 0
    assert part.read(SECTOR - 128, 256) == (0, data)
    assert bytes(part.memory[SECTOR - 128 : SECTOR + 128]) == data
    assert set(bytes(part.memory[SECTOR + 128 :])) == {0xFF}
    assert part.model.n_stores == 64


def test_words_of_ones_are_not_programmed(part: Part) -> None:
    assert part.program(0, b"\xff" * 8 + b"\x00" * 4) == 0
    assert part.model.n_stores == 1


@pytest.mark.parametrize("sector", range(N_SECTORS))
def test_erases_one_sector(part: Part, sector: int) -> None:
    part.memory[:] = b"\x00" * len(part.memory)
    assert part.erase(sector * SECTOR) == 0
    erased = np.frombuffer(part.memory, np.uint8).reshape(N_SECTORS, SECTOR)
    assert [int(row.min()) for row in erased] == [255 * (s == sector) for s in range(N_SECTORS)]
    assert [int(row.max()) for row in erased] == [255 * (s == sector) for s in range(N_SECTORS)]
    assert part.model.n_erases == 1


def test_a_controller_left_unlocked_is_locked(part: Part) -> None:
    part.model.locked = False
    part.model.cr = 0
    assert part.lib.flash_answers()
    assert part.model.locked


def test_a_machine_without_the_controller_is_told(part: Part) -> None:
    part.memory[:4] = bytes(4)
    part.model.absent = True
    assert not part.lib.flash_answers()
    assert part.program(8, bytes(4)) == REFUSED
    assert part.erase(0) == REFUSED


@pytest.mark.parametrize(("level", "mv"), [(0, 2830), (1, 2500), (2, 2190), (3, 0)])
def test_brown_out_level_of_the_option_bytes(part: Part, level: int, mv: int) -> None:
    part.model.option_bytes = FACTORY_OPTIONS & ~LEVEL_OFF | level << 2
    part.reset()
    assert part.lib.flash_brown_out_mv() == mv


def test_sets_the_brown_out_level_of_a_factory_part_once(part: Part) -> None:
    for _ in range(3):
        part.lib.flash_set_brown_out()
        assert part.lib.flash_brown_out_mv() == 2830
        assert part.is_at_rest()
    assert part.model.n_option_programs == 1
    assert part.model.option_bytes == FACTORY_OPTIONS & ~LEVEL_OFF, "the other options stay"
    part.reset()
    part.lib.flash_set_brown_out()
    assert part.model.n_operations == 0
    assert part.lib.flash_brown_out_mv() == 2830


@pytest.mark.parametrize("level", [1, 2])
def test_another_brown_out_level_stays(part: Part, level: int) -> None:
    part.model.option_bytes = FACTORY_OPTIONS & ~LEVEL_OFF | level << 2
    part.reset()
    part.lib.flash_set_brown_out()
    assert part.model.n_operations == 0


def test_options_left_unlocked_are_set_and_locked(part: Part) -> None:
    part.model.optcr &= ~1
    part.model.sr = 1 << 4
    part.lib.flash_set_brown_out()
    assert part.lib.flash_brown_out_mv() == 2830
    assert part.is_at_rest()


def test_options_that_cannot_be_unlocked_stay(part: Part) -> None:
    part.model.options_refuse = True
    part.lib.flash_set_brown_out()
    assert part.lib.flash_brown_out_mv() == 0
    assert part.model.n_option_programs == 0


def test_options_that_are_not_programmed_are_not_told(part: Part) -> None:
    part.model.weak_options = True
    part.lib.flash_set_brown_out()
    assert part.lib.flash_brown_out_mv() == 0
    assert part.model.option_bytes == FACTORY_OPTIONS
    assert part.erase(0) == 0, "the error flag is not in the way"


@pytest.mark.parametrize("busy_looks", [0, 2**32 - 1])
def test_a_controller_that_stays_busy_sets_no_options(part: Part, busy_looks: int) -> None:
    """Busy from the start, or once it is told to program the options."""
    part.model.busy = 0 if busy_looks else 2**32 - 1
    part.model.busy_looks = busy_looks
    part.lib.flash_set_brown_out()
    assert part.model.n_option_programs == (busy_looks > 0)
    part.reset()


def test_power_cut_at_every_operation_of_setting_the_options(part: Part) -> None:
    seen = []
    for cut in range(1, 100):
        part.blank()
        part.reset()
        part.model.cut_at = cut
        part.lib.flash_set_brown_out()
        if not part.model.dead:
            break
        seen.append(part.model.option_bytes)
        part.reset()
        part.lib.flash_set_brown_out()
        assert part.lib.flash_brown_out_mv() == 2830
        assert part.is_at_rest()
        assert part.program(0, bytes(4)) == 0
    new = FACTORY_OPTIONS & ~LEVEL_OFF
    assert seen == [FACTORY_OPTIONS] * 4 + [ERASED_OPTIONS] + [new] * (cut - 6)
    assert cut == 7


# --- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "n_bytes"),
    [(2, 4), (0, 3), (N_SECTORS * SECTOR, 4), (N_SECTORS * SECTOR - 4, 8), (2**64 - 4, 8)],
)
def test_refuses_a_place_to_program(part: Part, offset: int, n_bytes: int) -> None:
    assert part.program(offset, bytes(n_bytes)) == REFUSED
    assert part.model.n_operations == 0


@pytest.mark.parametrize("offset", [4, SECTOR // 2, N_SECTORS * SECTOR, 2**64 - SECTOR])
def test_refuses_a_place_to_erase(part: Part, offset: int) -> None:
    assert part.erase(offset) == REFUSED
    assert part.model.n_operations == 0


def test_refuses_to_read_outside(part: Part) -> None:
    assert part.read(N_SECTORS * SECTOR - 4, 8)[0] == REFUSED
    assert part.read(N_SECTORS * SECTOR, 0) == (0, b"")


def test_refuses_to_turn_a_zero_into_a_one(part: Part) -> None:
    assert part.program(0, bytes([0xFF] * 7 + [0x7F])) == 0
    before = part.model.n_operations
    assert part.program(0, bytes([0] * 7 + [0x80])) == REFUSED
    assert part.model.n_operations == before, "not a word of it is programmed"
    assert part.program(0, bytes([0] * 7 + [0x70])) == 0, "but more zeros are"


@pytest.mark.parametrize("sector", range(N_SECTORS))
def test_a_protected_sector_refuses_and_the_next_does_not(part: Part, sector: int) -> None:
    part.memory[:] = b"\x00" * len(part.memory)
    part.model.protected_sector = 6 + sector
    assert part.erase(sector * SECTOR) == REFUSED
    assert part.read(sector * SECTOR, 4) == (0, bytes(4))
    other = (sector + 1) % N_SECTORS
    assert part.erase(other * SECTOR) == 0, "the error flag was cleared"
    part.blank()
    assert part.program(sector * SECTOR, bytes(4)) == REFUSED
    assert part.program(other * SECTOR, bytes(4)) == 0


@pytest.mark.parametrize("flag", [1 << 1, 1 << 4, 1 << 5, 1 << 6, 1 << 7])
def test_errors_of_before_are_cleared(part: Part, flag: int) -> None:
    part.model.sr = flag
    assert part.program(0, bytes(4)) == 0
    part.model.sr = flag
    assert part.erase(0) == 0


def test_what_was_programmed_wrongly_is_told(part: Part) -> None:
    part.model.weak_store = 2
    assert part.program(0, bytes(16)) == REFUSED


def test_what_was_not_erased_is_told(part: Part) -> None:
    part.model.weak_erase = 1
    assert part.erase(0) == REFUSED
    assert part.erase(0) == 0


def test_a_controller_that_stays_busy_is_given_up(part: Part) -> None:
    part.model.busy = 2**32 - 1
    assert part.erase(0) == REFUSED
    assert part.model.n_erases == 0
    part.reset()


# --- the application's storage on it --------------------------------------------------------------


@dataclass
class Controller(Flash):
    """Flash of the loopback board that is the driver and the model."""

    part: Any = None

    def __post_init__(self) -> None:
        self.data = self.part.memory

    def read(self, offset: int, n_bytes: int) -> bytes:
        status, data = self.part.read(offset, n_bytes)
        assert status == 0
        return bytes(data)

    def program(self, offset: int, data: bytes) -> bool:
        return bool(self.part.program(offset, data) == 0)

    def erase(self, offset: int) -> bool:
        return bool(self.part.erase(offset) == 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def tiny() -> bytes:
    image = with_traces(make_image(seed=24, n_neurons=2, n_classes=3), Form.random(2, 1, seed=1))
    return with_own_words(image, Own(n_words=2))


@pytest.fixture
def start(folder: Path, tiny: bytes, part: Part) -> Callable[[], Device]:
    """Switch the part on: registers reset, memory as it was."""

    def run(image: bytes = tiny) -> Device:
        part.reset()
        flash = Controller(n_bytes=2 * SECTOR, sector=SECTOR, unit=4, part=part)
        return connect(Board(folder, image, flash))

    return run


def test_saves_undoes_and_forgets(start: Callable[[], Device], part: Part) -> None:
    device = start()
    factory = device.weights()
    learned = [teach(device, 1)]
    assert device.save() == 1
    learned.append(teach(device, 2))
    assert device.save() == 2
    device = start()
    assert device.weights() == learned[1]
    assert device.undo() == 1
    device = start()
    assert device.weights() == learned[0]
    assert device.info().erases == 3
    device.forget()
    device = start()
    assert device.weights() == factory
    assert device.info().slots == ("empty", "empty")
    assert part.is_at_rest()


def test_a_protected_slot_is_an_error_with_the_other_kept(
    start: Callable[[], Device], part: Part
) -> None:
    device = start()
    first = teach(device, 1)
    device.save()
    teach(device, 2)
    part.model.protected_sector = 7
    with pytest.raises(StorageError, match="refused an erase"):
        device.save()
    device = start()
    assert device.weights() == first


def test_takes_are_saved_without_an_erase(start: Callable[[], Device], part: Part) -> None:
    device = start()
    keep_take(device, 1)
    device.save()
    learned = keep_take(device, 2)
    assert device.save() == 2
    device = start()
    assert device.weights() == learned
    keep_take(device, 3)
    assert device.save() == 3
    assert device.info().erases == 1
    device = start()
    assert device.undo() == 2
    assert device.weights() == learned
    assert device.info().erases == 1
    assert part.is_at_rest()


@pytest.mark.thorough
@pytest.mark.parametrize("learn", [teach, keep_take], ids=["weights", "takes"])
def test_power_cut_at_every_operation_of_a_save(
    start: Callable[[], Device], part: Part, learn: Callable[[Device, int], bytes]
) -> None:
    """At every write of a register and every word: the old state or the new, never a mixture.

    The next save works, as is tried after one cut in five.
    """
    device = start()
    saved = learn(device, 1)
    device.save()
    kept = bytes(part.memory)
    attempted = learn(device, 2)
    seen = []
    for cut in range(1, 1000):
        part.memory[:] = kept
        device = start()
        assert device.weights() == saved
        assert learn(device, 2) == attempted
        part.model.n_operations = 0
        part.model.cut_at = cut
        if not survives(device):
            assert part.model.dead
        elif not part.model.dead:
            break
        device = start()
        seen.append(device.weights() == attempted)
        assert seen[-1] or device.weights() == saved, f"a mixture after a cut at operation {cut}"
        if cut % 5 == 0:
            again = learn(device, 3)
            device.save()
            assert start().weights() == again
    assert cut > 30
    first = seen.index(True)
    assert seen == [False] * first + [True] * (len(seen) - first), "new from one operation on"
    assert first > cut - 16, "the last word makes the save, then a grain of the log follows"


def survives(device: Device) -> bool:
    try:
        device.save()
    except StorageError:
        return False
    return True
