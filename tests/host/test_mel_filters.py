# SPDX-License-Identifier: Apache-2.0
"""The mel filterbank against torchaudio's; skipped where torchaudio cannot be imported."""

import numpy as np
import pytest

from programs import load_program
from reference_frontend import CHANNELS, FFT, HIGHEST_HZ, LOWEST_HZ, RATE, mel_filters

try:  # its extension module may not fit the torch that is there: then it raises OSError
    from torchaudio.functional import melscale_fbanks
except (ImportError, OSError) as error:
    pytest.skip(f"torchaudio cannot be imported: {error}", allow_module_level=True)

BINS = FFT // 2 + 1


def table_filters() -> np.ndarray:
    """The filters that the core's tables stand for: CHANNELS x bins."""
    module = load_program("scripts/make_tables.py")
    filters = np.zeros((CHANNELS, BINS))
    for k, (channel, share) in enumerate(zip(*module.mel_bins(), strict=True)):
        if channel < CHANNELS:
            filters[channel, k] += share / 1024
        if 0 < channel <= CHANNELS:
            filters[channel - 1, k] += 1 - share / 1024
    return filters


@pytest.mark.parametrize(
    ("ours", "rounding"), [(mel_filters, 0.0), (table_filters, 1 / 2048)], ids=["float", "tables"]
)
def test_filters_are_torchaudios_but_for_the_curve_of_their_sides(ours, rounding):
    filters = ours()
    reference = melscale_fbanks(
        BINS, LOWEST_HZ, HIGHEST_HZ, CHANNELS, RATE, norm=None, mel_scale="htk"
    ).numpy()
    # Sides are straight over mel here and over hertz there. Between neighbouring centres the
    # two differ most in the middle, by an eighth of the relative step of 700 + f, which is 6 %.
    step = np.log1p(HIGHEST_HZ / 700) - np.log1p(LOWEST_HZ / 700)
    curve = step / (CHANNELS + 1) / 8
    assert 0.007 < curve < 0.0075
    np.testing.assert_allclose(filters, reference.T, rtol=0, atol=curve + rounding + 1e-5)
