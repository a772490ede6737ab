r"""Variances and degrees of freedom of estimates from few groups, such as prompts.

An estimate b solves a sum over groups g of scores :math:`u_g(b) = 0`, with information
:math:`A = \sum_g A_g`. Leaving out a group moves it, by one Newton step, by

.. math:: \delta_g = (A - A_g)^{-1} u_g,

and a function c of it by :math:`c' \delta_g`. The variance of the function by the jackknife of Bell
and McCaffrey (CR3, or CV3 [1]_ [2]_) is

.. math:: \widehat{\operatorname{var}}(c) = \frac{G - 1}{G} \sum_g (c' \delta_g)^2,

which unlike the sum of :math:`(c' A^{-1} u_g)^2` knows that each group drew the fit to itself.
Groups tell of c in the parts :math:`\gamma_g = c' A^{-1} A_g A^{-1} c`, the variances they would
add to it were the model right, so in effect there are

.. math:: G^* = \frac{(\sum_g \gamma_g)^2}{\sum_g \gamma_g^2}

of them [3]_, which is G where all tell alike. An interval is as one of a function that only
:math:`G^*` groups tell of: it has the variance with :math:`G^*` in place of G, and the quantile of
Student's t with :math:`G^* - 1` degrees of freedom; :math:`G^*` is taken to be 2 at least.

References
----------
.. [1] Bell, R. M. and McCaffrey, D. F. (2002). "Bias reduction in standard errors for linear
   regression with multi-stage samples." Survey Methodology 28(2), 169-181.
.. [2] MacKinnon, J. G., Nielsen, M. Ø. and Webb, M. D. (2023). "Fast and reliable jackknife and
   bootstrap methods for cluster-robust inference." Journal of Applied Econometrics 38(5), 671-694.
.. [3] Carter, A. V., Schnepel, K. T. and Steigerwald, D. G. (2017). "Asymptotic behavior of a
   t-test robust to cluster heterogeneity." Review of Economics and Statistics 99(4), 698-709.
"""

import warnings

import numpy as np
from scipy.stats import t

# Of fewer groups too little is known of how they vary for intervals of shares to hold.
FEWEST_GROUPS = 5


def effective_groups(parts):
    """Return G* (k,), at least 2, from what each of several groups tells, parts (n_groups, k)."""
    # By the greatest part, so that no square is too small or too great for a float.
    greatest = parts.max(axis=0)
    parts = parts / np.where(greatest > 0, greatest, 1.0)
    squares = (parts**2).sum(axis=0)
    number = np.divide(
        parts.sum(axis=0) ** 2, squares, out=np.full_like(squares, len(parts)), where=squares > 0
    )
    return np.maximum(number, 2.0)


def jackknife_variance(moves):
    """Return the variance (k,) of estimates that leaving out each group moves (n_groups, k)."""
    return (1 - 1 / len(moves)) * (moves**2).sum(axis=0)


def critical_value(confidence_level, n_effective, n_groups=np.inf):
    """Return by how many jackknife standard errors an interval goes to each side.

    Parameters
    ----------
    confidence_level : float
        Of the two-sided interval.
    n_effective : float or ndarray
        Effective number of groups; infinite where a standard error is known.
    n_groups : float
        Groups of the standard error.
    """
    quantile = t.ppf((1 + confidence_level) / 2, n_effective - 1)
    return quantile * np.sqrt((1 - 1 / n_effective) / (1 - 1 / n_groups))


def check_several_groups(n_groups: int, *, subject: str) -> None:
    """Raise where all pairs are in one group."""
    if n_groups < 2:
        raise ValueError(
            f"{subject} asks how groups differ, so it needs at least 2 of them, got {n_groups}. "
            "Give the prompt of each pair as groups, or leave groups out where pairs are "
            "independent."
        )


def warn_of_few_groups(n_groups: int, *, subject: str) -> None:
    """Warn where a share was seen in too few groups for its interval to be trusted."""
    if n_groups < FEWEST_GROUPS:
        warnings.warn(
            f"{subject} has {n_groups} groups. Below {FEWEST_GROUPS} the interval of a share may "
            "cover less often than its level says: label more prompts.",
            UserWarning,
            stacklevel=3,
        )
