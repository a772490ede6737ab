"""Optimisers on an objective that is stated, instead of one made from documents and a reward."""

from collections.abc import Callable
from copy import copy
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.optimizer import PolicyOptimizerMixin
from sklearn_codex.rules import Rule

# What an objective states, and the optimiser does not.
_STATED = (
    *("policy", "reward_model", "kl_coef", "reward_coef", "sft_coef", "rules", "response_length"),
    *("max_length", "missing_eos_penalty", "entropy_coef", "normalize_reward", "vectorizer"),
)


class StatedReward:
    """The reward of an objective, as a fitted model of counts.

    Parameters
    ----------
    token_reward : ndarray of shape (V,)
        Reward of each token, or row.
    """

    def __init__(self, token_reward: FloatArray):
        self.token_reward = token_reward

    @property
    def n_features_in_(self) -> int:
        """Number of tokens."""
        return len(self.token_reward)

    @property
    def coef_(self) -> FloatArray:
        """Weights (V,) of the reward."""
        return self.token_reward

    def reward(self, counts: Any) -> FloatArray:
        """Return the reward (n_documents,) of counts (n_documents, V)."""
        return np.asarray(counts @ self.token_reward)


class StatedPenalty(Rule):
    """The penalties of an objective, as a rule that charges them.

    Parameters
    ----------
    amounts : ndarray of shape (V,)
        Nats of each token, or row.
    """

    name, penalty = "penalty", 1.0

    def __init__(self, amounts: FloatArray):
        self.amounts = amounts

    @property
    def column_violations(self) -> FloatArray:
        """Nats of what policies of the family are made of."""
        return self.amounts


class KeepsObjectiveMixin:
    """Keeps an objective as ``_stated``, where one was stated."""

    def __getstate__(self):
        """Return the state, the objective without what it computes when it is asked."""
        state: Any = super().__getstate__()
        return {**state, "_stated": _afresh(state["_stated"])} if "_stated" in state else state


class ObjectiveFitMixin(KeepsObjectiveMixin, PolicyOptimizerMixin):
    """A policy optimiser that also takes the problem as an objective that is stated."""

    fit: Callable

    def fit_objective(self, objective):
        """Optimise a policy of any family, as an objective states it.

        Parameters
        ----------
        objective : an objective of :mod:`sklearn_codex.exact`
            Reference, rewards, penalties and weights; such as :class:`CandidatePolicy.objective`
            of candidates, tabular or log-linear.

        Returns
        -------
        self : estimator
            Its ``token_log_prob_`` is a policy of the family, and ``optimality_gap_`` what it is
            short of the optimum. A column is a token of the objective: of candidates, a row.

        Raises
        ------
        ValueError
            If a parameter of the optimiser states what the objective does, in another way.
        TypeError
            If it is none.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_codex import CandidatePolicy, RLOOPolicyOptimizer
        >>> X, groups = np.array([[0.0], [1.0], [2.0], [0.0]]), [0, 0, 1, 1]
        >>> policy = CandidatePolicy(lambda X: X[:, 0], kl_coef=0.5).fit(X, groups=groups)
        >>> problem = policy.objective(X, groups=groups)
        >>> learned = RLOOPolicyOptimizer(random_state=0).fit_objective(problem)
        >>> bool(learned.optimality_gap_ < 1e-3 * problem.gap(problem.start))
        True
        """
        if not hasattr(objective, "token_scores") or not hasattr(objective, "having"):
            raise TypeError(
                f"{type(self).__name__}.fit_objective needs an objective, such as "
                "sklearn_codex.exact.CandidateObjective or CandidatePolicy.objective(X), got a "
                f"{type(objective).__name__}."
            )
        given = self.get_params(deep=False)
        default = type(self)().get_params(deep=False)
        stated = [
            name
            for name in _STATED
            if name in given
            and given[name] != default[name]
            and not _says_the_same(given[name], getattr(objective, name, None))
        ]
        if stated:
            raise ValueError(
                f"{type(self).__name__} got {stated[0]}={given[stated[0]]!r}, but in fit_objective "
                "the objective states the problem. Leave it out, or state the same there: "
                f"objective.having({stated[0]}=...) where it is one of its fields."
            )
        _check_penalty(objective, f"{type(self).__name__}.fit_objective")
        return self.fit(objective)

    def _prepare(self, X, y, *, prompts=None, seed=None):
        """Resolve what a fit needs, of an objective where X is one."""
        self.__dict__.pop("_stated", None)
        if not hasattr(X, "token_scores"):
            return super()._prepare(X, y, prompts=prompts, seed=seed)
        if seed is None:
            seed = int(check_random_state(self.random_state).randint(2**31))
        self._seed, self._stated = seed, X
        self.vectorizer_, self.n_features_in_ = None, len(X.token_reward)
        self.reference_log_prob_ = X.reference_log_prob
        self._read_trie = self._trie = getattr(X, "trie", None)
        self._initial = getattr(X, "initial", None)
        for name in ("token_log_prob_", "_backoff"):
            self.__dict__.pop(name, None)
        self.response_length_ = X.length
        if self._trie is not None and self._eos_column() is None:
            self.response_length_ = X.max_length
        self.document_length_ = self._mean_document_length = self.response_length_ or 1
        self.frequencies_ = X.frequencies if X.sft_coef else None
        self.reward_model_ = StatedReward(X.token_reward)
        return X

    def _problem_parameters(self):
        """Return the parameters of the problem, those that an objective states as it does."""
        parameters = super()._problem_parameters()
        if not hasattr(self, "_stated"):
            return parameters
        stated = {name: getattr(self._stated, name) for name in ("kl_coef", "reward_coef")}
        penalty = self._stated.penalty
        if penalty is not None:
            stated["rules"] = StatedPenalty(np.where(np.isfinite(penalty), penalty, 0.0))
        return parameters | stated

    def _build_objective(self):
        """Return the objective without reward and penalties; what these ban is impossible."""
        if not hasattr(self, "_stated"):
            return super()._build_objective()
        stated = self._stated
        reference = stated.reference_log_prob
        if stated.penalty is not None:
            reference = np.where(np.isinf(stated.penalty), -np.inf, reference)
        unrewarded = np.zeros_like(stated.token_reward)
        return stated.having(reference_log_prob=reference, token_reward=unrewarded, penalty=None)


def _check_penalty(objective, subject):
    """Check that a rule can charge the penalties of an objective: those of n-grams are of arcs."""
    trie, penalty = getattr(objective, "trie", None), objective.penalty
    if trie is None or penalty is None:
        return
    others = np.flatnonzero(np.isfinite(penalty[trie.n_arcs :]) & (penalty[trie.n_arcs :] > 0))
    if len(others):
        event = trie.n_arcs + int(others[0])
        raise ValueError(
            f"{subject} takes a finite penalty of arcs, the first {trie.n_arcs} events, got "
            f"{penalty[event]:g} of event {event}, which is one of backing off or ending. Take "
            "kl_coef * penalty / reward_coef off the reward of such events instead."
        )


def _says_the_same(given, stated):
    """Return whether a parameter is the number that an objective states."""
    return isinstance(given, Real) and isinstance(stated, Real) and given == stated


def _afresh(objective):
    """Return a copy of an objective without what it has computed."""
    fresh = copy(objective)
    for name in list(vars(fresh)):
        if isinstance(getattr(type(fresh), name, None), cached_property):
            del vars(fresh)[name]
    return fresh
