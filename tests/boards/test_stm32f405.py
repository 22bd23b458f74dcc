# SPDX-License-Identifier: Apache-2.0
"""The STM32F405's firmware in QEMU, which lacks clocks, flash controller, watchdog and I2S."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import reference_device as reference
from firmware import build_firmware, need_emulator
from images import make_image
from toolchain import ROOT, find, run
from tracekws.boards.emulator import emulated_board
from tracekws.boards.firmware import read_firmware
from tracekws.boards.virtual import VirtualBoard
from tracekws.core import Model
from tracekws.device.device import Device
from tracekws.errors import DeviceError, StorageError

pytestmark = pytest.mark.toolchain

BASE = ROOT / "models" / "base.tkws"
SECTORS = 256 << 10
"""What the firmware may fill."""
MEMORIES = {"sram": (0x20000000, 128 << 10), "ccm": (0x10000000, 64 << 10)}


@pytest.fixture(scope="module")
def base_firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the model that ships, whose weights fill both memories."""
    need_emulator("stm32f405")
    elf = build_firmware("stm32f405", tmp_path_factory.mktemp("stm32f405"), MODEL=BASE)
    return elf.with_name("stm32f405-qemu.elf")


@pytest.fixture
def board(base_firmware: Path, tmp_path: Path) -> Iterator[VirtualBoard]:
    with emulated_board(base_firmware, tmp_path / "flash") as running:
        yield running


def test_info(board: VirtualBoard) -> None:
    with Device.open(board.port) as device:
        info = device.info()
    assert (info.board, info.model_crc) == ("stm32f405", Model.load(BASE).crc)
    assert info.ram_bytes == 192 << 10
    # QEMU has neither: what does not start is left out
    assert (info.watchdog_ms, info.brown_out_mv) == (0, None)
    assert info.reset_reason == "unknown"


def test_learns_to_the_bit_what_the_host_learns(board: VirtualBoard) -> None:
    pcm = np.random.default_rng(2).normal(0, 3000, 16000).astype(np.int16)
    pupil = reference.Pupil(BASE.read_bytes(), 7)
    with Device.open(board.port) as device:
        assert (device.classify(pcm)[1] == reference.scores(BASE.read_bytes(), pcm)).all()
        with device.learn(7) as session:
            session.take_pcm("yes", pcm, 32767)
        pupil.take("yes", pupil.features(pcm), 32767)
        assert device.weights() == pupil.weights


def test_a_flash_controller_that_does_not_answer_is_no_storage(board: VirtualBoard) -> None:
    with Device.open(board.port) as device:
        for action in (device.save, device.forget):
            with pytest.raises((DeviceError, StorageError), match="this board cannot do that"):
                action()
        with pytest.raises(DeviceError, match="this board cannot do that"):
            device.load(BASE.read_bytes())
        assert device.info().generation == 0


def test_another_model_in_a_built_firmware_runs(base_firmware: Path, tmp_path: Path) -> None:
    """The raw binary of the QEMU variant, with another model put in as `tracekws flash` does."""
    raw = tmp_path / "firmware.bin"
    run(find("arm-none-eabi-objcopy"), "-O", "binary", base_firmware, raw)
    model = tmp_path / "small.tkws"
    model.write_bytes(make_image(seed=8, n_neurons=16))
    made = read_firmware(raw, "stm32f405").with_model(model)
    assert len(made.data) < len(raw.read_bytes()) - 100_000
    made.path.write_bytes(made.data)
    with (
        emulated_board(made.path, tmp_path / "flash") as running,
        Device.open(running.port) as device,
    ):
        assert device.info().model_crc == Model.load(model).crc


def test_the_firmware_for_the_part(base_firmware: Path) -> None:
    """Its places, which the variant for QEMU does not prove."""
    elf = base_firmware.with_name("stm32f405.elf")
    assert len(elf.with_suffix(".bin").read_bytes()) <= SECTORS
    assert read_firmware(elf.with_suffix(".bin"), "stm32f405").model.crc == Model.load(BASE).crc
    table = [line.split() for line in run(find("arm-none-eabi-nm"), elf).splitlines()]
    at = {words[2]: int(words[0], 16) for words in table if len(words) == 3}
    assert at["tkws_vectors"] == 0x08000000
    start, n_bytes = MEMORIES["sram"]
    assert at["tkws_stack_bottom"] == start, "an overflow leaves the memory"
    assert start <= at["buffer"] < start + n_bytes, "where the DMA reaches it"
    assert at["tkws_arena_end"] == start + n_bytes
    start, n_bytes = MEMORIES["ccm"]
    assert (at["tkws_ccm_arena_start"], at["tkws_ccm_arena_end"]) == (start, start + n_bytes)
    entries = np.frombuffer(
        elf.with_suffix(".bin").read_bytes()[: at["identity"] - at["tkws_vectors"]], "<u4"
    )
    assert len(entries) == 16 + 82
    assert entries[0] == at["tkws_stack_top"]
    assert entries[1] == at["tkws_reset_handler"] + 1
    assert entries[16 + 39] == at["usart3_handler"] + 1
    assert entries[16 + 14] == at["microphone_dma_handler"] + 1
    assert entries[15] == at["tick_handler"] + 1
