# SPDX-License-Identifier: Apache-2.0
"""What a count of events says of their rate."""

import math


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact (Garwood) interval of a Poisson mean given a count, to 1e-9."""

    def at_most(most: int, mean: float) -> float:
        """P(X <= most)."""
        if mean == 0:
            return 1.0
        terms = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(most + 1))
        return math.fsum(math.exp(term) for term in terms)

    def mean_where(most: int, target: float) -> float:
        low, high = 0.0, 20.0 + 4.0 * count
        while high - low > 1e-9:
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(most, middle) > target else (low, middle)
        return high

    tail = (1 - level) / 2
    return (mean_where(count - 1, 1 - tail) if count else 0.0), mean_where(count, tail)


def rate(count: int, hours: float) -> dict[str, float]:
    """A count an hour with its exact 95 % interval."""
    low, high = poisson_interval(count)
    return {"mean": count / hours, "low": low / hours, "high": high / hours}
