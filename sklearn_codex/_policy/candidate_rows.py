"""Rows of candidate responses as they are read: features or texts, and which belong to a prompt."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, IntArray, normalize_log_within
from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.numbers import as_floats, check_values
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.pairs import read_features, read_responses, vectorize
from sklearn_codex._data.responses import check_prompted_responses, stack_prompts
from sklearn_codex._data.vectorizers import wants_prompt
from sklearn_codex._pipeline.counting import documents_after_prompts
from sklearn_codex._policy.rewards import check_rewards, reward_method
from sklearn_codex._reward.presets import choose_vectorizer

_SAME = 1e-8
# Searches and cross-validation give groups to the splitter alone unless they are told to.
_ROUTING = (
    "In a search or a cross-validation call sklearn.set_config(enable_metadata_routing=True), "
    "estimator.set_fit_request(groups=True).set_score_request(groups=True), and pass groups to the "
    "fit of a search, or as params={'groups': groups}."
)


@dataclass(frozen=True)
class CandidateRows:
    """Candidate responses, each of one prompt.

    Parameters
    ----------
    features : ndarray or csr_array of shape (n_rows, n_features), or None
        Features of rows, where they came as numbers.
    texts : tuple of two lists of str of length n_rows, or None
        Prompts and responses, where they came as text.
    prompts : ndarray of int of shape (n_rows,)
        The prompt of each row, from 0, in the order in which prompts appear.
    reference : ndarray of shape (n_rows,)
        Log-probabilities of prompt and response; each prompt comes up as often.
    told : bool
        Whether somebody said which rows belong together; else each has a prompt of its own.
    """

    features: Any
    texts: tuple[list[str], list[str]] | None
    prompts: IntArray
    reference: FloatArray
    told: bool

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return int(self.prompts.max()) + 1

    @cached_property
    def reference_within(self) -> FloatArray:
        """Log-probabilities (n_rows,) of the reference given the prompt."""
        return normalize_log_within(self.reference, self.prompts)

    def inputs(self, model: Any) -> Any:
        """Return what a model takes of rows: features, texts, or rows (prompt, response).

        To one of n-grams responses are what follows their prompts.
        """
        if self.texts is None:
            return self.features
        reader = getattr(model, "vectorizer_", None)
        prompts, responses = self.texts
        if wants_prompt(model if reader is None else reader):
            return stack_prompts(prompts, responses)
        return documents_after_prompts(model, responses, prompts)


def read_candidates(
    estimator: Any,
    X: Any,
    groups: Any,
    reference_log_prob: Any,
    *,
    reset: bool,
    apart: bool = False,
) -> CandidateRows:
    """Read rows of candidates, and say which belong together.

    Parameters
    ----------
    estimator : CandidatePolicy
        Who reads.
    X, groups, reference_log_prob
        As its methods take them.
    reset : bool
        Whether this call defines the columns, as in ``fit``.
    apart : bool, default=False
        Whether it does not matter which rows belong together.
    """
    subject = type(estimator).__name__
    # An array of numbers is not looked through for text.
    is_numeric = getattr(getattr(X, "dtype", None), "kind", "O") in "biufc"
    texts = None if is_numeric else check_prompted_responses(X, subject=subject)
    features = None
    if texts is None:
        features = read_features(estimator, X, reset=reset, vectorizer=None)
        n_rows = features.shape[0]
    else:
        n_rows = len(texts[1])
    if not apart:
        groups = _choose_groups(estimator, texts, groups, n_rows, reset=reset)
    prompts = np.arange(n_rows) if groups is None else _number_prompts(groups, n_rows)
    reference = np.zeros(n_rows)
    if reference_log_prob is not None:
        reference = _check_reference(reference_log_prob, prompts, subject)
    n_prompts = int(prompts.max()) + 1
    joint = normalize_log_within(reference, prompts) - np.log(n_prompts)
    return CandidateRows(features, texts, prompts, joint, groups is not None)


def features_of(estimator: Any, rows: CandidateRows, *, reset: bool) -> Any:
    """Return the features (n_rows, n_features) of an estimator's own reward."""
    if rows.texts is None:
        return rows.features
    vectorizer = choose_vectorizer(estimator.vectorizer) if reset else estimator.vectorizer_
    has_prompts = wants_prompt(vectorizer)
    texts = stack_prompts(*rows.texts) if has_prompts else rows.texts[1]
    return vectorize(estimator, texts, reset=reset, vectorizer=vectorizer)


def _choose_groups(estimator, texts, groups, n_rows, *, reset):
    """Return what says which rows belong together: groups, prompts, or None for nothing."""
    subject = type(estimator).__name__
    named = texts is not None and any(prompt.strip() for prompt in texts[0])
    if groups is None and named:
        return texts[0]
    if groups is None:
        _check_without_groups(estimator, n_rows, reset=reset)
    elif named:
        _check_one_prompt_a_group(encode_groups(groups, n_rows, unit="row"), texts[0], subject)
    return groups


def _number_prompts(groups, n_rows):
    """Return the number (n_rows,) of the prompt of each row, by first appearance."""
    codes = encode_groups(groups, n_rows, unit="row")
    first = np.unique(codes, return_index=True)[1]
    return np.argsort(np.argsort(first))[codes]


