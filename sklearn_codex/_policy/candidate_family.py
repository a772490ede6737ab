"""Policies over candidates as a family that direct methods learn, and what they learn it from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, IntArray, normalize_log_within
from sklearn_codex._checks.positions import check_positions
from sklearn_codex._data.designs import DifferenceDesign, PairDesign
from sklearn_codex._policy.candidate_tilt import CandidateTilt
from sklearn_codex.exact import CandidateObjective


@dataclass(frozen=True)
class CandidateFamily:
    """Policies over the candidates of prompts, arrays (n_rows,) over these, as an objective has.

    Parameters
    ----------
    stated : CandidateObjective
        Where it has features, policies are log-linear in them.
    """

    stated: CandidateObjective

    def documents(self, rows: Any) -> Any:
        """Return documents (n, n_rows), of one candidate each, in the columns of policies."""
        return rows

    def of_documents(self, values: FloatArray) -> FloatArray:
        """Return values (n_rows,) of columns of policies as those of columns of documents."""
        return values

    def count_tokens(self, documents: sparse.csr_array) -> float:
        """Return how many candidates documents (n, n_rows) have."""
        return float(documents.sum())

    def given_prompt(self, log_prob: FloatArray) -> FloatArray:
        """Return log-probabilities (n_rows,) of a policy, joint with the prompt, given the prompt.

        What is learned of responses must not depend on how often their prompt comes up.
        """
        return normalize_log_within(log_prob, self.stated.prompts)

    def is_token(self, n_columns: int) -> FloatArray:
        """Return that each column is one candidate (n_rows,)."""
        return np.ones(n_columns)

    @property
    def reward_features(self) -> Any:
        """What candidates have of each weight of a reward, None where each has its own."""
        return self.stated.features

    @property
    def column_kind(self) -> str:
        """What columns of policies are called."""
        return "candidate(s)"

    def column_name(self, column: int, names: Any) -> int:
        """Return the row of a candidate."""
        return column

    def tilt(self, reference: FloatArray, kl_coef: float) -> CandidateTilt:
        """Return the policies that are a reference (n_rows,), tilted."""
        return CandidateTilt(self.stated.prompts, reference, kl_coef, self.stated.features)

    def objective(self, reference: FloatArray, **settings: Any) -> CandidateObjective:
        """Return the objective in which a reward is to be filled; settings are its fields."""
        known = {name: settings[name] for name in ("kl_coef", "reward_coef") if name in settings}
        return self.stated.having(**known)

    def fitted(self, log_prob: FloatArray) -> dict[str, Any]:
        """Return the attributes of an estimator by which it is a policy."""
        return {"token_log_prob_": log_prob}


@dataclass(frozen=True)
class StatedPairs:
    """Pairs of candidates of an objective.

    Parameters
    ----------
    objective : CandidateObjective
    a, b : ndarray of int of shape (n_pairs,)
        Rows of the objective.
    """

    objective: CandidateObjective
    a: IntArray
    b: IntArray

    @classmethod
    def of(cls, objective: Any, pairs: Any, *, kl_coef: float, subject: str) -> "StatedPairs":
        """Return pairs as they were given, checked.

        Parameters
        ----------
        objective, pairs
            As of ``fit_objective``.
        kl_coef : float
            That of the estimator.
        subject : str
            Who asks, for messages.
        """
        _check_objective(objective, kl_coef, subject)
        rows = _read_rows(
            objective, pairs, "pairs", "(n_pairs, 2)", subject=subject,
            remedy="Pass the rows of the two candidates of each pair.",
        )  # fmt: skip
        a, b = rows.T
        asked = objective.prompts[a], objective.prompts[b]
        apart = np.flatnonzero(asked[0] != asked[1])
        if apart.size:
            raise ValueError(
                f"{subject}.fit_objective compares candidates of one prompt, and pair {apart[0]} "
                f"has candidates of the prompts {asked[0][apart[0]]} and {asked[1][apart[0]]}. "
                "Leave such pairs out."
            )
        return cls(objective, a, b)

    def design(self) -> PairDesign:
        """Return the pairs as differences of documents of one candidate each."""
        n_rows = len(self.objective.prompts)
        return PairDesign(sparse.csr_array(sparse.eye_array(n_rows)), self.a, self.b)


@dataclass(frozen=True)
class StatedRows:
    """Candidates of an objective, each judged by itself.

    Parameters
    ----------
    objective : CandidateObjective
    rows : ndarray of int of shape (n_judged,)
        Rows of the objective, as often as they were judged.
    """

    objective: CandidateObjective
    rows: IntArray

    @classmethod
    def of(cls, objective: Any, rows: Any, *, kl_coef: float, subject: str) -> "StatedRows":
        """Return rows as they were given, checked; parameters are those of ``StatedPairs.of``."""
        _check_objective(objective, kl_coef, subject)
        given = _read_rows(
            objective, rows, "rows", "(n_judged,)", subject=subject,
            remedy="Pass the row of the candidate of each judgement.",
        )  # fmt: skip
        return cls(objective, given)

    @property
    def prompts(self) -> IntArray:
        """The prompt (n_judged,) of each candidate that was judged."""
        return self.objective.prompts[self.rows]

    def design(self) -> DifferenceDesign:
        """Return the candidates as documents of one each."""
        shape = (len(self.rows), len(self.objective.prompts))
        ones, starts = np.ones(shape[0]), np.arange(shape[0] + 1)
        return DifferenceDesign(sparse.csr_array((ones, self.rows, starts), shape=shape))


def _check_objective(objective, kl_coef, subject):
    """Raise where a direct method does not learn the policies of an objective."""
    if not isinstance(objective, CandidateObjective):
        raise TypeError(
            f"{subject}.fit_objective needs a CandidateObjective, such as "
            f"CandidatePolicy.objective(X), got a {type(objective).__name__}. Documents go to fit, "
            "with the reference as policy."
        )
    if objective.kl_coef != kl_coef:
        raise ValueError(
            f"{subject} got kl_coef={kl_coef:g}, but the objective has "
            f"{objective.kl_coef:g}. Set one to the other: objective.having(kl_coef=...)."
        )


def _read_rows(objective, given, name, shape, *, remedy, subject):
    """Return which rows of an objective are meant, of a shape."""
    return check_positions(
        given, name, shape, n_rows=len(objective.prompts), rows="rows of the objective",
        remedy=remedy, subject=f"{subject}.fit_objective",
    )  # fmt: skip
