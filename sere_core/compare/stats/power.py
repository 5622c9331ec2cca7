"""What a comparison of this size could have shown."""

from __future__ import annotations

import math

from sere_core.compare.stats.distributions import detectable_shift


def smallest_detectable(std: float | None, n: int, alpha: float, power: float = 0.8) -> float | None:
    """The smallest true mean difference that a paired two-sided test over n units finds with the given power.

    Solves  P(|T'| > t_{n-1, 1-alpha/2}) = power,  T' noncentral t with n - 1 degrees of freedom and noncentrality
    delta sqrt(n) / std,  for delta (J. Cohen, Statistical Power Analysis, 1988, chapter 2); about
    (t_{n-1, 1-alpha/2} + t_{n-1, power}) std / sqrt(n).  It stands in for the sign-flip test, whose power it
    approximates for differences that are about normal, and takes the observed deviation for the true one: a statement about
    the size of the comparison, not about its outcome.

    A sign-flip test over n units has no p below 2^(1-n): where that is not below alpha nothing can be shown.

    Args:
        std: of the differences between units, with n - 1.
        n: units.
        alpha: of this one test; after Holm's correction over m tests alpha / m is what the first must pass.
        power: chance of showing it.

    Returns:
        The difference, in the unit of `std`; None for n < 2, for a deviation of zero, and where alpha is out of reach.

    >>> round(smallest_detectable(0.02, 30, 0.05), 4)
    0.0106
    >>> smallest_detectable(0.02, 5, 0.05) is None
    True
    """
    if std is None or std <= 0 or n < 2 or 2.0 ** (1 - n) >= alpha:
        return None
    return detectable_shift(n, alpha, power) * std / math.sqrt(n)
