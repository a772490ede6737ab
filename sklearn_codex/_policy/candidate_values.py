"""What a policy over candidates is worth: by its own reward, by gold ones, from logged choices."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import normalize_log_within
from sklearn_codex._policy.candidate_choices import CandidateChoicesMixin, takes_candidates
from sklearn_codex._policy.candidate_log import read_log, value_from_log
from sklearn_codex._policy.candidate_problem import best_of_ns, check_row_rewards, frontier_of
from sklearn_codex._policy.candidate_rows import features_of


class CandidateValuesMixin(CandidateChoicesMixin):
    """Objectives, values and frontiers of a policy over candidates. Nothing more."""

    vectorizer_: Any

    @takes_candidates
    def objective(self, X, groups=None, reference_log_prob=None, *, log_linear=False):
        """Return what the policy maximises on candidates, for optimisers to be held against.

        Parameters
        ----------
        {rows}
        {of_rows}
        log_linear : bool, default=False
            Whether optimisers shall move in the policies that are log-linear in the features of
            rows alone, which reach new prompts, and not in all that choose among these candidates.

        Returns
        -------
        objective : CandidateObjective
            With ``features`` where ``log_linear``. ``PPOPolicyOptimizer`` and other optimisers
            take it in ``fit_objective``.

        Raises
        ------
        ValueError
            If ``log_linear``, and rows have no features: of text, those of a reward model.
        """
        rows, objective = self._read(X, groups, reference_log_prob)
        if not log_linear:
            return objective
        if rows.features is None and self.vectorizer_ is None:
            raise ValueError(
                f"{type(self).__name__}.objective got log_linear=True, but rows of text have no "
                "features of their own here: the reward model reads them. Pass rows of numbers, "
                "such as vectorizer.transform(responses), with groups."
            )
        features = features_of(self, rows, reset=False)
        is_sparse = hasattr(features, "toarray")
        return objective.having(features=features.toarray() if is_sparse else features)

    @takes_candidates
    def evaluate(self, X, groups=None, reference_log_prob=None):
        """Return the objective of the policy and its parts, means over prompts.

        Parameters
        ----------
        {rows}
        {of_rows}

        Returns
        -------
        parts : Bunch
            ``objective`` J; ``expected_reward``; ``kl``, ``entropy`` and ``penalty``, in nats;
            ``n_prompts``.
        """
        rows, objective = self._read(X, groups, reference_log_prob)
        best = objective.optimum()
        return Bunch(
            objective=objective.value(best),
            expected_reward=objective.expected_reward(best),
            kl=objective.kl(best),
            entropy=objective.entropy(best),
            penalty=objective.expected_penalty(best),
            n_prompts=rows.n_prompts,
        )

    @takes_candidates
    def score(self, X, y=None, groups=None, reference_log_prob=None):
        """Return the value of the policy under gold rewards, or the objective.

        Parameters
        ----------
        {rows}
        y : array-like of shape (n_rows,), default=None
            Gold reward of each candidate.
        {of_rows}

        Returns
        -------
        score : float
            With ``y`` its expectation under the policy, a mean over prompts, and without a price of
            KL; without ``y`` the objective J of :meth:`evaluate`. Greater is better.
        """
        if y is None:
            return self.evaluate(X, groups, reference_log_prob).objective
        rows, objective = self._read(X, groups, reference_log_prob)
        gold = check_row_rewards(y, len(rows), type(self).__name__)
        return objective.expected_sum(objective.optimum(), gold)

    @takes_candidates
    def frontier(self, X, y=None, groups=None, reference_log_prob=None, *, kl_coefs=None):
        """Return the greatest expected reward at each KL, one optimum for each ``kl_coef``.

        Parameters
        ----------
        {rows}
        y : array-like of shape (n_rows,), default=None
            Gold reward of each candidate.
        {of_rows}
        kl_coefs : array-like of shape (n_points,), default=None
            Weights of the KL; None means 50 from 100 to 0.01 times the standard deviation of the
            reward within prompts, on a logarithmic grid.

        Returns
        -------
        frontier : Bunch
            Arrays of shape (n_points,), by falling ``kl_coef``: ``kl_coef``, ``kl`` (nats),
            ``expected_reward`` and ``entropy``, means over prompts; with ``y`` also
            ``gold_reward``, which need not grow with KL. Chance constraints keep the prices of
            the fit.
        """
        rows, objective = self._read(X, groups, reference_log_prob)
        gold = None
        if y is not None:
            gold = check_row_rewards(y, len(rows), type(self).__name__)
        return frontier_of(objective, gold, kl_coefs)

    @takes_candidates
    def best_of_n(self, X, groups=None, reference_log_prob=None, *, ns=(1, 2, 4, 8, 16)):
        """Return what keeping the best of n draws from the reference gives, for several n, exact.

        Parameters
        ----------
        {rows}
        {of_rows}
        ns : array-like of int of shape (n_points,), default=(1, 2, 4, 8, 16)
            Draws, with replacement, of which the one of greatest reward is kept.

        Returns
        -------
        points : Bunch
            Arrays of shape (n_points,): ``n``; ``kl`` (nats) and ``expected_reward``, means over
            prompts; ``kl_bound``, log n - (n - 1) / n. Without rules no point is above the
            :meth:`frontier`.
        """
        objective = self._read(X, groups, reference_log_prob)[1]
        return best_of_ns(objective, ns)

    def off_policy_value(
        self,
        X,
        y,
        logged_prob,
        groups=None,
        reference_log_prob=None,
        *,
        clusters=None,
        method="snips",
        predicted=None,
        confidence_level=0.95,
        min_effective_size=30,
    ):
        """Return the value of the policy from the outcomes of responses that others chose.

        Parameters
        ----------
        X : rows (prompt, response), sequence of str, or array-like of shape (n_rows, n_features)
            All candidates that there were for each choice.
        y : array-like of shape (n_rows,)
            Outcome of the candidate that was chosen; NaN for the others.
        logged_prob : array-like of shape (n_rows,)
            Propensity of each candidate: the probability with which it was chosen, as it was known
            then. They add up to 1 over the candidates of a choice.
        groups : array-like of shape (n_rows,), default=None
            The choice that each row is a candidate of. None: that of its prompt.
        reference_log_prob : array-like of shape (n_rows,), default=None
            Log-probabilities under the reference, as in ``fit``.
        clusters : array-like of shape (n_rows,), default=None
            What choices have in common, such as the prompt of several. None: nothing.
        method : {"snips", "ips", "dr"}, default="snips"
            As in :func:`~sklearn_codex.metrics.off_policy_value`.
        predicted : array-like of shape (n_rows,), default=None
            Predicted outcome of each candidate, for "dr", by a model that did not learn from these
            choices.
        confidence_level : float, default=0.95
            Coverage aimed at.
        min_effective_size : float, default=30
            Effective number of clusters below which there is no value.

        Returns
        -------
        estimate : Bunch
            As of :func:`~sklearn_codex.metrics.off_policy_value`, and ``never_logged``, the
            probability that the policy chooses what cannot be logged.

        Raises
        ------
        ValueError
            If propensities do not add up to 1, a choice has several outcomes, or "dr" has no
            ``predicted``.

        Warns
        -----
        OverlapWarning
            If there is no value, which is NaN then; also where ``never_logged`` is above 0.001.
        """
        if isinstance(method, str) and method == "dr" and predicted is None:
            raise ValueError(
                f"{type(self).__name__}.off_policy_value with method='dr' needs predicted, the "
                "predicted outcome of each candidate; what it is under the policy follows. Pass "
                "it, or method='snips'."
            )
        rows, objective = self._read(X, groups, reference_log_prob)
        choice = normalize_log_within(objective.optimum(), rows.prompts)
        log = read_log(y, logged_prob, predicted, clusters, rows.prompts, type(self).__name__)
        return value_from_log(
            log,
            np.exp(choice),
            method=method,
            confidence_level=confidence_level,
            min_effective_size=min_effective_size,
        )
