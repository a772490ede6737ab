"""What policies that are learned from preferences, without a reward model, have in common.

They differ in their losses. What a policy is made of, which columns documents have and how long
they are is the same for all of them.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import Bunch, ClassifierTags, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray, close_kl, normalize_log
from sklearn_codex._checks.numbers import check_sample_weight, check_weight
from sklearn_codex._data.designs import DifferenceDesign, PairDesign
from sklearn_codex._data.documents import read_prompts
from sklearn_codex._data.fitted_models import IncomingModel
from sklearn_codex._data.pairs import ReadPairs, check_text_pairs, read_pairs, read_responses
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._fits import caller_level
from sklearn_codex._language.backoff import BackoffLanguageModelMixin
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._policy.candidate_family import (
    CandidateFamily,
    StatedPairs,
    StatedRows,
)
from sklearn_codex._policy.family import Family, NGramFamily, TokenFamily
from sklearn_codex._policy.stated_objective import KeepsObjectiveMixin
from sklearn_codex._reward.pair_classifier import responses_after
from sklearn_codex._reward.targets import PreferenceLabels
from sklearn_codex._text.inputs import check_texts
from sklearn_codex.exact import CandidateObjective, LengthExplosionWarning

# Tokens that documents are said to have where they hardly ever end.
_LONGEST = 10_000
# How many times as long as those of the reference documents have to be, to be told of.
_OFTEN = 10.0


class DirectPolicyMixin(KeepsObjectiveMixin, BackoffLanguageModelMixin):
    """A language model that is the reference, tilted, as preferences say.

    The class has the parameters ``policy``, ``response_length`` and ``vectorizer``.
    """

    _reads_ngrams = True
    _trie: Any = None
    _stated: CandidateObjective
    classes_: np.ndarray
    fit: Callable
    token_log_prob_: FloatArray
    policy: Any
    response_length: int | None
    kl_coef: float

    @property
    def _family(self) -> Family | CandidateFamily:
        """What the policy is made of."""
        if "_stated" in vars(self):
            return CandidateFamily(self._stated)
        if self._read_trie is None:
            return TokenFamily()
        return NGramFamily(self._trie, self._read_trie)

    def _read_labels(
        self, y: Any, sample_weight: Any, check: Callable[..., PreferenceLabels]
    ) -> tuple[PreferenceLabels, FloatArray]:
        """Return labels as they are checked, and weights, of which one is above 0."""
        subject = type(self).__name__
        labels = check(y, subject=subject)
        if not len(labels.target):
            raise ValueError(f"{subject} needs labels in y, got none. Pass that of each row of X.")
        weight = check_weight(sample_weight, labels.target)
        return labels, weight

    def _mean_loss(
        self,
        loss: Callable[[FloatArray, FloatArray], Any],
        margin: FloatArray,
        labels: PreferenceLabels,
        sample_weight: Any,
    ) -> float:
        """Return the weighted mean of losses by margins (n,) and the labels to be scored."""
        check_consistent_length(margin, labels.target)
        target = labels.target_by(self.classes_, subject=f"{type(self).__name__}.score")
        weight = check_sample_weight(sample_weight, margin, dtype=np.float64)
        return float(np.average(loss(margin, target)[0], weights=weight))

    def _keep_reference(
        self, policy: IncomingModel, n_columns: int, prompts: Any, sample_weight: Any = None
    ) -> None:
        """Keep the reference and what it is made of, once pairs or documents have been read.

        Parameters
        ----------
        policy : IncomingModel
        n_columns : int
            Of documents.
        prompts : sequence of str, array-like of shape (n_prompts, n_columns) or None
            What documents of the policy start after.
        sample_weight : ndarray of shape (n_prompts,), default=None
            How often each prompt counts; None for once.
        """
        self._forget_family()
        self._read_trie = policy.read_trie
        if self._read_trie is None:
            reference = policy.log_prob()
            if reference is None:
                reference = np.full(n_columns, -np.log(n_columns))
            self.reference_log_prob_ = normalize_log(reference)
            return
        policy.check_columns()
        model = policy.backoff or BackoffModel.uniform(self._read_trie)
        self._trie, self.reference_log_prob_ = model.trie, model.event_log_prob
        if prompts is not None:
            family = NGramFamily(self._trie, self._read_trie)
            contexts = family.contexts_after(read_prompts(self, prompts))
            starts = np.bincount(contexts, sample_weight, minlength=model.trie.n_contexts)
            self._initial = starts / starts.sum()

    def _keep_objective(self, stated: StatedPairs | StatedRows, sample_weight: FloatArray) -> Any:
        """Keep what an objective states; return the design of what is said of its candidates.

        Penalties are in the reference, which is the best policy without rewards.
        """
        self._forget_family()
        self._stated, self.vectorizer_ = stated.objective, None
        self.n_features_in_ = len(stated.objective.prompts)
        self.__dict__.pop("feature_names_in_", None)
        unrewarded = np.zeros(self.n_features_in_)
        self.reference_log_prob_ = stated.objective.having(token_reward=unrewarded).optimum()
        self.document_length_ = 1
        design = stated.design()
        check_consistent_length(design, sample_weight)
        return design

    def _fit_stated(self, stated: StatedPairs | StatedRows, y: Any, sample_weight: Any) -> Any:
        """Fit to what is said of candidates, and tell what the rewards of their objective miss."""
        self.fit(stated, y, sample_weight)
        self.optimality_gap_ = float(stated.objective.gap(self.token_log_prob_))
        return self

    def _forget_family(self) -> None:
        self._read_trie, self._trie, self._initial = None, None, None
        for name in ("token_log_prob_", "_backoff", "_stated"):
            self.__dict__.pop(name, None)

    def _in_columns_of_policy(self, design: Any) -> Any:
        """Return a design (n_pairs, n_columns) of documents in the columns of the policy."""
        documents = self._family.documents
        if isinstance(design, PairDesign):
            return PairDesign(documents(design.features), design.a, design.b)
        return DifferenceDesign(documents(design.differences))

    def _check_support(self, design: Any) -> None:
        """Check that the reference can produce all that differs between responses."""
        impossible = np.isneginf(self.reference_log_prob_)
        if not impossible.any():
            return
        occurs = design.column_squares(np.ones(design.shape[0])) > 0
        lost = np.flatnonzero(impossible & occurs)
        if lost.size:
            name = self._family.column_name(int(lost[0]), token_names(self))
            raise ValueError(
                f"{type(self).__name__} got pairs that differ in {lost.size} "
                f"{self._family.column_kind} which the reference policy cannot produce, such as "
                f"{name!r}, so their log-ratio is undefined. Smooth the reference, or leave these "
                "pairs out."
            )

    def _length_of(self, responses: Any, policy: Any, sample_weight: Any = None) -> int:
        """Return the tokens of a document, from the best source there is.

        Parameters
        ----------
        responses : array or csr_array of shape (n, n_columns), or None
            All responses that are compared, in the columns of the policy; None where only their
            differences are known.
        policy : fitted language model or None
        sample_weight : ndarray of shape (n,), default=None
            Weights of the responses, of which one of 2 is the response twice.
        """
        if self._eos_column() is not None:
            if self.response_length is not None:
                raise ValueError(
                    f"{type(self).__name__} got response_length={self.response_length}, but the "
                    "vocabulary has an end-of-sequence token, so documents end by themselves. "
                    "Leave response_length at None."
                )
            return 1  # what it is follows from the policy
        if self.response_length is not None:
            return self.response_length
        if policy is not None:
            return int(policy.document_length_)
        if responses is None:
            return 1
        weight = np.ones(responses.shape[0]) if sample_weight is None else sample_weight
        total = (responses.T @ weight)[np.newaxis]  # (1, n_columns)
        return max(1, round(self._family.count_tokens(total) / float(np.sum(weight))))

    def _lengths_and_kl(self, log_prob: FloatArray) -> Bunch:
        """Return ``expected_length``, its rounding, and ``kl``, of documents of a policy."""
        length, eos = float(self.document_length_), self._eos_column()
        if self._read_trie is None:
            if eos is not None:
                length = float(np.exp(-log_prob[eos]))
            kl = length * close_kl(log_prob, self.reference_log_prob_)
        else:
            length, kl = self._of_ngrams(log_prob, eos)
        rounded = max(1, round(length)) if np.isfinite(length) else _LONGEST
        return Bunch(expected_length=length, document_length=rounded, kl=kl)

    def _kl_gradient(self, policy: Any) -> FloatArray:
        """Return the gradient (n_weights,) of the KL of a document of a tilted policy."""
        length, eos = float(self.document_length_), self._eos_column()
        if self._read_trie is not None:
            return self._kl_gradient_of_ngrams(policy, eos)
        ratio = policy.reward / policy.kl_coef
        prob = np.exp(policy.log_prob)
        slopes = prob * ratio
        if eos is not None:
            length = float(np.exp(-policy.log_prob[eos]))
            slopes[eos] -= prob @ ratio
        return length * policy.vjp(slopes) / policy.kl_coef

    def _kl_gradient_of_ngrams(self, policy, eos):
        objective = self._unrewarded(eos)
        try:
            by_events = objective.gradient(policy.log_prob)
        except ValueError:  # documents hardly ever end
            return np.zeros(policy.tilt.n_weights)
        by_arcs = by_events[: policy.tilt.n_weights]
        return -policy.tilt.sum_over_tilts(by_arcs) / policy.tilt.kl_coef

    def _unrewarded(self, eos):
        """Return the objective of documents of n-grams without a reward, -KL."""
        return self._family.objective(
            self.reference_log_prob_,
            length=self.document_length_,
            eos=eos,
            max_length=None,
            subject=type(self).__name__,
            initial=self._initial,
        )

    def _of_ngrams(self, log_prob, eos):
        """Return the expected length and the KL of a policy of n-grams; inf if it has no end."""
        objective, length = self._unrewarded(eos), float(self.document_length_)
        try:
            if eos is not None:
                length = objective.expected_length(log_prob)
            return length, objective.kl(log_prob)
        except ValueError:  # documents hardly ever end
            return float("inf"), float("inf")

    def _set_policy(self, log_prob: FloatArray, reward: FloatArray) -> None:
        """Set what follows from a policy and its reward (n_columns,), in columns of policies."""
        for name, value in self._family.fitted(log_prob).items():
            setattr(self, name, value)
        self.token_reward_ = reward
        found = self._lengths_and_kl(log_prob)
        self.expected_length_, self.kl_ = found.expected_length, found.kl
        self.document_length_ = found.document_length
        if self.expected_length_ > _LONGEST:
            self._warn_of_endless_documents()

    def _warn_of_endless_documents(self):
        """Warn where documents hardly ever end, unless those of the reference do not either."""
        usual = self._lengths_and_kl(self.reference_log_prob_).expected_length
        if usual <= min(_LONGEST, self.expected_length_ / _OFTEN):
            warnings.warn(
                f"{type(self).__name__} learned a policy whose documents hardly ever end: "
                f"expected_length_={self.expected_length_:.3g} tokens, where those of the "
                f"reference have {usual:.3g}. sample cuts them at its max_length. Raise "
                f"kl_coef={self.kl_coef:g}, or add pairs or documents in which long ones lose.",
                LengthExplosionWarning,
                stacklevel=caller_level(),
            )

    @property
    def coef_(self):
        """Implicit reward of each column, as the weights (1, n_columns) of a linear model."""
        check_is_fitted(self)
        return self._family.of_documents(self.token_reward_)[np.newaxis]

    def reward(self, X, *, prompts=None):
        """Return the implicit reward of documents, kl_coef * log(policy / reference).

        The policy is the optimum for this reward at ``kl_coef``.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents, which may be empty, as text or as counts.
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, where they are text. They make no difference to a
            policy of single tokens.

        Returns
        -------
        reward : ndarray of shape (n_documents,)
            In nats of log-odds of what the labels mean.
        """
        check_is_fitted(self)
        return read_responses(self, responses_after(self, X, prompts)).reward(self.coef_[0])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        # Differences of counts may be negative, so not positive_only: log-likelihoods are linear in
        # counts, and that of a difference is the log of a likelihood ratio.
        # Not a classifier, but y has two classes.
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags


def read_policy_pairs(
    estimator: Any, X: Any, *, reset: bool, vectorizer: Any = None, prompts: Any = None
) -> ReadPairs:
    """Read pairs as :func:`read_pairs` does, responses going on from their prompts.

    Parameters
    ----------
    estimator, X, reset, vectorizer
        As of :func:`read_pairs`.
    prompts : sequence of str (n_pairs,) or None
        Those of pairs of text that come without.
    """
    subject = type(estimator).__name__
    pairs = None if prompts is None else check_text_pairs(X, subject=subject)
    if pairs is not None:
        if pairs.prompts is not None:
            raise ValueError(
                f"{subject} got prompts twice, in X and as prompts. Leave out one of them."
            )
        before = check_texts(prompts, subject=f"prompts of {subject}")
        n_pairs = len(pairs.responses_a)
        if before is None or len(before) != n_pairs:
            raise ValueError(
                f"{subject} needs a prompt, a str, for each of {n_pairs} pairs, got "
                f'{"no text" if before is None else len(before)}. Use "" where there is none.'
            )
        X = np.array([before, pairs.responses_a, pairs.responses_b], dtype=object).T
    return read_pairs(estimator, X, reset=reset, vectorizer=vectorizer, after_prompts=True)
