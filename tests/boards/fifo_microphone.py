# SPDX-License-Identifier: Apache-2.0
"""A microphone of an emulated RP2040 behind its PIO: samples as the state machine gives them.

Several times faster than i2s_microphone.py, which shows that the state machine does give them.
"""

from collections.abc import Sequence
from typing import Any

PIO0 = 0x50200
PIO_CTRL = 0x0
PIO_RXF0 = 0x20
ENABLE = 1
DREQ_PIO0_RX0 = 4
SAMPLE_NANOS = 1e9 / 16000


class FifoMicrophone:
    """Plays 24-bit samples, one in 62.5 microseconds while it is enabled; zeros behind them.

    It stands in the place of PIO0 and takes what is written to its other registers as it is.
    """

    def __init__(self, samples: Sequence[int]):
        self.samples = samples
        self.n_heard = 0
        self.enabled = False

    def attach(self, rp2040: Any) -> None:
        self.dma = rp2040.dma
        self.alarm = rp2040.clock.create_alarm(self.on_sample)
        rp2040.peripherals[PIO0] = self

    def on_sample(self) -> None:
        if self.enabled:
            self.alarm.schedule(SAMPLE_NANOS)
            self.dma.set_dreq(DREQ_PIO0_RX0)

    def read_uint32(self, offset: int) -> int:
        if offset != PIO_RXF0 or not self.enabled:
            return 0
        self.dma.clear_dreq(DREQ_PIO0_RX0)
        sample = self.samples[self.n_heard] if self.n_heard < len(self.samples) else 0
        self.n_heard += 1
        return (sample & 0xFFFFFF) << 7

    def write_uint32(self, offset: int, value: int) -> None:
        if offset != PIO_CTRL:
            return
        was_enabled, self.enabled = self.enabled, bool(value & ENABLE)
        if self.enabled and not was_enabled:
            self.alarm.schedule(SAMPLE_NANOS)
        if not self.enabled:
            self.dma.clear_dreq(DREQ_PIO0_RX0)

    def write_uint32_atomic(self, offset: int, value: int, _kind: int) -> None:
        self.write_uint32(offset, value)

    def reset(self) -> None:
        self.enabled = False
