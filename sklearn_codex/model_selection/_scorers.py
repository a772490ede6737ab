"""Scorers of a fitted loop on records held out: its reward, its demonstrations, what it gains."""

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.matrices import as_csr
from sklearn_codex._data.fitted_models import freeze
from sklearn_codex._data.records import COLUMNS_OF_KIND, check_records
from sklearn_codex._pipeline.counting import (
    count_documents,
    counts_in_context,
    documents_after_prompts,
)
from sklearn_codex._policy.gold_scorer import GOLD_SCORE_CONSTRAINTS
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._stage import RecordKind
from sklearn_codex.metrics import preference_accuracy, preference_log_loss
from sklearn_codex.overoptimization import GoldRewardScorer

__all__ = ["HeldOutRewardScorer", "policy_scorers", "record_scorers"]


def _require(records, kind: RecordKind, subject):
    """Return the positions of the records of a kind, at least one."""
    rows = records.rows(kind)
    if not len(rows):
        raise ValueError(
            f"{subject} needs {kind} records, and X has none: {records.describe()}. Add records "
            f"with the columns {COLUMNS_OF_KIND[kind]}. In cross-validation use cv=RecordKFold()."
        )
    return rows


def _margins(loop, X, subject):
    """Return labels, reward margins and weights (n_preferences,) of the preferences in X."""
    records = check_records(X, subject=subject)
    rows = _require(records, "preference", subject)
    first, second = (
        np.asarray(loop.reward(documents_after_prompts(loop, *records.some(rows, other=other))))
        for other in (False, True)
    )
    return records.label[rows], first - second, records.weight[rows]


def _preference_accuracy(loop, X, y=None):
    label, margin, weight = _margins(loop, X, "preference_accuracy")
    return preference_accuracy(label, margin, sample_weight=weight)


def _neg_preference_log_loss(loop, X, y=None):
    label, margin, weight = _margins(loop, X, "neg_preference_log_loss")
    return -preference_log_loss(label, expit(margin), sample_weight=weight)


def _demonstration_log_likelihood(loop, X, y=None):
    subject = "demonstration_log_likelihood"
    records = check_records(X, subject=subject)
    rows = _require(records, "demonstration", subject)
    completions = documents_after_prompts(loop, *records.some(rows))
    # Per token, not per document: a fold of long completions weighs no more.
    return -float(np.log(loop.perplexity(completions)))


record_scorers = {
    "preference_accuracy": _preference_accuracy,
    "neg_preference_log_loss": _neg_preference_log_loss,
    "demonstration_log_likelihood": _demonstration_log_likelihood,
}
"""Scorers of a fitted :class:`~sklearn_codex.RLHFPipeline` on records, by name.

"preference_accuracy" and "neg_preference_log_loss" (nats) judge its reward model on the preferences
in X, "demonstration_log_likelihood" (nats a token) its last policy on the completions in X. As it
is, a ``scoring=`` of several metrics.
"""


def _direct_policy(loop, method, subject):
    """Return the last policy of a loop, which was learned from labels and can be asked for them."""
    check_is_fitted(loop)
    steps = [step for _, step in getattr(loop, "steps_", []) if hasattr(step, "rlhf_stage")]
    policies = [step for step in steps if step.rlhf_stage.provides == "policy"]
    if not policies or not hasattr(policies[-1], method):
        last = policies[-1] if policies else loop
        raise TypeError(
            f"{subject} scores an RLHFPipeline whose last policy is its own reward, such as "
            f"KTOPolicyOptimizer or DPOPolicyOptimizer, got {type(last).__name__}. For others see "
            "record_scorers and HeldOutRewardScorer."
        )
    return policies[-1]


def _unpaired_score(loop, X, y=None):
    subject = "unpaired_score"
    margin = _direct_policy(loop, "reference_point_", subject).margin
    records = check_records(X, subject=subject)
    rows = _require(records, "unpaired", subject)
    margins = margin(documents_after_prompts(loop, *records.some(rows)))
    label = records.label[rows]
    probability = label * expit(margins) + (1 - label) * expit(-margins)
    return float(np.average(probability, weights=records.weight[rows]))


def _neg_policy_log_loss(loop, X, y=None):
    subject = "neg_policy_log_loss"
    policy = _direct_policy(loop, "margin", subject)
    records = check_records(X, subject=subject)
    rows = _require(records, "preference", subject)
    first, second = (
        policy.reward(documents_after_prompts(loop, *records.some(rows, other=other)))
        for other in (False, True)
    )
    weight = records.weight[rows]
    return -preference_log_loss(records.label[rows], expit(first - second), sample_weight=weight)


policy_scorers = {
    "unpaired_score": _unpaired_score,
    "neg_policy_log_loss": _neg_policy_log_loss,
}
"""Scorers of loops whose last policy learned from labels itself, without a reward model, by name.

The score of such a loop, the likelihood of demonstrations, does not look at labels.
"unpaired_score" is ``KTOPolicyOptimizer.score`` of the unpaired records in X, the mean probability
of their labels;
"neg_policy_log_loss" (nats) judges the implicit reward of a KTO or DPO policy on the preferences in
X. Give one of them as ``scoring=``. Implicit rewards hardly depend on ``kl_coef``, which is
a price; see :class:`HeldOutRewardScorer`.
"""


