"""What DPO and its relatives minimise, by the name of the loss."""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import PairDesign
from sklearn_codex._policy.dpo_gaps import has_linear_margins, is_separated, project
from sklearn_codex._policy.dpo_loss import (
    PREFERENCE_LOSSES,
    HingeRewardLoss,
    ImplicitRewardLoss,
    smooth,
)
from sklearn_codex._policy.response_losses import (
    OPTIONS,
    RESPONSE_LOSSES,
    LogLikelihoods,
    ResponseLoss,
    log_likelihoods,
    response_lengths,
)
from sklearn_codex._policy.separation import has_best_weights
from sklearn_codex._policy.tilts import Tilt
from sklearn_codex._solve.newton import FitState
from sklearn_codex._solve.trust_region import minimise_curved

# What else than a lower C gives a loss of margins an optimum, or one that is nearer.
_REMEDIES = {
    "sigmoid": ", set label_smoothing or loss='ipo'",
    "robust": " or label_smoothing, or set loss='sigmoid' or 'ipo'",
    "hinge": ", set loss='ipo'",
    "simpo": ", set label_smoothing",
}

LOSSES = (*PREFERENCE_LOSSES, *RESPONSE_LOSSES)
_EPS = float(np.finfo(np.float64).eps)
# Rounding of margins, in nats, that is too much.
_LOST = 1e-3


@dataclass(frozen=True)
class DirectLoss:
    """A loss of preferences by its name and parameters.

    Parameters
    ----------
    name : str
        One of ``LOSSES``.
    kl_coef : float
        b, called beta there.
    options : dict
        Values of the parameters that only this loss has, those that are set.
    subject : str
        Who asks, for messages.
    """

    name: str
    kl_coef: float
    options: dict[str, float]
    subject: str

    @classmethod
    def of(cls, estimator: Any) -> "DirectLoss":
        """Return the loss of an estimator, which must set no parameter that it does not have."""
        subject, options = type(estimator).__name__, {}
        for option, (of_loss, default) in OPTIONS.items():
            value = getattr(estimator, option)
            if value is None:
                continue
            if of_loss != estimator.loss:
                raise ValueError(
                    f'{subject} got {option}={value:g} with loss="{estimator.loss}", which has no '
                    f'such parameter. Leave {option} at None, or set loss="{of_loss}", where None '
                    f"means {default:g}."
                )
            options[option] = value
        return cls(estimator.loss, estimator.kl_coef, options, subject)

    @property
    def knows_reference(self) -> bool:
        """Whether it compares log-ratios to the reference, and no likelihoods of responses."""
        return self.name in PREFERENCE_LOSSES

    @property
    def has_likelihood(self) -> bool:
        """Whether it has a term of how likely the preferred response is."""
        return not self.knows_reference and self._of_responses.likelihood_weight > 0

    @property
    def grows_without_bound(self) -> bool:
        """Whether greater margins of the right sign are always better."""
        return self.name in ("sigmoid", "robust", "simpo") or (
            self.name == "cpo" and not self.has_likelihood
        )

    @property
    def _of_responses(self) -> ResponseLoss:
        return RESPONSE_LOSSES[self.name](self.kl_coef, **self.options)

    def target(self, labels: FloatArray, label_smoothing: float) -> FloatArray:
        """Return the targets (n_pairs,) of labels (n_pairs,) of which some are wrong."""
        known = self.knows_reference
        return (PREFERENCE_LOSSES[self.name].target if known else smooth)(labels, label_smoothing)

    def _responses(self, design: Any, is_token: FloatArray) -> tuple[PairDesign, FloatArray]:
        """Return pairs of which each response is known, and their lengths (2, n_pairs).

        Raises
        ------
        ValueError
            If they are differences, or a response is empty.
        """
        if not isinstance(design, PairDesign):
            raise ValueError(
                f'{self.subject} with loss="{self.name}" needs each response of a pair, got '
                f"differences of {design.shape[1]} columns, which do not tell how likely and how "
                "long the two are. Pass pairs of texts, or counts of shape (n_pairs, 2, "
                f"{design.shape[1]})."
            )
        lengths = response_lengths(design, is_token)
        empty = np.flatnonzero((lengths <= 0).any(axis=0))
        if empty.size:
            raise ValueError(
                f'{self.subject} with loss="{self.name}" needs responses of at least one token, '
                f"got an empty one in {empty.size} pair(s), such as number {empty[0]}. Leave them "
                "out, or count an end-of-sequence token."
            )
        return design, lengths

    def _check_rounding(self, scores: FloatArray) -> None:
        """Check that what it compares (2, n_pairs) is known well enough for margins of nats."""
        greatest = float(np.abs(scores).max(initial=0.0))
        if greatest * _EPS > _LOST:
            raise ValueError(
                f'{self.subject} with loss="{self.name}" got kl_coef={self.kl_coef:g}, by which it '
                f"multiplies log-probabilities. That makes them as great as {greatest:.1e}, so "
                "that differences of nats are lost in rounding. Decrease kl_coef."
            )

    def _linear(self, design: Any, is_token: FloatArray) -> Any:
        """Return the design (n_pairs, n_columns) of margins where normalisers cancel from them."""
        if self.name != "simpo":
            return design
        rows = sparse.csr_array(design.features)
        mean = sparse.csr_array(sparse.diags_array(1 / np.maximum(rows @ is_token, 1.0)) @ rows)
        return PairDesign(mean, design.a, design.b)

    def is_endless(
        self,
        loss: ImplicitRewardLoss,
        margins: FloatArray,
        design: Any,
        *,
        features: Any,
        is_token: FloatArray,
    ) -> bool:
        """Return whether some margins had better grow for ever, where that can be told.

        Parameters
        ----------
        loss : ImplicitRewardLoss
        margins : ndarray of shape (n_pairs,)
            Where the fit ended.
        design : PairDesign or DifferenceDesign of shape (n_pairs, n_columns)
            The pairs.
        features : csr_array of shape (n_columns, n_weights) or None
            What columns have of each weight; None where each has its own.
        is_token : ndarray of shape (n_columns,)
            How many tokens each column stands for.
        """
        if loss.penalty > 0 or not self.grows_without_bound:
            return False
        # Responses that are the same have a margin of 0 for ever.
        some = np.random.RandomState(0).standard_normal(design.shape[1])
        weight = loss.sample_weight * (design.matvec(some) != 0)
        if weight.any() and is_separated(loss.target, weight, margins):
            return True
        if not has_linear_margins(loss):
            return False
        linear = project(self._linear(design, is_token), features)
        return has_best_weights(linear, loss.target, loss.sample_weight) is False

    def margin(
        self, design: Any, log_prob: FloatArray, reward: FloatArray, is_token: FloatArray
    ) -> FloatArray:
        """Return the log-odds (n_pairs,) that A is preferred, as the loss has them.

        Parameters
        ----------
        design : PairDesign or DifferenceDesign of shape (n_pairs, n_columns)
            The pairs.
        log_prob, reward : ndarray of shape (n_columns,)
            The policy, and b times its log-ratio to the reference.
        is_token : ndarray of shape (n_columns,)
            How many tokens each column stands for.
        """
        if self.knows_reference:
            return design.matvec(reward)
        pairs, lengths = self._responses(design, is_token)
        return self._of_responses.margin(log_likelihoods(pairs, log_prob), lengths)

    def on(
        self,
        design: Any,
        target: FloatArray,
        weight: FloatArray,
        tilt: Tilt,
        *,
        reference_log_prob: FloatArray,
        is_token: FloatArray,
        C: float,
    ) -> ImplicitRewardLoss:
        """Return the loss of policies on pairs.

        Parameters
        ----------
        design : PairDesign or DifferenceDesign of shape (n_pairs, n_columns)
            The pairs.
        target, weight : ndarray of shape (n_pairs,)
            Targets, and weights of pairs.
        tilt : Tilt
            The policies.
        reference_log_prob : ndarray of shape (n_columns,)
            The policy at weights of 0.
        is_token : ndarray of shape (n_columns,)
            How many tokens each column stands for.
        C : float
            Inverse strength of the penalty on the weights of the tilt.
        """
        if not self.knows_reference:
            (pairs, lengths), loss = self._responses(design, is_token), self._of_responses
            scores = LogLikelihoods(pairs, self.kl_coef)
            offset = log_likelihoods(pairs, reference_log_prob)
            self._check_rounding(loss.score(offset, lengths)[0])
            of_pair: Any = partial(loss.of_pair, lengths=lengths)
            return ImplicitRewardLoss(
                scores, target, weight, tilt, C=C, pair_loss=of_pair, offset=offset,
                margin=partial(loss.margin, lengths=lengths),
            )  # fmt: skip
        of_margins, design = PREFERENCE_LOSSES[self.name], design.to_solve()
        if of_margins.has_kinks:
            return HingeRewardLoss(design, target, weight, tilt, C=C)
        return ImplicitRewardLoss(design, target, weight, tilt, C=C, pair_loss=of_margins.of_pair)