def _check_one_prompt_a_group(codes, prompts, subject):
    """Raise where rows of one group have different prompts."""
    of_group: dict[int, str] = {}
    for row, (code, prompt) in enumerate(zip(codes.tolist(), prompts, strict=True)):
        other = of_group.setdefault(code, prompt)
        if other != prompt:
            raise ValueError(
                f"{subject} takes the rows of a group as candidates of one prompt, but the group "
                f"of row {row} has the prompts {str(other)!r:.60} and {str(prompt)!r:.60}. Leave "
                "groups out to have the prompts tell which rows belong together, or give responses "
                "without prompts to have the groups tell."
            )


def _check_without_groups(estimator, n_rows, *, reset):
    """Raise, or warn in a fit that can do without, where nobody says which rows belong together."""
    subject = type(estimator).__name__
    needs = estimator.reward_model is not None if reset else estimator._has_groups
    if n_rows == 1:
        return
    if needs:
        raise ValueError(
            f"{subject} got {n_rows} rows without groups: they could be candidates of one prompt "
            "or of several. Pass groups=, the prompt of each row, equal ones for a single prompt; "
            f"or rows (prompt, response) of text. {_ROUTING}"
        )
    if reset:
        warnings.warn(
            f"{subject} got {n_rows} rows without groups: it takes y as rewards on one scale, and "
            "each row as the only candidate of a prompt of its own, which is chosen for certain. "
            f"Pass groups=, the prompt of each row. {_ROUTING}",
            UserWarning,
            stacklevel=6,
        )


def _check_reference(reference_log_prob, prompts, subject):
    """Return log-probabilities (n_rows,) of which none is NaN and each prompt has one."""
    given = as_floats(reference_log_prob, "reference_log_prob", subject=subject)
    # What is never chosen is at -inf, which the check of numbers refuses.
    never = np.isneginf(given)
    values = check_values(
        np.where(never, 0.0, given), "reference_log_prob", subject=subject, shape=(len(prompts),)
    )
    if ((values > 0) & (values <= 1)).all():
        warnings.warn(
            f"{subject} got numbers from 0 to 1 only as reference_log_prob, which seem to be "
            "probabilities. Pass their logarithms, numpy.log(p), which are not above 0.",
            UserWarning,
            stacklevel=6,
        )
    values[never] = -np.inf
    left = np.bincount(prompts, ~never)
    if not left.all():
        row = int(np.flatnonzero(prompts == np.argmin(left))[0])
        raise ValueError(
            f"{subject} needs a candidate of each prompt that the reference can produce, but all "
            f"those of the prompt of row {row} have reference_log_prob -inf. Leave the prompt out."
        )
    return values


def center_within(features: Any, prompts: IntArray, weight: FloatArray | None = None) -> Any:
    """Return features (n_rows, n_features) less their weighted mean within each prompt."""
    n_rows = len(prompts)
    weight = np.ones(n_rows) if weight is None else weight
    share = weight / np.bincount(prompts, weight)[prompts]
    mean = sparse.csr_array((share, (prompts, np.arange(n_rows)))) @ features
    return features - mean[prompts]


def is_linear(rewards: FloatArray, features: Any, weights: FloatArray) -> bool:
    """Tell whether rewards (n_rows,) are linear in features with these weights, and a constant."""
    rest = rewards - features @ weights
    scale = float(np.abs(rewards).max()) + float(np.abs(rest).max())
    return bool(np.ptp(rest) <= _SAME * max(scale, np.finfo(np.float64).tiny))


def rewards_of(model: Any, rows: CandidateRows, conservative: float, *, subject: str) -> FloatArray:
    """Return the rewards (n_rows,) that a fitted model gives, less what it is not sure of.

    Parameters
    ----------
    model : fitted estimator or callable
        With ``reward(X)``, or ``predict(X)``, or to be called.
    rows : CandidateRows
        What is rewarded.
    conservative : float
        Standard deviations to take off.
    subject : str
        Who asks; error messages name it.
    """
    source, model = model, unwrap(model)
    method = reward_method(source, subject=subject)
    function = model if method is None else getattr(model, method)
    with warnings.catch_warnings():
        # A model fitted on a data frame.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        inputs = rows.inputs(model)
        rewards = check_rewards(function(inputs), len(rows), model, subject)
        if conservative == 0:
            return rewards
        if "return_std" not in signature(function).parameters:
            raise ValueError(
                f"{subject} with conservative={conservative:g} needs a reward_model that knows "
                f"how sure it is, with return_std, such as RewardUncertainty, got a "
                f"{type(model).__name__}. Set conservative=0, or pass reward_model=FrozenEstimator("
                "fitted RewardUncertainty), in an RLHFPipeline to the CandidatePolicy itself."
            )
        if method == "reward":
            has_text = rows.texts is not None
            features = read_responses(model, inputs).design.differences if has_text else inputs
            # Compared to its prompt's mean, as what all candidates have in common decides nothing.
            inputs = center_within(features, rows.prompts, np.exp(rows.reference_within))
        std = function(inputs, return_std=True)[1]
    return rewards - conservative * check_rewards(std, len(rows), model, subject)