class HeldOutRewardScorer:
    r"""Scores a loop by a reward it did not see, less a fixed price of the KL its policy spent.

    The objective of a loop trusts the reward it optimised, and objectives of different ``kl_coef``
    do not compare. This scorer fits a second, *gold* reward model on the preferences of the fold,
    and so can choose ``policy__kl_coef`` as any other parameter.

    Parameters
    ----------
    reward_model : estimator, default=None
        Cloned and fitted on the preferences in X; None means ``PreferenceRewardModel()``. A
        ``vectorizer`` left at None becomes that of the loop, for which the expectation is exact.
    kl_coef : float, default=0.0
        Price of a nat of KL, in units of the gold reward, the same for all candidates.
    n_samples : int, default=4096
        Documents drawn from the policy where the gold reward does not add over tokens.
    random_state : int or None, default=0
        Source of these draws; with a number all candidates share their random numbers.

    Raises
    ------
    ValueError
        If one of these is of another type or out of its range.

    See Also
    --------
    sklearn_codex.overoptimization.GoldRewardScorer : The same with a gold reward that is given.
    sklearn_codex.overoptimization.overoptimization_curve : Proxy and gold reward all along the
        frontier, for one loop.
    record_scorers : Scorers of the parts of a loop.

    Notes
    -----
    With the gold reward G, ``kl_coef`` b and the reference :math:`\rho`, the score of a policy
    :math:`\pi` is, for a document,

    .. math:: E_\pi[G] - b\, KL(\pi \| \rho).

    Were G the reward that was optimised, the best ``kl_coef`` of the policy would be b. The gold
    reward of a small fold is itself uncertain, the more so the further a policy moves: with
    ``kl_coef=0`` prefer few large folds.

    References
    ----------
    .. [1] Gao, L., Schulman, J. and Hilton, J. (2023). "Scaling laws for reward model
       overoptimization." ICML. arXiv:2210.10760.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_codex import PPOPolicyOptimizer, PreferenceRewardModel, UnigramLM
    >>> from sklearn_codex import make_rlhf_pipeline
    >>> from sklearn_codex.model_selection import HeldOutRewardScorer, RecordKFold
    >>> records = [{"text": "good bad fine"}, {"text": "bad fine bad"}, {"text": "fine day"}]
    >>> records += [{"prompt": f"{i}", "chosen": "good day", "rejected": "bad"} for i in range(6)]
    >>> loop = make_rlhf_pipeline(
    ...     UnigramLM(), PreferenceRewardModel(), PPOPolicyOptimizer(random_state=0)
    ... )
    >>> search = GridSearchCV(
    ...     loop, {"ppopolicyoptimizer__kl_coef": [0.5, 1.0, 4.0]}, cv=RecordKFold(3),
    ...     scoring=HeldOutRewardScorer(kl_coef=1.0),
    ... ).fit(records)
    >>> search.best_params_
    {'ppopolicyoptimizer__kl_coef': 1.0}
    """

    _constraints = {
        "reward_model": [HasMethods(["fit", "get_params"]), None],
        **GOLD_SCORE_CONSTRAINTS,
    }

    def __init__(self, reward_model=None, *, kl_coef=0.0, n_samples=4096, random_state=0):
        self.reward_model = reward_model
        self.kl_coef = kl_coef
        self.n_samples = n_samples
        self.random_state = random_state
        # Now, and not when the first candidate of a search has been fitted.
        validate_parameter_constraints(self._constraints, vars(self), type(self).__name__)

    def __repr__(self):
        return f"HeldOutRewardScorer({self.reward_model!r}, kl_coef={self.kl_coef!r})"

    def __call__(self, estimator, X, y=None):
        """Return the score of a fitted loop on records.

        Parameters
        ----------
        estimator : fitted RLHFPipeline
            With a policy optimiser.
        X : list of dict, array of dict, or DataFrame of length n_records
            Records, with preferences among them.
        y : None
            Ignored, present for the scikit-learn API.

        Returns
        -------
        score : float
            Gold reward less ``kl_coef`` times the KL, of a document.

        Raises
        ------
        TypeError
            If the estimator has no policy that was optimised against a reference.
        ValueError
            If X has no preferences to fit the gold reward on.
        """
        check_is_fitted(estimator)
        stages = [step for _, step in getattr(estimator, "steps_", [])]
        policies = [stage for stage in stages if hasattr(stage, "reference_log_prob_")]
        if not policies:
            raise TypeError(
                "HeldOutRewardScorer scores an RLHFPipeline with a policy optimiser, such as "
                f"PPOPolicyOptimizer, got {type(estimator).__name__}. Add one as its last stage."
            )
        scorer = GoldRewardScorer(
            self._fit_gold(estimator, X),
            kl_coef=self.kl_coef,
            n_samples=self.n_samples,
            random_state=self.random_state,
        )
        return scorer(policies[-1])

    def _fit_gold(self, loop, X):
        """Return the gold reward model, fitted on the preferences in X."""
        subject = type(self).__name__
        records = check_records(X, subject=subject)
        rows = _require(records, "preference", subject)
        gold = clone(PreferenceRewardModel() if self.reward_model is None else self.reward_model)
        prompts = [records.prompt[row] or "" for row in rows]
        texts = [(records.text[row], records.other[row]) for row in rows]
        pairs: Any = np.array(
            [(asked, *both) for asked, both in zip(prompts, texts, strict=True)], object
        )
        if gold.get_params(deep=False).get("vectorizer", "none to set") is None:
            gold.set_params(vectorizer=freeze(loop.vectorizer_))
            if any(prompts) and counts_in_context(loop.vectorizer_):
                # As the loop counts what its reward model learns from: after the prompts.
                first, second = (
                    count_documents(
                        loop.vectorizer_, *records.some(rows, other=other), subject=subject
                    )
                    for other in (False, True)
                )
                pairs = as_csr(first - second)
        weight = records.weight[rows]
        params = {} if (weight == 1).all() else {"sample_weight": weight}
        return gold.fit(pairs, records.labels(rows), **params)
