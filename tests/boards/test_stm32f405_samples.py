# SPDX-License-Identifier: Apache-2.0
"""What the STM32F405 makes of an I2S microphone's half words; the DMA itself has no model here."""

import re
import subprocess
from typing import Any

import numpy as np
import pytest
from cffi import FFI

from toolchain import ROOT, WARNINGS, find
from tracekws.errors import code

pytestmark = pytest.mark.toolchain

BOARD = ROOT / "firmware" / "boards" / "stm32f405"
RING = 1024
GAIN = 16


class Samples:
    """The ring, and the interrupt that fills it."""

    def __init__(self, ffi: FFI, lib: Any) -> None:
        self.ffi, self.lib = ffi, lib
        self.ring = ffi.new("samples *")
        lib.samples_reset(self.ring)

    def put(self, left: Any, right: int = 0x123456) -> None:
        """Frames of 24-bit numbers as the DMA has them: upper half word first."""
        frames = np.array([[value, right] for value in left], np.int64).reshape(-1, 2)
        words = (frames << 8) & 0xFFFFFFFF
        halves = np.stack([words >> 16, words & 0xFFFF], axis=-1).astype(np.uint16)
        self.lib.samples_put(self.ring, self.ffi.from_buffer("uint16_t[]", halves), len(frames))

    def take(self, n: int = RING) -> int | list[int]:
        out = self.ffi.new("int16_t[]", n)
        status = self.lib.samples_take(self.ring, out, n)
        return status if status < 0 else list(out[0:status])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[FFI, Any]:
    library = tmp_path_factory.mktemp("samples") / "samples.so"
    include = f"-I{ROOT / 'firmware/core/include'}"
    flags = ["-std=c11", "-O2", "-shared", "-fPIC", *WARNINGS]
    subprocess.run(
        [find("cc"), *flags, include, BOARD / "samples.c", "-o", library],
        check=True,
    )
    header = re.sub(r"/\*.*?\*/", "", (BOARD / "samples.h").read_text(), flags=re.DOTALL)
    struct = re.search(r"typedef struct \{.*?\} samples;", header, flags=re.DOTALL)
    assert struct is not None
    ffi = FFI()
    ffi.cdef(
        struct.group().replace("SAMPLES_RING", str(RING))
        + """
        void samples_reset(samples *s);
        void samples_put(samples *s, const volatile uint16_t *words, size_t n_frames);
        int samples_take(samples *s, int16_t *pcm, size_t n_samples);
        """
    )
    return ffi, ffi.dlopen(str(library))


@pytest.fixture
def samples(built: tuple[FFI, Any]) -> Samples:
    return Samples(*built)


def test_the_left_channel_times_sixteen(samples: Samples) -> None:
    rng = np.random.default_rng(1)
    left = rng.integers(-(2**19), 2**19, 500)
    samples.put(left)
    # 24 bits down to 16 is a division by 256; times the gain
    assert samples.take() == (left * GAIN // 256).tolist()


@pytest.mark.parametrize(
    ("value", "sample"),
    [
        *[(0, 0), (1, 0), (16, 1), (-1, -1), (-16, -1), (-17, -2), (2**19 - 1, 32767)],
        *[(2**19, 32767), (2**23 - 1, 32767), (-(2**19), -32768), (-(2**23), -32768)],
    ],
)
def test_rounding_and_saturation(samples: Samples, value: int, sample: int) -> None:
    samples.put([value])
    assert samples.take() == [sample]


def test_order_and_pieces(samples: Samples) -> None:
    taken: list[int] = []
    for block in range(100):
        samples.put(16 * np.arange(128 * block, 128 * (block + 1)))
        for n in (50, 1, 77, 10):
            piece = samples.take(n)
            assert isinstance(piece, list)
            taken += piece
    assert taken == list(range(12800))


@pytest.mark.parametrize("idle", [0, -1])
def test_a_line_that_never_moves_is_no_microphone(samples: Samples, idle: int) -> None:
    samples.put([idle] * 128)
    assert not samples.ring.alive
    assert samples.ring.n_blocks == 1
    samples.put([idle] * 127 + [5])
    assert samples.ring.alive


def test_lost_samples_are_told_once_and_the_rest_is_in_one_piece(samples: Samples) -> None:
    for _ in range(RING // 128):
        samples.put([16] * 128)
    assert len(samples.take(128)) == 128  # type: ignore[arg-type]
    samples.put([16] * 128)
    samples.put([32] * 128)
    assert samples.take() == code("OVERRUN")
    assert samples.take() == []
    samples.put([48] * 128)
    assert samples.take() == [3] * 128
