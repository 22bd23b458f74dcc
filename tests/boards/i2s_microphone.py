# SPDX-License-Identifier: Apache-2.0
"""An I2S microphone on the pins of an emulated RP2040: 24 bits in slots of 32, left channel."""

from collections.abc import Sequence
from typing import Any

SLOT_BITS = 32
SAMPLE_BITS = 24


class I2SMicrophone:
    """Plays 24-bit samples, one a frame; zeros when there are no more.

    It does what the data sheets say: word select is looked at when the clock rises; a data bit is put out when the
    clock falls, the highest one clock after word select has changed; in the right slot the line is left alone.
    """

    def __init__(
        self, samples: Sequence[int], bit_clock: int = 16, word_select: int = 17, data: int = 18
    ) -> None:
        self.samples = samples
        self.pins = (bit_clock, word_select, data)
        self.n_frames = 0
        self.rises: list[float] = []
        self.n_bits_left = 0
        self.word = 0
        self.was_right = True

    def attach(self, rp2040: Any) -> None:
        bit_clock, word_select, data = self.pins
        self.chip = rp2040
        self.select = rp2040.gpio[word_select]
        self.data = rp2040.gpio[data]
        rp2040.gpio[bit_clock].add_listener(self.on_clock)

    def on_clock(self, value: Any, _last: Any) -> None:
        if int(value) == 1:
            self.on_rise()
        else:
            self.on_fall()

    def on_rise(self) -> None:
        is_right = int(self.select.value) == 1
        if self.was_right and not is_right:
            n = self.n_frames
            self.word = self.samples[n] & 0xFFFFFF if n < len(self.samples) else 0
            self.n_frames += 1
            self.n_bits_left = SAMPLE_BITS
            self.rises.append(self.chip.clock.nanos)
        self.was_right = is_right

    def on_fall(self) -> None:
        if self.n_bits_left > 0:
            self.n_bits_left -= 1
            bit = bool(self.word >> self.n_bits_left & 1)
            if bit != self.data.input_value:
                self.data.set_input_value(bit)
        elif self.data.input_value:
            self.data.release_input()
