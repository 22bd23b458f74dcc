# SPDX-License-Identifier: Apache-2.0
"""The form in which a device compares traces of takes, from how they differ within words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracekws.core import FeatureConfig, features
from tracekws.modelfile import TraceForm
from tracekws.train.seconds import WordPart

RANK = 32
LEAST_TAKES = 4
"""Of a word, for its takes to count."""
FLOOR = 0.1
"""Share of the mean variance that is added to each direction's."""


def fit_form(
    rates: NDArray[np.float64], words: NDArray[np.int64], rank: int = RANK
) -> TraceForm | None:
    """Shrink the directions in which takes of the same word differ most.

    With covariance S within words, its eigenvectors v_i and eigenvalues, the largest first, the
    form is I - sum_i shrink_i v_i v_i'; what is left of v_i is the mean of the smaller eigenvalues
    over its own, both with FLOOR of the mean of all added: whitening (linear discriminant analysis)
    cut off behind `rank`.

    Args:
        rates: (takes, H) mean rates.
        words: (takes,) their numbers; words with fewer than LEAST_TAKES do not count.
        rank: directions.

    Returns:
        The form; None where no word has takes enough, or none of them differ.
    """
    counts = np.bincount(words)
    often = counts[words] >= LEAST_TAKES
    if not often.any():
        return None
    rates, words = rates[often], words[often]
    means = np.zeros((len(counts), rates.shape[1]))
    np.add.at(means, words, rates)
    means /= np.maximum(1, counts)[:, None]
    variances, directions = np.linalg.eigh(np.cov((rates - means[words]).T))
    if not variances.any():  # as of a network that does not fire
        return None
    variances = variances[::-1] + FLOOR * variances.mean()
    rank = min(rank, len(variances) - 1)
    left = variances[rank:].mean() / variances[:rank]
    return TraceForm(rates.mean(0), 1 - left, directions[:, ::-1][:, :rank])


@dataclass(frozen=True)
class Spoken:
    """Words, each alone in a second."""

    features: NDArray[np.int8]
    """(takes, steps, 80)."""
    words: NDArray[np.int64]
    """(takes,) their numbers."""


def read_spoken(part: WordPart, front_end: FeatureConfig) -> Spoken:
    """Read words that stand alone.

    Raises:
        DataError: a recording has changed since it was found.
    """
    pieces = [*part.pieces(np.random.default_rng(1))]
    _, words = np.unique([word for *_, word in pieces], return_inverse=True)
    return Spoken(np.stack([features(pcm, front_end) for pcm, *_ in pieces]), words)
