"""Policies that see the last token are those of order 2 in :mod:`sklearn_codex.exact` now.

``BigramObjective`` is :class:`~sklearn_codex.exact.NGramObjective` with ``max_length``.
``BigramReference`` is :func:`~sklearn_codex.exact.bigram_model` of given probabilities, and
:class:`~sklearn_codex.NGramLM` of order 2 with ``smoothing="dirichlet"`` of texts. In the place of
``optimize_bigram_policy``, optimisers take the objective in ``fit_objective``.
"""

from typing import Any

__all__: list[str] = []

_SUCCESSORS = {
    "BigramReference": (
        "exact.bigram_model for given probabilities, NGramLM(order=2, smoothing='dirichlet') for "
        "texts"
    ),
    "BigramObjective": "exact.NGramObjective with max_length, which takes models of any order",
    "optimize_bigram_policy": "PPOPolicyOptimizer.fit_objective of an exact.NGramObjective",
}


def __getattr__(name: str) -> Any:
    if name in _SUCCESSORS:
        raise ImportError(
            f"sklearn_codex.sequential has no {name} any more. Use {_SUCCESSORS[name]}."
        )
    raise AttributeError(f"module 'sklearn_codex.sequential' has no attribute {name!r}")
