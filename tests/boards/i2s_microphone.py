# SPDX-License-Identifier: Apache-2.0
"""An I2S microphone on the pins of an emulated RP2040: 24 bits in slots of 32, left channel."""

from collections.abc import Sequence
from typing import Any

SAMPLE_BITS = 24


class I2SMicrophone:
    """Plays 24-bit samples, one a frame; zeros when there are no more.

    It does what data sheets say: word select is looked at when the clock rises; a data bit is put
    out when the clock falls, the highest one clock after word select has fallen; in the right slot
    the line is left alone.
    """

    def __init__(self, samples: Sequence[int], clock: int = 16, select: int = 17, data: int = 18):
        self.samples = samples
        self.pins = (clock, select, data)
        self.frame_nanos: list[float] = []
        """When each frame began, in emulated time."""
        self.n_bits_left = 0
        self.word = 0
        self.was_right = True

    def attach(self, rp2040: Any) -> None:
        from rp2040py.gpio_pin import GPIOPinState

        self.high = GPIOPinState.HIGH
        clock, select, data = (rp2040.gpio[pin] for pin in self.pins)
        self.time, self.select, self.data = rp2040.clock, select, data
        clock.add_listener(self.on_clock)

    def on_clock(self, value: Any, _last: Any) -> None:
        if value is self.high:
            self.on_rise()
        else:
            self.on_fall()

    def on_rise(self) -> None:
        is_right = self.select.value is self.high
        if self.was_right and not is_right:
            n = len(self.frame_nanos)
            self.word = self.samples[n] & 0xFFFFFF if n < len(self.samples) else 0
            self.n_bits_left = SAMPLE_BITS
            self.frame_nanos.append(self.time.nanos)
        self.was_right = is_right

    def on_fall(self) -> None:
        if self.n_bits_left > 0:
            self.n_bits_left -= 1
            bit = bool(self.word >> self.n_bits_left & 1)
            if bit != self.data.input_value:
                self.data.set_input_value(bit)
        elif self.data.input_value:
            self.data.release_input()