def warn_of_trouble(
    direct: DirectLoss,
    loss: ImplicitRewardLoss,
    state: FitState,
    *,
    is_endless: bool,
    tol: float,
    stopped: bool,
) -> None:
    """Warn the caller of ``fit`` where a fit is not the optimum, and was not stopped."""
    trouble, remedy = _why_unbounded(direct, loss, is_endless), _REMEDIES.get(direct.name, "")
    if trouble is None:
        if state.converged or stopped:
            return
        trouble = (
            f"the norm of the gradient is {state.gradient_norm:.1e} of that at the reference, not "
            f"tol={tol:g}, after {state.iteration} steps"
        )
        remedy += ", or increase kl_coef, max_iter or tol"
    warnings.warn(
        f"{direct.subject} did not converge: {trouble}. Decrease C{remedy}.",
        ConvergenceWarning,
        stacklevel=6,
    )


def _why_unbounded(direct, loss, is_endless):
    """Return in words why a loss has no finite optimum, None where nothing says so."""
    if loss.penalty > 0:
        return None
    if is_endless:
        return (
            "C=inf on pairs that some policy all gets right, or some of them at no cost to the "
            "others, so no policy is best"
        )
    if direct.has_likelihood:
        preferred = loss.sample_weight * np.stack([loss.target, 1 - loss.target])
        start = loss.tilt.at(np.zeros(loss.tilt.n_weights))
        never = (loss.design.rmatvec(preferred) <= 0) & ~np.isneginf(start.log_prob)
        if never.any():
            return (
                f"C=inf and {never.sum()} token(s) that no preferred response has, so their "
                "probability goes to 0 and no policy is best"
            )
    return None


def minimise(loss: ImplicitRewardLoss, **settings: Any) -> tuple[ImplicitRewardLoss, FitState]:
    """Minimise a loss, with kinks or without; return it as it was at last, and the last state.

    Settings are those of :func:`minimise_curved`.
    """
    if not isinstance(loss, HingeRewardLoss):
        return loss, minimise_curved(loss, **settings)
    last = loss

    def sharpen(loss: Any, point: Any, n_steps: int) -> Any:
        nonlocal last
        sharper = loss.sharpened(point, n_steps)
        last = last if sharper is None else sharper
        return sharper

    state = minimise_curved(loss, sharpen=sharpen, **settings)
    return last, state
