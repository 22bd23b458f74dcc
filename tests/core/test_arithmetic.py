# SPDX-License-Identifier: Apache-2.0
"""Fixed-point operators, generator, CRC and softmax against independent definitions."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain import build_program, run
from tracekws._core import ffi, lib

HERE = Path(__file__).parent
INT32 = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.toolchain
@pytest.mark.parametrize(("compiler", "stride"), [("gcc", 1), ("clang-14", 5)])
def test_fixed_point_operators_are_as_defined(tmp_path: Path, compiler: str, stride: int) -> None:
    # stride 1 takes all 2^32 pairs of a Q15 product
    program = build_program(tmp_path, compiler, HERE / "test_fx.c", f"-DSTRIDE={stride}")
    n_checked = int(run(program).split()[0])
    assert n_checked > 2**32 // stride


@pytest.mark.toolchain
@pytest.mark.parametrize("compiler", ["gcc", "clang-14"])
def test_pairs_are_as_defined(tmp_path: Path, compiler: str) -> None:
    program = build_program(tmp_path, compiler, HERE / "test_dsp.c")
    assert int(run(program).split()[0]) > 1_000_000


def published_xorshift32(x: int) -> int:
    """Marsaglia 2003, the triple 13, 17, 5."""
    x ^= (x << 13) & 0xFFFFFFFF
    x ^= x >> 17
    return x ^ (x << 5) & 0xFFFFFFFF


@pytest.mark.toolchain
@pytest.mark.parametrize("seed", [0, 1, 2, 0x80000000, 0xFFFFFFFF, 0x9E3779B9])
def test_generator_follows_the_published_recurrence(tmp_path: Path, seed: int) -> None:
    program = build_program(tmp_path, "gcc", HERE / "print_rng.c")
    n, limit = 5000, 196
    state, *values = (int(line) for line in run(program, seed, n, limit).split())
    assert state != 0
    x = state
    for value in values[:n]:
        x = published_xorshift32(x)
        assert value == x
    for value in values[n:]:
        x = published_xorshift32(x)
        assert value == (x >> 16) * limit >> 16
    draws = np.bincount(values[n:], minlength=limit)
    assert len(draws) == limit
    chi_squared = ((draws - n / limit) ** 2 / (n / limit)).sum()
    assert chi_squared < 300  # 195 degrees of freedom: 300 has a probability of 2e-6


@pytest.mark.toolchain
def test_small_seeds_start_apart(tmp_path: Path) -> None:
    program = build_program(tmp_path, "gcc", HERE / "print_rng.c")
    first = [int(run(program, seed, 1, 10).split()[1]) / 2**32 for seed in range(60)]
    assert len(set(first)) == 60
    quarters = np.histogram(first, 4, (0, 1))[0]
    assert quarters.min() >= 5


def test_the_published_recurrence_has_full_period() -> None:
    # The generator is linear over GF(2): its matrix has order 2^32 - 1 = 3 5 17 257 65537.
    def times(a: list[int], b: list[int]) -> list[int]:
        """Columns of a b, a column an integer."""
        return [apply(a, column) for column in b]

    def apply(a: list[int], vector: int) -> int:
        result = 0
        for i in range(32):
            if vector >> i & 1:
                result ^= a[i]
        return result

    def power(exponent: int) -> list[int]:
        result, base = [1 << i for i in range(32)], step
        while exponent:
            if exponent & 1:
                result = times(result, base)
            base = times(base, base)
            exponent >>= 1
        return result

    step = [published_xorshift32(1 << i) for i in range(32)]
    identity = [1 << i for i in range(32)]
    order = 2**32 - 1
    assert power(order) == identity
    for prime in (3, 5, 17, 257, 65537):
        assert power(order // prime) != identity


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_crc_is_zlibs_over_any_division_of_the_data(parts: list[bytes]) -> None:
    crc = 0
    for part in parts:
        crc = lib.tkws_crc32(crc, ffi.from_buffer(part), len(part))
    assert crc == zlib.crc32(b"".join(parts))


def test_crc_of_the_standard_check_string() -> None:
    assert lib.tkws_crc32(0, b"123456789", 9) == 0xCBF43926


def softmax(logits: np.ndarray) -> np.ndarray:
    out = ffi.new("int16_t[]", len(logits))
    lib.tkws_softmax(ffi.from_buffer("int32_t[]", logits.astype(np.int32)), len(logits), out)
    return np.frombuffer(ffi.buffer(out), np.int16) / 32768


def true_softmax(logits: np.ndarray) -> np.ndarray:
    x = logits.astype(np.float64) / 1024
    power = np.exp(x - x.max())
    return power / power.sum()


def check_softmax(logits: np.ndarray) -> float:
    p = softmax(logits)
    assert (p >= 0).all()
    error = np.abs(p - true_softmax(logits)).max()
    assert error < 0.001
    assert abs(p.sum() - 1) < 0.001 + len(logits) / 32768  # each result is rounded down
    return float(error)


@given(st.lists(INT32, min_size=1, max_size=32))
def test_softmax_of_any_logits(logits: list[int]) -> None:
    check_softmax(np.array(logits))


@given(st.lists(st.integers(-8192, 8192), min_size=1, max_size=32))
def test_softmax_of_close_logits(logits: list[int]) -> None:
    check_softmax(np.array(logits))


def test_softmax_of_two_over_the_whole_curve() -> None:
    errors = [check_softmax(np.array([0, d])) for d in range(-17 * 1024, 17 * 1024, 7)]
    assert max(errors) < 0.0003  # measured 0.00021


@pytest.mark.parametrize(
    "logits",
    [
        [-(2**31), 2**31 - 1],
        [2**31 - 1] * 32,
        [-(2**31)] * 32,
        [2**31 - 1, -(2**31), 0, 2**31 - 1],
        [0],
    ],
)
def test_softmax_of_extreme_logits(logits: list[int]) -> None:
    check_softmax(np.array(logits))


@given(st.lists(INT32, min_size=2, max_size=32), st.integers(-(2**20), 2**20))
def test_softmax_depends_on_differences_only(logits: list[int], offset: int) -> None:
    x = np.array(logits) // 2
    assert (softmax(x) == softmax(x + offset)).all()
